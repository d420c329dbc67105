//! Terse inventories, procedures and requests for tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::condition::Condition;
use crate::model::event::{Failure, FailureKind, Goal, Operator, Outcome, Request, Turn};
use crate::model::host::{Become, Connection, Shell};
use crate::model::inventory::{Inventory, Node};
use crate::model::name::{ClusterName, NodeName, PhaseName, StepName, VarName};
use crate::model::plan::{Plan, Sources};
use crate::model::planner;
use crate::model::procedure::{
    Action, BatchSize, Check, CheckRef, Gate, IfUnknown, Manual, Phase, PhaseBody, PointOfNoReturn,
    Procedure, Restriction, Rolling, Run, Scope, Script, Step, Target, Undo,
};
use crate::model::selector::Selector;
use crate::model::template::Template;

pub(in crate::model) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub(in crate::model) fn nodes(names: &str) -> Vec<NodeName> {
    names.split_whitespace().map(node).collect()
}

pub(in crate::model) fn turn(phase: usize, name: &str) -> Turn {
    Turn { phase, node: node(name) }
}

/// Local nodes: `a b=rack1` gives node b the variable `rack`.
pub(in crate::model) fn inventory(names: &str) -> Inventory {
    let nodes = names
        .split_whitespace()
        .map(|word| {
            let (name, rack) = word.split_once('=').unwrap_or((word, ""));
            let rack = (!rack.is_empty()).then(|| (VarName::parse("rack").unwrap(), rack.to_owned()));
            Node {
                name: node(name),
                connection: Connection::Local,
                become_with: Become::None,
                become_password: None,
                state_dir: None,
                groups: Vec::new(),
                vars: rack.into_iter().collect(),
            }
        })
        .collect();
    Inventory {
        cluster: ClusterName::parse("lab").unwrap(),
        vars: BTreeMap::new(),
        secrets: BTreeMap::new(),
        notify: None,
        windows: Vec::new(),
        groups: Vec::new(),
        nodes,
    }
}

pub(in crate::model) fn procedure(phases: Vec<Phase>) -> Procedure {
    Procedure {
        name: "test".to_owned(),
        required_tools: Vec::new(),
        version: None,
        to: None,
        artifacts: Vec::new(),
        checks: BTreeMap::new(),
        roles: BTreeMap::new(),
        invariants: Vec::new(),
        guards: Vec::new(),
        stage: Vec::new(),
        phases,
    }
}

/// The plan of some nodes going through some phases.
pub(in crate::model) fn plan(names: &str, phases: Vec<Phase>) -> Plan {
    plan_of(names, &procedure(phases))
}

pub(in crate::model) fn plan_of(names: &str, procedure: &Procedure) -> Plan {
    let sources = Sources {
        inventory: PathBuf::from("/i"),
        inventory_sha256: String::new(),
        procedure: PathBuf::from("/p"),
        procedure_sha256: String::new(),
    };
    planner::plan(&inventory(names), procedure, sources, &[]).unwrap()
}

/// A rolling phase over all nodes, one at a time.
pub(in crate::model) fn rolling(name: &str, fill: impl FnOnce(&mut Rolling)) -> Phase {
    let mut body = Rolling {
        nodes: Selector::all(),
        batch: vec![BatchSize::Nodes(1)],
        last: None,
        spread: None,
        max_failures: 0,
        precheck: Vec::new(),
        drain: Vec::new(),
        upgrade: Vec::new(),
        verify: Vec::new(),
        undrain: Vec::new(),
        soak: None,
    };
    fill(&mut body);
    phase(name, PhaseBody::Rolling(Box::new(body)))
}

pub(in crate::model) fn single(name: &str, steps: Vec<Step>) -> Phase {
    phase(name, PhaseBody::Single(steps))
}

fn phase(name: &str, body: PhaseBody) -> Phase {
    Phase {
        name: PhaseName::parse(name).unwrap(),
        when: None,
        point_of_no_return: None,
        body,
        rollback: Vec::new(),
    }
}

fn script(body: &str) -> Script {
    Script { body: body.to_owned(), shell: Shell::Sh, become_with: None }
}

fn step(name: &str, action: Action) -> Step {
    Step {
        name: Some(StepName::parse(name).unwrap()),
        when: None,
        on: Target::Itself,
        timeout: Duration::from_mins(1),
        retries: 0,
        skip_if: None,
        undo: None,
        temporary: None,
        capture: None,
        point_of_no_return: None,
        if_unknown: IfUnknown::default(),
        restricts: None,
        action,
    }
}

pub(in crate::model) fn run(name: &str) -> Step {
    let run = Run {
        script: script(name),
        stdin: None,
        cwd: None,
        env: BTreeMap::new(),
        ok_codes: vec![0],
        interactive: false,
        during: None,
    };
    step(name, Action::Run(run))
}

pub(in crate::model) fn check(name: &str) -> Step {
    let check = Check {
        label: name.to_owned(),
        script: script(name),
        on: Target::Itself,
        condition: Condition::default(),
        unit: None,
        evidence: None,
        remedy: None,
        columns: Vec::new(),
        timeout: Duration::from_secs(10),
    };
    step(name, Action::Check(CheckRef::Inline(Box::new(check))))
}

pub(in crate::model) fn gate(name: &str) -> Step {
    let gate =
        Gate { checks: Vec::new(), question: None, steady: 1, every: Duration::from_secs(5), typed: false };
    step(name, Action::Gate(gate))
}

pub(in crate::model) fn manual(name: &str) -> Step {
    step(name, Action::Manual(Manual { text: Template::new(name), check: None }))
}

/// What else is said about a step.
pub(in crate::model) trait Said: Sized {
    fn with_undo(self) -> Self;
    fn temporary(self, scope: Scope) -> Self;
    fn retried(self, times: u32) -> Self;
    fn restricting(self, revert_after: Option<Duration>) -> Self;
    fn if_unknown(self, change: impl FnOnce(&mut IfUnknown)) -> Self;
}

impl Said for Step {
    fn with_undo(mut self) -> Self {
        self.undo = Some(Undo::Run(script("undo")));
        self
    }

    fn temporary(self, scope: Scope) -> Self {
        Self { temporary: Some(scope), ..self.with_undo() }
    }

    fn retried(self, times: u32) -> Self {
        Self { retries: times, ..self }
    }

    fn restricting(self, revert_after: Option<Duration>) -> Self {
        let restricts = Some(Restriction { way_in: None, revert_after });
        Self { restricts, ..self.with_undo() }
    }

    fn if_unknown(mut self, change: impl FnOnce(&mut IfUnknown)) -> Self {
        change(&mut self.if_unknown);
        self
    }
}

pub(in crate::model) fn point(rollback_possible: bool) -> PointOfNoReturn {
    PointOfNoReturn { text: Template::new("data is converted"), rollback_possible }
}

/// The request of a cron job.
pub(in crate::model) fn request(goal: Goal) -> Request {
    let by = Operator { user: "ann".to_owned(), host: "desk".to_owned(), pid: 1 };
    Request { yes: true, parallel: 2, ..Request::new(goal, by) }
}

pub(in crate::model) fn finish() -> Request {
    request(Goal::Finished)
}

/// The same with somebody at the terminal.
pub(in crate::model) fn attended() -> Request {
    Request { attended: true, ..finish() }
}

pub(in crate::model) fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "broken".to_owned(), tail: Vec::new(), help: None })
}

pub(in crate::model) fn unknown() -> Outcome {
    Outcome::Unknown { why: "contact lost".to_owned(), rebooted: false }
}
