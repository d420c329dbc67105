//! One invocation of the engine: secrets, connections, screen, journal, loop, summary.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::context::Context;
use super::detach::Leaving;
use super::notify::Notifier;
use super::refusal::Refusal;
use super::runs::{exit_of, reopen};
use super::unrecorded;
use crate::engine::ledger::Ledger;
use crate::engine::pool::{Changing, Pool};
use crate::engine::secrets::{Ask, Prompt, Secrets};
use crate::engine::{Call, Callers, EngineError, Screen, Signals, Site, drive};
use crate::exit::Exit;
use crate::journal::{ClusterDir, ClusterLock, FileJournal, RunDir, new_token};
use crate::model::event::{Control, Event, Goal, Report, Request, RunEnd, RunId};
use crate::model::host::Connection;
use crate::model::inventory::SecretSource;
use crate::model::mask::Mask;
use crate::model::name::{NodeName, VarName};
use crate::model::plan::{Plan, PlannedNode};
use crate::model::state::RunState;
use crate::transport::Session;
use crate::ui::desk::{Desk, Place};
use crate::ui::ink::paint;
use crate::ui::next::Next;
use crate::ui::summary;
use crate::ui::write;

/// A run to execute or to go on with.
pub(super) enum Begin {
    /// A new one.
    New(Box<Plan>),
    /// One that was recorded.
    Go(RunDir),
}

impl Begin {
    /// The run that goes on, which need not be the latest one.
    pub(super) fn goes_on(&self) -> Option<&RunId> {
        match self {
            Self::New(_) => None,
            Self::Go(dir) => Some(dir.id()),
        }
    }
}

/// What it took to read the nodes before there is a run: nobody is asked twice, and no node is logged in to twice.
pub(super) struct Known {
    pub(super) secrets: Secrets,
    pub(super) sessions: BTreeMap<NodeName, Arc<dyn Session>>,
}

/// What an invocation has beside its request.
#[derive(Default)]
pub(super) struct Given {
    /// What is known already.
    pub(super) known: Option<Known>,
    /// Whether it is the background side of `--detach`.
    pub(super) detached: bool,
}

/// An empty request of this operator.
pub(super) fn request(context: &Context, goal: Goal) -> Request {
    Request {
        attended: context.style.interactive,
        args: context.args.clone(),
        ..Request::new(goal, context.by.clone())
    }
}

/// Executes an invocation under the cluster's lock.
pub(super) async fn execute(
    context: &Context,
    cluster: &ClusterDir,
    lock: &mut ClusterLock,
    begin: Begin,
    request: Request,
    given: Given,
) -> Result<Exit, Refusal> {
    let opened = Opened::open(cluster, begin)?;
    let doing = context.args.first().map_or("rollgate", String::as_str).to_owned();
    lock.announce(Some(opened.dir.id().clone()), &doing)?;
    let plan = opened.plan();
    let (secrets, sessions) = match given.known {
        Some(known) => (known.secrets, known.sessions),
        None => (secrets(context, &plan)?, BTreeMap::new()),
    };
    Context::log_to(&opened.dir, &secrets);
    let signals = Signals::catch(!given.detached).map_err(|error| uncaught(&error))?;
    let (_callers, calls) = door(&opened.dir, given.detached)?;
    let (control, controls) = mpsc::unbounded_channel();
    let (desk, screen) = desk(context, &opened, given.detached, control)?;
    let dir = opened.dir.clone();
    let notifier = plan.notify.clone().map(|notify| {
        Arc::new(Notifier::new(
            (&plan, context.program_anywhere(&plan)),
            notify,
            dir,
            opened.state.clone(),
            Arc::clone(&screen),
        ))
    });
    let screen = secrets.before(notifier.as_ref().map_or(screen, Notifier::listening));
    let progress = show_progress(Arc::clone(&screen))?;
    let dialer = Changing(Arc::new(context.dialer(&secrets)));
    context.ask_through(desk.lender());
    let pool = Pool::new(dialer, &plan, Context::state_dir()?.path(), &secrets, Arc::clone(&screen))
        .holding(sessions);
    let pool = match &opened.state {
        Some(state) => pool.based_at(&state.base),
        None => pool,
    };
    let mask = secrets.masking();
    let site = Arc::new(Site::new(Arc::clone(&plan), pool, secrets, Some(opened.dir.clone())));
    let driven = match opened.ledger(request, &plan, &mask, Arc::clone(&screen)) {
        Ok(ledger) => drive(ledger, site, screen, controls, calls, signals).await,
        Err(error) => Err(error),
    };
    progress.abort();
    let state = desk.close();
    let why = driven.as_ref().map_or_else(ToString::to_string, why);
    let done = conclude(context, driven, state.as_ref());
    if let Some(notifier) = notifier {
        let exit = done.as_ref().map_or_else(Refusal::exit, |exit| *exit);
        notifier.end(exit.number(), &why).await;
    }
    done
}

/// The end of an invocation in words.
fn why(end: &RunEnd) -> String {
    match end {
        RunEnd::Stopped(stop) => stop.why.clone(),
        RunEnd::Staged => "everything is staged".to_owned(),
        RunEnd::Finished => "the run is finished".to_owned(),
        RunEnd::Unstaged => "what was staged is removed".to_owned(),
        RunEnd::RolledBack => "rolled back".to_owned(),
    }
}

fn uncaught(error: &std::io::Error) -> Refusal {
    Refusal::new(Exit::Broken, format!("signals cannot be caught: {error}"))
}

/// Where answers from other processes arrive. A run at a terminal can do without.
fn door(dir: &RunDir, needed: bool) -> Result<(Option<Callers>, mpsc::UnboundedReceiver<Call>), Refusal> {
    match Callers::admit(dir) {
        Ok((callers, calls)) => Ok((Some(callers), calls)),
        Err(error) if needed => {
            Err(Refusal::new(Exit::Broken, format!("approve could not reach this run: {error}"))
                .standing("nothing was done"))
        }
        Err(error) => {
            tracing::debug!(%error, "only the terminal can answer");
            Ok((None, mpsc::unbounded_channel().1))
        }
    }
}

/// The desk, and the way to report to it. A detached run leaves the terminal when its nodes are locked.
fn desk(
    context: &Context,
    opened: &Opened,
    detached: bool,
    control: mpsc::UnboundedSender<Control>,
) -> Result<(Desk, Screen), Refusal> {
    let mut place = Place::of(&context.style, context.loudness);
    place.approved_by = detached.then(|| context.program_anywhere(&opened.plan()));
    let (desk, reports) = Desk::open(place, opened.state.clone(), move |told| {
        // The loop has ended: nobody is there to be told.
        let _ = control.send(told);
    })
    .map_err(|error| Refusal::new(Exit::Broken, format!("the screen cannot be opened: {error}")))?;
    if !detached {
        return Ok((desk, Arc::new(move |report| reports.send(report).is_ok())));
    }
    let leaving = Leaving::of(&opened.dir)?;
    Ok((
        desk,
        Arc::new(move |report| {
            if let Report::Record(record) = &report
                && matches!(record.event, Event::LockTaken { .. })
            {
                leaving.leave();
            }
            reports.send(report).is_ok()
        }),
    ))
}

/// SIGUSR1 shows how far everything is, as it does in dd(1).
fn show_progress(screen: Screen) -> Result<tokio::task::JoinHandle<()>, Refusal> {
    let mut asked = signal(SignalKind::user_defined1()).map_err(|error| uncaught(&error))?;
    Ok(tokio::spawn(async move { while asked.recv().await.is_some() && screen(Report::Progress) {} }))
}

struct Opened {
    dir: RunDir,
    journal: FileJournal,
    /// Where it stood; `None` for a new run.
    state: Option<RunState>,
    new_plan: Option<Arc<Plan>>,
}

impl Opened {
    fn open(cluster: &ClusterDir, begin: Begin) -> Result<Self, Refusal> {
        Ok(match begin {
            Begin::New(plan) => {
                let dir = cluster.new_run(jiff::Zoned::now().date())?;
                let journal = dir.create_journal()?;
                Self { dir, journal, state: None, new_plan: Some(Arc::new(*plan)) }
            }
            Begin::Go(dir) => {
                let (journal, state) = reopen(&dir)?;
                Self { dir, journal, state: Some(state), new_plan: None }
            }
        })
    }

    fn plan(&self) -> Arc<Plan> {
        match (&self.state, &self.new_plan) {
            (Some(state), _) => Arc::clone(&state.plan),
            (None, Some(plan)) => Arc::clone(plan),
            (None, None) => unreachable!("a run is new or recorded"),
        }
    }

    fn ledger(
        self,
        request: Request,
        plan: &Plan,
        mask: &Mask,
        screen: Screen,
    ) -> Result<Ledger<FileJournal>, EngineError> {
        match self.state {
            None => {
                let (run, token) = (self.dir.id().clone(), new_token()?);
                let opened = Event::RunOpened { run, token, plan: Box::new(plan.clone()), request };
                Ledger::begin(self.journal, &opened.masked(mask), screen)
            }
            Some(state) => {
                let mut ledger = Ledger::resume(self.journal, state, screen);
                ledger.commit(Event::RunResumed { request }.masked(mask))?;
                Ok(ledger)
            }
        }
    }
}

/// Secrets come before anything is touched: a run must not find out at step 30 that one is missing.
pub(super) fn secrets(context: &Context, plan: &Plan) -> Result<Secrets, Refusal> {
    fetched(context, &plan.secrets)
}

fn fetched(context: &Context, sources: &BTreeMap<VarName, SecretSource>) -> Result<Secrets, Refusal> {
    asking(context, |ask| Secrets::fetch(sources, ask)).map_err(|error| {
        let refusal = Refusal::input(error.to_string()).help(error.help());
        let next = error.next().map(|words| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            Next::new(&words, "so that nobody else can read it")
        });
        let refusal = next.into_iter().fold(refusal, Refusal::next);
        refusal
            .help("secrets are fetched before anything is touched")
            .next(context.command(&["check"], "whether all is there that a run needs"))
            .standing("nothing was done")
    })
}

/// The secrets for a look at nodes, which need not have all of them: a script that looks is asked for nothing, and
/// what needs none is shown.
pub(super) fn secrets_at_hand(context: &Context, plan: &Plan) -> Secrets {
    at_hand(context, &plan.secrets)
}

/// The same of those alone without which no node can be looked at.
pub(super) fn passwords_at_hand(context: &Context, plan: &Plan) -> Secrets {
    let of_login = |node: &PlannedNode| match &node.connection {
        Connection::Ssh(target) => target.password.clone(),
        Connection::Local => None,
    };
    let is_password = |name: &VarName| {
        plan.nodes
            .iter()
            .any(|node| node.become_password.as_ref() == Some(name) || of_login(node).as_ref() == Some(name))
    };
    let sources = plan.secrets.iter().filter(|(name, _)| is_password(name));
    at_hand(context, &sources.map(|(name, source)| (name.clone(), source.clone())).collect())
}

fn at_hand(context: &Context, sources: &BTreeMap<VarName, SecretSource>) -> Secrets {
    asking(context, |ask| Secrets::fetch_some(sources, ask).0)
}

/// Where secrets come from here.
fn asking<T>(context: &Context, fetch: impl FnOnce(&Ask<'_>) -> T) -> T {
    let prompt = |text: &str| context.ask_secret(text);
    let prompt = context.style.interactive.then_some(&prompt as &Prompt<'_>);
    fetch(&Ask { env: &|name| std::env::var(name).ok(), prompt })
}

fn conclude(
    context: &Context,
    driven: Result<RunEnd, EngineError>,
    state: Option<&RunState>,
) -> Result<Exit, Refusal> {
    let end = driven.map_err(|error| match error {
        EngineError::Journal(error) => unrecorded::refusal(context, error, state),
        other => Refusal::new(Exit::Broken, other.to_string())
            .next(context.command(&["status"], "where it stands")),
    })?;
    let exit = exit_of(&end);
    let quiet = context.loudness == crate::ui::narrate::Loudness::Quiet && exit == Exit::Done;
    if let Some(state) = state.filter(|_| !quiet) {
        // The terminal may have another width than hours ago.
        let face = &context.style.err.measured();
        let lines = summary::lines(face, state, exit.number(), &context.program());
        write::to_stderr(&paint(face, &lines));
    }
    Ok(exit)
}
