use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::super::ink::paint;
use super::*;

pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-11-21T08:35:06Z".parse::<Timestamp>().unwrap() + seconds.seconds()
}

pub(crate) fn node(name: &str) -> NodeName {
    NodeName::parse(name).unwrap()
}

pub(crate) fn reading(check: &str, value: f64, limit: f64, seconds: i64) -> Reading {
    Reading {
        check: check.into(),
        node: node("mq-03"),
        value: Some(Value::Number(value)),
        verdict: if value <= limit {
            Verdict::Holds
        } else {
            Verdict::DoesNotHold { why: format!("needs <= {limit}") }
        },
        needs: format!("<= {limit}"),
        unit: None,
        evidence: Vec::new(),
        remedy: None,
        at: at(seconds),
    }
}

fn moment(seconds: i64) -> Moment {
    Moment { now: at(seconds), zone: TimeZone::UTC }
}

fn waiting() -> Watch {
    let mut watch = Watch::default();
    for (minute, depth) in [5200.0, 5135.0, 5070.0, 5000.0, 4930.0].into_iter().enumerate() {
        let seconds = i64::try_from(minute).unwrap() * 60;
        let mut clients = reading("client connections", 37.0, 5.0, seconds);
        clients.evidence = (1..8).map(|n| format!("10.1.0.{n}:51712")).collect();
        clients.remedy = Some("ask the clients to reconnect elsewhere".into());
        let readings = [reading("queue depth", depth, 100.0, seconds), clients];
        watch.take(&readings, (0, 3), Duration::from_secs(5));
    }
    watch
}

fn view<'a>(watch: &'a Watch, home: &'a NodeName, state: GateState) -> GateView<'a> {
    GateView {
        place: Some((3, 5)),
        node: home,
        title: "gate: queue depth",
        state,
        watch,
        so_far: "mq-03 is untouched; mq-01 and mq-02 are done and in service",
    }
}

const WAITING: GateState =
    GateState::Waiting { waited: Duration::from_secs(252), limit: Duration::from_mins(30) };

#[test]
fn a_waiting_gate_shows_everything() {
    let (watch, home) = (waiting(), node("mq-03"));
    let face = Face { color: false, unicode: true, width: Some(100) };
    assert_eq!(
        paint(&face, &view(&watch, &home, WAITING).lines(&face, &moment(242))),
        "\
[3 of 5] mq-03   gate: queue depth                                       waiting 4m12 of at most 30m
  queue depth         4 930  needs <= 100  █████  falling 68/min, about 1 h 12 m
  client connections     37  needs <= 5    █████  unchanged for 4m00
    10.1.0.1:51712
    10.1.0.2:51712
    10.1.0.3:51712
    10.1.0.4:51712
    10.1.0.5:51712
    and 2 more
    = help: ask the clients to reconnect elsewhere
  read 2 s ago, every 5s, 0 of 3 in a row hold
  mq-03 is untouched; mq-01 and mq-02 are done and in service
"
    );
}

#[test]
fn forty_columns_and_ascii_are_enough() {
    let (watch, home) = (waiting(), node("mq-03"));
    let face = Face { color: false, unicode: false, width: Some(40) };
    assert_eq!(
        paint(&face, &view(&watch, &home, WAITING).lines(&face, &moment(242))),
        "\
[3 of 5] mq-03   gate: queue depth
  waiting 4m12 of at most 30m
  queue depth         4 930  <= 100
  client connections     37  <= 5
    10.1.0.1:51712
    10.1.0.2:51712
    10.1.0.3:51712
    10.1.0.4:51712
    10.1.0.5:51712
    and 2 more
    = help: ask the clients to reconnect
            elsewhere
  read 2 s ago, every 5s, 0 of 3 in a...
  mq-03 is untouched; mq-01 and mq-02
  are done and in service
"
    );
}

#[test]
fn an_open_gate_says_how_steadily() {
    let mut watch = Watch::default();
    watch.take(&[reading("queue depth", 94.0, 100.0, 0)], (3, 3), Duration::from_secs(5));
    let home = node("mq-03");
    let state = GateState::Open { after: Some(Duration::from_secs(1914)) };
    let text = paint(&Face::PLAIN, &view(&watch, &home, state).lines(&Face::PLAIN, &moment(1)));
    assert!(text.starts_with("[3 of 5] mq-03   gate: queue depth  open after 31m54\n"), "{text}");
    assert!(text.contains("  queue depth  94  needs <= 100  steady for 3 readings (15s)\n"), "{text}");
}

#[test]
fn unreadable_is_said_and_why() {
    let mut watch = Watch::default();
    let mut broken = reading("queue depth", 0.0, 100.0, 0);
    broken.value = None;
    broken.verdict = Verdict::Unreadable { why: "the command ended with exit status 127".into() };
    broken.node = node("mq-01");
    watch.read(&[broken.clone()]);
    let text = paint(&Face::PLAIN, &reading_lines(&Face::PLAIN, &watch, &node("mq-03")));
    assert_eq!(
        text,
        "  queue depth on mq-01  unreadable  needs <= 100\n    the command ended with exit status 127\n"
    );
    assert_eq!(
        one_line(&[broken, reading("clients", 2.0, 5.0, 0)], &node("mq-03")),
        "queue depth on mq-01 unreadable: the command ended with exit status 127; clients 2"
    );
}

#[test]
fn nothing_is_wider_than_the_screen_or_steers_it() {
    let mut watch = waiting();
    let mut nasty = reading("queue\u{202e} depth", 1.0, 0.0, 300);
    nasty.value = Some(Value::Text("\x1b]52;c;aGk=\x07 and a very long answer indeed".into()));
    nasty.evidence = vec!["\x1b[2J\rgate is open".repeat(10)];
    watch.take(&[nasty], (0, 1), Duration::from_secs(5));
    let home = node("mq-03");
    for unicode in [true, false] {
        for width in [40, 80, 100, 200] {
            let face = Face { color: false, unicode, width: Some(width) };
            for line in view(&watch, &home, WAITING).lines(&face, &moment(300)) {
                assert!(line.width() <= width, "{width}: {line:?}");
                assert!(!line.plain().contains(['\x1b', '\r', '\x07', '\u{202e}']));
                assert!(unicode || line.plain().is_ascii());
            }
        }
    }
}

#[test]
fn trends_are_worded() {
    let points = |values: &[f64]| -> Vec<(Timestamp, f64)> {
        values.iter().enumerate().map(|(n, v)| (at(i64::try_from(n).unwrap() * 60), *v)).collect()
    };
    assert_eq!(trend(&points(&[5.0]), "<= 1"), "");
    assert_eq!(trend(&points(&[41.0, 40.5]), "<= 5"), "was 41 60 s ago, about 1 h 11 m");
    assert_eq!(trend(&points(&[10.0, 30.0]), "<= 5"), "rising 20/min");
    assert_eq!(trend(&points(&[30.0, 10.0]), "0"), "falling 20/min");
    assert_eq!(trend(&points(&[3.0, 4.0]), ">= 5"), "rising 1/min, about 1 min");
    assert_eq!(sparkline(&points(&[0.0, 0.0])), "");
    assert_eq!(sparkline(&points(&[8.0, 4.0, 0.0])), "█▅▁");
}
