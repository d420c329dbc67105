//! A node that answers whatever it likes: garbage, without end, with marks of its own making. It fails in bounded time
//! and memory, says why, and the others do not notice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::support::{Cluster, NodeSpec, effects};

/// The most memory that rollgate may take beside such a node, in KiB.
const MEMORY: &str = "ulimit -d 131072; exec \"$@\"";

/// The most time that a check of it may take: it is given up after 20 s, and the machine has others to serve.
const MOST_TIME: Duration = Duration::from_secs(45);

/// What is said of a node that gives no end, and of one whose shell gives no answer.
const SILENT: &str = "the connection is silent";
const NO_SHELL: &str = "it ended before the first question was answered";

/// What a node's login runs instead of what was asked, a script that has the question on its standard input; and what is
/// said of the node then.
const ANSWERS: &[(&str, &str, &str)] = &[
    ("garbage", "exec cat /dev/urandom", SILENT),
    ("zeros", "exec cat /dev/zero", SILENT),
    ("words without end", "exec yes 'uid=0'", SILENT),
    ("one line without end", "tr -d '\\n' </dev/zero | tr '\\0' a", SILENT),
    ("errors without end", "exec cat /dev/urandom >&2", SILENT),
    ("nothing", "exit 0", NO_SHELL),
    ("another exit status", "exit 255", NO_SHELL),
    (
        "a mark of another call",
        "n=00000000000000000000000000000000; printf 'rg-%s:B 0 1\\nuid=0\\nrg-%s:E 0 0\\n' $n $n | tee /dev/stderr",
        "the login's shell says: rg-00000000000000000000000000000000:B 0 1",
    ),
    (
        "marks of its own",
        "p=$(cat); n=${p#*rg-}; n=rg-${n%%:*}; printf '%s:O 0 18446744073709551615\\n%s:A 0 18446744073709551615\\n%s:B 99999999 -1\\n%s:S 0 ended,4294967295,9,9,9\\n%s:E 18446744073709551615 -2147483648\\n' $n $n $n $n $n; exec yes $n:H",
        SILENT,
    ),
    (
        "facts that are none",
        "p=$(cat); n=${p#*rg-}; n=rg-${n%%:*}; say() { printf '%s:B 0 77\\n%s:R 0 0\\nuid=x\\nhome=\\033[2J\\n%s:E 0 0\\n' $n $n $n; }; say; say >&2; sleep 1",
        "`id -u` does not answer with a number",
    ),
    (
        "facts without end",
        "p=$(cat); n=${p#*rg-}; n=rg-${n%%:*}; printf '%s:B 0 77\\n' $n; printf '%s:B 0 77\\n%s:R 0 0\\n' $n $n >&2; exec yes uid=0",
        SILENT,
    ),
];

/// Two nodes: one that is hostile from its first word, one that is not.
fn cluster(answer: &str) -> Cluster {
    let cluster = Cluster::new()
        .node(NodeSpec::ssh("bad"))
        .node(NodeSpec::local("good"))
        .procedure(&effects(
            r"
            procedure: neighbours
            version: { run: echo 1 }
            phases:
              - name: first
                nodes: good
                upgrade:
                  - run: LOG(up)
            ",
        ))
        .build();
    possess(&cluster, answer);
    cluster
}

/// Has the login of the node answer like that from now on.
fn possess(cluster: &Cluster, answer: &str) {
    let script = cluster.path("answer.sh");
    fs::write(&script, format!("#!/bin/sh\n{answer}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = cluster.path("sshd/bad/authorized_keys");
    let key = fs::read_to_string(&keys).unwrap();
    let key = key.split_once("ssh-ed25519").unwrap().1;
    fs::write(&keys, format!("command=\"{}\" ssh-ed25519{key}", script.display())).unwrap();
}

fn bounded(cluster: &Cluster, words: &[&str]) -> super::super::support::Output {
    super::super::support::Invocation::new("sh", cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .args(["-c", MEMORY, "sh", env!("CARGO_BIN_EXE_rollgate"), "-i", "inventory.yaml"])
        .args(words)
        .limit(Duration::from_mins(3))
        .run()
}

#[test]
fn whatever_it_answers_it_fails_in_time_and_the_others_go_on() {
    let mut wrong = Vec::new();
    for (what, answer, why) in ANSWERS {
        let cluster = cluster(answer);
        let began = Instant::now();
        let output = bounded(&cluster, &["check"]);
        assert_eq!(output.exit_code(), 13, "{what}: {output:?}");
        assert!(!output.raw_stderr().contains("panicked"), "{what}: {output:?}");
        super::super::support::harmless(output.raw_stdout(), output.raw_stderr());
        let lines: Vec<&str> = output.raw_stdout().lines().collect();
        assert!(
            lines.iter().any(|line| line.contains("good") && line.contains("runs 1")),
            "{what}: {output:?}"
        );
        assert!(lines.iter().all(|line| line.len() < 2000), "{what}");
        let took = began.elapsed();
        assert!(took < MOST_TIME, "{what} took {took:?}");
        println!("{what}: {took:?}");
        if !output.raw_stderr().contains(why) && !output.raw_stdout().contains(why) {
            wrong.push(format!("{what}: {output:?}"));
        }
        bounded(&cluster, &["start", "--yes", "--confirm", "test"]).code(0);
        assert_eq!(cluster.effects(), ["good up"], "{what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A node that turns hostile when it is asked for a file: it sends more than it said, or more than fits.
#[test]
fn a_file_that_is_longer_than_it_said_is_not_taken() {
    let procedure = r#"
        procedure: fetch
        phases:
          - name: all
            nodes: bad
            upgrade:
              - get: { from: "${dir}/log", to: log }
        "#;
    for (size, why) in
        [("printf 7", "it is longer than the node said"), ("printf 9000000000000000000", "there is room for")]
    {
        let cluster = Cluster::new().node(NodeSpec::ssh("bad")).procedure(procedure).build();
        fs::write(cluster.node_dir("bad").join("log"), "log").unwrap();
        // `wc` and `cat` of the node are its own.
        let tools = cluster.path("tools");
        fs::create_dir(&tools).unwrap();
        for (name, script) in [("wc", format!("exec {size}")), ("cat", "case $# in (0) case $(readlink /proc/self/fd/0) in (*/log) exec yes ;; esac ;; esac; exec /bin/cat \"$@\"".to_owned())] {
            fs::write(tools.join(name), format!("#!/bin/sh\n{script}\n").replace("exec printf", "printf")).unwrap();
            fs::set_permissions(tools.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        possess(
            &cluster,
            &format!("PATH={}:$PATH; export PATH; eval \"$SSH_ORIGINAL_COMMAND\"", tools.display()),
        );
        let output = bounded(&cluster, &["start", "--yes", "--confirm", "test"]);
        output.code(20).stderr_has(why);
        let files = cluster.run_dir().join("files/bad");
        assert_eq!(fs::read_dir(files).unwrap().count(), 0, "nothing is left of it");
    }
}

/// A step whose output has no end, on a screen that nobody reads: memory has an end all the same.
#[test]
fn output_without_end_and_a_screen_that_stands_still_take_no_more_memory() {
    let procedure = r#"
        procedure: flood
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - run: yes "$(printf %0200d 7)" | head -c 60000000
                timeout: 10m
        "#;
    let cluster = Cluster::new().local(1).procedure(procedure).build();
    // Whoever reads does not until all of it has come.
    let line = format!(
        "{{ ulimit -d 65536; {} -i inventory.yaml start --yes --confirm test 2>&1; echo \"exit $?\"; }} |
         {{ n=0; until test \"$(cat state/test/runs/*/out/*.log | wc -c)\" = 60000000 || test $n = 900; do
              n=$((n + 1)); sleep 0.2; done; tail -n 20; }}",
        env!("CARGO_BIN_EXE_rollgate")
    );
    let output = Command::new("sh")
        .args(["-c", &line])
        .current_dir(cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim_end().ends_with("exit 0"), "{said}");
    assert!(said.contains("lines too fast to be shown; the transcript has all"), "{said}");
}
