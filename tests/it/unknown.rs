//! A step whose end nobody saw: what it declares settles it, else a human; the commands for that are named,
//! and nothing begins again unseen.

use super::support::{Cluster, VANISH, effects};

/// The key of [`cluster`]'s step on the first node.
const STEP: &str = "n1/all.upgrade.1";

/// Two nodes. The first attempt of the step on `n1` vanishes; `more` are further keys of the step.
fn cluster(more: &str) -> Cluster {
    let procedure = format!(
        r#"
        procedure: unknown
        phases:
          - name: all
            nodes: "*"
            precheck:
              - check: {{ name: fit, run: LOG(fit) }}
            upgrade:
              - name: up
                run: |
                  LOG(begins)
                  if [ "$ROLLGATE_NODE" = n1 ] && [ ! -e "$dir/begun" ]; then : > "$dir/begun"; {VANISH}; fi
                  LOG(up)
                {more}
        "#
    );
    Cluster::new().nodes(2).procedure(&effects(&procedure)).build()
}

const VANISHED: [&str; 2] = ["n1 fit", "n1 begins"];
const OTHER: [&str; 3] = ["n2 fit", "n2 begins", "n2 up"];

#[track_caller]
fn assert_effects(cluster: &Cluster, parts: &[&[&str]]) {
    assert_eq!(cluster.effects(), parts.concat());
}

fn unknown() -> Cluster {
    let cluster = cluster("timeout: 1m");
    let out = cluster.start(&[]).run();
    out.code(22).stderr_has("nobody knows how it ended");
    for word in ["done", "retry", "fail"] {
        out.stderr_has(&format!("start --resume --yes --confirm test --decide {STEP}={word}"));
    }
    assert_effects(&cluster, &[&VANISHED]);
    cluster
}

#[test]
fn a_resume_asks_the_node_again_and_begins_nothing() {
    let cluster = unknown();
    cluster.resume().run().code(22).stderr_has(&format!("--decide {STEP}=done"));
    assert_effects(&cluster, &[&VANISHED]);
    let status = cluster.rollgate(["status", "--offline"]).run();
    status.code(0).stdout_has(&format!("--decide {STEP}=retry"));
}

#[test]
fn decided_that_it_was_done() {
    let cluster = unknown();
    let out = cluster.resume().args(["--decide", &format!("{STEP}=done:I looked")]).run();
    out.code(0).stderr_has("is taken as done (decided by ").stderr_has(": I looked)");
    assert_effects(&cluster, &[&VANISHED, &OTHER]);
    let settled = cluster.records(&["settled", STEP, "decided", "I looked"]);
    assert_eq!(settled.len(), 1, "{settled:?}");
}

#[test]
fn decided_that_it_is_done_again() {
    let cluster = unknown();
    cluster.resume().args(["--decide", &format!("{STEP}=retry")]).run().code(0);
    assert_effects(&cluster, &[&VANISHED, &["n1 fit", "n1 begins", "n1 up"], &OTHER]);
}

#[test]
fn decided_that_it_failed() {
    let cluster = unknown();
    let out = cluster.resume().args(["--decide", &format!("{STEP}=fail:the disk is full")]).run();
    out.code(20).stderr_has("decided that it failed: the disk is full").lacks("--decide");
    assert_effects(&cluster, &[&VANISHED]);
    cluster.resume().run().code(0);
    assert_effects(&cluster, &[&VANISHED, &["n1 fit", "n1 begins", "n1 up"], &OTHER]);
}

#[test]
fn what_nobody_asked_is_not_decided() {
    let cluster = unknown();
    let journal = cluster.journal();
    for (words, says) in [
        (
            vec!["--resume", "--decide", "n1/all.precheck.1=done"],
            "steps whose end nobody saw: n1/all.upgrade.1",
        ),
        (vec!["--resume", "--decide", "n1/all.upgrade.1.undo=done"], "nothing to decide about"),
        (vec!["--resume", "--decide", "n2/all.upgrade.1=done"], "nothing to decide about"),
        (vec!["--resume", "--decide", "n1/all.upgrade.1=yes"], "`yes` is none of done"),
        (vec!["--resume", "--decide", "n1/all.upgrade.1"], "write NODE/STEP=done"),
        (vec!["--resume", "--decide", "all.upgrade.1=done"], "is not NODE/STEP"),
        (vec!["--decide", "n1/all.upgrade.1=done"], "--resume"),
        (
            vec!["--resume", "--decide", "n1/all.upgrade.1=done", "--decide", "n1/all.upgrade.1=fail"],
            "says two things",
        ),
    ] {
        cluster.start(&words).run().code(2).stderr_has(says);
    }
    assert_eq!(cluster.journal(), journal, "nothing was done");
    assert_effects(&cluster, &[&VANISHED]);
}

#[test]
fn the_check_says_that_it_was_done() {
    let cluster = cluster(r#"done_if: { name: is-up, run: test -e "$dir/begun" }"#);
    cluster.start(&[]).run().code(0).stderr_has("is taken as done (done_if: is-up on n1");
    assert_effects(&cluster, &[&VANISHED, &OTHER]);
}

#[test]
fn the_check_says_that_it_was_not() {
    let cluster = cluster(r#"done_if: { name: is-up, run: test -e "$dir/nothing" }"#);
    cluster.start(&[]).run().code(0).stderr_has("is to be done again (done_if: is-up on n1");
    assert_effects(&cluster, &[&VANISHED, &["n1 fit", "n1 begins", "n1 up"], &OTHER]);
}

#[test]
fn a_check_that_cannot_be_read_leaves_it_to_a_human() {
    // The word that doing it again does no harm counts no more once a check was to say so.
    let keys = r"done_if: { name: is-up, run: echo what, at_most: 5 }
                retry: safe";
    let cluster = cluster(keys);
    let out = cluster.start(&[]).run();
    out.code(22).stderr_has("is-up on n1: unreadable").stderr_has(&format!("--decide {STEP}=done"));
    assert_effects(&cluster, &[&VANISHED]);
    cluster.resume().args(["--decide", &format!("{STEP}=done")]).run().code(0);
    assert_effects(&cluster, &[&VANISHED, &OTHER]);
}

#[test]
fn what_is_safe_is_done_again() {
    let cluster = cluster("retry: safe");
    cluster.start(&[]).run().code(0).stderr_has("is to be done again (retry: safe");
    assert_effects(&cluster, &[&VANISHED, &["n1 fit", "n1 begins", "n1 up"], &OTHER]);
}

/// A temporary change whose undo vanishes.
fn undo_unknown() -> Cluster {
    let procedure = format!(
        r#"
        procedure: unknown
        phases:
          - name: all
            nodes: "*"
            drain:
              - {{ name: stop, run: LOG(stop), undo: 'LOG(undo); {VANISH}', temporary: node }}
            upgrade:
              - {{ name: up, run: LOG(up) }}
        "#
    );
    let cluster = Cluster::new().nodes(1).procedure(&effects(&procedure)).build();
    let out = cluster.start(&[]).run();
    out.code(17).stderr_has("nobody knows").stderr_has("--decide n1/all.drain.1.undo=done");
    assert_effects(&cluster, &[&["n1 stop", "n1 up", "n1 undo"]]);
    cluster
}

#[test]
fn an_undo_that_may_have_run_is_not_begun_again() {
    let cluster = undo_unknown();
    cluster.resume().run().code(17).stderr_has("--decide n1/all.drain.1.undo=retry");
    assert_effects(&cluster, &[&["n1 stop", "n1 up", "n1 undo"]]);
    cluster.resume().args(["--decide", "n1/all.drain.1.undo=done"]).run().code(0);
    assert_effects(&cluster, &[&["n1 stop", "n1 up", "n1 undo"]]);
}

#[test]
fn at_a_terminal_somebody_is_asked() {
    let cluster = cluster("timeout: 1m");
    let mut terminal = cluster.terminal(["start", "--confirm", "test"]);
    terminal
        .expect("nobody knows how")
        .expect("it was done")
        .expect("it was not done")
        .expect("it stays unknown");
    // The choices begin at the last one, to stop, and go round.
    terminal.send("\x1b[B").send("\n");
    terminal.expect("Reason, for the report: ").send("I looked\n").ends_with(0);
    assert_effects(&cluster, &[&VANISHED, &OTHER]);
}
