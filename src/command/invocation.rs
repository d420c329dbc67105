//! One invocation of the engine: secrets, connections, screen, journal, loop, summary.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Context;
use super::refusal::Refusal;
use super::runs::{exit_of, reopen};
use super::unrecorded;
use crate::engine::ledger::Ledger;
use crate::engine::pool::{Changing, Pool};
use crate::engine::secrets::Secrets;
use crate::engine::{EngineError, Screen, Signals, Site, drive};
use crate::exit::Exit;
use crate::journal::{ClusterDir, ClusterLock, FileJournal, RunDir, new_token};
use crate::model::event::{Event, Goal, LockTerms, Request, RunEnd};
use crate::model::plan::Plan;
use crate::model::state::RunState;
use crate::transport::Dialer;
use crate::ui::desk::{Desk, Place};
use crate::ui::ink::{Line, paint};
use crate::ui::prompt;
use crate::ui::summary;
use crate::ui::write;

/// A run to execute or to go on with.
pub(super) enum Begin {
    /// A new one.
    New(Box<Plan>),
    /// One that was recorded.
    Go(RunDir),
}

/// An empty request of this operator.
pub(super) fn request(context: &Context, goal: Goal) -> Request {
    Request {
        goal,
        by: context.by.clone(),
        attended: context.style.interactive,
        yes: false,
        confirm: None,
        overrides: std::collections::BTreeMap::new(),
        limit: None,
        pause_after: None,
        parallel: 4,
        gate_timeout: None,
        decisions: Vec::new(),
        outside_window: None,
        earlier: crate::model::pace::Past::default(),
        lock: LockTerms::default(),
        change: None,
        args: context.args.clone(),
    }
}

/// Executes an invocation under the cluster's lock.
pub(super) async fn execute(
    context: &Context,
    cluster: &ClusterDir,
    lock: &mut ClusterLock,
    begin: Begin,
    request: Request,
) -> Result<Exit, Refusal> {
    let opened = Opened::open(cluster, begin)?;
    let doing = context.args.first().map_or("rollgate", String::as_str).to_owned();
    lock.announce(Some(opened.dir.id().clone()), &doing)?;
    Context::log_to(&opened.dir);
    let plan = opened.plan();
    let secrets = secrets(context, &plan)?;
    let signals = Signals::catch()
        .map_err(|error| Refusal::new(Exit::Broken, format!("signals cannot be caught: {error}")))?;
    let (control, controls) = mpsc::unbounded_channel();
    let place = Place::of(&context.style, context.loudness);
    let (desk, reports) = Desk::open(place, opened.state.clone(), move |told| {
        // The loop has ended: nobody is there to be told.
        let _ = control.send(told);
    })
    .map_err(|error| Refusal::new(Exit::Broken, format!("the screen cannot be opened: {error}")))?;
    let screen: Screen = Arc::new(move |report| reports.send(report).is_ok());
    let pool = Pool::new(
        Changing(Arc::new(Dialer::new())),
        &plan,
        Context::state_dir()?.path(),
        Arc::clone(&screen),
    );
    let pool = match &opened.state {
        Some(state) => pool.based_at(&state.base),
        None => pool,
    };
    let site = Arc::new(Site::new(Arc::clone(&plan), pool, secrets, Some(opened.dir.clone())));
    let driven = match opened.ledger(request, &plan, Arc::clone(&screen)) {
        Ok(ledger) => drive(ledger, site, screen, controls, signals).await,
        Err(error) => Err(error),
    };
    let state = desk.close();
    conclude(context, driven, state.as_ref())
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
        screen: Screen,
    ) -> Result<Ledger<FileJournal>, EngineError> {
        match self.state {
            None => {
                let (run, token) = (self.dir.id().clone(), new_token()?);
                let opened = Event::RunOpened { run, token, plan: Box::new(plan.clone()), request };
                Ledger::begin(self.journal, &opened, screen)
            }
            Some(state) => {
                let mut ledger = Ledger::resume(self.journal, state, screen);
                ledger.commit(Event::RunResumed { request })?;
                Ok(ledger)
            }
        }
    }
}

/// Secrets come before anything is touched: a run must not find out at step 30 that one is missing.
pub(super) fn secrets(context: &Context, plan: &Plan) -> Result<Secrets, Refusal> {
    let ask = |text: &str| ask_secret(context, text);
    Secrets::fetch(&plan.secrets, |name| std::env::var(name).ok(), ask).map_err(|error| {
        Refusal::input(error.to_string())
            .help("secrets are fetched before anything is touched")
            .standing("nothing was done")
    })
}

/// Asks at the terminal, without showing what is typed.
fn ask_secret(context: &Context, text: &str) -> Option<String> {
    if !context.style.interactive {
        return None;
    }
    let face = &context.style.err;
    let _ = prompt::forget_type_ahead(std::io::stdin());
    write::to_stderr(&format!("{}: ", Line::of(face, text.trim_end_matches(':')).paint(face)));
    let typed = console::Term::stderr().read_secure_line().ok()?;
    Some(typed).filter(|typed| !typed.is_empty())
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
