//! Steps that take down the sshd through which they were started.

use super::Lab;

/// Ways to do so, the last of which ends also the session.
const WAYS: [(&str, &str); 3] = [
    ("n1", "systemctl restart ssh"),
    ("n2", "systemctl kill --signal=KILL ssh.service"),
    ("n3", "for pid in $(pgrep sshd); do kill -9 $pid; done"),
];

fn procedure(code: i32) -> String {
    let ways: String = WAYS.iter().map(|(node, way)| format!("            {node}) {way} ;;\n")).collect();
    format!(
        r#"
procedure: a new sshd
phases:
  - name: nodes
    nodes: "*"
    batch: 100%
    upgrade:
      - name: sshd
        run: |
          echo "ran" >> /var/lib/ran
          seq -f %080.0f 1 1000
          case $ROLLGATE_NODE in
{ways}          esac
          seq -f %080.0f 1001 2000
          sleep 1
          echo "end"
          exit {code}
        ok_codes: [0, 7]
        timeout: 1m
"#
    )
}

#[test]
fn a_step_that_takes_down_its_sshd_ends_with_its_own_status_and_whole_output() {
    let lab = Lab::up(WAYS.len());
    let whole: String = (1..=2000).map(|i| format!("{i:080}\n")).chain(["end\n".to_owned()]).collect();
    for (code, exit) in [(7, 0), (9, 20)] {
        lab.procedure(&procedure(code));
        let out = lab.start().run();
        // Not `code`: on a failure the last lines tell more than thousands of them.
        let end = out.raw_stderr().lines().rev().take(12).collect::<Vec<_>>();
        assert_eq!(out.exit_code(), exit, "the last lines first: {end:#?}");
        assert!(exit == 0 || out.raw_stderr().contains("exit status 9"), "{end:#?}");
        let printed = lab.transcripts();
        assert_eq!(printed.len(), WAYS.len());
        for (name, text) in printed {
            assert!(text == whole, "{name} has {} of {} bytes", text.len(), whole.len());
        }
        for node in lab.nodes() {
            assert_eq!(lab.on_disk(node, "/var/lib/ran"), "ran\n", "{node}");
            lab.ssh(node, "rm /var/lib/ran").code(0);
        }
        std::fs::remove_dir_all(lab.path("state")).unwrap();
    }
}
