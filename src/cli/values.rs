//! Values that are typed: read here, so that a slip is told with what would have been right.

use std::str::FromStr;
use std::time::Duration;

use crate::model::duration;
use crate::model::event::RunId;
use crate::model::name::StepName;

/// A closed gate that is to be passed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The gate.
    pub gate: StepName,
    /// Why, for the journal.
    pub reason: String,
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (gate, reason) =
            text.split_once('=').ok_or("the reason is missing: write GATE=REASON, in quotes")?;
        if reason.trim().is_empty() {
            return Err("the reason is empty: it is what the journal and the report will say".to_owned());
        }
        let gate = StepName::parse(gate.trim()).map_err(|error| error.to_string())?;
        Ok(Self { gate, reason: reason.trim().to_owned() })
    }
}

pub(super) fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("the reason is empty: it is what the journal and the report will say".to_owned()),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn duration_with_unit(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|why| format!("{why}; a number and its unit: 500ms, 10s, 30m, 1h30m, 2d"))
}

/// Run names are looked up, never built into a path; an option or control character is a slip.
pub(super) fn run_id(text: &str) -> Result<RunId, String> {
    let fits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || ".-".contains(c));
    if fits {
        Ok(RunId(text.to_owned()))
    } else {
        Err("a run is named by its date and number, such as 2026-11-21.1".to_owned())
    }
}
