//! What became of a step that an invocation began and did not see the end of. The node is asked; what
//! it cannot say is unknown, never guessed.

use crate::model::event::{Failure, FailureKind, Outcome};
use crate::model::plan::StepKey;
use crate::model::procedure::Action;
use crate::model::state::RunState;
use crate::transport::{Found, JobEnd, JobId, OutputSink, Stream};

use super::pool::Changing;
use super::site::Site;

/// Output of a job that was attached to; its transcript is the earlier invocation's.
struct Silence;

impl OutputSink for Silence {
    fn line(&self, _from: Stream, _line: &[u8]) {}
}

/// Attaches to the job of a step, or of its undo.
pub(super) async fn recover(site: &Site<Changing>, state: &RunState, key: &StepKey, undo: bool) -> Outcome {
    let Some(step) = state.step(key) else {
        return Outcome::Unknown { why: "it is not in the journal".to_owned() };
    };
    let (suffix, attempt) = if undo { (".undo", step.undo_attempts) } else { ("", step.attempts) };
    let id = format!("{}.{}.{}{suffix}.{attempt}", state.run, key.node, key.step);
    let (Some(id), Some(on)) = (JobId::parse(&id), step.on.first()) else {
        return Outcome::Unknown { why: "it has no job to ask for".to_owned() };
    };
    let id = &id;
    let found = site.pool.with(on, |session| async move { session.attach(id, &Silence).await }).await;
    let ok_codes = match state.plan.find(&key.step).and_then(|(_, planned)| planned.step()) {
        Some(planned) if !undo => match &planned.action {
            Action::Run(run) => run.ok_codes.clone(),
            _ => vec![0],
        },
        _ => vec![0],
    };
    match found {
        Ok(Found::Ended(JobEnd::Exited { code })) if ok_codes.contains(&code) => Outcome::Done,
        Ok(Found::Ended(JobEnd::Exited { code })) => {
            failed(FailureKind::Script, format!("it ended with exit status {code}"))
        }
        Ok(Found::Ended(JobEnd::TimedOut { after, .. })) => {
            failed(FailureKind::Timeout, format!("it took longer than {} s", after.as_secs()))
        }
        Ok(Found::Unknown { why }) => Outcome::Unknown { why },
        Err(error) => Outcome::Unknown { why: error.to_string() },
    }
}

fn failed(kind: FailureKind, message: String) -> Outcome {
    Outcome::Failed(Failure { kind, message, tail: Vec::new(), help: None })
}
