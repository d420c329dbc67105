//! A slip of the fingers is answered with what was meant: in verbs, flags, values, nodes, groups, gates, keys, runs,
//! pages and the cluster's name.

use super::support::{Cluster, NodeSpec, rollgate};

fn cluster() -> Cluster {
    Cluster::new()
        .node(NodeSpec::local("broker-1").group("brokers"))
        .node(NodeSpec::local("broker-2").group("brokers"))
        .procedure(
            "
            procedure: typos
            phases:
              - name: service
                nodes: brokers
                drain:
                  - gate: queue drained
                upgrade:
                  - run: 'true'
            ",
        )
        .build()
}

#[test]
fn what_is_typed_wrong_is_answered_with_what_was_meant() {
    let cluster = cluster();
    for (words, meant) in [
        (&["statsu"][..], "'status'"),
        (&["rolback"], "'rollback'"),
        (&["start", "--dryrun"], "'--dry-run'"),
        (&["stage", "--paralel", "2"], "'--parallel'"),
        (&["status", "-o", "jsn"], "'json'"),
        (&["completions", "bsh"], "'bash'"),
        (&["start", "--color", "nevr"], "'never'"),
        (&["start", "-l", "broker1"], "did you mean `broker-1`?"),
        (&["stage", "-l", "borkers"], "did you mean `brokers`?"),
        (&["start", "--pause-after", "broker-3"], "did you mean `broker-1`?"),
        (&["start", "--override", "queue drianed=x"], "did you mean `queue drained`?"),
        (&["start", "--confirm", "tset"], "the cluster is `test`"),
        (&["man", "statsu"], "did you mean `rollgate-status`?"),
        (&["status", "2026-01-01.1"], "there is no run yet"),
    ] {
        cluster.rollgate(words).run().code(2).stdout("").stderr_has(meant).stderr_has("next: rollgate");
    }
    assert_eq!(cluster.journal(), "", "a slip begins nothing");
}

#[test]
fn a_run_that_there_is_not_is_answered_with_those_that_there_are() {
    let cluster = cluster();
    cluster.rollgate(["stage"]).run().code(0);
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(0);
    let listed = std::fs::read_dir(cluster.path("state/test/runs")).unwrap();
    let run = listed.map(|run| run.unwrap().file_name().into_string().unwrap()).max().unwrap();
    let typed = run.replace("20", "21");
    let refused = cluster.rollgate(["status", &typed]).run();
    assert!(refused.code(2).raw_stderr().contains(&run), "{refused:?}");
}

#[test]
fn a_key_that_there_is_not_is_answered_with_the_one_that_there_is() {
    let cluster = cluster();
    let procedure = std::fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    for (right, wrong, meant) in [
        ("nodes: brokers", "nods: brokers", "did you mean `nodes`?"),
        ("nodes: brokers", "nodes: broker", "did you mean `brokers`?"),
        ("drain:", "drian:", "did you mean `drain`?"),
        ("gate: queue", "gaet: queue", "did you mean `gate`?"),
        ("run: 'true'", "check: clientz", "clientz"),
    ] {
        cluster.set_procedure(&procedure.replace(right, wrong));
        let refused = cluster.rollgate(["check", "--syntax-only"]).run();
        refused.code(2).stderr_has(meant).stderr_has("--> ").stderr_has("procedure.yaml:");
    }
    let inventory = std::fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    for (right, wrong, meant) in [
        ("identity_file", "identity_fiel", "did you mean `identity_file`?"),
        ("connection: local", "conection: local", "did you mean `connection`?"),
        ("connection: local", "connection: lokal", "did you mean `local`?"),
        ("cluster: test", "clutser: test", "did you mean `cluster`?"),
    ] {
        cluster.write("inventory.yaml", &inventory.replace(right, wrong));
        cluster.rollgate(["status"]).run().code(2).stderr_has(meant).stderr_has("inventory.yaml:");
    }
    rollgate(["check", "-i", "/nowhere/rollgate.yml"]).run().code(2).stderr_has("No such file or directory");
}
