//! Every prefix of a run's records is what a dead process may leave behind.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::*;
use super::simulator::{Simulation, World, forgetful, simulate};
use crate::model::event::{
    Decision, Event, Goal, Outcome, Question, Record, Reverting, RunEnd, Settlement, TurnEnd,
};
use crate::model::plan::{Plan, StepKey};
use crate::model::planner::way_back;
use crate::model::procedure::{BatchSize, Scope};
use crate::model::schedule::{self, Move};
use crate::model::state::{RunState, StepStatus, TurnStatus};

/// What holds of any journal: an effect that is in force is not begun again, nothing is undone twice,
/// and no turn is done with a step missing.
pub(super) fn audit(records: &[Record]) {
    let Event::RunOpened { plan, .. } = &records[0].event else { panic!("no plan") };
    let mut settled: BTreeSet<StepKey> = BTreeSet::new();
    let mut in_force: BTreeSet<StepKey> = BTreeSet::new();
    let mut returning: BTreeSet<StepKey> = BTreeSet::new();
    let mut attempts: BTreeMap<StepKey, u32> = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::StepStarted { key, attempt, .. } => {
                attempts.insert(key.clone(), *attempt);
                let (_, planned) = plan.find(&key.step).unwrap();
                let again = settled.contains(key) && planned.is_effect() && !returning.contains(key);
                assert!(!again, "{key} begins again at {}", record.seq);
                settled.remove(key);
                returning.remove(key);
                if planned.has_undo() {
                    in_force.insert(key.clone());
                }
            }
            Event::StepEnded { key, outcome: Outcome::Done | Outcome::Skipped { .. }, .. } => {
                settled.insert(key.clone());
            }
            Event::Settled { key, undo: false, verdict: Settlement::Done, .. } => {
                settled.insert(key.clone());
                if plan.find(&key.step).unwrap().1.has_undo() {
                    in_force.insert(key.clone());
                }
            }
            Event::Settled { key, undo: true, verdict: Settlement::Done, .. }
            | Event::Answered {
                question: Question::Trouble { key, undo: true },
                decision: Decision::MarkDone { .. },
                ..
            } => {
                in_force.remove(key);
            }
            Event::Answered { question, decision: Decision::MarkDone { .. }, .. } => {
                let key = question.key();
                settled.insert(key.clone());
                if plan.find(&key.step).unwrap().1.has_undo() {
                    in_force.insert(key.clone());
                }
            }
            Event::Answered { question, decision: Decision::RollBack, .. } => {
                let (phase, _) = plan.find(&question.key().step).unwrap();
                let node = question.key().node.clone();
                let keys = plan.phases[phase].all_steps();
                returning.extend(keys.map(|step| StepKey { node: node.clone(), step: step.id.clone() }));
            }
            Event::UndoStarted { key, .. } => {
                assert!(in_force.contains(key), "{key} is undone twice at {}", record.seq);
            }
            Event::UndoEnded { key, outcome, .. } => {
                settled.remove(key);
                if *outcome == Outcome::Done {
                    in_force.remove(key);
                }
            }
            Event::RevertEnded { key, attempt, end: Reverting::Reverted { outcome } }
                if attempts[key] == *attempt =>
            {
                settled.remove(key);
                if *outcome == Outcome::Done {
                    in_force.remove(key);
                }
            }
            Event::RunResumed { request } => {
                if let Goal::RolledBack(turns) = &request.goal {
                    for turn in turns {
                        let all = plan.phases[turn.phase].all_steps();
                        returning.extend(all.map(|step| turn.key(&step.id)));
                    }
                }
            }
            Event::TurnEnded { turn, end: TurnEnd::RolledBack } => {
                for step in plan.phases[turn.phase].all_steps() {
                    settled.remove(&turn.key(&step.id));
                }
            }
            Event::TurnEnded { turn, end: TurnEnd::Done } => {
                let phase = &plan.phases[turn.phase];
                let steps = if phase.nodes.contains(&turn.node) { &phase.steps } else { &phase.before };
                for step in steps.iter().filter(|step| step.temporary().is_none()) {
                    let key = turn.key(&step.id);
                    assert!(settled.contains(&key), "{key} is missing at {}", record.seq);
                }
            }
            _ => {}
        }
    }
}

/// A run with something of everything.
pub(super) fn rich() -> Plan {
    let mut convert = run("convert").with_undo();
    convert.point_of_no_return = Some(point(true));
    let mut first = rolling("first", |phase| {
        phase.batch = vec![BatchSize::Nodes(1), BatchSize::Nodes(2)];
        phase.precheck = vec![check("fit")];
        phase.drain = vec![
            run("alerts off").temporary(Scope::Run),
            run("alarms off").temporary(Scope::Phase),
            run("stop").temporary(Scope::Node),
            gate("quiet"),
        ];
        phase.upgrade = vec![run("up").retried(1), manual("look"), convert];
        phase.verify = vec![check("well")];
    });
    first.point_of_no_return = Some(point(true));
    first.rollback = vec![run("unload"), check("unloaded"), run("down")];
    let second = rolling("second", |phase| {
        phase.drain = vec![run("pause").temporary(Scope::Phase)];
        phase.upgrade = vec![run("reload").with_undo()];
    });
    let end = single("end", vec![check("all well"), run("announce").with_undo()]);
    let mut procedure = procedure(vec![first, second, end]);
    procedure.stage = vec![run("pull")];
    plan_of("a b c", &procedure)
}

fn effects_done(simulation: &Simulation) -> BTreeSet<String> {
    let state = &simulation.state;
    let done = |(key, step): (&StepKey, &crate::model::state::StepState)| {
        let (_, planned) = state.plan.find(&key.step)?;
        (step.status == StepStatus::Done && planned.is_effect()).then(|| key.to_string())
    };
    state.steps.iter().filter_map(done).collect()
}

#[test]
fn from_every_prefix_a_run_reaches_the_same_end() {
    let whole = simulate(rich(), finish(), &mut World::default());
    assert_eq!(*whole.verdict(), RunEnd::Finished);
    for length in 1..whole.records.len() {
        let mut again = whole.cut(length);
        let running: Vec<StepKey> = again
            .state
            .steps
            .iter()
            .filter(|(key, step)| {
                let repeatable = again.state.plan.find(&key.step).unwrap().1.is_repeatable();
                step.status == StepStatus::Running && !repeatable
            })
            .map(|(key, _)| key.clone())
            .collect();
        again.resume(finish());
        let recovered: Vec<StepKey> = schedule::next(&again.state)
            .into_iter()
            .filter_map(|next| match next {
                Move::Recover { key, undo: false } => Some(key),
                _ => None,
            })
            .collect();
        assert_eq!(recovered, running, "cut at {length}");
        again.run(&mut World::default()).audit();
        assert_eq!(*again.verdict(), RunEnd::Finished, "cut at {length}");
        assert_eq!(effects_done(&again), effects_done(&whole), "cut at {length}");
        assert!(again.state.outstanding().is_empty(), "cut at {length}");
    }
}

#[test]
fn cutting_twice_changes_nothing() {
    let whole = simulate(rich(), finish(), &mut World::default());
    for length in (1..whole.records.len()).step_by(3) {
        let mut again = whole.cut(length);
        again.resume(finish()).run(&mut World::default());
        for second in (length + 2..again.records.len()).step_by(5) {
            let mut third = again.cut(second);
            third.resume(finish()).run(&mut World::default()).audit();
            assert_eq!(*third.verdict(), RunEnd::Finished, "cut at {length} and {second}");
            assert_eq!(effects_done(&third), effects_done(&whole), "cut at {length} and {second}");
        }
    }
}

#[test]
fn an_interrupted_run_resumes_to_the_same_end_wherever_it_was_stopped() {
    let whole = simulate(rich(), finish(), &mut World::default());
    for at in 0..whole.log.len() {
        let mut count = 0;
        let interrupt = move |_: &str| {
            count += 1;
            count == at + 1
        };
        let mut world = World { interrupt: Box::new(interrupt), ..World::default() };
        let mut simulation = simulate(rich(), finish(), &mut world);
        assert!(simulation.state.outstanding().is_empty(), "stopped at {at}");
        simulation.resume(finish()).run(&mut World::default()).audit();
        assert_eq!(*simulation.verdict(), RunEnd::Finished, "stopped at {at}");
        assert_eq!(effects_done(&simulation), effects_done(&whole), "stopped at {at}");
    }
}

#[test]
fn a_run_dead_in_its_own_undoing_still_undoes() {
    for at in ["a up", "b convert", "operator announce"] {
        let stopped = simulate(rich(), finish(), &mut World::interrupted_at(at));
        for length in 1..stopped.records.len() {
            for goal in [Goal::Finished, Goal::Unstaged] {
                let mut again = stopped.cut(length);
                again.resume(request(goal.clone())).run(&mut World::default()).audit();
                assert!(again.state.outstanding().is_empty(), "{goal:?} from {length}");
            }
        }
    }
}

#[test]
fn a_rollback_cut_anywhere_goes_on_to_its_end() {
    let mut whole = simulate(rich(), finish(), &mut World::default());
    let from = whole.records.len();
    let turns = way_back(&whole.state, None).unwrap();
    whole.resume(request(Goal::RolledBack(turns))).run(&mut World::default()).audit();
    for length in from + 1..whole.records.len() {
        let mut again = whole.cut(length);
        let turns = way_back(&again.state, None).unwrap_or_default();
        again.resume(request(Goal::RolledBack(turns))).run(&mut World::default()).audit();
        assert_eq!(*again.verdict(), RunEnd::RolledBack);
        assert!(!again.state.is_open(), "cut at {length}");
        // And from the same place the run can go forward instead.
        let mut forward = whole.cut(length);
        forward.resume(finish()).run(&mut World::default()).audit();
        assert_eq!(*forward.verdict(), RunEnd::Finished, "cut at {length}");
    }
}

#[test]
fn what_nobody_knows_stops_the_run_and_is_not_begun_again() {
    let whole = simulate(rich(), finish(), &mut World::default());
    for length in 1..whole.records.len() {
        let mut again = whole.cut(length);
        let was_running = again.state.steps.values().any(|step| step.status == StepStatus::Running);
        again.resume(finish()).run(&mut forgetful()).audit();
        if !was_running {
            continue;
        }
        let unknown: Vec<_> = again
            .state
            .steps
            .iter()
            .filter(|(_, step)| matches!(step.status, StepStatus::Unknown { .. }))
            .map(|(key, _)| key.clone())
            .collect();
        for key in unknown {
            let is_begin = |record: &Record| matches!(&record.event, Event::StepStarted { key: begun, .. } if *begun == key);
            assert!(!again.records[length..].iter().any(is_begin), "{key} at {length}");
            assert_ne!(*again.verdict(), RunEnd::Finished);
        }
    }
}

#[test]
fn checks_are_asked_again_unless_what_they_guard_has_begun() {
    let phase = rolling("all", |phase| {
        phase.precheck = vec![check("fit")];
        phase.drain = vec![gate("quiet")];
        phase.upgrade = vec![run("up")];
        phase.verify = vec![check("well")];
    });
    let whole = simulate(plan("a", vec![phase]), finish(), &mut World::default());
    let story_from = |entry: &str, recovered: Outcome| {
        // Cut right after the entry's step began.
        let length = whole
            .records
            .iter()
            .position(|record| match &record.event {
                Event::StepStarted { key, .. } => {
                    let label = &whole.state.plan.find(&key.step).unwrap().1.label;
                    format!("{} {label}", key.node) == entry
                }
                _ => false,
            })
            .unwrap();
        let mut again = whole.cut(length + 1);
        let mut world = World { recover: Box::new(move |_, _| recovered.clone()), ..World::default() }
            .answering(|_| Decision::Retry);
        again.resume(attended()).run(&mut world).audit();
        again.story()
    };
    assert_eq!(story_from("a quiet", Outcome::Done), "a fit, a quiet, a up, a well");
    assert_eq!(story_from("a up", Outcome::Done), "a well", "it was done: nothing is asked about it");
    let anew = "a fit, a quiet, a up, a well";
    assert_eq!(story_from("a up", Outcome::Interrupted), anew, "it never began");
    assert_eq!(story_from("a up", failed(crate::model::event::FailureKind::Script)), anew);
    assert_eq!(story_from("a up", unknown()), anew, "and after the operator said again");
    assert_eq!(story_from("a well", Outcome::Done), "a well");
}

#[test]
fn a_step_marked_done_needs_no_check_of_what_was_before_it() {
    let phase = rolling("all", |phase| {
        phase.precheck = vec![check("fit")];
        phase.upgrade = vec![run("up")];
    });
    let whole = simulate(plan("a", vec![phase]), finish(), &mut World::default());
    let started = whole.records.len() - 5;
    let mut again = whole.cut(started + 1);
    assert!(again.state.steps.values().any(|step| step.status == StepStatus::Running));
    let mut world = forgetful().answering(|_| Decision::MarkDone { reason: "I looked".into() });
    again.resume(attended()).run(&mut world).audit();
    assert_eq!((again.story().as_str(), again.verdict()), ("", &RunEnd::Finished));
}

#[test]
fn a_point_that_was_passed_is_not_asked_for_again() {
    let mut convert = run("convert");
    convert.point_of_no_return = Some(point(false));
    let phase = rolling("all", |phase| phase.upgrade = vec![check("fit"), convert]);
    let mut simulation = simulate(plan("a", vec![phase]), finish(), &mut World::failing(&["a convert"]));
    simulation.resume(finish()).run(&mut World::default()).audit();
    assert_eq!(simulation.story(), "a fit, a convert");
}

#[test]
fn staging_is_over_once_the_run_has_started() {
    let mut simulation = simulate(rich(), finish(), &mut World::interrupted_at("a up"));
    let resumed = Record {
        seq: simulation.state.latest_seq + 1,
        at: simulation.state.latest_at,
        event: Event::RunResumed { request: request(Goal::Staged) },
    };
    assert!(simulation.state.apply(&resumed).is_err());
}

#[test]
fn a_change_whose_undo_was_under_way_is_made_again() {
    for (scope, fails) in [(Scope::Node, false), (Scope::Node, true), (Scope::Run, false)] {
        let phase = rolling("all", |phase| {
            phase.drain = vec![run("stop").temporary(scope)];
            phase.upgrade = vec![run("up")];
        });
        let mut world = World::failing(&["a up"]);
        if fails {
            world.undo = Box::new(|_, _| failed(crate::model::event::FailureKind::Timeout));
        }
        let whole = simulate(plan("a", vec![phase]), finish(), &mut world);
        let length =
            whole.records.iter().position(|record| matches!(record.event, Event::UndoStarted { .. }));
        for length in length.unwrap() + 1..=whole.records.len() {
            let mut again = whole.cut(length);
            again.resume(finish()).run(&mut World::default()).audit();
            assert_eq!(again.story(), "a stop, a up, a ~stop", "{scope:?} cut at {length}");
        }
    }
}

#[test]
fn an_undo_that_was_under_way_is_asked_about_first() {
    let phase = rolling("all", |phase| phase.drain = vec![run("stop").temporary(Scope::Node)]);
    let whole = simulate(plan("a", vec![phase]), finish(), &mut World::default());
    let length =
        whole.records.iter().position(|record| matches!(record.event, Event::UndoStarted { .. })).unwrap();
    for (outcome, story) in [(Outcome::Done, ""), (Outcome::Interrupted, "a ~stop")] {
        let mut again = whole.cut(length + 1);
        let mut world = World { recover: Box::new(move |_, _| outcome.clone()), ..World::default() };
        again.resume(finish()).run(&mut world).audit();
        assert_eq!((again.story().as_str(), again.verdict()), (story, &RunEnd::Finished));
    }
}

#[test]
fn a_turn_taken_back_in_the_middle_of_a_resumed_run_is_no_longer_done() {
    let mut simulation = simulate(rich(), finish(), &mut World::default());
    let turns = way_back(&simulation.state, Some(&nodes("b"))).unwrap();
    simulation.resume(request(Goal::RolledBack(turns))).run(&mut World::default()).audit();
    assert_eq!(simulation.state.turns[&turn(1, "b")].status, TurnStatus::RolledBack);
    let replayed = RunState::replay(&simulation.records).unwrap().unwrap();
    assert_eq!(replayed, simulation.state);
}
