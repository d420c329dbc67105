//! The desk with a pty for a keyboard and paper for a screen.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pty_process::blocking::{Pts, Pty, open};

use super::super::narrate::Loudness;
use super::super::sample;
use super::super::screen::{Lines, Live, Rows, Screen};
use super::super::terminal::Face;
use super::{Desk, Place, Reports};
use crate::model::event::{
    Control, Decision, Event, Failure, FailureKind, Halt, How, Inquiry, Notice, Outcome, Question, Record,
    Report, Request, Stop,
};
use crate::model::plan::Section;

const SOON: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// What a terminal of 24 by 80 shows after all this, without empty lines at its end.
    fn shown(&self) -> String {
        let mut terminal = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
        terminal.process(self.text().replace('\n', "\r\n").as_bytes());
        let rows: Vec<String> = terminal.screen().rows(0, 80).map(|row| row.trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    fn wait_until_shown(&self, fits: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let shown = self.shown();
            if fits(&shown) {
                return shown;
            }
            assert!(begun.elapsed() < SOON, "{shown}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.text().contains(text) {
            assert!(begun.elapsed() < SOON, "no {text:?} in:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Bench {
    desk: Desk,
    reports: Reports,
    paper: Paper,
    records: Paper,
    keyboard: Option<(Pty, Pts)>,
    controls: Receiver<Control>,
}

fn bench(keyboard: bool, screen: impl FnOnce(Paper) -> Box<dyn Screen>) -> Bench {
    let (paper, records) = (Paper::default(), Paper::default());
    let keyboard = keyboard.then(|| open().unwrap());
    let (send, controls) = channel();
    let place = Place {
        screen: screen(paper.clone()),
        keyboard: keyboard.as_ref().map(|(_, pts)| pts.as_fd().try_clone_to_owned().unwrap()),
        approved_by: None,
        arrows: false,
        records: Some(Box::new(records.clone())),
        loudness: Loudness::Normal,
    };
    let (desk, reports) = Desk::open(place, None, move |control| send.send(control).unwrap()).unwrap();
    for record in sample::records(sample::events()) {
        reports.send(Report::Record(Box::new(record))).unwrap();
    }
    Bench { desk, reports, paper, records, keyboard, controls }
}

fn lines(paper: Paper) -> Box<dyn Screen> {
    Box::new(Lines::new(Box::new(paper)))
}

/// indicatif's way to the same paper that everything else is written on.
#[derive(Debug)]
struct Terminal(Paper);

impl Terminal {
    fn send(&self, text: &str) -> std::io::Result<()> {
        self.0.clone().write_all(text.as_bytes())
    }
}

impl indicatif::TermLike for Terminal {
    fn width(&self) -> u16 {
        80
    }

    fn height(&self) -> u16 {
        24
    }

    fn move_cursor_up(&self, n: usize) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\x1b[{n}A")) }
    }

    fn move_cursor_down(&self, n: usize) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\x1b[{n}B")) }
    }

    fn move_cursor_right(&self, n: usize) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\x1b[{n}C")) }
    }

    fn move_cursor_left(&self, n: usize) -> std::io::Result<()> {
        if n == 0 { Ok(()) } else { self.send(&format!("\x1b[{n}D")) }
    }

    fn write_line(&self, text: &str) -> std::io::Result<()> {
        self.send(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> std::io::Result<()> {
        self.send(text)
    }

    fn clear_line(&self) -> std::io::Result<()> {
        self.send("\r\x1b[2K")
    }

    fn flush(&self) -> std::io::Result<()> {
        Ok(())
    }
}

fn live(paper: Paper) -> Box<dyn Screen> {
    let face = Face { color: false, unicode: true, width: Some(80) };
    let target = indicatif::ProgressDrawTarget::term_like(Box::new(Rows::on(Terminal(paper.clone()))));
    Box::new(Live::new(face, || None, target, Box::new(paper)))
}

fn watching(value: f64) -> Report {
    Report::Notice(Notice::Watching {
        key: sample::key("mq-02", Section::Drain, 2),
        readings: vec![sample::reading(value, 400)],
        steady: (if value <= 100.0 { 3 } else { 0 }, 3),
        every: Duration::from_secs(5),
        waited: Duration::from_secs(100),
        limit: Duration::from_mins(30),
    })
}

impl Bench {
    fn report(&self, report: Report) {
        self.reports.send(report).unwrap();
    }

    fn ask(&self) {
        self.report(watching(94.0));
        self.report(Report::Ask(Box::new(sample::inquiry())));
        self.paper.wait_for("[yes/no] ");
        // The prompt's thread throws type-ahead away before it listens.
        std::thread::sleep(Duration::from_millis(150));
    }

    fn type_in(&mut self, text: &str) {
        self.keyboard.as_mut().unwrap().0.write_all(text.as_bytes()).unwrap();
    }

    fn decision(&self) -> Decision {
        match self.controls.recv_timeout(SOON).unwrap() {
            Control::Answer { decision, .. } => decision,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lines_tell_each_change_once() {
    let bench = bench(false, lines);
    bench.report(Report::Notice(Notice::Output {
        key: sample::key("mq-02", Section::Drain, 2),
        line: b"\x1b[2Jhello".to_vec(),
    }));
    let paper = bench.paper.clone();
    let state = bench.desk.close().unwrap();
    assert_eq!(state, sample::state(sample::events()));
    let text = paper.text();
    assert!(text.is_ascii() && !text.contains(['\x1b', '\r']), "{text}");
    let told: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(
        told,
        [
            "run 2026-11-21.1 on mq-prod begins: 3 nodes, to 3.13.7",
            "phase \"brokers\" begins",
            "next: mq-01 (0 of 3 done)",
            "mq-01 drain \"stop the receiver\" begins",
            "mq-01 drain \"stop the receiver\" done in 1m12",
            "mq-01 gate \"queue depth\" begins",
            "mq-01 gate \"queue depth\" done in 1m36",
            "mq-01 upgrade \"install\" begins",
            "mq-01 upgrade \"install\" done in 48s",
            "mq-01 verify \"cluster sees 3 nodes\" begins",
            "mq-01 verify \"cluster sees 3 nodes\" done in 36s",
            "mq-01 undo of drain \"stop the receiver\" begins",
            "mq-01 undo of drain \"stop the receiver\" done",
            "mq-01 done (phase \"brokers\")",
            "next: mq-02 (1 of 3 done)",
            "mq-02 drain \"stop the receiver\" begins",
            "mq-02 drain \"stop the receiver\" done in 41s",
            "mq-02 gate \"queue depth\" begins",
            "mq-02 gate \"queue depth\" closed: queue depth 5200, needs <= 100",
            "| \\x1b[2Jhello",
        ]
    );
}

#[test]
fn records_go_to_programs_as_the_journal_has_them() {
    let bench = bench(false, lines);
    let records = bench.records.clone();
    bench.desk.close();
    let parsed: Vec<Record> =
        records.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed, sample::records(sample::events()));
}

#[test]
fn yes_is_an_answer_and_everything_around_it_is_shown() {
    let mut bench = bench(true, live);
    bench.ask();
    let text = bench.paper.text();
    for part in [
        "[2 of 3] mq-02   gate \"queue depth\"",
        "open after 1m40",
        "queue depth  94  needs <= 100  steady for 3 readings (15s)",
        "yes will: upgrade 3.13.6 -> 3.13.7, verify, back into service",
        "Go on with mq-02? [yes/no] ",
    ] {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
    bench.type_in("yes\n");
    assert_eq!(bench.decision(), Decision::Yes);
}

#[test]
fn enter_end_of_input_and_other_words_are_a_no() {
    for typed in ["\n", "\x04", "y\n", "yes please\n"] {
        let mut bench = bench(true, lines);
        bench.ask();
        bench.type_in(typed);
        assert_eq!(bench.decision(), Decision::No, "{typed:?}");
    }
}

#[test]
fn nobody_to_ask_is_a_no() {
    let bench = bench(false, lines);
    bench.report(Report::Ask(Box::new(sample::inquiry())));
    assert_eq!(bench.decision(), Decision::No);
}

#[test]
fn what_was_typed_before_the_question_is_no_answer() {
    let mut bench = bench(true, lines);
    bench.type_in("yes\nyes\n");
    std::thread::sleep(Duration::from_millis(50));
    bench.ask();
    assert!(bench.controls.try_recv().is_err());
    bench.type_in("no\n");
    assert_eq!(bench.decision(), Decision::No);
}

#[test]
fn a_gate_that_closes_takes_its_question_back() {
    let mut bench = bench(true, live);
    bench.ask();
    bench.report(watching(130.0));
    bench.report(Report::Withdraw(sample::inquiry().question));
    bench.paper.wait_for("is closed again, the question is void: queue");
    bench.type_in("yes\n");
    std::thread::sleep(Duration::from_millis(100));
    assert!(bench.controls.try_recv().is_err(), "an answer to a void question");
    bench.ask();
    bench.type_in("yes\n");
    assert_eq!(bench.decision(), Decision::Yes, "the next one counts");
}

#[test]
fn a_gate_that_waits_is_redrawn_below_what_was_said() {
    let bench = bench(true, live);
    bench.report(watching(5135.0));
    bench.paper.wait_until_shown(|shown| shown.contains("5 135") && shown.contains("about 4 min"));
    bench.report(watching(4930.0));
    bench.report(Report::Notice(Notice::Said { node: None, text: "the sky is blue".into() }));
    let shown = bench.paper.wait_until_shown(|shown| shown.contains("4 930") && shown.contains("sky"));
    assert!(!shown.contains("5 135"), "{shown}");
    assert_eq!(shown.matches("Ctrl-C for choices").count(), 1, "{shown}");
    let (above, below) = shown.split_once("the sky is blue").unwrap();
    assert!(above.contains("mq-02   gate \"queue depth\" closed: queue depth 5200"), "{shown}");
    assert!(below.contains("[2 of 3] mq-02   gate \"queue depth\""), "{shown}");
    let paper = bench.paper.clone();
    bench.desk.close();
    assert!(paper.shown().ends_with("the sky is blue"), "the block goes with the desk:\n{}", paper.shown());
}

#[test]
fn a_reading_is_brought_up_to_date_above_the_question() {
    let bench = bench(true, live);
    bench.ask();
    bench.report(watching(61.0));
    let shown = bench.paper.wait_until_shown(|shown| shown.contains("queue depth  61"));
    assert!(shown.ends_with("Go on with mq-02? [yes/no]"), "{shown}");
    assert_eq!(shown.matches("queue depth  ").count(), 1, "in its place:\n{shown}");
    bench.report(Report::Notice(Notice::Said { node: None, text: "the sky is blue".into() }));
    bench.report(watching(58.0));
    bench.paper.wait_until_shown(|shown| shown.contains("sky"));
    std::thread::sleep(Duration::from_millis(300));
    let shown = bench.paper.shown();
    assert!(shown.ends_with("the sky is blue\nGo on with mq-02? [yes/no]"), "{shown}");
    assert_eq!(shown.matches("[2 of 3] mq-02").count(), 1, "{shown}");
}

#[test]
fn what_is_told_meanwhile_does_not_swallow_the_question() {
    let bench = bench(true, lines);
    bench.ask();
    bench.report(Report::Notice(Notice::Said { node: None, text: "the sky is blue".into() }));
    bench.paper.wait_for("the sky is blue\nGo on with mq-02? [yes/no] ");
}

#[test]
fn ctrl_c_at_a_closed_gate_offers_choices() {
    let mut bench = bench(true, lines);
    bench.report(watching(5135.0));
    bench.report(Report::Choices(sample::key("mq-02", Section::Drain, 2)));
    bench.paper.wait_for("Number, anything else for 1: ");
    std::thread::sleep(Duration::from_millis(150));
    bench.type_in("3\n");
    bench.paper.wait_for("Type mq-02 to open the closed gate");
    std::thread::sleep(Duration::from_millis(150));
    bench.type_in("mq-02\n");
    bench.paper.wait_for("Reason, for the report: ");
    std::thread::sleep(Duration::from_millis(150));
    bench.type_in("vendor said so\n");
    assert_eq!(
        bench.controls.recv_timeout(SOON).unwrap(),
        Control::Open { key: sample::key("mq-02", Section::Drain, 2), reason: "vendor said so".into() }
    );
}

#[test]
fn trouble_is_shown_with_its_evidence_and_ways_out() {
    let mut bench = bench(true, lines);
    let key = sample::key("mq-02", Section::Drain, 2);
    let failure = Failure {
        kind: FailureKind::Script,
        message: "exit status 3".into(),
        tail: vec!["disk full".into()],
        help: Some("free some room".into()),
    };
    let seq = u64::try_from(sample::events().len()).unwrap();
    let outcome = Outcome::Failed(failure);
    let event = Event::StepEnded { key: key.clone(), attempt: 1, outcome };
    bench.report(Report::Record(Box::new(Record { seq, at: sample::at(500), event })));
    let inquiry = Inquiry {
        question: Question::Trouble { key, undo: false },
        text: "What now?".into(),
        ..sample::inquiry()
    };
    bench.report(Report::Ask(Box::new(inquiry)));
    bench.paper.wait_for("Number, anything else for 5: ");
    let text = bench.paper.text();
    for part in ["failed in 3m20: exit status 3", "| disk full", "= help: free some room", "1 try it again"] {
        assert!(text.contains(part), "{part:?} in:\n{text}");
    }
    std::thread::sleep(Duration::from_millis(150));
    bench.type_in("1\n");
    assert_eq!(bench.decision(), Decision::Retry);
}

#[test]
fn an_answer_without_a_terminal_names_the_lack() {
    let bench = bench(false, lines);
    let seq = u64::try_from(sample::events().len()).unwrap();
    let request = Request { attended: false, ..sample::request() };
    let answered = Event::Answered {
        question: sample::inquiry().question,
        decision: Decision::No,
        how: How::Nobody,
        by: request.by.clone(),
        readings: Vec::new(),
    };
    for (seq, event) in (seq..).zip([Event::RunResumed { request }, answered]) {
        bench.report(Report::Record(Box::new(Record { seq, at: sample::at(500), event })));
    }
    bench.paper.wait_for("mq-02 stopped: gate \"queue depth\" needs an answer and there is no terminal");
}

#[test]
fn a_step_may_have_the_terminal_to_itself() {
    let bench = bench(true, lines);
    let key = sample::key("mq-02", Section::Drain, 1);
    bench.report(Report::Yield(key.clone()));
    bench.report(Report::Notice(Notice::Said { node: None, text: "later".into() }));
    bench.report(Report::Ask(Box::new(sample::inquiry())));
    std::thread::sleep(Duration::from_millis(100));
    let text = bench.paper.text();
    assert!(!text.contains("later") && !text.contains("[yes/no]"), "{text}");
    assert_eq!(bench.controls.recv_timeout(SOON).unwrap(), Control::Yielded(key.clone()));
    bench.report(Report::Restore(key));
    bench.paper.wait_for("later");
    bench.paper.wait_for("[yes/no] ");
}

#[test]
fn the_keyboard_is_a_terminal_that_shows_nothing_by_itself() {
    // The prompt goes to the screen; the terminal only echoes.
    let mut bench = bench(true, lines);
    bench.ask();
    bench.type_in("no\n");
    bench.decision();
    let mut echoed = [0; 64];
    let count = bench.keyboard.as_mut().unwrap().0.read(&mut echoed).unwrap();
    assert_eq!(&echoed[..count], b"no\r\n");
}

#[test]
fn keeping_on_waiting_lets_the_choices_be_offered_again() {
    let mut bench = bench(true, lines);
    let key = sample::key("mq-02", Section::Drain, 2);
    bench.report(watching(5135.0));
    bench.report(Report::Choices(key.clone()));
    bench.paper.wait_for("Number, anything else for 1: ");
    std::thread::sleep(Duration::from_millis(150));
    bench.type_in("nonsense\n");
    bench.paper.wait_for("waiting on");
    assert_eq!(bench.controls.recv_timeout(SOON).unwrap(), Control::ReadNow { key });
}

#[test]
fn ctrl_c_without_a_terminal_stops() {
    let bench = bench(false, lines);
    bench.report(Report::Choices(sample::key("mq-02", Section::Drain, 2)));
    assert_eq!(bench.controls.recv_timeout(SOON).unwrap(), Control::Stop);
}

#[test]
fn a_question_about_a_step_that_ended_is_over() {
    let mut bench = bench(true, lines);
    bench.ask();
    let seq = u64::try_from(sample::events().len()).unwrap();
    let key = sample::key("mq-02", Section::Drain, 2);
    let stop = Stop { halt: Halt::Interrupted, why: "Ctrl-C".into(), key: None };
    let ended = Event::StepEnded { key, attempt: 1, outcome: Outcome::Interrupted };
    for (seq, event) in (seq..).zip([Event::StopRequested { stop }, ended]) {
        bench.report(Report::Record(Box::new(Record { seq, at: sample::at(500), event })));
    }
    bench.paper.wait_for("given up, because the run stops");
    bench.type_in("yes\n");
    std::thread::sleep(Duration::from_millis(200));
    assert!(bench.controls.try_recv().is_err());
}
