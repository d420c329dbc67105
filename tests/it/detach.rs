//! Runs that go on without their terminal, and the answers that reach them from other processes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rollgate::model::event::{Approval, Decision, Operator, Reception};
use rollgate::model::plan::StepKey;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use super::support::{Cluster, Invocation, Output, PATIENCE, descendants, end};

const BEGIN: &str = "Type the cluster's name to begin, anything else to leave: ";

/// A cluster with a detached run, which is ended with the test whatever happens.
struct Away(Cluster);

impl std::ops::Deref for Away {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            end(pid);
        }
    }
}

impl Away {
    fn with(inventory: &str, steps: &str) -> Self {
        let procedure = format!(
            "procedure: away\nphases:\n  - name: service\n    nodes: \"n*\"\n{steps}    upgrade:\n      - name: \
             install\n        run: echo \"$ROLLGATE_NODE upgrade\" >> \"$effects\"\n"
        );
        let cluster = Cluster::new().local(1).inventory(inventory).procedure(&procedure).build();
        let away = Self(cluster);
        away.set_queue("0");
        away
    }

    /// One node with a gate over the file `queue`.
    fn gated(more: &str) -> Self {
        Self::with("", &gate(more))
    }

    fn set_queue(&self, queue: &str) {
        let (next, file) = (self.node_dir("n1").join("queue.next"), self.node_dir("n1").join("queue"));
        fs::write(&next, queue).unwrap();
        fs::rename(next, file).unwrap();
    }

    /// The process that holds the cluster now.
    fn pid(&self) -> Option<u32> {
        let holder = fs::read_to_string(self.path("state/test/lock")).ok()?;
        let holder: Json = serde_json::from_str(holder.lines().next()?).ok()?;
        u32::try_from(holder["by"]["pid"].as_u64()?).ok()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn start(&self, flags: &[&str]) -> Output {
        self.rollgate([&["start", "--detach", "--confirm", "test"], flags].concat()).run()
    }

    /// The same from another login.
    fn approve(&self, words: &[&str]) -> Invocation {
        let approve = self.rollgate([&["approve"], words].concat());
        approve.env("LOGNAME", "bob").env("USER", "bob")
    }

    #[track_caller]
    fn await_that(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}\n{}\n{}", self.log(), self.journal());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn await_question(&self) {
        self.await_that("no question", |away| {
            let asked = away.records(&[r#""asked""#]).len();
            asked > away.records(&[r#""answered""#]).len()
        });
    }

    /// Waits for the end of the process, and gives how the run ended.
    #[track_caller]
    fn ends(&self) -> Json {
        self.await_that("it does not end", |away| {
            !away.records(&[r#""run_closed""#]).is_empty() && away.pid().is_none()
        });
        let last = self.records(&[r#""run_closed""#]).pop().unwrap();
        let record: Json = serde_json::from_str(&last).unwrap();
        record["event"]["run_closed"]["verdict"].clone()
    }

    fn run_dir(&self) -> PathBuf {
        let runs = fs::read_dir(self.path("state/test/runs")).unwrap();
        runs.map(|run| run.unwrap().path()).max().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.run_dir().join("detached.log")).unwrap_or_default()
    }

    /// What the run says to an answer that no command line has looked at.
    fn at_the_door(&self, approval: &Approval) -> Reception {
        let mut stream = UnixStream::connect(self.run_dir().join("door")).unwrap();
        writeln!(stream, "{}", serde_json::to_string(approval).unwrap()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Who answered, and how.
    fn answers(&self) -> Vec<Json> {
        let lines = self.records(&[r#""answered""#]);
        let answers = lines.iter().map(|line| {
            let record: Json = serde_json::from_str(line).unwrap();
            let answer = &record["event"]["answered"];
            serde_json::json!([answer["decision"], answer["how"], answer["by"]["user"]])
        });
        answers.collect()
    }
}

fn gate(more: &str) -> String {
    let more: String = more.lines().map(|line| format!("        {line}\n")).collect();
    format!(
        r#"    drain:
      - gate: isolated
        checks:
          - name: queue
            run: cat "$dir/queue"
            value: number
            at_most: 0
            unit: messages
        every: 200ms
{more}"#
    )
}

#[test]
fn a_terminal_is_closed_and_the_gate_approved_from_another_one() {
    let away = Away::gated("");
    let mut terminal = away.terminal(["start", "--detach"]);
    terminal.expect(BEGIN).send("test\n");
    terminal.expect("goes on in the background, as process").expect("detached.log");
    terminal.expect("status --watch").expect("approve").expect("kill -TERM").ends_with(0);
    drop(terminal);
    away.await_question();
    away.rollgate(["status", "--offline"])
        .run()
        .code(0)
        .stdout_has("waits-for-an-answer: n1: gate \"isolated\"")
        .stdout_has("next: rollgate -i inventory.yaml approve isolated --node n1\n");
    assert_eq!(away.effects(), [""; 0]);
    away.approve(&["isolated"]).run().code(0).stdout("n1: gate \"isolated\" is passed\n");
    assert_eq!(away.ends(), "finished");
    assert_eq!(away.effects(), ["n1 upgrade"]);
    assert_eq!(away.answers(), [serde_json::json!(["yes", "approved", "bob"])]);
    let log = away.log();
    assert!(log.contains("approve isolated --node n1") && log.contains("yes, by bob with approve"), "{log}");
    assert!(log.is_ascii() && !log.contains('\x1b') && !log.contains('\r'), "{log:?}");
    away.rollgate(["status", "--offline"]).run().code(0).lacks("waits-for-an-answer").lacks("approve");
}

#[test]
fn what_it_cannot_begin_it_says_at_the_terminal() {
    let away = Away::gated("");
    away.rollgate(["start", "--detach"]).run().code(11).stderr_has("next: rollgate");
    let first = away.start(&[]);
    first.code(0).stderr_has("goes on in the background");
    away.start(&[]).code(14).stderr_has("next: rollgate");
    away.await_question();
    away.approve(&["--deny"])
        .run()
        .code(11)
        .stdout("n1: gate \"isolated\" is answered no, and the run stops\n");
    assert_eq!(away.ends()["stopped"]["halt"], "no_answer");
    assert_eq!(away.effects(), [""; 0]);
}

#[test]
fn of_two_answers_one_counts() {
    let away = Away::gated("");
    away.start(&[]).code(0);
    away.await_question();
    let both = [away.approve(&[]).spawn(), away.approve(&[]).spawn()].map(super::support::Running::wait);
    let mut codes = both.each_ref().map(Output::exit_code);
    codes.sort_unstable();
    assert_eq!(codes, [0, 2], "{both:?}");
    assert_eq!(away.ends(), "finished");
    assert_eq!(away.answers().len(), 1);
}

#[test]
fn a_closed_gate_takes_its_node_and_a_reason() {
    let away = Away::gated("");
    away.set_queue("7");
    away.start(&[]).code(0);
    away.await_that("not read", |away| !away.records(&["reading_taken"]).is_empty());
    away.approve(&["isolated"]).run().code(10).stderr_has("is closed").stderr_has("next: rollgate");
    away.approve(&["isolated", "--reason", "CHG-7"]).run().code(2).stderr_has("name the node");
    assert_eq!(away.answers(), [Json::Null; 0]);
    away.approve(&["isolated", "--node", "n1", "--reason", "CHG-7"]).run().code(0);
    assert_eq!(away.ends(), "finished");
    let answer = serde_json::json!([{ "override": { "reason": "CHG-7" } }, "approved", "bob"]);
    assert_eq!(away.answers(), [answer]);
}

#[test]
fn an_answer_to_an_earlier_question_counts_for_nothing() {
    let away = Away::gated("");
    away.start(&[]).code(0);
    away.await_question();
    let asked: Json = serde_json::from_str(&away.records(&[r#""asked""#])[0]).unwrap();
    let number = asked["n"].to_string();
    away.set_queue("3");
    away.await_that("not closed", |away| !away.records(&["reading_taken", r#""number":3.0"#]).is_empty());
    away.set_queue("0");
    away.await_that("not asked anew", |away| away.records(&[r#""asked""#]).len() == 2);
    away.approve(&["--question", &number]).run().code(2).stderr_has("is not what waits now");
    // What the command line refuses the run itself refuses, too.
    let key = StepKey::try_from("n1/service.drain.1".to_owned()).unwrap();
    let by = Operator { user: "bob".into(), host: "desk".into(), pid: 1 };
    let stale = Approval { number: number.parse().unwrap(), key, decision: Decision::Yes, typed: None, by };
    assert_eq!(away.at_the_door(&stale), Reception::Late);
    let retry = Approval { number: stale.number, decision: Decision::Retry, ..stale.clone() };
    assert_eq!(away.at_the_door(&retry), Reception::Late);
    assert_eq!(away.effects(), [""; 0]);
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
}

#[test]
fn a_yes_is_read_again() {
    let away = Away::gated("timeout: 1m");
    let procedure = fs::read_to_string(away.path("procedure.yaml")).unwrap();
    away.set_procedure(&procedure.replace("every: 200ms", "every: 1h"));
    away.start(&[]).code(0);
    away.await_question();
    away.set_queue("4");
    away.approve(&[]).run().code(10).stdout_has("the answer is void");
    assert_eq!(away.effects(), [""; 0]);
    away.signal(Signal::TERM);
    assert_eq!(away.ends()["stopped"]["halt"], "interrupted");
}

#[test]
fn a_typed_gate_takes_the_clusters_name() {
    let away = Away::gated("typed: true");
    away.start(&[]).code(0);
    away.await_question();
    away.approve(&[]).run().code(2).stderr_has("--confirm test");
    let asked: Json = serde_json::from_str(&away.records(&[r#""asked""#])[0]).unwrap();
    let key = StepKey::try_from("n1/service.drain.1".to_owned()).unwrap();
    let by = Operator { user: "bob".into(), host: "desk".into(), pid: 1 };
    let number = asked["n"].as_u64().unwrap();
    let untyped = Approval { number, key, decision: Decision::Yes, typed: None, by };
    assert!(matches!(away.at_the_door(&untyped), Reception::Unfit { .. }));
    away.approve(&["--confirm", "tset"]).run().code(2).stderr_has("the cluster is `test`");
    assert_eq!(away.effects(), [""; 0]);
    away.approve(&["--confirm", "test"]).run().code(0);
    assert_eq!(away.ends(), "finished");
}

#[test]
fn where_nothing_waits_there_is_nothing_to_answer() {
    let away = Away::gated("");
    away.approve(&[])
        .run()
        .code(2)
        .stderr_has("nothing waits")
        .stderr_has("next: rollgate -i inventory.yaml status");
    away.start(&[]).code(0);
    away.await_question();
    away.approve(&["isolatde"]).run().code(2).stderr_has("did you mean `isolated`?");
    away.approve(&["--node", "n2"]).run().code(2).stderr_has("n2");
    away.approve(&["--retry"]).run().code(2).stderr_has("has not failed");
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
}

#[test]
fn a_failed_step_is_tried_again_from_elsewhere() {
    let steps = "    drain:\n      - name: flaky\n        run: test -e \"$dir/well\"\n";
    let away = Away::with("", steps);
    away.start(&[]).code(0);
    away.await_question();
    away.approve(&[]).run().code(2).stderr_has("--retry").stderr_has("--done");
    away.approve(&["flaky", "--roll-back"]).run().code(2).stderr_has("no way out of this failure");
    fs::write(away.node_dir("n1").join("well"), "").unwrap();
    away.approve(&["flaky", "--retry"]).run().code(0).stdout_has("the run goes on");
    assert_eq!(away.ends(), "finished");
    assert_eq!(away.answers(), [serde_json::json!(["retry", "approved", "bob"])]);
}

#[test]
fn somebody_at_the_terminal_is_spared_the_answer() {
    let away = Away::gated("");
    let mut terminal = away.terminal(["start", "--confirm", "test"]);
    terminal.expect("Go on with n1? [yes/no] ");
    away.approve(&[]).run().code(0);
    terminal.expect("yes, by bob with approve").ends_with(0);
    assert_eq!(away.effects(), ["n1 upgrade"]);
}

#[test]
fn a_secret_that_was_typed_reaches_the_run_and_no_disk() {
    let inventory = "
        secrets:
          password: { prompt: \"Password of the pool\" }
        ";
    let steps = format!(
        "{}      - name: login\n        run: test \"${{#password}}\" = 8 && echo known >> \"$effects\"\n",
        gate("")
    );
    let away = Away::with(inventory, &steps);
    let mut terminal = away.terminal(["start", "--detach", "--confirm", "test"]);
    terminal.expect("Password of the pool: ").send("hunter22\n");
    terminal.expect("goes on in the background").ends_with(0);
    assert!(!terminal.screen().contains("hunter22"), "{}", terminal.screen());
    drop(terminal);
    away.await_question();
    let pid = away.pid().unwrap();
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter22"), "{file}");
    }
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
    assert_eq!(away.effects(), ["known", "n1 upgrade"]);
    let found =
        std::process::Command::new("grep").args(["-rl", "hunter22"]).arg(away.root()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn the_end_of_a_terminal_is_no_signal_to_stop() {
    let away = Away::gated("");
    away.start(&[]).code(0);
    away.await_question();
    away.signal(Signal::HUP);
    away.signal(Signal::USR1);
    away.await_that("no progress", |away| away.log().contains("0 of 1 node done"));
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
}

#[test]
fn one_that_was_killed_goes_on_in_the_background_again() {
    let away = Away::gated("");
    away.start(&[]).code(0);
    away.await_question();
    away.signal(Signal::KILL);
    let holder = away.pid().unwrap();
    away.await_that("it lives on", |_| {
        let stat = fs::read_to_string(format!("/proc/{holder}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z")
    });
    away.approve(&[]).run().code(2).stderr_has("nothing waits");
    assert!(away.run_dir().join("door").exists(), "the socket is left behind");
    away.rollgate(["start", "--resume", "--detach"]).run().code(0);
    away.await_that("not asked anew", |away| away.records(&[r#""asked""#]).len() == 2);
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
    assert_eq!(away.effects(), ["n1 upgrade"]);
    assert!(!away.run_dir().join("door").exists());
}

#[test]
fn a_gate_that_nobody_answers_is_a_no_in_its_time() {
    let away = Away::gated("timeout: 1s");
    away.start(&[]).code(0);
    assert_eq!(away.ends()["stopped"]["halt"], "no_answer");
    away.approve(&[]).run().code(2).stderr_has("nothing waits");
    assert_eq!(away.effects(), [""; 0]);
}

#[test]
fn a_terminal_that_was_left_is_held_by_nobody() {
    let procedure = format!(
        "procedure: away\nphases:\n  - name: service\n    nodes: 'n*'\n{}    upgrade:\n      - run: 'true'\n",
        gate("")
    );
    let away = Away(Cluster::new().nodes(1).procedure(&procedure).build());
    away.set_queue("0");
    let mut terminal = away.terminal(["start", "--detach", "--confirm", "test"]);
    terminal.expect("goes on in the background").ends_with(0);
    away.await_question();
    let pid = away.pid().unwrap();
    let all = [vec![pid], descendants(pid)].concat();
    assert!(all.len() > 1, "ssh is at work");
    for process in all {
        let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { continue };
        let held: Vec<_> = files
            .filter_map(|file| fs::read_link(file.ok()?.path()).ok())
            .filter(|file| file.starts_with("/dev/pts") || file.starts_with("/dev/tty"))
            .collect();
        assert!(held.is_empty(), "{process} holds {held:?}");
    }
    away.approve(&[]).run().code(0);
    assert_eq!(away.ends(), "finished");
}

#[test]
fn a_question_while_a_step_runs_is_answered_from_elsewhere() {
    for (flags, code, end) in [(&[][..], 0, "finished"), (&["--deny"], 11, "stopped")] {
        let steps = r#"    drain:
      - name: long
        run: |
          touch "$dir/ill"
          until test -e "$dir/go" || ! test -d "$dir"; do sleep 0.05; done
        during: { every: 100ms, checks: [{ name: well, run: test ! -e "$dir/ill" }] }
"#;
        let away = Away::with("", steps);
        away.start(&[]).code(0);
        away.await_question();
        away.approve(&[&["long"], flags].concat()).run().code(code);
        fs::write(away.node_dir("n1").join("go"), "").unwrap();
        let ended = away.ends();
        assert!(ended == end || !ended[end].is_null(), "{ended}");
    }
}

#[test]
fn a_rollback_goes_on_in_the_background_too() {
    let steps =
        "    rollback:\n      - gate: back\n      - run: echo \"$ROLLGATE_NODE back\" >> \"$effects\"\n";
    let away = Away::with("", steps);
    away.rollgate(["start", "--yes", "--confirm", "test"]).run().code(0);
    away.rollgate(["rollback", "--detach", "--confirm", "test"]).run().code(0);
    away.await_question();
    away.approve(&["back"]).run().code(0);
    assert_eq!(away.ends(), "rolled_back");
    assert_eq!(away.effects(), ["n1 upgrade", "n1 back"]);
}

#[test]
fn a_program_is_told_where_it_goes_on() {
    let away = Away::gated("");
    let said = away.rollgate(["-o", "json", "start", "--detach", "--confirm", "test"]).run();
    said.code(0);
    let told: Json = serde_json::from_str(said.raw_stdout()).unwrap();
    assert_eq!(told["format"], "rollgate/detached");
    assert_eq!(told["pid"].as_u64(), away.pid().map(u64::from));
    away.await_question();
    let document = away.rollgate(["-o", "json", "status", "--offline"]).run();
    let status: Json = serde_json::from_str(document.raw_stdout()).unwrap();
    assert_eq!(status["run"]["questions"][0]["node"], "n1");
    assert_eq!(status["next"][0][3], "approve");
    let passed = away.rollgate(["-o", "json", "approve"]).run();
    let passed: Json = serde_json::from_str(passed.raw_stdout()).unwrap();
    assert_eq!(passed["outcome"], "passed");
    assert_eq!(away.ends(), "finished");
}

#[test]
fn a_terminal_shows_how_far_it_is_when_it_is_asked() {
    let away = Away::gated("");
    away.set_queue("5");
    let mut terminal = away.terminal(["start", "--confirm", "test"]);
    terminal.expect("needs <= 0");
    away.signal(Signal::USR1);
    terminal.expect("0 of 1 node done");
    away.set_queue("0");
    terminal.expect("Go on with n1? [yes/no] ").send("yes\n").ends_with(0);
}

#[test]
fn a_step_that_needs_a_terminal_is_said_to_have_none() {
    let away = Away::with("", "    drain:\n      - { name: talk, run: read answer, interactive: true }\n");
    away.start(&[]).code(0).stderr_has("note: talk needs a terminal");
    assert_eq!(away.ends()["stopped"]["halt"], "no_answer");
}

/// A run with a change whose undo goes wrong, stopped at its gate.
fn stopped_with(undo: &str) -> Away {
    let change =
        format!("    drain:\n      - {{ name: silence, run: 'true', undo: {undo}, temporary: node }}\n");
    let away = Away::with("", &gate("").replace("    drain:\n", &change));
    away.start(&[]).code(0);
    away.await_question();
    away.signal(Signal::TERM);
    away.await_that("not asked about the undo", |away| away.records(&[r#""asked""#]).len() == 2);
    away
}

#[test]
fn an_undo_that_fails_while_the_run_stops_is_answered_or_given_up() {
    let ways: [&[&str]; 4] =
        [&["--done", "--reason", "by hand"], &["--deny"], &["--retry"], &["a second SIGTERM"]];
    for way in ways {
        let away = stopped_with("'test -e \"$dir/well\"'");
        fs::write(away.node_dir("n1").join("well"), "").unwrap();
        let halt = match way {
            ["a second SIGTERM"] => {
                away.signal(Signal::TERM);
                "undo_failed"
            }
            ["--deny"] => {
                away.approve(way)
                    .run()
                    .code(11)
                    .stdout_has("n1: the undo of drain \"silence\" is answered no");
                "undo_failed"
            }
            _ => {
                away.approve(way).run().code(0).stdout("n1: the undo of drain \"silence\" is answered\n");
                "interrupted"
            }
        };
        assert_eq!(away.ends()["stopped"]["halt"], halt, "{way:?}");
    }
}

#[test]
fn an_undo_by_hand_is_answered_while_the_run_stops() {
    let away = stopped_with("{ manual: Let it speak. }");
    away.rollgate(["status", "--offline"]).run().code(0).stdout_has("n1: the undo of drain \"silence\"");
    away.approve(&["silence", "--deny"])
        .run()
        .code(11)
        .stdout("n1: the undo of drain \"silence\" is answered no: it stays in force\n");
    away.await_that("no way out is asked for", |away| away.records(&[r#""asked""#]).len() == 3);
    away.approve(&["silence", "--retry"]).run().code(0);
    away.await_that("not asked again", |away| away.records(&[r#""asked""#]).len() == 4);
    away.approve(&["silence"]).run().code(0).stdout("n1: the undo of drain \"silence\" is done\n");
    assert_eq!(away.ends()["stopped"]["halt"], "interrupted");
}

#[test]
fn a_failure_whose_menu_stands_at_the_terminal_is_answered_from_elsewhere() {
    let flaky = "    drain:\n      - name: flaky\n        run: test -e \"$dir/well\"\n";
    let away = Away::with("", &gate("").replace("    drain:\n", flaky));
    let mut terminal = away.terminal(["start", "--confirm", "test"]);
    terminal.expect("> stop here");
    fs::write(away.node_dir("n1").join("well"), "").unwrap();
    away.approve(&["flaky", "--retry"]).run().code(0);
    // The menu is gone with its question, and leaves the keys to what is asked next.
    terminal
        .expect("again, by bob with approve")
        .expect("Go on with n1? [yes/no] ")
        .send("yes\n")
        .ends_with(0);
    assert_eq!(away.effects(), ["n1 upgrade"]);
}
