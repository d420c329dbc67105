//! Every rule fires where it should and keeps quiet where it should not.

mod scripts;

use std::path::PathBuf;

use super::{Document, Finding, Severity, lint};
use crate::model::condition::{Form, Test};
use crate::model::host::Shell;
use crate::model::inventory::{Inventory, SecretSource};
use crate::model::name::{CheckName, RoleName, StepName, VarName};
use crate::model::procedure::{
    Action, Artifact, Capture, Check, CheckRef, Guard, Phase, PhaseBody, Role, Scope, Script, Source, Step,
    Target, Undo, When,
};
use crate::model::selector::Selector;
use crate::model::template::Template;
use crate::model::tests::builder::*;

fn var(name: &str) -> VarName {
    VarName::parse(name).unwrap()
}

fn cluster() -> Inventory {
    let mut inventory = inventory("a b");
    inventory.vars.insert(var("target"), "2".into());
    inventory.secrets.insert(var("password"), SecretSource::Env("PW".into()));
    inventory
}

/// A step that runs this.
fn sh(body: &str) -> Step {
    let mut step = run("step");
    if let Action::Run(run) = &mut step.action {
        run.script.body = body.to_owned();
    }
    step
}

fn bash(body: &str) -> Step {
    let mut step = sh(body);
    if let Action::Run(run) = &mut step.action {
        run.script.shell = Shell::Bash;
    }
    step
}

fn asking(body: &str) -> Check {
    let Action::Check(CheckRef::Inline(mut check)) = check("asked").action else { panic!("a check") };
    check.script.body = body.to_owned();
    *check
}

fn upgrade(steps: Vec<Step>) -> Phase {
    rolling("all", |phase| phase.upgrade = steps)
}

fn of(phases: Vec<Phase>) -> Vec<Finding> {
    lint(&cluster(), &procedure(phases))
}

/// `rule place: message` of every finding.
fn said(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|found| format!("{} {}: {}", found.rule, found.place, found.message)).collect()
}

/// The rules that find something in a script of an upgrade.
fn rules(body: &str) -> Vec<&'static str> {
    of(vec![upgrade(vec![sh(body)])]).iter().map(|finding| finding.rule).collect()
}

#[test]
fn a_procedure_that_is_right_has_no_findings() {
    let body = "printf %s \"$password\" | docker login --password-stdin \"$ROLLGATE_HOST\"\n\
                up --to \"$target\" --home \"$HOME\"\nlocal_name=1; echo \"$local_name ${x:-}\"";
    let found = of(vec![upgrade(vec![sh(body).with_undo()])]);
    assert_eq!(said(&found), Vec::<String>::new());
}

#[test]
fn a_variable_that_nothing_sets() {
    let found = of(vec![upgrade(vec![run("true"), sh("scale --to ${ZYNC_REPLICAS}")])]);
    assert_eq!(said(&found), ["unset-variable phases[0].upgrade[1].run: `ZYNC_REPLICAS` is not set"]);
    assert_eq!((found[0].severity, found[0].document), (Severity::Error, Document::Procedure));
    assert!(found[0].help.contains("vars:"));
}

#[test]
fn a_slip_is_told_from_the_name_that_was_meant() {
    let found = of(vec![upgrade(vec![sh("up $tarqet; cd $ROLLGATE_NOD")])]);
    let helps: Vec<_> = found.iter().map(|found| found.help.as_str()).collect();
    assert_eq!(helps, ["did you mean `ROLLGATE_NODE`?", "did you mean `target`?"]);
}

#[test]
fn a_variable_that_some_nodes_lack() {
    let mut inventory = cluster();
    inventory.nodes[0].vars.insert(var("port"), "53".into());
    let found = lint(&inventory, &procedure(vec![upgrade(vec![sh("up --port $port")])]));
    assert_eq!(said(&found), ["unset-variable phases[0].upgrade[0].run: `port` is not set for b"]);
    // The machine where it runs counts as well.
    let mut elsewhere = sh("up --port $port");
    elsewhere.on = Target::Node(node("a"));
    assert!(lint(&inventory, &procedure(vec![upgrade(vec![elsewhere])])).is_empty());
    // The operator's machine has the cluster's variables alone.
    let phases = vec![upgrade(vec![run("true")]), single("end", vec![sh("report $port $target")])];
    let found = lint(&inventory, &procedure(phases));
    assert_eq!(
        said(&found),
        ["unset-variable phases[1].steps[0].run: `port` is not set on the operator's machine"]
    );
}

#[test]
fn variables_of_steps_and_places() {
    let mut step = sh("up \"$own\"");
    if let Action::Run(run) = &mut step.action {
        run.env.insert(var("own"), Template::new("${target}"));
    }
    assert!(of(vec![upgrade(vec![step.clone()])]).is_empty());
    step.undo = Some(Undo::Run(Script { body: "down $own".into(), shell: Shell::Sh, become_with: None }));
    assert_eq!(
        said(&of(vec![upgrade(vec![step])])),
        ["unset-variable phases[0].upgrade[0].undo: `own` is not set"]
    );
    // Only the operator's machine has the run's directory; only nodes with artifacts have these.
    assert_eq!(rules("cp x $ROLLGATE_RUN_DIR"), ["unset-variable"]);
    assert!(of(vec![upgrade(vec![run("x")]), single("end", vec![sh("ls $ROLLGATE_RUN_DIR")])]).is_empty());
    assert_eq!(rules("ls $ROLLGATE_STAGED"), ["unset-variable"]);
    let mut with = procedure(vec![upgrade(vec![sh("ls $ROLLGATE_STAGED")])]);
    let source = Template::new("./x.tar");
    let source = Source::File { path: source, base: PathBuf::from("/"), sha256: None };
    with.artifacts.push(Artifact { source, nodes: Selector::all() });
    assert!(lint(&cluster(), &with).is_empty());
}

/// What is read when the run starts is not there while it is staged.
#[test]
fn what_is_not_read_yet() {
    let body = "echo \"$ROLLGATE_FROM $ROLLGATE_PINNED_LEADER $ROLLGATE_LIVE_LEADER\"";
    let mut staged = procedure(vec![upgrade(vec![sh(body)])]);
    staged.roles.insert(leader(), role("all"));
    assert_eq!(said(&lint(&cluster(), &staged)), Vec::<String>::new());
    staged.stage = vec![sh(body)];
    let said = said(&lint(&cluster(), &staged));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|said| said.contains("is not set yet")), "{said:?}");
}

#[test]
fn names_in_texts_checks_and_conditions() {
    let mut asked = gate("quiet");
    if let Action::Gate(gate) = &mut asked.action {
        gate.question = Some(Template::new("go on with ${nothing}?"));
        let mut inline = asking("depth $queue");
        inline.remedy = Some(Template::new("see ${book}"));
        gate.checks = vec![CheckRef::Inline(Box::new(inline))];
    }
    asked.when =
        Some(When { var: var("database"), condition: crate::model::condition::Condition::default() });
    let mut phase = rolling("all", |phase| phase.drain = vec![asked]);
    phase.point_of_no_return = Some(point(true));
    let found = said(&of(vec![phase]));
    assert_eq!(
        found,
        [
            "unset-variable phases[0].drain[0].when.var: `database` is not set",
            "unset-variable phases[0].drain[0].checks[0].run: `queue` is not set",
            "unset-variable phases[0].drain[0].checks[0].remedy: `book` is not set",
            "unset-variable phases[0].drain[0].question: `nothing` is not set",
        ]
    );
}

#[test]
fn what_cannot_be_followed_is_left_alone() {
    for body in [". ./env.sh; up $anything", "eval \"$(tool env)\"; up $x", "cat <<'EOF'\n$x\nEOF"] {
        assert!(rules(body).is_empty(), "{body}");
    }
    assert!(rules("awk '{print $x}' f; sed 's/$y//' f").is_empty());
}

fn capturing(name: &str, secret: bool) -> Step {
    let mut step = check("ask");
    if let Action::Check(CheckRef::Inline(check)) = &mut step.action {
        check.condition.form = Form::Text;
    }
    step.capture = Some(Capture {
        name: var(name),
        form: Form::Text,
        exactly_one: false,
        not_empty: false,
        one_of: Vec::new(),
        map: std::collections::BTreeMap::new(),
        secret,
    });
    step
}

#[test]
fn a_capture_of_a_status_keeps_nothing() {
    let kept = |form: Form, tests: Vec<Test>| {
        let mut step = capturing("pod", false);
        let Action::Check(CheckRef::Inline(check)) = &mut step.action else { panic!("a check") };
        check.condition.form = form;
        check.condition.tests = tests;
        said(&of(vec![upgrade(vec![step])]))
    };
    assert_eq!(
        kept(Form::Exit, Vec::new()),
        [
            "kept-status phases[0].upgrade[0].capture: `pod` keeps the exit status of the check, which is always 0, and not what it prints"
        ]
    );
    assert!(kept(Form::Exit, vec![Test::AtMost(Template::new("1"))]).is_empty());
    assert!(kept(Form::Lines, Vec::new()).is_empty());
}

#[test]
fn a_capture_is_used_after_it_is_captured() {
    let found = of(vec![upgrade(vec![sh("up $pod"), capturing("pod", false)])]);
    assert_eq!(
        said(&found),
        [
            "used-before-captured phases[0].upgrade[0].run: `pod` is used here for a, b before anything has captured it"
        ]
    );
    assert_eq!(found[0].help, "phases[0].upgrade[1] captures it");
    assert!(of(vec![upgrade(vec![capturing("pod", false), sh("up $pod")])]).is_empty());
    // What the operator's machine captures everybody sees; what a node captures it sees itself.
    let first = single("first", vec![capturing("pod", false)]);
    assert!(of(vec![first, upgrade(vec![sh("up $pod")])]).is_empty());
    let phases = vec![upgrade(vec![capturing("pod", false)]), single("end", vec![sh("up $pod")])];
    assert_eq!(of(phases)[0].rule, "used-before-captured");
    let mut phase = upgrade(vec![capturing("pod", false)]);
    phase.rollback = vec![sh("down $pod")];
    assert!(of(vec![phase]).is_empty());
}

#[test]
fn nodes_are_in_phases_and_phases_have_nodes() {
    let only = |names: &str| {
        rolling("some", |phase| {
            phase.nodes = Selector::from_list(names);
            phase.upgrade = vec![run("up")];
        })
    };
    let found = of(vec![only("a")]);
    assert_eq!(said(&found), ["node-in-no-phase phases: b is in no phase: it will keep the old version"]);
    assert_eq!(found[0].severity, Severity::Warning);
    let found = of(vec![only("a"), only("b"), only("x*")]);
    assert_eq!(
        said(&found),
        ["phase-without-node phases[2].nodes: phase \"some\" has no node: no node matches `x*`"]
    );
    assert!(of(vec![single("alone", vec![run("x")])]).is_empty(), "there may be nothing to roll");
}

#[test]
fn nobody_is_called_operator() {
    let mut inventory = cluster();
    inventory.nodes[0].name = node("operator");
    let found = lint(&inventory, &procedure(vec![upgrade(vec![run("up")])]));
    assert_eq!((found[0].rule, found[0].document), ("operator-node", Document::Inventory));
}

fn role(of: &str) -> Role {
    Role { check: asking("role"), of: Selector::from_list(of), exactly: Some(1) }
}

fn leader() -> RoleName {
    RoleName::parse("leader").unwrap()
}

#[test]
fn checks_and_roles_are_there_for_something() {
    let mut procedure = procedure(vec![upgrade(vec![run("up")])]);
    procedure.checks.insert(CheckName::parse("sync").unwrap(), asking("sync"));
    procedure.roles.insert(leader(), role("all"));
    assert_eq!(
        said(&lint(&cluster(), &procedure)),
        [
            "unused-check checks.sync: nothing asks check `sync`",
            "unused-role roles.leader: nothing uses role `leader`"
        ]
    );
    let sync = || CheckRef::Named(CheckName::parse("sync").unwrap());
    let mut invariant = procedure.clone();
    invariant.invariants.push(CheckName::parse("sync").unwrap());
    let mut guard = procedure.clone();
    guard.guards.push(Guard { check: sync(), because: Template::new("no") });
    let mut skipping = run("up");
    skipping.skip_if = Some(sync());
    let mut skip = procedure.clone();
    skip.phases = vec![upgrade(vec![skipping])];
    for used in [invariant, guard, skip] {
        assert_eq!(lint(&cluster(), &used).len(), 1, "the role alone");
    }
    let mut last = procedure.clone();
    if let PhaseBody::Rolling(body) = &mut last.phases[0].body {
        body.last = Some(leader());
    }
    let mut named = procedure.clone();
    named.phases = vec![upgrade(vec![sh("join $ROLLGATE_PINNED_LEADER")])];
    for used in [last, named] {
        assert_eq!(lint(&cluster(), &used).len(), 1, "the check alone");
    }
}

#[test]
fn a_live_role_after_it_can_have_moved() {
    let on = |target: Target| {
        let mut step = sh("remove line");
        step.on = target;
        step
    };
    let with = |phases: Vec<Phase>| {
        let mut procedure = procedure(phases);
        procedure.roles.insert(leader(), role("all"));
        lint(&cluster(), &procedure)
    };
    let found = with(vec![upgrade(vec![run("failover"), on(Target::Live(leader()))])]);
    assert_eq!(
        (found.len(), found[0].rule, found[0].place.as_str()),
        (1, "moved-role", "phases[0].upgrade[1].on")
    );
    assert!(found[0].help.contains("pinned.leader"));
    assert!(with(vec![upgrade(vec![run("failover"), on(Target::Pinned(leader()))])]).is_empty());
    assert!(with(vec![upgrade(vec![check("fit"), on(Target::Live(leader()))])]).is_empty());
}

#[test]
fn a_way_back_is_not_offered_from_beyond_the_point() {
    let asked = |text: &str| {
        let mut step = gate("go on");
        if let Action::Gate(gate) = &mut step.action {
            gate.question = Some(Template::new(text));
        }
        step
    };
    let phase = |possible: bool, text: &str| {
        let mut convert = run("convert");
        convert.point_of_no_return = Some(point(possible));
        upgrade(vec![asked(text), convert, asked(text)])
    };
    let found = of(vec![phase(false, "Go on, or roll back?")]);
    assert_eq!(
        said(&found),
        ["rollback-beyond-return phases[0].upgrade[2].question: this offers a way back, and \
          phases[0].upgrade[1] is a point of no return before it"]
    );
    assert!(of(vec![phase(true, "Go on, or roll back?")]).is_empty());
    assert!(of(vec![phase(false, "Go on?")]).is_empty());
}
