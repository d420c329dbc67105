//! A large run in every form: it must stay small enough for a ticket, and say everything.

use jiff::tz::TimeZone;

use super::{Facts, FileFact, JournalFact, Layout, Report};
use crate::model::event::{
    Decision, Event, Failure, FailureKind, Goal, Halt, How, Outcome, Question, Reading, Record, Request,
    RunEnd, Stop, Turn, TurnEnd,
};
use crate::model::moment::Moment;
use crate::model::name::NodeName;
use crate::model::plan::{Section, StepKey};
use crate::model::sample;
use crate::model::state::RunState;

/// Lays nothing out.
struct Bare;

impl Layout for Bare {
    fn wrapped(&self, first: &str, text: &str) -> Vec<String> {
        vec![format!("{first}{text}")]
    }

    fn table(&self, _: &[(String, bool)], rows: &[Vec<String>]) -> Vec<String> {
        rows.iter().map(|row| row.join("  ")).collect()
    }

    fn line(&self, text: &str) -> String {
        text.to_owned()
    }
}

/// A run of many nodes, each with many readings at its gate, answered by a human; some of them fail first, and after
/// every tenth the run is stopped over night.
struct Long {
    events: Vec<(i64, Event)>,
    now: i64,
}

impl Long {
    fn run(nodes: usize, readings: usize) -> Vec<Record> {
        sample::records(Self::of(nodes, readings).events)
    }

    fn of(nodes: usize, readings: usize) -> Self {
        let names: Vec<NodeName> = (1..=nodes).map(|n| sample::node(&format!("mq-{n:02}"))).collect();
        let mut events = sample::events();
        events.truncate(1);
        let Event::RunOpened { plan, .. } = &mut events[0].1 else { panic!("a run is opened first") };
        plan.nodes = names
            .iter()
            .map(|name| crate::model::plan::PlannedNode { name: name.clone(), ..plan.nodes[0].clone() })
            .collect();
        plan.phases[0].nodes.clone_from(&names);
        let mut long = Self { events, now: 1 };
        long.add(0, Event::PhaseStarted { phase: 0 });
        for (number, node) in names.iter().enumerate() {
            long.turn(number, node, readings);
            if number % 10 == 9 && number + 1 < nodes {
                long.pause();
            }
        }
        long.add(1, Event::PhaseEnded { phase: 0 });
        long.add(0, Event::RunClosed { verdict: RunEnd::Finished });
        long
    }

    fn add(&mut self, after: i64, event: Event) {
        self.now += after;
        self.events.push((self.now, event));
    }

    fn turn(&mut self, number: usize, node: &NodeName, readings: usize) {
        let key = |section, n| StepKey { node: node.clone(), ..sample::key("mq-01", section, n) };
        self.add(1, Event::VersionRead { node: node.clone(), version: "3.13.6".into() });
        self.add(1, Event::BatchFormed { phase: 0, batch: number, nodes: vec![node.clone()], last: vec![] });
        self.step(&key(Section::Drain, 1), 1, 70, Outcome::Done);
        let gate = key(Section::Drain, 2);
        self.add(1, Event::StepStarted { key: gate.clone(), attempt: 1, on: vec![node.clone()] });
        for n in 0..readings {
            let depth = 52_000.0 / (1.0 + n as f64) + f64::from(u32::try_from(n % 13).unwrap());
            let reading = Reading { node: node.clone(), ..sample::reading(depth, self.now) };
            self.add(1, Event::ReadingTaken { key: gate.clone(), readings: vec![reading] });
        }
        let question = Question::Gate { key: gate.clone() };
        let decision = match number % 7 {
            0 => Decision::Override { reason: format!("CHG-{number}: agreed with the owner of the queue") },
            _ => Decision::Yes,
        };
        let by = sample::request().by;
        let readings = vec![sample::reading(94.0, self.now)];
        self.add(1, Event::Asked { question: question.clone() });
        self.add(9, Event::Answered { question, decision, how: How::Terminal, by, readings });
        self.add(1, Event::StepEnded { key: gate, attempt: 1, outcome: Outcome::Done });
        self.step(&key(Section::Upgrade, 1), 1, 48, Outcome::Done);
        let check = key(Section::Verify, 1);
        let mut attempt = 1;
        if number % 3 == 1 {
            let failure = Failure {
                kind: FailureKind::Check,
                message: "nodes is 2, needs 3".into(),
                tail: (0..20).map(|n| format!("line {n} of what {node} said: {}", "x".repeat(360))).collect(),
                help: None,
            };
            self.step(&check, attempt, 36, Outcome::Failed(failure));
            let question = Question::Trouble { key: check.clone(), undo: false };
            let by = sample::request().by;
            self.add(1, Event::Asked { question: question.clone() });
            let readings = Vec::new();
            let (decision, how) = (Decision::Retry, How::Terminal);
            self.add(60, Event::Answered { question, decision, how, by, readings });
            attempt = 2;
        }
        self.step(&check, attempt, 36, Outcome::Done);
        let drain = key(Section::Drain, 1);
        self.add(1, Event::UndoStarted { key: drain.clone(), attempt: 1 });
        self.add(20, Event::UndoEnded { key: drain, attempt: 1, outcome: Outcome::Done });
        self.add(1, Event::VersionRead { node: node.clone(), version: "3.13.7".into() });
        let turn = Turn { phase: 0, node: node.clone() };
        self.add(1, Event::TurnEnded { turn, end: TurnEnd::Done });
    }

    fn step(&mut self, key: &StepKey, attempt: u32, seconds: i64, outcome: Outcome) {
        self.add(1, Event::StepStarted { key: key.clone(), attempt, on: vec![key.node.clone()] });
        self.add(seconds, Event::StepEnded { key: key.clone(), attempt, outcome });
    }

    fn pause(&mut self) {
        let stop = Stop { halt: Halt::Interrupted, why: "Ctrl-C".into(), key: None };
        self.add(5, Event::StopRequested { stop: stop.clone() });
        self.add(1, Event::RunClosed { verdict: RunEnd::Stopped(stop) });
        self.add(50_000, Event::RunResumed { request: sample::request() });
    }
}

fn with_report(records: &[Record], look: impl FnOnce(&Report<'_>)) {
    let state = RunState::replay(records).unwrap().unwrap();
    let moment = Moment { now: state.latest_at, zone: TimeZone::fixed(jiff::tz::offset(1)) };
    let text: String = (0..700)
        .map(|n| format!("  - {{ name: mq-{n:02}, host: 10.0.0.{n}, groups: [brokers] }}\n"))
        .collect();
    let file = |role, path: &str| FileFact {
        role,
        path: path.into(),
        sha256: "3f9a41c0".repeat(8),
        text: Some(text.clone()),
    };
    let facts = Facts {
        state: &state,
        records,
        moment: &moment,
        at_work: false,
        exit: Some((0, "done")),
        files: vec![file("inventory", "rollgate.yaml"), file("procedure", "procedure.yaml")],
        journal: JournalFact { path: "journal.ndjson".into(), sha256: "00".repeat(32), flaw: None },
        unknown_secrets: Vec::new(),
        mask: &|text| text.to_owned(),
    };
    look(&Report::of(&facts));
}

#[test]
fn fifty_nodes_with_many_readings_fit_into_a_ticket() {
    with_report(&Long::run(50, 400), |report| {
        let page = report.html();
        assert!(page.len() < 300 << 10, "{} KiB", page.len() >> 10);
        assert!(!page.contains("<details>"), "the files are left out first");
        // One for each node, and the legend.
        assert!(page.matches("class=\"part upgrade\"").count() == 51 && page.contains("mq-50"));
        let text = report.text(&Bare);
        assert!(text.contains("finished: 50 of 50 nodes done"), "{text}");
        assert_eq!(report.json()["failures"].as_array().map(Vec::len), Some(17));
    });
}

#[test]
fn nothing_is_drawn_outside_of_the_drawing() {
    for nodes in [1, 5, 50] {
        with_report(&Long::run(nodes, 40), |report| {
            assert_eq!(report.html().contains("<details>"), nodes < 50);
            let drawing = report.svg();
            let (_, size) = drawing.split_once("viewBox=\"0 ").unwrap();
            let (size, _) = size.split_once('"').unwrap();
            let [top, width, height] = size.split(' ').collect::<Vec<_>>()[..] else { panic!("{size}") };
            let number = |text: &str| text.parse::<f64>().unwrap();
            let bottom = number(top) + number(height);
            for (name, most) in [(" x=\"", number(width)), (" y=\"", bottom)] {
                for part in drawing.split(name).skip(1) {
                    let place = number(part.split('"').next().unwrap());
                    assert!((0.0..=most).contains(&place), "{name}{place} of {most}");
                }
            }
            assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        });
    }
}

#[test]
fn a_run_that_was_undone_later_was_finished_before() {
    let mut long = Long::of(1, 4);
    let request = Request {
        goal: Goal::RolledBack(vec![Turn { phase: 0, node: sample::node("mq-01") }]),
        ..sample::request()
    };
    long.add(50_000, Event::RunResumed { request });
    long.add(9, Event::RunClosed { verdict: RunEnd::RolledBack });
    with_report(&sample::records(long.events), |report| {
        let drawing = report.svg();
        assert!(drawing.contains(">finished<") && !drawing.contains(">stopped<"), "{drawing}");
    });
}
