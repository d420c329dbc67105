//! The window before a run begins, and what earlier runs say of how long turns take.

use std::sync::Arc;

use jiff::Timestamp;

use super::context::Context;
use super::invocation::Begin;
use super::refusal::Refusal;
use super::runs::recorded;
use super::start::imagined;
use crate::engine::window::{hindrance, hours};
use crate::exit::Exit;
use crate::journal::ClusterDir;
use crate::model::event::{Goal, Request, RunEnd};
use crate::model::pace::{self, Past};
use crate::model::plan::Plan;
use crate::model::state::RunState;
use crate::model::window::{Hindrance, Hours};
use crate::ui::after::resuming;
use crate::ui::next::Next;
use crate::ui::window::WindowView;

/// Finished runs that tell how long turns took: of each node the last turn counts.
const EARLIER: usize = 5;
/// Runs that are looked at for them.
const LOOKED_AT: usize = 20;

/// How long turns of this procedure took in the latest runs that were finished. What cannot be read tells nothing.
pub(super) fn earlier(cluster: &ClusterDir, plan: &Plan) -> Past {
    let mut past = Past::default();
    let runs = cluster.runs().unwrap_or_default();
    let finished = runs.into_iter().rev().take(LOOKED_AT).filter_map(|dir| {
        let contents = dir.read_journal().ok()?;
        let state = RunState::replay(&contents.records).ok()??;
        (state.end == Some(RunEnd::Finished) && state.plan.procedure == plan.procedure).then_some(state)
    });
    finished.take(EARLIER).for_each(|state| past.add(&state));
    past
}

/// The windows of a plan, with this machine's knowledge of time zones.
fn hours_of(plan: &Plan) -> Result<Hours, Refusal> {
    hours(plan).map_err(|why| Refusal::new(Exit::Broken, why))
}

/// The windows of a plan and what they say now; nothing for a plan without any.
pub(super) fn window_of(plan: &Plan, now: Timestamp) -> Result<Option<WindowView>, Refusal> {
    let hours = hours_of(plan)?;
    let view = |words| WindowView { hours: words, standing: hours.at(now), fates: Vec::new() };
    Ok(hours.wording().map(view))
}

/// The same with what they mean for the nodes whose turns a run has before it.
pub(super) fn prospect_of(state: &RunState, now: Timestamp) -> Result<Option<WindowView>, Refusal> {
    let Some(view) = window_of(&state.plan, now)? else { return Ok(None) };
    // A reason to begin outside of it holds for every turn.
    let fates = match state.request.outside_window {
        None => hours_of(&state.plan)?.fates(now, &pace::to_come(state)),
        Some(_) => Vec::new(),
    };
    Ok(Some(WindowView { fates, ..view }))
}

/// The state in which an invocation would begin.
pub(super) fn about_to_begin(
    cluster: &ClusterDir,
    begin: &Begin,
    plan: &Arc<Plan>,
    request: &Request,
) -> Result<RunState, Refusal> {
    let known = match begin {
        Begin::New(_) => None,
        Begin::Go(dir) => recorded(cluster, Some(dir.id()))?,
    };
    match known {
        None => imagined(plan, request),
        Some(known) => Ok(RunState { request: request.clone(), ..known.state }),
    }
}

/// What keeps a run from beginning: what stands in the way of its first turn. A turn that is under way is finished
/// at any time, and so is a rollback. Where something temporary is still in force, because its undo failed for one,
/// going on is what undoes it: the run itself stops before the next turn.
pub(super) fn held_up(state: &RunState, now: Timestamp) -> Result<Option<Hindrance>, Refusal> {
    let is_asked = state.request.goal == Goal::Finished && state.request.outside_window.is_none();
    match pace::next_phase(state) {
        Some(phase) if is_asked && state.outstanding().is_empty() => {
            hindrance(state, phase, now).map_err(|why| Refusal::new(Exit::Broken, why))
        }
        _ => Ok(None),
    }
}

/// Refuses to begin where the first turn might not.
pub(super) fn refuse_outside(context: &Context, state: &RunState, adopted: bool) -> Result<(), Refusal> {
    let now = Timestamp::now();
    let Some(found) = held_up(state, now)? else { return Ok(()) };
    let again = |more: &[&str], note: &str| {
        if adopted {
            // It is this machine's by now.
            return context.command(&[&resuming(state), more].concat(), note);
        }
        let words = ["rollgate"].into_iter().chain(context.args.iter().map(String::as_str));
        Next::new(&words.chain(more.iter().copied()).collect::<Vec<_>>(), note)
    };
    let window = hours_of(&state.plan)?.wording().unwrap_or_default();
    let mut refusal =
        Refusal::new(Exit::GateClosed, found.sentence(now)).evidence(format!("window: {window}"));
    if !matches!(found, Hindrance::TooLong { .. }) {
        refusal = refusal.next(again(&[], "once the window is open"));
    }
    Err(refusal
        .next(again(&["--override", "window=REASON"], "begin all the same; the reason is journaled"))
        .next(context.command(&["start", "--dry-run"], "look at everything meanwhile"))
        .standing("nothing was done"))
}
