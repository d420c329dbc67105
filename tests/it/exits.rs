//! Every exit code, reached through the binary, and the way out that every stop names.

use std::fs;
use std::time::{Duration, Instant};

use rollgate::exit::{Exit, TABLE};
use rustix::process::Signal;

use super::support::{Cluster, NodeSpec, Output, PATIENCE, Running, next, rollgate};

/// A test for each code, and one that holds them to the table.
macro_rules! codes {
    ($($test:ident: $exit:ident = $scene:expr;)*) => {
        $(
            #[test]
            fn $test() {
                let output: Output = $scene;
                ends(Exit::$exit, &output);
            }
        )*

        #[test]
        fn every_code_of_the_table_has_a_test() {
            assert_eq!(vec![$(Exit::$exit),*], TABLE.map(|(exit, _)| exit));
        }
    };
}

codes! {
    done_is_0: Done = run("upgrade:\n  - run: 'true'");
    a_state_directory_that_cannot_be_written_is_1: Broken = with_state_dir("/proc/nowhere");
    an_unknown_node_is_2: Input = go(&one("upgrade:\n  - run: 'true'"), &["-l", "n9"]);
    a_gate_that_stays_closed_is_10: GateClosed = run("drain:\n  - { gate: quiet, checks: [{ run: 'false' }], timeout: 500ms, every: 100ms }");
    a_question_nobody_can_answer_is_11: NoAnswer =
        one("drain:\n  - gate: quiet").rollgate(["start", "--confirm", "test"]).run();
    a_precheck_that_does_not_hold_is_12: CheckFailed = run("precheck:\n  - check: { run: 'false' }");
    a_node_that_cannot_be_reached_is_13: Unreachable = unreachable();
    an_unfinished_run_is_14: Held = unfinished();
    a_drain_that_fails_is_15: DrainFailed = drain_failed();
    a_pause_is_16: Stopped = go(&one("upgrade:\n  - run: 'true'"), &["--pause-after", "n1"]);
    an_undo_that_fails_is_17: UndoFailed =
        run("drain:\n  - { run: 'true', undo: 'false', temporary: node }\nupgrade:\n  - run: 'true'");
    a_run_in_progress_is_18: InProgress = in_progress();
    a_pending_upgrade_is_19: Pending =
        one("upgrade:\n  - run: 'true'").rollgate(["start", "--dry-run", "--detailed-exitcode"]).run();
    an_upgrade_that_fails_is_20: UpgradeFailed = run("upgrade:\n  - run: 'exit 3'");
    a_verify_that_fails_is_21: VerifyFailed = run("upgrade:\n  - run: 'true'\nverify:\n  - check: { run: 'false' }");
    contact_lost_inside_a_step_is_22: Unknown = contact_lost();
    a_rollback_that_fails_is_23: RollbackFailed = rollback_failed();
    a_second_signal_inside_a_step_is_24: Killed = killed();
}

/// A phase for all nodes with these sections.
fn procedure(sections: &str) -> String {
    let sections = sections.replace('\n', "\n    ");
    format!("procedure: exits\nphases:\n  - name: service\n    nodes: 'n*'\n    {sections}\n")
}

fn one(sections: &str) -> Cluster {
    Cluster::new().local(1).procedure(&procedure(sections)).build()
}

/// Starts without a terminal, with everything agreed to.
fn go(cluster: &Cluster, flags: &[&str]) -> Output {
    cluster.rollgate([&["start", "--yes", "--confirm", "test"], flags].concat()).run()
}

fn run(sections: &str) -> Output {
    go(&one(sections), &[])
}

/// A step that leaves an effect and then waits until the test lets it go.
const LONG: &str = "upgrade:\n  - name: long\n    run: 'echo began >> \"$effects\"; until test -e \"$dir/go\" || ! test -d \"$dir\"; do sleep 0.05; done'";

fn release(cluster: &Cluster) {
    fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
}

/// A run in the middle of its long step.
fn at_work(cluster: &Cluster) -> Running {
    let running = cluster.rollgate(["start", "--yes", "--confirm", "test"]).spawn();
    cluster.await_effect("began");
    running
}

fn with_state_dir(path: &str) -> Output {
    let cluster = one("upgrade:\n  - run: 'true'");
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).env("ROLLGATE_STATE_DIR", path).run()
}

fn unreachable() -> Output {
    let mut cluster = Cluster::new().nodes(1).procedure(&procedure("upgrade:\n  - run: 'true'")).build();
    cluster.cut_off("n1");
    ends(Exit::Unreachable, &cluster.rollgate(["check"]).run());
    go(&cluster, &[])
}

fn unfinished() -> Output {
    let cluster = Cluster::new().local(2).procedure(&procedure("upgrade:\n  - run: 'true'")).build();
    ends(Exit::Stopped, &go(&cluster, &["--pause-after", "n1"]));
    let output = go(&cluster, &[]);
    output.stderr_has("tester");
    output
}

fn drain_failed() -> Output {
    let cluster = one(
        "drain:\n  - { run: 'echo out >> \"$effects\"', undo: 'echo in >> \"$effects\"', temporary: node }\n  - run: 'exit 1'",
    );
    let output = go(&cluster, &[]);
    assert_eq!(cluster.effects(), ["out", "in"], "it is back in service");
    output
}

fn in_progress() -> Output {
    let cluster = one(LONG);
    let running = at_work(&cluster);
    let output = cluster.rollgate(["status", "--detailed-exitcode"]).run();
    release(&cluster);
    running.wait().code(0);
    cluster.rollgate(["status", "--detailed-exitcode"]).run().code(0);
    output
}

fn contact_lost() -> Output {
    let mut cluster = Cluster::new().node(NodeSpec::ssh("n1")).procedure(&procedure(LONG)).build();
    let running = at_work(&cluster);
    cluster.cut_off("n1");
    let output = running.wait();
    release(&cluster);
    output
}

fn rollback_failed() -> Output {
    let cluster = one("upgrade:\n  - run: 'true'\nrollback:\n  - run: 'exit 1'");
    ends(Exit::Done, &go(&cluster, &[]));
    cluster.rollgate(["rollback", "--yes", "--confirm", "test"]).run()
}

fn killed() -> Output {
    let cluster = one(LONG);
    let mut running = at_work(&cluster);
    running.signal(Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    while cluster.records(&["stop_requested"]).is_empty() {
        assert!(Instant::now() < deadline, "no stop in the journal:\n{}", cluster.journal());
        std::thread::sleep(Duration::from_millis(10));
    }
    let begun = Instant::now();
    running.signal(Signal::TERM);
    let output = running.wait();
    assert!(begun.elapsed() < Duration::from_secs(10), "it stops at once");
    release(&cluster);
    output
}

/// Insists on the code. That every stop names a way out that can be typed, the harness sees to.
#[track_caller]
fn ends(exit: Exit, output: &Output) {
    output.code(exit.number().into());
}

fn nexts(output: &Output) -> Vec<Vec<String>> {
    next::commands(output.raw_stdout(), output.raw_stderr())
}

/// Does what a `next:` said.
fn again(cluster: &Cluster, next: &[String]) -> Output {
    // The cluster of a test names the inventory by itself.
    assert_eq!(next[..3], ["rollgate", "-i", "inventory.yaml"]);
    cluster.rollgate(&next[3..]).run()
}

#[test]
fn a_second_start_is_told_who_holds_the_cluster() {
    let cluster = one(LONG);
    let running = at_work(&cluster);
    let pid = running.pid();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    for second in [
        &["start", "--yes", "--confirm", "test"][..],
        &["start", "--resume"],
        &["stage"],
        &["rollback", "--yes", "--confirm", "test"],
    ] {
        let output = cluster.rollgate(second).run();
        ends(Exit::Held, &output);
        let said = output.raw_stderr();
        for word in ["tester", &host, &pid.to_string()] {
            assert!(said.contains(word), "{second:?} does not name {word}:\n{said}");
        }
    }
    release(&cluster);
    running.wait().code(0);
    assert_eq!(cluster.effects(), ["began"]);
}

#[test]
fn a_guard_that_holds_is_12() {
    let guarded = "procedure: exits\nrefuse:\n  - { check: { run: 'true' }, because: three on one }\nphases:\n  - name: service\n    nodes: 'n*'\n    upgrade:\n      - run: 'true'\n";
    let cluster = Cluster::new().local(1).procedure(guarded).build();
    let output = go(&cluster, &[]);
    ends(Exit::CheckFailed, &output);
    output.stderr_has("three on one");
    ends(Exit::CheckFailed, &cluster.rollgate(["start", "--dry-run"]).run());
}

#[test]
fn of_two_outcomes_the_highest_counts() {
    let worst =
        run("drain:\n  - { run: 'true', undo: 'exit 1', temporary: node }\nupgrade:\n  - run: 'exit 1'");
    ends(Exit::UpgradeFailed, &worst);
    worst.stderr_has("still in force");
    let undo = run("drain:\n  - { run: 'true', undo: 'exit 1', temporary: node }\n  - run: 'exit 1'");
    ends(Exit::UndoFailed, &undo);
}

#[test]
fn a_signal_at_a_safe_point_is_16() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let cluster = one(&format!("{LONG}\nverify:\n  - run: 'echo verify >> \"$effects\"'"));
        let mut running = at_work(&cluster);
        running.signal(signal);
        let deadline = Instant::now() + PATIENCE;
        while cluster.records(&["stop_requested"]).is_empty() {
            assert!(Instant::now() < deadline, "{signal:?}: no stop in the journal");
            std::thread::sleep(Duration::from_millis(10));
        }
        release(&cluster);
        ends(Exit::Stopped, &running.wait());
        assert_eq!(cluster.effects(), ["began"], "{signal:?}: no other step begins");
        ends(Exit::Done, &cluster.rollgate(["start", "--resume", "--yes"]).run());
        assert_eq!(cluster.effects(), ["began", "verify"]);
    }
}

#[test]
fn what_cannot_be_meant_is_2_and_says_what_can() {
    let cluster = one("upgrade:\n  - run: 'true'");
    for (words, said) in [
        (&["strat"][..], "start"),
        (&["start", "--dryrun"], "--dry-run"),
        (&["status", "-o", "jsn"], "json"),
        (&["start", "--pause-after", "n9"], "n1"),
        (&["start", "--confirm", "tset"], "test"),
        (&["start", "--resume"], "no unfinished run"),
        (&["rollback", "-l", "m1"], "n1"),
        (&["status", "2026-01-01.1"], "2026-01-01.1"),
        (&["man", "nothing"], "rollgate-start"),
        (&[], "COMMAND"),
    ] {
        let output = cluster.rollgate(words).run();
        ends(Exit::Input, &output);
        assert!(output.raw_stderr().contains(said), "{words:?} lacks {said}:\n{}", output.raw_stderr());
    }
    cluster.set_procedure("procedure: exits\nphases:\n  - name: service\n    nods: 'n*'\n");
    let output = cluster.rollgate(["start"]).run();
    ends(Exit::Input, &output);
    output.stderr_has("did you mean `nodes`");
    let none = rollgate(["status"]).run();
    ends(Exit::Input, &none);
    none.stderr_has("there is no inventory");
    let gone = rollgate(["status", "-i", "/nowhere/rollgate.yaml"]).run();
    ends(Exit::Input, &gone);
}

#[test]
fn a_run_that_was_killed_is_found_and_gone_on_with() {
    let cluster = one(LONG);
    let mut running = at_work(&cluster);
    running.signal(Signal::KILL);
    running.wait();
    let status = cluster.rollgate(["status", "--detailed-exitcode"]).run();
    ends(Exit::Killed, &status);
    status.stdout_has("start --resume");
    ends(Exit::Held, &go(&cluster, &[]));
    release(&cluster);
    ends(Exit::Done, &cluster.rollgate(["start", "--resume", "--yes"]).run());
}

#[test]
fn an_upgrade_that_was_never_begun_is_pending() {
    let cluster = one("upgrade:\n  - run: 'true'");
    ends(Exit::Pending, &cluster.rollgate(["status", "--detailed-exitcode"]).run());
    ends(Exit::Done, &cluster.rollgate(["status"]).run());
    ends(Exit::Done, &go(&cluster, &[]));
    ends(Exit::Done, &cluster.rollgate(["status", "--detailed-exitcode"]).run());
    ends(Exit::Done, &go(&cluster, &[]));
}

#[test]
fn unstage_without_a_terminal_is_11_and_names_the_flag() {
    let cluster = one("upgrade:\n  - run: 'true'");
    ends(Exit::Done, &cluster.rollgate(["stage"]).run());
    let output = cluster.rollgate(["unstage"]).run();
    ends(Exit::NoAnswer, &output);
    output.stderr_has("unstage --yes");
    ends(Exit::Done, &cluster.rollgate(["unstage", "--yes"]).run());
}

#[test]
fn a_rollback_or_an_unstage_that_stops_says_how_to_go_on() {
    let cluster = Cluster::new().local(2).procedure(&procedure(
        "upgrade:\n  - run: 'true'\nrollback:\n  - gate: sure\n  - run: 'echo back >> \"$effects\"'",
    ));
    let cluster = cluster.build();
    ends(Exit::Done, &go(&cluster, &[]));
    let stopped = cluster.rollgate(["rollback", "--confirm", "test"]).run();
    ends(Exit::NoAnswer, &stopped);
    let next = nexts(&stopped).swap_remove(0);
    assert!(next.contains(&"--resume".to_owned()), "{next:?}");
    ends(Exit::Done, &again(&cluster, &next));
    assert_eq!(cluster.effects(), ["back", "back"]);

    let cluster = one(
        "drain:\n  - { run: 'true', undo: 'test -e \"$dir/go\"', temporary: run }\nupgrade:\n  - run: 'exit 1'",
    );
    ends(Exit::UpgradeFailed, &go(&cluster, &[]));
    let stopped = cluster.rollgate(["unstage", "--yes"]).run();
    ends(Exit::UndoFailed, &stopped);
    release(&cluster);
    let next = nexts(&stopped).swap_remove(0);
    ends(Exit::Done, &again(&cluster, &next));
}
