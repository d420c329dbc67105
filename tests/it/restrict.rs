//! Steps that restrict SSH: the way in is asked for first, a new login proves it afterwards, and what shuts rollgate
//! out is undone: by rollgate at once, or by the node itself, and never by both.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::{Cluster, HELD, NodeSpec, PATIENCE, VANISH, effects};

/// Shuts everybody out of its node, unless the test has made a file `harmless` there.
const PROCEDURE: &str = r#"
    procedure: restricting
    phases:
      - name: all
        nodes: "*"
        drain:
          - { name: stop, run: LOG(stop), undo: LOG(undo stop), temporary: node }
          - name: close
            restricts: ssh
            RESTRICTION
            run: |
              LOG(close)
              test -e "$dir/harmless" || mv "$sshd/authorized_keys" "$sshd/nobody"
              MORE
            undo: |
              LOG(open)
              test ! -e "$sshd/nobody" || mv "$sshd/nobody" "$sshd/authorized_keys"
            temporary: node
        upgrade:
          - name: up
            run: |
              LOG(up)
              HELD
"#;

/// One node; its variable `sshd` is the directory of its sshd.
fn cluster(restriction: &str, more: &str, held: &str) -> Cluster {
    written(PROCEDURE, restriction, more, held)
}

fn written(procedure: &str, restriction: &str, more: &str, held: &str) -> Cluster {
    let text = procedure.replace("RESTRICTION", restriction).replace("MORE", more).replace("HELD", held);
    let cluster = Cluster::new().node(NodeSpec::ssh("n1")).procedure(&effects(&text)).build();
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    let sshd = cluster.path("sshd/n1").display().to_string();
    cluster.write(
        "inventory.yaml",
        &inventory.replace("    vars:\n", &format!("    vars:\n      sshd: {sshd}\n")),
    );
    cluster
}

/// What the node keeps of the timer of the first attempt.
fn timer(cluster: &Cluster, file: &str) -> PathBuf {
    let runs = cluster.node_dir("n1").join("rollgate/test/runs");
    let run = fs::read_dir(runs).unwrap().map(|run| run.unwrap().path()).max().unwrap();
    run.join("jobs/n1.all.drain.2.revert.1").join(file)
}

/// Waits for the end of a job, by where its outcome is kept.
#[track_caller]
fn await_end(exit: &std::path::Path) {
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(exit).is_ok_and(|outcome| outcome.contains("kept")) {
        assert!(Instant::now() < deadline, "{} never has an outcome", exit.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn names(cluster: &Cluster) -> Vec<String> {
    cluster.history().into_iter().map(|(name, _)| name).collect()
}

/// Whether these follow each other somewhere in the journal.
#[track_caller]
fn in_a_row(cluster: &Cluster, wanted: &[&str]) {
    let names = names(cluster);
    assert!(names.windows(wanted.len()).any(|found| found == wanted), "{names:?}");
}

#[test]
fn a_restriction_that_shuts_everybody_out_is_undone_at_once() {
    for restriction in ["", "revert_after: 10m"] {
        let cluster = cluster(restriction, "", "");
        let out = cluster.start(&[]).run();
        out.code(15).stderr_has("n1 took no new login after it, so it is undone: ");
        assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 open", "n1 undo stop"]);
        let settled: &[&str] = if restriction.is_empty() { &[] } else { &["revert_ended"] };
        in_a_row(
            &cluster,
            &[&["step_ended", "undo_started"], settled, &["undo_ended", "undo_started"]].concat(),
        );
        // Nobody is locked out, and the node has nothing left to undo by itself.
        cluster.rollgate(["status"]).run().code(0).lacks("in-force:").lacks("armed:");
        if !restriction.is_empty() {
            await_end(&timer(&cluster, "exit"));
            assert_eq!(fs::read_to_string(timer(&cluster, "verdict")).unwrap(), "withdrawn\n");
        }
    }
}

#[test]
fn one_that_lets_a_new_login_in_is_confirmed_and_stays_for_its_scope() {
    let cluster = cluster("revert_after: 10m", "", "");
    cluster.write("nodes/n1/harmless", "");
    cluster.start(&[]).run().code(0).stderr_has("confirmed by a new login to n1, it stays");
    in_a_row(&cluster, &["step_started", "revert_armed", "revert_ended", "step_ended"]);
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 up", "n1 open", "n1 undo stop"]);
    assert_eq!(fs::read_to_string(timer(&cluster, "verdict")).unwrap(), "confirmed\n");
    assert_eq!(cluster.records(&["revert_ended", "confirmed"]).len(), 1);
}

#[test]
fn without_a_timer_a_new_login_proves_it_all_the_same() {
    let cluster = cluster("", "", "");
    cluster.write("nodes/n1/harmless", "");
    cluster.start(&[]).run().code(0).stderr_has("a new login works");
    assert!(!names(&cluster).iter().any(|name| name.starts_with("revert_")));
}

/// Whoever started it is gone before he could confirm it, and nobody can log in any more: the node opens itself.
#[test]
fn after_kill_9_the_node_opens_itself_and_a_resume_says_so() {
    let cluster = cluster("revert_after: 12s", HELD, "");
    let mut running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 close");
    running.signal(Signal::KILL);
    running.wait();
    let status = cluster.rollgate(["status", "--offline"]).run();
    status.code(0).stdout_has("armed: n1 undoes drain \"close\" by itself in ");
    let json = cluster.rollgate(["status", "--offline", "-o", "json"]).run();
    let document: serde_json::Value = serde_json::from_str(json.code(0).raw_stdout()).unwrap();
    assert_eq!(document["run"]["armed"][0]["node"], "n1", "{document:#}");
    assert!(!cluster.path("sshd/n1/authorized_keys").exists(), "it is not closed");
    cluster.write("nodes/n1/go", "");

    cluster.await_effect("n1 open");
    await_end(&timer(&cluster, "exit"));
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 open"]);
    assert!(cluster.path("sshd/n1/authorized_keys").exists());
    cluster
        .rollgate(["status", "--offline"])
        .run()
        .stdout_has("armed: n1 was to undo drain \"close\" by itself ");

    // It counts as not made, so it is made again.
    cluster.write("nodes/n1/harmless", "");
    cluster
        .resume()
        .run()
        .code(0)
        .stderr_has("drain \"close\": n1 undid it by itself, so it counts as not made");
    let after = ["n1 stop", "n1 close", "n1 open", "n1 close", "n1 up", "n1 open", "n1 undo stop"];
    assert_eq!(cluster.effects(), after);
    cluster.rollgate(["status", "--offline"]).run().code(0).lacks("armed:");
}

/// A run that is to end finds the node open, and undoes nothing a second time.
#[test]
fn after_kill_9_an_unstage_undoes_nothing_that_the_node_has_undone() {
    let cluster = cluster("revert_after: 3s", "", "");
    let mut running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 close");
    running.signal(Signal::KILL);
    running.wait();
    // Rollgate may have been quick enough to undo it: then there is no timer to wait for.
    await_end(&timer(&cluster, "exit"));
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    let opened = cluster.effects().iter().filter(|effect| *effect == "n1 open").count();
    assert_eq!(opened, 1, "{:?}", cluster.effects());
    cluster.rollgate(["status", "--offline"]).run().code(0).lacks("armed:").lacks("in-force:");
}

#[test]
fn after_kill_9_what_was_confirmed_is_not_undone() {
    let cluster = cluster("revert_after: 3s", "", HELD);
    cluster.write("nodes/n1/harmless", "");
    let mut running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 up");
    running.signal(Signal::KILL);
    running.wait();
    // The time is over when the process that waited is gone.
    await_end(&timer(&cluster, "exit"));
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 up"]);
    cluster.rollgate(["status", "--offline"]).run().code(0).lacks("armed:");
    cluster.write("nodes/n1/go", "");
    cluster.resume().run().code(0);
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 up", "n1 open", "n1 undo stop"]);
}

/// The connections that there are go as well: nothing of rollgate reaches the node until it has opened itself.
#[test]
fn a_node_that_cuts_every_connection_opens_itself_while_rollgate_waits() {
    let cut = r#"ps -o pid= --ppid "$(cat "$sshd/sshd.pid")" | while read -r pid; do kill -9 $pid; done"#;
    let cluster = cluster("revert_after: 6s", cut, "");
    let out = cluster.start(&[]).run();
    out.code(15).stderr_has("n1 undid it by itself: no new login had confirmed it within 6s");
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 open", "n1 undo stop"]);
    assert_eq!(fs::read_to_string(timer(&cluster, "verdict")).unwrap(), "reverted\n");
    cluster.rollgate(["status"]).run().code(0).lacks("in-force:").lacks("armed:");
}

/// The operator's address as the node sees it, and the check that judges by it.
const WAY_IN: &str = r#"way_in: { name: not-from-here, run: 'echo "from $ROLLGATE_OPERATOR_ADDRESS $ROLLGATE_OPERATOR_JUMP."; test "$ROLLGATE_OPERATOR_ADDRESS" != 127.0.0.1', remedy: come from elsewhere }"#;

#[test]
fn the_way_in_is_refused_before_the_step_begins() {
    let cluster = cluster(WAY_IN, "", "");
    let out = cluster.start(&[]).run();
    out.code(12).stderr_has("way in before \"close\"").stderr_has("not-from-here on n1");
    out.stderr_has("come from elsewhere; --override 'close=REASON' goes on all the same");
    assert_eq!(cluster.effects(), ["n1 stop", "n1 undo stop"]);
    // A dry run knows it beforehand.
    let cluster = self::cluster(WAY_IN, "", "");
    cluster.start(&["--dry-run"]).run().code(12);
    assert!(cluster.effects().is_empty());
}

#[test]
fn the_way_in_is_passed_on_purpose_and_with_a_reason() {
    let cluster = cluster(WAY_IN, "", "");
    cluster.write("nodes/n1/harmless", "");
    cluster.start(&["--override", "clsoe=x"]).run().code(2).stderr_has("no gate is called `clsoe`");
    cluster.start(&["--override", "close=CHG-7: from the console"]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 up", "n1 open", "n1 undo stop"]);
    let said = cluster.records(&["answered", "override", "CHG-7: from the console", "not-from-here"]);
    assert_eq!(said.len(), 1);
    cluster.rollgate(["report", "-o", "plain"]).run().code(0).stdout_has("CHG-7: from the console");
}

#[test]
fn where_there_is_no_ssh_on_the_way_nothing_is_proved_and_it_is_said() {
    let asked = r#"way_in: { name: no-way, run: 'test -z "$ROLLGATE_OPERATOR_ADDRESS$ROLLGATE_OPERATOR_JUMP"' }
            revert_after: 10m"#;
    let text = PROCEDURE.replace("RESTRICTION", asked).replace("MORE", "").replace("HELD", "");
    let cluster = Cluster::new().local(1).procedure(&effects(&text)).build();
    cluster.write("nodes/n1/harmless", "");
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &inventory.replace("    vars:\n", "    vars:\n      sshd: /nowhere\n"));
    // This rollgate was itself called over ssh: that is not the way to the node.
    let out = cluster.start(&[]).env("SSH_CONNECTION", "192.0.2.7 4711 192.0.2.1 22").run();
    out.code(0).stderr_has("there is no ssh on the way to it");
    assert!(!names(&cluster).iter().any(|name| name.starts_with("revert_")));
    assert_eq!(cluster.effects(), ["n1 stop", "n1 close", "n1 up", "n1 open", "n1 undo stop"]);
}

/// Nobody saw the end of the step, and somebody says that it was done: the node is asked before that counts.
#[test]
fn what_is_taken_as_done_is_confirmed_by_a_new_login() {
    let stays = PROCEDURE.replacen("            temporary: node\n        upgrade", "        upgrade", 1);
    // The timer's own process lives on.
    let vanish = VANISH.replacen("do ", "do case $owner in (*.revert.*) continue ;; esac; ", 1);
    let cluster = written(&stays, "revert_after: 10m", &vanish, "");
    cluster.write("nodes/n1/harmless", "");
    cluster.start(&[]).run().code(22);
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("armed: n1 undoes");
    let out = cluster.resume().args(["--decide", "n1/all.drain.2=done:I looked"]).run();
    out.code(0).stderr_has("it is taken as done when a new login has confirmed it").lacks("is not needed");
    in_a_row(&cluster, &["settled", "revert_ended", "step_ended"]);
    assert_eq!(fs::read_to_string(timer(&cluster, "verdict")).unwrap(), "confirmed\n");
    cluster.rollgate(["status", "--offline"]).run().code(0).lacks("armed:");
}
