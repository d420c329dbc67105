//! Which secrets a node is given at some time in a run: by the scripts whose place it is, or can be.

use std::collections::BTreeMap;

use super::secrets::Secrets;
use crate::model::name::NodeName;
use crate::model::plan::{Plan, PlannedStep, Section, Work};
use crate::model::procedure::{Action, Check, CheckRef, Step, Target, Undo};
use crate::model::state::RunState;
use crate::model::template::Template;
use crate::transport::Secret;

/// The secrets that scripts name whose place can be this node, for whatever lane. Whatever a script of it prints may
/// have one in it, for another may have written it down there; no node is sent more for that than it is given anyway.
pub(super) fn to(plan: &Plan, state: &RunState, secrets: &Secrets, on: &NodeName) -> Vec<Secret> {
    if secrets.masking().is_empty() {
        return Vec::new();
    }
    let operator = NodeName::operator();
    let mut scripts = Scripts { plan, state, on, by_lane: BTreeMap::new() };
    scripts.of_no_phase(&operator);
    for phase in &plan.phases {
        for planned in phase.all_steps() {
            let is_before = planned.section == Section::Before;
            for lane in if is_before { std::slice::from_ref(&operator) } else { &phase.nodes[..] } {
                scripts.planned(planned, lane);
            }
        }
    }
    let mut given: Vec<Secret> = Vec::new();
    for (lane, text) in scripts.by_lane {
        for secret in secrets.named_in(&text, lane).into_values() {
            if !given.contains(&secret) {
                given.push(secret);
            }
        }
    }
    given
}

/// The scripts of a node, by the lane that they belong to: a name is that lane's capture.
struct Scripts<'a> {
    plan: &'a Plan,
    state: &'a RunState,
    on: &'a NodeName,
    by_lane: BTreeMap<&'a NodeName, String>,
}

impl<'a> Scripts<'a> {
    fn add(&mut self, lane: &'a NodeName, text: &str) {
        let all = self.by_lane.entry(lane).or_default();
        all.push_str(text);
        all.push('\n');
    }

    /// Whether what is done there for a lane can be done on the node.
    fn can_be(&self, target: &Target, lane: &NodeName) -> bool {
        match target {
            Target::Itself => lane == self.on,
            Target::Operator => self.on.is_operator(),
            Target::Node(node) => node == self.on,
            Target::Group(group) => self.plan.group(group).any(|node| node == self.on),
            Target::Pinned(role) => self.state.pinned.get(role).is_some_and(|nodes| nodes.contains(self.on)),
            Target::Live(role) => self.plan.roles.get(role).is_some_and(|role| role.of.contains(self.on)),
        }
    }

    /// The version, roles, and what is asked of every node unless it says another place.
    fn of_no_phase(&mut self, operator: &'a NodeName) {
        let (plan, on) = (self.plan, self.on);
        if let Some(script) = &plan.version {
            self.add(on, &script.body);
        }
        for role in plan.roles.values().filter(|role| role.of.contains(on)) {
            self.asked(&role.check, on);
        }
        let named = plan.invariants.iter().filter_map(|name| plan.checks.get(name));
        for check in named.chain(plan.guards.iter().map(|guard| plan.check(&guard.check))) {
            self.check(check, if check.on == Target::Itself { on } else { operator });
        }
    }

    fn planned(&mut self, planned: &'a PlannedStep, lane: &'a NodeName) {
        match &planned.work {
            Work::Step(step) => self.step(step, lane),
            Work::Soak(soak) => self.references(&soak.checks, lane),
            Work::WayIn(way_in) => {
                if self.can_be(self.plan.place_of(way_in), lane) {
                    self.asked(self.plan.check(&way_in.check), lane);
                }
            }
            Work::Stage
            | Work::Unstage
            | Work::Invariants
            | Work::PassPoint { .. }
            | Work::VersionRestored => {}
        }
    }

    fn step(&mut self, step: &'a Step, lane: &'a NodeName) {
        self.references(step.skip_if.iter().chain(&step.if_unknown.done_if), lane);
        let here = self.can_be(&step.on, lane);
        if let (true, Some(Undo::Run(script))) = (here, &step.undo) {
            self.add(lane, &script.body);
        }
        match &step.action {
            Action::Run(run) => {
                if here {
                    self.add(lane, &run.script.body);
                    self.add(lane, run.stdin.as_ref().map_or("", Template::as_str));
                }
                self.references(run.during.iter().flat_map(|during| &during.checks), lane);
            }
            Action::Reboot(script) if here => self.add(lane, &script.body),
            Action::Check(reference) => self.reference(reference, lane),
            Action::Wait(wait) => {
                self.reference(&wait.check, lane);
                if self.can_be(&self.plan.check(&wait.check).on, lane) {
                    for script in wait.per.iter().chain(&wait.show) {
                        self.add(lane, &script.body);
                    }
                }
            }
            Action::Gate(gate) => self.references(&gate.checks, lane),
            Action::Manual(manual) => self.references(&manual.check, lane),
            Action::Reboot(_) | Action::Put(_) | Action::Get(_) => {}
        }
    }

    fn references(&mut self, references: impl IntoIterator<Item = &'a CheckRef>, lane: &'a NodeName) {
        for reference in references {
            self.reference(reference, lane);
        }
    }

    fn reference(&mut self, reference: &'a CheckRef, lane: &'a NodeName) {
        self.check(self.plan.check(reference), lane);
    }

    fn check(&mut self, check: &'a Check, lane: &'a NodeName) {
        if self.can_be(&check.on, lane) {
            self.asked(check, lane);
        }
    }

    fn asked(&mut self, check: &Check, lane: &'a NodeName) {
        self.add(lane, &check.script.body);
        self.add(lane, check.evidence.as_deref().unwrap_or_default());
    }
}
