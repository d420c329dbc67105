//! The harness itself: what it promises to the tests that stand on it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::{Cluster, Invocation, NodeSpec, Pty, Size, descendants, redact, rollgate, sshd_program};

fn shell(script: &str) -> Invocation {
    Invocation::new("sh", &std::env::temp_dir()).args(["-c", script])
}

/// `ssh` to a node as rollgate would reach it.
fn ssh(cluster: &Cluster, node: &str, script: &str) -> Invocation {
    let port = cluster.sshd(node).port().to_string();
    let identity = cluster.keys().identity.to_str().unwrap().to_owned();
    let known = format!("UserKnownHostsFile={}", cluster.keys().known_hosts.display());
    let options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", &known];
    Invocation::new("ssh", cluster.root()).args(options).args([
        "-i",
        &identity,
        "-p",
        &port,
        "127.0.0.1",
        script,
    ])
}

#[test]
fn this_machine_has_an_sshd() {
    assert!(sshd_program().is_some(), "sshd is missing; install it: apt-get install openssh-server");
}

#[test]
fn every_node_answers_under_its_own_host_key() {
    let cluster = Cluster::new().nodes(2).build();
    for node in ["n1", "n2"] {
        ssh(&cluster, node, "echo here; echo there >&2; exit 7")
            .run()
            .code(7)
            .stdout("here\n")
            .stderr("there\n");
    }
    let known = fs::read_to_string(&cluster.keys().known_hosts).unwrap();
    let keys: std::collections::BTreeSet<_> =
        known.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(keys.len(), 2);
}

#[test]
fn an_unknown_host_key_is_refused() {
    let cluster = Cluster::new().nodes(1).build();
    fs::write(&cluster.keys().known_hosts, "").unwrap();
    ssh(&cluster, "n1", "true").run().code(255).stderr_has("Host key verification failed");
}

#[test]
fn a_dropped_cluster_leaves_no_process_and_no_directory() {
    let cluster = Cluster::new().nodes(1).build();
    let root = cluster.root().to_owned();
    let pid_file = cluster.node_dir("n1").join("pid");
    let script = format!("echo $$ > {}; exec sleep 60", pid_file.display());
    let sleeper = ssh(&cluster, "n1", &script).limit(Duration::from_secs(20)).spawn();
    let deadline = Instant::now() + Duration::from_secs(10);
    let pid = loop {
        match fs::read_to_string(&pid_file) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => assert!(Instant::now() < deadline, "the command does not start"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    drop(cluster);
    sleeper.wait().code(255);
    assert!(!root.exists());
    let deadline = Instant::now() + Duration::from_secs(5);
    while fs::exists(format!("/proc/{pid}/fd")).unwrap() {
        assert!(Instant::now() < deadline, "process {pid} of the session lives on");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_node_can_be_cut_off() {
    let mut cluster = Cluster::new().nodes(1).build();
    let later = ssh(&cluster, "n1", "true");
    cluster.cut_off("n1");
    later.run().code(255).stderr_has("Connection refused");
}

#[test]
fn the_files_are_those_of_an_operator() {
    let cluster = Cluster::new()
        .node(NodeSpec::local("n1").group("db").var("rack", "a\"b"))
        .inventory(
            "
            vars:
              target: \"2\"
            ",
        )
        .procedure(
            "
            procedure: nothing
            phases: []
            ",
        )
        .build();
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    let root = cluster.root().display();
    assert_eq!(
        inventory,
        format!(
            "cluster: test\nprocedure: ./procedure.yaml\nssh:\n  identity_file: {root}/ssh/id_ed25519\n  \
             known_hosts: {root}/ssh/known_hosts\n  connect_timeout: 10s\n  reconnect_timeout: 10s\nvars:\n  target: \"2\"\nnodes:\n  \
             - name: n1\n    connection: local\n    groups: [db]\n    state_dir: {root}/nodes/n1/rollgate\n    \
             vars:\n      dir: {root}/nodes/n1\n      effects: {root}/effects\n      rack: \"a\\\"b\"\n"
        )
    );
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    assert_eq!(procedure, "procedure: nothing\nphases: []\n");
}

#[test]
fn effects_are_read_in_order() {
    let cluster = Cluster::new().local(2).build();
    assert!(cluster.effects().is_empty());
    let log = cluster.path("effects");
    let script = format!("sleep 0.1; echo n1 drain >> {0}; echo n2 drain >> {0}", log.display());
    let writer = shell(&script).spawn();
    cluster.await_effect("n2 drain");
    assert_eq!(cluster.effects(), ["n1 drain", "n2 drain"]);
    writer.wait().code(0);
}

#[test]
fn a_tree_knows_every_kind_of_change() {
    let cluster = Cluster::new().local(2).build();
    for file in ["n1/kept", "n1/edited", "n1/gone", "n1/mode", "n1/touched"] {
        cluster.write(&format!("nodes/{file}"), "one");
    }
    let before = cluster.nodes_tree();
    before.assert_unchanged(&cluster.nodes_tree());
    cluster.write("nodes/n1/edited", "two");
    fs::remove_file(cluster.node_dir("n1").join("gone")).unwrap();
    cluster.write("nodes/n2/new", "");
    Command::new("sh")
        .args(["-c", "chmod 0600 mode; touch -d @1 touched"])
        .current_dir(cluster.node_dir("n1"))
        .status()
        .unwrap();
    assert_eq!(
        before.changes(&cluster.nodes_tree()),
        ["~ ./n1", "~ ./n1/edited", "- ./n1/gone", "~ ./n1/mode", "~ ./n1/touched", "~ ./n2", "+ ./n2/new"]
    );
}

#[test]
fn nothing_of_the_tester_reaches_the_program() {
    let seen = shell("env | sort").env("EXTRA", "1").run();
    let names: Vec<_> = seen.raw_stdout().lines().map(|line| line.split('=').next().unwrap()).collect();
    assert_eq!(names, ["EXTRA", "HOME", "LANG", "LOGNAME", "PATH", "PWD", "TZ", "USER"]);
    shell("cat").run().code(0).stdout("");
    shell("cat").stdin("answer\n").run().code(0).stdout("answer\n");
    rollgate(["--version"]).run().code(0);
    let cluster = Cluster::new().local(1).build();
    cluster.rollgate(["--version"]).run().code(0);
    cluster.terminal(["--version"]).ends_with(0);
}

#[test]
fn a_running_program_takes_signals() {
    let mut running = shell("trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done").spawn();
    std::thread::sleep(Duration::from_millis(300));
    running.signal(Signal::TERM);
    running.wait().code(3).stdout("up\nterm\n").lacks("int");
}

#[test]
fn a_program_that_hangs_is_ended_and_the_test_fails() {
    let hang = std::panic::catch_unwind(|| {
        shell("echo before; sleep 61").limit(Duration::from_millis(300)).run();
    });
    let said = hang.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("did not end") && said.contains("before"), "{said}");
}

#[test]
fn what_differs_from_run_to_run_is_redacted_at_its_width() {
    let cluster = Cluster::new().local(1).build();
    let root = cluster.root().to_str().unwrap();
    let text =
        format!("{root}/x|2026-11-21T09:35:06+01:00|09:35:06|127.0.0.1:34567|20261121-093506-1a2b|30m");
    let masked = redact(&text, cluster.root());
    assert_eq!(masked.len(), text.len());
    let (place, rest) = masked.split_once('/').unwrap();
    assert!(place.starts_with("ROOT_"), "{place}");
    assert_eq!(rest, "x|####-##-##T##:##:##+##:##|##:##:##|127.0.0.1:#####|####################|30m");
    shell("pwd; echo err >&2").run().stdout_has("ROOT").stderr_has("err");
}

#[test]
fn an_output_that_differs_is_shown_whole() {
    let output = shell("echo one; echo two; echo err >&2; exit 4").run();
    for wrong in [
        std::panic::catch_unwind(|| {
            output.code(0);
        }),
        std::panic::catch_unwind(|| {
            output.stdout("one\nthree\n");
        }),
        std::panic::catch_unwind(|| {
            output.stderr("other\n");
        }),
        std::panic::catch_unwind(|| {
            output.lacks("two");
        }),
    ] {
        let said = wrong.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("one\ntwo\n") && said.contains("err"), "{said}");
    }
    assert_eq!(output.raw_stderr(), "err\n");
}

#[test]
fn a_pty_is_the_controlling_terminal_of_its_program() {
    let script = "tty; read -r pid _ _ _ group session _ foreground _ < /proc/self/stat; \
                  [ \"$group\" = \"$foreground\" ] && echo in the foreground; stty size; \
                  printf '\\033[1mname\\033[0m? '; read -r name; echo \"hello $name\"; exit 5";
    let mut pty = Pty::start(shell(script), Size { rows: 20, columns: 50 });
    pty.expect("/dev/pts/").expect("in the foreground").expect("20 50").expect("name? ");
    pty.send("anna\n").expect("hello anna").ends_with(5);
    assert!(pty.screen().contains("name? anna\nhello anna"), "{}", pty.screen());
    assert!(pty.raw().windows(4).any(|bytes| bytes == b"\x1b[1m"));
}

#[test]
fn a_pty_has_the_keys_of_an_operator() {
    let script = "trap 'echo interrupted' INT; trap 'echo resized; stty size' WINCH; printf '\\033[?25l'; \
                  echo ready; while read -r line; do echo \"<$line>\"; done; \
                  echo again; while read -r line; do echo \"<$line>\"; done; printf '\\033[?25hend'";
    // A shell cannot trap what was ignored when it began, and tests that run in the background have that.
    let words = ["--default-signal=INT", "bash", "-c", script];
    let mut pty = Pty::start(Invocation::new("env", &std::env::temp_dir()).args(words), Size::default());
    pty.expect("ready");
    assert!(pty.cursor_is_hidden());
    pty.resize(Size { rows: 10, columns: 40 }).send("\n").expect("resized").expect("10 40").expect("<>");
    pty.ctrl_c().send("x\n").expect("interrupted");
    pty.ctrl_d().expect("again").send("y\n").expect("<y>").ctrl_d().expect_on_screen("end").ends_with(0);
    assert!(!pty.cursor_is_hidden());
}

#[test]
fn a_text_that_does_not_come_fails_with_the_screen() {
    let failed = std::panic::catch_unwind(|| {
        let mut pty = Pty::start(shell("echo this is there; sleep 30"), Size::default());
        pty.expect("this").expect_within("missing", Duration::from_millis(200));
    });
    let said = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("this is there"), "{said}");
}

#[test]
fn descendants_are_found_at_any_depth() {
    let mut child = Command::new("sh")
        .args(["-c", "sh -c 'sleep 30 & wait' & wait"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while descendants(child.id()).len() < 2 {
        assert!(Instant::now() < deadline, "no descendants appear");
        std::thread::sleep(Duration::from_millis(10));
    }
    let below = descendants(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    below.into_iter().for_each(super::support::end);
}
