//! The gate screen: each value against its limit, its trend, its age, the evidence, and what a yes will do.
//!
//! [`Watch`] remembers what was read while a gate waits; [`GateView`] turns it into text.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::condition::{Value, Verdict};
use crate::model::event::Reading;
use crate::model::name::NodeName;

use super::ink::{Line, Tone, wrap};
use super::moment::{Moment, between};
use super::table::Table;
use super::terminal::Face;
use super::words;

/// Readings that are remembered for each check.
const REMEMBERED: usize = 240;
/// Rows of evidence for each check.
const EVIDENCE_ROWS: usize = 5;
/// Columns of a sparkline.
const SPARKS: usize = 8;
/// A trend looks back this far.
const TREND: Duration = Duration::from_mins(5);
/// Below so many columns every one counts.
const NARROW: usize = 60;
/// Columns that a value may take.
const VALUE: usize = 24;

#[derive(Debug, Clone, PartialEq)]
struct Series {
    check: String,
    node: NodeName,
    points: Vec<(Timestamp, f64)>,
}

/// What a gate, wait or soak has read so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Watch {
    readings: Vec<Reading>,
    series: Vec<Series>,
    steady: (u32, u32),
    every: Duration,
}

impl Watch {
    /// Takes the readings as they are now.
    pub fn take(&mut self, readings: &[Reading], steady: (u32, u32), every: Duration) {
        self.steady = steady;
        self.every = every;
        self.read(readings);
    }

    /// Takes readings that came with a question: what is known of the rhythm stays.
    pub fn read(&mut self, readings: &[Reading]) {
        for reading in readings {
            let Some(value) = reading.value.as_ref().and_then(Value::number) else { continue };
            let known = self.series.iter().position(|s| s.check == reading.check && s.node == reading.node);
            let place = known.unwrap_or_else(|| {
                let (check, node) = (reading.check.clone(), reading.node.clone());
                self.series.push(Series { check, node, points: Vec::new() });
                self.series.len() - 1
            });
            let series = &mut self.series[place];
            if series.points.last().is_none_or(|(at, _)| *at < reading.at) {
                series.points.push((reading.at, value));
            }
            let surplus = series.points.len().saturating_sub(REMEMBERED);
            series.points.drain(..surplus);
        }
        self.readings = readings.to_vec();
    }

    /// The readings as they were taken last.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Whether every check has held as often as it must.
    pub fn is_steady(&self) -> bool {
        self.steady.1 > 0 && self.steady.0 >= self.steady.1
    }

    /// Whether every check held when it was read last.
    pub fn all_hold(&self) -> bool {
        self.readings.iter().all(|reading| reading.verdict.holds())
    }

    fn points(&self, reading: &Reading) -> &[(Timestamp, f64)] {
        self.series
            .iter()
            .find(|series| series.check == reading.check && series.node == reading.node)
            .map_or(&[], |series| series.points.as_slice())
    }
}

/// How a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateState {
    /// It waits for its checks.
    Waiting {
        /// So long by now.
        waited: Duration,
        /// So long at most.
        limit: Duration,
    },
    /// It has opened.
    Open {
        /// After so long, where that is known.
        after: Option<Duration>,
    },
    /// A check does not hold.
    Closed,
    /// It has no checks: it is a question and nothing else.
    Asked,
}

/// A gate as it is shown.
#[derive(Debug, Clone)]
pub struct GateView<'a> {
    /// The node's place among the phase's: `[3 of 5]`.
    pub place: Option<(usize, usize)>,
    /// Whose gate it is; the operator's machine is not named.
    pub node: &'a NodeName,
    /// `gate: queue depth`.
    pub title: &'a str,
    /// How it stands.
    pub state: GateState,
    /// What was read.
    pub watch: &'a Watch,
    /// What has been done so far: `mq-03 is untouched; mq-01 and mq-02 are done`.
    pub so_far: &'a str,
}

impl GateView<'_> {
    /// Lays it out; nothing is wider than the stream.
    pub fn lines(&self, face: &Face, moment: &Moment) -> Vec<Line> {
        let mut lines = self.heading(face);
        lines.extend(reading_lines(face, self.watch, self.node));
        if let Some(read) = self.watch.readings.iter().map(|reading| reading.at).min() {
            let mut line =
                Line::new(face).tone(Tone::Dim, &format!("  read {}", words::age(moment.since(read)))).tone(
                    Tone::Dim,
                    &match self.watch.every {
                        Duration::ZERO => String::new(),
                        every => format!(", every {}", words::limit(every)),
                    },
                );
            if let (held, wanted @ 2..) = self.watch.steady {
                line.push(Tone::Dim, &format!(", {held} of {wanted} in a row hold"));
            }
            lines.push(line.fit(face));
        }
        if !self.so_far.is_empty() {
            lines.extend(wrap(face, Line::of(face, "  "), Tone::Dim, self.so_far));
        }
        lines
    }

    fn heading(&self, face: &Face) -> Vec<Line> {
        let mut head = Line::new(face);
        if let Some((place, total)) = self.place {
            head.push(Tone::Dim, &format!("[{place} of {total}] "));
        }
        if !self.node.is_operator() {
            head.push(Tone::Strong, self.node.as_str());
            head.push(Tone::Text, "   ");
        }
        head.push(Tone::Strong, self.title);
        let (tone, state) = match self.state {
            GateState::Waiting { waited, limit } => {
                (Tone::Wait, format!("waiting {} of at most {}", words::elapsed(waited), words::limit(limit)))
            }
            GateState::Open { after: Some(after) } => {
                (Tone::Good, format!("open after {}", words::elapsed(after)))
            }
            GateState::Open { after: None } => (Tone::Good, "open".to_owned()),
            GateState::Closed => (Tone::Bad, "closed".to_owned()),
            GateState::Asked => (Tone::Wait, "waits for you".to_owned()),
        };
        let whole = head.clone().at_edge(face, tone, &state);
        if whole.width() > head.width() {
            vec![whole]
        } else {
            vec![head.fit(face), Line::of(face, "  ").tone(tone, &state).fit(face)]
        }
    }
}

/// The readings, each with its evidence below it.
pub fn reading_lines(face: &Face, watch: &Watch, home: &NodeName) -> Vec<Line> {
    let mut table = Table::new(2).column("").right("").column("").if_room("", 0).if_room("", 1);
    for reading in &watch.readings {
        table.row(row(face, watch, reading, home));
    }
    let mut lines = Vec::new();
    for (line, reading) in table.lines(face).into_iter().zip(&watch.readings) {
        lines.push(line);
        lines.extend(beneath(face, reading));
    }
    lines
}

fn row(face: &Face, watch: &Watch, reading: &Reading, home: &NodeName) -> Vec<(Tone, String)> {
    let tone = if reading.verdict.holds() { Tone::Good } else { Tone::Bad };
    let points = watch.points(reading);
    // A limit that is cut reads as another limit, so the word before it goes first.
    let narrow = face.width.is_some_and(|columns| columns < NARROW);
    vec![
        (Tone::Text, label(reading, home)),
        (tone, value(reading)),
        (Tone::Text, if narrow { reading.needs.clone() } else { format!("needs {}", reading.needs) }),
        (Tone::Dim, if face.unicode { sparkline(points) } else { String::new() }),
        (Tone::Dim, course(watch, reading, points)),
    ]
}

fn label(reading: &Reading, home: &NodeName) -> String {
    if reading.node == *home || reading.node.is_operator() {
        reading.check.clone()
    } else {
        format!("{} on {}", reading.check, reading.node)
    }
}

/// The value as shown to eyes: grouped, on one line, short.
pub fn value(reading: &Reading) -> String {
    match &reading.value {
        None => "unreadable".to_owned(),
        Some(Value::Number(number)) => words::number(*number),
        Some(Value::Lines(lines)) => words::number(lines.len() as f64),
        Some(other) => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or("(nothing)");
            console::truncate_str(line, VALUE, "...").into_owned()
        }
    }
}

fn course(watch: &Watch, reading: &Reading, points: &[(Timestamp, f64)]) -> String {
    if reading.verdict.holds() {
        return match watch.steady {
            (0, _) => trend(points, &reading.needs),
            (readings, _) => {
                let length = watch.every * readings;
                let length =
                    if length.is_zero() { String::new() } else { format!(" ({})", words::limit(length)) };
                format!("steady for {}{length}", words::count(readings as usize, "reading"))
            }
        };
    }
    trend(points, &reading.needs)
}

/// How a value moves, and how long that takes to reach its limit.
pub fn trend(points: &[(Timestamp, f64)], needs: &str) -> String {
    let Some((&(now, value), before)) = points.split_last() else { return String::new() };
    let Some(&(then, was)) = before.iter().find(|(at, _)| between(*at, now) <= TREND) else {
        return String::new();
    };
    let minutes = between(then, now).as_secs_f64() / 60.0;
    if minutes <= 0.0 {
        return String::new();
    }
    let change = (value - was) / minutes;
    if change.abs() < f64::EPSILON {
        return format!("unchanged for {}", words::elapsed(between(then, now)));
    }
    let mut text = if change.abs() >= 1.0 {
        let pace = words::number(change.abs().round());
        format!("{} {pace}/min", if change < 0.0 { "falling" } else { "rising" })
    } else {
        format!("was {} {}", words::number(was), words::age(between(then, now)))
    };
    if let Some(left) = pace_left(needs, value, change) {
        text.push_str(", about ");
        text.push_str(&words::total(left));
    }
    text
}

/// Time until the limit at this pace, where there is a limit ahead and it is within a day.
fn pace_left(needs: &str, value: f64, change: f64) -> Option<Duration> {
    let (sign, limit) = needs.split_once(' ')?;
    let limit: f64 = limit.parse().ok()?;
    let ahead = match sign {
        "<=" => value > limit && change < 0.0,
        ">=" => value < limit && change > 0.0,
        _ => false,
    };
    let minutes = (limit - value) / change;
    (ahead && (1.0..1440.0).contains(&minutes)).then(|| Duration::from_secs_f64(minutes * 60.0))
}

/// The last values as a line of blocks, the highest one full.
pub fn sparkline(points: &[(Timestamp, f64)]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<f64> =
        points[points.len().saturating_sub(SPARKS)..].iter().map(|(_, value)| *value).collect();
    let highest = values.iter().copied().fold(0.0_f64, f64::max);
    if values.len() < 2 || highest <= 0.0 {
        return String::new();
    }
    values
        .iter()
        .map(|value| {
            let eighths = (value.max(0.0) / highest * 7.0).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
            let place = eighths as usize;
            BLOCKS[place.min(7)]
        })
        .collect()
}

/// What stands below a reading: why it is unreadable, its evidence, its remedy.
fn beneath(face: &Face, reading: &Reading) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Verdict::Unreadable { why } = &reading.verdict {
        lines.extend(wrap(face, Line::of(face, "    "), Tone::Bad, why));
    }
    for row in reading.evidence.iter().take(EVIDENCE_ROWS) {
        lines.push(Line::of(face, "    ").tone(Tone::Dim, row).fit(face));
    }
    if let more @ 1.. = reading.evidence.len().saturating_sub(EVIDENCE_ROWS) {
        lines.push(Line::of(face, "    ").tone(Tone::Dim, &format!("and {more} more")));
    }
    if let Some(remedy) = reading.remedy.as_ref().filter(|_| !reading.verdict.holds()) {
        lines.extend(wrap(face, Line::of(face, "    ").tone(Tone::Dim, "= help: "), Tone::Text, remedy));
    }
    lines
}

/// The readings on one line, for logs: `queue depth 5200, needs <= 100; clients 2`.
pub fn one_line(readings: &[Reading], home: &NodeName) -> String {
    let parts: Vec<String> = readings
        .iter()
        .map(|reading| {
            let value = match &reading.value {
                Some(Value::Number(number)) => words::plain_number(*number),
                Some(Value::Lines(lines)) => lines.len().to_string(),
                _ => value(reading),
            };
            let said = format!("{} {value}", label(reading, home));
            match &reading.verdict {
                Verdict::Holds => said,
                Verdict::DoesNotHold { .. } => format!("{said}, needs {}", reading.needs),
                Verdict::Unreadable { why } => format!("{said}: {why}"),
            }
        })
        .collect();
    parts.join("; ")
}

#[cfg(test)]
pub(super) mod tests {
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
        assert_eq!(trend(&points(&[30.0, 10.0]), "equals 0"), "falling 20/min");
        assert_eq!(trend(&points(&[3.0, 4.0]), ">= 5"), "rising 1/min, about 1 min");
        assert_eq!(sparkline(&points(&[0.0, 0.0])), "");
        assert_eq!(sparkline(&points(&[8.0, 4.0, 0.0])), "█▅▁");
    }
}
