//! The lock that sits on a node: who holds it, for which run, and how that is told.
//!
//! A node counts its locks; each number is an *epoch*, used once. The lock with the highest one counts,
//! and a job that carries a lower one does not begin any more: a lock that was taken over stops its
//! former holder on the node itself, and not by his good will.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use super::event::{Operator, RunId};

/// A holder that has been silent for less than this is alive, as far as anybody can tell.
pub const STALE_AFTER: Duration = Duration::from_mins(1);

/// A lock as a node shows it. Every word in it was written by somebody, perhaps on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fence {
    /// Its number on this node.
    pub epoch: u64,
    /// Whose it is.
    pub owner: FenceOwner,
    /// How long ago it was taken, by the node's clock.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub age: Duration,
    /// How long ago its holder last gave a sign of life, by the node's clock.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub seen: Duration,
    /// How its invocation ended; `None` while it lasts, or after it died.
    pub ended: Option<FenceEnd>,
}

/// Whose a lock is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FenceOwner {
    /// The run it was taken for.
    pub run: RunId,
    /// Tells that run from one of the same name on another machine.
    pub token: String,
    /// The state directory that the run is recorded in. A lock that was taken from the same one is ours: the lock
    /// on this machine proves that nobody else works there.
    pub seat: String,
    /// Who took it.
    pub by: Operator,
    /// With which verb.
    pub doing: String,
    /// With which command line.
    pub args: String,
}

/// What an invocation leaves behind with its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FenceEnd {
    /// The run is over: the node is free.
    Released,
    /// The run is open: the node is still its.
    Stopped,
}

impl FenceEnd {
    /// The word that the node keeps.
    pub fn word(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Stopped => "stopped",
        }
    }

    /// Reads that word; whatever is none frees nothing.
    pub fn of(word: &str) -> Self {
        if word == Self::Released.word() { Self::Released } else { Self::Stopped }
    }
}

/// A lock that was taken from its holder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Broken {
    /// Why, in the words of the one who did it.
    pub reason: String,
    /// Who had it, in words.
    pub holder: String,
}

impl FenceOwner {
    /// Who it is: `anna@ops-1 (start, run 2026-11-21.1)`.
    pub fn sentence(&self) -> String {
        let doing = if self.doing.is_empty() { String::new() } else { format!("{}, ", self.doing) };
        format!("{}@{} ({doing}run {})", self.by.user, self.by.host, self.run)
    }
}

impl Fence {
    /// Whether it stands in the way of other runs.
    pub fn holds(&self) -> bool {
        self.ended != Some(FenceEnd::Released)
    }

    /// Whether nobody seems to live who works under it.
    pub fn is_stale(&self) -> bool {
        self.ended.is_some() || self.seen >= STALE_AFTER
    }

    /// The whole of it: `held by anna@ops-1 (start, run 2026-11-21.1) for 4 min, last seen 12 s ago`.
    pub fn sentence(&self) -> String {
        let seen = span(self.seen);
        match self.ended {
            Some(FenceEnd::Released) => format!("free since {} released it", self.owner.sentence()),
            Some(FenceEnd::Stopped) => {
                format!("held by an unfinished run of {}, last seen {seen} ago", self.owner.sentence())
            }
            None => format!("held by {} for {}, last seen {seen} ago", self.owner.sentence(), span(self.age)),
        }
    }
}

/// How long something lasts, in the largest unit that says enough.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fence(ended: Option<FenceEnd>, seen: u64) -> Fence {
        Fence {
            epoch: 3,
            owner: FenceOwner {
                run: RunId("2026-11-21.1".to_owned()),
                token: "9f3c2a1b".to_owned(),
                seat: "00000001".to_owned(),
                by: Operator { user: "anna".to_owned(), host: "ops-1".to_owned(), pid: 7 },
                doing: "start".to_owned(),
                args: "start --yes".to_owned(),
            },
            age: Duration::from_mins(4),
            seen: Duration::from_secs(seen),
            ended,
        }
    }

    #[test]
    fn a_holder_is_told_with_its_age() {
        assert_eq!(
            fence(None, 12).sentence(),
            "held by anna@ops-1 (start, run 2026-11-21.1) for 4 min, last seen 12 s ago"
        );
        assert_eq!(
            fence(Some(FenceEnd::Stopped), 7200).sentence(),
            "held by an unfinished run of anna@ops-1 (start, run 2026-11-21.1), last seen 2 h ago"
        );
    }

    #[test]
    fn silence_makes_a_lock_stale_and_never_free() {
        assert!(!fence(None, 59).is_stale());
        assert!(fence(None, 60).is_stale());
        assert!(fence(None, 86_400).holds());
        assert!(fence(Some(FenceEnd::of("nonsense")), 86_400).holds());
        assert!(!fence(Some(FenceEnd::of("released")), 0).holds());
    }
}
