//! What a dry run found, in the form in which it is kept to be compared with the next one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Reading;
use super::forecast::{Forecast, TurnForecast};
use super::name::NodeName;
use super::plan::{Origin, Plan, Work};

/// Characters of a value that are kept; of a longer one its beginning and its sum.
const KEPT: usize = 60;

/// What one dry run found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// When, by the operator's clock.
    pub at: Timestamp,
    /// The files that the plan was made of, by their paths, each with its SHA-256.
    pub files: BTreeMap<String, String>,
    /// The nodes.
    pub nodes: BTreeMap<NodeName, NodeFindings>,
}

/// What it found on one node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeFindings {
    /// Whether it could be reached.
    pub answers: bool,
    /// The version that it runs.
    pub version: Option<String>,
    /// Whether everything staged is there; absent where nothing is staged.
    pub staged: Option<bool>,
    /// What its checks said, by their names.
    pub readings: BTreeMap<String, Said>,
}

/// What a check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The value with its unit.
    pub value: String,
    /// Whether it holds.
    pub holds: bool,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How grave it is; the gravest come first.
    pub weight: Weight,
    /// The node; absent for a file.
    pub node: Option<NodeName>,
    /// What: the name of a check, `version`, `staged`, a file.
    pub what: String,
    /// As it was.
    pub before: String,
    /// As it is.
    pub after: String,
}

/// How grave a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Something answered or held, and does not any more.
    Worse,
    /// Other versions, files or nodes.
    Other,
    /// A value moved, and holds as it did.
    Value,
}

impl Findings {
    /// Takes from a dry run what is worth comparing.
    pub fn of(plan: &Plan, found: &Forecast, at: Timestamp) -> Self {
        let sources = &plan.sources;
        // Without the `./` that a file is named with in another one.
        let path = |path: &Path| path.components().collect::<PathBuf>().display().to_string();
        let mut files = BTreeMap::from([
            (path(&sources.inventory), sources.inventory_sha256.clone()),
            (path(&sources.procedure), sources.procedure_sha256.clone()),
        ]);
        files.extend(plan.artifacts.iter().map(|file| match &file.origin {
            Origin::File { source, .. } => (path(source), file.sha256.clone()),
            Origin::Url { url } => (url.to_string(), file.sha256.clone()),
        }));
        let mut nodes: BTreeMap<NodeName, NodeFindings> =
            found.silent.keys().map(|node| (node.clone(), NodeFindings::default())).collect();
        for turn in &found.turns {
            let node = nodes.entry(turn.node.clone()).or_default();
            node.answers = true;
            node.version = node.version.take().or_else(|| turn.version.clone());
            node.staged = node.staged.or(turn.staged());
        }
        for turn in &found.turns {
            take_readings(plan, turn, &mut nodes);
        }
        Self { at, files, nodes }
    }

    /// What is not as it was, the gravest first. A dry run of the `whole` cluster also notices what is no longer
    /// there.
    pub fn changes_since(&self, before: &Self, whole: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (file, sum) in &self.files {
            match before.files.get(file) {
                Some(was) if was != sum => changes.push(file_change(file, &short(was), &short(sum))),
                None => changes.push(file_change(file, "not there", &short(sum))),
                Some(_) => {}
            }
        }
        let gone = before.files.iter().filter(|(file, _)| !self.files.contains_key(*file));
        changes.extend(gone.map(|(file, was)| file_change(file, &short(was), "not there")));
        for (node, now) in &self.nodes {
            match before.nodes.get(node) {
                Some(was) => changes.extend(node_changes(node, was, now)),
                None => changes.push(change(Weight::Other, node, "in the plan", "no", "yes")),
            }
        }
        let gone = before.nodes.keys().filter(|node| whole && !self.nodes.contains_key(*node));
        changes.extend(gone.map(|node| change(Weight::Other, node, "in the plan", "yes", "no")));
        changes.sort_by_key(|change| change.weight);
        changes
    }
}

/// Readings are filed under the node for whose turn they were taken; an invariant, which each turn asks of all
/// the others, under the node that was asked.
fn take_readings(plan: &Plan, turn: &TurnForecast, nodes: &mut BTreeMap<NodeName, NodeFindings>) {
    for step in &turn.steps {
        let of_others = plan.find(&step.key.step).is_some_and(|(_, step)| step.work == Work::Invariants);
        for reading in &step.readings {
            let (node, name) = if of_others || reading.node == turn.node {
                (&reading.node, reading.check.clone())
            } else {
                (&turn.node, format!("{} on {}", reading.check, reading.node))
            };
            if let Some(node) = nodes.get_mut(node) {
                node.readings.insert(name, Said::of(reading));
            }
        }
    }
}

impl Said {
    fn of(reading: &Reading) -> Self {
        let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        let value = reading.value.as_ref().map(|value| format!("{}{unit}", kept(&value.to_string())));
        Self { value: value.unwrap_or_else(|| "unreadable".to_owned()), holds: reading.verdict.holds() }
    }

    fn words(&self) -> String {
        if self.holds { self.value.clone() } else { format!("{}, does not hold", self.value) }
    }
}

/// A value as it is kept: short, on one line, and still another one when the rest of it differs.
fn kept(text: &str) -> String {
    let text = text.trim();
    if !text.contains('\n') && text.chars().count() <= KEPT {
        return text.to_owned();
    }
    let begin: String = text.lines().next().unwrap_or("").chars().take(KEPT / 2).collect();
    let sum = Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{begin}... (sha256 {sum})")
}

fn short(sum: &str) -> String {
    format!("sha256 {}", sum.chars().take(8).collect::<String>())
}

fn file_change(file: &str, before: &str, after: &str) -> Change {
    let (before, after) = (before.to_owned(), after.to_owned());
    Change { weight: Weight::Other, node: None, what: file.to_owned(), before, after }
}

fn change(weight: Weight, node: &NodeName, what: &str, before: &str, after: &str) -> Change {
    let (before, after) = (before.to_owned(), after.to_owned());
    Change { weight, node: Some(node.clone()), what: what.to_owned(), before, after }
}

fn node_changes(node: &NodeName, was: &NodeFindings, now: &NodeFindings) -> Vec<Change> {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let mut changes = Vec::new();
    if was.answers != now.answers {
        let weight = if now.answers { Weight::Other } else { Weight::Worse };
        changes.push(change(weight, node, "answers", yes(was.answers), yes(now.answers)));
    }
    if !(was.answers && now.answers) {
        return changes;
    }
    if was.version != now.version {
        let said = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
        changes.push(change(Weight::Other, node, "version", &said(&was.version), &said(&now.version)));
    }
    if let (Some(was), Some(now)) = (was.staged, now.staged)
        && was != now
    {
        let weight = if now { Weight::Other } else { Weight::Worse };
        changes.push(change(weight, node, "staged", yes(was), yes(now)));
    }
    for (name, said) in &now.readings {
        let Some(before) = was.readings.get(name).filter(|before| *before != said) else { continue };
        let weight = match (before.holds, said.holds) {
            (true, false) => Weight::Worse,
            (false, true) => Weight::Other,
            _ => Weight::Value,
        };
        changes.push(change(weight, node, name, &before.words(), &said.words()));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeName {
        NodeName::parse(name).unwrap()
    }

    fn findings() -> Findings {
        let said = |value: &str| Said { value: value.to_owned(), holds: true };
        let found = NodeFindings {
            answers: true,
            version: Some("3.13.6".into()),
            staged: Some(true),
            readings: BTreeMap::from([
                ("clients".into(), said("12")),
                ("disk space".into(), said("2400 MiB")),
            ]),
        };
        Findings {
            at: "2026-11-20T01:00:00Z".parse().unwrap(),
            files: BTreeMap::from([("/etc/rollgate/rollgate.yaml".into(), "3f9a41c0".repeat(8))]),
            nodes: BTreeMap::from([(node("mq-04"), found.clone()), (node("mq-05"), found)]),
        }
    }

    fn told(now: &Findings, whole: bool) -> Vec<String> {
        let changes = now.changes_since(&findings(), whole);
        let who = |change: &Change| change.node.as_ref().map_or("file".to_owned(), ToString::to_string);
        changes
            .iter()
            .map(|change| format!("{} {}: {} -> {}", who(change), change.what, change.before, change.after))
            .collect()
    }

    #[test]
    fn nothing_changed_is_nothing_told() {
        assert_eq!(told(&findings(), true), [""; 0]);
    }

    #[test]
    fn what_got_worse_comes_first() {
        let mut now = findings();
        let other = now.nodes.get_mut(&node("mq-04")).unwrap();
        other.readings.get_mut("clients").unwrap().value = "31".into();
        let worse = now.nodes.get_mut(&node("mq-05")).unwrap();
        worse.readings.insert("disk space".into(), Said { value: "1100 MiB".into(), holds: false });
        worse.version = Some("3.13.7".into());
        now.files.insert("/etc/rollgate/rollgate.yaml".into(), "77aa0000".repeat(8));
        assert_eq!(
            told(&now, true),
            [
                "mq-05 disk space: 2400 MiB -> 1100 MiB, does not hold",
                "file /etc/rollgate/rollgate.yaml: sha256 3f9a41c0 -> sha256 77aa0000",
                "mq-05 version: 3.13.6 -> 3.13.7",
                "mq-04 clients: 12 -> 31",
            ]
        );
    }

    #[test]
    fn a_node_that_is_silent_has_only_that_to_say() {
        let mut now = findings();
        now.nodes.insert(node("mq-04"), NodeFindings::default());
        assert_eq!(told(&now, true), ["mq-04 answers: yes -> no"]);
    }

    #[test]
    fn nodes_that_were_not_asked_are_not_gone() {
        let mut now = findings();
        now.nodes.remove(&node("mq-04"));
        now.nodes.insert(node("mq-06"), NodeFindings::default());
        assert_eq!(told(&now, false), ["mq-06 in the plan: no -> yes"]);
        assert_eq!(told(&now, true), ["mq-06 in the plan: no -> yes", "mq-04 in the plan: yes -> no"]);
    }

    #[test]
    fn a_long_value_is_told_from_another_one() {
        let (one, other) = ("x".repeat(100), format!("{}y", "x".repeat(99)));
        assert!(kept(&one).chars().count() <= KEPT && kept(&one) != kept(&other));
        assert_eq!(kept(" short "), "short");
        assert!(!kept("a\nb").contains('\n'));
    }
}
