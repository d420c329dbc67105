//! Adjacent checks of a turn are read in one call, and yet are steps of their own: each has its records, its time and
//! its end. What was read for a step that did not come is never believed.
//!
//! `$$` is the shell that runs a call's scripts: checks that print the same one were read in one call.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, test_kill_process};
use serde_json::Value;

use super::support::{Builder, Cluster, PATIENCE};

/// A check that logs its name and its call, then does something.
fn check(name: &str, more: &str) -> String {
    format!(
        "          - {{ name: {name}, check: {{ run: 'echo \"{name} $$\" >> \"$effects\"; {more}', timeout: 60s }} }}\n"
    )
}

fn procedure(checks: &[String]) -> String {
    format!(
        "procedure: ahead\nphases:\n  - name: all\n    nodes: '*'\n    precheck:\n{}    upgrade:\n      - {{ name: up, \
         run: 'echo up >> \"$effects\"' }}\n",
        checks.concat()
    )
}

fn over_ssh(checks: &[String]) -> Cluster {
    build(Cluster::new().nodes(1), checks)
}

fn build(cluster: Builder, checks: &[String]) -> Cluster {
    cluster.procedure(&procedure(checks)).build()
}

/// A script that waits until the test lets it go.
const HOLDS: &str = "until test -e \"$dir/go\" || ! test -d \"$dir\"; do sleep 0.05; done";

fn let_go(cluster: &Cluster) {
    fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
}

/// The calls in which a check was read, the shell of each.
fn calls_of(cluster: &Cluster, name: &str) -> Vec<String> {
    let lines = cluster.effects();
    let found = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.map(str::to_owned).collect()
}

/// Waits until a check is being read.
#[track_caller]
fn await_call(cluster: &Cluster, name: &str, count: usize) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(call) = calls_of(cluster, name).get(count - 1) {
            return call.clone();
        }
        assert!(Instant::now() < deadline, "{name} is not read: {:?}", cluster.effects());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What the journal says of steps: `started c1`, `ended c1`, by their numbers in the section.
fn steps(cluster: &Cluster) -> Vec<String> {
    let word = |name: &str| match name {
        "step_started" => Some("started"),
        "step_ended" => Some("ended"),
        "reading_taken" => Some("read"),
        _ => None,
    };
    let line = |(name, fields): (String, Value)| {
        let number = fields["key"].as_str()?.strip_prefix("n1/all.precheck.")?.to_owned();
        Some(format!("{} {number}", word(&name)?))
    };
    cluster.history().into_iter().filter_map(line).collect()
}

#[track_caller]
fn await_record(cluster: &Cluster, texts: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    while cluster.records(texts).is_empty() {
        assert!(Instant::now() < deadline, "no record with {texts:?} in\n{}", cluster.journal());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ten_checks_are_one_call_and_ten_steps() {
    let checks: Vec<String> = (1..=10).map(|n| check(&format!("c{n}"), &format!("echo value {n}"))).collect();
    for cluster in [over_ssh(&checks), build(Cluster::new().local(1), &checks)] {
        cluster.start(&[]).run().code(0);
        let calls: BTreeSet<String> = (1..=10).flat_map(|n| calls_of(&cluster, &format!("c{n}"))).collect();
        assert_eq!(calls.len(), 1, "{:?}", cluster.effects());
        assert_eq!(cluster.effects().len(), 11, "{:?}", cluster.effects());
        let each = (1..=10).flat_map(|n| ["started", "read", "ended"].map(|word| format!("{word} {n}")));
        assert_eq!(steps(&cluster), each.collect::<Vec<_>>());
        let readings = cluster.events("reading_taken");
        let said: Vec<&str> =
            readings.iter().map(|event| event["readings"][0]["check"].as_str().unwrap()).collect();
        assert_eq!(said, ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8", "c9", "c10"]);
    }
}

#[test]
fn a_step_ends_when_its_own_check_has_answered() {
    let cluster = over_ssh(&[check("quick", "true"), check("slow", HOLDS), check("last", "true")]);
    let running = cluster.start(&[]).spawn();
    // The first is over, and the second under way, while the call goes on.
    await_record(&cluster, &["step_started", "precheck.2"]);
    assert_eq!(steps(&cluster), ["started 1", "read 1", "ended 1", "started 2"]);
    let_go(&cluster);
    running.wait().code(0);
    let call = calls_of(&cluster, "quick");
    assert_eq!([calls_of(&cluster, "slow"), calls_of(&cluster, "last")], [call.clone(), call]);
}

#[test]
fn a_check_that_fails_leaves_those_behind_it_to_be_read_anew() {
    let holds = "test -e \"$dir/go\"";
    let show = "cat \"$dir/value\"";
    let cluster = over_ssh(&[check("first", "true"), check("second", holds), check("third", show)]);
    cluster.write("nodes/n1/value", "stale\n");
    cluster.start(&[]).run().code(12).stderr_has("second");
    // It was read, and nothing says so.
    assert_eq!(calls_of(&cluster, "third").len(), 1);
    assert_eq!(steps(&cluster), ["started 1", "read 1", "ended 1", "started 2", "ended 2"]);
    cluster.write("nodes/n1/value", "fresh\n");
    let_go(&cluster);
    cluster.resume().run().code(0);
    assert_eq!(calls_of(&cluster, "third").len(), 2);
    let third = cluster.records(&["step_ended", "precheck.3"]);
    assert_eq!(third.len(), 1, "{third:?}");
    assert!(!cluster.journal().contains("stale"), "{}", cluster.journal());
}

#[test]
fn a_check_that_is_tried_again_is_read_with_those_behind_it() {
    let cluster =
        over_ssh(&[check("first", "true"), check("second", "test -e \"$dir/go\""), check("third", "true")]);
    let mut terminal = cluster.terminal(["start", "--yes", "--confirm", "test"]);
    terminal.expect("try it again");
    let_go(&cluster);
    terminal.send("\u{1b}[B\n").ends_with(0);
    let [second, third] = ["second", "third"].map(|name| calls_of(&cluster, name));
    assert_eq!((second.len(), third.len()), (2, 2));
    assert_eq!(second, third);
    assert_ne!(second[0], second[1]);
}

#[test]
fn a_check_that_hangs_fails_alone_and_in_its_time() {
    let brief = |name: &str, more: &str| check(name, more).replace("60s", "2s");
    // All of them take longer together than one may take.
    let slow = "sleep 0.9";
    let cluster = over_ssh(&[
        brief("c1", slow),
        brief("c2", slow),
        brief("c3", slow),
        brief("hangs", "sleep 300"),
        check("behind", "true"),
    ]);
    let begun = Instant::now();
    cluster.start(&[]).run().code(12).stderr_has("hangs").stderr_has("no answer within 2s");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(calls_of(&cluster, "c1"), calls_of(&cluster, "hangs"));
    assert_eq!(steps(&cluster).last().unwrap(), "ended 4");
    assert!(calls_of(&cluster, "behind").is_empty(), "{:?}", cluster.effects());
}

#[test]
fn killed_between_two_of_them_the_rest_is_read_anew() {
    let cluster = over_ssh(&[check("first", "true"), check("second", HOLDS), check("third", "true")]);
    let mut running = cluster.start(&[]).spawn();
    await_record(&cluster, &["step_started", "precheck.2"]);
    let call = await_call(&cluster, "second", 1);
    running.signal(Signal::KILL);
    running.wait();
    let_go(&cluster);
    cluster.resume().run().code(0);
    // The checks that guard an effect that has not begun are asked once more, all in one call.
    let again = calls_of(&cluster, "second").pop().unwrap();
    assert_ne!(again, call);
    assert_eq!(calls_of(&cluster, "third").pop().unwrap(), again);
    assert_eq!(cluster.effects().iter().filter(|line| *line == "up").count(), 1);
}

#[test]
fn a_stop_ends_the_call_with_the_check_that_is_being_read() {
    // The other node is at its upgrade, so the stop waits, and the connections stay.
    let yaml = r#"
        procedure: ahead
        phases:
          - name: all
            nodes: "*"
            batch: 2
            precheck:
              - check: { run: "true" }
              - { name: second, check: { run: 'echo "$ROLLGATE_NODE $$" >> "$effects"; HOLDS(go)', timeout: 1h } }
              - { name: third, check: { run: 'echo "$ROLLGATE_NODE third" >> "$effects"' } }
            upgrade:
              - { name: up, run: 'echo "$ROLLGATE_NODE up" >> "$effects"; HOLDS(done)' }
    "#;
    let holds = |file: &str| HOLDS.replace("go", file);
    let yaml = yaml.replace("HOLDS(go)", HOLDS).replace("HOLDS(done)", &holds("done"));
    let cluster = Cluster::new().nodes(2).procedure(&yaml).build();
    cluster.write("nodes/n2/go", "");
    let mut running = cluster.start(&[]).spawn();
    await_record(&cluster, &["step_started", "n1/all.precheck.2"]);
    let call = await_call(&cluster, "n1", 1);
    cluster.await_effect("n2 up");
    running.signal(Signal::INT);
    await_record(&cluster, &["step_ended", "n1/all.precheck.2", "interrupted"]);
    let_go(&cluster);
    let shell = Pid::from_raw(call.parse().unwrap()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while test_kill_process(shell).is_ok() {
        assert!(Instant::now() < deadline, "the call goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    running.must_still_run();
    assert_eq!(calls_of(&cluster, "n1"), [call], "{:?}", cluster.effects());
    for node in ["n1", "n2"] {
        fs::write(cluster.node_dir(node).join("done"), "").unwrap();
    }
    running.wait().code(16);
    cluster.resume().run().code(0);
}

#[test]
fn what_is_captured_is_known_to_the_checks_behind_it() {
    let checks = [
        check("first", "true"),
        "          - { name: captures, check: { run: 'echo \"captures $$\" >> \"$effects\"; echo blue', equals: blue }, \
         capture: colour }\n"
            .to_owned(),
        // A program may use it whose script does not name it.
        check("uses", "env | grep -qx colour=blue"),
    ];
    let cluster = over_ssh(&checks);
    cluster.start(&[]).run().code(0);
    assert_eq!(calls_of(&cluster, "first"), calls_of(&cluster, "captures"));
    assert_ne!(calls_of(&cluster, "captures"), calls_of(&cluster, "uses"));
}

#[test]
fn a_call_that_breaks_fails_no_check_behind_the_one_it_broke_at() {
    // The second ends the shell of the call once.
    let kills = "test -e \"$dir/go\" || { touch \"$dir/go\"; kill -9 $$; }";
    let cluster = over_ssh(&[check("first", "true"), check("second", kills), check("third", "true")]);
    cluster.start(&[]).run().code(0);
    assert_eq!(calls_of(&cluster, "second").len(), 2);
    assert_eq!(calls_of(&cluster, "third").len(), 1);
    assert_eq!(steps(&cluster).last().unwrap(), "ended 3");
}

#[test]
fn of_checks_that_are_asked_together_one_that_hangs_costs_its_own_time() {
    let yaml = r#"
        procedure: together
        phases:
          - name: all
            nodes: "*"
            upgrade: [{ run: "true" }]
            soak:
              for: 1s
              every: 1s
              checks:
                - { name: well, run: "sleep 1", timeout: 1h }
                - { name: hangs, run: "sleep 300", timeout: 2s }
                - { name: behind, run: "true", timeout: 1h }
    "#;
    let cluster = Cluster::new().nodes(1).procedure(yaml).build();
    cluster.start(&[]).run().code(21).stderr_has("hangs on n1: unreadable: no answer within 2s");
}
