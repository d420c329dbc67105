//! What a report says, in its order, before it is HTML or text.

use std::time::Duration;

use super::mark::{self, Kind, Mark, Trouble};
use super::story::{Invocation, Story};
use super::{Facts, FileFact, Mask};
use crate::model::duration::between;
use crate::model::event::{Goal, RunEnd};
use crate::model::stand::Stand;
use crate::model::state::RunState;
use crate::model::{run, words};

/// Lines of a command that are shown.
const COMMAND: usize = 40;
/// Characters of a line of output that are shown.
const LONG: usize = 400;

/// A part of the report under a heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: &'static str,
    /// Whether it must not be overlooked.
    pub(super) boxed: bool,
    pub(super) blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// Names and values.
    Facts(Vec<(&'static str, String)>),
    /// A table with its caption; a heading says whether its column is one of numbers.
    Table { caption: &'static str, heads: Vec<(String, bool)>, rows: Vec<Vec<String>> },
    /// Things one after the other, each under a head of its own.
    Items(Vec<Item>),
    /// A sentence.
    Text(String),
    /// Text that is long, to be unfolded; left out where nothing can be folded.
    Fold { name: String, text: String },
}

/// A thing in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its number among the marks.
    pub(super) number: Option<usize>,
    /// When, where.
    pub(super) head: String,
    /// Sentences about it.
    pub(super) says: Vec<String>,
    /// Text as it was written or printed, under a name.
    pub(super) quotes: Vec<(&'static str, Vec<String>)>,
}

/// How the run stands, in one sentence.
pub(super) fn result(story: &Story<'_>) -> String {
    let state = story.state;
    let extent = run::extent(state);
    match &state.end {
        Some(RunEnd::Finished) => format!("finished: {extent} done"),
        Some(RunEnd::Staged) => "staged; nothing was restarted".to_owned(),
        Some(RunEnd::Unstaged) => "ended; what was staged is removed".to_owned(),
        Some(RunEnd::RolledBack) => "rolled back".to_owned(),
        Some(RunEnd::Stopped(stop)) => format!("unfinished: stopped with {extent} done: {}", stop.why),
        None if story.at_work => format!("unfinished: at work, {extent} done"),
        None => format!("unfinished: {extent} done, and the rollgate that worked on it is gone"),
    }
}

/// The versions before the run: one where all nodes agree.
pub(super) fn before(state: &RunState) -> Option<String> {
    let mut before: Vec<&str> = state.versions.values().map(|versions| versions.before.as_str()).collect();
    before.sort_unstable();
    before.dedup();
    (!before.is_empty()).then(|| before.join(", "))
}

/// The ticket: the latest one that was named.
pub(super) fn change(story: &Story<'_>) -> Option<String> {
    story.invocations.iter().rev().find_map(|invocation| invocation.request.change.clone())
}

/// The head: what, who, when, with which result.
pub(super) fn head(facts: &Facts<'_>, story: &Story<'_>) -> Vec<(&'static str, String)> {
    let (state, moment) = (story.state, facts.moment);
    let worked: Duration = story.invocations.iter().map(|one| between(one.from, one.to)).sum();
    let whole = between(state.opened_at, story.until);
    let length = match story.invocations.len() {
        0 | 1 => words::total(whole),
        _ => format!("{}, of it {} at work", words::total(whole), words::total(worked)),
    };
    let mut head =
        vec![("Cluster", state.plan.cluster.to_string()), ("Procedure", state.plan.procedure.clone())];
    if let Some(to) = &state.plan.to {
        let from = before(state).map(|from| format!("{from} -> ")).unwrap_or_default();
        head.push(("Version", format!("{from}{to}")));
    }
    head.push(("Run", state.run.to_string()));
    head.extend(change(story).map(|change| ("Change", change)));
    head.push(("Begun by", mark::person(&state.opened.by)));
    head.push(("Begin", moment.iso(state.opened_at)));
    let end = if story.at_work {
        "not yet".to_owned()
    } else if story.is_orphaned() {
        format!("last heard of {}", moment.iso(story.until))
    } else {
        moment.iso(story.until)
    };
    head.push(("End", end));
    head.push(("Length", length));
    head.push(("Result", result(story)));
    if let Some((code, meaning)) = facts.exit {
        head.push(("Exit code", format!("{code} ({meaning})")));
    }
    head.extend(facts.journal.flaw.clone().map(|flaw| ("Mind", flaw)));
    head
}

/// How much of what is long is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Failures whose output is shown; what so many have is one thing that went wrong.
    pub(super) outputs: usize,
    /// Whether files are there in full.
    pub(super) files: bool,
}

impl Room {
    /// What there is room for, the most first.
    pub(super) const ALL: [Self; 3] = [
        Self { outputs: 20, files: true },
        Self { outputs: 20, files: false },
        Self { outputs: 5, files: false },
    ];
}

/// Everything below the head, in order.
pub(super) fn sections(facts: &Facts<'_>, story: &Story<'_>, room: Room) -> Vec<Section> {
    let plain = |title, blocks| Section { title, boxed: false, blocks };
    let mut sections = vec![
        Section { title: "Overrides", boxed: true, blocks: overrides(facts, story) },
        plain("Answers, overrides and failures", marks(facts, story)),
        plain("Nodes", nodes(story)),
        plain("Where the time went", vec![spent(story)]),
    ];
    if !story.curves.is_empty() {
        sections.push(plain("Readings at gates", vec![gates(facts, story)]));
    }
    sections.push(plain("Failures", failures(facts, story, room)));
    sections.push(plain("Temporary changes still in force", outstanding(story.state)));
    sections.push(plain("Invocations", vec![invocations(facts, story)]));
    sections.push(plain("Evidence", evidence(facts, story, room)));
    sections
}

fn listed(items: Vec<Item>) -> Vec<Block> {
    if items.is_empty() { vec![Block::Text("None.".to_owned())] } else { vec![Block::Items(items)] }
}

fn item(facts: &Facts<'_>, mark: &Mark) -> Item {
    let who = mark.who.as_ref().map(|who| format!("{who}: ")).unwrap_or_default();
    let mut says = vec![format!("{who}{}", mark.what)];
    if !mark.readings.is_empty() {
        says.push(format!("Read: {}", mark.readings.join("; ")));
    }
    says.extend(mark.reason.as_ref().map(|reason| format!("Reason: {reason}")));
    let head = format!("{} {}", facts.moment.iso(mark.at), mark.node);
    Item { number: Some(mark.number), head, says, quotes: Vec::new() }
}

fn overrides(facts: &Facts<'_>, story: &Story<'_>) -> Vec<Block> {
    let marks = story.marks.iter().filter(|mark| mark.kind == Kind::Override);
    listed(marks.map(|mark| item(facts, mark)).collect())
}

fn marks(facts: &Facts<'_>, story: &Story<'_>) -> Vec<Block> {
    let mut blocks = listed(story.marks.iter().map(|mark| item(facts, mark)).collect());
    let passed = mark::passed_by_flag(story.records);
    if passed > 0 {
        let gates = words::count(passed, "gate");
        let verb = if passed == 1 { "was" } else { "were" };
        blocks.push(Block::Text(format!("{gates} whose checks held {verb} answered by --yes.")));
    }
    blocks
}

fn nodes(story: &Story<'_>) -> Vec<Block> {
    let state = story.state;
    let names = run::nodes_of(state);
    let times: Vec<_> = names.iter().map(|node| run::time_by_part(state, node)).collect();
    let is_spent = |part: &&str| times.iter().flatten().any(|(known, _)| known == part);
    let parts: Vec<&str> = run::PARTS.into_iter().filter(is_spent).collect();
    let rows = names.iter().map(|node| {
        let versions = state.versions.get(*node);
        let version = |of: fn(&crate::model::state::Versions) -> &String| {
            versions.map_or_else(|| "-".to_owned(), |versions| of(versions).clone())
        };
        vec![
            node.to_string(),
            version(|versions| &versions.before),
            version(|versions| &versions.now),
            story.retries.get(*node).copied().unwrap_or(0).to_string(),
            Stand::of(state, node).word().to_owned(),
        ]
    });
    let heads = [("Node", false), ("Before", false), ("After", false), ("Retries", true), ("Result", false)];
    let mut blocks = vec![Block::Table {
        caption: "Versions and results",
        heads: heads.map(|(head, right)| (head.to_owned(), right)).to_vec(),
        rows: rows.collect(),
    }];
    if !parts.is_empty() {
        let heads = parts.iter().map(|part| ((*part).to_owned(), true));
        let rows = names.iter().zip(&times).map(|(node, times)| {
            let of = |part: &&str| times.iter().find(|(known, _)| known == part).map(|(_, time)| *time);
            let cells = parts.iter().map(|part| of(part).map_or_else(|| "-".to_owned(), words::elapsed));
            let whole: Duration = times.iter().map(|(_, time)| *time).sum();
            [node.to_string()].into_iter().chain(cells).chain([words::elapsed(whole)]).collect()
        });
        blocks.push(Block::Table {
            caption: "Time by section",
            heads: [("Node".to_owned(), false)]
                .into_iter()
                .chain(heads)
                .chain([("together".to_owned(), true)])
                .collect(),
            rows: rows.collect(),
        });
    }
    blocks
}

/// The time of all nodes by what they were at, the longest first; last the time in which nobody worked on the run.
pub(super) fn spent_by_part(story: &Story<'_>) -> Vec<(&'static str, Duration)> {
    let state = story.state;
    let mut parts: Vec<(&'static str, Duration)> = Vec::new();
    for (part, time) in run::nodes_of(state).into_iter().flat_map(|node| run::time_by_part(state, node)) {
        match parts.iter_mut().find(|(known, _)| *known == part) {
            Some((_, sum)) => *sum += time,
            None => parts.push((part, time)),
        }
    }
    let operators = state.steps.iter().filter(|(key, _)| key.node.is_operator());
    let single: Duration = operators.map(|(_, step)| step.took).sum();
    if single > Duration::ZERO {
        parts.push(("single steps", single));
    }
    parts.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let stops = story.invocations.windows(2).map(|pair| between(pair[0].to, pair[1].from));
    let stopped: Duration = stops.sum();
    if stopped > Duration::ZERO {
        parts.push(("between invocations", stopped));
    }
    parts
}

fn spent(story: &Story<'_>) -> Block {
    let parts = spent_by_part(story);
    let all: f64 = parts.iter().map(|(_, time)| time.as_secs_f64()).sum();
    let share = |time: &Duration| {
        let share = if all > 0.0 { time.as_secs_f64() / all * 100.0 } else { 0.0 };
        format!("{share:.0} %")
    };
    let rows = parts.iter().map(|(part, time)| vec![(*part).to_owned(), words::total(*time), share(time)]);
    let heads = [("Part", false), ("Time of all nodes", true), ("Share", true)];
    Block::Table {
        caption: "Nodes that were worked on side by side count each for itself",
        heads: heads.map(|(head, right)| (head.to_owned(), right)).to_vec(),
        rows: rows.collect(),
    }
}

fn gates(facts: &Facts<'_>, story: &Story<'_>) -> Block {
    let mut rows = Vec::new();
    for curve in &story.curves {
        for strand in &curve.strands {
            let (Some((from, first)), Some((to, last))) = (strand.points.first(), strand.points.last())
            else {
                continue;
            };
            let (low, high) = strand.range();
            let asked =
                if strand.asked == strand.node { String::new() } else { format!(" of {}", strand.asked) };
            rows.push(vec![
                strand.node.to_string(),
                format!("{}{asked}", curve.check),
                words::number(*first),
                words::number(*last),
                words::number(low),
                words::number(high),
                curve.needs.clone(),
                words::elapsed(between(*from, *to)),
                facts.moment.iso(*from),
            ]);
        }
    }
    let heads = [
        ("Node", false),
        ("Check", false),
        ("First", true),
        ("Last", true),
        ("Least", true),
        ("Most", true),
        ("Needs", false),
        ("Read for", true),
        ("Since", false),
    ];
    Block::Table {
        caption: "What the numbers were",
        heads: heads.map(|(head, right)| (head.to_owned(), right)).to_vec(),
        rows,
    }
}

fn failures(facts: &Facts<'_>, story: &Story<'_>, room: Room) -> Vec<Block> {
    let shown = story.troubles.iter().enumerate();
    let items = shown.map(|(place, trouble)| failure(facts, story, trouble, place < room.outputs));
    let mut blocks = listed(items.collect());
    if story.troubles.len() > room.outputs {
        let more = words::count(story.troubles.len() - room.outputs, "failure");
        blocks.push(Block::Text(format!("The output of {more} more is in the run's directory.")));
    }
    blocks
}

fn failure(facts: &Facts<'_>, story: &Story<'_>, trouble: &Trouble, with_output: bool) -> Item {
    let at =
        story.marks.iter().find(|mark| mark.number == trouble.mark).map(|mark| facts.moment.iso(mark.at));
    let head = format!("{} {}: {}", at.unwrap_or_default(), trouble.key.node, trouble.title);
    let mut says = vec![format!("Attempt {} failed: {}", trouble.attempt, trouble.failure.message)];
    says.extend(trouble.failure.help.as_ref().map(|help| format!("Help: {help}")));
    let mut quotes = Vec::new();
    if with_output {
        if let Some(command) = &trouble.command {
            quotes.push(("Command", some(facts.mask, command.trim_end().lines(), COMMAND)));
        }
        if !trouble.failure.tail.is_empty() {
            quotes.push((
                "Last lines of output",
                some(facts.mask, trouble.failure.tail.iter().map(String::as_str), usize::MAX),
            ));
        }
    }
    Item { number: Some(trouble.mark), head, says, quotes }
}

/// The first of these lines, none of them too long. They are masked first: of a secret that is cut, the mask would not
/// find what is left.
fn some<'a>(mask: Mask<'_>, lines: impl Iterator<Item = &'a str> + Clone, most: usize) -> Vec<String> {
    let more = lines.clone().count().saturating_sub(most);
    let cut = |line: String| match line.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    };
    let left = (more > 0).then(|| format!("... and {}", words::count(more, "more line")));
    lines.take(most).map(|line| cut(mask(line))).chain(left).collect()
}

fn outstanding(state: &RunState) -> Vec<Block> {
    let changes = run::outstanding(state).into_iter();
    listed(changes.map(|head| Item { number: None, head, says: Vec::new(), quotes: Vec::new() }).collect())
}

/// What an invocation was for.
pub(super) fn goal(invocation: &Invocation<'_>) -> &'static str {
    match invocation.request.goal {
        Goal::Staged => "stage",
        Goal::Finished => "start",
        Goal::Unstaged => "unstage",
        Goal::RolledBack(_) => "rollback",
    }
}

fn invocations(facts: &Facts<'_>, story: &Story<'_>) -> Block {
    let last = story.invocations.len();
    let rows = story.invocations.iter().enumerate().map(|(place, one)| {
        let is_last = place + 1 == last;
        let end = if is_last && story.at_work { "at work" } else { one.end_word() };
        vec![
            facts.moment.iso(one.from),
            words::total(between(one.from, one.to)),
            goal(one).to_owned(),
            end.to_owned(),
            mark::person(&one.request.by),
        ]
    });
    let heads = [("Begin", false), ("Length", true), ("For", false), ("End", false), ("By", false)];
    Block::Table {
        caption: "Each time that a rollgate worked on the run",
        heads: heads.map(|(head, right)| (head.to_owned(), right)).to_vec(),
        rows: rows.collect(),
    }
}

fn evidence(facts: &Facts<'_>, story: &Story<'_>, room: Room) -> Vec<Block> {
    let plan = &story.state.plan;
    let mut rows = vec![("Report by", format!("rollgate {}", env!("CARGO_PKG_VERSION")))];
    rows.push(("Made at", facts.moment.iso(facts.moment.now)));
    for file in &facts.files {
        let name = if file.role == "inventory" { "Inventory" } else { "Procedure" };
        let since = if file.text.is_some() { "" } else { " (changed or gone since)" };
        rows.push((name, format!("{}{since}", file.path.display())));
        rows.push(("SHA-256", file.sha256.clone()));
    }
    rows.push(("Journal", facts.journal.path.display().to_string()));
    rows.push(("SHA-256", facts.journal.sha256.clone()));
    rows.push(("Records", story.records.len().to_string()));
    for invocation in &story.invocations {
        let words: Vec<String> = invocation.request.args.iter().map(|word| words::quote(word)).collect();
        rows.push(("Command", format!("rollgate {}", words.join(" "))));
        let insecure = invocation.request.insecure_files.iter().flatten();
        rows.extend(insecure.map(|file| ("Mind", format!("{file}; allowed by --allow-insecure-files"))));
    }
    if !facts.unknown_secrets.is_empty() {
        let names = facts.unknown_secrets.join(", ");
        rows.push(("Secrets", format!("masked as the run masked them, for they cannot be had now: {names}")));
    }
    let mut blocks = vec![Block::Facts(rows)];
    if !plan.artifacts.is_empty() {
        let rows = plan.artifacts.iter().map(|artifact| {
            vec![
                artifact.name.clone(),
                artifact.origin.size().map_or_else(|| "unknown".to_owned(), words::size),
                artifact.sha256.clone(),
            ]
        });
        let heads = [("Artifact", false), ("Size", true), ("SHA-256", false)];
        blocks.push(Block::Table {
            caption: "Artifacts",
            heads: heads.map(|(head, right)| (head.to_owned(), right)).to_vec(),
            rows: rows.collect(),
        });
    }
    blocks.extend(facts.files.iter().filter(|_| room.files).filter_map(fold));
    blocks
}

fn fold(file: &FileFact) -> Option<Block> {
    /// A longer text would make the page too large for a ticket; its sum stands there all the same.
    const MOST: usize = 48 << 10;
    let text = file.text.as_ref().filter(|text| text.len() <= MOST)?;
    Some(Block::Fold { name: format!("{} {}", file.role, file.path.display()), text: text.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_masked_before_it_is_cut() {
        let line = format!("{}hunter22 {}", "x".repeat(LONG - 3), "y".repeat(LONG));
        let shown = some(&|text| text.replace("hunter22", "***"), [line.as_str()].into_iter(), 1);
        assert_eq!(shown, [format!("{}***...", "x".repeat(LONG - 3))]);
    }
}
