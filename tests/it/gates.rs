//! Every way in which a gate can be answered, and that nothing else is an answer.

use std::fs;
use std::time::Duration;

use super::support::{Cluster, Invocation, Pty, Size};

const BEGIN: &str = "Type the cluster's name to begin, anything else to leave: ";

/// One node with a gate over the file `queue`; `more` are further keys of the gate.
fn gated(queue: &str, more: &[&str]) -> Cluster {
    let more: String = more.iter().flat_map(|line| ["        ", line, "\n"]).collect();
    let procedure = format!(
        r#"procedure: gates
phases:
  - name: service
    nodes: "n*"
    drain:
      - gate: isolated
        checks:
          - name: queue
            run: cat "$dir/queue"
            value: number
            at_most: 0
            unit: messages
            remedy: look at the consumers
        every: 200ms
{more}    upgrade:
      - name: install
        run: echo "$ROLLGATE_NODE upgrade" >> "$effects"
"#
    );
    let cluster = Cluster::new().local(1).procedure(&procedure).build();
    set_queue(&cluster, queue);
    cluster
}

fn set_queue(cluster: &Cluster, queue: &str) {
    // A rename, for a half-written file would be an unreadable value.
    let (next, file) = (cluster.node_dir("n1").join("queue.next"), cluster.node_dir("n1").join("queue"));
    fs::write(&next, queue).unwrap();
    fs::rename(next, file).unwrap();
}

/// A drain with these steps, and an upgrade that leaves an effect.
fn drained(steps: &str) -> Cluster {
    let procedure = format!(
        r#"procedure: gates
phases:
  - name: service
    nodes: "n*"
    drain:
{steps}
    upgrade:
      - name: install
        run: echo "$ROLLGATE_NODE upgrade" >> "$effects"
"#
    );
    Cluster::new().local(1).procedure(&procedure).build()
}

/// A run at a terminal that has been confirmed.
fn begun(cluster: &Cluster) -> Pty {
    begun_with(cluster, &[])
}

fn begun_with(cluster: &Cluster, flags: &[&str]) -> Pty {
    let mut terminal = cluster.terminal([&["start", "--confirm", "test"], flags].concat());
    terminal.expect("begins");
    terminal
}

fn unattended(cluster: &Cluster, flags: &[&str]) -> Invocation {
    cluster.rollgate([&["start", "--confirm", "test"], flags].concat())
}

#[track_caller]
fn untouched(cluster: &Cluster) {
    assert_eq!(cluster.effects(), [""; 0]);
}

#[track_caller]
fn upgraded(cluster: &Cluster) {
    assert_eq!(cluster.effects(), ["n1 upgrade"]);
}

/// The answers in the journal, without readings.
fn answers(cluster: &Cluster) -> Vec<serde_json::Value> {
    let lines = cluster.records(&[r#""answered""#]);
    lines
        .iter()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let answer = &record["event"]["answered"];
            serde_json::json!([answer["decision"], answer["how"]])
        })
        .collect()
}

#[test]
fn a_run_begins_when_the_clusters_name_is_typed() {
    let cluster = gated("0", &[]);
    let mut terminal = cluster.terminal(["start"]);
    terminal.expect(BEGIN).send("test\n").expect("Go on with n1? [yes/no] ").send("yes\n").ends_with(0);
    upgraded(&cluster);
}

#[test]
fn a_run_begins_with_nothing_else() {
    let cluster = gated("0", &[]);
    for keys in ["\n", "yes\n", "Test\n", "tes\n", "\x04", "\x03"] {
        let mut terminal = cluster.terminal(["start"]);
        terminal.expect(BEGIN).send(keys).expect("next: rollgate").ends_with(11);
    }
    assert_eq!(cluster.journal(), "", "a run that was not begun leaves no record");
    untouched(&cluster);
}

#[test]
fn the_name_typed_ahead_begins_nothing() {
    let cluster = gated("0", &[]);
    let mut terminal = cluster.terminal(["start"]);
    terminal.send("test\n").expect(BEGIN);
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\n").ends_with(11);
    assert_eq!(cluster.journal(), "", "no run was begun");
}

#[test]
fn yes_opens_after_the_gate_is_read_again() {
    let cluster = gated("0", &[]);
    let mut terminal = begun(&cluster);
    terminal.expect("yes will: install").expect("Go on with n1? [yes/no] ");
    untouched(&cluster);
    terminal.send("yes\n").expect("read again: queue on n1: 0 messages; still open").ends_with(0);
    upgraded(&cluster);
    assert_eq!(answers(&cluster), [serde_json::json!(["yes", "terminal"])]);
    let who = cluster.records(&[r#""answered""#, r#""user":"tester""#, r#""readings":[{"check":"queue""#]);
    assert_eq!(who.len(), 1, "{}", cluster.journal());
}

#[test]
fn a_reading_that_got_worse_voids_the_yes() {
    // Read once when the question is put, and not again for an hour: only the reading after the yes sees it.
    let cluster = gated("0", &["timeout: 30s"]);
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(&procedure.replace("every: 200ms", "every: 1h"));
    let mut terminal = begun(&cluster);
    terminal.expect("Go on with n1? [yes/no] ");
    set_queue(&cluster, "7");
    terminal
        .send("yes\n")
        .expect("read again: queue on n1: 7 messages, needs <= 0; closed again, so the answer is void")
        .expect("is closed again");
    untouched(&cluster);
    terminal.ctrl_c().expect("stop here; n1 is untouched");
    terminal.send("\x1b[B\x1b[B\x1b[B\n").expect("next: rollgate").ends_with(16);
    untouched(&cluster);
    assert!(!cluster.records(&["reading_taken", r#""number":7.0"#]).is_empty(), "{}", cluster.journal());
}

#[test]
fn a_gate_that_closes_takes_its_question_back_and_asks_anew() {
    let cluster = gated("0", &[]);
    let mut terminal = begun(&cluster);
    terminal.expect("Go on with n1? [yes/no] ");
    set_queue(&cluster, "4");
    terminal.expect("is closed again, the question is void");
    // The same answer, sent a moment too late, is nobody's.
    terminal.send("yes\n");
    std::thread::sleep(Duration::from_millis(600));
    untouched(&cluster);
    set_queue(&cluster, "0");
    terminal.expect("Go on with n1? [yes/no] ");
    untouched(&cluster);
    terminal.send("yes\n").ends_with(0);
    upgraded(&cluster);
}

#[test]
fn nothing_but_yes_is_a_yes() {
    for keys in ["\n", "no\n", "y\n", "YES\n", "yes please\n", "test\n", "n1\n", "\x04"] {
        let cluster = gated("0", &[]);
        let mut terminal = begun(&cluster);
        terminal.expect("Go on with n1? [yes/no] ").send(keys).expect("next: rollgate").ends_with(11);
        untouched(&cluster);
        assert_eq!(answers(&cluster), [serde_json::json!(["no", "terminal"])], "{keys:?}");
    }
}

#[test]
fn ctrl_c_at_the_question_stops() {
    let cluster = gated("0", &[]);
    let mut terminal = begun(&cluster);
    terminal.expect("Go on with n1? [yes/no] ").ctrl_c().expect("next: rollgate").ends_with(16);
    untouched(&cluster);
}

#[test]
fn what_was_typed_before_the_question_does_not_answer_it() {
    let cluster = gated("5", &[]);
    let mut terminal = begun(&cluster);
    terminal.expect("needs <= 0").send("yes\nyes\n");
    std::thread::sleep(Duration::from_millis(300));
    set_queue(&cluster, "0");
    terminal.expect("Go on with n1? [yes/no] ");
    std::thread::sleep(Duration::from_millis(600));
    untouched(&cluster);
    terminal.send("\n").ends_with(11);
    untouched(&cluster);
}

#[test]
fn yes_flag_passes_an_open_gate() {
    let cluster = gated("0", &[]);
    unattended(&cluster, &["--yes"]).run().code(0).stderr_has("yes, by --yes").stderr_has("still open");
    upgraded(&cluster);
    assert_eq!(answers(&cluster), [serde_json::json!(["yes", "yes_flag"])]);
}

#[test]
fn yes_flag_waits_for_a_gate_to_open() {
    let cluster = gated("2", &["timeout: 30s"]);
    let running = unattended(&cluster, &["--yes"]).spawn();
    while cluster.records(&["reading_taken"]).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    untouched(&cluster);
    set_queue(&cluster, "0");
    running.wait().code(0);
    upgraded(&cluster);
}

#[test]
fn yes_flag_never_opens_a_closed_gate() {
    let cluster = gated("3", &["timeout: 1s"]);
    unattended(&cluster, &["--yes"])
        .run()
        .code(10)
        .stderr_has("the gate stayed closed for 1s: queue on n1: 3 messages, needs <= 0")
        .stderr_has("look at the consumers")
        .stderr_has("start --resume");
    untouched(&cluster);
    assert_eq!(answers(&cluster), [serde_json::Value::Null; 0]);
}

#[test]
fn gate_timeout_flag_counts_instead_of_the_files() {
    let cluster = gated("3", &["timeout: 1h"]);
    unattended(&cluster, &["--gate-timeout", "1s"]).run().code(10).stderr_has("stayed closed for 1s");
    untouched(&cluster);
}

#[test]
fn a_value_that_cannot_be_read_is_never_a_pass() {
    for queue in ["none", "", "0 0", "-"] {
        let cluster = gated(queue, &["timeout: 600ms"]);
        unattended(&cluster, &["--yes"]).run().code(10).stderr_has("unreadable");
        untouched(&cluster);
    }
    let cluster = gated("0", &["timeout: 600ms"]);
    fs::remove_file(cluster.node_dir("n1").join("queue")).unwrap();
    unattended(&cluster, &["--yes"]).run().code(10).stderr_has("unreadable");
    untouched(&cluster);
}

#[test]
fn an_override_opens_a_closed_gate_and_its_reason_is_kept() {
    let cluster = gated("3", &["timeout: 20s"]);
    unattended(&cluster, &["--override", "isolated=vendor case 7 says so"]).run().code(0);
    upgraded(&cluster);
    let answered = answers(&cluster);
    let reason = serde_json::json!([{"override": {"reason": "vendor case 7 says so"}}, "override_flag"]);
    assert_eq!(answered, [reason]);
}

#[test]
fn an_override_needs_a_gate_that_exists() {
    let cluster = gated("3", &[]);
    unattended(&cluster, &["--override", "isolatde=x"]).run().code(2).stderr_has("isolated");
    untouched(&cluster);
}

#[test]
fn without_a_terminal_an_open_gate_is_not_passed() {
    let cluster = gated("0", &[]);
    unattended(&cluster, &[]).run().code(11).stderr_has("there is no terminal").stderr_has("next: rollgate");
    untouched(&cluster);
    let journal = cluster.journal();
    assert!(journal.contains(r#""holds""#), "it opened first\n{journal}");
}

#[test]
fn with_no_input_a_terminal_is_none() {
    let cluster = gated("0", &[]);
    let mut terminal = cluster.terminal(["start", "--confirm", "test", "--no-input"]);
    terminal.expect("there is no terminal").expect("next: rollgate").ends_with(11);
    untouched(&cluster);
}

#[test]
fn a_pipe_full_of_yes_answers_nothing() {
    let cluster = gated("0", &[]);
    let yes = "yes\n".repeat(1000);
    cluster.rollgate(["start"]).stdin(&yes).run().code(11).stderr_has("--confirm test");
    unattended(&cluster, &[]).stdin(&yes).run().code(11);
    let tests = "test\n".repeat(1000);
    cluster.rollgate(["start", "--resume"]).stdin(&tests).run().code(11);
    untouched(&cluster);
}

/// Runs a shell line in which `$ROLLGATE` is rollgate with the cluster's inventory, at a terminal.
fn at_a_shell(cluster: &Cluster, line: &str) -> Pty {
    let shell = Invocation::new("sh", cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .env("ROLLGATE", format!("{} -i inventory.yaml", env!("CARGO_BIN_EXE_rollgate")))
        .args(["-c", line]);
    Pty::start(shell, Size::default())
}

#[test]
fn at_a_shell_nothing_hangs_and_nothing_opens() {
    for line in [
        "yes | $ROLLGATE start --confirm test",
        "$ROLLGATE start --confirm test </dev/null",
        "$ROLLGATE start --confirm test 2>&1 </dev/null | cat; exit 11",
        "$ROLLGATE start --confirm test 2>err",
        "setsid -w $ROLLGATE start --confirm test </dev/null >out 2>&1",
        "setsid -w $ROLLGATE start --confirm test",
        "nohup $ROLLGATE start --confirm test </dev/null >out 2>&1",
        "$ROLLGATE start </dev/null",
        "yes test | $ROLLGATE start",
        "setsid -w $ROLLGATE start",
    ] {
        let cluster = gated("0", &[]);
        at_a_shell(&cluster, line).ends_with(11);
        untouched(&cluster);
    }
}

#[test]
fn in_the_background_nothing_is_asked() {
    let cluster = gated("0", &[]);
    at_a_shell(&cluster, "set -m; $ROLLGATE start --confirm test & wait $!").ends_with(11);
    untouched(&cluster);
}

#[test]
fn with_stdout_in_a_pipe_the_question_is_asked_all_the_same() {
    let cluster = gated("0", &[]);
    let mut shell = at_a_shell(&cluster, "$ROLLGATE start --confirm test | cat");
    shell.expect("Go on with n1? [yes/no] ").send("yes\n").ends_with(0);
    upgraded(&cluster);
}

/// A terminal at which the gate's choices stand.
fn at_choices(cluster: &Cluster) -> Pty {
    let mut terminal = begun(cluster);
    terminal.expect("needs <= 0").ctrl_c();
    terminal.expect("keep waiting").expect("read the gate now").expect("open it anyway");
    terminal.expect("stop here; n1 is untouched");
    terminal
}

const DOWN: &str = "\x1b[B";

#[test]
fn ctrl_c_at_a_closed_gate_and_keep_waiting() {
    let cluster = gated("5", &[]);
    let mut terminal = at_choices(&cluster);
    terminal.send("\n").expect("waiting on");
    set_queue(&cluster, "0");
    terminal.expect("Go on with n1? [yes/no] ").send("yes\n").ends_with(0);
    upgraded(&cluster);
}

#[test]
fn ctrl_c_at_a_closed_gate_and_read_it_now() {
    let cluster = gated("5", &[]);
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(&procedure.replace("every: 200ms", "every: 1h"));
    let mut terminal = at_choices(&cluster);
    set_queue(&cluster, "0");
    terminal.send(DOWN).send("\n").expect("Go on with n1? [yes/no] ").send("no\n").ends_with(11);
    untouched(&cluster);
}

#[test]
fn ctrl_c_at_a_closed_gate_and_open_it_for_a_name_and_a_reason() {
    let cluster = gated("5", &[]);
    let mut terminal = at_choices(&cluster);
    terminal.send(DOWN).send(DOWN).send("\n");
    terminal.expect("Type n1 to open the closed gate").send("n1\n");
    terminal.expect("Reason, for the report: ").send("agreed with the owner\n").ends_with(0);
    upgraded(&cluster);
    let reason = serde_json::json!([{"override": {"reason": "agreed with the owner"}}, "terminal"]);
    assert_eq!(answers(&cluster), [reason]);
    let whole = cluster.records(&["answered", r#""n1/service.drain.1""#, r#""number":5.0"#]);
    assert_eq!(whole.len(), 1, "{}", cluster.journal());
}

#[test]
fn a_closed_gate_stays_closed_without_the_name_or_without_a_reason() {
    let cluster = gated("5", &[]);
    let mut terminal = at_choices(&cluster);
    terminal.send(DOWN).send(DOWN).send("\n");
    terminal.expect("Type n1 to open the closed gate").send("yes\n").expect("not opened; waiting on");
    terminal.ctrl_c().expect("stop here; n1 is untouched");
    terminal.send(DOWN).send(DOWN).send("\n");
    terminal.expect("Type n1 to open the closed gate").send("n1\n");
    terminal.expect("Reason, for the report: ").send(" \n").expect("a gate is not opened without a reason");
    untouched(&cluster);
    terminal.ctrl_c().expect("stop here; n1 is untouched");
    terminal.send(DOWN).send(DOWN).send(DOWN).send("\n").ends_with(16);
    untouched(&cluster);
    assert_eq!(answers(&cluster), [serde_json::Value::Null; 0]);
}

#[test]
fn ctrl_c_at_a_closed_gate_and_stop() {
    let cluster = gated("5", &[]);
    let mut terminal = at_choices(&cluster);
    terminal.send(DOWN).send(DOWN).send(DOWN).send("\n").expect("start --resume").ends_with(16);
    untouched(&cluster);
}

/// The terminal echoes `^C` where the cursor stands: at the end of a full line that would begin a new row.
#[test]
fn the_gate_stands_once_above_its_choices() {
    for columns in [40, 80, 200] {
        let cluster = gated("5", &[]);
        let size = Size { rows: 24, columns };
        let mut terminal = Pty::start(cluster.rollgate(["start", "--confirm", "test"]), size);
        terminal.expect("needs <= 0").expect_on_screen("Ctrl-C for choices").ctrl_c();
        terminal.expect("stop here").expect_on_screen("stop here");
        let screen = terminal.screen();
        assert_eq!(screen.matches("[1 of 1] n1").count(), 1, "{columns}:\n{screen}");
        assert_eq!(screen.matches("Ctrl-C for choices").count(), 0, "{columns}:\n{screen}");
        terminal.send(DOWN).send(DOWN).send(DOWN).send("\n").ends_with(16);
    }
}

#[test]
fn ctrl_c_twice_at_a_closed_gate_stops() {
    let cluster = gated("5", &[]);
    let mut terminal = at_choices(&cluster);
    terminal.ctrl_c().expect("start --resume").ends_with(16);
    untouched(&cluster);
}

#[test]
fn a_typed_gate_wants_the_clusters_name() {
    let cluster = gated("0", &["typed: true"]);
    for keys in ["yes\n", "\n", "n1\n"] {
        let mut terminal = cluster.terminal(if cluster.journal().is_empty() {
            ["start", "--confirm", "test"].as_slice()
        } else {
            ["start", "--resume"].as_slice()
        });
        terminal.expect("Type test to go on").send(keys).ends_with(11);
    }
    untouched(&cluster);
    let mut terminal = cluster.terminal(["start", "--resume"]);
    terminal.expect("Type test to go on").send("test\n").expect("read again").ends_with(0);
    upgraded(&cluster);
}

#[test]
fn a_typed_gate_is_not_answered_by_yes() {
    let cluster = gated("0", &["typed: true"]);
    // At the terminal the flags agree to the beginning; the gate asks all the same.
    let mut terminal = begun_with(&cluster, &["--yes"]);
    terminal.expect("Type test to go on").send("yes\n").ends_with(11);
    untouched(&cluster);
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(11).stderr_has("--confirm test");
    untouched(&cluster);
    let overridden = ["start", "--resume", "--yes", "--override", "isolated=it must"];
    cluster.rollgate(overridden).run().code(11);
    untouched(&cluster);
    cluster.rollgate(["start", "--resume", "--confirm", "test"]).run().code(0);
    upgraded(&cluster);
    assert!(
        answers(&cluster).contains(&serde_json::json!(["yes", "confirm_flag"])),
        "{:?}",
        answers(&cluster)
    );
}

const POINT: &str = r#"procedure: no way back
phases:
  - name: service
    nodes: "n*"
    upgrade:
      - name: migrate
        point_of_no_return: the schema changes
        run: echo "$ROLLGATE_NODE upgrade" >> "$effects"
    rollback:
      - run: echo "$ROLLGATE_NODE back" >> "$effects"
"#;

#[test]
fn a_point_of_no_return_is_asked_once_and_ends_the_way_back() {
    let cluster = Cluster::new().local(2).procedure(POINT).build();
    let mut terminal = begun(&cluster);
    terminal.expect("Point of no return: the schema changes").expect("Type test to go on");
    assert_eq!(cluster.effects(), [""; 0]);
    terminal.send("test\n").ends_with(0);
    assert_eq!(cluster.effects(), ["n1 upgrade", "n2 upgrade"]);
    assert_eq!(answers(&cluster), [serde_json::json!(["yes", "terminal"])]);
    let refused = cluster.rollgate(["rollback", "--yes", "--confirm", "test"]).run();
    refused.code(12).stderr_has("the schema changes").stderr_has("next: rollgate");
    assert_eq!(cluster.effects(), ["n1 upgrade", "n2 upgrade"]);
}

#[test]
fn a_point_of_no_return_is_not_passed_by_yes() {
    let cluster = Cluster::new().local(1).procedure(POINT).build();
    let mut terminal = begun_with(&cluster, &["--yes"]);
    terminal.expect("Type test to go on").send("yes\n").ends_with(11);
    untouched(&cluster);
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(11).stderr_has("--confirm test");
    untouched(&cluster);
    cluster.rollgate(["start", "--resume", "--confirm", "test"]).run().code(0);
    upgraded(&cluster);
}

#[test]
fn a_steady_gate_opens_after_three_readings_in_a_row() {
    // Each reading is counted by the check itself; the second one does not hold.
    let check = r#"
      - gate: isolated
        checks:
          - name: queue
            run: 'echo x >> "$dir/reads"; test "$(wc -l < "$dir/reads")" -eq 2 && echo 9 || echo 0'
            value: number
            at_most: 0
        steady: 3
        every: 100ms"#;
    let cluster = drained(check);
    let mut terminal = begun(&cluster);
    terminal.expect("Go on with n1? [yes/no] ");
    let journal = cluster.journal();
    let reads = fs::read_to_string(cluster.node_dir("n1").join("reads")).unwrap().lines().count();
    assert!(reads >= 5, "{reads} readings: one, one that does not hold, three in a row\n{journal}");
    terminal.send("no\n").ends_with(11);
    untouched(&cluster);
}

#[test]
fn a_gate_that_is_never_steady_stays_closed() {
    let check = r#"
      - gate: isolated
        checks:
          - name: queue
            run: 'echo x >> "$dir/reads"; echo $(( $(wc -l < "$dir/reads") % 2 ))'
            value: number
            at_most: 0
        steady: 3
        every: 50ms
        timeout: 1500ms"#;
    let cluster = drained(check);
    unattended(&cluster, &["--yes"]).run().code(10);
    untouched(&cluster);
}

#[test]
fn a_gate_without_checks_is_a_plain_question() {
    let steps = "      - gate: coffee\n        question: Is the owner of ${ROLLGATE_NODE} awake?";
    let cluster = drained(steps);
    let mut terminal = begun(&cluster);
    terminal.expect("Is the owner of n1 awake? [yes/no] ").send("\n").ends_with(11);
    untouched(&cluster);
    let mut terminal = cluster.terminal(["start", "--resume"]);
    terminal.expect("Is the owner of n1 awake? [yes/no] ").send("yes\n").ends_with(0);
    upgraded(&cluster);
    let cluster = drained(steps);
    unattended(&cluster, &[]).run().code(11);
    untouched(&cluster);
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(0);
    upgraded(&cluster);
}

const BY_HAND: &str = "      - name: pool\n        manual: Take ${ROLLGATE_NODE} out of the pool.";

/// A step that runs until it is let go, with a check that stops holding at once.
fn watched() -> Cluster {
    drained(
        r#"      - name: long
        run: |
          echo begins >> "$effects"
          touch "$dir/ill"
          until test -e "$dir/go" || ! test -d "$dir"; do sleep 0.05; done
          echo ends >> "$effects"
          ! test -e "$dir/fails"
        during: { every: 100ms, checks: [{ name: well, run: test ! -e "$dir/ill" }] }"#,
    )
}

fn asked_while_it_runs(cluster: &Cluster) -> Pty {
    let mut terminal = begun(cluster);
    terminal.expect("A check stopped holding").expect("Go on when it has ended?");
    terminal
}

fn let_it_end(cluster: &Cluster) {
    std::fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
}

#[test]
fn a_question_that_nobody_answers_while_a_step_runs_is_a_no_when_it_ends() {
    let cluster = watched();
    let mut terminal = asked_while_it_runs(&cluster);
    let_it_end(&cluster);
    terminal.expect("nobody answered").ends_with(11);
    assert_eq!(cluster.effects(), ["begins", "ends"]);
    assert_eq!(answers(&cluster), [serde_json::json!(["no", "nobody"])]);
    assert_eq!(cluster.records(&["answered", r#""check":"well""#]).len(), 1, "the readings are kept with it");
}

#[test]
fn a_step_that_fails_under_a_question_is_asked_about_instead() {
    let cluster = watched();
    let mut terminal = asked_while_it_runs(&cluster);
    std::fs::write(cluster.node_dir("n1").join("fails"), "").unwrap();
    let_it_end(&cluster);
    terminal.expect("exit status 1").expect("try it again").expect("stop here").send("\n").ends_with(15);
    assert_eq!(answers(&cluster), [serde_json::json!(["no", "terminal"])]);
}

#[test]
fn a_yes_while_a_step_runs_goes_on_when_it_has_ended() {
    let cluster = watched();
    let mut terminal = asked_while_it_runs(&cluster);
    terminal.send("yes\n").expect("yes, by");
    let_it_end(&cluster);
    terminal.ends_with(0);
    assert_eq!(cluster.effects(), ["begins", "ends", "n1 upgrade"]);
    assert_eq!(cluster.records(&["answered", r#""check":"well""#]).len(), 1, "the readings are kept with it");
}

#[test]
fn a_step_by_hand_is_confirmed_by_a_human() {
    let cluster = drained(BY_HAND);
    let mut terminal = begun(&cluster);
    terminal.expect("Take n1 out of the pool.").expect("Is it done? [yes/no] ").send("no\n").ends_with(11);
    untouched(&cluster);
    // `--yes` cannot say that a human did something.
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(11).stderr_has(
        "next: rollgate -i inventory.yaml start --resume --yes --confirm test --override pool=REASON",
    );
    untouched(&cluster);
    let mut terminal = cluster.terminal(["start", "--resume"]);
    terminal.expect("Is it done? [yes/no] ").send("yes\n").ends_with(0);
    upgraded(&cluster);
}

#[test]
fn a_step_by_hand_can_be_vouched_for_on_the_command_line() {
    let cluster = drained(BY_HAND);
    unattended(&cluster, &["--override", "pool=done by the night shift"]).run().code(0);
    upgraded(&cluster);
    assert_eq!(cluster.records(&["answered", "done by the night shift"]).len(), 1);
}

#[test]
fn a_step_by_hand_with_a_check_is_believed_when_the_check_holds() {
    let steps = format!("{BY_HAND}\n        check: {{ name: out, run: 'test -e \"$dir/out\"' }}");
    let cluster = drained(&steps);
    unattended(&cluster, &["--yes", "--gate-timeout", "1s"])
        .run()
        .code(10)
        .stderr_has("Take n1 out of the pool");
    untouched(&cluster);
    fs::write(cluster.node_dir("n1").join("out"), "").unwrap();
    cluster.rollgate(["start", "--resume", "--yes"]).run().code(0);
    upgraded(&cluster);

    let cluster = drained(&steps);
    let mut terminal = begun(&cluster);
    terminal.expect("Take n1 out of the pool.");
    untouched(&cluster);
    fs::write(cluster.node_dir("n1").join("out"), "").unwrap();
    terminal.expect("Is it done? [yes/no] ").send("yes\n").expect("read again").ends_with(0);
    upgraded(&cluster);
}
