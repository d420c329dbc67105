//! The gate screen: each value against its limit, its trend, its age, the evidence, and what a yes will do.
//!
//! [`Watch`] remembers what was read while a gate waits; [`GateView`] turns it into text.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::condition::{Value, Verdict};
use crate::model::duration::{self, between};
use crate::model::event::Reading;
use crate::model::name::NodeName;

use super::ink::{Line, Tone, wrap};
use super::moment::Moment;
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
    /// It is no gate but a step that runs, with a check that stopped holding.
    Running,
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
                        every => format!(", every {}", duration::written(every)),
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
            GateState::Waiting { waited, limit } => (
                Tone::Wait,
                format!("waiting {} of at most {}", words::elapsed(waited), duration::written(limit)),
            ),
            GateState::Open { after: Some(after) } => {
                (Tone::Good, format!("open after {}", words::elapsed(after)))
            }
            GateState::Open { after: None } => (Tone::Good, "open".to_owned()),
            GateState::Closed => (Tone::Bad, "closed".to_owned()),
            GateState::Asked => (Tone::Wait, "waits for you".to_owned()),
            GateState::Running => (Tone::Wait, "runs on".to_owned()),
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
                let length = if length.is_zero() {
                    String::new()
                } else {
                    format!(" ({})", duration::written(length))
                };
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
                Verdict::Holds if is_plain_success(reading) => label(reading, home),
                Verdict::Holds => said,
                Verdict::DoesNotHold { .. } => format!("{said}, needs {}", reading.needs),
                Verdict::Unreadable { why } => format!("{said}: {why}"),
            }
        })
        .collect();
    parts.join("; ")
}

/// Whether there is nothing to a reading but that it holds: its command ended with 0, as it should.
pub fn is_plain_success(reading: &Reading) -> bool {
    reading.verdict.holds() && matches!(reading.value, Some(Value::Exit(0)))
}

#[cfg(test)]
pub(super) mod tests;
