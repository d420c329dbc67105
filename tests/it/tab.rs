//! What a shell offers at the tab key: the names of the cluster at hand, from local files alone, and nothing where
//! something is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::support::{Cluster, Invocation, NodeSpec, Output, VANISH, rollgate};

/// Two local nodes with everything that has a name.
fn cluster() -> Cluster {
    Cluster::new()
        .node(NodeSpec::local("n1").group("data"))
        .node(NodeSpec::local("n2").group("web"))
        .procedure(&format!(
            "
             procedure: tab
             phases:
               - name: nodes
                 nodes: all
                 upgrade:
                   - {{ name: lost, run: '{VANISH}' }}
                   - {{ gate: isolated }}
                   - {{ gate: queue depth }}
                   - {{ name: cable, manual: Pull it. }}
            "
        ))
        .build()
}

/// What is offered for the last word of a line.
fn offered(cluster: &Cluster, line: &[&str]) -> Output {
    let words = ["--", "rollgate"].into_iter().chain(line.iter().copied());
    let done = cluster
        .rollgate(words)
        .env("COMPLETE", "zsh")
        .env("ROLLGATE_INVENTORY", cluster.root().join("inventory.yaml"))
        .env("_CLAP_COMPLETE_INDEX", line.len().to_string())
        .env("_CLAP_IFS", "\n")
        .run();
    done.code(0).stderr("");
    done
}

/// The values without what is said of them. zsh wants a colon in a value escaped.
fn values(cluster: &Cluster, line: &[&str]) -> Vec<String> {
    let done = offered(cluster, line);
    let values = done.raw_stdout().lines().map(|line| line.replace("\\:", "\0"));
    values.map(|line| line.split(':').next().unwrap_or_default().replace('\0', ":")).collect()
}

#[test]
fn nodes_groups_gates_and_the_cluster_are_offered() {
    let cluster = cluster();
    let file = cluster.root().join("inventory.yaml").display().to_string();
    for (line, expected) in [
        (&["start", "-l", ""][..], &["n1", "n2", "data", "web"][..]),
        (&["start", "-l", "n"], &["n1", "n2"]),
        (&["start", "-l", "n1,d"], &["n1,data"]),
        (&["start", "-l", "!n"], &["!n1", "!n2"]),
        (&["stage", "--limit=w"], &["--limit=web"]),
        (&["rollback", "-l", "x"], &[]),
        (&["start", "--pause-after", ""], &["n1", "n2"]),
        (&["start", "--confirm", ""], &["test"]),
        (&["start", "--override", ""], &["isolated=", "queue depth=", "cable="]),
        (&["start", "--override", "q"], &["queue depth="]),
        (&["-i", &file, "start", "--confirm", ""], &["test"]),
        (&["-i", "/nowhere.yaml", "start", "--confirm", ""], &[]),
        (&["man", "rollgate-st"], &["rollgate-stage", "rollgate-start", "rollgate-status"]),
        (&["sche"], &["schema"]),
        (&["schema", "p"], &["procedure"]),
    ] {
        assert_eq!(values(&cluster, line), expected, "{line:?}");
    }
}

#[test]
fn runs_and_steps_whose_end_nobody_knows_are_offered() {
    let cluster = cluster();
    assert_eq!(values(&cluster, &["start", "--resume", "--decide", ""]), [""; 0]);
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(22);
    let runs = values(&cluster, &["status", "2"]);
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(values(&cluster, &["start", "--resume", "--adopt", "2"]), runs);
    let decisions = values(&cluster, &["start", "--resume", "--decide", "n1"]);
    assert_eq!(decisions.len(), 3, "{decisions:?}");
    for (decision, verdict) in decisions.iter().zip(["=done", "=retry", "=fail"]) {
        assert!(decision.starts_with("n1/") && decision.ends_with(verdict), "{decision}");
    }
}

#[test]
fn where_something_is_wrong_nothing_is_offered_and_nothing_said() {
    let cluster = cluster();
    let inventory = cluster.root().join("inventory.yaml");
    let good = fs::read_to_string(&inventory).unwrap();
    for bad in ["cluster: [", "", "cluster: test\nnodes: 5\n"] {
        fs::write(&inventory, bad).unwrap();
        assert_eq!(values(&cluster, &["start", "-l", ""]), [""; 0]);
    }
    // A program is not run.
    fs::write(&inventory, format!("#!/bin/sh\ntouch {}/ran\n", cluster.root().display())).unwrap();
    fs::set_permissions(&inventory, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(values(&cluster, &["start", "-l", ""]), [""; 0]);
    assert!(!cluster.root().join("ran").exists());
    fs::set_permissions(&inventory, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&inventory, good).unwrap();
    assert_eq!(values(&cluster, &["start", "-l", "n"]), ["n1", "n2"]);
}

#[test]
fn it_takes_no_time() {
    let cluster = cluster();
    let quickest = (0..5)
        .map(|_| {
            let begun = Instant::now();
            offered(&cluster, &["start", "-l", ""]);
            begun.elapsed()
        })
        .min()
        .unwrap();
    println!("a list of nodes takes {quickest:?}");
    assert!(quickest < Duration::from_millis(500), "{quickest:?}");
}

#[test]
fn every_shell_reads_how_it_is_to_ask() {
    for shell in ["bash", "zsh", "fish"] {
        let script = rollgate([""; 0]).env("COMPLETE", shell).run();
        script.code(0).stderr("");
        let read = Invocation::new(shell, Path::new("/")).args(["-n"]).stdin(script.raw_stdout()).run();
        read.code(0).stdout("").stderr("");
        assert!(script.raw_stdout().contains("rollgate"));
    }
}

#[test]
fn bash_puts_it_into_the_line() {
    let cluster = cluster();
    let script = "source <(COMPLETE=bash \"$0\"); COMP_WORDS=(rollgate start \"$1\" \"$2\"); COMP_CWORD=3; \
                  COMP_TYPE=9; _clap_complete_rollgate rollgate \"$2\" \"$1\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let offer = |flag: &str, word: &str| {
        let done = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_rollgate"), flag, word])
            .env("ROLLGATE_INVENTORY", cluster.root().join("inventory.yaml"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stderr), "");
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(offer("-l", "n"), "n1\nn2\n");
    assert_eq!(offer("--override", "q"), "queue\\ depth=\n");
}
