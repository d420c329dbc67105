//! What is said of a step that began and whose end nobody saw, and what the saying rests on.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::model::plan::StepKey;

/// What became of a step, or of its undo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// It was done.
    Done,
    /// It was not done: another attempt begins.
    NotDone,
    /// It was done and failed.
    Failed,
}

/// What established it, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// `reboots: true`, and the machine was booted since.
    Reboot,
    /// The check of `done_if`.
    Probe,
    /// `retry: safe`.
    RetrySafe,
    /// A human, by `--decide`.
    Decided,
}

/// What became of a change that its node was to undo by itself, by the node's own record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reverting {
    /// A new login confirmed it: it stays.
    Confirmed,
    /// The node does not undo it: rollgate does, or it was never made.
    Withdrawn,
    /// The node undid it.
    Reverted {
        /// How that ended.
        outcome: Outcome,
    },
}

/// What a human says of a step, or of its undo, as typed: `NODE/STEP[.undo]=done|retry|fail[:WHY]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decided {
    /// Which.
    pub key: StepKey,
    /// Whether it is the undo.
    pub undo: bool,
    /// What became of it.
    pub verdict: Settlement,
    /// Why, where that was said.
    pub why: Option<String>,
}

impl Settlement {
    /// The word for it on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDone => "retry",
            Self::Failed => "fail",
        }
    }
}

/// A step, or its undo, as `--decide` names it.
pub fn subject(key: &StepKey, undo: bool) -> String {
    format!("{key}{}", if undo { ".undo" } else { "" })
}

impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", subject(&self.key, self.undo), self.verdict.word())
    }
}

impl FromStr for Decided {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (subject, verdict) = text
            .split_once('=')
            .ok_or("what became of it is missing: write NODE/STEP=done, =retry or =fail")?;
        let (verdict, why) = match verdict.split_once(':') {
            Some((verdict, why)) => (verdict, Some(why.trim()).filter(|why| !why.is_empty())),
            None => (verdict, None),
        };
        let all = [Settlement::Done, Settlement::NotDone, Settlement::Failed];
        let verdict = all.into_iter().find(|known| known.word() == verdict.trim()).ok_or_else(|| {
            format!(
                "`{verdict}` is none of done (it was done), retry (it was not: do it again), fail (it failed)"
            )
        })?;
        let (step, undo) = match subject.trim().strip_suffix(".undo") {
            Some(step) => (step, true),
            None => (subject.trim(), false),
        };
        let key = StepKey::try_from(step.to_owned())?;
        Ok(Self { key, undo, verdict, why: why.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_read_as_it_is_shown() {
        for (text, verdict, undo, why) in [
            ("a/p.upgrade.1=done", Settlement::Done, false, None),
            (
                "a/p.upgrade.1=retry:it never ran: I looked",
                Settlement::NotDone,
                false,
                Some("it never ran: I looked"),
            ),
            ("a/p.drain.2.undo=fail: ", Settlement::Failed, true, None),
            ("operator/end.steps.1 = done : by hand", Settlement::Done, false, Some("by hand")),
        ] {
            let decided: Decided = text.parse().unwrap();
            assert_eq!(
                (decided.verdict, decided.undo, decided.why.as_deref()),
                (verdict, undo, why),
                "{text}"
            );
            let again: Decided = decided.to_string().parse().unwrap();
            assert_eq!((again.key, again.undo, again.verdict), (decided.key, undo, verdict));
        }
    }

    #[test]
    fn what_is_no_decision_says_what_to_write() {
        for (text, says) in [
            ("a/p.upgrade.1", "write NODE/STEP=done"),
            ("a/p.upgrade.1=yes", "`yes` is none of done"),
            ("a/p.upgrade.1=", "`` is none of done"),
            ("p.upgrade.1=done", "is not NODE/STEP"),
            ("-a/p.upgrade.1=done", ""),
        ] {
            let error = text.parse::<Decided>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
