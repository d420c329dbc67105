//! One dry run with everything in it that can be wrong, as a mail and on screens.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::super::ink::paint;
use super::super::sample;
use super::*;
use crate::model::event::{Failure, FailureKind, Reading, RunId};
use crate::model::forecast::{Outlook, StepForecast, TurnForecast};
use crate::model::window::{Fate, Standing};

fn failure(kind: FailureKind, message: &str) -> Failure {
    Failure { kind, message: message.into(), tail: Vec::new(), help: None }
}

fn step(node: &str, section: Section, n: usize, outlook: Outlook, readings: Vec<Reading>) -> StepForecast {
    let key = sample::key(node, section, n);
    let plan = sample::plan();
    let label = plan.find(&key.step).map_or("stage".to_owned(), |(_, step)| step.label.clone());
    StepForecast { key, label, section, outlook, readings }
}

fn turn(node: &str, depth: f64) -> TurnForecast {
    let mut reading = sample::reading(depth, 0);
    reading.node = sample::node(node);
    let gate = if depth > 100.0 {
        reading.remedy = Some("see the processor log".into());
        reading.evidence = (1..=5).map(|row| format!("message {row}")).collect();
        Outlook::WouldWait(failure(FailureKind::Check, "queue depth"))
    } else {
        Outlook::WouldAsk
    };
    let not_yet = Outlook::CannotKnow { why: "it verifies what has not been changed yet".into() };
    let done = Outlook::NotNeeded { why: "everything is there already".into() };
    TurnForecast {
        phase: "brokers".into(),
        node: sample::node(node),
        version: Some("3.13.6".into()),
        steps: vec![
            step(node, Section::Stage, 1, done, vec![]),
            step(node, Section::Drain, 1, Outlook::WouldRun, vec![]),
            step(node, Section::Drain, 2, gate, vec![reading]),
            step(node, Section::Upgrade, 1, Outlook::WouldRun, vec![]),
            step(node, Section::Verify, 1, not_yet, vec![]),
        ],
    }
}

fn precheck(node: &str) -> StepForecast {
    let mut reading = sample::reading(1100.0, 0);
    reading.check = "disk space".into();
    reading.needs = ">= 2048".into();
    reading.unit = Some("MiB".into());
    reading.node = sample::node(node);
    let outlook = Outlook::WouldStop(failure(FailureKind::Check, "disk space"));
    StepForecast { label: "disk space".into(), ..step(node, Section::Precheck, 1, outlook, vec![reading]) }
}

fn found() -> Forecast {
    let mut turns = vec![turn("mq-01", 12.0), turn("mq-02", 4812.0)];
    turns[0].steps.insert(1, precheck("mq-01"));
    let mut silent = BTreeMap::new();
    let dead = failure(FailureKind::Unreachable, "cannot reach mq-03 (ops@10.0.0.13): No route to host");
    silent.insert(sample::node("mq-03"), Failure { help: Some("is the node up?".into()), ..dead });
    Forecast { silent, locks: BTreeMap::new(), refused: None, turns }
}

/// It opens in three hours, and one of two nodes is done in it.
fn window() -> WindowView {
    let opens = sample::at(3 * 3600).to_zoned(TimeZone::get("Europe/Madrid").unwrap());
    WindowView {
        hours: "Sat 12:14 to Sun 04:00 (Europe/Madrid)".into(),
        standing: Standing::Closed { opens: Some(opens) },
        fates: vec![(sample::node("mq-01"), Fate::Inside), (sample::node("mq-02"), Fate::Later)],
    }
}

fn since() -> Compared {
    let change = |weight, node: &str, what: &str, before: &str, after: &str| Change {
        weight,
        node: Some(sample::node(node)),
        what: what.into(),
        before: before.into(),
        after: after.into(),
    };
    Compared::Since {
        at: "2026-11-20T02:00:00Z".parse().unwrap(),
        changes: vec![
            change(Weight::Worse, "mq-01", "disk space", "2400 MiB", "1100 MiB, does not hold"),
            change(Weight::Value, "mq-02", "clients", "12", "31"),
        ],
    }
}

fn shown(face: &Face, found: &Forecast, compared: &Compared, in_full: bool) -> String {
    let plan = sample::plan();
    let moment = Moment { now: sample::at(0), zone: TimeZone::UTC };
    let next = [Next::new(&["rollgate", "start", "--dry-run"], "look again")];
    let dry = DryRun {
        plan: &plan,
        found,
        window: None,
        held_up: None,
        problems: &problems(&plan, found, None, None, &["rollgate"]),
        compared,
        notes: &[],
        exit_code: 13,
        host: "bastion-1",
        next: &next,
    };
    paint(face, &report(face, &moment, &dry, in_full))
}

#[test]
fn a_mail_says_the_most_serious_first() {
    assert_eq!(
        shown(&MAIL, &found(), &since(), false),
        "\
DRY RUN mq-prod 3.13.6 -> 3.13.7  Sat 2026-11-21 08:14 +00:00
        nothing was changed
RESULT  would stop: 1 node does not answer, 1 check does not hold, 1 of 2
        gates closed (exit 13)

PROBLEMS
  mq-03  cannot reach mq-03 (ops@10.0.0.13): No route to host
         is the node up?
         then: rollgate check
  mq-01  pre-check \"disk space\": 1100, needs >= 2048 MiB
         then: rollgate start --dry-run -l mq-01
  mq-02  gate \"queue depth\": 4812, needs <= 100 messages
         | message 1
         | message 2
         | message 3
         | and 2 more
         see the processor log

CHANGED SINCE 2026-11-20 02:00
  mq-01  disk space   2400 MiB -> 1100 MiB, does not hold
  mq-02  clients      12 -> 31

PLAN
  1  mq-01  3.13.6 -> 3.13.7  staged  pre-checks 0/1  gates 1/1 open
  2  mq-02  3.13.6 -> 3.13.7  staged                  gates 0/1 open
  3  mq-03  no answer

NOT TRIED in a dry run: drain and upgrade (they change something), verify
          (after the change)
rollgate 0.1.0 on bastion-1, inventory /etc/rollgate/rollgate.yaml sha256
3f9a41c0
next: rollgate start --dry-run  # look again
"
    );
}

#[test]
fn nothing_is_wider_than_a_mail_or_the_screen() {
    let mut found = found();
    found.turns[1].node = sample::node("rabbitmq-broker-02.rack-17.example");
    let faces = [40, 80, 100, 200].map(|width| Face { color: false, unicode: true, width: Some(width) });
    for face in faces.into_iter().chain([MAIL]) {
        let text = shown(&face, &found, &since(), true);
        for line in text.lines() {
            assert!(console::measure_text_width(line) <= face.width.unwrap(), "{face:?}: {line}");
        }
        assert!(face.unicode || text.is_ascii());
    }
}

/// A mail about machines with long names loses none of what is to be said of them.
#[test]
fn long_names_take_no_words_from_facts() {
    let mut found = found();
    let (before, after) = (["mq-01", "mq-02", "mq-03"].map(sample::node), |number: usize| {
        sample::node(&format!("rabbitmq-broker-p-0{number}"))
    });
    let long = |node: &NodeName| after(before.iter().position(|known| known == node).unwrap() + 1);
    let mut third = found.turns[1].clone();
    third.node = sample::node("mq-03");
    third.steps.iter_mut().for_each(|step| step.key.node = sample::node("mq-03"));
    found.turns.push(third);
    found.turns[0].steps.remove(1);
    found.silent = BTreeMap::new();
    let unknown = "the version that the installed package brings along is yet to be read from the node";
    for turn in &mut found.turns {
        turn.node = long(&turn.node);
        turn.steps[1].outlook = Outlook::CannotKnow { why: unknown.into() };
        turn.steps[3].outlook = Outlook::NotNeeded { why: "the package is in this version already".into() };
        for step in &mut turn.steps {
            step.key.node = turn.node.clone();
            step.readings.iter_mut().for_each(|reading| reading.node = turn.node.clone());
        }
    }
    for width in [78, 40] {
        let face = Face { width: Some(width), ..MAIL };
        let text = shown(&face, &found, &since(), false);
        let words: Vec<&str> = text.split_whitespace().collect();
        let said = words.join(" ");
        let who = "rabbitmq-broker-p-01, rabbitmq-broker-p-02 and rabbitmq-broker-p-03";
        for fact in [
            who,
            unknown,
            "the package is in this version already",
            "4812, needs <= 100 messages",
            "see the processor log",
        ] {
            assert!(said.contains(fact), "{width}: {fact}:\n{text}");
        }
        // A row of the plan may be cut, and of what is said before it nothing.
        let (before, _) = text.split_once("\nPLAN\n").unwrap();
        assert!(!before.contains("..."), "{width}:\n{text}");
    }
}

#[test]
fn the_first_one_and_one_without_changes_say_so() {
    let text = shown(&MAIL, &found(), &Compared::First, false);
    assert!(text.contains("\nCHANGED  not known: no earlier dry run is kept here\n"), "{text}");
    let at = "2026-11-20T02:00:00Z".parse().unwrap();
    let text = shown(&MAIL, &found(), &Compared::Since { at, changes: Vec::new() }, false);
    assert!(text.contains("\nCHANGED SINCE 2026-11-20 02:00  nothing\n"), "{text}");
    let text = shown(&MAIL, &found(), &Compared::Unknown("/x is damaged".into()), false);
    assert!(text.contains("\nCHANGED  not known: /x is damaged\n"), "{text}");
}

#[test]
fn problems_are_ordered_by_their_kind() {
    let mut found = found();
    found.turns[0].steps[0].outlook = Outlook::WouldRun;
    let run = RunId("2026-11-20.1".into());
    let all = problems(&sample::plan(), &found, Some(&run), None, &["rollgate"]);
    let kinds: Vec<&str> = all.iter().map(|problem| problem.kind.code()).collect();
    assert_eq!(kinds, ["unfinished_run", "unreachable", "check", "gate", "not_staged"]);
}

#[test]
fn what_the_window_means_is_said() {
    let (plan, found, window) = (sample::plan(), Forecast { silent: BTreeMap::new(), ..found() }, window());
    let moment = Moment { now: sample::at(0), zone: TimeZone::UTC };
    let dry = DryRun {
        plan: &plan,
        found: &found,
        window: Some(&window),
        held_up: Some(&Hindrance::Closed { opens: None }),
        problems: &[],
        compared: &Compared::First,
        notes: &[],
        exit_code: 0,
        host: "bastion-1",
        next: &[],
    };
    let text = paint(&MAIL, &report(&MAIL, &moment, &dry, false));
    assert!(text.contains("RESULT  would start once the window opens"), "{text}");
    let section = "\nWINDOW\n  Sat 12:14 to Sun 04:00 (Europe/Madrid); closed until Sat 12:14\n  (Europe/Madrid), 3h from now\n";
    assert!(text.contains(section), "{text}");
    assert!(text.contains("\n  mq-02 would be left for another opening\n"), "{text}");
    let verdict = |held_up: Option<&Hindrance>| result(&DryRun { held_up, ..dry.clone() });
    // As with a reason to begin outside of it.
    assert_eq!(verdict(None), "would start; 1 of 2 gates closed (exit 0)");
    let (needs, closes) = (Duration::from_hours(5), sample::at(3600).to_zoned(TimeZone::UTC));
    assert_eq!(
        verdict(Some(&Hindrance::Short { closes, needs, opens: None })),
        "would start once the window is open for long enough; 1 of 2 gates closed (exit 0)"
    );
    assert_eq!(
        verdict(Some(&Hindrance::TooLong { needs })),
        "would start only with --override window=REASON; 1 of 2 gates closed (exit 0)"
    );
}

#[test]
fn a_program_gets_the_same_facts() {
    let (plan, found, compared) = (sample::plan(), found(), since());
    let moment = Moment { now: sample::at(0), zone: TimeZone::UTC };
    let problems = problems(&plan, &found, None, None, &["rollgate"]);
    let window = window();
    let dry = DryRun {
        plan: &plan,
        found: &found,
        window: Some(&window),
        held_up: Some(&Hindrance::Closed { opens: None }),
        problems: &problems,
        compared: &compared,
        notes: &["x".to_owned()],
        exit_code: 13,
        host: "bastion-1",
        next: &[],
    };
    let document = document(&moment, &dry);
    let pick = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("no {path}")).clone();
    assert_eq!(pick("/window/opens_at"), "2026-11-21T11:14:02+00:00");
    assert_eq!(pick("/window/nodes/mq-02"), "later");
    assert_eq!(pick("/since"), "2026-11-20T02:00:00+00:00");
    assert_eq!(pick("/changed/0/after"), "1100 MiB, does not hold");
    assert_eq!(pick("/problems/0/kind"), "unreachable");
    assert_eq!(pick("/problems/1/next/3"), "-l");
    assert_eq!(pick("/turns/1/steps/2/outlook"), "would_wait");
    assert_eq!(pick("/refused"), "cannot reach mq-03 (ops@10.0.0.13): No route to host");
    assert_eq!(pick("/notes/0"), "x");
}
