//! The plan before it runs: the table that is confirmed by the cluster's name, and the report of a dry run.

use std::time::Duration;

use crate::model::duration;
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, Plan, PlannedPhase, PlannedStep, Section, Work};
use crate::model::procedure::{Action, Scope};

use super::gate;
use super::ink::{Line, Tone, wrap};
use super::moment::Moment;
use super::next::{self, Next};
use super::table::Table;
use super::terminal::Face;
use super::window::WindowView;
use super::words;
use crate::model::condition::Verdict;
use crate::model::event::Reading;
use crate::model::window::Standing;

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
fn course(face: &Face, phase: &PlannedPhase) -> Vec<Line> {
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
        Work::Stage | Work::Unstage | Work::VersionRestored => step.label.clone(),
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

/// A dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun<'a> {
    /// What would be run.
    pub plan: &'a Plan,
    /// What is known of the nodes.
    pub prospects: &'a [(NodeName, Prospect)],
    /// Guards that hold, and other reasons why there would be no run at all.
    pub refused: &'a [String],
    /// The window, with what it means for the nodes.
    pub window: Option<&'a WindowView>,
    /// The exit code.
    pub exit_code: u8,
    /// What to type next.
    pub next: &'a [Next],
}

/// The report of a dry run: the most serious first, and nothing that needs a terminal.
pub fn dry_run(face: &Face, moment: &Moment, dry: &DryRun<'_>) -> Vec<Line> {
    let plan = dry.plan;
    let to = plan.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
    let day = moment.heading(moment.now);
    let mut lines = vec![
        Line::new(face)
            .tone(Tone::Strong, &format!("DRY RUN {}{to}", plan.cluster))
            .text(&format!("  {day}  nothing was changed"))
            .fit(face),
    ];
    let problems = problems(dry);
    let head = Line::new(face).tone(Tone::Strong, "RESULT  ");
    lines.extend(wrap(face, head, if problems.is_empty() { Tone::Good } else { Tone::Bad }, &result(dry)));
    if !problems.is_empty() {
        lines.push(Line::new(face));
        lines.push(Line::new(face).tone(Tone::Strong, "PROBLEMS"));
        for (who, what, help) in problems {
            let indent = Line::of(face, "  ").padded(Tone::Strong, &who, who.len() + 2);
            let column = indent.width();
            lines.extend(wrap(face, indent, Tone::Text, &what));
            if let Some(help) = help {
                lines.extend(wrap(face, Line::of(face, &" ".repeat(column)), Tone::Dim, &help));
            }
        }
    }
    lines.extend(known(face, dry));
    if let Some(window) = dry.window {
        lines.push(Line::new(face));
        lines.push(Line::new(face).tone(Tone::Strong, "WINDOW"));
        for fact in [window.words(moment)].into_iter().chain(window.meaning()) {
            lines.extend(wrap(face, Line::of(face, "  "), Tone::Text, &fact));
        }
    }
    lines.push(Line::new(face));
    lines.push(Line::new(face).tone(Tone::Strong, "PLAN"));
    lines.extend(plan_table(dry.prospects).lines(face));
    for phase in plan.phases.iter().filter(|phase| phase.kind != PhaseKind::Staging) {
        lines.extend(course(face, phase));
    }
    lines.push(Line::new(face));
    let untried = untried(plan);
    if !untried.is_empty() {
        let text = format!("not tried in a dry run: {} (they change something)", words::list(&untried));
        lines.extend(wrap(face, Line::new(face), Tone::Text, &text));
    }
    let sources = &plan.sources;
    let sum: String = sources.inventory_sha256.chars().take(8).collect();
    let version = env!("CARGO_PKG_VERSION");
    let origin = format!("rollgate {version}, inventory {} sha256 {sum}", sources.inventory.display());
    lines.push(Line::new(face).tone(Tone::Dim, &origin).fit(face));
    lines.extend(next::lines(face, dry.next));
    lines
}

fn plan_table(prospects: &[(NodeName, Prospect)]) -> Table {
    let mut table =
        Table::new(2).right("").column("").if_room("", 3).if_room("", 2).if_room("", 1).column("");
    for (place, (node, prospect)) in prospects.iter().enumerate() {
        let staged = match prospect.staged {
            None => "",
            Some(true) => "staged",
            Some(false) => "NOT STAGED",
        };
        let held = held(&prospect.prechecks);
        let open = prospect.gates.iter().filter(|(_, readings)| readings.iter().all(|r| r.verdict.holds()));
        let open = format!("gates {} of {} open", open.count(), prospect.gates.len());
        table.row(vec![
            (Tone::Dim, (place + 1).to_string()),
            (Tone::Strong, node.to_string()),
            (Tone::Text, prospect.version.clone().unwrap_or_else(|| "?".to_owned())),
            (Tone::Text, staged.to_owned()),
            (Tone::Text, if held.is_empty() { held } else { format!("pre-checks {held}") }),
            (Tone::Text, if prospect.gates.is_empty() { String::new() } else { open }),
        ]);
    }
    table
}

/// Who, what, what may help; the most serious first.
type Problem = (String, String, Option<String>);

fn problems(dry: &DryRun<'_>) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        dry.refused.iter().map(|why| (dry.plan.cluster.to_string(), why.clone(), None)).collect();
    let on = |node: &NodeName, what: String, reading: Option<&Reading>| {
        (node.to_string(), what, reading.and_then(|reading| reading.remedy.clone()))
    };
    for (node, prospect) in dry.prospects {
        problems.extend(prospect.error.iter().map(|error| on(node, error.clone(), None)));
    }
    for (node, prospect) in dry.prospects {
        if prospect.staged == Some(false) {
            problems.push(on(node, "is not staged".to_owned(), None));
        }
        for reading in failing(&prospect.prechecks) {
            let said = gate::one_line(std::slice::from_ref(reading), node);
            problems.push(on(node, format!("pre-check {said}"), Some(reading)));
        }
    }
    for (node, prospect) in dry.prospects {
        for (name, readings) in &prospect.gates {
            for reading in failing(readings) {
                let said = gate::one_line(std::slice::from_ref(reading), node);
                problems.push(on(node, format!("gate \"{name}\": {said}"), Some(reading)));
            }
        }
    }
    problems
}

fn failing(readings: &[Reading]) -> impl Iterator<Item = &Reading> {
    readings.iter().filter(|reading| !matches!(reading.verdict, Verdict::Holds))
}

fn result(dry: &DryRun<'_>) -> String {
    let all = || dry.prospects.iter().map(|(_, prospect)| prospect);
    let unreachable = all().filter(|prospect| prospect.error.is_some()).count();
    let checks: usize = all().map(|prospect| failing(&prospect.prechecks).count()).sum();
    let unstaged = all().filter(|prospect| prospect.staged == Some(false)).count();
    let gates = || all().flat_map(|prospect| &prospect.gates);
    let closed = gates().filter(|(_, readings)| failing(readings).next().is_some()).count();
    let mut parts = Vec::new();
    if !dry.refused.is_empty() {
        parts.push("there would be no run".to_owned());
    }
    if unreachable > 0 {
        parts.push(format!("{} could not be asked", words::count(unreachable, "node")));
    }
    if unstaged > 0 {
        parts.push(format!("{} not staged", words::count(unstaged, "node")));
    }
    if checks > 0 {
        let verb = if checks == 1 { "does" } else { "do" };
        parts.push(format!("{} {verb} not hold", words::count(checks, "pre-check")));
    }
    if closed > 0 {
        parts.push(format!("{closed} of {} closed", words::count(gates().count(), "gate")));
    }
    let is_closed = dry.window.is_some_and(|window| matches!(window.standing, Standing::Closed { .. }));
    let start = if is_closed { "would start once the window opens" } else { "would start" };
    let verdict = match (parts.is_empty(), dry.exit_code) {
        (true, _) => start.to_owned(),
        (false, 0 | 19) => format!("{start}; {}", parts.join(", ")),
        (false, _) => format!("would stop: {}", parts.join(", ")),
    };
    format!("{verdict} (exit {})", dry.exit_code)
}

/// What is done already and what cannot be known beforehand.
fn known(face: &Face, dry: &DryRun<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (title, facts) in [
        ("DONE ALREADY", (|prospect: &Prospect| &prospect.done_already) as fn(&Prospect) -> &Vec<String>),
        ("CANNOT BE KNOWN YET", |prospect| &prospect.unknown),
    ] {
        let rows: Vec<(&NodeName, &String)> = dry
            .prospects
            .iter()
            .flat_map(|(node, prospect)| facts(prospect).iter().map(move |fact| (node, fact)))
            .collect();
        if rows.is_empty() {
            continue;
        }
        lines.push(Line::new(face));
        lines.push(Line::new(face).tone(Tone::Strong, title));
        for (node, fact) in rows {
            let head = Line::of(face, "  ").padded(Tone::Strong, node.as_str(), node.as_str().len() + 2);
            lines.extend(wrap(face, head, Tone::Text, fact));
        }
    }
    lines
}

/// The sections with steps that a dry run does not try.
fn untried(plan: &Plan) -> Vec<String> {
    let mut sections: Vec<Section> = Vec::new();
    for phase in &plan.phases {
        for step in phase.before.iter().chain(&phase.steps) {
            if step.is_effect() && !sections.contains(&step.section) {
                sections.push(step.section);
            }
        }
    }
    sections.sort_unstable();
    sections.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests;
