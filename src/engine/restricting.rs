//! Steps that restrict SSH: the way in is asked for first, a new login proves afterwards that one can still come in,
//! and where the step says so its node undoes it by itself unless that login confirms it in time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::asking::{self, Ask};
use super::contact::{self, HASTE, say};
use super::effect;
use super::output::Output;
use super::scene::{self, failure};
use super::watching::{note, stoppable};
use super::worker::{Assignment, Done};
use crate::model::duration;
use crate::model::event::{Decision, Event, Failure, FailureKind, How, Outcome, Question, Reverting};
use crate::model::host::{Connection, SshTarget};
use crate::model::job::{Revert, Standing};
use crate::model::name::NodeName;
use crate::model::plan::WayIn;
use crate::model::procedure::{Restriction, Run, Script, Step, Undo};
use crate::model::state::{ByNode, Taken};
use crate::transport::{JobRef, Kind, Limit, RevertWord, Session, TransportError};

/// How long an sshd that was reloaded is given between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Asks whether the way in stays open. `--override STEP=REASON` goes on though it does not.
pub(super) async fn way_in(at: &mut Assignment, way_in: &WayIn) -> Done {
    let check = at.site.plan.check(&way_in.check);
    let asked = async {
        let places = scene::places(&at.site, &at.state, at.lane(), at.site.plan.place_of(way_in)).await?;
        let asks: Vec<Ask<'_>> =
            places.into_iter().map(|on| Ask { check, lane: at.lane().clone(), on }).collect();
        Ok::<_, Failure>(asking::ask(&at.site, &at.state, &asks).await)
    };
    let told = stoppable(at, asked).await??;
    let Some(mut found) = told.failure() else {
        note(at, &told.readings, &mut Vec::new()).await;
        return Ok(());
    };
    let Some(name) = way_in.name.as_ref().filter(|_| told.unreachable.is_none()) else {
        return Err(found.into());
    };
    if let Some(reason) = at.state.request.overrides.get(name) {
        note(at, &told.readings, &mut Vec::new()).await;
        let event = Event::Answered {
            question: Question::Gate { key: at.key.clone() },
            decision: Decision::Override { reason: reason.clone() },
            how: How::OverrideFlag,
            by: at.state.request.by.clone(),
            readings: told.readings,
        };
        at.desk.commit(event).await;
        return Ok(());
    }
    let all_the_same = format!("--override '{name}=REASON' goes on all the same");
    found.help = Some(found.help.map_or(all_the_same.clone(), |help| format!("{help}; {all_the_same}")));
    Err(found.into())
}

/// A node that was told to undo a step by itself.
struct Timer {
    on: NodeName,
    job: JobRef,
    attempt: u32,
    after: Duration,
}

impl Timer {
    fn new(at: &Assignment, on: &NodeName, attempt: u32, after: Duration) -> Result<Self, Failure> {
        let job = scene::revert_job(&at.state, &at.key, attempt).ok_or_else(|| {
            failure(FailureKind::Input, format!("`{}` is too long for a job's name", at.key))
        })?;
        Ok(Self { on: on.clone(), job, attempt, after })
    }

    /// The one that an earlier attempt, or invocation, has left.
    fn left(at: &Assignment) -> Result<Option<Self>, Failure> {
        let Some(armed) = at.state.step(&at.key).and_then(|step| step.armed) else { return Ok(None) };
        Self::new(at, at.machine(), armed.attempt, armed.after).map(Some)
    }

    /// Journals what became of it, by the node's record.
    async fn settled(&self, at: &Assignment, end: Reverting) {
        at.desk.commit(Event::RevertEnded { key: at.key.clone(), attempt: self.attempt, end }).await;
    }
}

fn ssh<'a>(at: &'a Assignment, on: &NodeName) -> Option<&'a SshTarget> {
    match at.site.plan.node(on).map(|node| &node.connection) {
        Some(Connection::Ssh(target)) => Some(target),
        _ => None,
    }
}

/// The step, with what keeps it from shutting rollgate out.
pub(super) async fn run(at: &mut Assignment, step: &Step, run: &Run, restriction: &Restriction) -> Done {
    let on = at.machine().clone();
    if ssh(at, &on).is_none() {
        say(
            at,
            &on,
            "there is no ssh on the way to it: no login to prove, and nothing to undo by itself".to_owned(),
        );
        return effect::run(at, step, run).await;
    }
    if let Some(left) = Timer::left(at)? {
        let end = decide(at, &left, RevertWord::Withdraw).await?;
        left.settled(at, end).await;
    }
    let timer = match restriction.revert_after {
        Some(after) => Some(arm(at, step, run, Timer::new(at, &on, at.attempt, after)?).await?),
        None => None,
    };
    match effect::run(at, step, run).await {
        Ok(()) => prove(at, &on, timer.as_ref(), false).await,
        Err(outcome) if began(&outcome) => Err(outcome),
        Err(outcome) => {
            if let Some(timer) = timer {
                let end = decide(at, &timer, RevertWord::Withdraw).await?;
                timer.settled(at, end).await;
            }
            Err(outcome)
        }
    }
}

/// Whether a step that finds nothing to do stays as an earlier attempt has made it: what its node may yet undo counts
/// when a new login has confirmed it. False where the node was first.
pub(super) async fn stays(at: &Assignment) -> Result<bool, Outcome> {
    let Some(timer) = Timer::left(at)? else { return Ok(true) };
    let on = &timer.on;
    say(
        at,
        on,
        "its node may yet undo what an earlier attempt made: a new login is to confirm it".to_owned(),
    );
    match confirm(at, on, &timer).await? {
        Reverting::Reverted { outcome: Outcome::Done } => Ok(false),
        Reverting::Reverted { outcome } => Err(outcome),
        Reverting::Confirmed | Reverting::Withdrawn => Ok(true),
    }
}

/// Whether a script that ended so may have changed something.
fn began(outcome: &Outcome) -> bool {
    let Outcome::Failed(failure) = outcome else { return true };
    !matches!(failure.kind, FailureKind::Unreachable | FailureKind::Input)
}

/// Finds out how a step ended that an earlier invocation began, and proves the way in as if it were its own.
pub(super) async fn rejoin(at: &Assignment, step: &Step, run: &Run) -> Done {
    let on = at.machine().clone();
    let timer = Timer::left(at)?;
    if at.state.step(&at.key).is_some_and(|step| step.taken == Taken::ForDone) {
        say(at, &on, "it is taken as done when a new login has confirmed it".to_owned());
        return prove(at, &on, timer.as_ref(), false).await;
    }
    let done = effect::rejoin(at, step, run).await;
    let Some(timer) = timer else {
        let is_to_prove = done.is_ok() && ssh(at, &on).is_some();
        return if is_to_prove { prove(at, &on, None, true).await } else { done };
    };
    let end = match &done {
        Ok(()) => return prove(at, &on, Some(&timer), true).await,
        Err(Outcome::Interrupted) => decide(at, &timer, RevertWord::Withdraw).await?,
        // Nobody knows how it ended; whether the node has undone it may be known.
        Err(Outcome::Unknown { .. }) => match ask(at, &timer, None).await {
            Ok(Revert::Reverted) => undone_there(at, &timer).await,
            Ok(Revert::Confirmed) => Reverting::Confirmed,
            Ok(Revert::Withdrawn) => Reverting::Withdrawn,
            Ok(Revert::Pending) | Err(_) => return done,
        },
        Err(_) => return done,
    };
    let was_undone = matches!(end, Reverting::Reverted { outcome: Outcome::Done });
    timer.settled(at, end).await;
    if was_undone { Err(Outcome::Interrupted) } else { done }
}

/// Undoes the step, unless its node has done so by itself: one of both, never both.
pub(super) async fn undo(at: &Assignment, step: &Step, script: &Script) -> Done {
    if let Some(timer) = Timer::left(at)? {
        let end = decide(at, &timer, RevertWord::Withdraw).await?;
        timer.settled(at, end.clone()).await;
        if let Reverting::Reverted { outcome } = end {
            return if outcome == Outcome::Done { Ok(()) } else { Err(outcome) };
        }
    }
    effect::undo(at, step, script).await
}

/// Finds out how an undo ended that an earlier invocation began, or that the node has begun by itself. Somebody's word
/// that it was undone counts when the node does not undo it any more.
pub(super) async fn rejoin_undo(at: &Assignment, step: &Step, script: &Script) -> Done {
    let Some(found) = at.state.step(&at.key) else { return Err(Outcome::Interrupted) };
    if let Some(timer) = Timer::left(at)? {
        let end = decide(at, &timer, RevertWord::Withdraw).await?;
        timer.settled(at, end.clone()).await;
        if let Reverting::Reverted { outcome } = end {
            return if outcome == Outcome::Done { Ok(()) } else { Err(outcome) };
        }
    }
    if found.taken == Taken::ForUndone {
        return Ok(());
    }
    let after = step.restricts.as_ref().and_then(|restriction| restriction.revert_after);
    if let (ByNode::Begun { attempt }, Some(after)) = (found.by_node, after) {
        let timer = Timer::new(at, at.machine(), attempt, after)?;
        let Reverting::Reverted { outcome } = undone_there(at, &timer).await else { return Ok(()) };
        return if outcome == Outcome::Done { Ok(()) } else { Err(outcome) };
    }
    effect::rejoin_undo(at, step, script).await
}

/// Has the node wait with the undo. Intent before effect: it is in the journal first.
async fn arm(at: &Assignment, step: &Step, run: &Run, timer: Timer) -> Result<Timer, Outcome> {
    let Some(Undo::Run(script)) = &step.undo else {
        return Err(failure(FailureKind::Input, "it has no undo that the node could run").into());
    };
    let undo = effect::undo_job(at, &timer.on, step, script, timer.job.clone()).await?;
    let change = effect::job_of(at, false)?;
    let (key, attempt, after) = (at.key.clone(), timer.attempt, timer.after);
    at.desk.commit(Event::RevertArmed { key, attempt, after }).await;
    let (undo, change) = (&undo, (&change, effect::rights(at, &timer.on, &run.script)));
    let call = |session: Arc<dyn Session>| async move { session.arm(undo, change, after).await };
    let why = match at.site.pool.with(&timer.on, call).await {
        Ok(Standing::Running) => return Ok(timer),
        Ok(standing) => format!("{} does not wait to undo it by itself ({standing:?})", timer.on),
        Err(error) => error.to_string(),
    };
    let end = decide(at, &timer, RevertWord::Withdraw).await?;
    timer.settled(at, end).await;
    Err(failure(FailureKind::Unreachable, format!("{why}; the step was not begun")).into())
}

/// A new login, over a connection of its own; the one from before stays open. Over this login the node is told that
/// the change stays. What the node undid while there was nobody to confirm it was never done, and is to be done.
async fn prove(at: &Assignment, on: &NodeName, timer: Option<&Timer>, was_alone: bool) -> Done {
    let Some(timer) = timer else {
        log_in(at, on).await.map_err(|error| shut_out(on, &error))?.close().await;
        say(at, on, "a new login works".to_owned());
        return Ok(());
    };
    match confirm(at, on, timer).await? {
        Reverting::Confirmed | Reverting::Withdrawn => Ok(()),
        Reverting::Reverted { outcome: Outcome::Done } if was_alone => Err(Outcome::Interrupted),
        Reverting::Reverted { .. } => Err(too_late(on, timer).into()),
    }
}

/// Tells the node over a new login that the change stays, or hears who was first.
async fn confirm(at: &Assignment, on: &NodeName, timer: &Timer) -> Result<Reverting, Outcome> {
    let until = Instant::now() + timer.after + HASTE;
    loop {
        let session = log_in(at, on).await.map_err(|error| shut_out(on, &error))?;
        let told = session.decide(&timer.job, Some(RevertWord::Confirm)).await;
        session.close().await;
        let end = match told {
            Ok(Revert::Confirmed) => Reverting::Confirmed,
            Ok(Revert::Withdrawn | Revert::Pending) => Reverting::Withdrawn,
            Ok(Revert::Reverted) => undone_there(at, timer).await,
            Err(error) if !contact::comes_back(&error) || Instant::now() >= until => {
                return Err(Outcome::Unknown { why: error.to_string(), rebooted: false });
            }
            Err(_) => {
                sleep(PAUSE).await;
                continue;
            }
        };
        timer.settled(at, end.clone()).await;
        return Ok(end);
    }
}

fn too_late(on: &NodeName, timer: &Timer) -> Failure {
    let what = format!(
        "{on} undid it by itself: no new login had confirmed it within {}",
        duration::written(timer.after)
    );
    failure(FailureKind::Timeout, what)
}

fn shut_out(on: &NodeName, error: &TransportError) -> Outcome {
    let mut found =
        failure(FailureKind::Check, format!("{on} took no new login after it, so it is undone: {error}"));
    found.help = Some("whoever it lets in must have your own way in among them".to_owned());
    found.into()
}

/// An sshd that is being reloaded takes nobody for a moment: it is tried for as long as a connection may take.
async fn log_in(at: &Assignment, on: &NodeName) -> Result<Arc<dyn Session>, TransportError> {
    let patience = ssh(at, on).map_or(HASTE, |target| target.connect_timeout);
    let until = Instant::now() + patience;
    loop {
        match at.site.pool.another(on).await {
            Err(error) if may_pass(&error) && Instant::now() + PAUSE < until => sleep(PAUSE).await,
            tried => return tried,
        }
    }
}

fn may_pass(error: &TransportError) -> bool {
    let TransportError::Unreachable { why, .. } = error else { return false };
    matches!(why.kind, Kind::ConnectionRefused | Kind::TurnedAway | Kind::Closed | Kind::Other)
}

async fn ask(at: &Assignment, timer: &Timer, word: Option<RevertWord>) -> Result<Revert, TransportError> {
    let job = &timer.job;
    at.site.pool.with(&timer.on, |session| async move { session.decide(job, word).await }).await
}

/// Decides, or hears who was first. A node that shut everybody out opens itself again: it is waited for.
async fn decide(at: &Assignment, timer: &Timer, word: RevertWord) -> Result<Reverting, Outcome> {
    let reconnect = ssh(at, &timer.on).map_or(HASTE, |target| target.reconnect_timeout);
    let until = Instant::now() + reconnect.max(timer.after + HASTE);
    loop {
        match ask(at, timer, Some(word)).await {
            Ok(Revert::Confirmed) => return Ok(Reverting::Confirmed),
            Ok(Revert::Withdrawn | Revert::Pending) => return Ok(Reverting::Withdrawn),
            Ok(Revert::Reverted) => return Ok(undone_there(at, timer).await),
            Err(error) if contact::comes_back(&error) && Instant::now() < until => sleep(PAUSE).await,
            Err(error) => {
                let why = format!("{error}; {} may undo the step by itself", timer.on);
                return Err(Outcome::Unknown { why, rebooted: false });
            }
        }
    }
}

/// How the undo ended that the node has begun by itself.
async fn undone_there(at: &Assignment, timer: &Timer) -> Reverting {
    let output = Output::aside(at);
    let step = at.planned().timeout();
    let limit = Limit { deadline: timer.after + step, become_with: asking::become_on(&at.site, &timer.on) };
    let ended = contact::rejoin(at, &timer.on, &timer.job, &limit, &output).await;
    let outcome = match effect::judge(at, &[0], ended, &output).await {
        Ok(()) => Outcome::Done,
        Err(outcome) => outcome,
    };
    Reverting::Reverted { outcome }
}
