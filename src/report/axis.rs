//! The time axis that timeline and plots share: in scale while a rollgate was at work, and long stops shortened to
//! a break.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::duration::between;

/// How wide a break is drawn.
const BREAK: f64 = 34.0;
/// A stop that is longer than this part of the time at work is shortened.
const LONG: f64 = 0.1;
/// Ticks are at least so far apart.
const APART: f64 = 72.0;
/// The distances in seconds that a reader can count in.
const STEPS: [i64; 19] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800];

/// A part of the axis.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    from: Timestamp,
    to: Timestamp,
    left: f64,
    right: f64,
    is_break: bool,
}

/// From moments to places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pieces: Vec<Piece>,
    /// Units of length for a second.
    scale: f64,
}

/// A place on the axis with its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) x: f64,
    pub(super) label: String,
}

/// A time in which nobody was at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stop {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) length: Duration,
    /// Whether it is drawn shorter than it was.
    pub(super) is_break: bool,
}

impl Axis {
    /// Lays the times at work, in order, between two places.
    pub(super) fn new(spans: &[(Timestamp, Timestamp)], left: f64, right: f64) -> Self {
        let seconds = |(from, to): &(Timestamp, Timestamp)| between(*from, *to).as_secs_f64();
        let work = spans.iter().map(seconds).sum::<f64>().max(1.0);
        let gaps: Vec<(Timestamp, Timestamp)> = spans.windows(2).map(|pair| (pair[0].1, pair[1].0)).collect();
        let is_long = |gap: &(Timestamp, Timestamp)| seconds(gap) > work * LONG;
        let breaks = gaps.iter().filter(|gap| is_long(gap)).count();
        // However often it was stopped, most of the width belongs to the work.
        let break_width = BREAK.min((right - left) * 0.3 / breaks.max(1) as f64);
        let drawn = work + gaps.iter().filter(|gap| !is_long(gap)).map(seconds).sum::<f64>();
        let scale = (right - left - break_width * breaks as f64) / drawn;
        let mut axis = Self { pieces: Vec::new(), scale };
        let mut x = left;
        for (number, span) in spans.iter().enumerate() {
            x = axis.push(*span, x, seconds(span) * scale, false);
            if let Some(gap) = gaps.get(number) {
                let width = if is_long(gap) { break_width } else { seconds(gap) * scale };
                x = axis.push(*gap, x, width, is_long(gap));
            }
        }
        axis
    }

    fn push(&mut self, (from, to): (Timestamp, Timestamp), left: f64, width: f64, is_break: bool) -> f64 {
        self.pieces.push(Piece { from, to: to.max(from), left, right: left + width, is_break });
        left + width
    }

    /// Where a moment stands; what is outside stands at the edge.
    pub(super) fn x(&self, at: Timestamp) -> f64 {
        let Some(piece) = self.pieces.iter().find(|piece| at <= piece.to).or(self.pieces.last()) else {
            return 0.0;
        };
        let length = between(piece.from, piece.to).as_secs_f64();
        let share = if length > 0.0 { between(piece.from, at).as_secs_f64() / length } else { 0.0 };
        piece.left + (piece.right - piece.left) * share.clamp(0.0, 1.0)
    }

    /// The times in which nobody was at work.
    pub(super) fn stops(&self) -> Vec<Stop> {
        // Work and stops take turns.
        let stops = self.pieces.iter().skip(1).step_by(2);
        stops
            .map(|piece| Stop {
                left: piece.left,
                right: piece.right,
                length: between(piece.from, piece.to),
                is_break: piece.is_break,
            })
            .collect()
    }

    /// Times to read the axis by, round ones of the zone. The day is said where it is another one.
    pub(super) fn ticks(&self, zone: &TimeZone) -> Vec<Tick> {
        let fits = |step: &&i64| **step as f64 * self.scale >= APART;
        let step = STEPS.iter().find(fits).copied().unwrap_or(604_800);
        let mut ticks: Vec<Tick> = Vec::new();
        let mut day = None;
        for piece in self.pieces.iter().filter(|piece| !piece.is_break) {
            let offset = i64::from(zone.to_offset(piece.from).seconds());
            let first = (piece.from.as_second() + offset + step - 1).div_euclid(step) * step - offset;
            let mut second = first;
            while second <= piece.to.as_second() {
                let Ok(at) = Timestamp::from_second(second) else { break };
                second += step;
                let x = self.x(at);
                if ticks.last().is_some_and(|last| x - last.x < APART * 0.8) {
                    continue;
                }
                let zoned = at.to_zoned(zone.clone());
                let time = zoned.strftime(if step < 60 { "%H:%M:%S" } else { "%H:%M" });
                let is_new_day = day.is_some_and(|day| day != zoned.date());
                let label =
                    if is_new_day { zoned.strftime("%d %b %H:%M").to_string() } else { time.to_string() };
                day = Some(zoned.date());
                ticks.push(Tick { x, label });
            }
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::at;

    #[test]
    fn work_is_in_scale_and_a_long_stop_is_a_break() {
        let axis = Axis::new(&[(at(0), at(600)), (at(90_000), at(90_300))], 100.0, 1000.0);
        let scale = (900.0 - BREAK) / 900.0;
        let near =
            |at: Timestamp, expected: f64| assert!((axis.x(at) - expected).abs() < 0.01, "{}", axis.x(at));
        near(at(-50), 100.0);
        near(at(300), 100.0 + 300.0 * scale);
        near(at(600), 100.0 + 600.0 * scale);
        near(at(90_000), 100.0 + 600.0 * scale + BREAK);
        near(at(99_999), 1000.0);
        let [stop] = &axis.stops()[..] else { panic!("one stop") };
        assert!(stop.is_break && stop.length.as_secs() == 89_400);
    }

    #[test]
    fn a_short_stop_keeps_its_length() {
        let axis = Axis::new(&[(at(0), at(600)), (at(630), at(1200))], 0.0, 1200.0);
        assert!((axis.x(at(615)) - 615.0).abs() < 0.01);
        assert!(!axis.stops()[0].is_break);
    }

    #[test]
    fn an_axis_of_no_length_is_no_trouble() {
        let axis = Axis::new(&[(at(5), at(5))], 0.0, 100.0);
        assert!(axis.x(at(5)).is_finite() && axis.x(at(7)).is_finite());
        assert!(axis.ticks(&TimeZone::UTC).len() <= 1);
    }

    #[test]
    fn many_stops_leave_room_for_the_work() {
        let spans: Vec<_> = (0..40).map(|n| (at(n * 10_000), at(n * 10_000 + 60))).collect();
        let axis = Axis::new(&spans, 0.0, 1000.0);
        let work: f64 = spans.iter().map(|(from, to)| axis.x(*to) - axis.x(*from)).sum();
        assert!(work >= 690.0, "{work}");
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let axis = Axis::new(&[(at(0), at(3600))], 0.0, 1000.0);
        let labels: Vec<String> = axis.ticks(&TimeZone::UTC).into_iter().map(|tick| tick.label).collect();
        assert_eq!(labels[..3], ["08:15", "08:20", "08:25"]);
        let ticks = axis.ticks(&TimeZone::UTC);
        assert!(ticks.windows(2).all(|pair| pair[1].x - pair[0].x >= APART * 0.8));
    }
}
