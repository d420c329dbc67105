//! The dry run over real sshd: it reads everything, says what would happen, and changes nothing anywhere.

use std::collections::BTreeMap;

use serde_json::Value;

use super::support::{Cluster, Invocation, Tree, effects};

/// What can be known of each step beforehand, all kinds of it. A node is at version 2 when its file says so.
const PROCEDURE: &str = r#"
    procedure: upgrade to 2
    to: "2"
    version: { run: cat "$dir/version" }
    artifacts: [{ source: ./image.tar, nodes: "*" }]
    checks:
      quiet: { run: cat "$dir/clients", value: number, at_most: 5, unit: clients }
      is-new: { run: grep -qx 2 "$dir/version" }
    invariants: [quiet]
    refuse:
      - { check: { name: appliance, run: test -e "$dir/appliance" }, because: an appliance cannot be rolled }
    phases:
      - name: all
        nodes: "*"
        precheck: [{ name: alive, check: { run: test -e "$dir/alive" } }]
        drain:
          - { name: stop, run: LOG(stop), undo: LOG(start), temporary: node }
          - { gate: few clients, checks: [quiet], every: 200ms, timeout: 5s }
        upgrade:
          - { name: mark, run: echo new, capture: marker }
          - { name: install, run: echo 2 > "$dir/version"; LOG(install), skip_if: is-new }
          - { name: tell, run: LOG($marker), when: { var: marker, equals: new } }
        verify: [{ name: runs it, wait: { run: cat "$dir/version", equals: "2" } }]
        rollback: [{ run: echo 1 > "$dir/version" }]
"#;

fn cluster() -> Cluster {
    let cluster = Cluster::new().nodes(2).procedure(&effects(PROCEDURE)).build();
    cluster.write("image.tar", "image");
    for (node, version) in [("n1", "1"), ("n2", "2")] {
        cluster.write(&format!("nodes/{node}/version"), &format!("{version}\n"));
        cluster.write(&format!("nodes/{node}/clients"), "3\n");
        cluster.write(&format!("nodes/{node}/alive"), "");
    }
    cluster
}

/// A dry run that is watched: whatever it says, nothing may change.
struct Watched<'c> {
    cluster: &'c Cluster,
    before: [Tree; 3],
}

impl<'c> Watched<'c> {
    fn of(cluster: &'c Cluster) -> Self {
        Self { cluster, before: trees(cluster) }
    }

    fn dry_run(&self, flags: &[&str]) -> Invocation {
        self.cluster.rollgate(["start", "--dry-run"]).args(flags)
    }

    #[track_caller]
    fn unchanged(&self) {
        for (before, after) in self.before.iter().zip(&trees(self.cluster)) {
            before.assert_unchanged(after);
        }
        assert!(self.cluster.effects().is_empty());
    }
}

/// The nodes, rollgate's state here, and the operator's SSH files.
fn trees(cluster: &Cluster) -> [Tree; 3] {
    ["nodes", "state", "ssh"].map(|dir| Tree::of(&cluster.path(dir)))
}

/// What becomes of each step, by the last part of its key: `n1/all.drain.1` and the outlook's word.
#[track_caller]
fn outlooks(document: &str) -> BTreeMap<String, String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let turns = document["turns"].as_array().unwrap();
    let steps = turns.iter().flat_map(|turn| turn["steps"].as_array().unwrap());
    steps
        .map(|step| {
            let word = |field: &str| step[field].as_str().unwrap().to_owned();
            (word("key"), word("outlook"))
        })
        .collect()
}

#[test]
fn it_says_of_every_step_what_would_become_of_it() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    let out = watched.dry_run(&["-o", "json"]).run();
    let found = outlooks(out.code(0).raw_stdout());
    let wanted = [
        ("n1/all.drain.1", "would_run"),
        ("n1/all.drain.2", "would_ask"),
        ("n1/all.precheck.1", "holds"),
        ("n1/all.precheck.2", "holds"),
        ("n1/all.upgrade.1", "would_run"),
        ("n1/all.upgrade.2", "would_run"),
        ("n1/all.upgrade.3", "cannot_know"),
        ("n1/all.verify.1", "cannot_know"),
        ("n1/stage.stage.1", "would_run"),
        ("n2/all.drain.1", "would_run"),
        ("n2/all.drain.2", "would_ask"),
        ("n2/all.precheck.1", "holds"),
        ("n2/all.precheck.2", "holds"),
        ("n2/all.upgrade.1", "would_run"),
        ("n2/all.upgrade.2", "not_needed"),
        ("n2/all.upgrade.3", "cannot_know"),
        ("n2/all.verify.1", "cannot_know"),
        ("n2/stage.stage.1", "would_run"),
    ];
    let found: Vec<(&str, &str)> = found.iter().map(|(key, word)| (key.as_str(), word.as_str())).collect();
    assert_eq!(found, wanted);
    watched.unchanged();
}

#[test]
fn it_says_so_in_words_a_section_each() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched
        .dry_run(&[])
        .run()
        .code(0)
        .stdout_has("nothing was changed")
        .stdout_has("would start; 2 nodes not staged (exit 0)")
        .stdout_has("DONE ALREADY\n  n2  install: is-new on n2: exit 0\n")
        .stdout_has("CANNOT BE KNOWN YET\n  n1  tell: marker is captured by an earlier step\n")
        .stdout_has("pre-checks 2 of 2 hold  gates 1 of 1 open")
        .stdout_has("not tried in a dry run: stage, drain and upgrade (they change something)");
    watched.unchanged();
}

#[test]
fn quiet_it_says_nothing_when_all_is_well() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched.dry_run(&["-q"]).run().code(0).stdout("").stderr("");
    watched.unchanged();
}

#[test]
fn what_is_pending_has_a_code_of_its_own_when_asked_for() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched.dry_run(&["--detailed-exitcode"]).run().code(19);
    watched.unchanged();
}

#[test]
fn a_closed_gate_is_10() {
    let cluster = cluster();
    cluster.write("nodes/n2/clients", "7\n");
    let watched = Watched::of(&cluster);
    // An old fault is no reason to stop; the gate of the node itself stays closed.
    watched.dry_run(&[]).run().code(10).stdout_has("few clients");
    watched.dry_run(&["-q"]).run().code(10).stdout_has("n2");
    watched.unchanged();
}

#[test]
fn a_pre_check_that_does_not_hold_is_12() {
    let cluster = cluster();
    std::fs::remove_file(cluster.path("nodes/n1/alive")).unwrap();
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(12).stdout_has("alive");
    watched.unchanged();
}

#[test]
fn a_guard_that_holds_is_12() {
    let cluster = cluster();
    cluster.write("nodes/n1/appliance", "");
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(12).stdout_has("an appliance cannot be rolled");
    watched.unchanged();
}

#[test]
fn a_node_that_does_not_answer_is_13() {
    let mut cluster = cluster();
    cluster.cut_off("n2");
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(13).stdout_has("n2");
    watched.unchanged();
}

#[test]
fn what_was_staged_is_seen_and_left_alone() {
    let cluster = cluster();
    cluster.rollgate(["stage"]).run().code(0);
    let watched = Watched::of(&cluster);
    let out = watched.dry_run(&["-o", "json"]).run();
    let found = outlooks(out.code(0).raw_stdout());
    assert_eq!(found["n1/stage.stage.1"], "not_needed");
    watched.unchanged();
}
