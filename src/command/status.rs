//! `rollgate status`: where the latest run stands, by its journal; what each node runs, by the nodes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::adopt::{Rebuilt, provenance, rebuild, under_way_lines};
use super::context::Context;
use super::files::Files;
use super::invocation::{request, secrets};
use super::refusal::Refusal;
use super::runs::{Recorded, exit_of, recorded};
use super::start::imagined;
use super::window::window_of;
use crate::cli::Status;
use crate::engine::pool::Pool;
use crate::engine::{NodeSurvey, Screen, Site, survey};
use crate::exit::Exit;
use crate::journal::{ClusterDir, Holder, JournalError};
use crate::model::event::{Goal, RunEnd};
use crate::model::name::NodeName;
use crate::model::pace;
use crate::model::plan::Plan;
use crate::model::state::{RunState, RunStatus};
use crate::transport::{Dialer, ReadOnlyConnector};
use crate::ui::escape;
use crate::ui::ink::{Line, Tone, paint};
use crate::ui::moment::Moment;
use crate::ui::next::Next;
use crate::ui::status::{Circumstances, LockView, Observed, StatusView, document, human, plain};
use crate::ui::terminal::Format;

/// The run that is shown, from this machine's own records or from the nodes'.
struct Shown {
    state: RunState,
    directory: Option<PathBuf>,
    flaw: Option<JournalError>,
}

impl Shown {
    fn of(rebuilt: &Rebuilt) -> Self {
        Self { state: rebuilt.state.clone(), directory: None, flaw: None }
    }
}

impl From<Recorded> for Shown {
    fn from(recorded: Recorded) -> Self {
        let directory = Some(recorded.dir.path().to_owned());
        Self { state: recorded.state, directory, flaw: recorded.flaw }
    }
}

pub(super) fn run(context: &Context, flags: &Status) -> Result<Exit, Refusal> {
    let files = Files::load(context)?;
    let cluster = Context::state_dir()?.cluster(&files.loaded.inventory.cluster);
    Context::runtime()?.block_on(async {
        let Some(seconds) = flags.watch else { return show(context, flags, &files, &cluster).await };
        watch(context, flags, &files, &cluster, Duration::from_secs(u64::from(seconds))).await
    })
}

/// Shows it again until the run ends; off a terminal only when something changed.
async fn watch(
    context: &Context,
    flags: &Status,
    files: &Files,
    cluster: &ClusterDir,
    every: Duration,
) -> Result<Exit, Refusal> {
    let mut last = String::new();
    loop {
        let (text, exit, at_work) = build(context, flags, files, cluster).await?;
        let live = context.style.live && context.style.format == Format::Human;
        if live {
            // The screen is cleared and written anew: nothing above it is lost but the last block.
            super::print(&format!("\x1b[H\x1b[J{text}"))?;
        } else if text != last {
            super::print(&text)?;
        }
        last = text;
        if !at_work {
            return Ok(exit);
        }
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = tokio::signal::ctrl_c() => return Ok(exit),
        }
    }
}

async fn show(
    context: &Context,
    flags: &Status,
    files: &Files,
    cluster: &ClusterDir,
) -> Result<Exit, Refusal> {
    let (text, exit, _) = build(context, flags, files, cluster).await?;
    super::print(&text)?;
    Ok(exit)
}

/// The screen, the code it stands for, and whether somebody works on the run.
async fn build(
    context: &Context,
    flags: &Status,
    files: &Files,
    cluster: &ClusterDir,
) -> Result<(String, Exit, bool), Refusal> {
    let rebuilt =
        if flags.from_nodes { Some(rebuild(context, files, flags.run.as_ref()).await?) } else { None };
    let latest = match &rebuilt {
        Some(rebuilt) => Some(Shown::of(rebuilt)),
        None => recorded(cluster, flags.run.as_ref())?.map(Shown::from),
    };
    let holder = cluster.holder()?;
    let at_work = holder.is_some() && latest.as_ref().is_some_and(|latest| latest.state.end.is_none());
    let plan = match &latest {
        Some(latest) => Arc::clone(&latest.state.plan),
        None => Arc::new(files.plan().await?),
    };
    let answers = if flags.offline { Vec::new() } else { observe(context, &plan, latest.as_ref()).await? };
    let seat = cluster.known_seat()?;
    let locks = answers.iter().filter_map(|answer| Some((&answer.node, answer.lock.as_ref()?)));
    let lock = LockView::of(locks, seat.as_deref());
    let observed = answers.into_iter().map(|answer| (answer.node.clone(), seen(answer))).collect();
    let exit = exit_code(flags, latest.as_ref(), at_work);
    let stopped = latest.as_ref().and_then(|latest| match &latest.state.end {
        Some(end @ RunEnd::Stopped(_)) => Some(exit_of(end).number()),
        _ => None,
    });
    let moment = Moment::current();
    let around = Circumstances {
        window: window_of(&plan, moment.now)?,
        left: latest.as_ref().and_then(|latest| pace::left(&latest.state, moment.now)),
        observed,
        offline: flags.offline,
        lock: lock.clone(),
        directory: latest.as_ref().and_then(|latest| latest.directory.clone()),
        program: context.program(),
        exit_code: stopped,
    };
    let mut view = match &latest {
        Some(latest) => StatusView::of_run(&latest.state, &around),
        None => StatusView::of_plan(&plan, &around),
    };
    let dead = latest.as_ref().is_some_and(|latest| latest.state.end.is_none()) && !at_work;
    if dead {
        view.next = after_a_death(context, rebuilt.as_ref());
    }
    let face = &context.style.out;
    let mut lines = match context.style.format {
        Format::Json => {
            let document = format!("{:#}", document(&moment, &view, stopped));
            return Ok((format!("{}\n", escape::json(&document)), exit, at_work));
        }
        Format::Human => human(face, &moment, &view),
        Format::Plain => plain(&moment, &view, stopped),
    };
    let at = 1.min(lines.len());
    let flaw = latest.as_ref().and_then(|latest| latest.flaw.as_ref());
    let notes = notes(flaw, rebuilt.as_ref(), holder.as_ref(), dead, lock.as_ref());
    lines.splice(at..at, notes.iter().map(|text| Line::new(face).tone(Tone::Wait, text).fit(face)));
    Ok((paint(face, &lines), exit, at_work))
}

/// What is typed when the rollgate of an open run is gone.
fn after_a_death(context: &Context, rebuilt: Option<&Rebuilt>) -> Vec<Next> {
    let Some(rebuilt) = rebuilt else {
        return vec![
            context.command(&["start", "--resume"], "go on with it: the rollgate that worked on it is gone"),
            context.command(&["unstage"], "end it"),
        ];
    };
    let adopt = ["start", "--resume", "--adopt", &rebuilt.state.run.0];
    vec![context.command(&adopt, "go on with it from this machine")]
}

/// What is said before all else, the gravest first; a `dead` run is open, and nobody works on it.
fn notes(
    flaw: Option<&JournalError>,
    rebuilt: Option<&Rebuilt>,
    holder: Option<&Holder>,
    dead: bool,
    lock: Option<&LockView>,
) -> Vec<String> {
    let mut notes = Vec::new();
    if matches!(flaw, Some(JournalError::Damaged { .. })) {
        let text = "the journal is damaged: this is what precedes the damage, and nothing may go on from it";
        notes.push(text.to_owned());
    }
    if let Some(rebuilt) = rebuilt {
        notes.push(provenance(rebuilt));
        notes.extend(under_way_lines(rebuilt));
    } else if let Some(holder) = holder {
        notes.push(format!("held by {holder}"));
    } else if dead {
        notes.push("no live controller: the rollgate that worked on it is gone".to_owned());
    }
    notes.extend(lock.and_then(|lock| lock_words(lock, holder.is_some())));
    notes
}

/// What is to be said of a lock: nothing of one that this machine's own run has or keeps.
fn lock_words(lock: &LockView, at_work: bool) -> Option<String> {
    let sentence = || format!("{} is {}", lock.node, lock.fence.sentence());
    match (lock.ours, lock.fence.ended) {
        (false, _) => Some(sentence()),
        (true, None) if !at_work => {
            Some(format!("{}: a rollgate of this machine that is gone; the next one takes it", sentence()))
        }
        (true, _) => None,
    }
}

fn exit_code(flags: &Status, latest: Option<&Shown>, at_work: bool) -> Exit {
    if !flags.detailed_exitcode {
        return Exit::Done;
    }
    match latest.map(|latest| (&latest.state, latest.state.status())) {
        _ if at_work => Exit::InProgress,
        Some((_, RunStatus::Finished)) => Exit::Done,
        Some((RunState { end: Some(end @ RunEnd::Stopped(_)), .. }, _)) => exit_of(end),
        Some((RunState { end: None, .. }, _)) => Exit::Killed,
        Some(_) | None => Exit::Pending,
    }
}

/// What the nodes say themselves, over connections that can only read.
async fn observe(
    context: &Context,
    plan: &Arc<Plan>,
    latest: Option<&Shown>,
) -> Result<Vec<NodeSurvey>, Refusal> {
    let silent: Screen = Arc::new(|_| true);
    let pool = Pool::new(
        ReadOnlyConnector::new(Arc::new(Dialer::new())),
        plan,
        Context::state_dir()?.path(),
        silent,
    );
    // A status that wants a password would not be asked for by a script: what needs none is shown.
    let secrets = secrets(context, plan).unwrap_or_default();
    let site = Site::new(Arc::clone(plan), pool, secrets, None);
    let state = match latest {
        Some(latest) => latest.state.clone(),
        None => imagined(plan, &request(context, Goal::Finished))?,
    };
    let nodes: Vec<NodeName> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    Ok(survey(&site, &state, &nodes).await)
}

fn seen(answer: NodeSurvey) -> Observed {
    let reachable = answer.unreachable.is_none();
    let (version, unreadable) = match answer.version {
        Some(Ok(version)) => (Some(version), None),
        Some(Err(failure)) => (None, Some(failure.message)),
        None => (None, None),
    };
    let error = answer.unreachable.map(|failure| failure.message).or(unreadable);
    Observed { reachable: Some(reachable), version, staged: answer.staged, error }
}
