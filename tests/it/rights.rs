//! A password for rights, from the inventory to the node, with a sudo of the tests' own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::support::{Cluster, Invocation, Pty, Size};

const PASSWORD: &str = "xK7-it's\"a$password`9";

/// A node of this machine, and a sudo before all others.
struct Guarded(Cluster);

impl Guarded {
    fn new(sections: &str) -> Self {
        let builder = Cluster::new().local(1).inventory(
            "become: { with: sudo, password: key }\nsecrets: { key: { env: SUDO_PASSWORD }, other: { env: OTHER } }\n",
        );
        let sections = sections.replace('\n', "\n    ");
        let procedure =
            format!("procedure: rights\nphases:\n  - name: all\n    nodes: 'n*'\n    {sections}\n");
        let cluster = builder.procedure(&procedure).build();
        fs::create_dir(cluster.path("bin")).unwrap();
        cluster.write("bin/sudo", include_str!("support/sudo.sh"));
        cluster.write("bin/password", PASSWORD);
        fs::set_permissions(cluster.path("bin/sudo"), fs::Permissions::from_mode(0o755)).unwrap();
        Self(cluster)
    }

    fn rollgate(&self, args: &[&str]) -> Invocation {
        let path = format!("{}:{}", self.0.path("bin").display(), std::env::var("PATH").unwrap());
        self.0.rollgate(args).env("PATH", path).env("OTHER", "of no account")
    }

    fn kept(&self, name: &str) -> String {
        fs::read_to_string(self.0.path("bin").join(name)).unwrap_or_default()
    }
}

const WORK: &str = "precheck:\n  - check: { run: \"printf %s ${BY_SUDO:-no}\", equals: \"yes\" }\n\
                    upgrade:\n  - run: echo \"by ${BY_SUDO:-no}\" >> \"$effects\"\n\
                    \u{20}   undo: \"true\"\n    temporary: run\n";

#[test]
fn a_run_gains_its_rights_by_a_password_that_is_stored_nowhere() {
    let guarded = Guarded::new(WORK);
    let output = guarded
        .rollgate(&["start", "-v", "--yes", "--confirm", "test"])
        .env("SUDO_PASSWORD", PASSWORD)
        .env("ROLLGATE_LOG", "trace")
        .run();
    output.code(0).lacks(PASSWORD);
    assert_eq!(guarded.0.effects(), ["by yes"]);
    assert!(guarded.kept("tried").lines().all(|line| line == PASSWORD), "{}", guarded.kept("tried"));
    assert!(guarded.0.journal().contains(r#""become_password":"key""#));
    let mut files = 0;
    for dir in ["state", "nodes", "run"] {
        for entry in walk(&guarded.0.path(dir)) {
            let text = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
            assert!(!text.contains(PASSWORD), "{}", entry.display());
            files += 1;
        }
    }
    assert!(files > 5, "{files}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else if path.is_file() {
            files.push(path);
        }
    }
    files
}

#[test]
fn what_only_looks_is_given_the_password_and_a_status_without_it_says_which_is_missing() {
    let guarded = Guarded::new(WORK);
    let before = guarded.0.nodes_tree();
    for args in [&["check"][..], &["start", "--dry-run"], &["status"]] {
        guarded.rollgate(args).env("SUDO_PASSWORD", PASSWORD).run().code(0);
    }
    guarded.rollgate(&["check"]).run().code(2).stderr_has("SUDO_PASSWORD is not set");
    let tried = guarded.kept("called");
    // Another secret is there, and the node says what keeps it out of reach.
    let output = guarded.rollgate(&["status", "-o", "json"]).run();
    output.code(0).stdout_has("its password for sudo is the secret `key`, which could not be fetched");
    assert_eq!(guarded.kept("called"), tried, "nothing was tried without it");
    assert_eq!(guarded.0.nodes_tree(), before);
}

#[test]
fn a_wrong_password_stops_everything_before_it_begins() {
    let guarded = Guarded::new(WORK);
    for args in [&["check"][..], &["start", "--dry-run"], &["start", "--yes", "--confirm", "test"]] {
        let before = guarded.kept("tried").lines().count();
        let output = guarded.rollgate(args).env("SUDO_PASSWORD", "hunter2-wrong").run();
        output.code(13).lacks("hunter2-wrong");
        let said = format!("{}{}", output.raw_stdout(), output.raw_stderr());
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("sudo does not take the password"), "{said}");
        assert_eq!(guarded.kept("tried").lines().count(), before + 1, "{args:?}");
    }
    assert_eq!(guarded.0.effects(), [""; 0]);
}

#[test]
fn at_a_terminal_sudo_asks_for_the_password_itself() {
    let guarded = Guarded::new(
        "upgrade:\n  - name: wizard\n    interactive: true\n    run: |\n      printf 'Key? '\n      read -r key\n      \
         echo \"$key by ${BY_SUDO:-no}\" >> \"$effects\"",
    );
    let run = guarded.rollgate(&["start", "--confirm", "test"]).env("SUDO_PASSWORD", PASSWORD);
    let mut terminal = Pty::start(run, Size::default());
    terminal.expect("asks for the password of").send(&format!("{PASSWORD}\n"));
    terminal.expect("Key? ").send("42\n").ends_with(0);
    assert_eq!(guarded.0.effects(), ["42 by yes"]);
    // It was not given to it on a command line, nor is it asked without a terminal.
    assert!(!guarded.kept("called").contains(PASSWORD));
    assert!(guarded.kept("called").lines().any(|line| line.starts_with("-k -p [rollgate] sudo on %h asks")));
}
