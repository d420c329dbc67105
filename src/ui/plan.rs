//! The plan before it runs: the table that is confirmed by the cluster's name.

use std::time::Duration;

use crate::model::duration;
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, Plan, PlannedPhase, PlannedStep, Work};
use crate::model::procedure::{Action, Scope};

use super::ink::{Line, Tone, wrap};
use super::moment::Moment;
use super::table::Table;
use super::terminal::Face;
use super::window::WindowView;
use super::words;
use crate::model::event::Reading;

/// Nodes that are named one by one.
const NAMED: usize = 8;

/// What is known of a node before anything is touched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Prospect {
    /// The version that it runs.
    pub version: Option<String>,
    /// Whether everything staged is there; absent where nothing is staged.
    pub staged: Option<bool>,
    /// Its pre-checks, where they were asked.
    pub prechecks: Vec<Reading>,
    /// The checks of its gates, where they were asked, gate by gate.
    pub gates: Vec<(String, Vec<Reading>)>,
    /// Steps whose `skip_if` says that they are done already.
    pub done_already: Vec<String>,
    /// What cannot be known before the run: a check that needs a captured value, a role not yet decided.
    pub unknown: Vec<String>,
    /// How long it took the last time, where that is known.
    pub last_time: Option<Duration>,
    /// Why it could not be asked.
    pub error: Option<String>,
}

/// The nodes with what is known of them, in the order in which they come.
pub type Prospects = Vec<(NodeName, Prospect)>;

/// The plan as it is confirmed.
pub fn lines(
    face: &Face,
    moment: &Moment,
    plan: &Plan,
    prospects: &[(NodeName, Prospect)],
    window: Option<&WindowView>,
) -> Vec<Line> {
    let mut lines = heading(face, plan, prospects);
    if !plan.nodes.is_empty() {
        lines.push(Line::new(face));
        lines.extend(table(face, prospects));
    }
    for phase in plan.phases.iter().filter(|phase| phase.kind != PhaseKind::Staging) {
        lines.push(Line::new(face));
        lines.extend(course(face, phase));
    }
    lines.push(Line::new(face));
    if let Some(window) = window {
        let head = Line::new(face).tone(Tone::Strong, "Window: ");
        lines.extend(wrap(face, head, Tone::Text, &window.words(moment)));
        for fact in window.meaning() {
            lines.extend(wrap(face, Line::of(face, "  "), Tone::Dim, &fact));
        }
    }
    let asked = "You are asked at every gate. Ctrl-C stops at a safe point.";
    lines.extend(wrap(face, Line::new(face), Tone::Text, asked));
    lines.extend(points(face, plan));
    lines
}

fn heading(face: &Face, plan: &Plan, prospects: &[(NodeName, Prospect)]) -> Vec<Line> {
    let mut versions: Vec<&str> =
        prospects.iter().filter_map(|(_, prospect)| prospect.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    let from = match versions[..] {
        [one] => format!("{one} "),
        _ => String::new(),
    };
    let mut head = Line::new(face).tone(Tone::Strong, plan.cluster.as_str());
    if let Some(to) = &plan.to {
        head.push(Tone::Strong, &format!("  {from}-> {to}"));
    }
    let extent = match plan.nodes.len() {
        0 => words::count(plan.phases.len(), "phase"),
        _ => words::count(prospects.len(), "node"),
    };
    head.push(Tone::Text, &format!("   {extent}   {}", plan.procedure));
    let file = plan.sources.inventory.display().to_string();
    vec![head.at_edge(face, Tone::Dim, &file).fit(face)]
}

fn table(face: &Face, prospects: &[(NodeName, Prospect)]) -> Vec<Line> {
    let mut table = Table::new(2)
        .right("#")
        .column("NODE")
        .column("RUNS")
        .if_room("STAGED", 2)
        .if_room("PRE-CHECKS", 1)
        .if_room("GATES", 0)
        .if_room("LAST TIME", 1)
        .column("");
    for (place, (node, prospect)) in prospects.iter().enumerate() {
        let all_hold = prospect.prechecks.iter().all(|reading| reading.verdict.holds());
        table.row(vec![
            (Tone::Dim, (place + 1).to_string()),
            (Tone::Strong, node.to_string()),
            (Tone::Text, prospect.version.clone().unwrap_or_else(|| "?".to_owned())),
            staged(prospect),
            (if all_hold { Tone::Good } else { Tone::Bad }, held(&prospect.prechecks)),
            (Tone::Text, gates(prospect)),
            (Tone::Text, prospect.last_time.map(words::total).unwrap_or_default()),
            (Tone::Bad, prospect.error.clone().unwrap_or_default()),
        ]);
    }
    table.lines(face)
}

fn staged(prospect: &Prospect) -> (Tone, String) {
    match prospect.staged {
        None => (Tone::Text, String::new()),
        Some(true) => (Tone::Good, "yes".to_owned()),
        Some(false) => (Tone::Bad, "no".to_owned()),
    }
}

fn held(readings: &[Reading]) -> String {
    if readings.is_empty() {
        return String::new();
    }
    let held = readings.iter().filter(|reading| reading.verdict.holds()).count();
    format!("{held} of {} hold", readings.len())
}

fn gates(prospect: &Prospect) -> String {
    let gates: Vec<String> = prospect
        .gates
        .iter()
        .map(|(name, readings)| {
            let open = readings.iter().all(|reading| reading.verdict.holds());
            if open { name.clone() } else { format!("{name} (closed now)") }
        })
        .collect();
    gates.join(", ")
}

/// What each node goes through, in one sentence, and how many at a time.
pub(super) fn course(face: &Face, phase: &PlannedPhase) -> Vec<Line> {
    let mut lines = Vec::new();
    let (title, mut text) = match phase.kind {
        PhaseKind::Single => (format!("Once, {}: ", phase.name), String::new()),
        _ => (format!("{}, each node: ", phase.name), String::new()),
    };
    let mut parts: Vec<String> = Vec::new();
    for step in phase.before.iter().chain(&phase.steps) {
        parts.push(step_words(step));
    }
    text.push_str(&parts.join(" -> "));
    lines.extend(wrap(face, Line::new(face).tone(Tone::Strong, &title), Tone::Text, &text));
    if phase.kind == PhaseKind::Rolling {
        let names: Vec<&str> = phase.nodes.iter().map(NodeName::as_str).collect();
        let mut facts = vec![words::list_some(&names, NAMED), batches(&phase.batches)];
        if let Some(role) = &phase.last {
            facts.push(format!("the {role} last, asked before every batch"));
        }
        if let Some(spread) = &phase.spread {
            facts.push(format!("at most one per {spread} at a time"));
        }
        facts.push(match phase.max_failures {
            0 => "stops at the first failure".to_owned(),
            n => format!("goes on while at most {} failed", words::count(n, "node")),
        });
        lines.extend(wrap(face, Line::of(face, "  "), Tone::Dim, &facts.join("; ")));
    }
    lines
}

fn batches(sizes: &[usize]) -> String {
    match sizes {
        [] | [1] => "one at a time".to_owned(),
        [size] => format!("{size} at a time"),
        sizes => {
            let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
            format!("{} at a time, the last size repeating", sizes.join(", then "))
        }
    }
}

fn step_words(step: &PlannedStep) -> String {
    let limit = duration::written(step.timeout());
    match &step.work {
        Work::Step(inner) => match &inner.action {
            Action::Gate(gate) if gate.checks.is_empty() => format!("question \"{}\"", step.label),
            Action::Gate(_) => format!("gate \"{}\" (at most {limit})", step.label),
            Action::Manual(_) => format!("by hand \"{}\"", step.label),
            Action::Check(_) => format!("check \"{}\"", step.label),
            _ => {
                let undone = match inner.temporary {
                    Some(Scope::Node) => ", undone after the node",
                    Some(Scope::Phase) => ", undone after the phase",
                    Some(Scope::Run) => ", undone after the run",
                    None => "",
                };
                format!("{} \"{}\" (at most {limit}{undone})", step.section, step.label)
            }
        },
        Work::PassPoint { .. } => "point of no return".to_owned(),
        Work::Invariants => "invariants on the other nodes".to_owned(),
        Work::Soak(soak) => format!("soak {}", duration::written(soak.length)),
        Work::Stage | Work::Unstage | Work::WayIn(_) | Work::VersionRestored => step.label.clone(),
    }
}

fn points(face: &Face, plan: &Plan) -> Vec<Line> {
    let marks = plan.phases.iter().flat_map(|phase| {
        phase.before.iter().chain(&phase.steps).filter_map(move |step| match &step.work {
            Work::PassPoint { point, .. } => Some((phase, point)),
            _ => None,
        })
    });
    marks
        .flat_map(|(phase, point)| {
            let text = point.text.render_known(&plan.vars);
            let after = if point.rollback_possible { "" } else { "; no rollback after it" };
            let head = Line::new(face).tone(Tone::Wait, "Point of no return: ");
            wrap(face, head, Tone::Text, &format!("{text} (in {}{after})", phase.name))
        })
        .collect()
}

#[cfg(test)]
mod tests;
