//! The network goes away in the middle of a copy: it goes on from there when that is back.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::support::{Cluster, PATIENCE, Wire};

const MIB: u64 = 1 << 20;

const PROCEDURE: &str = r#"
    procedure: with an artifact
    artifacts:
      - { source: image.tar }
    phases:
      - name: all
        nodes: "*"
        upgrade:
          - run: cp "$ROLLGATE_STAGED/image.tar" "$dir/installed"
"#;

/// Two nodes on wires, and what is to be copied to them.
fn cluster(patience: &str) -> (Cluster, [Wire; 2]) {
    let cluster = Cluster::new().nodes(2).procedure(PROCEDURE).build();
    let image: Vec<u8> = (0..24 * MIB).map(|n| u8::try_from((n * 31 + (n >> 13)) % 251).unwrap()).collect();
    fs::write(cluster.path("image.tar"), image).unwrap();
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write(
        "inventory.yaml",
        &inventory.replace("reconnect_timeout: 10s", &format!("reconnect_timeout: {patience}")),
    );
    let wires = ["n1", "n2"].map(|node| Wire::to(&cluster, node));
    (cluster, wires)
}

fn set(cluster: &Cluster, node: &str) -> PathBuf {
    let all = cluster.node_dir(node).join("rollgate/test/staged");
    fs::read_dir(all).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_copy_goes_on_where_the_network_went_away() {
    let (cluster, wires) = cluster("2m");
    for wire in &wires {
        wire.cut_at(8 * MIB);
    }
    let staging = cluster.rollgate(["stage"]).limit(Duration::from_mins(4)).spawn();
    for wire in &wires {
        wire.await_knocks(1);
    }
    // Late bytes of the first connection arrive when the second one is at work on the same file.
    for wire in &wires {
        wire.mend(2 * MIB);
    }
    let output = staging.wait();
    output.code(0);
    for (node, wire) in ["n1", "n2"].into_iter().zip(&wires) {
        output.stderr_has(&format!("contact with {node} was lost"));
        output.stderr_has("the copy goes on where it was when there is contact again within 2m");
        output.stderr_has(&format!("{node} contact again; "));
        output.stderr_has(" of 24.0 MiB are there already");
        let carried = wire.carried();
        assert!(carried < 27 * MIB, "{node}: {carried} bytes were sent of {}", 24 * MIB);
        let set = set(&cluster, node);
        assert!(
            fs::read(set.join("image.tar")).unwrap() == fs::read(cluster.path("image.tar")).unwrap(),
            "{node}"
        );
        let names =
            fs::read_dir(&set).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> =
            names.filter(|name| name.starts_with(".part-") || name.starts_with(".by-")).collect();
        assert!(left.is_empty(), "{node}: {left:?}");
    }
}

#[test]
fn a_node_whose_turn_comes_while_the_network_is_away_is_waited_for() {
    let (cluster, wires) = cluster("2m");
    wires[0].cut_at(8 * MIB);
    let staging = cluster.rollgate(["stage", "--parallel", "1"]).limit(Duration::from_mins(4)).spawn();
    wires[0].await_knocks(1);
    wires[1].cut();
    wires[0].mend(0);
    let until = Instant::now() + PATIENCE;
    while cluster.records(&["\"n2\"", "step_started"]).is_empty() {
        assert!(Instant::now() < until, "{}", cluster.journal());
        sleep(Duration::from_millis(10));
    }
    // More than the one try that any call makes.
    wires[1].await_knocks(wires[1].knocks() + 2);
    wires[1].mend(0);
    staging.wait().code(0).stderr_has("it is asked again when there is contact again within 2m");
}

#[test]
fn a_network_that_stays_away_ends_the_copy_in_time_and_the_next_stage_goes_on() {
    let (cluster, wires) = cluster("3s");
    wires[1].cut_at(8 * MIB);
    let staging = cluster.rollgate(["stage"]).limit(Duration::from_mins(4)).spawn();
    let output = staging.wait();
    output.code(13).stderr_has("contact with n2 was lost").stderr_has("within 3s");
    wires[1].mend(2 * MIB);
    cluster.rollgate(["stage"]).limit(Duration::from_mins(4)).run().code(0);
    let carried = wires[1].carried();
    assert!(carried < 27 * MIB, "{carried} bytes were sent of {}", 24 * MIB);
}
