//! Logins with passwords and codes: accounts, PAM and sshd's own log, as only a whole host has them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::support::{Output, Pty, Size};
use super::Lab;

const PASSWORD: &str = "hunter22-of-the-nodes";
const CODE: &str = "314159";

const PROCEDURE: &str = r#"
procedure: work
phases:
  - name: nodes
    nodes: "*"
    batch: 100%
    upgrade:
      - name: work
        run: id -un >>/var/tmp/ran
"#;

/// A module of PAM that asks for a code, as those of one-time codes do; Debian's own ask for passwords only.
const PAM_CODE: &str = r#"
#include <stdlib.h>
#include <string.h>
extern int pam_prompt(void *pamh, int style, char **response, const char *fmt, ...);
int pam_sm_authenticate(void *pamh, int flags, int argc, const char **argv)
{
    char *response = NULL;
    (void)flags;
    if (pam_prompt(pamh, 1, &response, "Verification code: ") != 0 || response == NULL)
        return 7;
    return argc == 1 && strcmp(response, argv[0]) == 0 ? 0 : 7;
}
int pam_sm_setcred(void *pamh, int flags, int argc, const char **argv)
{
    (void)pamh, (void)flags, (void)argc, (void)argv;
    return 0;
}
"#;

/// Two nodes whose login `ops` has a password and no key.
fn lab() -> Lab {
    let lab = Lab::up(2);
    for node in lab.nodes() {
        let script = format!(
            "rm -f /home/ops/.ssh/authorized_keys; echo 'ops:{PASSWORD}' | chpasswd; \
             printf 'PasswordAuthentication yes\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n' \
             >/etc/ssh/sshd_config.d/00-test.conf; systemctl restart ssh"
        );
        lab.ssh(node, &script).code(0);
    }
    lab.procedure(PROCEDURE);
    lab
}

/// Writes an inventory in which the login's password is what a file holds.
fn with_secret(lab: &Lab, ssh: &str, password: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = lab.path("password");
    fs::write(&file, format!("{password}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    write_inventory(lab, &format!("  password: login_password\n{ssh}"));
    let inventory = fs::read_to_string(lab.path("inventory.yaml")).unwrap();
    let secrets = "secrets: { login_password: { file: password } }\n";
    fs::write(lab.path("inventory.yaml"), format!("{secrets}{inventory}")).unwrap();
}

fn write_inventory(lab: &Lab, ssh: &str) {
    let mut yaml = format!(
        "cluster: test\nprocedure: ./procedure.yaml\nssh:\n  user: ops\n  known_hosts: {}\n  config_file: {}\n  \
         connect_timeout: 1m\n{ssh}nodes:\n",
        lab.file("known_hosts").display(),
        lab.path("ssh_config").display()
    );
    for node in lab.nodes() {
        writeln!(yaml, "  - {{ name: {node}, host: {} }}", lab.address(node)).unwrap();
    }
    fs::write(lab.path("inventory.yaml"), yaml).unwrap();
    // A jump host's ssh has nothing else to go by.
    let config =
        format!("Host *\n  UserKnownHostsFile {}\n  IdentityFile none\n", lab.file("known_hosts").display());
    fs::write(lab.path("ssh_config"), config).unwrap();
}

/// How often a node's sshd has said something since it was asked last.
fn said(lab: &Lab, node: &str, text: &str) -> usize {
    let out = lab
        .ssh(node, "journalctl --no-pager --output=cat --unit=ssh; journalctl --rotate --vacuum-time=1s -q");
    out.raw_stdout().lines().filter(|line| line.contains(text)).count()
}

fn check(lab: &Lab) -> Output {
    lab.rollgate_with(&lab.path("inventory.yaml"), &["check"]).run()
}

fn terminal(lab: &Lab, verb: &[&str]) -> Pty {
    Pty::start(lab.rollgate_with(&lab.path("inventory.yaml"), verb), Size { rows: 40, columns: 160 })
}

/// Runs something while every process is looked at for the password.
fn unseen<T>(what: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let (mut found, mut askpasses) = (Vec::new(), 0);
            while !is_over.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    for file in ["cmdline", "environ"] {
                        // It may have ended meanwhile.
                        let Ok(bytes) = fs::read(entry.path().join(file)) else { continue };
                        let text = String::from_utf8_lossy(&bytes);
                        askpasses += usize::from(text.contains("ROLLGATE_ASKPASS="));
                        if text.contains(PASSWORD) {
                            found.push(format!("{}: {text}", entry.path().display()));
                        }
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            (found, askpasses)
        });
        let done = what();
        is_over.store(true, Ordering::Relaxed);
        let (found, askpasses) = looking.join().unwrap();
        assert_eq!(found, [""; 0]);
        assert!(askpasses > 0, "no askpass was ever seen, so nothing was looked at");
        done
    })
}

#[test]
fn passwords_are_offered_once_and_to_whom_they_belong() {
    let lab = lab();
    a_secret_logs_in(&lab);
    a_wrong_secret_is_offered_once_to_one_node(&lab);
    without_a_secret_nobody_is_asked_but_at_a_terminal(&lab);
    a_jump_host_never_gets_the_nodes_password(&lab);
    an_expired_password_is_said_to_be(&lab);
}

fn a_secret_logs_in(lab: &Lab) {
    with_secret(lab, "", PASSWORD);
    // What runs on the nodes is seen from here as well.
    let out = unseen(|| {
        lab.rollgate_with(&lab.path("inventory.yaml"), &["start", "--yes", "--confirm", "test"]).run()
    });
    out.code(0).lacks(PASSWORD);
    for node in lab.nodes() {
        assert_eq!(lab.on_disk(node, "/var/tmp/ran"), "ops\n");
        assert!(said(lab, node, "Accepted password for ops") > 0, "{node}");
    }
    let mut files = Vec::new();
    below(&lab.path("state"), &mut files);
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains(PASSWORD), "{}", file.display());
    }
}

fn below(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => below(&entry.path(), files),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

fn a_wrong_secret_is_offered_once_to_one_node(lab: &Lab) {
    with_secret(lab, "", "not-the-password");
    let out = check(lab);
    out.code(13).lacks("not-the-password").stdout_has("the password was not accepted");
    out.stdout_has("its password was not offered, for").stdout_has("it is the secret `login_password`");
    let failed: usize = lab.nodes().map(|node| said(lab, node, "Failed password for ops")).sum();
    assert_eq!(failed, 1, "accounts are locked for more");
}

fn without_a_secret_nobody_is_asked_but_at_a_terminal(lab: &Lab) {
    write_inventory(lab, "");
    check(lab)
        .code(13)
        .stdout_has("the server takes a password too: name a secret as `password:` under `ssh:`");
    let mut terminal = terminal(lab, &["check"]);
    terminal.expect("asks for a password; the other nodes that ask get the same").expect("none): ");
    terminal.send("wrong\n").expect("That was not right.").expect("none): ");
    terminal.send(&format!("{PASSWORD}\n")).ends_with(0);
    let asked = terminal.lines().iter().filter(|line| line.contains("'s password (Enter")).count();
    assert_eq!(asked, 2, "{:#?}", terminal.lines());
    let failed: usize = lab.nodes().map(|node| said(lab, node, "Failed password for ops")).sum();
    assert_eq!(failed, 1);
}

fn a_jump_host_never_gets_the_nodes_password(lab: &Lab) {
    let jump = lab.address("n1");
    lab.ssh("n1", "useradd -m jumper; echo 'jumper:of-the-jump-host' | chpasswd").code(0);
    with_secret(lab, &format!("  jump: [jumper@{jump}]\n"), PASSWORD);
    let only_n2 = |lab: &Lab| {
        let inventory = fs::read_to_string(lab.path("inventory.yaml")).unwrap();
        let kept = inventory.lines().filter(|line| !line.contains("name: n1"));
        fs::write(lab.path("inventory.yaml"), kept.map(|line| format!("{line}\n")).collect::<String>())
            .unwrap();
    };
    only_n2(lab);
    check(lab)
        .code(13)
        .stdout_has(&format!("it asks `jumper@{jump}'s password:`, and nobody can be asked here"));
    assert_eq!(said(lab, "n1", "Failed password for jumper"), 0, "the node's password went to the jump host");
    let mut terminal = terminal(lab, &["check"]);
    terminal
        .expect("n2 is behind a host that asks for a password of its own")
        .expect(&format!("jumper@{jump}"));
    terminal.expect("none): ").send("of-the-jump-host\n").ends_with(0);
    assert_eq!(said(lab, "n1", "Failed password"), 0);
    assert_eq!(said(lab, "n2", "Accepted password for ops"), 1);
}

fn an_expired_password_is_said_to_be(lab: &Lab) {
    for node in lab.nodes() {
        lab.ssh(node, "chage -d 0 ops").code(0);
    }
    with_secret(lab, "", PASSWORD);
    check(lab)
        .code(13)
        .stdout_has("the password has expired and must be changed first")
        .stdout_has("log in by hand");
    // Where PAM asks for the new one itself, the old one is not given for it.
    for node in lab.nodes() {
        let script = "sed -i 's/^Password.*/PasswordAuthentication no/; s/^Kbd.*/KbdInteractiveAuthentication yes/' \
                      /etc/ssh/sshd_config.d/00-test.conf; systemctl restart ssh";
        lab.ssh(node, script).code(0);
    }
    check(lab).code(13).stdout_has("the password has expired and must be changed first");
    for node in lab.nodes() {
        lab.ssh(node, "chage -d 20000 ops; chage -M -1 ops").code(0);
    }
    check(lab).code(0);
}

#[test]
fn a_code_is_typed_at_a_terminal_every_time() {
    let lab = lab();
    let source = lab.path("pam_code.c");
    fs::write(&source, PAM_CODE).unwrap();
    for node in lab.nodes() {
        let module = lab.file("nodes").join(node).join("upper/root/pam_code.so");
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&module).arg(&source).status().unwrap();
        assert!(made.success());
        let script = format!(
            "cp /root/pam_code.so /etc/pam_code.so; \
             sed -i 's|^@include common-auth|auth required pam_unix.so\\nauth required /etc/pam_code.so {CODE}|' \
             /etc/pam.d/sshd; \
             sed -i 's/^Password.*/PasswordAuthentication no/; s/^Kbd.*/KbdInteractiveAuthentication yes/' \
             /etc/ssh/sshd_config.d/00-test.conf; systemctl restart ssh"
        );
        lab.ssh(node, &script).code(0);
    }
    with_secret(&lab, "", PASSWORD);
    check(&lab).code(13).stdout_has("Verification code:`, and nobody can be asked here");
    let mut terminal = terminal(&lab, &["check"]);
    for _ in lab.nodes() {
        terminal.expect("Verification code (Enter alone: none): ").send(&format!("{CODE}\n"));
    }
    terminal.ends_with(0);
    assert!(!String::from_utf8_lossy(&terminal.raw()).contains(CODE));
    // A code that is wrong may be the password's fault as well, so nobody else is offered that.
    let mut terminal = self::terminal(&lab, &["check"]);
    terminal.expect("Verification code (Enter alone: none): ").send("000000\n");
    terminal.expect("the password or the code was not accepted").ends_with(13);
}
