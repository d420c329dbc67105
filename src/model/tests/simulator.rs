//! Runs a plan in a world that a test makes up: every move becomes the records that the engine would
//! write, folded one by one.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::builder::{failed, unknown};
use crate::model::condition::Verdict;
use crate::model::event::{
    Decision, Event, FailureKind, Goal, Halt, How, Means, Outcome, Question, Record, Request, Reverting,
    RunEnd, RunId, Stop,
};
use crate::model::name::NodeName;
use crate::model::plan::{Plan, StepKey, Work};
use crate::model::recovery::Settling;
use crate::model::schedule::{self, Move};
use crate::model::state::{ByNode, RunState, RunStatus, Taken, UndoStatus};

/// Whether an attempt of a step, by its name in the log, finds nothing to do.
type Skips = Box<dyn FnMut(&str, u32) -> bool>;

type Holders = Box<dyn FnMut(&RunState) -> Vec<NodeName>>;

/// How the attempt of a step, by its name in the log, ends.
type Ends<By> = Box<dyn FnMut(&str, By) -> Outcome>;

/// What the nodes and the operator do. Everything works and nobody says anything but what a test sets.
pub(super) struct World {
    /// How an attempt of a step ends.
    pub(super) step: Ends<u32>,
    /// How an undo ends.
    pub(super) undo: Ends<u32>,
    /// What became of a step or an undo that an earlier invocation left.
    pub(super) recover: Ends<bool>,
    /// What `done_if` of a step answers.
    pub(super) probe: Box<dyn FnMut(&str) -> Verdict>,
    /// Whether the node has undone a step by itself before anybody decided otherwise.
    pub(super) reverts: Box<dyn FnMut(&str) -> bool>,
    /// How that undo of its ends.
    pub(super) reverted: Box<dyn FnMut(&str) -> Outcome>,
    /// Whether a new login works, and so confirms what was taken as done.
    pub(super) confirms: Box<dyn FnMut(&str) -> Outcome>,
    /// Whether an attempt of a step finds nothing to do.
    pub(super) skips: Skips,
    /// Who has the role of `last:` now.
    pub(super) last: Holders,
    /// What the operator says.
    pub(super) answer: Box<dyn FnMut(&Question) -> Decision>,
    /// Whether Ctrl-C is pressed after this entry of the log.
    pub(super) interrupt: Box<dyn FnMut(&str) -> bool>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            step: Box::new(|_, _| Outcome::Done),
            undo: Box::new(|_, _| Outcome::Done),
            recover: Box::new(|_, _| Outcome::Done),
            probe: Box::new(|_| Verdict::Holds),
            reverts: Box::new(|_| false),
            reverted: Box::new(|_| Outcome::Done),
            confirms: Box::new(|_| Outcome::Done),
            skips: Box::new(|_, _| false),
            last: Box::new(|_| Vec::new()),
            answer: Box::new(|question| panic!("nobody answers {question:?}")),
            interrupt: Box::new(|_| false),
        }
    }
}

impl World {
    /// Steps fail that are named, as `a install`, always.
    pub(super) fn failing(names: &'static [&'static str]) -> Self {
        let step = |name: &str, _: u32| {
            if names.contains(&name) { failed(FailureKind::Script) } else { Outcome::Done }
        };
        Self { step: Box::new(step), ..Self::default() }
    }

    /// Ctrl-C right after this entry of the log.
    pub(super) fn interrupted_at(entry: &'static str) -> Self {
        Self { interrupt: Box::new(move |name| name == entry), ..Self::default() }
    }

    pub(super) fn answering(mut self, answer: impl FnMut(&Question) -> Decision + 'static) -> Self {
        self.answer = Box::new(answer);
        self
    }
}

#[derive(Clone)]
struct InFlight {
    key: StepKey,
    attempt: u32,
    undo: bool,
}

/// A run.
#[derive(Clone)]
pub(super) struct Simulation {
    pub(super) state: RunState,
    pub(super) records: Vec<Record>,
    /// What happened on the nodes: `a install`, `a ~install` for its undo, `[a b]` for a batch.
    pub(super) log: Vec<String>,
    in_flight: VecDeque<InFlight>,
}

pub(super) fn epoch() -> Timestamp {
    "1970-01-01T00:00:00Z".parse().unwrap()
}

fn record(seq: usize, event: Event) -> Record {
    let seq = u64::try_from(seq).unwrap();
    let at = epoch() + SignedDuration::from_secs(i64::try_from(seq).unwrap());
    Record { seq, at, event }
}

impl Simulation {
    pub(super) fn open(plan: Plan, request: Request) -> Self {
        let event = Event::RunOpened {
            run: RunId("r.1".to_owned()),
            token: "00c0ffee".to_owned(),
            plan: Box::new(plan),
            request,
        };
        let opened = record(0, event);
        let state = RunState::open(&opened).unwrap();
        Self { state, records: vec![opened], log: Vec::new(), in_flight: VecDeque::new() }
    }

    /// What another process finds after the first one died at its n-th record.
    pub(super) fn cut(&self, length: usize) -> Self {
        let records = self.records[..length].to_vec();
        let state = RunState::replay(&records).unwrap().unwrap();
        Self { state, records, log: Vec::new(), in_flight: VecDeque::new() }
    }

    pub(super) fn resume(&mut self, request: Request) -> &mut Self {
        self.log.clear();
        self.in_flight.clear();
        self.commit(Event::RunResumed { request });
        self
    }

    /// Goes on to the end of the invocation.
    pub(super) fn run(&mut self, world: &mut World) -> &mut Self {
        for _ in 0..self.bound() {
            if self.state.end.is_some() {
                return self;
            }
            assert!(self.step(world), "stuck after {:?}\n{:#?}", self.log, self.state.steps);
        }
        panic!("it goes on for ever: {:?}", self.log)
    }

    /// One round: every move that is named now, or the end of what has been in flight for longest.
    pub(super) fn step(&mut self, world: &mut World) -> bool {
        let moves = schedule::next(&self.state);
        if moves.is_empty() {
            let Some(ended) = self.in_flight.pop_front() else { return false };
            self.end(&ended, world);
            return true;
        }
        for next in moves {
            self.make(next, world);
        }
        true
    }

    /// Every attempt spends a budget: so many rounds are enough for any run of the plan.
    fn bound(&self) -> usize {
        let plan = &self.state.plan;
        let turns: usize = plan.phases.iter().map(|phase| phase.nodes.len() + 1).sum();
        let attempts = |phase: &crate::model::plan::PlannedPhase| -> u32 {
            phase.all_steps().map(|step| step.retries() + 1).sum()
        };
        let steps: u32 = plan.phases.iter().map(attempts).sum();
        50 + 20 * turns * (usize::try_from(steps).unwrap() + 4)
    }

    pub(super) fn commit(&mut self, event: Event) {
        let record = record(self.records.len(), event);
        let tried = self.state.admits(&record);
        assert!(tried.is_ok(), "{tried:?}\nafter {:?}\n{:?}", self.log, record.event);
        self.state.apply(&record).unwrap();
        self.records.push(record);
    }

    fn say(&mut self, entry: String, world: &mut World) {
        let is_interrupted = (world.interrupt)(&entry);
        self.log.push(entry);
        if is_interrupted {
            let stop = Stop { halt: Halt::Interrupted, why: "Ctrl-C".to_owned(), key: None };
            self.commit(Event::StopRequested { stop });
        }
    }

    fn make(&mut self, next: Move, world: &mut World) {
        match next {
            Move::OpenPhase { phase } => self.commit(Event::PhaseStarted { phase }),
            Move::FormBatch { phase } => self.form_batch(phase, world),
            Move::Begin { key, attempt } => {
                let on = vec![key.node.clone()];
                self.commit(Event::StepStarted { key: key.clone(), attempt, on });
                let name = self.name(&key);
                if (world.skips)(&name, attempt)
                    && self.settle_armed(&key, Reverting::Confirmed, world).is_none()
                {
                    let outcome = Outcome::Skipped { why: "done already".to_owned() };
                    self.commit(Event::StepEnded { key, attempt, outcome });
                    return self.say(format!("{name}="), world);
                }
                self.arm(&key, attempt, world);
                self.in_flight.push_back(InFlight { key: key.clone(), attempt, undo: false });
                self.say(self.name(&key), world);
            }
            Move::Undo { key, attempt } => {
                self.commit(Event::UndoStarted { key: key.clone(), attempt });
                self.in_flight.push_back(InFlight { key: key.clone(), attempt, undo: true });
                self.say(self.name(&key).replacen(' ', " ~", 1), world);
            }
            Move::Recover { key, undo } => self.recover(key, undo, world),
            Move::Settle { key, undo } => self.settle(key, undo, world),
            Move::Ask(question) => {
                self.commit(Event::Asked { question: question.clone() });
                let decision = (world.answer)(&question);
                let (by, readings) = (self.state.request.by.clone(), Vec::new());
                self.commit(Event::Answered { question, decision, how: How::Terminal, by, readings });
            }
            Move::EndTurn { turn, end } => self.commit(Event::TurnEnded { turn, end }),
            Move::EndPhase { phase } => self.commit(Event::PhaseEnded { phase }),
            Move::Stop(stop) => self.commit(Event::StopRequested { stop }),
            Move::Close(verdict) => self.commit(Event::RunClosed { verdict }),
        }
    }

    fn form_batch(&mut self, phase: usize, world: &mut World) {
        let last = (world.last)(&self.state);
        let nodes = schedule::choose_batch(&self.state, phase, &last);
        let batch = self.state.phases[phase].batches;
        let names: Vec<_> = nodes.iter().map(NodeName::as_str).collect();
        let entry = format!("[{}]", names.join(" "));
        self.commit(Event::BatchFormed { phase, batch, nodes, last });
        if !entry.contains("operator") {
            self.say(entry, world);
        }
    }

    /// Has the node wait with the undo, as the engine does; what an earlier attempt has left is settled first.
    fn arm(&mut self, key: &StepKey, attempt: u32, world: &mut World) {
        self.settle_armed(key, Reverting::Withdrawn, world);
        let restriction = self.state.plan.find(&key.step).unwrap().1.restriction();
        if let Some(after) = restriction.and_then(|restriction| restriction.revert_after) {
            self.commit(Event::RevertArmed { key: key.clone(), attempt, after });
        }
    }

    /// Decides, unless the node was first; whether it was.
    fn settle_armed(&mut self, key: &StepKey, end: Reverting, world: &mut World) -> Option<Outcome> {
        let armed = self.state.step(key)?.armed?;
        let is_first = (world.reverts)(&self.name(key));
        let undone = is_first.then(|| (world.reverted)(&self.name(key)));
        let end = undone.clone().map_or(end, |outcome| Reverting::Reverted { outcome });
        if is_first {
            self.log.push(self.name(key).replacen(' ', " @", 1));
        }
        self.commit(Event::RevertEnded { key: key.clone(), attempt: armed.attempt, end });
        undone
    }

    fn recover(&mut self, key: StepKey, undo: bool, world: &mut World) {
        let name = self.name(&key);
        let step = self.state.step(&key).unwrap();
        let (is_taken, by_node) = (step.taken != Taken::ForNothing, step.by_node);
        let mut outcome = match by_node {
            _ if is_taken && undo => Outcome::Done,
            _ if is_taken => (world.confirms)(&name),
            ByNode::Begun { .. } if undo => (world.reverted)(&name),
            _ => (world.recover)(&name, undo),
        };
        // While it was armed no undo had begun.
        if undo && self.state.step(&key).unwrap().armed.is_some() {
            let was_first = self.settle_armed(&key, Reverting::Withdrawn, world);
            outcome = match was_first {
                Some(undone) => undone,
                None if is_taken => Outcome::Done,
                None => Outcome::Interrupted,
            };
            if self.state.step(&key).unwrap().undo != UndoStatus::Dangling {
                return;
            }
        }
        let end = match &outcome {
            Outcome::Done => Some(Reverting::Confirmed),
            Outcome::Interrupted => Some(Reverting::Withdrawn),
            _ => None,
        };
        if let Some(end) = end.filter(|_| !undo)
            && self.settle_armed(&key, end, world).is_some()
        {
            outcome = if is_taken { failed(FailureKind::Timeout) } else { Outcome::Interrupted };
        }
        let step = self.state.step(&key).unwrap();
        let (attempt, undo_attempt) = (step.attempts, step.undo_attempts);
        self.commit(if undo {
            Event::UndoEnded { key, attempt: undo_attempt, outcome }
        } else {
            Event::StepEnded { key, attempt, outcome }
        });
    }

    /// As the engine does it.
    fn settle(&mut self, key: StepKey, undo: bool, world: &mut World) {
        let mut found = self.state.settling(&key, undo, None);
        if found == Settling::AskProbe {
            self.log.push(format!("{}?", self.name(&key)));
            found = self.state.settling(&key, undo, Some(&(world.probe)(&self.name(&key))));
        }
        let decided = self.state.decision(&key, undo).and_then(|decided| decided.why.clone());
        let why = decided.unwrap_or_default();
        self.commit(match found {
            Settling::Settled(verdict, how) => {
                let by = (how == Means::Decided).then(|| self.state.request.by.clone());
                Event::Settled { key, undo, verdict, how, by, why }
            }
            Settling::AskProbe | Settling::AskHuman => Event::LeftUnknown { key, undo, why },
        });
    }

    fn end(&mut self, ended: &InFlight, world: &mut World) {
        let InFlight { key, attempt, undo } = ended;
        let (key, attempt, name) = (key.clone(), *attempt, self.name(key));
        if *undo {
            let was_first = self.settle_armed(&key, Reverting::Withdrawn, world);
            let outcome = was_first.unwrap_or_else(|| (world.undo)(&name, attempt));
            return self.commit(Event::UndoEnded { key, attempt, outcome });
        }
        let planned = self.state.plan.find(&key.step).unwrap().1.clone();
        let outcome = if self.state.stop.is_some() && !planned.is_effect() {
            Outcome::Interrupted
        } else {
            (world.step)(&name, attempt)
        };
        let outcome = match outcome {
            Outcome::Done if self.settle_armed(&key, Reverting::Confirmed, world).is_some() => {
                failed(FailureKind::Timeout)
            }
            outcome => {
                if never_began(&outcome) {
                    self.settle_armed(&key, Reverting::Withdrawn, world);
                }
                outcome
            }
        };
        if matches!(planned.work, Work::PassPoint { .. }) && outcome == Outcome::Done {
            self.commit(Event::PointPassed { key: key.clone() });
        }
        self.commit(Event::StepEnded { key, attempt, outcome });
    }

    /// A step as the log has it: `a install`.
    fn name(&self, key: &StepKey) -> String {
        let label = &self.state.plan.find(&key.step).unwrap().1.label;
        format!("{} {label}", key.node)
    }

    /// What happened, in one line.
    pub(super) fn story(&self) -> String {
        self.log.join(", ")
    }

    pub(super) fn verdict(&self) -> &RunEnd {
        self.state.end.as_ref().unwrap()
    }

    /// The class of the stop that ended the invocation.
    pub(super) fn halt(&self) -> Option<Halt> {
        match self.verdict() {
            RunEnd::Stopped(stop) => Some(stop.halt),
            _ => None,
        }
    }

    /// Holds what must be true of any run's records.
    pub(super) fn audit(&self) {
        super::resumption::audit(&self.records);
        if !matches!(self.state.end, None | Some(RunEnd::Stopped(_))) {
            assert_eq!(self.state.armed().count(), 0, "a node may yet undo something: {:?}", self.log);
        }
        if self.state.status() == RunStatus::Finished {
            assert_eq!(self.state.outstanding(), Vec::<&StepKey>::new(), "left behind");
        }
    }
}

/// What the engine settles before it says so.
fn never_began(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Skipped { .. } => true,
        Outcome::Failed(failure) => matches!(failure.kind, FailureKind::Unreachable | FailureKind::Input),
        _ => false,
    }
}

/// Runs a plan to the end of its first invocation.
pub(super) fn simulate(plan: Plan, request: Request, world: &mut World) -> Simulation {
    let mut simulation = Simulation::open(plan, request);
    simulation.run(world);
    simulation.audit();
    simulation
}

/// Nobody knows how a step ended that was under way.
pub(super) fn forgetful() -> World {
    World { recover: Box::new(|_, _| unknown()), ..World::default() }
}

/// Takes a run back, as the `rollback` verb asks for it.
pub(super) fn take_back(simulation: &mut Simulation, limit: Option<&[NodeName]>, world: &mut World) {
    let turns = crate::model::planner::way_back(&simulation.state, limit).unwrap();
    simulation.resume(super::builder::request(Goal::RolledBack(turns))).run(world);
    simulation.audit();
}
