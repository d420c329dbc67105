//! What a node says of a job: a script that was started there once, under an identity of its own, and
//! that lives on whatever becomes of the connection.

use serde::{Deserialize, Serialize};

/// Where a job stands, by the node's own account. Only [`Standing::Running`] can change by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nobody has claimed it.
    Absent {
        /// Whether the node knows the run at all. One that does not was put back to an earlier state, or
        /// lost rollgate's directory: then absence proves nothing.
        known: bool,
    },
    /// It was given up before it began; it can never begin.
    Void,
    /// It was claimed, and its process died before the script began: surely not run.
    Unbegun,
    /// It was claimed under a lock that somebody else had taken over: surely not run.
    Fenced,
    /// Another script was claimed under the same identity.
    Conflict,
    /// Its process is there.
    Running,
    /// The script ended.
    Ended {
        /// Its exit code; killed by a signal, 128 and the signal's number.
        code: i32,
        /// Whether the node told its process to end before it did: a shutdown.
        interrupted: bool,
        /// Whether rollgate told it to stop.
        stopped: bool,
        /// Whether the node was booted since the job began.
        rebooted: bool,
    },
    /// It began, and its process is gone without an exit status.
    Lost {
        /// Whether the node was booted since.
        rebooted: bool,
        /// How many processes that it started still run.
        orphans: u32,
    },
}

/// What became of a change that its node undoes by itself unless somebody decides otherwise before: whoever comes
/// first decides, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revert {
    /// Nobody has decided, and its time is not over.
    Pending,
    /// A new login confirmed it: it stays.
    Confirmed,
    /// The node does not undo it: rollgate does, or it was never made.
    Withdrawn,
    /// Its time was over: the node undoes it, or has.
    Reverted,
}

impl Standing {
    /// Whether the script surely never began and never will under this identity.
    pub fn never_began(self) -> bool {
        matches!(self, Self::Void | Self::Unbegun | Self::Fenced)
    }
}
