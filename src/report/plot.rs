//! A small plot of what one numeric check of a gate read, on the timeline's axis.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::axis::Axis;
use super::curve::Curve;
use super::figure::{EDGE, WIDTH, short};
use super::markup::Markup;
use crate::model::words;

/// The height of a plot's frame.
const HEIGHT: f64 = 52.0;
/// From one plot to the next.
const STRIDE: f64 = HEIGHT + 26.0;
/// So many are drawn; the readings of all are in the JSON form.
pub(super) const MOST: usize = 20;
/// From this range on a linear scale shows nothing but the top.
const DECADES: f64 = 100.0;
/// Points that all plots have together, about; more are thinned out.
const POINTS: usize = 5000;

/// A plot in its place.
pub(super) struct Plot<'a> {
    curve: &'a Curve,
    scale: Scale,
    top: f64,
    /// Readings in one column of so many units are thinned to four.
    column: f64,
}

/// Places the plots one under the other.
pub(super) fn plots(curves: &[Curve], top: f64) -> Vec<Plot<'_>> {
    let shown = &curves[..curves.len().min(MOST)];
    // A column keeps four points, and nearly all columns of a plot may be used.
    let column = (shown.len() as f64 * WIDTH * 4.0 / POINTS as f64).max(1.0);
    let place =
        |(number, curve)| Plot { curve, scale: Scale::of(curve), top: top + STRIDE * number as f64, column };
    shown.iter().enumerate().map(place).collect()
}

impl Plot<'_> {
    /// Where it ends.
    pub(super) fn bottom(&self) -> f64 {
        self.top + 14.0 + HEIGHT
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom() - 3.0 - (HEIGHT - 6.0) * self.scale.share(value)
    }

    /// Draws it.
    pub(super) fn draw(&self, out: &mut Markup<'_>, axis: &Axis, left: f64) {
        let right = WIDTH - EDGE;
        let unit = self.curve.unit.as_ref().map(|unit| format!(" in {unit}")).unwrap_or_default();
        let needs =
            if self.curve.needs.is_empty() { String::new() } else { format!(", needs {}", self.curve.needs) };
        let scale = if self.scale.log.is_some() { " (log scale)" } else { "" };
        let mut label = |class: &str, x: f64, y: f64, text: &str| {
            out.tag(format_args!("<text class=\"{class}\" x=\"{}\" y=\"{}\">", short(x), short(y)));
            out.text(text);
            out.tag(format_args!("</text>\n"));
        };
        label("s h", left, self.top + 9.0, &format!("{}{unit}{needs}{scale}", self.curve.check));
        label("s e", left - 6.0, self.bottom(), &words::number(self.scale.low));
        label("s e", left - 6.0, self.top + 22.0, &words::number(self.scale.high));
        out.tag(format_args!(
            "<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
            short(left),
            short(self.top + 14.0),
            short(right - left),
            short(HEIGHT)
        ));
        for limit in &self.curve.limits {
            let y = short(self.y(*limit));
            out.tag(format_args!("<path class=\"limit\" d=\"M{} {y}H{}\"/>\n", short(left), short(right)));
        }
        for strand in &self.curve.strands {
            let points = self.thinned(&strand.points, axis);
            let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
            if last.0 - first.0 < 2.0 {
                // A line of no length shows nothing.
                let (x, y) = (short(last.0), short(last.1));
                out.tag(format_args!("<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"1.8\"/>\n"));
            }
            out.tag(format_args!("<polyline class=\"line\" points=\""));
            for (place, (x, y)) in points.iter().enumerate() {
                let blank = if place == 0 { "" } else { " " };
                out.tag(format_args!("{blank}{},{}", short(*x), short(*y)));
            }
            out.tag(format_args!("\"><title>"));
            let of =
                if strand.asked == strand.node { String::new() } else { format!(" of {}", strand.asked) };
            let (low, high) = strand.range();
            let range = format!("{} to {}", words::number(low), words::number(high));
            out.text(&format!("{}: {}{of}, {range}", strand.node, self.curve.check));
            out.tag(format_args!("</title></polyline>\n"));
        }
    }

    /// The points of a line as drawn: of the readings in one column the first, the lowest, the highest and the
    /// last, so that no peak is lost.
    fn thinned(&self, points: &[(Timestamp, f64)], axis: &Axis) -> Vec<(f64, f64)> {
        let mut columns: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
        for (at, value) in points {
            let (x, y) = (axis.x(*at), self.y(*value));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a place in the drawing"
            )]
            let column = (x / self.column) as u64;
            columns.entry(column).or_default().push((x, y));
        }
        let mut drawn: Vec<(f64, f64)> = Vec::new();
        for column in columns.values() {
            let place = |order: std::cmp::Ordering| {
                let best = column
                    .iter()
                    .enumerate()
                    .reduce(|best, next| if next.1.1.total_cmp(&best.1.1) == order { next } else { best });
                best.map_or(0, |(place, _)| place)
            };
            let mut kept = vec![
                0,
                place(std::cmp::Ordering::Less),
                place(std::cmp::Ordering::Greater),
                column.len() - 1,
            ];
            kept.sort_unstable();
            kept.dedup();
            drawn.extend(kept.into_iter().map(|place| column[place]));
        }
        drawn
    }
}

/// From values to a share of the height.
struct Scale {
    low: f64,
    high: f64,
    /// The smallest value that a logarithmic scale tells from zero; absent where it is linear.
    log: Option<f64>,
}

impl Scale {
    fn of(curve: &Curve) -> Self {
        let read = curve.strands.iter().flat_map(|strand| strand.points.iter().map(|(_, value)| *value));
        let values: Vec<f64> = read.chain(curve.limits.iter().copied()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        let log = (low >= 0.0 && least.is_finite() && high / least > DECADES).then_some(least);
        Self { low, high, log }
    }

    fn share(&self, value: f64) -> f64 {
        let bent = |value: f64| self.log.map_or(value, |least| (1.0 + value / least).ln());
        let (low, high) = (bent(self.low), bent(self.high));
        if high > low { ((bent(value) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::curve::Strand;
    use super::*;
    use crate::model::sample::{at, node};

    fn curve(values: &[f64]) -> Curve {
        let points = values.iter().zip(0..).map(|(value, second)| (at(second), *value)).collect();
        Curve {
            check: "queue depth".into(),
            unit: None,
            needs: "<= 100".into(),
            limits: vec![100.0],
            strands: vec![Strand { node: node("mq-01"), asked: node("mq-01"), points }],
        }
    }

    #[test]
    fn two_decades_are_drawn_on_a_log_scale() {
        assert!(Scale::of(&curve(&[5200.0, 94.0, 0.0])).log.is_none(), "52 to 1 is no two decades");
        let scale = Scale::of(&curve(&[52_000.0, 94.0, 0.0]));
        assert_eq!(scale.log, Some(94.0));
        assert!(scale.share(100.0) > 0.1 && scale.share(100.0) < 0.2, "{}", scale.share(100.0));
        assert!(Scale::of(&curve(&[-1.0, 52_000.0])).log.is_none(), "there is no logarithm of it");
    }

    #[test]
    fn a_line_without_a_range_is_drawn_in_the_middle() {
        let share = Scale::of(&curve(&[100.0, 100.0])).share(100.0);
        assert!((share - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn many_readings_are_thinned_and_no_peak_is_lost() {
        let mut values: Vec<f64> = (0..100_000).map(|n| f64::from(n % 7)).collect();
        values[54_321] = 999.0;
        let curve = curve(&values);
        let axis = Axis::new(&[(at(0), at(100_000))], 100.0, 1084.0);
        let plots = plots(std::slice::from_ref(&curve), 0.0);
        let points = plots[0].thinned(&curve.strands[0].points, &axis);
        assert!(points.len() <= POINTS, "{}", points.len());
        let peak = points.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
        assert!((peak - plots[0].y(999.0)).abs() < f64::EPSILON);
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0));
    }
}
