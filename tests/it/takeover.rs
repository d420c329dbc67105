//! The operator's machine is gone in the middle of a run: another one, with nothing but the inventory, goes on from
//! what the nodes keep, and nothing is done twice. A state directory of its own stands for the other machine.

use std::fs;

use super::support::{Cluster, counted, effects};

const PROCEDURE: &str = r#"
    procedure: taken over
    checks:
      well: { run: test -d "$dir" }
    roles:
      leader: { run: test "$ROLLGATE_NODE" = n1, of: "*", exactly: 1 }
    phases:
      - name: first
        steps:
          - { name: silence, run: LOG(silence), on: n1, undo: LOG(undo silence), temporary: run }
      - name: nodes
        nodes: "*"
        batch: [1, 2]
        drain:
          - { name: stop, run: 'LOG(stop); sleep 0.1', undo: LOG(undo stop), temporary: node }
          - { gate: empty, checks: [well], every: 50ms, steady: 1 }
        upgrade:
          - { name: pick, run: 'LOG(pick); echo picked', capture: picked }
          - { name: install, run: 'LOG(install); sleep 0.1; test "$picked" = picked' }
          - { name: old, run: 'LOG(old); test "$ROLLGATE_PINNED_LEADER" = n1' }
"#;

fn cluster() -> Cluster {
    Cluster::new().nodes(3).procedure(&effects(PROCEDURE)).build()
}

#[test]
fn at_ten_points_of_a_run() {
    const POINTS: usize = 10;
    let whole = cluster();
    whole.start(&[]).run().code(0);
    let (records, wanted) = (whole.journal().lines().count(), counted(&whole.effects()));
    assert!(wanted.values().all(|count| *count == 1), "{wanted:?}");
    let case = |point: usize| {
        let cluster = cluster();
        let record = 3 + point * (records - 4) / POINTS;
        let out = cluster.start(&[]).killed_at(&cluster.path("state"), record, "after").run();
        assert_eq!(out.exit_code(), 128 + 9, "record {record}: it was not killed\n{out:?}");
        let journal = fs::read_dir(cluster.path("state/test/runs")).unwrap().next().unwrap().unwrap();
        let run = journal.file_name().into_string().unwrap();
        let adopt = || cluster.elsewhere(["start", "--resume", "--adopt", &run, "--yes"]).run();
        cluster.elsewhere(["status", "--from-nodes"]).run().code(0).stdout_has("is rebuilt from");
        adopt().code(14).stderr_has("tester@").stderr_has("its holder lives");
        cluster.silence("5 minutes ago");
        adopt().code(0).stderr_has("is rebuilt from").stderr_has("the lock was taken from tester@");
        assert_eq!(counted(&cluster.effects()), wanted, "killed at record {record}");
        let status = cluster.elsewhere(["status", "--offline"]).run();
        status.code(0).lacks("in-force:");
        // The first machine comes back: what it knows is out of date, and it can begin nothing.
        let back = cluster.resume().run();
        assert_ne!(back.exit_code(), 0);
        assert_eq!(counted(&cluster.effects()), wanted, "the first machine began something");
    };
    std::thread::scope(|scope| {
        for first in 0..3 {
            scope.spawn(move || (first..POINTS).step_by(3).for_each(case));
        }
    });
    println!("{POINTS} of {POINTS} runs went on from another machine to their end, each effect once");
}

#[test]
fn what_the_nodes_do_not_keep_is_not_made_up() {
    let cluster = cluster();
    let none = cluster.elsewhere(["status", "--from-nodes"]).run();
    none.code(2).stderr_has("the nodes keep no run");
    let none = cluster.elsewhere(["start", "--resume", "--adopt", "2026-11-21.1", "--yes"]).run();
    none.code(2).stderr_has("the nodes keep nothing of run");
    cluster.elsewhere(["start", "--adopt", "2026-11-21.1"]).run().code(2).stderr_has("--resume");
}
