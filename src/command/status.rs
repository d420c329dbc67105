//! `rollgate status`: where the latest run stands, by its journal; what each node runs, by the nodes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::adopt::{Rebuilt, provenance, rebuild, under_way_lines};
use super::context::Context;
use super::files::Files;
use super::invocation::{request, secrets_at_hand};
use super::refusal::Refusal;
use super::runs::{Recorded, exit_of, recorded};
use super::start::imagined;
use super::watch::watch;
use super::window::window_of;
use crate::cli::Status;
use crate::engine::pool::Pool;
use crate::engine::{NodeSurvey, Screen, Site, survey};
use crate::exit::Exit;
use crate::journal::{ClusterDir, Holder, JournalError};
use crate::model::event::{Goal, RunEnd, RunId};
use crate::model::history::{NodeHistory, histories};
use crate::model::name::NodeName;
use crate::model::pace;
use crate::model::plan::Plan;
use crate::model::state::{RunState, RunStatus};
use crate::transport::ReadOnlyConnector;
use crate::ui::document;
use crate::ui::ink::{Line, paint};
use crate::ui::moment::Moment;
use crate::ui::next::Next;
use crate::ui::status::{Circumstances, LockView, Observed, StatusView, document, human, plain};
use crate::ui::terminal::{Face, Format};

/// The run that is shown, from this machine's own records or from the nodes'.
struct Shown {
    state: RunState,
    history: BTreeMap<NodeName, NodeHistory>,
    directory: Option<PathBuf>,
    flaw: Option<JournalError>,
}

impl Shown {
    fn of(rebuilt: &Rebuilt) -> Self {
        Self { state: rebuilt.state.clone(), history: BTreeMap::new(), directory: None, flaw: None }
    }
}

impl From<Recorded> for Shown {
    fn from(recorded: Recorded) -> Self {
        let directory = Some(recorded.dir.path().to_owned());
        // The state was read off the same records, so there is nothing illegal in them.
        let history = histories(&recorded.records).unwrap_or_default();
        Self { state: recorded.state, history, directory, flaw: recorded.flaw }
    }
}

pub(super) fn run(context: &Context, flags: &Status) -> Result<Exit, Refusal> {
    if flags.list {
        let files = Files::read(context)?;
        let name = &files.loaded.inventory.cluster;
        return super::list::run(context, name, &Context::state_dir()?.cluster(name));
    }
    let files = Files::load(context)?;
    let cluster = Context::state_dir()?.cluster(&files.loaded.inventory.cluster);
    Context::runtime()?.block_on(async {
        let mut looks = Looks::over(context, flags, &files, &cluster);
        if let Some(seconds) = flags.watch {
            return watch(context, &mut looks, Duration::from_secs(u64::from(seconds))).await;
        }
        let look = looks.look(true).await?;
        super::print(&look.text(context))?;
        Ok(look.exit)
    })
}

/// One look at where everything stands.
pub(super) struct Look {
    view: StatusView,
    moment: Moment,
    stopped: Option<u8>,
    /// The code it stands for.
    pub(super) exit: Exit,
    /// Whether somebody works on the run.
    pub(super) at_work: bool,
}

impl Look {
    /// The screen for eyes.
    pub(super) fn human(&self, face: &Face) -> Vec<Line> {
        human(face, &self.moment, &self.view)
    }

    /// The stable form without what only ages: another one exactly when something has changed.
    pub(super) fn ageless(&self) -> String {
        let mut view = self.view.clone();
        if let Some(run) = &mut view.run {
            run.left = None;
        }
        if let Some(lock) = &view.lock {
            let (aging, owner) = (lock.fence.sentence(), lock.fence.owner.sentence());
            view.notes.iter_mut().for_each(|note| *note = note.replace(&aging, &owner));
        }
        paint(&Face::PLAIN, &plain(&self.moment, &view, self.stopped))
    }

    /// What is printed.
    pub(super) fn text(&self, context: &Context) -> String {
        let face = &context.style.out;
        match context.style.format {
            Format::Json => document::text(&document(&self.moment, &self.view, self.stopped)),
            Format::Human => paint(face, &self.human(face)),
            Format::Plain => paint(&Face::PLAIN, &plain(&self.moment, &self.view, self.stopped)),
        }
    }
}

/// The connections over which nodes are asked, and what they are asked about.
struct Eyes {
    site: Arc<Site<ReadOnlyConnector>>,
    state: RunState,
}

impl Eyes {
    async fn look(self) -> Vec<NodeSurvey> {
        let nodes: Vec<NodeName> = self.site.plan.nodes.iter().map(|node| node.name.clone()).collect();
        survey(&self.site, &self.state, &nodes).await
    }
}

/// Looks, one after the other, over the same connections.
pub(super) struct Looks<'a> {
    context: &'a Context,
    flags: &'a Status,
    files: &'a Files,
    cluster: &'a ClusterDir,
    /// The connections, and the run that they were made for.
    site: Option<(Option<RunId>, Arc<Site<ReadOnlyConnector>>)>,
    /// What the nodes said the last time.
    answers: Vec<NodeSurvey>,
    /// What they are asked right now, with what was known then.
    asking: Option<JoinHandle<Vec<NodeSurvey>>>,
    /// The run's state at the last look.
    state: Option<RunState>,
}

impl<'a> Looks<'a> {
    fn over(context: &'a Context, flags: &'a Status, files: &'a Files, cluster: &'a ClusterDir) -> Self {
        let answers = Vec::new();
        Self { context, flags, files, cluster, site: None, answers, asking: None, state: None }
    }

    /// Has the nodes asked while the journal is looked at: one that is booted may not answer for a while. Says
    /// whether it was begun, for there is one such round at a time.
    pub(super) fn ask_meanwhile(&mut self) -> Result<bool, Refusal> {
        let Some(state) = self.state.clone().filter(|_| !self.flags.offline && self.asking.is_none()) else {
            return Ok(false);
        };
        let plan = Arc::clone(&state.plan);
        let eyes = self.eyes(&plan, Some(state))?;
        self.asking = Some(tokio::spawn(eyes.look()));
        Ok(true)
    }

    /// Takes what the nodes have said meanwhile.
    pub(super) async fn take_answers(&mut self) {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished())
            && let Ok(answers) = asking.await
        {
            self.answers = answers;
        }
    }
    /// Reads the journal, and asks the nodes, or takes what they said the last time.
    pub(super) async fn look(&mut self, ask: bool) -> Result<Look, Refusal> {
        let Self { context, flags, files, cluster, .. } = *self;
        let rebuilt =
            if flags.from_nodes { Some(rebuild(context, files, flags.run.as_ref()).await?) } else { None };
        let latest = match &rebuilt {
            Some(rebuilt) => Some(Shown::of(rebuilt)),
            None => recorded(cluster, flags.run.as_ref())?.map(Shown::from),
        };
        let holder = cluster.holder()?;
        let at_work = holder.as_ref().is_some_and(|holder| works_on(holder, latest.as_ref()));
        let plan = match &latest {
            Some(latest) => Arc::clone(&latest.state.plan),
            None => Arc::new(files.plan().await?),
        };
        if ask && !flags.offline {
            let state = latest.as_ref().map(|latest| latest.state.clone());
            self.answers = self.eyes(&plan, state)?.look().await;
        }
        let seat = cluster.known_seat()?;
        let locks = self.answers.iter().filter_map(|answer| Some((&answer.node, answer.lock.as_ref()?)));
        let lock = LockView::of(locks, seat.as_deref());
        let stopped = latest.as_ref().and_then(|latest| match &latest.state.end {
            Some(end @ RunEnd::Stopped(_)) => Some(exit_of(end).number()),
            _ => None,
        });
        let dead = latest.as_ref().is_some_and(|latest| latest.state.end.is_none()) && !at_work;
        let flaw = latest.as_ref().and_then(|latest| latest.flaw.as_ref());
        let moment = Moment::current();
        let around = Circumstances {
            observed: self.answers.iter().map(|answer| (answer.node.clone(), seen(answer))).collect(),
            offline: flags.offline,
            from_nodes: flags.from_nodes,
            at_work,
            notes: notes(flaw, rebuilt.as_ref(), holder.as_ref(), dead, lock.as_ref()),
            lock,
            window: window_of(&plan, moment.now)?,
            left: latest.as_ref().and_then(|latest| pace::left(&latest.state, moment.now)),
            history: latest.as_ref().map(|latest| latest.history.clone()).unwrap_or_default(),
            directory: latest.as_ref().and_then(|latest| latest.directory.clone()),
            program: context.program(),
            exit_code: stopped,
        };
        let mut view = match &latest {
            Some(latest) => StatusView::of_run(&latest.state, &around),
            None => StatusView::of_plan(&plan, &around),
        };
        if dead {
            view.next = after_a_death(context, rebuilt.as_ref());
        }
        let exit = exit_code(flags, latest.as_ref(), at_work);
        self.state = latest.map(|latest| latest.state);
        Ok(Look { view, moment, stopped, exit, at_work })
    }

    /// What it takes to hear what the nodes say themselves, over connections that can only read.
    fn eyes(&mut self, plan: &Arc<Plan>, state: Option<RunState>) -> Result<Eyes, Refusal> {
        let run = state.as_ref().map(|state| state.run.clone());
        let known = self.site.take().filter(|(of, _)| *of == run);
        let (_, site) = if let Some(known) = known {
            self.site.insert(known)
        } else {
            let silent: Screen = Arc::new(|_| true);
            let secrets = secrets_at_hand(self.context, plan);
            let connector = ReadOnlyConnector::new(Arc::new(self.context.dialer(&secrets)));
            let pool = Pool::new(connector, plan, Context::state_dir()?.path(), &secrets, silent);
            self.site.insert((run, Arc::new(Site::new(Arc::clone(plan), pool, secrets, None))))
        };
        let state = match state {
            Some(state) => state,
            None => imagined(plan, &request(self.context, Goal::Finished))?,
        };
        Ok(Eyes { site: Arc::clone(site), state })
    }
}

/// Whether the one who holds the cluster here is at this run.
fn works_on(holder: &Holder, latest: Option<&Shown>) -> bool {
    latest.is_some_and(|latest| {
        latest.state.end.is_none() && holder.run.as_ref().is_none_or(|run| *run == latest.state.run)
    })
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

fn seen(answer: &NodeSurvey) -> Observed {
    let reachable = answer.unreachable.is_none();
    let (version, unreadable) = match &answer.version {
        Some(Ok(version)) => (Some(version.clone()), None),
        Some(Err(failure)) => (None, Some(&failure.message)),
        None => (None, None),
    };
    let error = answer.unreachable.as_ref().map(|failure| &failure.message).or(unreadable).cloned();
    Observed { reachable: Some(reachable), version, staged: answer.staged, error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pace::Left;
    use crate::model::sample;
    use crate::model::window::Standing;
    use crate::ui::window::WindowView;

    #[test]
    fn time_that_passes_is_nothing_new() {
        let at = |minute: i64, done: bool| {
            let moment = Moment { now: sample::at(2200 + minute * 60), zone: jiff::tz::TimeZone::UTC };
            let left = Duration::from_mins(20 - minute.unsigned_abs());
            let window = WindowView {
                hours: "08:00 to 10:00 every day (UTC)".into(),
                standing: Standing::Open { until: sample::at(5000).to_zoned(jiff::tz::TimeZone::UTC) },
                fates: Vec::new(),
            };
            let around = Circumstances {
                at_work: true,
                left: Some(Left { time: left, whole: true }),
                window: Some(window),
                ..Circumstances::default()
            };
            let mut events = sample::events();
            if !done {
                events.pop();
            }
            let view = StatusView::of_run(&sample::state(events), &around);
            Look { view, moment, stopped: None, exit: Exit::Done, at_work: true }
        };
        assert_eq!(at(0, false).ageless(), at(7, false).ageless());
        assert!(at(0, false).ageless().contains("; open until 2026-11-21T"));
        assert_ne!(at(0, false).ageless(), at(0, true).ageless());
    }
}
