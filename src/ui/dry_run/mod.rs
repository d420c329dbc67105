//! The report of a dry run, for a mail as well as for a terminal: the most serious first, what changed since the
//! last one, what would be done, and nothing that needs colour or a wide screen.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::findings::{Change, Weight};
use crate::model::forecast::Forecast;
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, Plan, PlannedStep, Section};
use crate::model::window::Hindrance;

use super::ink::{Line, Tone, hang, wrap};
use super::moment::Moment;
use super::next::{self, Next};
use super::plan::{Prospect, course};
use super::terminal::Face;
use super::window::WindowView;
use super::words;

mod document;
mod problems;
mod prospects;
#[cfg(test)]
mod tests;

pub use document::document;
pub use problems::{Kind, Problem, problems};
pub use prospects::prospects;

/// Columns of a report that goes into a mail.
pub const MAIL: Face = Face { width: Some(78), ..Face::PLAIN };

/// Rows of evidence below a problem.
const EVIDENCE: usize = 3;
/// Changes that are told one by one.
const CHANGES: usize = 40;
/// Columns that the name of what changed may take before its values move.
const WHAT: usize = 32;

/// What the last dry run is good for.
#[derive(Debug, Clone, PartialEq)]
pub enum Compared {
    /// There is none.
    First,
    /// It was compared.
    Since {
        /// When it was.
        at: Timestamp,
        /// What is not as it was, the gravest first.
        changes: Vec<Change>,
    },
    /// It cannot be read, and why.
    Unknown(String),
}

/// A dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct DryRun<'a> {
    /// What would be run.
    pub plan: &'a Plan,
    /// What was found.
    pub found: &'a Forecast,
    /// The window, with what it means for the nodes.
    pub window: Option<&'a WindowView>,
    /// What of it would keep a run from beginning now.
    pub held_up: Option<&'a Hindrance>,
    /// What would stop it, or is yet to be done.
    pub problems: &'a [Problem],
    /// What the last one is good for.
    pub compared: &'a Compared,
    /// What else is to be known, such as that this one could not be kept.
    pub notes: &'a [String],
    /// The exit code.
    pub exit_code: u8,
    /// The machine that it was done from.
    pub host: &'a str,
    /// What to type next.
    pub next: &'a [Next],
}

/// Builds the report. `in_full` tells each phase's course as well.
pub fn report(face: &Face, moment: &Moment, dry: &DryRun<'_>, in_full: bool) -> Vec<Line> {
    let prospects = prospects(dry.found);
    let mut lines = heading(face, moment, dry, &prospects);
    lines.extend(problem_lines(face, dry));
    lines.extend(changed(face, moment, dry));
    lines.extend(known(face, &prospects));
    lines.extend(hours(face, moment, dry));
    lines.extend(plan_lines(face, dry, &prospects));
    if in_full {
        for phase in dry.plan.phases.iter().filter(|phase| phase.kind != PhaseKind::Staging) {
            lines.extend(course(face, phase));
        }
    }
    lines.push(Line::new(face));
    let untried = untried(dry.plan);
    if !untried.is_empty() {
        let head = Line::new(face).tone(Tone::Strong, "NOT TRIED");
        lines.extend(wrap(face, head, Tone::Text, &format!(" in a dry run: {untried}")));
    }
    let sources = &dry.plan.sources;
    let sum: String = sources.inventory_sha256.chars().take(8).collect();
    let version = env!("CARGO_PKG_VERSION");
    let file = sources.inventory.display();
    let origin = format!("rollgate {version} on {}, inventory {file} sha256 {sum}", dry.host);
    lines.extend(wrap(face, Line::new(face), Tone::Dim, &origin));
    lines.extend(next::lines(face, dry.next));
    lines
}

fn heading(face: &Face, moment: &Moment, dry: &DryRun<'_>, prospects: &[(NodeName, Prospect)]) -> Vec<Line> {
    let mut versions: Vec<&str> =
        prospects.iter().filter_map(|(_, prospect)| prospect.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    let from = if let [one] = versions[..] { format!(" {one}") } else { String::new() };
    let to = dry.plan.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
    let title = format!("DRY RUN {}{from}{to}", dry.plan.cluster);
    let (when, standing) = (moment.heading(moment.now), "nothing was changed");
    let strong = Line::new(face).tone(Tone::Strong, &title);
    let dated = strong.clone().text(&format!("  {when}"));
    let whole = dated.clone().text(&format!("  {standing}"));
    let fits = |line: &Line| face.width.is_none_or(|columns| line.width() <= columns);
    let below = || Line::of(face, "        ");
    let mut lines = if fits(&whole) {
        vec![whole]
    } else if fits(&dated) {
        vec![dated, below().text(standing).fit(face)]
    } else {
        let title = wrap(face, Line::new(face), Tone::Strong, &title);
        title.into_iter().chain([&*when, standing].map(|text| below().text(text).fit(face))).collect()
    };
    let tone = match (dry.problems.is_empty(), dry.exit_code) {
        (true, _) => Tone::Good,
        (false, 0 | 19) => Tone::Wait,
        (false, _) => Tone::Bad,
    };
    lines.extend(wrap(face, Line::new(face).tone(Tone::Strong, "RESULT  "), tone, &result(dry)));
    lines
}

/// The verdict in words: what a run would do now, and why not.
pub fn result(dry: &DryRun<'_>) -> String {
    let count = |kind: Kind| dry.problems.iter().filter(|problem| problem.kind == kind).count();
    let steps = || dry.found.turns.iter().flat_map(|turn| &turn.steps);
    let mut parts = Vec::new();
    if count(Kind::Refused) + count(Kind::Unfinished) + count(Kind::Held) > 0 {
        parts.push("there would be no run".to_owned());
    }
    match dry.found.silent.len() {
        0 => {}
        1 => parts.push("1 node does not answer".to_owned()),
        silent => parts.push(format!("{silent} nodes do not answer")),
    }
    match count(Kind::Check) {
        0 => {}
        1 => parts.push("1 check does not hold".to_owned()),
        checks => parts.push(format!("{checks} checks do not hold")),
    }
    let closed = steps().filter(|step| step.outlook.is_closed_gate()).count();
    if closed > 0 {
        let gates = steps().filter(|step| step.outlook.is_gate()).count();
        parts.push(format!("{closed} of {} closed", words::count(gates, "gate")));
    }
    let unstaged = dry.found.turns.iter().filter(|turn| turn.staged() == Some(false)).count();
    if unstaged > 0 {
        parts.push(format!("{} not staged", words::count(unstaged, "node")));
    }
    let start = match dry.held_up {
        None => "would start",
        Some(Hindrance::Closed { .. }) => "would start once the window opens",
        Some(Hindrance::Short { .. }) => "would start once the window is open for long enough",
        Some(Hindrance::TooLong { .. }) => "would start only with --override window=REASON",
    };
    let verdict = match (parts.is_empty(), dry.exit_code) {
        (true, 0 | 19) => start.to_owned(),
        (true, _) => "would stop".to_owned(),
        (false, 0 | 19) => format!("{start}; {}", parts.join(", ")),
        (false, _) => format!("would stop: {}", parts.join(", ")),
    };
    format!("{verdict} (exit {})", dry.exit_code)
}

fn section(face: &Face, title: &str) -> Vec<Line> {
    vec![Line::new(face), Line::new(face).tone(Tone::Strong, title)]
}

fn problem_lines(face: &Face, dry: &DryRun<'_>) -> Vec<Line> {
    if dry.problems.is_empty() {
        return Vec::new();
    }
    let mut lines = section(face, "PROBLEMS");
    for problem in dry.problems {
        let who = problem.node.as_ref().map_or(dry.plan.cluster.as_str(), NodeName::as_str);
        let head = Line::of(face, "  ").tone(Tone::Strong, who).text("  ");
        let below = " ".repeat(hang(face, head.width()));
        lines.extend(wrap(face, head, Tone::Text, &problem.what));
        for row in problem.evidence.iter().take(EVIDENCE) {
            lines.extend(wrap(face, Line::of(face, &below).tone(Tone::Dim, "| "), Tone::Dim, row));
        }
        if let more @ 1.. = problem.evidence.len().saturating_sub(EVIDENCE) {
            lines.push(Line::of(face, &below).tone(Tone::Dim, &format!("| and {more} more")).fit(face));
        }
        if let Some(remedy) = &problem.remedy {
            lines.extend(wrap(face, Line::of(face, &below), Tone::Dim, remedy));
        }
        if let Some(next) = &problem.next {
            lines.extend(next::command(face, Line::of(face, &below).text("then: "), next));
        }
    }
    lines
}

fn changed(face: &Face, moment: &Moment, dry: &DryRun<'_>) -> Vec<Line> {
    let strong = |text: &str| Line::new(face).tone(Tone::Strong, text);
    let mut lines = vec![Line::new(face)];
    match dry.compared {
        Compared::First => {
            let text = "  not known: no earlier dry run is kept here";
            lines.extend(wrap(face, strong("CHANGED"), Tone::Text, text));
        }
        Compared::Unknown(why) => {
            lines.extend(wrap(face, strong("CHANGED"), Tone::Wait, &format!("  not known: {why}")));
        }
        Compared::Since { at, changes } if changes.is_empty() => {
            let title = format!("CHANGED SINCE {}", moment.minute(*at));
            lines.extend(wrap(face, strong(&title), Tone::Text, "  nothing"));
        }
        Compared::Since { at, changes } => {
            lines.push(strong(&format!("CHANGED SINCE {}", moment.minute(*at))));
            lines.extend(changes_lines(face, changes));
        }
    }
    for note in dry.notes {
        lines.extend(wrap(face, Line::new(face).tone(Tone::Wait, "note: "), Tone::Text, note));
    }
    lines
}

fn changes_lines(face: &Face, changes: &[Change]) -> Vec<Line> {
    let who = |change: &Change| change.node.as_ref().map_or("file".to_owned(), ToString::to_string);
    let shown = &changes[..changes.len().min(CHANGES)];
    let names = shown.iter().map(|change| who(change).len()).max().unwrap_or(0);
    let whats = shown.iter().map(|change| change.what.len()).filter(|length| *length <= WHAT).max();
    let mut lines = Vec::new();
    for change in shown {
        let tone = if change.weight == Weight::Worse { Tone::Bad } else { Tone::Text };
        let head = Line::of(face, "  ").padded(Tone::Strong, &who(change), names + 2);
        let values = format!("{} -> {}", change.before, change.after);
        let whole = head.clone().padded(Tone::Text, &change.what, whats.unwrap_or(0) + 3);
        let room = face.width.is_none_or(|columns| whole.width() + values.len().min(24) <= columns);
        if change.what.len() <= WHAT && room {
            lines.extend(wrap(face, whole, tone, &values));
        } else {
            let below = " ".repeat(hang(face, head.width()));
            lines.extend(wrap(face, head, Tone::Text, &change.what));
            lines.extend(wrap(face, Line::of(face, &below).text("  "), tone, &values));
        }
    }
    if let more @ 1.. = changes.len() - shown.len() {
        lines.push(Line::of(face, &format!("  and {more} more")));
    }
    lines
}

/// What is done already and what cannot be known beforehand; nodes with the same to say on one line.
fn known(face: &Face, prospects: &[(NodeName, Prospect)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (title, facts) in [
        ("DONE ALREADY", (|prospect: &Prospect| &prospect.done_already) as fn(&Prospect) -> &Vec<String>),
        ("CANNOT BE KNOWN YET", |prospect| &prospect.unknown),
    ] {
        let mut rows: Vec<(&String, Vec<&str>)> = Vec::new();
        for (node, prospect) in prospects {
            for fact in facts(prospect) {
                match rows.iter_mut().find(|(known, _)| *known == fact) {
                    Some((_, nodes)) => nodes.push(node.as_str()),
                    None => rows.push((fact, vec![node.as_str()])),
                }
            }
        }
        if rows.is_empty() {
            continue;
        }
        lines.extend(section(face, title));
        for (fact, nodes) in rows {
            let who = words::list_some(&nodes, 3);
            let head = Line::of(face, "  ").tone(Tone::Strong, &who).text("  ");
            if hang(face, head.width()) == head.width() {
                lines.extend(wrap(face, head, Tone::Text, fact));
            } else {
                // Neither a name nor a word of the fact is lost.
                lines.extend(wrap(face, Line::of(face, "  "), Tone::Strong, &who));
                lines.extend(wrap(face, Line::of(face, "      "), Tone::Text, fact));
            }
        }
    }
    lines
}

/// The hours in which turns may begin, and what they mean for the nodes.
fn hours(face: &Face, moment: &Moment, dry: &DryRun<'_>) -> Vec<Line> {
    let Some(window) = dry.window else { return Vec::new() };
    let mut lines = section(face, "WINDOW");
    // What a closed one says of itself needs no second sentence.
    let told = dry.held_up.filter(|found| !matches!(found, Hindrance::Closed { .. }));
    let why = told.map(|found| found.sentence(moment.now));
    for fact in [window.words(moment)].into_iter().chain(why).chain(window.meaning()) {
        lines.extend(wrap(face, Line::of(face, "  "), Tone::Text, &fact));
    }
    lines
}

/// A row a node; where one would be too wide, each goes on in a second one.
fn plan_lines(face: &Face, dry: &DryRun<'_>, prospects: &[(NodeName, Prospect)]) -> Vec<Line> {
    let silent = dry.found.silent.keys().map(|node| (node, None));
    let rows: Vec<_> =
        prospects.iter().map(|(node, prospect)| (node, Some(prospect))).chain(silent).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let to = dry.plan.to.as_ref().map(|to| format!(" -> {to}")).unwrap_or_default();
    let heads: Vec<[String; 2]> = rows
        .iter()
        .map(|(node, prospect)| {
            let version = prospect.and_then(|prospect| prospect.version.clone());
            let version = match version {
                _ if prospect.is_none() => "no answer".to_owned(),
                Some(version) => format!("{version}{to}"),
                None if node.is_operator() => String::new(),
                None => format!("?{to}"),
            };
            [node.to_string(), version]
        })
        .collect();
    let tails: Vec<[(Tone, String); 3]> = rows.iter().map(|(_, prospect)| tail(*prospect)).collect();
    let widest = |cells: &mut dyn Iterator<Item = &String>| cells.map(String::len).max().unwrap_or(0);
    let number = rows.len().to_string().len();
    let columns = [0, 1].map(|column| widest(&mut heads.iter().map(|cells| &cells[column])));
    let tail_columns = [0, 1, 2].map(|column| widest(&mut tails.iter().map(|cells| &cells[column].1)));
    let head_width = 2 + number + columns.iter().map(|width| width + 2).sum::<usize>();
    let tail_width = tail_columns.iter().filter(|width| **width > 0).map(|width| width + 2).sum::<usize>();
    let broken = face.width.is_some_and(|width| head_width + tail_width > width);
    let mut lines = section(face, "PLAN");
    for (place, ([node, version], cells)) in heads.iter().zip(&tails).enumerate() {
        let mut line = Line::of(face, "  ").right(Tone::Dim, &(place + 1).to_string(), number).text("  ");
        line = line.padded(Tone::Strong, node, columns[0] + 2);
        line.push(if rows[place].1.is_some() { Tone::Text } else { Tone::Bad }, version);
        if broken {
            lines.push(line.fit(face));
            line = Line::of(face, &" ".repeat(number + 2));
        } else {
            line.push(Tone::Text, &" ".repeat(columns[1].saturating_sub(version.len())));
        }
        for ((tone, cell), width) in cells.iter().zip(tail_columns).filter(|(_, width)| *width > 0) {
            line = line.text("  ").padded(*tone, cell, width);
        }
        lines.push(line.fit(face));
    }
    lines
}

/// What is staged, pre-checks, gates; nothing of a node that is silent.
fn tail(prospect: Option<&Prospect>) -> [(Tone, String); 3] {
    let none = || (Tone::Text, String::new());
    let Some(prospect) = prospect else { return [none(), none(), none()] };
    let staged = match prospect.staged {
        None => none(),
        Some(true) => (Tone::Text, "staged".to_owned()),
        Some(false) => (Tone::Wait, "NOT STAGED".to_owned()),
    };
    let toned = |fine: bool, text: String| (if fine { Tone::Text } else { Tone::Bad }, text);
    let checks = prospect.prechecks.len();
    let held = prospect.prechecks.iter().filter(|reading| reading.verdict.holds()).count();
    let prechecks =
        if checks == 0 { none() } else { toned(held == checks, format!("pre-checks {held}/{checks}")) };
    let gates = prospect.gates.len();
    let holds = |(_, readings): &&(String, Vec<_>)| {
        readings.iter().all(|reading: &crate::model::event::Reading| reading.verdict.holds())
    };
    let open = prospect.gates.iter().filter(holds).count();
    let gates = if gates == 0 { none() } else { toned(open == gates, format!("gates {open}/{gates} open")) };
    [staged, prechecks, gates]
}

/// The sections with steps that a dry run does not try, and why not.
fn untried(plan: &Plan) -> String {
    let of = |fits: fn(&PlannedStep) -> bool| -> Vec<String> {
        let steps = plan.phases.iter().flat_map(|phase| phase.before.iter().chain(&phase.steps));
        let sections: BTreeSet<Section> = steps.filter(|step| fits(step)).map(|step| step.section).collect();
        sections.iter().map(ToString::to_string).collect()
    };
    let changing = of(PlannedStep::is_effect);
    let later = of(|step| !step.is_effect() && step.section.is_after_the_change());
    let reason = |sections: &[String], why: &str| {
        (!sections.is_empty()).then(|| format!("{} ({why})", words::list(sections)))
    };
    let why = if changing.len() == 1 { "it changes something" } else { "they change something" };
    let parts = [reason(&changing, why), reason(&later, "after the change")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
