//! Readings taken ahead: adjacent checks of a turn are read in one call, and each reply waits for its step to begin.
//!
//! A check changes nothing, so it may be read a moment before its step is on record. Its reply counts only for that
//! step, only if nothing but the checks before it came in between, and only for a moment; else it is read anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

use super::asking::{self, Ask, Told};
use super::scene;
use super::worker::Assignment;
use crate::model::ahead::readable_with;
use crate::model::event::{Event, Failure, Outcome};
use crate::model::name::NodeName;
use crate::model::plan::{Plan, StepKey};
use crate::model::procedure::{Action, Check, CheckRef};
use crate::model::state::RunState;
use crate::model::template::Vars;
use crate::transport::{ProbeEnd, ProbeReply, TransportError};

/// A reply that has waited longer says what was, not what is.
const FRESH: Duration = Duration::from_secs(5);

/// A reply that came in the call of an earlier step.
pub(super) struct Early {
    reply: ProbeReply,
    vars: Vars,
    came: Instant,
    at: Timestamp,
}

/// A reply, or why the call brought none.
type Reply = Result<Box<Early>, TransportError>;

impl Early {
    /// Whether the step need not ask again. A call that broke says nothing of those behind the one it broke at.
    fn counts(&self) -> bool {
        let is_an_answer = matches!(self.reply.end, ProbeEnd::Exited { .. } | ProbeEnd::TimedOut);
        is_an_answer && self.came.elapsed() <= FRESH
    }
}

/// The part that a step has in a call.
#[derive(Default)]
pub(super) enum Part {
    /// It asks for itself.
    #[default]
    Alone,
    /// It makes the call, also for these behind it, as long as somebody wants to know.
    Leads { others: Vec<(StepKey, oneshot::Sender<Reply>)>, wanted: oneshot::Sender<()> },
    /// It is read in the call of an earlier step.
    Follows(oneshot::Receiver<Reply>),
    /// It was read in the call of an earlier step.
    WasRead(Box<Early>),
}

/// What is being read ahead for one turn.
struct Lane {
    coming: VecDeque<(StepKey, oneshot::Receiver<Reply>)>,
    /// The call ends when it is dropped.
    _wanted: oneshot::Receiver<()>,
}

/// What of it is worthless from now on.
pub(super) enum Spoiled {
    Nothing,
    Lane(NodeName),
    All,
}

/// What is being read ahead, by the node whose turn it is.
#[derive(Default)]
pub(super) struct Ahead(BTreeMap<NodeName, Lane>);

impl Ahead {
    /// What an event makes worthless. Turns that are at work at the same time do not mind each other; a question or
    /// a stop concerns all of them.
    pub(super) fn spoiled_by(&self, event: &Event) -> Spoiled {
        match event {
            Event::StepStarted { .. }
            | Event::ReadingTaken { .. }
            | Event::Captured { .. }
            | Event::VersionRead { .. }
            | Event::TurnEnded { .. } => Spoiled::Nothing,
            Event::StepEnded { key, outcome, .. } => {
                let is_over = self.0.get(&key.node).is_some_and(|lane| lane.coming.is_empty());
                let goes_on = *outcome == Outcome::Done && !is_over;
                if goes_on { Spoiled::Nothing } else { Spoiled::Lane(key.node.clone()) }
            }
            _ => Spoiled::All,
        }
    }

    /// Drops it. Whoever waits for a reply that is dropped asks anew.
    pub(super) fn drop(&mut self, spoiled: &Spoiled) {
        match spoiled {
            Spoiled::Nothing => {}
            Spoiled::Lane(node) => drop(self.0.remove(node)),
            Spoiled::All => self.0.clear(),
        }
    }

    /// The part of a step that begins.
    pub(super) fn part(&mut self, state: &RunState, key: &StepKey) -> Part {
        if let Some(part) = self.awaited(key) {
            return part;
        }
        self.0.remove(&key.node);
        let behind = readable_with(state, key);
        if behind.is_empty() {
            return Part::Alone;
        }
        let (mut others, mut coming) = (Vec::new(), VecDeque::new());
        for key in behind {
            let (to, from) = oneshot::channel();
            others.push((key.clone(), to));
            coming.push_back((key, from));
        }
        let (wanted, lease) = oneshot::channel();
        self.0.insert(key.node.clone(), Lane { coming, _wanted: lease });
        Part::Leads { others, wanted }
    }

    /// The part of a step that is read ahead, unless its reply is worth nothing.
    fn awaited(&mut self, key: &StepKey) -> Option<Part> {
        let (next, mut reply) = self.0.get_mut(&key.node)?.coming.pop_front()?;
        if next != *key {
            return None;
        }
        match reply.try_recv() {
            Ok(Ok(early)) => early.counts().then_some(Part::WasRead(early)),
            Err(TryRecvError::Empty) => Some(Part::Follows(reply)),
            Ok(Err(_)) | Err(TryRecvError::Closed) => None,
        }
    }
}

/// Asks the check of a step, by its part in a call.
pub(super) async fn ask(at: &Assignment, part: Part, check: &CheckRef) -> Result<Told, Failure> {
    let reply = match part {
        Part::Alone => None,
        Part::Leads { others, wanted } => lead(at, check, others, wanted).await?,
        Part::Follows(reply) => match reply.await {
            Ok(Ok(early)) if early.counts() => Some(Ok(early)),
            _ => None,
        },
        Part::WasRead(early) => Some(Ok(early)),
    };
    match reply {
        Some(reply) => {
            let question = question(at, at.site.plan.check(check)).await?;
            let reply = reply.map(|early| (early.vars, early.reply, early.at));
            Ok(asking::told_by(&at.site, &at.state, &question, reply).await)
        }
        None => asking::ask_all(&at.site, &at.state, at.lane(), std::slice::from_ref(check)).await,
    }
}

/// The check of one machine, for the turn of a step.
async fn question<'a>(at: &Assignment, check: &'a Check) -> Result<Ask<'a>, Failure> {
    let on = scene::place(&at.site, &at.state, at.lane(), &check.on).await?;
    Ok(Ask { check, lane: at.lane().clone(), on })
}

/// Makes a call for a step and those behind it; answers with the step's own reply as soon as it is there. `None`
/// where the step is to ask alone.
async fn lead(
    at: &Assignment,
    check: &CheckRef,
    others: Vec<(StepKey, oneshot::Sender<Reply>)>,
    mut wanted: oneshot::Sender<()>,
) -> Result<Option<Reply>, Failure> {
    let plan = &at.site.plan;
    let own = question(at, plan.check(check)).await?;
    let session = at.site.pool.session(&own.on).await;
    let facts = match session {
        Ok(session) => session.facts().clone(),
        Err(error) => return Ok(Some(Err(error))),
    };
    let (to, from) = oneshot::channel();
    let (mut batch, mut limits, mut slots) = (Vec::new(), Vec::new(), VecDeque::new());
    // What keeps the step itself from being asked is said when it asks alone.
    for (check, to) in [(Some(own.check), to)]
        .into_iter()
        .chain(others.into_iter().map(|(key, to)| (check_of(plan, &key), to)))
    {
        let Some(check) = check else { break };
        let Ok(question) = question(at, check).await else { break };
        let Ok((probe, vars)) = asking::prepared(&at.site, &at.state, &question, &facts).await else { break };
        batch.push(probe);
        limits.push(check.timeout);
        slots.push_back((vars, to));
    }
    let (site, on) = (Arc::clone(&at.site), own.on);
    tokio::spawn(async move {
        let slots = Mutex::new(slots);
        let next = || slots.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let told = |_, reply| {
            if let Some((vars, to)) = next() {
                let early = Early { reply, vars, came: Instant::now(), at: Timestamp::now() };
                // A step that stopped waiting has been given up.
                drop(to.send(Ok(Box::new(early))));
            }
        };
        let (batch, limits, told) = (&batch, &limits, &told);
        let call =
            site.pool.with(&on, |session| async move { session.probe_in_turn(batch, limits, told).await });
        tokio::select! {
            ended = call => if let (Err(error), Some((_, to))) = (ended, next()) {
                drop(to.send(Err(error)));
            },
            () = wanted.closed() => {}
        }
    });
    Ok(match from.await {
        // It may be what another one is given that cannot be sent.
        Ok(Err(TransportError::Refused { .. })) | Err(_) => None,
        Ok(reply) => Some(reply),
    })
}

fn check_of<'a>(plan: &'a Plan, key: &StepKey) -> Option<&'a Check> {
    match &plan.find(&key.step)?.1.step()?.action {
        Action::Check(reference) => Some(plan.check(reference)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{FailureKind, Halt, Question, Stop};
    use crate::model::plan::{Section, StepId};
    use crate::transport::Captured;

    fn key(node: &str, n: usize) -> StepKey {
        StepKey { node: NodeName::parse(node).unwrap(), step: StepId::new("all", Section::Precheck, n) }
    }

    fn early(end: ProbeEnd, age: Duration) -> Box<Early> {
        let reply = ProbeReply {
            end,
            stdout: Captured::default(),
            stderr: Captured::default(),
            took: Duration::ZERO,
        };
        let came = Instant::now().checked_sub(age).unwrap();
        Box::new(Early { reply, vars: Vars::new(), came, at: Timestamp::now() })
    }

    /// The second and third step of two nodes are being read ahead; where their replies come from.
    fn under_way() -> (Ahead, Vec<oneshot::Sender<Reply>>) {
        let (mut ahead, mut replies) = (Ahead::default(), Vec::new());
        for node in ["a", "b"] {
            let mut coming = VecDeque::new();
            for n in [2, 3] {
                let (to, from) = oneshot::channel();
                replies.push(to);
                coming.push_back((key(node, n), from));
            }
            ahead.0.insert(NodeName::parse(node).unwrap(), Lane { coming, _wanted: oneshot::channel().1 });
        }
        (ahead, replies)
    }

    fn left_after(event: &Event) -> Vec<String> {
        let (mut ahead, _replies) = under_way();
        let spoiled = ahead.spoiled_by(event);
        ahead.drop(&spoiled);
        ahead.0.keys().map(ToString::to_string).collect()
    }

    fn ended(n: usize, outcome: Outcome) -> Event {
        Event::StepEnded { key: key("a", n), attempt: 1, outcome }
    }

    #[test]
    fn what_came_is_handed_on_and_what_comes_is_waited_for() {
        let (mut ahead, mut replies) = under_way();
        assert!(replies.remove(0).send(Ok(early(ProbeEnd::Exited { code: 1 }, Duration::ZERO))).is_ok());
        assert!(matches!(ahead.awaited(&key("a", 2)), Some(Part::WasRead(_))));
        assert!(matches!(ahead.awaited(&key("a", 3)), Some(Part::Follows(_))));
        assert!(ahead.awaited(&key("a", 4)).is_none());
        assert!(ahead.awaited(&key("b", 3)).is_none(), "it is not its turn");
        assert!(ahead.awaited(&key("c", 2)).is_none());
    }

    #[test]
    fn what_is_old_or_no_answer_is_read_anew() {
        let exited = ProbeEnd::Exited { code: 0 };
        let not_run = ProbeEnd::NotRun { why: String::new() };
        for (end, age, counts) in [
            (exited.clone(), FRESH / 2, true),
            (exited, FRESH * 2, false),
            (ProbeEnd::TimedOut, Duration::ZERO, true),
            (ProbeEnd::Died, Duration::ZERO, false),
            (not_run, Duration::ZERO, false),
        ] {
            let (mut ahead, mut replies) = under_way();
            assert!(replies.remove(0).send(Ok(early(end.clone(), age))).is_ok());
            assert_eq!(ahead.awaited(&key("a", 2)).is_some(), counts, "{end:?} after {age:?}");
        }
        let (mut ahead, replies) = under_way();
        drop(replies);
        assert!(ahead.awaited(&key("a", 2)).is_none(), "the call is over");
    }

    #[test]
    fn a_step_that_goes_well_leaves_what_is_read_ahead() {
        assert_eq!(
            left_after(&Event::StepStarted { key: key("a", 1), attempt: 1, on: Vec::new() }),
            ["a", "b"]
        );
        assert_eq!(left_after(&ended(1, Outcome::Done)), ["a", "b"]);
    }

    #[test]
    fn a_step_that_does_not_spoils_it_for_its_turn() {
        let failure = scene::failure(FailureKind::Check, "no");
        for outcome in
            [Outcome::Failed(failure), Outcome::Skipped { why: String::new() }, Outcome::Interrupted]
        {
            assert_eq!(left_after(&ended(1, outcome)), ["b"]);
        }
    }

    #[test]
    fn a_question_or_a_stop_spoils_it_for_all() {
        let question = Question::Trouble { key: key("c", 1), undo: false };
        assert!(left_after(&Event::Asked { question }).is_empty());
        let stop = Stop { halt: Halt::Interrupted, why: String::new(), key: None };
        assert!(left_after(&Event::StopRequested { stop }).is_empty());
    }

    #[test]
    fn the_last_one_ends_the_call() {
        let (mut ahead, _replies) = under_way();
        for n in [2, 3] {
            assert!(ahead.awaited(&key("a", n)).is_some());
        }
        let spoiled = ahead.spoiled_by(&ended(3, Outcome::Done));
        ahead.drop(&spoiled);
        assert!(!ahead.0.contains_key(&key("a", 1).node));
    }
}
