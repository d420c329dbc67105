//! The order of effects: what a procedure says happens, in its order, and nothing else does. Steps append to
//! one log, and the log is what is compared.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use sha2::{Digest as _, Sha256};

use super::support::{Cluster, NodeSpec, effects};

/// Part of the log, where the order within it is free.
fn as_set(effects: &[String]) -> BTreeSet<&str> {
    effects.iter().map(String::as_str).collect()
}

#[test]
fn sections_come_in_their_order_node_after_node() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: sections
            stage: [{ run: LOG(stage) }]
            phases:
              - name: all
                nodes: "*"
                undrain: [{ run: LOG(undrain) }]
                verify: [{ run: LOG(verify) }]
                upgrade: [{ run: LOG(upgrade 1) }, { run: LOG(upgrade 2) }]
                drain: [{ run: LOG(drain) }]
                precheck: [{ check: { run: LOG(precheck) } }]
                soak: { for: 1s, every: 10s, checks: [{ run: LOG(soak) }] }
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(0);
    let mut log = cluster.effects();
    // How often a soak asks is a matter of time.
    log.dedup();
    assert_eq!(as_set(&log[..2]), BTreeSet::from(["n1 stage", "n2 stage"]));
    let turn = ["precheck", "drain", "upgrade 1", "upgrade 2", "verify", "undrain", "soak"];
    let wanted: Vec<String> =
        ["n1", "n2"].iter().flat_map(|node| turn.map(|word| format!("{node} {word}"))).collect();
    assert_eq!(log[2..], wanted);
}

#[test]
fn batches_grow_and_none_begins_before_the_last_ended() {
    let cluster = Cluster::new()
        .nodes(8)
        .procedure(&effects(
            r#"
            procedure: batches
            phases:
              - name: all
                nodes: "*"
                batch: [1, 25%, 100%]
                upgrade: [{ run: LOG(begins) }, { run: LOG(ends) }]
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(0);
    let log = cluster.effects();
    let mut from = 0;
    for batch in [&["n1"][..], &["n2", "n3"], &["n4", "n5", "n6", "n7", "n8"]] {
        let wanted: Vec<String> =
            batch.iter().flat_map(|node| [format!("{node} begins"), format!("{node} ends")]).collect();
        let part = &log[from..from + wanted.len()];
        assert_eq!(as_set(part), as_set(&wanted), "{log:?}");
        from += wanted.len();
    }
    assert_eq!(log.len(), from);
    let sizes: Vec<_> =
        cluster.events("batch_formed").iter().map(|event| event["nodes"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [1, 2, 5]);
}

#[test]
fn the_nodes_of_a_batch_are_at_work_at_the_same_time() {
    // Each waits for the other one's mark: one after the other they would never get there.
    let meet = r#"
        touch "$dir/../$ROLLGATE_NODE.is-here"
        tries=0
        until [ -e "$dir/../$partner.is-here" ]; do
          tries=$((tries + 1)); [ $tries -lt 200 ] || exit 9
          sleep 0.1
        done
    "#;
    let pair = |name: &str, partner: &str| NodeSpec::ssh(name).var("partner", partner);
    let procedure = format!(
        "procedure: pairs\nphases:\n  - name: all\n    nodes: '*'\n    batch: 2\n    upgrade:\n      \
         - run: |{}",
        meet.replace("\n        ", "\n            ")
    );
    let cluster = Cluster::new()
        .node(pair("n1", "n2"))
        .node(pair("n2", "n1"))
        .node(pair("n3", "n4"))
        .node(pair("n4", "n3"))
        .procedure(&procedure)
        .build();
    cluster.start(&[]).run().code(0);
    let batches: Vec<_> = cluster.events("batch_formed").iter().map(|event| event["nodes"].clone()).collect();
    assert_eq!(batches, [serde_json::json!(["n1", "n2"]), serde_json::json!(["n3", "n4"])]);
}

#[test]
fn no_two_nodes_of_a_rack_are_in_a_batch() {
    let rack = |name: &str, rack: &str| NodeSpec::ssh(name).var("rack", rack);
    let cluster = Cluster::new()
        .node(rack("n1", "a"))
        .node(rack("n2", "a"))
        .node(rack("n3", "b"))
        .node(rack("n4", "a"))
        .procedure(&effects(
            r#"
            procedure: racks
            phases:
              - { name: all, nodes: "*", batch: 2, spread: rack, upgrade: [{ run: LOG(up) }] }
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(0);
    let log = cluster.effects();
    assert_eq!(as_set(&log[..2]), BTreeSet::from(["n1 up", "n3 up"]), "{log:?}");
    assert_eq!(log[2..], ["n2 up", "n4 up"]);
}

/// Fails on the nodes that the variable `ill` names.
const SOME_FAIL: &str = r#"
    procedure: failures
    phases:
      - name: all
        nodes: "*"
        max_failures: 1
        upgrade:
          - run: LOG(up)
          - run: case " $ill " in *" $ROLLGATE_NODE "*) exit 3 ;; esac
        undrain: [{ run: LOG(back) }]
      - { name: after, steps: [{ run: ON(after), on: n1 }] }
"#;

#[test]
fn as_many_failures_as_allowed_do_not_stop_the_run() {
    let cluster =
        Cluster::new().nodes(4).inventory("vars: { ill: n2 }").procedure(&effects(SOME_FAIL)).build();
    // The others go on to the end; the exit status still says that a node needs somebody.
    cluster.start(&[]).run().code(20).stderr_has("n2").stderr_has("start --resume");
    assert_eq!(
        cluster.effects(),
        ["n1 up", "n1 back", "n2 up", "n3 up", "n3 back", "n4 up", "n4 back", "operator after on n1"]
    );
}

#[test]
fn one_failure_more_than_allowed_stops_the_run() {
    let cluster =
        Cluster::new().nodes(4).inventory("vars: { ill: n2 n3 }").procedure(&effects(SOME_FAIL)).build();
    cluster.start(&[]).run().code(20).stderr_has("start --resume");
    assert_eq!(cluster.effects(), ["n1 up", "n1 back", "n2 up", "n3 up"]);
}

#[test]
fn steps_and_checks_go_where_on_says() {
    let cluster = Cluster::new()
        .node(NodeSpec::ssh("n1").group("web"))
        .node(NodeSpec::ssh("n2").group("data"))
        .node(NodeSpec::ssh("n3").group("data"))
        .procedure(&effects(
            r"
            procedure: places
            checks:
              data-well: { run: ON(asked), on: group data }
            phases:
              - name: before
                steps:
                  - { run: OPERATOR(begins), on: operator }
                  - run: OPERATOR(is itself in a single phase)
                  - { run: ON(single), on: n3 }
              - name: web
                nodes: web
                precheck: [{ check: data-well }]
                drain:
                  - { run: ON(elsewhere), on: n2 }
                  - { run: OPERATOR(notes), on: operator }
                upgrade: [{ run: ON(up) }]
            ",
        ))
        .build();
    cluster.start(&[]).run().code(0);
    let log = cluster.effects();
    assert_eq!(
        log[..3],
        ["operator begins", "operator is itself in a single phase", "operator single on n3"],
        "{log:?}"
    );
    assert_eq!(as_set(&log[3..5]), BTreeSet::from(["n1 asked on n2", "n1 asked on n3"]), "{log:?}");
    assert_eq!(log[5..], ["n1 elsewhere on n2", "n1 notes", "n1 up on n1"]);
}

#[test]
fn a_group_check_fails_when_one_of_the_group_does_not_hold() {
    let cluster = Cluster::new()
        .node(NodeSpec::ssh("n1").group("web"))
        .node(NodeSpec::ssh("n2").group("data"))
        .node(NodeSpec::ssh("n3").group("data"))
        .procedure(&effects(
            r#"
            procedure: places
            checks:
              data-well: { run: test "$ROLLGATE_ON" != n3, on: group data }
            phases:
              - { name: web, nodes: web, precheck: [{ check: data-well }], upgrade: [{ run: LOG(up) }] }
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(12).stderr_has("data-well on n3");
    assert!(cluster.effects().is_empty());
}

#[test]
fn temporary_changes_are_undone_at_the_end_of_their_scope() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: scopes
            phases:
              - name: first
                nodes: "*"
                drain:
                  - { run: LOG(run made), undo: LOG(run undone), temporary: run }
                  - { run: LOG(phase made), undo: LOG(phase undone), temporary: phase }
                  - { run: LOG(node made 1), undo: LOG(node undone 1), temporary: node }
                  - { run: LOG(node made 2), undo: LOG(node undone 2), temporary: node }
                  - { run: LOG(for good), undo: LOG(never undone) }
                upgrade: [{ run: LOG(up) }]
                undrain: [{ run: LOG(undrain) }]
              - { name: second, nodes: n2, upgrade: [{ run: LOG(second) }] }
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(0);
    let turn = |node: &str| {
        [
            "run made",
            "phase made",
            "node made 1",
            "node made 2",
            "for good",
            "up",
            "undrain",
            "node undone 2",
            "node undone 1",
        ]
        .map(|word| format!("{node} {word}"))
    };
    let mut wanted: Vec<String> = ["n1", "n2"].into_iter().flat_map(turn).collect();
    wanted.extend(
        ["n2 phase undone", "n1 phase undone", "n2 second", "n2 run undone", "n1 run undone"]
            .map(str::to_owned),
    );
    assert_eq!(cluster.effects(), wanted);
}

#[test]
fn a_soak_that_finds_something_wrong_stops_before_the_next_node() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: soak
            phases:
              - name: all
                nodes: "*"
                upgrade: [{ run: LOG(up) }, { run: (sleep 2; touch "$dir/ill") > /dev/null 2>&1 & }]
                soak: { for: 30s, every: 500ms, checks: [{ name: well, run: test ! -e "$dir/ill" }] }
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(21).stderr_has("well on n1");
    assert_eq!(cluster.effects(), ["n1 up"]);
}

#[test]
fn an_invariant_tolerates_old_faults_and_stops_at_new_ones() {
    let cluster = Cluster::new()
        .nodes(4)
        .procedure(&effects(
            r#"
            procedure: invariants
            checks:
              well: { run: test ! -e "$dir/ill" }
            invariants: [well]
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - run: LOG(up)
                  - run: if [ "$ROLLGATE_NODE" = n2 ]; then touch "$dir/../n1/ill"; fi
            "#,
        ))
        .build();
    cluster.write("nodes/n4/ill", "");
    cluster.start(&[]).run().code(12).stderr_has("invariant well on n1");
    assert_eq!(cluster.effects(), ["n1 up", "n2 up"]);
}

#[test]
fn a_guard_that_holds_refuses_before_anything_is_touched() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: guarded
            refuse:
              - { check: { name: appliance, run: test -e "$dir/appliance" }, because: an appliance cannot be rolled }
            stage: [{ run: LOG(stage) }]
            phases:
              - { name: all, nodes: "*", upgrade: [{ run: LOG(up) }] }
            "#,
        ))
        .build();
    cluster.write("nodes/n2/appliance", "");
    let before = cluster.nodes_tree().without_bookkeeping();
    cluster
        .start(&[])
        .run()
        .code(12)
        .stderr_has("an appliance cannot be rolled (guard appliance holds on n2)");
    before.assert_unchanged(&cluster.nodes_tree().without_bookkeeping());
    assert!(cluster.effects().is_empty());
}

#[test]
fn what_is_captured_is_shaped_and_used_by_later_steps() {
    let cluster = Cluster::new()
        .nodes(1)
        .procedure(
            r#"
            procedure: captures
            phases:
              - name: all
                nodes: n1
                upgrade:
                  - run: printf 'null\n'
                    capture: { name: mode, exactly_one: true, map: { "null": none } }
                  - run: printf '{"disk":{"id":"sd a"}}'
                    capture: { name: disk, value: json, at: .disk.id, not_empty: true }
                  - run: 'echo "$ROLLGATE_NODE $mode $disk" >> "$effects"'
                  - run: 'echo "skipped" >> "$effects"'
                    when: { var: mode, equals: other }
                  - run: 'echo "done" >> "$effects"'
                    when: { var: mode, equals: none }
            "#,
        )
        .build();
    cluster.start(&[]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 none sd a", "done"]);
}

#[test]
fn a_capture_of_two_lines_is_not_exactly_one() {
    let cluster = Cluster::new()
        .nodes(1)
        .procedure(&effects(
            r#"
            procedure: captures
            phases:
              - name: all
                nodes: n1
                precheck:
                  - check: { name: leaders, run: "printf 'a\nb\n'", not_equals: "" }
                    capture: { name: leader, exactly_one: true }
                upgrade: [{ run: LOG(up $leader) }]
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(12).stderr_has("exactly one line is wanted, and there are 2");
    assert!(cluster.effects().is_empty());
}

#[test]
fn a_secret_capture_is_read_again_after_a_resume_and_written_nowhere() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: secrets
            phases:
              - name: login
                steps:
                  - check: { name: token, run: cat "$dir/token", not_equals: "", on: n1 }
                    capture: { name: token, exactly_one: true, secret: true }
              - { name: all, nodes: "*", upgrade: [{ run: LOG($token) }] }
            "#,
        ))
        .build();
    cluster.write("nodes/n1/token", "first-tok\n");
    let first = cluster.start(&["--pause-after", "n1", "-v"]).run();
    first.code(16).lacks("first-tok");
    cluster.write("nodes/n1/token", "second-tok\n");
    cluster.resume().args(["-v"]).run().code(0).lacks("second-tok");
    assert_eq!(cluster.effects(), ["n1 first-tok", "n2 second-tok"]);
    for file in files_below(&cluster.path("state")) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("first-tok") && !text.contains("second-tok"), "{}", file.display());
    }
}

#[test]
fn nodes_of_a_batch_keep_their_own_secrets() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: secrets
            phases:
              - name: all
                nodes: "*"
                batch: 2
                precheck:
                  - check: { name: token, run: cat "$dir/token", not_equals: "" }
                    capture: { name: token, exactly_one: true, secret: true }
                drain: [{ run: sleep 2 }]
                upgrade: [{ run: LOG($token) }]
            "#,
        ))
        .build();
    cluster.write("nodes/n1/token", "token-one\n");
    cluster.write("nodes/n2/token", "token-two\n");
    cluster.start(&[]).run().code(0);
    assert_eq!(as_set(&cluster.effects()), BTreeSet::from(["n1 token-one", "n2 token-two"]));
}

fn files_below(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[test]
fn what_is_done_already_is_skipped() {
    let cluster = Cluster::new()
        .nodes(2)
        .procedure(&effects(
            r#"
            procedure: skips
            phases:
              - name: all
                nodes: "*"
                upgrade: [{ run: LOG(up), skip_if: { name: is-up, run: test -e "$dir/up" } }]
              - { name: never, when: { var: never, equals: "yes" }, nodes: "*", upgrade: [{ run: LOG(never) }] }
            "#,
        ))
        .inventory(r#"vars: { never: "no" }"#)
        .build();
    cluster.write("nodes/n1/up", "");
    cluster.start(&[]).run().code(0).stderr_has("done already");
    assert_eq!(cluster.effects(), ["n2 up"]);
}

fn failing_twice(retries: u32) -> Cluster {
    let procedure = format!(
        r#"
        procedure: retries
        phases:
          - name: all
            nodes: n1
            upgrade:
              - run: |
                  LOG(try)
                  test "$(wc -l < "$effects")" -ge 3
                retries: {retries}
              - run: LOG(up)
        "#
    );
    Cluster::new().nodes(1).procedure(&effects(&procedure)).build()
}

#[test]
fn a_step_is_tried_again_as_often_as_it_says() {
    let cluster = failing_twice(2);
    cluster.start(&[]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 try", "n1 try", "n1 try", "n1 up"]);

    let cluster = failing_twice(1);
    cluster.start(&[]).run().code(20);
    assert_eq!(cluster.effects(), ["n1 try", "n1 try"]);
}

#[test]
fn files_go_to_the_node_and_come_back() {
    let cluster = Cluster::new()
        .nodes(1)
        .procedure(
            r#"
            procedure: files
            phases:
              - name: all
                nodes: n1
                upgrade:
                  - put: { source: ./conf, to: "${dir}/conf", mode: "0640" }
                  - run: tr a-z A-Z < "$dir/conf" > "$dir/made"; chmod 644 "$dir/made"
                  - get: { from: "${dir}/made", to: made.txt }
            "#,
        )
        .build();
    cluster.write("conf", "hello\n");
    cluster.start(&[]).run().code(0);
    let there = cluster.node_dir("n1").join("conf");
    assert_eq!(fs::read_to_string(&there).unwrap(), "hello\n");
    assert_eq!(fs::metadata(&there).unwrap().permissions().mode() & 0o7777, 0o640);
    let here = cluster.run_dir().join("files/n1/made.txt");
    assert_eq!(fs::read_to_string(&here).unwrap(), "HELLO\n");
    assert_eq!(fs::metadata(&here).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_check_that_stops_holding_during_a_step_stops_after_it() {
    let cluster = Cluster::new()
        .nodes(1)
        .procedure(&effects(
            r#"
            procedure: during
            phases:
              - name: all
                nodes: n1
                upgrade:
                  - run: |
                      LOG(begins)
                      touch "$dir/ill"
                      sleep 3
                      LOG(ends)
                    during: { every: 300ms, checks: [{ name: well, run: test ! -e "$dir/ill" }] }
                  - run: LOG(next)
            "#,
        ))
        .build();
    cluster.start(&[]).run().code(11).stderr_has("stopped holding while it ran: well on n1");
    assert_eq!(cluster.effects(), ["n1 begins", "n1 ends"]);
}

const WITH_ARTIFACT: &str = r#"
    procedure: artifacts
    artifacts: [{ source: ./image.tar, nodes: "*" }]
    phases:
      - name: all
        nodes: "*"
        upgrade:
          - run: cp "$ROLLGATE_STAGED/image.tar" "$dir/installed"
          - run: LOG(up)
"#;

fn image(len: u32) -> Vec<u8> {
    (0..len).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

/// A cluster with an artifact of some size, and the directory of a node where it is staged.
fn with_artifact(nodes: usize) -> Cluster {
    let cluster = Cluster::new().nodes(nodes).procedure(&effects(WITH_ARTIFACT)).build();
    fs::write(cluster.path("image.tar"), image(300_000)).unwrap();
    cluster
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn staged(cluster: &Cluster, node: &str) -> std::path::PathBuf {
    let all = cluster.node_dir(node).join("rollgate/test/staged");
    let set = fs::read_dir(&all).unwrap().next().unwrap().unwrap().path();
    set.join("image.tar")
}

#[test]
fn artifacts_are_staged_verified_used_and_removed() {
    let cluster = with_artifact(2);
    cluster.rollgate(["stage"]).run().code(0);
    let mut inodes = Vec::new();
    for node in ["n1", "n2"] {
        assert_eq!(fs::read(staged(&cluster, node)).unwrap(), image(300_000));
        inodes.push(fs::metadata(staged(&cluster, node)).unwrap().ino());
    }
    assert!(cluster.effects().is_empty());

    // A second time finds everything there: nothing is sent, nothing is written.
    let before = cluster.nodes_tree().without_bookkeeping();
    cluster.rollgate(["stage"]).run().code(0);
    before.assert_unchanged(&cluster.nodes_tree().without_bookkeeping());

    cluster.start(&[]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 up", "n2 up"]);
    assert_eq!(fs::read(cluster.node_dir("n2").join("installed")).unwrap(), image(300_000));
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    for node in ["n1", "n2"] {
        // The count of its locks stays, for a number that came again would let an old holder in.
        let left = files_below(&cluster.node_dir(node).join("rollgate"));
        assert!(left.iter().all(|path| path.parent().unwrap().ends_with("fence")), "{left:?}");
        assert!(cluster.node_dir(node).join("installed").exists());
    }
}

#[test]
fn an_interrupted_copy_goes_on_where_it_stopped() {
    let cluster = with_artifact(1);
    cluster.rollgate(["stage"]).run().code(0);
    let file = staged(&cluster, "n1");
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    // A part is named after where it goes and what it is to become.
    let name = hex(&Sha256::digest(format!("{}\n{}", file.display(), hex(&Sha256::digest(image(300_000))))));
    let part = file.with_file_name(format!(".part-{}", &name[..32]));
    fs::write(&part, &image(300_000)[..100_000]).unwrap();
    let inode = fs::metadata(&part).unwrap().ino();
    cluster.rollgate(["stage"]).run().code(0);
    assert_eq!(fs::read(&file).unwrap(), image(300_000));
    assert_eq!(fs::metadata(&file).unwrap().ino(), inode, "the part was not continued");
}

#[test]
fn a_staged_file_that_was_swapped_is_refused_before_it_is_used() {
    let cluster = with_artifact(2);
    cluster.rollgate(["stage"]).run().code(0);
    let mut other = image(300_000);
    other[1234] ^= 1;
    fs::write(staged(&cluster, "n2"), other).unwrap();
    cluster.start(&[]).run().code(20).stderr_has("image.tar is not what was staged");
    assert_eq!(cluster.effects(), ["n1 up"]);
    assert!(!cluster.node_dir("n2").join("installed").exists());
}

/// One node that has trouble goes back by itself; what is taken back with the whole stays until the whole goes.
#[test]
fn what_the_whole_takes_back_stays_when_a_node_goes_back_alone() {
    let procedure = r#"
        procedure: alone
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - run: LOG(up)
            rollback:
              - { name: abort, when: { var: ROLLGATE_ALONE, equals: "" }, run: LOG(abort) }
              - { name: down, run: 'LOG(down)' }
        "#;
    let cluster = Cluster::new().nodes(2).procedure(&effects(procedure)).build();
    cluster.start(&[]).run().code(0);
    let back =
        |flags: &[&str]| cluster.rollgate(["rollback", "--yes", "--confirm", "test"]).args(flags).run();
    back(&["-l", "n1"]).code(0);
    assert_eq!(cluster.effects(), ["n1 up", "n2 up", "n1 down"]);
    cluster.resume().run().code(0);
    back(&[]).code(0);
    assert_eq!(cluster.effects()[3..], ["n1 up", "n1 abort", "n1 down", "n2 abort", "n2 down"]);
}
