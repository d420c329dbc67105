//! What the end of a job means for its step.

use crate::engine::output::Output;
use crate::engine::worker::{Assignment, Done};
use crate::engine::{asking, lock};
use crate::model::duration;
use crate::model::event::{Failure, FailureKind, Outcome};
use crate::model::job::Standing;
use crate::model::recovery::{self, Ruling};
use crate::transport::{JobEnd, TransportError};

/// What a job's end means. A loss of contact is unknown; a refusal before the start is a failure.
pub(in crate::engine) async fn judge(
    at: &Assignment,
    ok_codes: &[i32],
    ended: Result<JobEnd, TransportError>,
    output: &Output,
) -> Done {
    let failed = |kind, message: String| {
        Err(Outcome::Failed(Failure { kind, message, tail: output.tail(), help: None }))
    };
    match ended {
        Ok(JobEnd::Exited { code }) if ok_codes.contains(&code) => Ok(()),
        Ok(JobEnd::Exited { code }) => {
            failed(FailureKind::Script, format!("it ended with exit status {code}"))
        }
        Ok(JobEnd::TimedOut { after, stopped: true }) => failed(
            FailureKind::Timeout,
            format!("it took longer than {} and was stopped", duration::written(after)),
        ),
        Ok(JobEnd::TimedOut { after, stopped: false }) => {
            let why = format!(
                "it took longer than {}, and something of it may still run",
                duration::written(after)
            );
            Err(Outcome::Unknown { why, rebooted: false })
        }
        Ok(JobEnd::Unclear(Standing::Fenced)) => {
            let who = lock::who_took_over(&at.site, at.machine()).await;
            failed(FailureKind::Unreachable, format!("{who}; the step was not begun"))
        }
        Ok(JobEnd::Unclear(standing)) => unclear(standing, output),
        Err(error @ TransportError::Lost { .. }) => {
            Err(Outcome::Unknown { why: error.to_string(), rebooted: false })
        }
        Err(error) => {
            let mut failure = asking::unreachable(&error);
            failure.tail = output.tail();
            Err(failure.into())
        }
    }
}

/// What the node says of a job that has no exit status.
fn unclear(standing: Standing, output: &Output) -> Done {
    let refused = |kind, message: &str| {
        let tail = output.tail();
        Err(Outcome::Failed(Failure { kind, message: message.to_owned(), tail, help: None }))
    };
    match (standing, recovery::rule(standing)) {
        (Standing::Conflict, _) => {
            refused(FailureKind::Input, "the node was given another script under this step's name before")
        }
        (_, Ruling::NeverBegan) => refused(
            FailureKind::Unreachable,
            "the node did not begin it, and never will: its disk may be full, or somebody ended it",
        ),
        (_, Ruling::Unknown { why, rebooted }) => Err(Outcome::Unknown { why, rebooted }),
        (_, Ruling::Follow | Ruling::AwaitOrphans { .. }) => {
            Err(Outcome::Unknown { why: "it still runs".to_owned(), rebooted: false })
        }
    }
}
