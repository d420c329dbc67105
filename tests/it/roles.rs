//! Roles: who has one is asked of the nodes, at the moment when it matters.

use super::support::{Cluster, Pty, Size, effects};

/// Five nodes that share one file with the leader's name. Before a node is upgraded it hands the leadership on
/// to the next one of a list, when it is the one whose turn it is to do so.
const MOVING: &str = r#"
    procedure: the leader moves
    roles:
      leader:
        run: if [ "$(cat "$dir/../leader")" = "$ROLLGATE_NODE" ]; then echo leader; else echo follower; fi
        equals: leader
        of: "*"
        exactly: 1
    phases:
      - name: all
        nodes: "*"
        last: leader
        drain:
          - run: |
              leader=$(cat "$dir/../leader")
              LOG(drain while $leader leads)
              case $ROLLGATE_NODE in
                n1) echo n3 > "$dir/../leader" ;;
                n4) echo n2 > "$dir/../leader" ;;
              esac
        upgrade:
          - run: echo "$ROLLGATE_NODE sees $ROLLGATE_PINNED_LEADER then, $ROLLGATE_LIVE_LEADER now" >> "$effects"
      - name: finish
        steps:
          - { run: ON(remove the line), on: pinned.leader }
          - { run: ON(announce), on: live.leader }
          - gate: announced
            question: Does ${ROLLGATE_LIVE_LEADER} lead, after ${ROLLGATE_PINNED_LEADER}?
"#;

fn five() -> Cluster {
    let cluster = Cluster::new().nodes(5).procedure(&effects(MOVING)).build();
    cluster.write("nodes/leader", "n5\n");
    cluster
}

#[test]
fn the_leader_of_each_moment_goes_last() {
    let cluster = five();
    cluster.start(&[]).run().code(0);
    assert_eq!(
        cluster.effects(),
        [
            // n5 leads at the start. n1 makes n3 the leader, so n3 is passed over from now on.
            "n1 drain while n5 leads",
            "n1 sees n5 then, n3 now",
            "n2 drain while n3 leads",
            "n2 sees n5 then, n3 now",
            // n4 makes n2, which is done, the leader: the order of the file counts again.
            "n4 drain while n3 leads",
            "n4 sees n5 then, n2 now",
            "n3 drain while n2 leads",
            "n3 sees n5 then, n2 now",
            "n5 drain while n2 leads",
            "n5 sees n5 then, n2 now",
            "operator remove the line on n5",
            "operator announce on n2",
        ]
    );
}

#[test]
fn a_leader_that_stays_is_the_very_last() {
    let cluster = five();
    cluster.set_procedure(&effects(MOVING).replace("case $ROLLGATE_NODE", "case x$ROLLGATE_NODE"));
    cluster.write("nodes/leader", "n2\n");
    cluster.start(&[]).run().code(0);
    let log = cluster.effects();
    let order: Vec<&str> =
        log.iter().filter_map(|line| line.split_once(" drain").map(|(node, _)| node)).collect();
    assert_eq!(order, ["n1", "n3", "n4", "n5", "n2"]);
    let rolling = cluster.events("batch_formed").into_iter().filter(|batch| batch["phase"] == 0);
    assert_eq!(rolling.filter(|batch| batch["last"] == serde_json::json!(["n2"])).count(), 5);
}

#[test]
fn the_pinned_leader_is_that_of_the_start_after_a_resume_too() {
    let cluster = five();
    cluster.start(&["--pause-after", "n4"]).run().code(16);
    cluster.resume().run().code(0);
    let log = cluster.effects();
    assert_eq!(log[log.len() - 2..], ["operator remove the line on n5", "operator announce on n2"]);
    assert_eq!(log.len(), 12, "{log:?}");
}

#[test]
fn a_role_that_too_few_or_too_many_have_ends_it_before_it_begins() {
    let cluster = five();
    let before = cluster.nodes_tree().without_bookkeeping();
    cluster.set_procedure(&effects(MOVING).replace("equals: leader", "one_of: [leader, follower]"));
    cluster
        .start(&[])
        .run()
        .code(12)
        .stderr_has("exactly 1 must have role leader, and n1, n2, n3, n4, n5 has it");
    before.assert_unchanged(&cluster.nodes_tree().without_bookkeeping());

    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    cluster.set_procedure(&effects(MOVING));
    cluster.write("nodes/leader", "n9\n");
    let before = cluster.nodes_tree().without_bookkeeping();
    cluster.start(&[]).run().code(12).stderr_has("exactly 1 must have role leader, and nobody has it");
    before.assert_unchanged(&cluster.nodes_tree().without_bookkeeping());
    assert!(cluster.effects().is_empty());
}

#[test]
fn a_role_that_is_lost_on_the_way_stops_before_the_next_node() {
    let cluster = five();
    cluster.set_procedure(&effects(MOVING).replace("echo n3 >", "echo n9 >"));
    cluster.start(&[]).run().code(20).stderr_has("nobody has it");
    assert_eq!(cluster.effects(), ["n1 drain while n5 leads"]);
}

#[test]
fn a_question_names_those_who_have_it_now() {
    let cluster = five();
    let mut pty = Pty::start(cluster.rollgate(["start", "--confirm", "test"]), Size::default());
    pty.expect("Does n2 lead, after n5?");
}
