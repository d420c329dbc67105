//! Rights by a password, from a real sudo and a real doas: a run that is cut off from its nodes, and each way to refuse.

use std::fs;

use super::{EFFECTS, Lab};
use crate::support::Output;
use crate::support::within_patience;

/// Letters that stand nowhere on a machine by accident.
const PASSWORD: &str = "xK7-it's\"a$password`9";

const BY_PASSWORD: &str = "become: { with: sudo, password: sudo_password }\n\
                           secrets: { sudo_password: { env: SUDO_PASSWORD } }\n";

const PROCEDURE: &str = r#"
procedure: work
version: { run: cat /etc/debian_version, become: sudo }
checks:
  root: { run: id -u, become: sudo, equals: "0" }
phases:
  - name: nodes
    nodes: "*"
    batch: 100%
    precheck:
      - check: root
    upgrade:
      - name: work
        run: |
          mkdir -p /var/tmp/work
          echo "ran as $(id -un)" >> /var/tmp/work/ran
          echo "begins"
          until [ -e /var/tmp/go ]; do sleep 0.1; done
          echo "ends"
          echo "ended" >> /var/tmp/work/ran
          exit 7
        ok_codes: [7]
        timeout: 2m
      - name: as root
        become: sudo
        run: id -un >> /var/log/stand-in.log
      - name: config
        put: { source: ./conf, to: /var/tmp/work/conf }
"#;

impl Lab {
    /// Appends top-level keys to the inventory.
    fn add(&self, yaml: &str) {
        let inventory = fs::read_to_string(self.path("inventory.yaml")).unwrap();
        fs::write(self.path("inventory.yaml"), inventory + yaml).unwrap();
    }

    /// Gives the person's login a password, and these rules for sudo.
    fn sudoers(&self, node: &str, rules: &str) {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let script = format!(
            "printf 'ops:%s\\n' {} | chpasswd && printf '%s\\n' {} >/etc/sudoers.d/ops && visudo -cq",
            quoted(PASSWORD),
            quoted(rules)
        );
        self.ssh(node, &script).code(0);
    }

    fn with_password(&self, args: &[&str], password: &str) -> Output {
        self.rollgate(args).env("SUDO_PASSWORD", password).run()
    }

    /// What sudo itself has said on a node.
    fn said_by_sudo(&self, node: &str) -> String {
        let output = self.ssh(node, "journalctl -q --no-pager -o cat -t sudo");
        output.raw_stdout().to_owned()
    }
}

/// What only looks makes none of these.
const NOTHING: &str = "[ ! -e /var/lib/rollgate ] && [ ! -e /home/ops/.local ] && [ ! -e /run/sudo/ts/ops ]";

/// Looks at every process of a node as often as it can, for what stands in `/root/needle`, until it is told to stop.
const WATCH: &str = "cat >/root/watch <<'X'\n\
    while [ ! -e /var/tmp/stop ]; do\n\
    grep -lsaF -f /root/needle /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>/var/tmp/hits\n\
    echo looked >>/var/tmp/looks\n\
    done\nX\n\
    setsid -f sh /root/watch </dev/null >/dev/null 2>&1";

#[test]
fn a_run_by_a_password_outlives_its_connections_and_leaves_no_trace_of_it() {
    let lab = Lab::up(3);
    // Asked each time and kept by no ticket; for some steps only, where logins take their processes along; not asked.
    lab.sudoers("n1", "ops ALL=(ALL) ALL\nDefaults:ops timestamp_timeout=0, lecture=always");
    lab.sudoers("n2", "ops ALL=(ALL) ALL");
    lab.sudoers("n3", "ops ALL=(ALL) NOPASSWD: ALL");
    let kill = "mkdir -p /etc/systemd/logind.conf.d; printf '[Login]\\nKillUserProcesses=yes\\n' \
                >/etc/systemd/logind.conf.d/kill.conf; systemctl restart systemd-logind";
    lab.ssh("n2", kill).code(0);
    lab.write_inventory(|node| match node {
        "n2" => ", user: ops, become: { with: none, password: sudo_password }".to_owned(),
        _ => ", user: ops".to_owned(),
    });
    lab.add(BY_PASSWORD);
    lab.procedure(PROCEDURE);
    fs::write(lab.path("conf"), "of the operator\n").unwrap();
    for node in lab.nodes() {
        // One after the other: what is looked for stands on the command line that says what it is.
        lab.ssh(node, &format!("cat >/root/needle <<'X'\n{PASSWORD}\nX")).code(0);
        lab.ssh(node, WATCH).code(0);
    }
    // What only looks changes nothing.
    lab.with_password(&["check"], PASSWORD).code(0);
    lab.with_password(&["start", "--dry-run"], PASSWORD).code(0);
    lab.with_password(&["status"], PASSWORD).code(0);
    for node in lab.nodes() {
        lab.ssh(node, NOTHING).code(0);
    }
    let run = lab.start().env("SUDO_PASSWORD", PASSWORD).spawn();
    for node in lab.nodes() {
        lab.await_lines(node, "/var/tmp/work/ran", 1);
    }
    for node in lab.nodes() {
        lab.ssh(node, "loginctl terminate-user ops; touch /var/tmp/go").code(0);
    }
    run.wait().code(0);
    for (node, login) in [("n1", "root"), ("n2", "ops"), ("n3", "root")] {
        assert_eq!(lab.on_disk(node, "/var/tmp/work/ran"), format!("ran as {login}\nended\n"), "{node}");
        assert_eq!(lab.on_disk(node, EFFECTS), "root\n", "{node}");
        assert_eq!(lab.on_disk(node, "/var/tmp/work/conf"), "of the operator\n", "{node}");
        lab.ssh(node, "touch /var/tmp/stop").code(0);
        let looks = lab.on_disk(node, "/var/tmp/looks").lines().count();
        assert!(looks > 10, "{node}: {looks}");
        assert_eq!(lab.on_disk(node, "/var/tmp/hits"), "", "{node}");
        let search = "grep -rlsaF -f /root/needle /tmp /var /home /run /dev/shm /etc | grep -v '^/run/log/journal/' ; \
                      journalctl --no-pager -q | grep -F -f /root/needle; true";
        assert_eq!(lab.ssh(node, search).raw_stdout(), "", "{node}");
        lab.ssh(node, "[ ! -s /run/sudo/ts/ops ]").code(0);
    }
    let transcripts = lab.transcripts();
    assert!(transcripts.iter().all(|(_, text)| !text.contains("lecture")), "{transcripts:?}");
    assert!(transcripts.iter().any(|(name, text)| name.contains("n1") && text == "begins\nends\n"));
    assert!(!lab.said_by_sudo("n1").contains("incorrect password"));
}

/// How the login's rights are, what the inventory says of them, and what is said of it.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("ops ALL=(ALL) ALL", "become: sudo\n", "sudo there wants a password, and is given none"),
    ("ops ALL=(ALL) ALL\nDefaults:ops requiretty", BY_PASSWORD, "sudo there insists on a terminal"),
    (
        "ops ALL=(ALL) NOPASSWD: ALL\nDefaults:ops requiretty",
        "become: sudo\n",
        "sudo there insists on a terminal",
    ),
    ("root ALL=(ALL) ALL", BY_PASSWORD, "the login is not in sudoers"),
    ("ops ALL=(ALL) /usr/bin/true", BY_PASSWORD, "sudoers allows the login some commands, and no shell"),
    ("ops ALL=(ALL) NOPASSWD: /usr/bin/true", "become: sudo\n", "sudo there wants a password"),
];

#[test]
fn each_way_to_refuse_rights_has_its_words() {
    let lab = Lab::up(1);
    lab.procedure(PROCEDURE);
    let inventory = |keys: &str| {
        lab.write_inventory(|_| ", user: ops".to_owned());
        lab.add(keys);
    };
    let refused = |password: &str, words: &str| {
        let output = lab.with_password(&["check"], password);
        let said = output.code(13).raw_stdout().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains(password), "{said}");
    };
    for (rules, keys, words) in REFUSALS {
        lab.sudoers("n1", rules);
        inventory(keys);
        refused(PASSWORD, words);
    }
    // One wrong try is one, for sudo's log and for that of its module.
    lab.sudoers("n1", "ops ALL=(ALL) ALL");
    lab.ssh("n1", "rm -f /run/sudo/ts/ops").code(0);
    inventory(BY_PASSWORD);
    let failures = |said: &str| {
        let count = |words: &str| said.lines().filter(|line| line.contains(words)).count();
        (count("authentication failure"), count("incorrect password attempt"), count("3 incorrect"))
    };
    assert_eq!(failures(&lab.said_by_sudo("n1")), (0, 0, 0));
    refused("not-the-password", "sudo does not take the password");
    within_patience("it is in the log", || lab.said_by_sudo("n1").contains("incorrect password attempt"));
    assert_eq!(failures(&lab.said_by_sudo("n1")), (1, 1, 0));
    // A dry run says it as well, and a start before it touches anything.
    lab.with_password(&["start", "--dry-run"], "not-the-password").code(13);
    lab.with_password(&["start", "--yes", "--confirm", "test"], "not-the-password").code(13);
    lab.ssh("n1", NOTHING).code(0);
    // doas: without a password or not at all.
    inventory("become: doas\n");
    for (rules, words) in [
        ("permit ops", "doas there wants a password"),
        ("permit persist ops", "doas there wants a password"),
        ("permit nopass root", "doas.conf has no rule for the login"),
    ] {
        lab.ssh("n1", &format!("echo '{rules}' >/etc/doas.conf; chmod 600 /etc/doas.conf")).code(0);
        refused(PASSWORD, words);
    }
    let as_doas = PROCEDURE.replace("become: sudo", "become: doas");
    lab.procedure(&as_doas);
    lab.ssh("n1", "echo 'permit nopass ops' >/etc/doas.conf; rm /usr/bin/sudo").code(0);
    lab.with_password(&["check"], PASSWORD).code(0);
    lab.procedure(PROCEDURE);
    inventory(BY_PASSWORD);
    refused(PASSWORD, "there is no sudo on the node");
}
