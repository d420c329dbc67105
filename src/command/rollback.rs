//! `rollgate rollback`: takes back what a run changed, the latest node first.

use super::context::Context;
use super::detach::carry_out;
use super::files::Files;
use super::invocation::{Begin, request};
use super::refusal::Refusal;
use super::runs::{Recorded, trusted};
use super::start::{confirmed, typed};
use crate::cli::Rollback;
use crate::exit::Exit;
use crate::model::event::{Goal, Turn};
use crate::model::planner::{NoWayBack, way_back};
use crate::ui::escape;

pub(super) fn run(context: &Context, flags: &Rollback) -> Result<Exit, Refusal> {
    let files = Files::load(context)?;
    let name = files.loaded.inventory.cluster.clone();
    let limit = files.limit(&flags.limit.limit)?;
    confirmed(context, name.as_str(), flags.consent.confirm.as_deref())?;
    let cluster = Context::state_dir()?.cluster(&name);
    Context::runtime()?.block_on(async {
        let (lock, terms) = context.lock(&cluster, "rollback", &flags.lock).await?;
        let Some(latest) = trusted(&cluster, None)? else {
            context.say(&format!("{name}: there is no run to take back"));
            return Ok(Exit::Done);
        };
        let turns = match way_back(&latest.state, limit.as_deref()) {
            Ok(turns) => turns,
            Err(NoWayBack::NothingChanged { run }) => {
                context.say(&format!("{name}: run {run} changed none of these nodes: nothing to take back"));
                return Ok(Exit::Done);
            }
            Err(error) => return Err(no_way(context, &error)),
        };
        consent(context, &latest, &turns, flags).await?;
        let mut request = request(context, Goal::RolledBack(turns));
        request.lock = terms;
        request.insecure_files.clone_from(&files.insecure);
        request.yes = flags.consent.yes;
        request.confirm.clone_from(&flags.consent.confirm);
        request.change = flags.consent.change.clone().or_else(|| latest.state.opened.change.clone());
        carry_out(context, &cluster, lock, Begin::Go(latest.dir), request, flags.detach, None).await
    })
}

fn no_way(context: &Context, error: &NoWayBack) -> Refusal {
    let refusal = Refusal::new(Exit::CheckFailed, format!("rollback is refused: {error}"))
        .next(context.command(&["status"], "where everything stands"))
        .standing("nothing was done");
    match error {
        NoWayBack::NoUndo { .. } => {
            refusal.help("give the phase a `rollback` section, or the step an `undo`, before the next run")
        }
        NoWayBack::PointOfNoReturn { .. } | NoWayBack::NothingChanged { .. } => refusal,
    }
}

async fn consent(
    context: &Context,
    latest: &Recorded,
    turns: &[Turn],
    flags: &Rollback,
) -> Result<(), Refusal> {
    let state = &latest.state;
    let cluster = state.plan.cluster.as_str();
    if flags.consent.confirm.is_none() && !context.style.interactive {
        return Err(Refusal::new(Exit::NoAnswer, "the rollback must be confirmed, and there is no terminal")
            .next(context.command(&["rollback", "--yes", "--confirm", cluster], "agree to it without one"))
            .standing("nothing was done"));
    }
    let mut text = format!("{cluster}: rollback of run {}, in this order, one at a time\n", state.run);
    for (place, turn) in turns.iter().enumerate() {
        let phase = &state.plan.phases[turn.phase].name;
        let back = state.versions.get(&turn.node).map(|versions| format!("  back to {}", versions.before));
        let back = back.unwrap_or_default();
        text = format!("{text}  {}  {}  ({phase}){back}\n", place + 1, turn.node);
    }
    // Versions are what nodes said.
    let text = escape::text(text.as_bytes(), context.style.err.unicode);
    context.announce(flags.consent.confirm.is_some(), &text);
    if flags.consent.confirm.is_some() {
        return Ok(());
    }
    typed(context, cluster, "Type the cluster's name to begin, anything else to leave: ").await
}
