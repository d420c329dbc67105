//! A node's turns as one row of the plan.

use crate::model::forecast::{Forecast, Outlook, TurnForecast};
use crate::model::name::NodeName;
use crate::model::plan::Section;

use super::super::plan::Prospect;

/// What a dry run knows of each node, in the order in which they come.
pub fn prospects(found: &Forecast) -> Vec<(NodeName, Prospect)> {
    let mut nodes: Vec<(NodeName, Prospect)> = Vec::new();
    for turn in &found.turns {
        let at = nodes.iter().position(|(node, _)| *node == turn.node).unwrap_or_else(|| {
            nodes.push((turn.node.clone(), Prospect::default()));
            nodes.len() - 1
        });
        add(&mut nodes[at].1, turn);
    }
    nodes
}

fn add(prospect: &mut Prospect, turn: &TurnForecast) {
    prospect.version = prospect.version.take().or_else(|| turn.version.clone());
    prospect.staged = prospect.staged.or(turn.staged());
    for step in turn.steps.iter().filter(|step| step.section != Section::Stage) {
        match &step.outlook {
            Outlook::NotNeeded { why } => prospect.done_already.push(format!("{}: {why}", step.label)),
            // That these say nothing yet goes without saying.
            Outlook::CannotKnow { .. } if step.section.is_after_the_change() => {}
            Outlook::CannotKnow { why } => prospect.unknown.push(format!("{}: {why}", step.label)),
            Outlook::WouldAsk | Outlook::WouldWait(_) => {
                prospect.gates.push((step.label.clone(), step.readings.clone()));
            }
            Outlook::Holds | Outlook::WouldStop(_) if !step.readings.is_empty() => {
                prospect.prechecks.extend(step.readings.clone());
            }
            Outlook::WouldStop(failure) => prospect.error = Some(failure.message.clone()),
            Outlook::WouldRun | Outlook::WouldFetch { .. } | Outlook::Holds => {}
        }
    }
}
