//! A small run for the tests of screens and reports: three brokers, a drain with an undo, a gate, an upgrade, a verify.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};

use super::condition::{Condition, Form, Test, Value, Verdict};
use super::event::{
    Event, Goal, Inquiry, Operator, Outcome, Question, Reading, Record, Request, RunId, Turn, TurnEnd,
};
use super::host::{Become, Connection, Shell};
use super::name::{ClusterName, GroupName, NodeName, StepName};
use super::plan::{
    PhaseKind, Plan, PlannedNode, PlannedPhase, PlannedStep, Section, Sources, StepId, StepKey, Work,
};
use super::procedure::{Action, Check, CheckRef, Gate, IfUnknown, Run, Scope, Script, Step, Target, Undo};
use super::state::RunState;
use super::template::{Template, Vars};

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-11-21T08:14:02Z".parse::<Timestamp>().unwrap() + seconds.seconds()
}

fn script(body: &str) -> Script {
    Script { body: body.into(), shell: Shell::Sh, become_with: None }
}

fn step(name: &str, action: Action) -> Step {
    Step {
        name: Some(StepName::parse(name).unwrap()),
        when: None,
        on: Target::Itself,
        timeout: Duration::from_mins(30),
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

fn run(name: &str, body: &str) -> Step {
    let run = Run {
        script: script(body),
        stdin: None,
        cwd: None,
        env: BTreeMap::new(),
        ok_codes: vec![0],
        interactive: false,
        during: None,
    };
    step(name, Action::Run(run))
}

fn check(label: &str, limit: &str) -> CheckRef {
    CheckRef::Inline(Box::new(Check {
        label: label.into(),
        script: script("mqctl depth"),
        on: Target::Itself,
        condition: Condition { form: Form::Number, tests: vec![Test::AtMost(Template::new(limit))] },
        unit: None,
        evidence: None,
        remedy: None,
        columns: Vec::new(),
        timeout: Duration::from_secs(10),
    }))
}

pub(crate) fn plan() -> Plan {
    let names = ["mq-01", "mq-02", "mq-03"].map(node);
    let mut drain = run("stop the receiver", "systemctl stop receiver");
    drain.undo = Some(Undo::Run(script("systemctl start receiver")));
    drain.temporary = Some(Scope::Node);
    let gate = Gate {
        checks: vec![check("queue depth", "100")],
        question: None,
        steady: 3,
        every: Duration::from_secs(5),
        typed: false,
    };
    let planned = |section, n, step: Step| PlannedStep {
        id: StepId::new("brokers", section, n),
        section,
        label: step.name.as_ref().unwrap().to_string(),
        work: Work::Step(Box::new(step)),
    };
    let steps = vec![
        planned(Section::Drain, 1, drain),
        planned(Section::Drain, 2, step("queue depth", Action::Gate(gate))),
        planned(Section::Upgrade, 1, run("install", "mqctl upgrade")),
        planned(Section::Verify, 1, step("cluster sees 3 nodes", Action::Check(check("nodes", "3")))),
    ];
    let phase = PlannedPhase {
        name: "brokers".into(),
        slug: "brokers".into(),
        kind: PhaseKind::Rolling,
        when: None,
        before: Vec::new(),
        nodes: names.to_vec(),
        batches: vec![1],
        last: None,
        spread: None,
        max_failures: 0,
        steps,
        rollback: vec![planned(Section::Rollback, 1, run("downgrade", "mqctl downgrade"))],
    };
    Plan {
        cluster: ClusterName::parse("mq-prod").unwrap(),
        procedure: "brokers".into(),
        to: Some("3.13.7".into()),
        sources: Sources {
            inventory: "/etc/rollgate/rollgate.yaml".into(),
            inventory_sha256: "3f9a41c0".repeat(8),
            procedure: "/etc/rollgate/procedure.yaml".into(),
            procedure_sha256: "ab".repeat(32),
        },
        vars: Vars::new(),
        secrets: BTreeMap::new(),
        notify: None,
        nodes: names
            .iter()
            .map(|name| PlannedNode {
                name: name.clone(),
                connection: Connection::Local,
                become_with: Become::None,
                become_password: None,
                state_dir: None,
                groups: vec![GroupName::parse("broker").unwrap()],
                vars: Vars::new(),
            })
            .collect(),
        version: None,
        checks: BTreeMap::new(),
        roles: BTreeMap::new(),
        invariants: Vec::new(),
        guards: Vec::new(),
        artifacts: Vec::new(),
        windows: Vec::new(),
        phases: vec![phase],
    }
}

pub(crate) fn request() -> Request {
    let by = Operator { user: "anna".into(), host: "bastion-1".into(), pid: 41822 };
    Request {
        attended: true,
        change: Some("CHG-20418".into()),
        args: vec!["start".into(), "--change".into(), "CHG-20418".into()],
        ..Request::new(Goal::Finished, by)
    }
}

pub(crate) fn key(node: &str, section: Section, n: usize) -> StepKey {
    StepKey { node: self::node(node), step: StepId::new("brokers", section, n) }
}

pub(crate) fn reading(value: f64, seconds: i64) -> Reading {
    Reading {
        check: "queue depth".into(),
        node: node("mq-02"),
        value: Some(Value::Number(value)),
        verdict: if value <= 100.0 {
            Verdict::Holds
        } else {
            Verdict::DoesNotHold { why: "needs <= 100".into() }
        },
        needs: "<= 100".into(),
        unit: Some("messages".into()),
        evidence: Vec::new(),
        remedy: None,
        at: at(seconds),
    }
}

pub(crate) fn inquiry() -> Inquiry {
    Inquiry {
        question: Question::Gate { key: key("mq-02", Section::Drain, 2) },
        text: "Go on with mq-02?".into(),
        consequence: "upgrade 3.13.6 -> 3.13.7, verify, back into service".into(),
        typed: None,
        readings: vec![reading(94.0, 400)],
        can_roll_back: true,
        is_unknown: false,
    }
}

/// Events with the second at which each happens: mq-01 is done, mq-02 stands at its gate.
pub(crate) fn events() -> Vec<(i64, Event)> {
    let turn = |node: &str| Turn { phase: 0, node: self::node(node) };
    let mut events = vec![
        (
            0,
            Event::RunOpened {
                run: RunId("2026-11-21.1".into()),
                token: "00c0ffee".into(),
                plan: Box::new(plan()),
                request: request(),
            },
        ),
        (1, Event::VersionRead { node: node("mq-01"), version: "3.13.6".into() }),
        (1, Event::VersionRead { node: node("mq-02"), version: "3.13.6".into() }),
        (2, Event::PhaseStarted { phase: 0 }),
    ];
    let batch =
        |batch, name: &str| Event::BatchFormed { phase: 0, batch, nodes: vec![node(name)], last: vec![] };
    events.push((3, batch(0, "mq-01")));
    for (begun, took, section, n) in [
        (3, 72, Section::Drain, 1),
        (75, 96, Section::Drain, 2),
        (171, 48, Section::Upgrade, 1),
        (219, 36, Section::Verify, 1),
    ] {
        let key = key("mq-01", section, n);
        events.push((begun, Event::StepStarted { key: key.clone(), attempt: 1, on: vec![node("mq-01")] }));
        events.push((begun + took, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done }));
    }
    let undone = key("mq-01", Section::Drain, 1);
    events.push((256, Event::UndoStarted { key: undone.clone(), attempt: 1 }));
    events.push((257, Event::UndoEnded { key: undone, attempt: 1, outcome: Outcome::Done }));
    events.push((258, Event::VersionRead { node: node("mq-01"), version: "3.13.7".into() }));
    events.push((258, Event::TurnEnded { turn: turn("mq-01"), end: TurnEnd::Done }));
    events.push((259, batch(1, "mq-02")));
    let drain = key("mq-02", Section::Drain, 1);
    events.push((259, Event::StepStarted { key: drain.clone(), attempt: 1, on: vec![node("mq-02")] }));
    events.push((300, Event::StepEnded { key: drain, attempt: 1, outcome: Outcome::Done }));
    let gate = key("mq-02", Section::Drain, 2);
    events.push((300, Event::StepStarted { key: gate.clone(), attempt: 1, on: vec![node("mq-02")] }));
    events.push((300, Event::ReadingTaken { key: gate, readings: vec![reading(5200.0, 300)] }));
    events
}

pub(crate) fn records(events: Vec<(i64, Event)>) -> Vec<Record> {
    events
        .into_iter()
        .zip(0..)
        .map(|((seconds, event), seq)| Record { seq, at: at(seconds), event })
        .collect()
}

pub(crate) fn state(events: Vec<(i64, Event)>) -> RunState {
    RunState::replay(&records(events)).unwrap().unwrap()
}
