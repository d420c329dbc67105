//! Which checks can be read in one call: steps of a turn, one right behind the other, that only read, and of which
//! none can tell whether the others were read before it or after.

use super::name::NodeName;
use super::plan::{Plan, PlannedStep, StepKey, Work};
use super::procedure::{Action, Check, Step, Target};
use super::state::{RunState, StepStatus};

/// A call reads no more of them.
const MOST: usize = 32;

/// What a script names whose value is looked up right before it runs.
const LOOKED_UP: [&str; 2] = ["ROLLGATE_LIVE_", "ROLLGATE_STAGED"];

/// The steps behind a check that can be read in the same call, in their order.
///
/// They are asked of the same machine with the same rights. None has a condition of its own, and none stands behind
/// one that captures something: what is captured is in the environment of all that follow.
pub fn readable_with(state: &RunState, key: &StepKey) -> Vec<StepKey> {
    let Some((phase, _)) = state.plan.find(&key.step) else { return Vec::new() };
    let phase = &state.plan.phases[phase];
    let mut lists = [&phase.before, &phase.steps, &phase.rollback].into_iter();
    let found = lists.find_map(|list| Some((list, list.iter().position(|planned| planned.id == key.step)?)));
    let Some((list, at)) = found else { return Vec::new() };
    let Some((step, check)) = reading(&state.plan, &list[at]) else { return Vec::new() };
    let Some(on) = machine(&check.on, &key.node).filter(|_| step.capture.is_none()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for planned in &list[at + 1..] {
        let next = StepKey { node: key.node.clone(), step: planned.id.clone() };
        let Some((step, other)) = reading(&state.plan, planned) else { break };
        let is_alike = machine(&other.on, &key.node).as_ref() == Some(&on)
            && other.script.become_with == check.script.become_with;
        let is_to_do = state.step(&next).is_none_or(|step| step.status == StepStatus::ToDo);
        if !is_alike || !is_to_do || found.len() + 1 == MOST || depends(step, other) {
            break;
        }
        found.push(next);
        if step.capture.is_some() {
            break;
        }
    }
    found
}

/// The check of a step that is one and nothing else.
fn reading<'a>(plan: &'a Plan, planned: &'a PlannedStep) -> Option<(&'a Step, &'a Check)> {
    let Work::Step(step) = &planned.work else { return None };
    match &step.action {
        Action::Check(reference) if step.on == Target::Itself => Some((step, plan.check(reference))),
        _ => None,
    }
}

/// The one machine that a check is asked of, where that needs no question.
fn machine(on: &Target, lane: &NodeName) -> Option<NodeName> {
    match on {
        Target::Itself => Some(lane.clone()),
        Target::Node(node) => Some(node.clone()),
        Target::Operator => Some(NodeName::operator()),
        Target::Group(_) | Target::Pinned(_) | Target::Live(_) => None,
    }
}

/// Whether something about it is to be found out right before it is read.
fn depends(step: &Step, check: &Check) -> bool {
    step.when.is_some()
        || step.skip_if.is_some()
        || LOOKED_UP.iter().any(|name| check.script.body.contains(name))
}
