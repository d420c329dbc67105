//! Ctrl-C in every section and once more: the terminal is whole, the lock is free, the journal is complete, the way on is
//! named, and the code is right.

use std::fs;

use super::support::{Cluster, Pty};

const PROCEDURE: &str = r#"
    procedure: interrupted
    stage:
      - { name: stage, run: 'HOLD(stage)' }
    phases:
      - name: service
        nodes: n1
        precheck:
          - check: { run: 'HOLD(precheck)', timeout: 1h }
        drain:
          - { name: drain, run: 'HOLD(drain)', undo: 'echo undone >> "$effects"', temporary: node }
        upgrade:
          - { name: upgrade, run: 'HOLD(upgrade)' }
        verify:
          - wait: { run: 'HOLD(verify)', timeout: 1h }
        undrain:
          - { name: undrain, run: 'HOLD(undrain)' }
        rollback:
          - { name: rollback, run: 'HOLD(rollback)' }
"#;

/// A phase that runs once; what it does cannot be taken back.
const SINGLE: &str = r"      - name: end
        steps:
          - { name: single, on: n1, run: 'HOLD(single)' }
";

/// One node that goes through every section. One section waits until the test lets it go.
fn cluster(section: &str) -> Cluster {
    let mut procedure = PROCEDURE.to_owned();
    if section == "single" {
        procedure.push_str(SINGLE);
    }
    for name in EFFECTS.iter().chain(&["precheck", "verify"]) {
        let mut script = format!("echo {name} >> \"$effects\"");
        if *name == section {
            script.push_str(
                "; echo began >> \"$effects\"; until test -e \"$dir/go\" || ! test -d \"$dir\"; do sleep 0.05; done",
            );
        }
        procedure = procedure.replace(&format!("HOLD({name})"), &script);
    }
    Cluster::new().local(1).procedure(&procedure).build()
}

/// Takes a cluster to where a section waits.
fn held(section: &str) -> (Cluster, Pty) {
    let cluster = cluster(section);
    let words: &[&str] = match section {
        "stage" => &["stage"],
        "rollback" => {
            cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(0);
            &["rollback", "--yes", "--confirm", "test"]
        }
        _ => &["start", "--yes", "--confirm", "test"],
    };
    let terminal = cluster.terminal(words);
    cluster.await_effect("began");
    (cluster, terminal)
}

/// Insists that nothing is left behind but a run that can go on.
#[track_caller]
fn is_left_whole(cluster: &Cluster, terminal: &mut Pty, section: &str) {
    assert!(terminal.screen().contains("next: rollgate"), "{section}:\n{}", terminal.screen());
    assert!(!terminal.cursor_is_hidden(), "{section}: the cursor is hidden");
    let journal = cluster.journal();
    let last: serde_json::Value = serde_json::from_str(journal.lines().last().unwrap()).unwrap();
    assert!(last["event"]["run_closed"].is_object(), "{section}: the journal ends with {last}");
    fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
    let status = cluster.rollgate(["status", "-o", "json"]).run();
    let status: serde_json::Value = serde_json::from_str(status.code(0).raw_stdout()).unwrap();
    assert_eq!((&status["at_work"], &status["run"]["stop"]["reason"]), (&false.into(), &stopped_by(&status)));
    let on = if section == "stage" { vec!["stage"] } else { vec!["start", "--resume", "--yes"] };
    cluster.rollgate(on).run().code(0);
}

fn stopped_by(status: &serde_json::Value) -> serde_json::Value {
    let code = &status["run"]["stop"]["exit_code"];
    if code == 16 { "interrupted".into() } else { "killed".into() }
}

const EFFECTS: [&str; 6] = ["stage", "drain", "upgrade", "undrain", "single", "rollback"];

#[test]
fn ctrl_c_in_every_section() {
    for section in ["stage", "precheck", "drain", "upgrade", "verify", "undrain", "single", "rollback"] {
        let (cluster, mut terminal) = held(section);
        terminal.ctrl_c();
        if EFFECTS.contains(&section) {
            terminal.expect("finishing what runs");
            fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
        }
        terminal.ends_with(16);
        is_left_whole(&cluster, &mut terminal, section);
        let effects = cluster.effects();
        if EFFECTS.contains(&section) {
            // What was undone is done again.
            let times = if section == "drain" { 2 } else { 1 };
            let done = effects.iter().filter(|effect| *effect == section).count();
            assert_eq!(done, times, "{section}: {effects:?}");
        }
    }
}

#[test]
fn ctrl_c_twice_in_every_section_that_changes_something() {
    for section in EFFECTS {
        let (cluster, mut terminal) = held(section);
        terminal.ctrl_c().expect("finishing what runs").ctrl_c().ends_with(24);
        is_left_whole(&cluster, &mut terminal, section);
        let effects = cluster.effects();
        assert_eq!(effects.iter().filter(|effect| *effect == section).count(), 1, "{section}: {effects:?}");
    }
}
