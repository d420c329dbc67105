//! `rollgate start --dry-run`: what would run, what is done already, what cannot be known. It is given connections
//! that can only read and takes no lock. What it found is kept on this machine, for the next one to compare.

use std::sync::Arc;

use super::context::Context;
use super::invocation::secrets;
use super::refusal::Refusal;
use super::runs::trusted;
use super::start::imagined;
use super::window::{held_up, prospect_of};
use crate::cli::Start;
use crate::engine::dry_run::forecast;
use crate::engine::pool::Pool;
use crate::engine::{Screen, Site};
use crate::exit::Exit;
use crate::journal::{ClusterDir, Kept};
use crate::model::event::{Request, RunId};
use crate::model::findings::Findings;
use crate::model::plan::Plan;
use crate::transport::ReadOnlyConnector;
use crate::ui::document;
use crate::ui::dry_run::{self, Compared, DryRun, MAIL, problems, report};
use crate::ui::ink::paint;
use crate::ui::moment::Moment;
use crate::ui::narrate::Loudness;
use crate::ui::status::LockView;
use crate::ui::terminal::Format;

pub(super) async fn run(
    context: &Context,
    flags: &Start,
    cluster: &ClusterDir,
    plan: Plan,
    request: Request,
) -> Result<Exit, Refusal> {
    let plan = Arc::new(plan);
    let silent: Screen = Arc::new(|_| true);
    let secrets = secrets(context, &plan)?;
    let pool = Pool::new(
        ReadOnlyConnector::new(Arc::new(context.dialer(&secrets))),
        &plan,
        Context::state_dir()?.path(),
        &secrets,
        silent,
    );
    let site = Site::new(Arc::clone(&plan), pool, secrets, None);
    let state = imagined(&plan, &request)?;
    let moment = Moment::current();
    let window = prospect_of(&state, moment.now)?;
    let held_up = held_up(&state, moment.now)?;
    let found = forecast(&site, state)
        .await
        .map_err(|illegal| Refusal::new(Exit::Broken, format!("this is a defect of rollgate: {illegal}")))?;
    let mut exit = match found.halt() {
        Some(halt) => Exit::of(halt),
        None if flags.detailed_exitcode && found.is_pending() => Exit::Pending,
        None => Exit::Done,
    };
    let mut notes = Vec::new();
    let unfinished = unfinished(cluster, &mut notes)?;
    // Without records of this machine every lock is somebody else's.
    let seat = cluster.known_seat().unwrap_or_default();
    let lock = LockView::of(&found.locks, seat.as_deref()).filter(|lock| !lock.ours);
    if unfinished.is_some() || lock.is_some() {
        exit = exit.worst(Exit::Held);
    }
    let findings = Findings::of(&plan, &found, moment.now);
    let compared = compare(cluster, &findings, request.limit.is_none(), &mut notes);
    if context.loudness == Loudness::Quiet && exit == Exit::Done && context.style.format != Format::Json {
        return Ok(exit);
    }
    let next = match exit {
        Exit::Done | Exit::Pending => vec![context.command(&["start"], "do it")],
        _ => vec![context.command(&["start", "--dry-run"], "look again")],
    };
    let dry = DryRun {
        plan: &plan,
        found: &found,
        window: window.as_ref(),
        held_up: held_up.as_ref(),
        problems: &problems(&plan, &found, unfinished.as_ref(), lock.as_ref(), &context.program()),
        compared: &compared,
        notes: &notes,
        exit_code: exit.number(),
        host: &context.by.host,
        next: &next,
    };
    let face = &context.style.out;
    let text = match context.style.format {
        Format::Json => document::text(&dry_run::document(&moment, &dry)),
        Format::Human => paint(face, &report(face, &moment, &dry, true)),
        Format::Plain => paint(&MAIL, &report(&MAIL, &moment, &dry, false)),
    };
    super::print(&text)?;
    Ok(exit)
}

/// The run in whose way this one would stand. Records that belong to somebody else, as when cron works under
/// another name, keep nobody from looking at the nodes.
fn unfinished(cluster: &ClusterDir, notes: &mut Vec<String>) -> Result<Option<RunId>, Refusal> {
    if let Err(error) = cluster.runs() {
        notes.push(format!("whether a run is unfinished is not known: {error}"));
        return Ok(None);
    }
    let latest = trusted(cluster, None)?.map(|latest| latest.state);
    Ok(latest.filter(|state| state.is_open() && state.has_started()).map(|state| state.run))
}

/// Compares with the last dry run and takes its place. One of some nodes only is compared and not kept, for the
/// next of the whole cluster would find the others gone.
fn compare(cluster: &ClusterDir, findings: &Findings, whole: bool, notes: &mut Vec<String>) -> Compared {
    let compared = match cluster.findings() {
        Ok(Kept::Nothing) => Compared::First,
        Ok(Kept::Found(before)) => {
            Compared::Since { at: before.at, changes: findings.changes_since(&before, whole) }
        }
        Ok(Kept::Useless(why)) => Compared::Unknown(why),
        Err(error) => Compared::Unknown(error.to_string()),
    };
    if whole && let Err(error) = cluster.keep_findings(findings) {
        notes.push(format!("the next dry run cannot compare with this one: {error}"));
    }
    compared
}
