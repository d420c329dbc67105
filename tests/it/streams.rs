//! What goes to which stream, and that off a terminal it is plain text that a pipe, a log and a
//! screen reader can take.

use std::process::{Command, Stdio};

use super::support::{self, Cluster, Invocation, NodeSpec, Output, rollgate};

/// Output of a node that would do harm if it reached a terminal or a log as it is.
const HOSTILE: &str =
    r"printf '\033[31mred \033]52;c;aGk=\007 over\rwritten \342\200\256desrever caf\303\251\n'";

const PROCEDURE: &str = r#"procedure: streams
version: { run: 'cat "$dir/version"' }
to: "2"
checks:
  hostile: { run: HOSTILE, value: lines, count_at_most: 5, evidence: HOSTILE }
phases:
  - name: service
    nodes: "n*"
    precheck:
      - check: hostile
    drain:
      - gate: isolated
        checks: [hostile]
        every: 100ms
        timeout: 2s
    upgrade:
      - name: install
        run: |
          HOSTILE
          HOSTILE >&2
          echo 2 > "$dir/version"
    rollback:
      - run: |
          HOSTILE
          echo 1 > "$dir/version"
"#;

fn hostile() -> Cluster {
    // In YAML the command stands in single quotes; in a script as it is.
    let quoted = format!("'{}'", HOSTILE.replace('\'', "''"));
    let mut procedure = PROCEDURE.to_owned();
    for key in ["run", "evidence"] {
        procedure = procedure.replace(&format!("{key}: HOSTILE"), &format!("{key}: {quoted}"));
    }
    procedure = procedure.replace("HOSTILE", HOSTILE);
    let cluster = Cluster::new().local(2).procedure(&procedure).build();
    for node in ["n1", "n2"] {
        cluster.write(&format!("nodes/{node}/version"), "1\n");
    }
    cluster
}

#[track_caller]
fn harmless(output: &Output) {
    support::harmless(output.raw_stdout(), output.raw_stderr());
}

#[test]
fn off_a_terminal_every_verb_writes_plain_ascii() {
    let cluster = hostile();
    for (words, code) in [
        (&["check"][..], 0),
        (&["check", "--syntax-only"], 0),
        (&["status"], 0),
        (&["start", "--dry-run"], 0),
        (&["start"], 11),
        (&["stage"], 0),
        (&["start", "--confirm", "test"], 11),
        (&["status"], 0),
        (&["start"], 14),
        (&["start", "--resume", "--yes", "--confirm", "test", "-v"], 0),
        (&["status"], 0),
        (&["status", "-o", "json"], 0),
        (&["rollback"], 11),
        (&["rollback", "--yes", "--confirm", "test"], 0),
        (&["unstage"], 11),
        (&["unstage", "--yes"], 0),
        (&["status", "--offline"], 0),
        (&["man"], 0),
        (&["completions", "bash"], 0),
        (&["completions", "zsh"], 0),
        (&["completions", "fish"], 0),
        (&["--help"], 0),
        (&["start", "--help"], 0),
        (&["--version"], 0),
        (&["strat"], 2),
        (&["start", "-l", "n\u{e9}\u{1b}[31m"], 2),
        (&["start", "--c\u{f6}nfirm"], 2),
        (&["-i", "n\u{e9}", "status"], 2),
    ] {
        if words == ["completions", "fish"]
            || words == ["completions", "zsh"]
            || words == ["completions", "bash"]
        {
            // Scripts are indented as their generator does it.
            cluster.rollgate(words).run().code(code);
            continue;
        }
        let output = if words[0] == "-i" { rollgate(words).run() } else { cluster.rollgate(words).run() };
        output.code(code);
        harmless(&output);
    }
}

#[test]
fn mistakes_in_files_are_written_in_plain_ascii() {
    let cluster = hostile();
    for procedure in [
        "procedure: \u{1b}[31m\n",
        "procedure: caf\u{e9}\nphases:\n  - nam\u{e9}: x\n",
        "procedure: a\n\tphases: []\n",
        "procedure: \u{201c}a\u{201d}\nphases: \u{202e}\n",
        "procedure: a\nphases:\n  - name: caf\u{e9}\n    nodes: \"\u{1b}]52;c;aGk=\u{7}\"\n",
    ] {
        cluster.set_procedure(procedure);
        let output = cluster.rollgate(["start"]).run();
        output.code(2).stderr_has("error:").stderr_has("next:");
        harmless(&output);
    }
}

#[test]
fn a_failing_node_is_quoted_in_plain_ascii() {
    let cluster = hostile();
    let procedure = std::fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(&procedure.replace("echo 2 >", "exit 7 #"));
    let output = cluster.rollgate(["start", "--yes", "--confirm", "test"]).run();
    output.code(20).stderr_has("exit status 7");
    harmless(&output);
    harmless(cluster.rollgate(["status"]).run().code(0));
    harmless(cluster.rollgate(["status", "-o", "json"]).run().code(0));
    cluster.set_procedure(&procedure.replace("count_at_most: 5", "count_at_most: 0"));
    harmless(cluster.rollgate(["start", "--dry-run"]).run().code(14));
}

#[test]
fn a_node_that_cannot_be_reached_is_said_in_plain_ascii() {
    let mut cluster = Cluster::new()
        .node(NodeSpec::ssh("n1"))
        .procedure("procedure: a\nphases:\n  - name: p\n    nodes: n1\n    upgrade:\n      - run: 'true'\n")
        .build();
    cluster.cut_off("n1");
    for (words, code) in [
        (&["check"][..], 13),
        (&["start", "--dry-run"], 13),
        (&["status"], 0),
        (&["start", "--confirm", "test"], 13),
    ] {
        harmless(cluster.rollgate(words).run().code(code));
    }
}

#[test]
fn colour_in_a_pipe_is_a_wish_that_is_granted() {
    let cluster = hostile();
    let output = cluster.rollgate(["--color", "always", "start", "-l", "n9"]).run();
    assert!(output.code(2).raw_stderr().contains("\u{1b}[31m"), "{output:?}");
    let output =
        cluster.rollgate(["start", "-l", "n9"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").run();
    harmless(output.code(2));
}

#[test]
fn results_go_to_stdout_and_progress_to_stderr() {
    let cluster = hostile();
    let run = cluster.rollgate(["start", "--yes", "--confirm", "test"]).run();
    run.code(0).stdout("").stderr_has("upgrade \"install\"").stderr_has("next:");
    let status = cluster.rollgate(["status"]).run();
    status.code(0).stderr("").stdout_has("cluster test").stdout_has("n2");
    let dry = cluster.rollgate(["start", "--dry-run"]).run();
    dry.stderr("").stdout_has("DRY RUN test");
    let check = cluster.rollgate(["check"]).run();
    check.code(0).stderr("").stdout_has("n1");
    rollgate(["--help"]).run().code(0).stderr("").stdout_has("Usage: rollgate");
    rollgate(["--version"]).run().code(0).stderr("").stdout_has("rollgate ");
    rollgate(["--nothing"]).run().code(2).stdout("").stderr_has("next: rollgate --help");
}

#[test]
fn quiet_says_no_more_than_the_last_line_when_all_is_well() {
    let cluster = hostile();
    let quiet = |words: &[&str]| cluster.rollgate(words).run();
    quiet(&["start", "--dry-run", "-q"]).code(0).stdout("").stderr("");
    for (words, last) in [
        (&["stage", "-q"][..], "everything is staged"),
        (&["start", "-q", "--yes", "--confirm", "test"], "finished"),
        (&["rollback", "-q", "--yes", "--confirm", "test"], "rolled back"),
    ] {
        let output = quiet(words);
        output.code(0).stdout("").stderr_has(last);
        assert_eq!(output.raw_stderr().lines().count(), 1, "{output:?}");
    }
    let refused = quiet(&["start", "-q", "-l", "n9"]);
    refused.code(2).stdout("").stderr_has("error:").stderr_has("next:");
}

#[test]
fn quiet_says_why_it_stopped() {
    let cluster = hostile();
    let stopped = cluster.rollgate(["start", "-q", "--confirm", "test"]).run();
    stopped.code(11).stdout("").stderr_has("isolated").stderr_has("next: rollgate");
    assert!(!stopped.raw_stderr().contains("begins"), "{stopped:?}");
}

/// Every line by itself is a document.
fn events(text: &str) -> Vec<serde_json::Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect()
}

#[test]
fn a_run_as_json_is_its_journal_line_by_line() {
    let cluster = hostile();
    let run = cluster.rollgate(["start", "-o", "json", "--yes", "--confirm", "test"]).run();
    run.code(0);
    harmless(&run);
    let told = events(run.raw_stdout());
    let written = events(&cluster.journal());
    assert_eq!(told.len(), written.len());
    for (told, written) in told.iter().zip(&written) {
        assert_eq!(told["n"], written["n"]);
        assert_eq!(told["at"], written["at"]);
        assert_eq!(told["event"], written["event"]);
    }
    let resumed = cluster.rollgate(["rollback", "-o", "json", "--yes", "--confirm", "test"]).run();
    let more = events(resumed.code(0).raw_stdout());
    assert_eq!(more[0]["n"], told.len());
}

#[test]
fn a_status_as_json_is_one_document() {
    let cluster = hostile();
    let read = || -> serde_json::Value {
        let output = cluster.rollgate(["status", "-o", "json"]).run();
        output.code(0).stderr("");
        serde_json::from_str(output.raw_stdout()).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    };
    let before = read();
    assert_eq!(before["format"], "rollgate/status");
    assert_eq!(before["format_version"], "1.0");
    assert_eq!(before["status"], "none");
    assert_eq!(before["nodes"][0]["version"], "1");
    cluster.rollgate(["start", "--confirm", "test"]).run().code(11);
    let stopped = read();
    assert_eq!(stopped["status"], "stopped");
    assert_eq!(stopped["run"]["stop"]["exit_code"], 11);
    assert_eq!(stopped["run"]["stop"]["reason"], "no_answer");
    assert_eq!(stopped["next"][0][3], "start");
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(0);
    let after = read();
    assert_eq!(after["final_state"], "finished");
    assert_eq!(after["run"]["counts"]["done"], 2);
    assert_eq!(after["nodes"][1]["version"], "2");
}

#[test]
fn a_dry_run_as_json_is_one_document() {
    let cluster = hostile();
    let output = cluster.rollgate(["start", "--dry-run", "-o", "json"]).run();
    output.code(0).stderr("");
    let document: serde_json::Value = serde_json::from_str(output.raw_stdout()).unwrap();
    assert_eq!(document["cluster"], "test");
    assert!(document["format_version"].is_string(), "{document}");
}

/// Runs a shell line in which `$ROLLGATE` is rollgate with the cluster's inventory.
fn shell(cluster: &Cluster, line: &str) -> Output {
    Invocation::new("bash", cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .env("ROLLGATE", format!("{} -i inventory.yaml", env!("CARGO_BIN_EXE_rollgate")))
        .args(["-c", line])
        .run()
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let cluster = hostile();
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(0);
    for verb in [
        "status",
        "status -o json",
        "man",
        "man rollgate-procedure",
        "--help",
        "completions zsh",
        "check",
        "start -n",
    ] {
        let output = shell(&cluster, &format!("set -o pipefail; $ROLLGATE {verb} | head -1 >/dev/null"));
        output.code(0).stderr("");
        let output = shell(&cluster, &format!("set -o pipefail; $ROLLGATE {verb} | true"));
        output.code(0).stderr("");
    }
}

#[test]
fn a_run_goes_on_when_nobody_reads_it_any_more() {
    let cluster = hostile();
    let output = shell(
        &cluster,
        "$ROLLGATE start -o json --yes --confirm test | head -1 >/dev/null; exit ${PIPESTATUS[0]}",
    );
    output.code(0);
    let cluster = hostile();
    let output = shell(
        &cluster,
        "$ROLLGATE start --yes --confirm test 2>&1 | head -1 >/dev/null; exit ${PIPESTATUS[0]}",
    );
    output.code(0);
    assert_eq!(std::fs::read_to_string(cluster.node_dir("n2").join("version")).unwrap(), "2\n");
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let cluster = hostile();
    let output = shell(&cluster, "$ROLLGATE status >/dev/full");
    output.code(1).stderr_has("cannot be written").stderr_has("next:");
}

#[test]
fn an_unknown_node_is_never_an_empty_success() {
    let cluster = hostile();
    for words in [
        &["start", "--dry-run", "-l", "m1"][..],
        &["start", "--yes", "--confirm", "test", "-l", "m1"],
        &["stage", "-l", "n1,m1"],
        &["rollback", "-l", "x*"],
    ] {
        cluster.rollgate(words).run().code(2).stdout("").stderr_has("nothing was done (exit 2)");
    }
    cluster
        .rollgate(["start", "-l", "m1"])
        .run()
        .stderr_has("did you mean `n1`?")
        .stderr_has("known: n1, n2");
}

#[test]
fn a_pipe_is_never_asked_anything() {
    // Neither stdin nor the terminal that this test may have been started at is read.
    let cluster = hostile();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollgate"))
        .args(["-i", "inventory.yaml", "start", "--confirm", "test"])
        .current_dir(cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its standard input stays open: whoever waits for it waits forever.
    let open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(11));
    drop(open);
}
