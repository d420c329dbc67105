//! `rollgate stage`: freezes the plan and brings everything to the nodes. Nothing is restarted.

use super::context::Context;
use super::files::Files;
use super::invocation::{Begin, Given, execute, request};
use super::refusal::Refusal;
use super::runs::{trusted, unfinished};
use crate::cli::Stage;
use crate::exit::Exit;
use crate::model::event::Goal;
use crate::model::plan::Plan;
use crate::model::state::RunState;

pub(super) fn run(context: &Context, flags: &Stage) -> Result<Exit, Refusal> {
    let files = Files::load(context)?;
    files.lint_for_use(context)?;
    let limit = files.limit(&flags.limit.limit)?;
    Context::runtime()?.block_on(async {
        let plan = files.plan().await?;
        let cluster = Context::state_dir()?.cluster(&plan.cluster);
        let (mut lock, terms) = context.lock(&cluster, "stage", &flags.lock).await?;
        let mut request = request(context, Goal::Staged);
        request.lock = terms.clone();
        request.insecure_files.clone_from(&files.insecure);
        request.limit = limit;
        request.parallel = usize::from(flags.parallel);
        request.change.clone_from(&flags.change);
        let begin = match trusted(&cluster, None)?.filter(|latest| latest.state.is_open()) {
            Some(latest) if latest.state.has_started() => return Err(unfinished(context, &latest.state)),
            Some(latest) if is_same(&plan, &latest.state) => Begin::Go(latest.dir),
            Some(latest) => {
                // The plan changed: what the old one had brought to the nodes goes first.
                let mut end = super::invocation::request(context, Goal::Unstaged);
                end.lock = terms;
                end.insecure_files.clone_from(&files.insecure);
                let exit =
                    execute(context, &cluster, &mut lock, Begin::Go(latest.dir), end, Given::default())
                        .await?;
                if exit != Exit::Done {
                    return Ok(exit);
                }
                Begin::New(Box::new(plan))
            }
            None => Begin::New(Box::new(plan)),
        };
        execute(context, &cluster, &mut lock, begin, request, Given::default()).await
    })
}

/// Whether a run executes just this plan.
pub(super) fn is_same(plan: &Plan, state: &RunState) -> bool {
    *plan == *state.plan
}
