//! What came of an answer, read from the journal.

use std::time::Duration;

use super::super::refusal::Refusal;
use super::super::runs::exit_of;
use crate::exit::Exit;
use crate::journal::{ClusterDir, RunDir};
use crate::model::event::{
    Approval, Decision, Event, Failure, FailureKind, Outcome, Question, Record, RunEnd,
};
use crate::model::state::Pending;

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// What came of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CameOf {
    /// The step that asked is done.
    Passed,
    /// The answer is the run's, and it acts on it.
    Taken,
    /// The reading after the yes did not hold.
    ClosedAgain,
    /// The answer was no, and the run stops.
    Denied,
    /// The run stopped for another reason.
    Stopped { exit: Exit, why: String },
    /// The run's process is gone.
    Gone,
}

impl CameOf {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Taken => "taken",
            Self::ClosedAgain => "closed_again",
            Self::Denied => "denied",
            Self::Stopped { .. } => "stopped",
            Self::Gone => "unknown",
        }
    }

    /// In words; what was asked makes a difference, and whether the run was stopping already.
    pub(super) fn sentence(&self, asked: &Pending, is_stopping: bool) -> String {
        let is_by_hand = asked.is_undo && !matches!(asked.question, Question::Trouble { .. });
        match self {
            Self::Passed if is_by_hand => "is done".to_owned(),
            Self::Denied if is_by_hand => "is answered no: it stays in force".to_owned(),
            Self::Stopped { why, .. } if is_by_hand => format!("is not done: {why}"),
            Self::Passed => "is passed".to_owned(),
            Self::Taken if is_stopping => "is answered".to_owned(),
            Self::Taken => "is answered, and the run goes on".to_owned(),
            Self::ClosedAgain => {
                "was read again and is closed: the answer is void, and it waits on".to_owned()
            }
            Self::Denied => "is answered no, and the run stops".to_owned(),
            Self::Stopped { why, .. } => format!("is not passed: {why}"),
            Self::Gone => "is answered, but the run's process is gone".to_owned(),
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Passed | Self::Taken => Exit::Done,
            Self::ClosedAgain => Exit::GateClosed,
            Self::Denied => Exit::NoAnswer,
            Self::Stopped { exit, .. } => *exit,
            Self::Gone => Exit::Broken,
        }
    }
}

/// Follows the run until it shows what came of the answer.
pub(super) fn follow(
    cluster: &ClusterDir,
    dir: &RunDir,
    approval: &Approval,
    after: u64,
) -> Result<CameOf, Refusal> {
    if approval.decision == Decision::No {
        return Ok(CameOf::Denied);
    }
    if !matches!(approval.decision, Decision::Yes | Decision::Override { .. }) {
        return Ok(CameOf::Taken);
    }
    loop {
        let at_work = cluster.holder()?.is_some();
        let records = dir.read_journal()?.records;
        let since = records.iter().filter(|record| record.seq > after);
        if let Some(came_of) = read(since, approval) {
            return Ok(came_of);
        }
        if !at_work {
            return Ok(CameOf::Gone);
        }
        std::thread::sleep(EVERY);
    }
}

fn read<'a>(records: impl Iterator<Item = &'a Record>, approval: &Approval) -> Option<CameOf> {
    let mut is_answered = false;
    for record in records {
        match &record.event {
            Event::Answered { question, .. } if *question.key() == approval.key => {
                if let Question::During { .. } = question {
                    return Some(CameOf::Taken);
                }
                is_answered = true;
            }
            Event::ReadingTaken { key, readings }
                if is_answered
                    && *key == approval.key
                    && readings.iter().any(|reading| !reading.verdict.holds()) =>
            {
                return Some(CameOf::ClosedAgain);
            }
            // What a human is asked to undo ends with its undo.
            Event::StepEnded { key, outcome, .. } | Event::UndoEnded { key, outcome, .. }
                if *key == approval.key =>
            {
                return Some(ended(outcome));
            }
            // The process that took the answer is gone, and another one goes on with the run.
            Event::RunResumed { .. } => return Some(CameOf::Gone),
            Event::RunClosed { verdict } => {
                let why = match verdict {
                    RunEnd::Stopped(stop) => stop.why.clone(),
                    _ => "the run has ended".to_owned(),
                };
                return Some(CameOf::Stopped { exit: exit_of(verdict), why });
            }
            _ => {}
        }
    }
    None
}

fn ended(outcome: &Outcome) -> CameOf {
    let stopped = |exit, why: &str| CameOf::Stopped { exit, why: why.to_owned() };
    match outcome {
        Outcome::Done | Outcome::Skipped { .. } => CameOf::Passed,
        Outcome::Interrupted => stopped(Exit::Stopped, "the run stops"),
        Outcome::Unknown { why, .. } => stopped(Exit::Unknown, why),
        Outcome::Failed(Failure { kind, message, .. }) => {
            let exit = match kind {
                FailureKind::GateClosed => Exit::GateClosed,
                FailureKind::NoAnswer => Exit::NoAnswer,
                FailureKind::Unreachable => Exit::Unreachable,
                _ => Exit::CheckFailed,
            };
            stopped(exit, message)
        }
    }
}
