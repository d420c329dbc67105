//! The numbers that gates read: one curve a check, with a strand for every node that stood at the gate.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::condition::Value;
use crate::model::event::{Event, Reading, Record};
use crate::model::name::NodeName;
use crate::model::plan::{StepId, StepKey};
use crate::model::procedure::Action;
use crate::model::state::RunState;

/// All readings of one numeric check at one gate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// The check's label.
    pub(super) check: String,
    /// What the number counts.
    pub(super) unit: Option<String>,
    /// What it needs, in words.
    pub(super) needs: String,
    /// The numbers in [`Self::needs`], from small to large.
    pub(super) limits: Vec<f64>,
    /// The readings, by who stood at the gate and who was asked.
    pub(super) strands: Vec<Strand>,
}

/// The readings of one attempt at a gate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Strand {
    /// Whose turn it was.
    pub(super) node: NodeName,
    /// Who was asked.
    pub(super) asked: NodeName,
    /// When, and what was read.
    pub(super) points: Vec<(Timestamp, f64)>,
}

impl Strand {
    /// The smallest and the largest reading.
    pub(super) fn range(&self) -> (f64, f64) {
        self.points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value)| {
            (low.min(*value), high.max(*value))
        })
    }
}

/// Collects curves from records.
#[derive(Debug, Default)]
pub(super) struct Curves {
    found: Vec<(StepId, Curve)>,
    /// The strand that each reading goes on with, while its gate is read.
    open: BTreeMap<(StepKey, String, NodeName), (usize, usize)>,
}

impl Curves {
    pub(super) fn take(&mut self, state: &RunState, record: &Record) {
        match &record.event {
            Event::ReadingTaken { key, readings } if is_gate(state, key) => {
                for reading in readings {
                    self.read(key, reading);
                }
            }
            // What does not change is not journaled again: until the gate ends it stays what it was.
            Event::StepEnded { key, .. } => self.end(key, record.at),
            Event::RunResumed { .. } => self.open.clear(),
            _ => {}
        }
    }

    fn read(&mut self, key: &StepKey, reading: &Reading) {
        let Some(value) = reading.value.as_ref().filter(|value| !matches!(value, Value::Exit(_))) else {
            return;
        };
        let Some(number) = value.number().filter(|number| number.is_finite()) else { return };
        let at = self.curve(&key.step, reading);
        let curve = &mut self.found[at].1;
        let place = (key.clone(), reading.check.clone(), reading.node.clone());
        let (_, strand) = *self.open.entry(place).or_insert_with(|| {
            let strand = Strand { node: key.node.clone(), asked: reading.node.clone(), points: Vec::new() };
            curve.strands.push(strand);
            (at, curve.strands.len() - 1)
        });
        curve.strands[strand].points.push((reading.at, number));
        for limit in limits(&reading.needs) {
            if !curve.limits.contains(&limit) {
                curve.limits.push(limit);
                curve.limits.sort_by(f64::total_cmp);
            }
        }
    }

    fn curve(&mut self, step: &StepId, reading: &Reading) -> usize {
        let known = self.found.iter().position(|(id, curve)| id == step && curve.check == reading.check);
        known.unwrap_or_else(|| {
            let curve = Curve {
                check: reading.check.clone(),
                unit: reading.unit.clone(),
                needs: reading.needs.clone(),
                limits: Vec::new(),
                strands: Vec::new(),
            };
            self.found.push((step.clone(), curve));
            self.found.len() - 1
        })
    }

    fn end(&mut self, key: &StepKey, at: Timestamp) {
        let ended: Vec<_> = self.open.keys().filter(|(of, _, _)| of == key).cloned().collect();
        for place in ended {
            let Some((curve, strand)) = self.open.remove(&place) else { continue };
            extend(&mut self.found[curve].1.strands[strand], at);
        }
    }

    /// The curves; a gate that is still read holds its latest numbers until then.
    pub(super) fn done(mut self, until: Timestamp) -> Vec<Curve> {
        for (curve, strand) in std::mem::take(&mut self.open).into_values() {
            extend(&mut self.found[curve].1.strands[strand], until);
        }
        self.found.into_iter().map(|(_, curve)| curve).collect()
    }
}

fn extend(strand: &mut Strand, to: Timestamp) {
    if let Some((at, value)) = strand.points.last().copied()
        && at < to
    {
        strand.points.push((to, value));
    }
}

fn is_gate(state: &RunState, key: &StepKey) -> bool {
    let step = state.plan.find(&key.step).and_then(|(_, planned)| planned.step());
    step.is_some_and(|step| matches!(step.action, Action::Gate(_)))
}

/// The numbers that a value is compared with: `>= 1, <= 100` has two.
fn limits(needs: &str) -> Vec<f64> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let words = ["<= ", ">= ", "equals ", "exactly "];
    let of = |part: &str| words.iter().find_map(|word| number(part.trim().strip_prefix(word)?));
    needs.split(',').filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Outcome;
    use crate::model::plan::Section;
    use crate::model::sample;

    #[test]
    fn limits_are_read_from_what_is_needed() {
        assert_eq!(limits("<= 100"), [100.0]);
        assert_eq!(limits(">= 1.5, <= 100"), [1.5, 100.0]);
        assert_eq!(limits("matches /<= 3/"), [0.0; 0]);
    }

    #[test]
    fn a_strand_lasts_until_its_gate_ends() {
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let readings = vec![sample::reading(94.0, 400)];
        events.push((400, Event::ReadingTaken { key: key.clone(), readings }));
        events.push((460, Event::StepEnded { key, attempt: 1, outcome: Outcome::Done }));
        let state = sample::state(events.clone());
        let mut curves = Curves::default();
        for record in sample::records(events) {
            curves.take(&state, &record);
        }
        let [curve] = &curves.done(sample::at(9999))[..] else { panic!("one check is read") };
        assert_eq!((curve.limits.as_slice(), curve.unit.as_deref()), (&[100.0][..], Some("messages")));
        let points = [(sample::at(300), 5200.0), (sample::at(400), 94.0), (sample::at(460), 94.0)];
        assert_eq!(curve.strands[0].points, points);
        assert_eq!(curve.strands[0].range(), (94.0, 5200.0));
    }
}
