//! The hours in which turns may begin, as screens and programs are told of them.

use serde_json::{Value as Json, json};

use crate::model::name::NodeName;
use crate::model::window::{Fate, Standing};

use super::moment::Moment;
use super::words;

/// Nodes that are named one by one.
const NAMED: usize = 6;

/// The hours in which turns may begin.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowView {
    /// As they are written.
    pub hours: String,
    /// What they say now.
    pub standing: Standing,
    /// What they mean for nodes whose turn is to come, where that is asked.
    pub fates: Vec<(NodeName, Fate)>,
}

impl WindowView {
    /// The hours and what they say now: `Sat 22:00 to Sun 04:00 (UTC); closed until Sat 22:00 (UTC), 3h from now`.
    pub fn words(&self, moment: &Moment) -> String {
        let standing = self.standing.sentence(moment.now).map(|standing| format!("; {standing}"));
        format!("{}{}", self.hours, standing.unwrap_or_default())
    }

    /// The same with a time that is as good an hour later: `...; closed until 2026-11-21T21:00:00+00:00`.
    pub fn words_iso(&self, moment: &Moment) -> String {
        let iso = |at: &jiff::Zoned| moment.iso(at.timestamp());
        let standing = match &self.standing {
            Standing::Always => String::new(),
            Standing::Open { until } => format!("; open until {}", iso(until)),
            Standing::Closed { opens: Some(opens) } => format!("; closed until {}", iso(opens)),
            Standing::Closed { opens: None } => "; closed".to_owned(),
        };
        format!("{}{standing}", self.hours)
    }

    /// What they mean for the nodes, a sentence for each kind of fate.
    pub fn meaning(&self) -> Vec<String> {
        let of = |fate: Fate| -> Vec<&str> {
            let nodes = self.fates.iter().filter(|(_, found)| *found == fate);
            nodes.map(|(node, _)| node).filter(|node| !node.is_operator()).map(NodeName::as_str).collect()
        };
        let (inside, later, unknown) = (of(Fate::Inside), of(Fate::Later), of(Fate::Unknown));
        let opens = if matches!(self.standing, Standing::Closed { .. }) { "once it opens, " } else { "" };
        let mut facts = Vec::new();
        if !inside.is_empty() {
            let nodes = words::list_some(&inside, NAMED);
            facts.push(format!("{opens}{nodes} would be done before it closes"));
        }
        if !later.is_empty() {
            facts.push(format!("{} would be left for another opening", words::list_some(&later, NAMED)));
        }
        if !unknown.is_empty() {
            let verb = if unknown.len() == 1 { "takes" } else { "take" };
            let nodes = words::list_some(&unknown, NAMED);
            facts.push(format!("how long {nodes} {verb} is not known; no turn begins after it has closed"));
        }
        facts
    }

    /// The same for programs.
    pub fn object(&self, moment: &Moment) -> Json {
        let iso = |at: &jiff::Zoned| moment.iso(at.timestamp());
        let (open, closes, opens) = match &self.standing {
            Standing::Always => (true, None, None),
            Standing::Open { until } => (true, Some(iso(until)), None),
            Standing::Closed { opens } => (false, None, opens.as_ref().map(iso)),
        };
        let nodes: serde_json::Map<String, Json> =
            self.fates.iter().map(|(node, fate)| (node.to_string(), json!(code(*fate)))).collect();
        json!({
            "hours": self.hours, "open": open, "closes_at": closes, "opens_at": opens,
            "nodes": (!nodes.is_empty()).then_some(nodes),
        })
    }
}

/// The word for programs.
fn code(fate: Fate) -> &'static str {
    match fate {
        Fate::Inside => "inside",
        Fate::Later => "later",
        Fate::Unknown => "unknown",
    }
}
