//! What became of a step that an invocation began and did not see the end of. The node is asked; what
//! it cannot say is unknown, never guessed.

use super::worker::{Assignment, Done};
use super::{effect, restricting};
use crate::model::event::Outcome;
use crate::model::plan::Work;
use crate::model::procedure::{Action, Undo};

/// Follows the job of a step, or of its undo, to its end.
pub(super) async fn recover(at: &Assignment, undo: bool) -> Outcome {
    let found = if undo { of_undo(at).await } else { of_step(at).await };
    match found {
        Ok(()) => Outcome::Done,
        Err(outcome) => outcome,
    }
}

async fn of_step(at: &Assignment) -> Done {
    let planned = at.planned();
    let Work::Step(step) = &planned.work else { return by_a_human() };
    match &step.action {
        Action::Run(run) if step.restricts.is_some() => restricting::rejoin(at, step, run).await,
        Action::Run(run) => effect::rejoin(at, step, run).await,
        Action::Reboot(script) => effect::rejoin_reboot(at, step, script).await,
        _ => by_a_human(),
    }
}

async fn of_undo(at: &Assignment) -> Done {
    let planned = at.planned();
    match planned.step().and_then(|step| step.undo.as_ref().map(|undo| (step, undo))) {
        Some((step, Undo::Run(script))) => restricting::rejoin_undo(at, step, script).await,
        _ => by_a_human(),
    }
}

fn by_a_human() -> Done {
    Err(Outcome::Unknown { why: "it was for a human to do, who alone knows".to_owned(), rebooted: false })
}
