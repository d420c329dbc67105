//! Steps that reboot their node: done when the node is back with another boot, and is the same node.

use std::time::{Duration, Instant};

use super::Lab;

/// Says what ran and in which boot, on the node's disk.
const LOG: &str = "cat /proc/sys/kernel/random/boot_id >> /var/lib/boots; echo";

fn procedure(upgrade: &str) -> String {
    format!(
        "procedure: reboots\nphases:\n  - name: nodes\n    nodes: \"*\"\n    batch: 100%\n    upgrade:\n      \
         - {{ name: before, run: {LOG} before >> /var/lib/log }}\n{upgrade}      \
         - {{ name: after, run: {LOG} after >> /var/lib/log }}\n"
    )
}

/// Both steps beside the reboot ran, each once, in different boots.
#[track_caller]
fn went_through(lab: &Lab, node: &str) {
    assert_eq!(lab.on_disk(node, "/var/lib/log"), "before\nafter\n", "{node}");
    let boots = lab.on_disk(node, "/var/lib/boots");
    let (before, after) = boots.trim().split_once('\n').unwrap();
    assert_ne!(before, after, "{node} was not rebooted");
    assert_eq!(lab.boots(node), 2, "{node}");
}

#[test]
fn a_reboot_step_ends_with_a_new_boot() {
    let lab = Lab::up(3);
    lab.procedure(&procedure("      - { reboot: systemctl reboot, timeout: 1m }\n"));
    lab.start().run().code(0);
    lab.nodes().for_each(|node| went_through(&lab, node));
}

#[test]
fn a_reboot_step_that_reboots_nothing_is_not_done() {
    let lab = Lab::up(1);
    lab.procedure(&procedure("      - { reboot: 'true', timeout: 8s }\n"));
    lab.start().run().code(22).stderr_has("has not been restarted");
    assert_eq!(lab.on_disk("n1", "/var/lib/log"), "before\n");
    assert_eq!(lab.boots("n1"), 1);
}

/// The machine goes down under the script, with its own hand on the switch.
#[test]
fn a_script_that_reboots_its_own_node_succeeds_where_that_is_expected() {
    let lab = Lab::up(4);
    // Every other node has no systemd-run: the script is detached in the other way.
    for node in ["n1", "n3"] {
        lab.ssh(node, "rm /usr/bin/systemd-run").code(0);
    }
    let script = r#"
      - name: update
        run: |
          echo "ran" >> /var/lib/ran
          case $ROLLGATE_NODE in
            n1 | n2) systemctl reboot ;;
            *) systemctl reboot --force ;;
          esac
          sleep 60
        reboots: true
        timeout: 2m
"#;
    lab.procedure(&procedure(script.trim_start_matches('\n')));
    lab.start().run().code(0);
    for node in lab.nodes() {
        went_through(&lab, node);
        assert_eq!(lab.on_disk(node, "/var/lib/ran"), "ran\n", "{node}");
    }
}

#[test]
fn a_script_that_reboots_its_own_node_unasked_is_unknown() {
    let lab = Lab::up(1);
    let script = "      - { name: update, run: 'echo ran >> /var/lib/ran; systemctl reboot; sleep 60' }\n";
    lab.procedure(&procedure(script));
    lab.start().run().code(22);
    lab.await_boot("n1", 2);
    lab.resume().run().code(22);
    assert_eq!(lab.on_disk("n1", "/var/lib/ran"), "ran\n");
    assert_eq!(lab.on_disk("n1", "/var/lib/log"), "before\n");
}

/// The key of the host that comes back is not the key of the host that went down.
const OTHER_KEY: &str = "rm /etc/ssh/ssh_host_ed25519_key*; ssh-keygen -q -t ed25519 -N '' -f \
                         /etc/ssh/ssh_host_ed25519_key; systemctl reboot";

/// What is not the node that went down is not gone on with, and is not asked again and again either.
#[track_caller]
fn refused(lab: &Lab, step: &str) {
    lab.procedure(&procedure(step));
    let began = Instant::now();
    let out = lab.start().run();
    out.stderr_has("host key").code(22);
    assert!(began.elapsed() < Duration::from_mins(1), "it is tried again and again: {out:?}");
    assert_eq!(lab.on_disk("n1", "/var/lib/log"), "before\n", "it was gone on with: {out:?}");
}

#[test]
fn a_reboot_step_refuses_another_host_key() {
    let lab = Lab::up(1);
    refused(&lab, &format!("      - {{ reboot: \"{OTHER_KEY}\", timeout: 2m }}\n"));
}

#[test]
fn a_script_that_reboots_is_not_done_under_another_host_key() {
    let lab = Lab::up(1);
    let script =
        format!("      - {{ name: image, run: \"{OTHER_KEY}; sleep 60\", reboots: true, timeout: 2m }}\n");
    refused(&lab, &script);
}
