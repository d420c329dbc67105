//! `ssh.persist` from outside: the commands that follow each other log in once, whoever kills what, and the login that
//! is to prove something is one all the same.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use super::support::{Cluster, HELD, PATIENCE, effects};

const PROCEDURE: &str = r#"
    procedure: twice
    phases:
      - name: all
        nodes: "*"
        precheck:
          - check: { name: well, run: echo yes, equals: "yes" }
        upgrade:
          - name: up
            run: |
              LOG(up)
              HELD
"#;

/// A cluster whose connections stay open, with these words about ssh.
struct Site(Cluster);

impl Site {
    fn new(nodes: usize, ssh: &str, held: &str) -> Self {
        Self::of(nodes, ssh, &PROCEDURE.replace("HELD", held))
    }

    fn of(nodes: usize, ssh: &str, procedure: &str) -> Self {
        let cluster = Cluster::new().nodes(nodes).procedure(&effects(procedure)).build();
        let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
        cluster.write("inventory.yaml", &inventory.replace("ssh:\n", &format!("ssh:\n{ssh}")));
        fs::set_permissions(cluster.path("run"), fs::Permissions::from_mode(0o700)).unwrap();
        Self(cluster)
    }

    fn logins(&self, node: &str) -> usize {
        let log = fs::read_to_string(self.0.path("sshd").join(node).join("sshd.log")).unwrap();
        log.matches("Accepted publickey").count()
    }

    /// Beside each lies what is remembered of its node.
    fn sockets(&self) -> Vec<PathBuf> {
        let list = fs::read_dir(self.0.path("run/rollgate-ssh")).into_iter().flatten();
        list.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none()).collect()
    }

    fn end_all(&self) {
        self.sockets().iter().for_each(|socket| end(socket));
        let start = Instant::now();
        while !self.sockets().is_empty() {
            assert!(start.elapsed() < PATIENCE, "{:?} are left", self.sockets());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// What an operator types to end one.
fn end(socket: &Path) {
    let mut ssh = Command::new("ssh");
    ssh.args(["-O", "exit", "-S"]).arg(socket).arg("node").stderr(Stdio::null());
    assert!(ssh.status().unwrap().success());
}

#[test]
fn commands_that_follow_each_other_log_in_once() {
    let site = Site::new(2, "  persist: 1m\n", "");
    site.0.rollgate(["start", "--dry-run"]).run().code(0);
    assert_eq!((site.logins("n1"), site.logins("n2"), site.sockets().len()), (1, 1, 2));
    site.0.start(&[]).run().code(0);
    site.0.rollgate(["status"]).run().code(0);
    site.0.rollgate(["unstage", "--yes"]).run().code(0);
    assert_eq!((site.logins("n1"), site.logins("n2"), site.sockets().len()), (1, 1, 2));
    // Ended by hand, they are made anew; and a node that they led to is told from one that they do not.
    end(&site.sockets()[0]);
    site.0.rollgate(["start", "--dry-run"]).run().code(0);
    assert_eq!(site.logins("n1") + site.logins("n2"), 3);
    site.end_all();
}

#[test]
fn without_the_key_nothing_stays_open() {
    let site = Site::new(1, "", "");
    for logins in 1..3 {
        site.0.rollgate(["start", "--dry-run"]).run().code(0);
        assert_eq!(site.logins("n1"), logins);
        assert_eq!(fs::read_dir(site.0.path("run")).unwrap().count(), 0);
    }
}

#[test]
fn a_rollgate_that_was_killed_leaves_what_the_next_one_takes_up() {
    let site = Site::new(1, "  persist: 1m\n", HELD);
    let mut running = site.0.start(&[]).spawn();
    site.0.await_effect("n1 up");
    running.signal(Signal::KILL);
    running.wait();
    fs::write(site.0.node_dir("n1").join("go"), "").unwrap();
    site.0.resume().run().code(0);
    assert_eq!((site.0.effects(), site.logins("n1")), (vec!["n1 up".to_owned()], 1));
    site.end_all();
}

#[test]
fn a_way_in_is_proved_by_a_login_though_one_is_open() {
    let procedure = r#"
    procedure: restricting
    phases:
      - name: all
        nodes: "*"
        drain:
          - name: close
            restricts: ssh
            run: LOG(close)
            undo: LOG(open)
            temporary: node
        upgrade:
          - { name: up, run: LOG(up) }
    "#;
    let site = Site::of(1, "  persist: 1m\n", procedure);
    site.0.rollgate(["start", "--dry-run"]).run().code(0);
    let before = site.logins("n1");
    site.0.start(&[]).run().code(0);
    assert_eq!((before, site.logins("n1"), site.sockets().len()), (1, 2, 1));
    site.end_all();
}

#[test]
fn a_place_for_sockets_that_others_reach_is_refused() {
    let site = Site::new(1, "  persist: 1m\n", "");
    let place = site.0.path("run/rollgate-ssh");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o775)).unwrap();
    let out = site.0.rollgate(["-o", "json", "start", "--dry-run"]).run();
    out.stdout_has("others than you may enter it (mode 0775)");
    assert_ne!(out.exit_code(), 0);
    assert_eq!(site.logins("n1"), 0);
}
