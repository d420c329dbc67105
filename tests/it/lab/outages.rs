//! A node that goes down under a step: whether the step came to its end nobody can know, so it is unknown,
//! and never run again on a guess.

use super::Lab;

/// The step says on the node's disk that it runs, and would run for minutes.
const PROCEDURE: &str = r#"
procedure: long work
phases:
  - name: nodes
    nodes: "*"
    batch: 100%
    upgrade:
      - name: work
        run: |
          echo "ran" >> /var/lib/ran
          echo "prints"
          sleep 300
        timeout: 10m
      - { name: next, run: echo "next" >> /var/lib/next }
"#;

/// Nodes of the lab. On each the step is interrupted twice: by a reboot in order, and by a power cut.
const NODES: usize = 10;

#[test]
fn a_step_whose_node_goes_down_is_unknown_and_is_not_run_again() {
    let lab = Lab::up(NODES);
    // Every other node has no systemd-run: the step is detached in the other way.
    for node in lab.nodes().step_by(2) {
        lab.ssh(node, "rm /usr/bin/systemd-run").code(0);
    }
    let (mut unknown, mut again) = (0, 0);
    let mut others = Vec::new();
    for (round, words) in [&["reboot"][..], &["cut", "on"]].into_iter().enumerate() {
        std::fs::create_dir_all(lab.path("state")).unwrap();
        std::fs::rename(lab.path("state"), lab.path(&format!("state-{round}"))).unwrap();
        for node in lab.nodes() {
            lab.ssh(node, "rm -rf /var/lib/rollgate /var/lib/ran").code(0);
        }
        lab.procedure(PROCEDURE);
        let run = lab.start().spawn();
        for node in lab.nodes() {
            lab.await_lines(node, "/var/lib/ran", 1);
        }
        for word in words {
            lab.power_all(word);
        }
        for node in lab.nodes() {
            lab.await_boot(node, round + 2);
        }
        run.wait().code(22).stderr_has("unknown");
        lab.resume().run().code(22).stderr_has("unknown");
        // The latest word on each node: asked again on resume, it says the same.
        let status = lab.rollgate(&["-o", "json", "status"]).run();
        let status: serde_json::Value = serde_json::from_str(status.raw_stdout()).unwrap();
        for node in lab.nodes() {
            let said =
                status["nodes"].as_array().unwrap().iter().find(|found| found["name"] == node).unwrap();
            match &said["state"] {
                state if state == "unknown" => unknown += 1,
                _ => others.push(said.to_string()),
            }
            again += usize::from(lab.on_disk(node, "/var/lib/ran").lines().count() != 1);
            assert_eq!(lab.on_disk(node, "/var/lib/next"), "", "{node} went on: {said}");
        }
    }
    println!("{unknown} of {} unknown, {again} of {} run again", 2 * NODES, 2 * NODES);
    assert_eq!((unknown, again), (2 * NODES, 0), "{others:#?}");
}
