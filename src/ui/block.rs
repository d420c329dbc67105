//! The block that is redrawn on a terminal: gates that wait, steps in flight, how far it all is.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::duration;
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, StepKey};
use crate::model::state::RunState;

use super::gate::{GateState, GateView, Watch};
use super::ink::{Line, Tone};
use super::moment::Moment;
use super::run::{self, Flight};
use super::terminal::Face;
use super::words;

/// Columns of the bar.
const BAR: usize = 36;

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
        match passing.waiting.get(&flight.key) {
            Some(waiting) => lines.extend(gate(face, moment, state, flight, waiting)),
            None => lines.push(in_flight(face, moment, flight, label, passing.copying.get(&flight.key))),
        }
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

/// `[#####-----]  3 of 5   58 min   about 20 min left`
fn overall(face: &Face, moment: &Moment, state: &RunState) -> Option<Line> {
    let (number, phase) = run::current_phase(state)?;
    let mut line = Line::new(face);
    if phase.kind != PhaseKind::Single {
        let tally = run::phase_tally(state, number);
        let room = face.width.map_or(BAR, |columns| BAR.min(columns.saturating_sub(50)));
        let full = room * tally.done / tally.total.max(1);
        if room >= 5 {
            line.push(Tone::Dim, "[");
            line.push(Tone::Good, &"#".repeat(full));
            line.push(Tone::Dim, &"-".repeat(room - full));
            line.push(Tone::Dim, "]  ");
        }
        line.push(Tone::Strong, &format!("{} of {}   ", tally.done, tally.total));
    }
    line.push(Tone::Text, &phase.name);
    line.push(Tone::Text, &format!("   {}", words::total(moment.since(state.opened_at))));
    if let Some(left) = run::time_left(state, number) {
        line.push(Tone::Dim, &format!("   about {} left", words::total(left)));
    }
    Some(line.fit(face))
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
[############------------------------]  1 of 3   brokers   9 min   about 9 min left
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
}
