//! `notify:` tells people of a run, and the run does not wait for it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::support::{Cluster, Invocation, PATIENCE, documents};

const PROCEDURE: &str = r#"
    procedure: told
    phases:
      - name: service
        nodes: "n*"
        drain:
          - gate: agreed
            checks: [{ name: queue, run: echo 0, value: number, at_most: 0, unit: messages }]
            every: 200ms
        upgrade:
          - { name: install, run: 'test ! -e "$dir/broken" && echo upgraded >> "$effects"' }
    "#;

fn told(notify: &str) -> Cluster {
    let inventory = format!("\nnotify: {notify}\n");
    Cluster::new().local(1).inventory(&inventory).procedure(PROCEDURE).build()
}

/// A program of that name on the PATH, in the place of the one that a network needs.
fn stand_in(cluster: &Cluster, name: &str, script: &str) {
    cluster.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    let path = cluster.path("bin").join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn with_stand_ins(cluster: &Cluster, invocation: Invocation) -> Invocation {
    let path = std::env::var("PATH").unwrap();
    invocation.env("PATH", format!("{}:{path}", cluster.path("bin").display()))
}

/// What the command was given, in order; every one is one line.
fn given(cluster: &Cluster) -> Vec<Json> {
    let text = fs::read_to_string(cluster.path("told")).unwrap_or_default();
    documents(&text)
}

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notify").join(name).display().to_string()
}

#[test]
fn a_gate_and_the_end_are_told_once_each() {
    let cluster = told("cat >> told");
    let mut terminal = cluster.terminal(["start", "--confirm", "test", "--change", "CHG-9"]);
    terminal.expect("Go on with n1? [yes/no] ").send("yes\n").ends_with(0);
    let [gate, end] = &given(&cluster)[..] else { panic!("{:?}", given(&cluster)) };
    assert_eq!(gate["format"], "rollgate/notification");
    assert_eq!(gate["event"], "gate_waiting");
    assert_eq!(gate["cluster"], "test");
    assert_eq!(gate["node"], "n1");
    assert_eq!(gate["gate"], "agreed");
    assert_eq!(gate["change"], "CHG-9");
    assert_eq!(gate["readings"][0]["value"], 0.0);
    assert_eq!(gate["text"], "Go on with n1?");
    let next: Vec<&str> = gate["next"][0].as_array().unwrap().iter().filter_map(Json::as_str).collect();
    let number = gate["question"].to_string();
    let words = ["approve", "agreed", "--node", "n1", "--question", &number];
    assert_eq!(next[3..], words, "{next:?}");
    assert_eq!((&end["event"], &end["exit_code"]), (&Json::from("finished"), &Json::from(0)));
}

#[test]
fn a_failure_and_its_question_are_told() {
    let cluster = told("cat >> told");
    fs::write(cluster.node_dir("n1").join("broken"), "").unwrap();
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(20);
    let [end] = &given(&cluster)[..] else { panic!("{:?}", given(&cluster)) };
    assert_eq!((&end["event"], &end["exit_code"]), (&Json::from("stopped"), &Json::from(20)));
    assert_eq!(end["node"], "n1");
    assert!(end["next"].as_array().unwrap().len() > 1, "{end}");
    fs::write(cluster.path("told"), "").unwrap();
    let mut terminal = cluster.terminal(["start", "--resume", "--yes"]);
    terminal.expect("try it again").expect("stop here").send("\n").ends_with(20);
    let [question, end] = &given(&cluster)[..] else { panic!("{:?}", given(&cluster)) };
    assert_eq!(
        (&question["event"], &question["gate"]),
        (&Json::from("question_waiting"), &Json::from("install"))
    );
    assert_eq!(end["event"], "stopped");
}

#[test]
fn what_cannot_tell_anybody_stops_nothing() {
    let cluster = told("'echo no relay >&2; exit 3'");
    cluster
        .rollgate(["start", "--yes", "--confirm", "test"])
        .run()
        .code(0)
        .stderr_has("notify ended with exit status: 3");
    assert_eq!(cluster.effects(), ["upgraded"]);
    let runs = fs::read_dir(cluster.path("state/test/runs")).unwrap();
    let log = runs.map(|run| run.unwrap().path()).max().unwrap().join("notify.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "no relay\n");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn one_that_hangs_is_given_up() {
    let cluster = told("{ run: 'sleep 97', timeout: 300ms }");
    let begun = Instant::now();
    cluster
        .rollgate(["start", "--yes", "--confirm", "test"])
        .run()
        .code(0)
        .stderr_has("notify took longer than 300ms");
    assert!(begun.elapsed() < Duration::from_mins(1));
    let left = std::process::Command::new("pgrep").args(["-fx", "sleep 97"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn the_mail_of_the_example_is_one() {
    let cluster = told(&format!("'{} oncall@example.com'", example("mail")));
    stand_in(&cluster, "sendmail", "{ echo \"sendmail $*\"; cat; } >> mails");
    let start = cluster.rollgate(["start", "--detach", "--confirm", "test"]);
    with_stand_ins(&cluster, start).run().code(0);
    let mails = || fs::read_to_string(cluster.path("mails")).unwrap_or_default();
    let await_mail = |wanted: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !mails().contains(wanted) {
            assert!(Instant::now() < deadline, "no {wanted:?} in {}", mails());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    await_mail("'--deny'");
    let mail = mails();
    assert!(mail.starts_with("sendmail -t\nFrom: "), "{mail}");
    assert!(
        mail.contains("\nTo: oncall@example.com\nSubject: test: gate waiting gate \"agreed\" n1\n"),
        "{mail}"
    );
    assert!(mail.contains("queue on n1: 0 messages, needs <= 0"), "{mail}");
    cluster.rollgate(["approve"]).run().code(0);
    await_mail("exit code 0");
    assert!(mails().contains("Subject: test: finished"), "{}", mails());
}

#[test]
fn the_webhook_of_the_example_keeps_its_address_to_itself() {
    let cluster = told(&format!("'{}'", example("webhook")));
    stand_in(
        &cluster,
        "curl",
        "echo \"$*\" >> arguments; cat >> addresses\nfor word; do case $word in @*) cat \"${word#@}\" >> told ;; esac; done",
    );
    let start = cluster
        .rollgate(["start", "--yes", "--confirm", "test"])
        .env("WEBHOOK_URL", "https://hook.example/s3cret");
    with_stand_ins(&cluster, start).run().code(0);
    let [end] = &given(&cluster)[..] else { panic!("{:?}", given(&cluster)) };
    assert_eq!(end["event"], "finished");
    let read = |name: &str| fs::read_to_string(cluster.path(name)).unwrap();
    assert_eq!(read("addresses"), "url = \"https://hook.example/s3cret\"\n");
    assert!(!read("arguments").contains("s3cret"), "{}", read("arguments"));
}
