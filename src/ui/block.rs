//! The block that is redrawn on a terminal: gates that wait, steps in flight, how far it all is.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::duration;
use crate::model::name::NodeName;
use crate::model::pace;
use crate::model::plan::{PhaseKind, StepKey};
use crate::model::state::RunState;

use super::escape;
use super::gate::{GateState, GateView, Watch};
use super::ink::{Line, Tone};
use super::moment::Moment;
use super::run::{self, Flight};
use super::terminal::Face;
use super::words;

/// Columns of the bar.
const BAR: usize = 36;
/// A step that has run for less than this shows nothing of its output here.
const LONG: Duration = Duration::from_secs(5);
/// Columns of how old a line is.
const AGE: usize = 11;

/// A step that asks its checks again and again.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// What it read.
    pub watch: Watch,
    /// How long it had waited at the last reading, or until it opened.
    pub waited: Duration,
    /// How long it waits at most.
    pub limit: Duration,
}

/// What passes and is in no record.
#[derive(Debug, Clone, Default)]
pub struct Passing {
    /// Steps that wait for their checks.
    pub waiting: BTreeMap<StepKey, Waiting>,
    /// Copies: bytes done, bytes in all.
    pub copying: BTreeMap<StepKey, (u64, u64)>,
    /// The last line that a step in flight printed, and when.
    pub printed: BTreeMap<StepKey, (Timestamp, Vec<u8>)>,
    /// Nodes to which a connection is being made.
    pub connecting: Vec<NodeName>,
}

/// Builds the block.
pub fn lines(face: &Face, moment: &Moment, state: &RunState, passing: &Passing) -> Vec<Line> {
    let mut lines = in_flights(face, moment, state, passing);
    if run::in_flight(state).iter().any(|flight| waits_at_gate(state, passing, &flight.key)) {
        lines.push(Line::new(face).tone(Tone::Dim, "  Ctrl-C for choices"));
    }
    lines.extend(overall(face, moment, state));
    lines
}

/// The same as an answer to whoever asks how far it is (SIGUSR1): with the run, and without keys to press.
pub fn progress(face: &Face, moment: &Moment, state: &RunState, passing: &Passing) -> Vec<Line> {
    let head = format!("run {}: {}, {} done", state.run, state.status().word(), run::extent(state));
    let mut lines = vec![Line::new(face).tone(Tone::Strong, &head).fit(face)];
    lines.extend(in_flights(face, moment, state, passing));
    lines.extend(overall(face, moment, state));
    lines
}

fn in_flights(face: &Face, moment: &Moment, state: &RunState, passing: &Passing) -> Vec<Line> {
    let flights = run::in_flight(state);
    let label = flights.iter().map(|flight| flight.key.node.as_str().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for flight in &flights {
        if let Some(waiting) = passing.waiting.get(&flight.key) {
            lines.extend(gate(face, moment, state, flight, waiting));
            continue;
        }
        lines.push(in_flight(face, moment, flight, label, passing.copying.get(&flight.key)));
        let printed = passing.printed.get(&flight.key);
        lines.extend(printed.and_then(|printed| last_words(face, moment, flight, printed)));
    }
    if !passing.connecting.is_empty() {
        let names: Vec<&str> = passing.connecting.iter().map(NodeName::as_str).collect();
        lines.push(Line::of(face, "connecting to ").text(&words::list_some(&names, 6)).fit(face));
    }
    lines
}

fn waits_at_gate(state: &RunState, passing: &Passing, key: &StepKey) -> bool {
    passing.waiting.contains_key(key) && state.is_gate(key)
}

/// A step that waits, as the gate screen shows it.
pub fn gate(face: &Face, moment: &Moment, state: &RunState, flight: &Flight, waiting: &Waiting) -> Vec<Line> {
    let turn = run::turn_of(state, &flight.key);
    let waited = flight.started.map_or(waiting.waited, |started| moment.since(started));
    let limit = if waiting.limit.is_zero() { flight.limit } else { waiting.limit };
    GateView {
        place: turn.as_ref().and_then(|turn| run::place(state, turn)),
        node: &flight.key.node,
        title: &flight.title,
        state: GateState::Waiting { waited, limit },
        watch: &waiting.watch,
        so_far: &turn.map(|turn| run::so_far(state, &turn)).unwrap_or_default(),
    }
    .lines(face, moment)
}

fn in_flight(face: &Face, moment: &Moment, flight: &Flight, label: usize, copy: Option<&(u64, u64)>) -> Line {
    let mut line = Line::new(face)
        .padded(Tone::Strong, flight.key.node.as_str(), label + 2)
        .text(&flight.title)
        .text("  ");
    match copy {
        Some((done, total)) => {
            line.push(Tone::Text, &format!("{} of {}", words::size(*done), words::size(*total)));
        }
        None => {
            if let Some(started) = flight.started {
                let (elapsed, limit) =
                    (words::elapsed(moment.since(started)), duration::written(flight.limit));
                line.push(Tone::Text, &format!("{elapsed} of {limit}"));
            }
        }
    }
    if flight.attempt > 1 {
        line.push(Tone::Wait, &format!("  attempt {}", flight.attempt));
    }
    line.fit(face)
}

/// What a step that takes long said last, and how long ago.
fn last_words(face: &Face, moment: &Moment, flight: &Flight, printed: &(Timestamp, Vec<u8>)) -> Option<Line> {
    let (at, line) = printed;
    // A command that rewrites its line has left several; the last one is how it stands.
    let line = line.split(|byte| *byte == b'\r').rfind(|part| !part.is_empty())?;
    // What was printed a moment ago stands right above.
    let is_long = flight.started.is_some_and(|started| moment.since(started) >= LONG);
    let text = escape::line(line, face.unicode);
    if !is_long || text.trim().is_empty() {
        return None;
    }
    let age = words::age(moment.since(*at));
    Some(Line::new(face).right(Tone::Dim, &age, AGE).tone(Tone::Dim, " | ").text(&text).fit(face))
}

/// `[#####-----]  3 of 5   brokers   58 min   about 20 min left`; where room is short, without the bar, then
/// without the name.
fn overall(face: &Face, moment: &Moment, state: &RunState) -> Option<Line> {
    let (number, phase) = run::current_phase(state)?;
    let tally = (phase.kind != PhaseKind::Single).then(|| run::phase_tally(state, number));
    let left = pace::left(state, moment.now).map(run::left);
    let rest = |named: bool| {
        let mut line = Line::new(face);
        if let Some(tally) = &tally {
            line.push(Tone::Strong, &format!("{} of {}   ", tally.done, tally.total));
        }
        if named {
            line.push(Tone::Text, &format!("{}   ", phase.name));
        }
        line.push(Tone::Text, &words::total(moment.since(state.opened_at)));
        if let Some(left) = &left {
            line.push(Tone::Dim, &format!("   {left}"));
        }
        line
    };
    let fits = |line: &Line| face.width.is_none_or(|columns| line.width() <= columns);
    let named = rest(true);
    let rest = if fits(&named) { named } else { rest(false) };
    let room = face.width.map_or(BAR, |columns| BAR.min(columns.saturating_sub(rest.width() + 4)));
    let Some(tally) = tally.filter(|_| room >= 5) else { return Some(rest.fit(face)) };
    let full = room * tally.done / tally.total.max(1);
    let mut line = Line::new(face).tone(Tone::Dim, "[").tone(Tone::Good, &"#".repeat(full));
    line.push(Tone::Dim, &"-".repeat(room - full));
    line.push(Tone::Dim, "]  ");
    Some(line.then(rest).fit(face))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::ink::paint;
    use super::super::sample;
    use super::*;
    use crate::model::plan::Section;

    fn passing() -> Passing {
        let mut waiting = Waiting { limit: Duration::from_mins(30), ..Waiting::default() };
        waiting.watch.take(&[sample::reading(5200.0, 492)], (0, 3), Duration::from_secs(5));
        waiting.watch.take(&[sample::reading(4930.0, 550)], (0, 3), Duration::from_secs(5));
        let mut passing = Passing::default();
        passing.waiting.insert(sample::key("mq-02", Section::Drain, 2), waiting);
        passing
    }

    fn shown(width: usize) -> String {
        let face = Face { color: false, unicode: true, width: Some(width) };
        let moment = Moment { now: sample::at(552), zone: TimeZone::UTC };
        paint(&face, &lines(&face, &moment, &sample::state(sample::events()), &passing()))
    }

    #[test]
    fn a_gate_that_waits_and_how_far_it_is() {
        assert_eq!(
            shown(100),
            "\
[2 of 3] mq-02   gate \"queue depth\"                                      waiting 4m12 of at most 30m
  queue depth  4 930  needs <= 100  ██  falling 279/min, about 17 min
  read 2 s ago, every 5s, 0 of 3 in a row hold
  mq-02 has been changed; mq-01 is done
  Ctrl-C for choices
[############------------------------]  1 of 3   brokers   9 min   about 4 min left
"
        );
    }

    #[test]
    fn it_fits() {
        for width in [40, 80, 200] {
            for line in shown(width).lines() {
                assert!(console::measure_text_width(line) <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn steps_in_flight_show_their_time() {
        let mut events = sample::events();
        events.truncate(events.len() - 3);
        let state = sample::state(events);
        let moment = Moment { now: sample::at(271), zone: TimeZone::UTC };
        let mut passing = Passing::default();
        let text = paint(&Face::PLAIN, &lines(&Face::PLAIN, &moment, &state, &passing));
        assert!(text.starts_with("mq-02  drain \"stop the receiver\"  12s of 30m\n"), "{text}");
        passing.copying.insert(sample::key("mq-02", Section::Drain, 1), (1 << 20, 3 << 20));
        passing.connecting.push(sample::node("mq-03"));
        let text = paint(&Face::PLAIN, &lines(&Face::PLAIN, &moment, &state, &passing));
        assert!(text.contains("1.0 MiB of 3.0 MiB\nconnecting to mq-03\n"), "{text}");
    }

    #[test]
    fn a_step_that_takes_long_shows_what_it_said_last() {
        let mut events = sample::events();
        events.truncate(events.len() - 3);
        let state = sample::state(events);
        let mut passing = Passing::default();
        let printed = |line: &[u8]| (sample::at(262), line.to_vec());
        let key = sample::key("mq-02", Section::Drain, 1);
        passing.printed.insert(key.clone(), printed(b"layer 2 of 7\rlayer 3 of 7 \x1b[2J"));
        let shown = |now: i64, width: Option<usize>, passing: &Passing| {
            let face = Face { width, ..Face::PLAIN };
            let moment = Moment { now: sample::at(now), zone: TimeZone::UTC };
            paint(&face, &lines(&face, &moment, &state, passing))
        };
        assert!(!shown(262, None, &passing).contains("layer"), "it stands right above");
        let text = shown(270, None, &passing);
        assert!(text.contains("11s of 30m\n    8 s ago | layer 3 of 7 \\x1b[2J\n"), "{text}");
        passing.printed.insert(key.clone(), printed("x".repeat(300).as_bytes()));
        assert!(shown(270, Some(40), &passing).lines().all(|line| line.len() <= 40));
        passing.printed.insert(key, printed(b" \r"));
        assert_eq!(shown(270, None, &passing).lines().count(), 2);
    }

    #[test]
    fn where_room_is_short_the_figures_stay() {
        let last = |width: usize| shown(width).lines().last().map(str::to_owned).unwrap();
        assert_eq!(last(40), "1 of 3   9 min   about 4 min left");
        assert_eq!(last(60), "[####---------]  1 of 3   brokers   9 min   about 4 min left");
    }
}
