//! One stopped run, shown in all three forms.

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::super::ink::paint;
use super::super::sample;
use super::*;
use crate::model::event::{
    Decision, Event, Failure, FailureKind, Halt, How, Outcome, Question, RunId, Turn, TurnEnd,
};
use crate::model::plan::{PlannedNode, Section};

fn moment() -> Moment {
    Moment { now: sample::at(2200), zone: TimeZone::UTC }
}

fn around() -> Circumstances<'static> {
    let mut around = Circumstances {
        program: vec!["rollgate"],
        directory: Some("/var/lib/rollgate/mq-prod/runs/2026-11-21.1".into()),
        exit_code: Some(10),
        ..Circumstances::default()
    };
    let gone = Observed { reachable: Some(false), error: Some("no route".into()), ..Observed::default() };
    around.observed.insert(sample::node("mq-03"), gone);
    around
}

fn stopped() -> StatusView {
    let mut events = sample::events();
    let key = sample::key("mq-02", Section::Drain, 2);
    let why = "mq-02: queue depth: the gate stayed closed for 30m".to_owned();
    let stop = Stop { halt: Halt::GateClosed, why, key: Some(key.clone()) };
    events.push((2100, Event::StopRequested { stop: stop.clone() }));
    events.push((2100, Event::StepEnded { key, attempt: 1, outcome: Outcome::Interrupted }));
    events.push((2100, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
    StatusView::of_run(&sample::state(events), &around())
}

#[test]
fn the_screen_for_eyes() {
    let face = Face { color: false, unicode: true, width: Some(100) };
    assert_eq!(
        paint(&face, &human(&face, &moment(), &stopped())),
        "\
mq-prod | 3.13.6 -> 3.13.7 | run 2026-11-21.1 | STOPPED | 1 of 3 nodes done | 35 min
started 08:14 by anna on bastion-1 for CHG-20418                         /etc/rollgate/rollgate.yaml

   NODE   ROLE    RUNS    STATE        SINCE  DETAIL
✓  mq-01  broker  3.13.7  done         08:18  gate 1m36 drain 1m12 upgrade 48s verify 36s
‖  mq-02  broker  3.13.6  at gate      08:18
·  mq-03  broker  ?       unreachable         no route

why stopped: mq-02: queue depth: the gate stayed closed for 30m

still in force: mq-02: drain \"stop the receiver\"

giving up now: mq-01 stays on 3.13.7
               mq-02 is left in the middle of its turn
               mq-03 is untouched
               undone first: mq-02: drain \"stop the receiver\"
               rollback leads back to the versions before

mq-02   gate \"queue depth\"                                                                    closed
  queue depth  5 200  needs <= 100
  read 31 min ago

next: rollgate start --resume                    # wait for the gate again
      rollgate start --resume --gate-timeout 2h  # wait longer
      rollgate rollback                          # take mq-01 and mq-02 back
"
    );
}

#[test]
fn the_stable_form() {
    let text = paint(&Face::PLAIN, &plain(&moment(), &stopped(), Some(10)));
    assert_eq!(
        text,
        "\
cluster mq-prod from 3.13.6 to 3.13.7 run 2026-11-21.1 state stopped done 1 total 3 change CHG-20418
NODE   ROLE    VERSION  STAGED  STATE        SINCE                      DETAIL
mq-01  broker  3.13.7   -       done         2026-11-21T08:18:20+00:00  gate 1m36 drain 1m12 upgrade 48s verify 36s
mq-02  broker  3.13.6   -       gate         2026-11-21T08:18:21+00:00  -
mq-03  broker  -        -       unreachable  -                          no route
stopped: exit 10, mq-02: queue depth: the gate stayed closed for 30m
in-force: mq-02: drain \"stop the receiver\"
giving-up: mq-01 stays on 3.13.7
giving-up: mq-02 is left in the middle of its turn
giving-up: mq-03 is untouched
giving-up: undone first: mq-02: drain \"stop the receiver\"
giving-up: rollback leads back to the versions before
next: rollgate start --resume
next: rollgate start --resume --gate-timeout 2h
next: rollgate rollback
"
    );
    assert!(text.is_ascii());
    for row in text.lines().skip(2).take(3) {
        assert!(row.split_whitespace().count() >= 7, "{row}");
    }
}

#[test]
fn one_document_for_programs() {
    let document = document(&moment(), &stopped(), Some(10));
    let pick = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("no {path}")).clone();
    assert_eq!(
        document.as_object().unwrap().keys().take(2).collect::<Vec<_>>(),
        ["format", "format_version"]
    );
    assert_eq!(pick("/status"), "stopped");
    assert_eq!(pick("/final_state"), "stopped");
    assert_eq!(pick("/working_node"), "mq-02");
    assert_eq!(pick("/working_state"), "gate");
    assert_eq!(pick("/transcript"), "/var/lib/rollgate/mq-prod/runs/2026-11-21.1");
    assert_eq!(pick("/run/stop/reason"), "gate_timeout");
    assert_eq!(pick("/run/stop/exit_code"), 10);
    assert_eq!(pick("/run/counts/pending"), 2);
    assert_eq!(pick("/nodes/1/gates/0/value"), 5200.0);
    assert_eq!(pick("/nodes/1/gates/0/open"), false);
    assert_eq!(pick("/nodes/2/reachable"), false);
    assert_eq!(pick("/nodes/0/phases/0/seconds"), 96.0);
    assert_eq!(pick("/next/0/2"), "--resume");
    assert!(pick("/nodes/0/error").is_null());
}

#[test]
fn counts_add_up_wherever_nodes_stand() {
    let mut view = stopped();
    for stand in [
        Stand::ToDo,
        Stand::Working,
        Stand::Stopped,
        Stand::Gate,
        Stand::Failed,
        Stand::Unknown,
        Stand::Done,
        Stand::Skipped,
        Stand::RolledBack,
    ] {
        view.nodes[1].stand = stand;
        let counts = document(&moment(), &view, Some(10))["run"]["counts"].clone();
        let counts: Vec<(&String, u64)> =
            counts.as_object().unwrap().iter().map(|(name, count)| (name, count.as_u64().unwrap())).collect();
        let (total, parts): (Vec<_>, Vec<_>) = counts.iter().partition(|(name, _)| *name == "total");
        assert_eq!(parts.iter().map(|(_, count)| count).sum::<u64>(), total[0].1, "{stand:?}: {counts:?}");
    }
}

/// mq-02's install failed, the run stopped for 22 minutes, and bob went on with it.
fn got_over() -> Vec<(i64, Event)> {
    let mut events = sample::events();
    let gate = sample::key("mq-02", Section::Drain, 2);
    let install = sample::key("mq-02", Section::Upgrade, 1);
    let on = || vec![sample::node("mq-02")];
    let failure =
        Failure { kind: FailureKind::Script, message: "exit status 28".into(), tail: Vec::new(), help: None };
    let failed = |attempt| Event::StepEnded {
        key: install.clone(),
        attempt,
        outcome: Outcome::Failed(failure.clone()),
    };
    let begun = |attempt| Event::StepStarted { key: install.clone(), attempt, on: on() };
    let stop = Stop { halt: Halt::UpgradeFailed, why: "install".into(), key: Some(install.clone()) };
    let mut bob = sample::request();
    bob.by.user = "bob".into();
    events.push((400, Event::StepEnded { key: gate, attempt: 1, outcome: Outcome::Done }));
    events.extend([(400, begun(1)), (448, failed(1))]);
    let question = Question::Trouble { key: install.clone(), undo: false };
    let by = sample::request().by;
    let (decision, how) = (Decision::Retry, How::Terminal);
    events.push((450, Event::Asked { question: question.clone() }));
    events.push((460, Event::Answered { question, decision, how, by, readings: Vec::new() }));
    events.extend([(460, begun(2)), (480, failed(2))]);
    events.push((480, Event::StopRequested { stop: stop.clone() }));
    events.push((480, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
    events.push((480 + 22 * 60, Event::RunResumed { request: bob }));
    events.push((1801, begun(3)));
    events
}

#[test]
fn what_a_node_went_through_is_not_forgotten() {
    let records = sample::records(got_over());
    let history = crate::model::history::histories(&records).unwrap();
    assert_eq!(history.len(), 1, "{history:?}");
    let around = Circumstances { history, ..Circumstances::default() };
    let view = StatusView::of_run(&sample::state(got_over()), &around);
    let told = "stopped once, 22 min; upgrade \"install\" failed twice, repeated by anna, repeated by bob";
    assert!(view.nodes[1].detail.ends_with(told), "{}", view.nodes[1].detail);
    assert_eq!(view.nodes[0].detail, "gate 1m36 drain 1m12 upgrade 48s verify 36s");
    let document = document(&moment(), &view, None);
    let past = document.pointer("/nodes/1/history").unwrap();
    assert_eq!(past["stops"], 1);
    assert_eq!(past["stopped_seconds"], 1320.0);
    assert_eq!(past["failures"][0]["times"], 2);
    assert_eq!(past["failures"][0]["repeated_by"], serde_json::json!(["anna", "bob"]));
}

#[test]
fn a_window_and_what_is_left_are_told_in_every_form() {
    use crate::model::window::{Outside, Standing};
    let until = sample::at(2200 + 3600).to_zoned(TimeZone::UTC);
    let mut around = around();
    around.left = Some(Left { time: std::time::Duration::from_mins(20), whole: true });
    around.window = Some(WindowView {
        hours: "08:00 to 10:00 every day (UTC)".into(),
        standing: Standing::Open { until },
        fates: Vec::new(),
    });
    let mut events = sample::events();
    let outside =
        Outside { why: "the window is closed".into(), reason: "CHG-7".into(), by: sample::request().by };
    events.push((2100, Event::WindowPassed { phase: 0, outside }));
    let mut view = StatusView::of_run(&sample::state(events), &around);
    let face = Face { color: false, unicode: true, width: Some(100) };
    let text = paint(&face, &human(&face, &moment(), &view));
    for line in [
        "mq-prod | 3.13.6 -> 3.13.7 | run 2026-11-21.1 | WORKING | 1 of 3 nodes done | 37 min",
        "about 20 min left",
        "window: 08:00 to 10:00 every day (UTC); open until Sat 09:50 (UTC), 1h from now",
        "outside the window: CHG-7 (anna; the window is closed)",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line:?} in:\n{text}");
    }
    let text = paint(&Face::PLAIN, &plain(&moment(), &view, None));
    for line in [
        "left: about 20 min left",
        "window: 08:00 to 10:00 every day (UTC); open until 2026-11-21T09:50:42+00:00",
        "outside-window: CHG-7 (anna; the window is closed)",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line:?} in:\n{text}");
    }
    let seconds = |view: &StatusView| document(&moment(), view, None)["run"]["seconds_left"].clone();
    assert_eq!(seconds(&view), 1200);
    // What is known of one phase alone is not what is left of the run.
    let phase = Left { time: std::time::Duration::from_mins(20), whole: false };
    view.run.as_mut().unwrap().left = Some(phase);
    assert!(seconds(&view).is_null());
    assert_eq!(run::left(phase), "about 20 min left in this phase");
    assert_eq!(document(&moment(), &view, None)["window"]["closes_at"], "2026-11-21T09:50:42+00:00");
}

#[test]
fn without_a_run_there_is_still_something_to_say() {
    let view = StatusView::of_plan(&sample::plan(), &around());
    let text = paint(&Face::PLAIN, &human(&Face::PLAIN, &moment(), &view));
    assert!(text.starts_with("mq-prod to 3.13.7 no run\n"), "{text}");
    assert!(text.ends_with("next: rollgate stage  # copy the new version; nothing restarts\n"), "{text}");
    assert!(document(&moment(), &view, None).pointer("/run").unwrap().is_null());
}

#[test]
fn nothing_is_wider_than_the_screen() {
    for unicode in [true, false] {
        for width in [40, 80, 100, 200] {
            let face = Face { color: false, unicode, width: Some(width) };
            for line in human(&face, &moment(), &stopped()) {
                assert!(line.width() <= width, "{width}: {line:?}");
                assert!(unicode || line.plain().is_ascii());
            }
        }
    }
}

/// What is asked of each record and of each node does not look through all the others.
#[test]
fn thousands_of_nodes_are_no_trouble() {
    const NODES: usize = 3_000;
    // Ten times what it takes a debug build; when each batch looked through all nodes it took 9.5 s.
    const LIMIT: Duration = Duration::from_secs(8);
    let names: Vec<_> = (1..=NODES).map(|number| sample::node(&format!("n{number}"))).collect();
    let mut plan = sample::plan();
    let like = plan.nodes.remove(0);
    plan.nodes = names.iter().map(|name| PlannedNode { name: name.clone(), ..like.clone() }).collect();
    plan.phases[0].nodes.clone_from(&names);
    plan.phases[0].steps.retain(|step| step.section == Section::Upgrade);
    let (run, token) = (RunId("2026-11-21.1".into()), "00c0ffee".into());
    let opened = Event::RunOpened { run, token, plan: Box::new(plan), request: sample::request() };
    let mut events = vec![(0, opened), (1, Event::PhaseStarted { phase: 0 })];
    for (batch, node) in names.into_iter().enumerate() {
        let key = sample::key(node.as_str(), Section::Upgrade, 1);
        let (on, nodes) = (vec![node.clone()], vec![node.clone()]);
        events.push((2, Event::BatchFormed { phase: 0, batch, nodes, last: Vec::new() }));
        events.push((2, Event::StepStarted { key: key.clone(), attempt: 1, on }));
        events.push((3, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done }));
        events.push((3, Event::TurnEnded { turn: Turn { phase: 0, node }, end: TurnEnd::Done }));
    }
    let begun = Instant::now();
    let view = StatusView::of_run(&sample::state(events), &Circumstances::default());
    assert_eq!(view.done(), NODES);
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}
