//! The lab itself: what it promises to the tests that stand on it, and that nothing of it stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Lab, command};
use crate::support::PATIENCE;

const BOOT_ID: &str = "cat /proc/sys/kernel/random/boot_id";

#[test]
fn its_nodes_are_hosts_of_their_own() {
    let lab = Lab::up(2);
    let said = |node: &str, script: &str| lab.ssh(node, script).raw_stdout().trim().to_owned();
    for (node, other) in [("n1", "n2"), ("n2", "n1")] {
        assert_eq!(said(node, "hostname"), node);
        assert_eq!(said(node, "cat /proc/1/comm"), "systemd");
        assert_eq!(said(node, "systemctl is-system-running --wait"), "running");
        assert_eq!(said(node, &format!("exec 3<>/dev/tcp/{other}/22 && head -c 4 <&3")), "SSH-");
    }
    for differs in [BOOT_ID, "cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub"] {
        assert_ne!(said("n1", differs), said("n2", differs), "{differs}");
    }
    // What one node has under way, the other neither sees nor ends.
    lab.ssh("n1", "systemd-run --quiet --unit=mark sleep 1000").code(0);
    lab.ssh("n2", "systemctl is-active mark").code(3).stdout("inactive\n");
    lab.ssh("n2", "systemctl kill -s KILL ssh.service; loginctl terminate-user ops || :").code(0);
    lab.ssh("n1", "systemctl is-active mark").code(0).stdout("active\n");
}

#[test]
fn a_node_goes_down_and_comes_back_with_its_disk() {
    let lab = Lab::up(3);
    let ways = [("n1", &["reboot"][..]), ("n2", &["off", "on"]), ("n3", &["cut", "on"])];
    for (node, words) in ways {
        let before = lab.ssh(node, &format!("echo kept > /var/lib/mark; : > /run/gone; {BOOT_ID}"));
        for word in words {
            lab.power(node, word);
        }
        lab.await_boot(node, 2);
        let after = lab.ssh(node, &format!("test -e /run/gone || {BOOT_ID}"));
        assert_ne!(after.raw_stdout(), "", "{node} was not booted");
        assert_ne!(before.raw_stdout(), after.raw_stdout(), "{node}");
        assert_eq!(lab.on_disk(node, "/var/lib/mark"), "kept\n");
    }
}

/// What a person does who tries it by hand.
#[test]
fn its_own_inventory_reboots_its_nodes_one_at_a_time() {
    let lab = Lab::up(2);
    let inventory = lab.dir.join("inventory.yaml");
    let rollgate = |args: &[&str]| lab.rollgate_with(&inventory, args);
    rollgate(&["check"]).run().code(0);
    rollgate(&["start", "--yes", "--confirm", &lab.name]).run().code(0);
    lab.nodes().for_each(|node| assert_eq!(lab.boots(node), 2, "{node}"));
}

#[test]
fn a_lab_whose_owner_is_killed_leaves_nothing() {
    let mut owner = Command::new("sleep").arg("300").stdin(Stdio::null()).spawn().unwrap();
    let name = format!("orphan-{}", std::process::id());
    let mut lab = Some(Lab::up(1));
    let store = lab.as_ref().unwrap().dir.parent().unwrap().to_owned();
    command("up").args(["--for", &owner.id().to_string(), &name, "n1"]).run().code(0);
    let traces = Traces::of(&store.join(&name));
    assert!(traces.left().len() >= 4, "{:?}", traces.left());
    owner.kill().unwrap();
    owner.wait().unwrap();
    traces.await_gone();
    // The other lab is none of its business.
    lab.as_ref().unwrap().ssh("n1", "true").code(0);
    let traces = Traces::of(&lab.as_ref().unwrap().dir);
    drop(lab.take());
    traces.await_gone();
}

/// What a lab makes of this machine.
struct Traces {
    dir: PathBuf,
    /// Part of every name that it gives.
    tag: String,
}

impl Traces {
    fn of(dir: &Path) -> Self {
        let script = "printf '%.8s' \"$(printf %s \"$0\" | sha256sum)\"";
        let tag = Command::new("sh").args(["-c", script]).arg(dir).output().unwrap();
        Self { dir: dir.to_owned(), tag: String::from_utf8(tag.stdout).unwrap() }
    }

    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        if self.dir.exists() {
            left.push(self.dir.display().to_string());
        }
        for dir in ["/sys/class/net", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"] {
            for entry in fs::read_dir(dir).into_iter().flatten().map_while(Result::ok) {
                if entry.file_name().to_string_lossy().contains(&self.tag) {
                    left.push(entry.path().display().to_string());
                }
            }
        }
        for entry in fs::read_dir("/proc").unwrap().map_while(Result::ok) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&self.tag) {
                left.push(format!("process {}", entry.file_name().to_string_lossy()));
            }
        }
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        left.extend(
            mounts.lines().filter(|line| line.contains(&*self.dir.to_string_lossy())).map(str::to_owned),
        );
        left
    }

    #[track_caller]
    fn await_gone(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.left().is_empty() {
            assert!(Instant::now() < deadline, "left behind: {:#?}", self.left());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
