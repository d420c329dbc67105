//! Which checks are read in one call.

use std::collections::BTreeMap;

use super::builder::*;
use super::simulator::Simulation;
use crate::model::ahead::readable_with;
use crate::model::condition::{Condition, Form};
use crate::model::host::Become;
use crate::model::name::{GroupName, VarName};
use crate::model::plan::{Section, StepId, StepKey};
use crate::model::procedure::{Action, Capture, Check, CheckRef, Step, Target, When};

/// How many of the steps behind the n-th of a `precheck` (from 1) are read with it.
fn behind(steps: Vec<Step>, n: usize) -> usize {
    let phase = rolling("all", |phase| {
        phase.precheck = steps;
        phase.upgrade = vec![run("up")];
    });
    let simulation = Simulation::open(plan("a b", vec![phase]), finish());
    let key = |n| StepKey { node: node("a"), step: StepId::new("all", Section::Precheck, n) };
    let found = readable_with(&simulation.state, &key(n));
    let wanted: Vec<StepKey> = (n + 1..=n + found.len()).map(key).collect();
    assert_eq!(found, wanted);
    found.len()
}

fn checks(count: usize) -> Vec<Step> {
    (1..=count).map(|n| check(&format!("c{n}"))).collect()
}

/// A check of which something else is said.
fn asked(change: impl FnOnce(&mut Check)) -> Step {
    let mut step = check("other");
    let Action::Check(CheckRef::Inline(check)) = &mut step.action else { unreachable!() };
    change(check);
    step
}

fn capturing() -> Step {
    let capture = Capture {
        name: VarName::parse("value").unwrap(),
        form: Form::Text,
        secret: false,
        exactly_one: false,
        not_empty: false,
        one_of: Vec::new(),
        map: BTreeMap::new(),
    };
    Step { capture: Some(capture), ..check("captures") }
}

/// Two checks, this step, and two more: how many are read with the first.
fn with_in_the_midst(step: Step) -> usize {
    let mut steps = checks(2);
    steps.push(step);
    steps.extend(checks(2));
    behind(steps, 1)
}

#[test]
fn all_that_stand_together_are_read_together() {
    assert_eq!(behind(checks(10), 1), 9);
    assert_eq!(behind(checks(10), 4), 6);
    assert_eq!(behind(checks(10), 10), 0);
    assert_eq!(with_in_the_midst(check("plain")), 4);
}

#[test]
fn a_call_has_a_bound() {
    assert_eq!(behind(checks(100), 1), 31);
}

#[test]
fn what_is_no_mere_check_ends_them() {
    assert_eq!(with_in_the_midst(run("changes")), 1);
    assert_eq!(with_in_the_midst(gate("asks")), 1);
    assert_eq!(with_in_the_midst(manual("by hand")), 1);
    assert_eq!(behind(vec![run("changes"), check("fit")], 1), 0);
}

#[test]
fn what_has_a_condition_is_read_when_its_time_has_come() {
    let when = When { var: VarName::parse("v").unwrap(), condition: Condition::default() };
    assert_eq!(with_in_the_midst(Step { when: Some(when.clone()), ..check("when") }), 1);
    let Action::Check(done) = check("done").action else { unreachable!() };
    assert_eq!(with_in_the_midst(Step { skip_if: Some(done), ..check("unless") }), 1);
    // The condition of the first one is settled before the call.
    assert_eq!(behind(vec![Step { when: Some(when), ..check("when") }, check("fit")], 1), 1);
}

#[test]
fn nothing_is_read_before_what_it_may_use_is_captured() {
    assert_eq!(with_in_the_midst(capturing()), 2);
    assert_eq!(behind(vec![capturing(), check("uses")], 1), 0);
}

#[test]
fn another_machine_or_other_rights_are_another_call() {
    assert_eq!(with_in_the_midst(asked(|check| check.on = Target::Operator)), 1);
    assert_eq!(with_in_the_midst(asked(|check| check.on = Target::Node(node("b")))), 1);
    assert_eq!(with_in_the_midst(asked(|check| check.on = Target::Node(node("a")))), 4);
    assert_eq!(with_in_the_midst(asked(|check| check.script.become_with = Some(Become::Sudo))), 1);
    let everybody = || asked(|check| check.on = Target::Group(GroupName::parse("web").unwrap()));
    assert_eq!(behind(vec![everybody(), everybody()], 1), 0);
}

#[test]
fn what_is_looked_up_right_before_is_not_read_ahead() {
    for name in ["ROLLGATE_LIVE_LEADER", "ROLLGATE_STAGED"] {
        let names = || asked(|check| check.script.body = format!("test \"${name}\""));
        assert_eq!(with_in_the_midst(names()), 1);
        assert_eq!(behind(vec![names(), check("fit")], 1), 1);
    }
}

#[test]
fn sections_of_a_turn_follow_on_each_other() {
    let phase = rolling("all", |phase| {
        phase.precheck = vec![check("one")];
        phase.drain = vec![check("two"), run("out")];
    });
    let simulation = Simulation::open(plan("a", vec![phase]), finish());
    let key = |section| StepKey { node: node("a"), step: StepId::new("all", section, 1) };
    assert_eq!(readable_with(&simulation.state, &key(Section::Precheck)), [key(Section::Drain)]);
}
