//! A temporary change is undone on every way out, once: success, a failed step, Ctrl-C, SIGTERM, SIGHUP, an
//! `unstage` of a run in progress or of one that stopped, a resume after `kill -9`.

use rustix::process::Signal;

use super::support::{Cluster, Running, effects};

/// Makes a change on one node and goes on as the words for the later steps say; the next node proves
/// that nothing more began.
fn changing(upgrade: &str) -> Cluster {
    let procedure = format!(
        r#"
        procedure: temporary
        phases:
          - name: all
            nodes: "*"
            drain:
              - {{ name: stop, run: LOG(made), undo: LOG(undone), temporary: node }}
            upgrade:
              - {upgrade}
              - run: LOG(up)
        "#
    );
    Cluster::new().nodes(2).procedure(&effects(&procedure)).build()
}

/// Waits for the release of the test: it creates the file `go`.
const HELD: &str = r#"run: |
                  LOG(begins)
                  while [ ! -e "$dir/../go" ]; do sleep 0.05; done
                  LOG(ends)"#;

/// Starts a run whose upgrade waits.
fn held() -> (Cluster, Running) {
    let cluster = changing(HELD);
    let running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 begins");
    (cluster, running)
}

#[track_caller]
fn assert_whole(cluster: &Cluster) {
    cluster.rollgate(["status", "--offline"]).run().code(0).lacks("in-force:");
}

#[test]
fn after_success() {
    let cluster = changing("run: LOG(begins)");
    cluster.start(&[]).run().code(0);
    assert_eq!(
        cluster.effects(),
        ["n1 made", "n1 begins", "n1 up", "n1 undone", "n2 made", "n2 begins", "n2 up", "n2 undone"]
    );
}

#[test]
fn after_a_step_that_failed() {
    let cluster = changing("run: LOG(begins); exit 1");
    cluster.start(&[]).run().code(20);
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins", "n1 undone"]);
    assert_whole(&cluster);
}

#[test]
fn after_a_change_that_failed_itself() {
    let cluster = changing("run: LOG(begins)");
    let text = std::fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    let failing = text.replace("made\" >> \"$effects\"", "made\" >> \"$effects\"; exit 1");
    assert_ne!(failing, text);
    cluster.set_procedure(&failing);
    cluster.start(&[]).run().code(15);
    assert_eq!(cluster.effects(), ["n1 made", "n1 undone"]);
}

/// Signals a run inside a step: the step is finished, the change is undone, the run stops with 16.
fn after_signal(signal: Signal) {
    let (cluster, mut running) = held();
    running.signal(signal);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins"], "the step in flight goes on");
    cluster.write("nodes/go", "");
    running.wait().code(16).stderr_has("start --resume");
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins", "n1 ends", "n1 undone"]);
    assert_whole(&cluster);

    // What follows stands on it: going on makes it again, and undoes it again.
    cluster.resume().run().code(0);
    assert_eq!(cluster.effects()[4..8], ["n1 made", "n1 up", "n1 undone", "n2 made"]);
    assert_whole(&cluster);
}

#[test]
fn after_ctrl_c() {
    after_signal(Signal::INT);
}

#[test]
fn after_sigterm() {
    after_signal(Signal::TERM);
}

#[test]
fn after_sighup() {
    after_signal(Signal::HUP);
}

#[test]
fn by_unstage_of_a_run_in_progress() {
    let (cluster, running) = held();
    let unstage = cluster.rollgate(["unstage", "--yes"]).spawn();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins"], "the step in flight goes on");
    cluster.write("nodes/go", "");
    running.wait().code(16);
    unstage.wait().code(0).stderr_has("stopping at its next safe point");
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins", "n1 ends", "n1 undone"]);
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("unstaged");
}

/// A change of the whole run outlives an orderly pause in nothing: it is undone by the stop, once, and the
/// `unstage` that follows finds nothing left to undo.
#[test]
fn by_unstage_of_a_run_that_stopped() {
    let cluster = changing("run: LOG(begins); exit 1");
    cluster.start(&[]).run().code(20);
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins", "n1 undone"]);
}

#[test]
fn by_unstage_of_a_run_that_was_killed() {
    let (cluster, mut running) = held();
    running.signal(Signal::KILL);
    running.wait();
    assert_in_force(&cluster);
    // The step lives on the node until it ends, and is followed again.
    cluster.write("nodes/go", "");
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    let log = cluster.effects();
    let count = |word: &str| log.iter().filter(|line| *line == word).count();
    assert_eq!((count("n1 made"), count("n1 undone"), count("n1 up")), (1, 1, 0), "{log:?}");
    assert_whole(&cluster);
}

#[track_caller]
fn assert_in_force(cluster: &Cluster) {
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("in-force: n1: drain \"stop\"");
}

#[test]
fn once_by_a_resume_after_kill_9() {
    let wait = r#"wait: { name: released, run: test -e "$dir/../go" }
                every: 200ms
                timeout: 1m"#;
    let cluster = changing(wait);
    let mut running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 made");
    std::thread::sleep(std::time::Duration::from_millis(500));
    running.signal(Signal::KILL);
    running.wait();
    assert_eq!(cluster.effects(), ["n1 made"]);
    assert_in_force(&cluster);

    cluster.write("nodes/go", "");
    cluster.resume().run().code(0);
    assert_eq!(
        cluster.effects(),
        ["n1 made", "n1 up", "n1 undone", "n2 made", "n2 up", "n2 undone"],
        "made once, undone once"
    );
    assert_whole(&cluster);
}

#[test]
fn an_undo_that_fails_has_its_own_exit_code_and_is_shown_as_in_force() {
    let cluster = changing("run: LOG(begins)");
    let text = std::fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    let failing =
        text.replace("undone\" >> \"$effects\"", "undone\" >> \"$effects\"; test ! -e $dir/../stuck");
    assert_ne!(failing, text);
    cluster.set_procedure(&failing);
    cluster.write("nodes/stuck", "");
    cluster.start(&[]).run().code(17).stderr_has("undo of \"stop\"").stderr_has("still in force:");
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins", "n1 up", "n1 undone"]);
    assert_in_force(&cluster);
    let status = cluster.rollgate(["status", "--offline", "-o", "json"]).run();
    let document: serde_json::Value = serde_json::from_str(status.code(0).raw_stdout()).unwrap();
    assert_eq!(document["run"]["outstanding"].as_array().map(Vec::len), Some(1), "{document:#}");

    // It is tried again by whatever comes next, and what that says to type is a command that exists.
    let next = "unstage --yes  # try it again";
    cluster.rollgate(["unstage", "--yes"]).run().code(17).stderr_has(next);
    assert_in_force(&cluster);
    std::fs::remove_file(cluster.path("nodes/stuck")).unwrap();
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    assert_whole(&cluster);
}

#[test]
fn a_resume_undoes_what_could_not_be_undone_and_goes_on() {
    let cluster = changing("run: LOG(begins)");
    let text = std::fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(
        &text.replace("undone\" >> \"$effects\"", "undone\" >> \"$effects\"; test ! -e $dir/../stuck"),
    );
    cluster.write("nodes/stuck", "");
    cluster.start(&[]).run().code(17);
    std::fs::remove_file(cluster.path("nodes/stuck")).unwrap();
    cluster.resume().run().code(0);
    assert_eq!(
        cluster.effects(),
        [
            "n1 made",
            "n1 begins",
            "n1 up",
            "n1 undone",
            "n1 undone",
            "n2 made",
            "n2 begins",
            "n2 up",
            "n2 undone"
        ]
    );
    assert_whole(&cluster);
}
