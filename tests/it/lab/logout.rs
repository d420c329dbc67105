//! A node whose logind ends what a login leaves behind: steps live on all the same.

use super::Lab;

const PROCEDURE: &str = r#"
procedure: work
phases:
  - name: nodes
    nodes: "*"
    batch: 100%
    upgrade:
      - name: work
        run: |
          echo "ran as $(id -un)" >> /var/tmp/ran
          echo "begins"
          sleep 6
          echo "ends"
          echo "ended" >> /var/tmp/ran
          exit 7
        ok_codes: [7]
        timeout: 1m
"#;

#[test]
fn a_step_of_a_login_that_is_ended_goes_on_to_its_end() {
    let lab = Lab::up(2);
    for node in lab.nodes() {
        let script = "mkdir -p /etc/systemd/logind.conf.d; \
                      printf '[Login]\\nKillUserProcesses=yes\\n' > /etc/systemd/logind.conf.d/kill.conf; \
                      systemctl restart systemd-logind";
        lab.ssh(node, script).code(0);
    }
    // One becomes root for its steps, the other only may.
    lab.write_inventory(|node| match node {
        "n1" => ", user: ops, become: sudo".to_owned(),
        _ => ", user: ops".to_owned(),
    });
    lab.procedure(PROCEDURE);
    let run = lab.start().spawn();
    for node in lab.nodes() {
        lab.await_lines(node, "/var/tmp/ran", 1);
    }
    for node in lab.nodes() {
        lab.ssh(node, "loginctl terminate-user ops").code(0);
    }
    run.wait().code(0);
    assert_eq!(lab.on_disk("n1", "/var/tmp/ran"), "ran as root\nended\n");
    assert_eq!(lab.on_disk("n2", "/var/tmp/ran"), "ran as ops\nended\n");
    let printed = lab.transcripts();
    assert_eq!(printed.len(), 2);
    for (name, text) in printed {
        assert_eq!(text, "begins\nends\n", "{name}");
    }
}
