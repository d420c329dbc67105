//! Every rule fires where it should and keeps quiet where it should not.

use std::path::PathBuf;

use super::{Document, Finding, Severity, lint};
use crate::model::host::Shell;
use crate::model::inventory::{Inventory, SecretSource};
use crate::model::name::{CheckName, RoleName, StepName, VarName};
use crate::model::procedure::{
    Action, Artifact, Capture, Check, CheckRef, Guard, Phase, PhaseBody, Role, Scope, Script, Step, Target,
    Undo, When,
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
    with.artifacts.push(Artifact { source, sha256: None, nodes: Selector::all(), base: PathBuf::from("/") });
    assert!(lint(&cluster(), &with).is_empty());
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
    step.capture = Some(Capture {
        name: var(name),
        form: crate::model::condition::Form::Text,
        exactly_one: false,
        not_empty: false,
        one_of: Vec::new(),
        map: std::collections::BTreeMap::new(),
        secret,
    });
    step
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

#[test]
fn appending_twice() {
    let patch = r#"oc patch imagestream/x --type json -p '[{"op":"add","path":"/spec/tags/-","value":1}]'"#;
    let escaped = r#"oc patch x -p "[{\"op\":\"add\",\"path\":\"/spec/tags/-\"}]""#;
    for body in ["echo x >> /etc/conf", "echo x | sudo tee -a /etc/conf", patch, escaped] {
        assert_eq!(rules(body), ["appends"], "{body}");
        let mut step = sh(body);
        step.skip_if = Some(CheckRef::Inline(Box::new(asking("there"))));
        assert!(of(vec![upgrade(vec![step])]).is_empty(), "{body}");
    }
    for body in [
        "echo x > /etc/conf",
        "echo x >> /dev/stderr",
        "up >> up.log 2>&1",
        "echo a > /tmp/x\necho b >> /tmp/x",
        "grep -q x /etc/conf || echo x >> /etc/conf",
        "sed -n 's/>>/x/p' f",
        "cat <<'EOF' > /usr/local/bin/x\necho y >> z\nEOF",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
}

#[test]
fn a_secret_on_the_screen() {
    for body in [
        "echo $password",
        "echo \"it is ${password}\" >&2",
        "printf '%s\\n' \"$password\"",
        "set -x; login <<< \"$password\"\n: \"$password\"",
    ] {
        assert_eq!(rules(body), ["secret-shown"], "{body}");
    }
    for body in [
        "printf %s \"$password\" | login",
        "echo \"$password\" > /run/secret",
        "sum=$(printf %s \"$password\" | sha256sum)",
        "echo '$password' \\$password",
        "echo $target",
    ] {
        assert!(!rules(body).contains(&"secret-shown"), "{body}");
    }
}

#[test]
fn a_secret_by_its_name_and_one_as_it_is_stored() {
    for body in [
        "DB_PASSWORD=$(ask); echo $DB_PASSWORD",
        "oc get secret system-database -o yaml",
        "kubectl get secret/x -o json",
        "oc get secret x -o json | jq -r '.data.PASSWORD' | base64 -d",
    ] {
        let found = of(vec![upgrade(vec![bash(body)])]);
        assert_eq!(found.iter().map(|found| found.rule).collect::<Vec<_>>(), ["secret-shown"], "{body}");
    }
    let guessed = of(vec![upgrade(vec![bash("TOKEN=$(ask); api --token $TOKEN")])]);
    assert_eq!((guessed[0].rule, guessed[0].severity), ("secret-argument", Severity::Warning));
    for body in [
        "tokens=3 password_file=/x; echo $tokens $password_file",
        "oc get secret x -o yaml > \"$f\"",
        "oc get secret x",
        "oc get dc x -o yaml",
        "[ \"$(oc get secret x -o json | jq .data.PASSWORD | base64 -d)\" = y ]",
        "cat logo | base64 -d",
    ] {
        let f = "f=/x; ";
        assert!(of(vec![upgrade(vec![bash(&format!("{f}{body}"))])]).is_empty(), "{body}");
    }
}

#[test]
fn a_prompt_that_was_copied() {
    assert_eq!(rules("$ oc edit configmap system"), ["copied-prompt"]);
    for body in ["echo $ x", "'$' x", "echo a | grep a$"] {
        assert!(!rules(body).contains(&"copied-prompt"), "{body}");
    }
}

#[test]
fn a_secret_in_the_list_of_processes() {
    for body in [
        "mysql -p\"$password\"",
        "sudo curl -u \"me:${password}\" https://x",
        "sudo PGPASSWORD=\"$password\" psql",
        "x=$(vault read --token=$password)",
    ] {
        assert_eq!(rules(body), ["secret-argument"], "{body}");
    }
    for body in [
        "PGPASSWORD=\"$password\" psql",
        "[ -n \"$password\" ] && export PW=\"$password\"",
        "login <<EOF\n$password\nEOF",
        "case $password in ?*) ;; esac",
        "login < \"$(mktemp)\"",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
    // A captured one is a secret as well, and a check's script is a script.
    let phases = vec![upgrade(vec![capturing("token", true), sh("api --token $token")])];
    assert_eq!(of(phases)[0].rule, "secret-argument");
    let mut procedure = procedure(vec![upgrade(vec![run("up")])]);
    procedure.version = Some(Script { body: "v -p $password".into(), shell: Shell::Sh, become_with: None });
    assert_eq!(said(&lint(&cluster(), &procedure)).len(), 1);
}

#[test]
fn a_failure_before_a_pipe() {
    for body in
        ["pg_dumpall | gzip > dump.gz", "pod=$(oc get pods | awk '{print $1}')", "a && b | c", "cat f | sort"]
    {
        assert_eq!(rules(body), ["hidden-failure"], "{body}");
        let Action::Run(run) = bash(body).action else { panic!("a run") };
        assert_eq!(run.script.shell, Shell::Bash);
        assert!(of(vec![upgrade(vec![bash(body)])]).is_empty(), "{body}");
    }
    for body in ["echo x | tee f", "if ps | grep x; then y; fi", "a || b"] {
        assert!(rules(body).is_empty(), "{body}");
    }
    let in_a_check = rolling("all", |phase| {
        let mut step = check("asked");
        step.action = Action::Check(CheckRef::Inline(Box::new(asking("ss -Htn | wc -l"))));
        phase.precheck = vec![step];
    });
    assert!(of(vec![in_a_check]).is_empty(), "a check changes nothing");
}

#[test]
fn a_script_from_the_network() {
    for body in ["curl -fsSL https://x/install.sh | sh", "wget -qO- x | sudo bash -s -- -y"] {
        assert!(rules(body).contains(&"unverified-script"), "{body}");
    }
    assert!(!rules("curl -o x https://x; sh x").contains(&"unverified-script"));
    assert!(!rules("curl https://x | jq .").contains(&"unverified-script"));
}

#[test]
fn the_operators_own_way_in() {
    for body in [
        "echo 'ALL: ALL' > /etc/hosts.deny",
        "iptables -A INPUT -p tcp --dport 22 -j DROP",
        "nft add rule inet filter input tcp dport ssh drop",
        "sed -i 's/^Port.*/Port 2222/' /etc/ssh/sshd_config",
        "ufw enable",
        "systemctl stop sshd.service",
    ] {
        assert_eq!(rules(body), ["cuts-ssh"], "{body}");
        let undone = sh(body).temporary(Scope::Node);
        assert!(of(vec![upgrade(vec![undone])]).is_empty(), "{body}");
    }
    for body in [
        "grep Port /etc/ssh/sshd_config",
        "iptables -A INPUT -p tcp --dport 2210 -j DROP",
        "systemctl stop nginx",
        "ssh other true",
    ] {
        assert!(rules(body).is_empty(), "{body}");
    }
}

/// What is wrong with the page from which 3scale is upgraded (2.4 to 2.5).
#[test]
fn the_3scale_page() {
    let steps = vec![
        sh("oc get secret system-database -o jsonpath={.data.PASSWORD} > pw\necho \"$password\""),
        sh("pg_dumpall | gzip > 3scale.sql.gz"),
        sh("oc scale dc/zync --replicas=0"),
        sh(
            r#"oc patch imagestream/amp-zync --type=json -p '[{"op": "add", "path": "/spec/tags/-", "value": {"name": "2.5"}}]'"#,
        ),
        sh(
            "pod=$(oc get pods | grep -i system-mysql | awk '{print $1}')\noc rsh $pod mysqldump -p$password > dump.sql",
        ),
        sh("oc scale dc/zync --replicas=${ZYNC_REPLICAS}"),
    ];
    let inventory = Inventory { nodes: Vec::new(), ..cluster() };
    let found = lint(&inventory, &procedure(vec![single("upgrade", steps)]));
    let found: Vec<_> =
        found.iter().map(|found| (found.severity, found.rule, found.place.as_str())).collect();
    assert_eq!(
        found,
        [
            (Severity::Error, "unset-variable", "phases[0].steps[5].run"),
            (Severity::Error, "secret-argument", "phases[0].steps[4].run"),
            (Severity::Warning, "secret-shown", "phases[0].steps[0].run"),
            (Severity::Warning, "hidden-failure", "phases[0].steps[1].run"),
            (Severity::Warning, "appends", "phases[0].steps[3].run"),
            (Severity::Warning, "hidden-failure", "phases[0].steps[4].run"),
        ]
    );
}

#[test]
fn a_stage_step_is_a_step() {
    let mut procedure = procedure(vec![upgrade(vec![run("up")])]);
    procedure.stage = vec![sh("pull $image")];
    let named = Step { name: Some(StepName::parse("pull").unwrap()), ..sh("pull $target") };
    assert_eq!(said(&lint(&cluster(), &procedure)), ["unset-variable stage[0].run: `image` is not set"]);
    procedure.stage = vec![named];
    assert!(lint(&cluster(), &procedure).is_empty());
}
