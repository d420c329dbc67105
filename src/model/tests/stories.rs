//! Whatever happens, in whatever order: a run comes to its end, its records always give the same state, and
//! damage to them makes nothing panic.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;

use super::builder::*;
use super::resumption::rich;
use super::revert::restricted;
use super::simulator::{Simulation, World};
use super::unknown::declared;
use crate::model::condition::Verdict;
use crate::model::event::{
    Decided, Decision, Event, FailureKind, Goal, Outcome, Record, Request, RunEnd, Settlement,
};
use crate::model::planner::way_back;
use crate::model::schedule;
use crate::model::state::RunState;

/// Deals numbers from a list that proptest made, then zeros: everything works and everybody is silent.
#[derive(Clone)]
struct Dice(Rc<RefCell<std::vec::IntoIter<u8>>>);

impl Dice {
    fn new(numbers: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(numbers.into_iter())))
    }

    fn roll(&self) -> u8 {
        self.0.borrow_mut().next().unwrap_or(0)
    }

    fn outcome(&self) -> Outcome {
        match self.roll() % 24 {
            1 => failed(FailureKind::Script),
            2 => failed(FailureKind::Unreachable),
            3 => failed(FailureKind::Check),
            4 => failed(FailureKind::GateClosed),
            5 => unknown(),
            6 => Outcome::Skipped { why: "done already".into() },
            _ => Outcome::Done,
        }
    }

    fn decision(&self) -> Decision {
        let reason = "so be it".to_owned();
        match self.roll() % 8 {
            1 => Decision::Retry,
            2 => Decision::MarkDone { reason },
            3 => Decision::SkipNode { reason },
            4 => Decision::RollBack,
            _ => Decision::No,
        }
    }

    fn world(&self) -> World {
        let dice = || self.clone();
        let (step, undo, recover, answer, interrupt, last) = (dice(), dice(), dice(), dice(), dice(), dice());
        let (probe, reverts) = (dice(), dice());
        let (reverted, confirms, skips) = (dice(), dice(), dice());
        World {
            step: Box::new(move |_, _| step.outcome()),
            undo: Box::new(move |_, _| match undo.roll() % 12 {
                1 => failed(FailureKind::Script),
                2 => unknown(),
                _ => Outcome::Done,
            }),
            recover: Box::new(move |_, undo| match recover.roll() % 6 {
                1 => unknown(),
                2 => failed(FailureKind::Script),
                3 if !undo => Outcome::Interrupted,
                _ => Outcome::Done,
            }),
            probe: Box::new(move |_| match probe.roll() % 3 {
                1 => Verdict::DoesNotHold { why: "no".into() },
                2 => Verdict::Unreadable { why: "no answer".into() },
                _ => Verdict::Holds,
            }),
            reverts: Box::new(move |_| reverts.roll() % 3 == 1),
            reverted: Box::new(move |_| match reverted.roll() % 6 {
                1 => failed(FailureKind::Script),
                2 => unknown(),
                _ => Outcome::Done,
            }),
            confirms: Box::new(move |_| match confirms.roll() % 4 {
                1 => failed(FailureKind::Check),
                2 => unknown(),
                _ => Outcome::Done,
            }),
            skips: Box::new(move |_, _| skips.roll() % 12 == 1),
            // The way back is not offered on the way back.
            answer: Box::new(move |question| match answer.decision() {
                Decision::RollBack if question.key().step.as_str().contains("rollback") => Decision::No,
                decision => decision,
            }),
            interrupt: Box::new(move |_| interrupt.roll() % 32 == 1),
            last: Box::new(move |_| nodes(if last.roll() % 2 == 0 { "a" } else { "c" })),
        }
    }

    fn decisions(&self, state: &RunState) -> Vec<Decided> {
        let all = [Settlement::Done, Settlement::NotDone, Settlement::Failed];
        let decide = |(key, undo)| {
            let verdict = *all.get(usize::from(self.roll() % 5))?;
            Some(Decided { key, undo, verdict, why: None })
        };
        state.undecided().into_iter().filter_map(decide).collect()
    }

    fn request(&self, state: Option<&RunState>) -> Request {
        let goal = match (self.roll() % 10, state) {
            (1, None) => Goal::Staged,
            (1, Some(_)) => Goal::Unstaged,
            (2 | 3, Some(state)) => Goal::RolledBack(way_back(state, None).unwrap_or_default()),
            _ => Goal::Finished,
        };
        let limit = (self.roll() % 6 == 1).then(|| nodes("b"));
        let decisions = state.map(|state| self.decisions(state)).unwrap_or_default();
        Request { attended: self.roll() % 2 == 1, limit, decisions, ..request(goal) }
    }
}

/// Several invocations, each of which may die anywhere.
fn story(numbers: Vec<u8>) -> Simulation {
    let dice = Dice::new(numbers);
    let mut world = dice.world();
    let plan = match dice.roll() % 3 {
        1 => declared(),
        2 => restricted(),
        _ => rich(),
    };
    let mut simulation = Simulation::open(plan, dice.request(None));
    for _ in 0..4 {
        let dies_after = usize::from(dice.roll()) % 80;
        if dies_after > 40 {
            for _ in 0..dies_after {
                if simulation.state.end.is_some() {
                    break;
                }
                assert!(simulation.step(&mut world), "stuck after {:?}", simulation.log);
            }
        } else {
            simulation.run(&mut world);
        }
        let request = dice.request(Some(&simulation.state));
        let event = Event::RunResumed { request: request.clone() };
        let seq = simulation.state.latest_seq + 1;
        let record = Record { seq, at: simulation.state.latest_at, event };
        if simulation.state.admits(&record).is_err() {
            break;
        }
        simulation.resume(request);
    }
    simulation.run(&mut world);
    simulation
}

/// Asks everything of a state that anybody asks.
fn look_at(state: &RunState) {
    schedule::next(state);
    state.status();
    state.is_open();
    state.no_return();
    let _ = way_back(state, None);
    for phase in 0..state.plan.phases.len() {
        schedule::choose_batch(state, phase, &nodes("a"));
    }
    state.turns.keys().for_each(|turn| {
        state.vars_of(&turn.node);
        state.trouble(turn);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever steps, nodes and operators do: every invocation ends, and what is in force is known.
    #[test]
    fn every_story_comes_to_an_end(numbers in proptest::collection::vec(any::<u8>(), 0..200)) {
        let simulation = story(numbers);
        simulation.audit();
        if matches!(simulation.verdict(), RunEnd::Finished | RunEnd::Unstaged | RunEnd::RolledBack) {
            prop_assert!(simulation.state.outstanding().is_empty());
        }
    }

    /// One by one, at once, cut and gone on with, read back from JSON: the same state.
    #[test]
    fn the_same_records_give_the_same_state(numbers in proptest::collection::vec(any::<u8>(), 0..120), at in any::<prop::sample::Index>()) {
        let simulation = story(numbers);
        let lines: Vec<String> =
            simulation.records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        let read: Vec<Record> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(&read, &simulation.records);
        let at = at.index(read.len());
        let mut state = RunState::replay(&read[..=at]).unwrap().unwrap();
        for record in &read[at + 1..] {
            state.apply(record).unwrap();
        }
        prop_assert_eq!(&state, &simulation.state);
    }

    /// Records dropped, doubled and swapped are refused or fold to something; nothing panics.
    #[test]
    fn damage_is_no_panic(
        numbers in proptest::collection::vec(any::<u8>(), 0..60),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..3), 1..6),
    ) {
        let mut events: Vec<Event> = story(numbers).records.into_iter().map(|record| record.event).collect();
        for (one, other, kind) in damage {
            let (one, other) = (one.index(events.len()), other.index(events.len()));
            match kind {
                0 if events.len() > 2 => { events.remove(one); }
                1 => events.insert(other, events[one].clone()),
                _ => events.swap(one, other),
            }
        }
        let opened = Simulation::open(rich(), finish()).records[0].clone();
        let mut state = RunState::open(&opened).unwrap();
        for event in events {
            let record = Record { seq: state.latest_seq + 1, at: state.latest_at, event };
            if state.admits(&record).is_ok() {
                state.apply(&record).unwrap();
                look_at(&state);
            }
        }
    }
}
