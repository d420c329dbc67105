//! Where a run stands: for eyes, for awk, and as one JSON document, all three from one [`StatusView`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::model::duration::between;
use crate::model::event::{Operator, Reading, RunEnd, Stop};
use crate::model::fence::Broken;
use crate::model::history::NodeHistory;
use crate::model::name::{ClusterName, NodeName};
use crate::model::pace::Left;
use crate::model::plan::{Plan, Sources};
use crate::model::state::{RunState, StepStatus, TurnStatus};
use crate::model::window::Outside;

use super::after;
use super::gate::{self, GateState, GateView, Watch};
use super::ink::{Line, Tone, wrap};
use super::moment::Moment;
use super::next::{self, Next};
use super::run;
use super::table::Table;
use super::terminal::Face;
use super::window::WindowView;
use super::words;

mod armed;
mod document;
mod lock;
mod past;
mod plain;
mod question;
#[cfg(test)]
mod tests;

pub use crate::model::stand::Stand;
pub use armed::ArmedView;
pub(super) use document::reading_object;
pub use document::{document, run_object};
pub use lock::LockView;
pub use plain::plain;
pub use question::QuestionView;

/// What a node itself says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Whether it could be reached; absent when it was left alone.
    pub reachable: Option<bool>,
    /// The version that it runs.
    pub version: Option<String>,
    /// Whether everything staged is there with the right sums.
    pub staged: Option<bool>,
    /// Why it could not be asked.
    pub error: Option<String>,
}

/// One node's line.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Its name.
    pub name: NodeName,
    /// How it is reached, in words.
    pub host: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Roles pinned to it.
    pub roles: Vec<String>,
    /// What it runs, from the node, else from the journal.
    pub version: Option<String>,
    /// Whether it has what was staged; absent where nothing is staged or nobody knows.
    pub staged: Option<bool>,
    /// Where it stands.
    pub stand: Stand,
    /// Since when.
    pub since: Option<Timestamp>,
    /// More, in words.
    pub detail: String,
    /// Seconds by part of the turn.
    pub parts: Vec<(&'static str, std::time::Duration)>,
    /// What it went through that its state does not tell any more.
    pub history: NodeHistory,
    /// What it says itself.
    pub observed: Observed,
}

/// What is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunView {
    /// Its name.
    pub id: String,
    /// `upgrade` or `rollback`.
    pub kind: &'static str,
    /// See `RunStatus`.
    pub status: &'static str,
    /// Who began it.
    pub by: Operator,
    /// With which arguments the latest invocation was called.
    pub args: Vec<String>,
    /// Ticket.
    pub change: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last wrote to its journal.
    pub latest_at: Timestamp,
    /// Whether the latest invocation has ended.
    pub ended: bool,
    /// Why it stopped.
    pub stop: Option<Stop>,
    /// The gate or wait that holds it up: its title, its node, what it read.
    pub waiting_at: Option<(String, NodeName, Vec<Reading>)>,
    /// The questions that wait for an answer, while somebody is at work who takes one.
    pub questions: Vec<QuestionView>,
    /// What is left of it, where that is known.
    pub left: Option<Left>,
    /// Turns that began outside of the window.
    pub outside: Vec<Outside>,
    /// Locks that were taken from others for it: from whom, and why.
    pub broke: Vec<Broken>,
    /// Changes that their nodes undo by themselves.
    pub armed: Vec<ArmedView>,
    /// Temporary changes in force.
    pub outstanding: Vec<String>,
    /// What giving up now would mean.
    pub aborting: Vec<String>,
    /// The run's directory.
    pub directory: Option<PathBuf>,
}

/// Everything that `status` shows.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusView {
    /// The cluster.
    pub cluster: ClusterName,
    /// The version before, where all nodes agree.
    pub from: Option<String>,
    /// The version it leads to.
    pub to: Option<String>,
    /// The files.
    pub sources: Sources,
    /// Whether the nodes were left alone.
    pub offline: bool,
    /// Whether the run is shown by what the nodes keep of it, without this machine's own journal.
    pub from_nodes: bool,
    /// Whether a rollgate of this machine works on it.
    pub at_work: bool,
    /// What is said before all else, the gravest first.
    pub notes: Vec<String>,
    /// The run, if there is one.
    pub run: Option<RunView>,
    /// The lock that stands in somebody's way.
    pub lock: Option<LockView>,
    /// The window.
    pub window: Option<WindowView>,
    /// The nodes.
    pub nodes: Vec<NodeView>,
    /// What to type next.
    pub next: Vec<Next>,
}

/// What `status` is told besides the run's state.
#[derive(Debug, Clone, Default)]
pub struct Circumstances<'a> {
    /// What the nodes say.
    pub observed: BTreeMap<NodeName, Observed>,
    /// Whether they were left alone.
    pub offline: bool,
    /// Whether the run is what they keep of it.
    pub from_nodes: bool,
    /// Whether a rollgate of this machine works on it.
    pub at_work: bool,
    /// What is said before all else.
    pub notes: Vec<String>,
    /// The lock that the nodes show.
    pub lock: Option<LockView>,
    /// What nodes went through, where the run's records are at hand.
    pub history: BTreeMap<NodeName, NodeHistory>,
    /// The window, where there is one.
    pub window: Option<WindowView>,
    /// What is left of the run, where that is known.
    pub left: Option<Left>,
    /// The run's directory.
    pub directory: Option<PathBuf>,
    /// As in [`after::next`].
    pub program: Vec<&'a str>,
    /// The exit code that the run's stop stands for.
    pub exit_code: Option<u8>,
}

impl StatusView {
    /// What is known of a run.
    pub fn of_run(state: &RunState, around: &Circumstances<'_>) -> Self {
        let nodes =
            state.plan.nodes.iter().map(|node| node_view(&state.plan, Some(state), &node.name, around));
        let mut before: Vec<&str> =
            state.versions.values().map(|versions| versions.before.as_str()).collect();
        before.dedup();
        let stop = match &state.end {
            Some(RunEnd::Stopped(stop)) => Some(stop.clone()),
            _ => state.stop.clone(),
        };
        let waiting_at = run::in_flight(state)
            .into_iter()
            .map(|flight| flight.key)
            .chain(stop.iter().filter_map(|stop| stop.key.clone()))
            .filter_map(|key| Some((state.step(&key)?.readings.clone(), key)))
            .find(|(readings, _)| !readings.is_empty())
            .map(|(readings, key)| (run::title_of(state, &key), key.node, readings));
        let questions = QuestionView::all(state, around);
        let ways = questions.iter().flat_map(|question| question.ways.clone());
        let next = ways.chain(after::next_of_status(state, &around.program)).collect();
        let rolling_back = matches!(state.request.goal, crate::model::event::Goal::RolledBack(_));
        Self {
            cluster: state.plan.cluster.clone(),
            from: (before.len() == 1).then(|| before[0].to_owned()),
            to: state.plan.to.clone(),
            sources: state.plan.sources.clone(),
            offline: around.offline,
            from_nodes: around.from_nodes,
            at_work: around.at_work,
            notes: around.notes.clone(),
            run: Some(RunView {
                id: state.run.to_string(),
                kind: if rolling_back { "rollback" } else { "upgrade" },
                status: state.status().word(),
                by: state.opened.by.clone(),
                args: state.request.args.clone(),
                change: state.request.change.clone().or_else(|| state.opened.change.clone()),
                started_at: state.opened_at,
                latest_at: state.latest_at,
                ended: state.end.is_some(),
                stop,
                waiting_at,
                questions,
                left: around.left,
                outside: state.outside.clone(),
                broke: state.broke.clone(),
                armed: ArmedView::all(state),
                outstanding: after::outstanding(state),
                aborting: after::aborting(state),
                directory: around.directory.clone(),
            }),
            lock: around.lock.clone(),
            window: around.window.clone(),
            nodes: nodes.collect(),
            next,
        }
    }

    /// What is known without a run.
    pub fn of_plan(plan: &Plan, around: &Circumstances<'_>) -> Self {
        let staging = [&around.program[..], &["stage"]].concat();
        Self {
            cluster: plan.cluster.clone(),
            from: None,
            to: plan.to.clone(),
            sources: plan.sources.clone(),
            offline: around.offline,
            from_nodes: around.from_nodes,
            at_work: around.at_work,
            notes: around.notes.clone(),
            run: None,
            lock: around.lock.clone(),
            window: around.window.clone(),
            nodes: plan.nodes.iter().map(|node| node_view(plan, None, &node.name, around)).collect(),
            next: vec![Next::new(&staging, "copy the new version; nothing restarts")],
        }
    }

    /// How many nodes are done.
    pub fn done(&self) -> usize {
        self.nodes.iter().filter(|node| node.stand == Stand::Done).count()
    }
}

fn node_view(plan: &Plan, state: Option<&RunState>, name: &NodeName, around: &Circumstances<'_>) -> NodeView {
    use crate::model::host::Connection;
    let planned = plan.node(name).expect("the name comes from the plan's own list");
    let observed = around.observed.get(name).cloned().unwrap_or_default();
    let history = around.history.get(name).cloned().unwrap_or_default();
    let stand = state.map_or(Stand::ToDo, |state| Stand::of(state, name));
    let latest = state.and_then(|state| {
        state.turns_of(name).max_by_key(|(turn, turn_state)| (turn_state.since, turn.phase))
    });
    let known = state.and_then(|state| state.versions.get(name)).map(|versions| versions.now.clone());
    let staged = plan.has_staging().then(|| {
        let turn = crate::model::event::Turn { phase: 0, node: name.clone() };
        let done = state.and_then(|state| state.turns.get(&turn)).map(|turn| turn.status == TurnStatus::Done);
        done.unwrap_or(false)
    });
    NodeView {
        name: name.clone(),
        host: match &planned.connection {
            Connection::Ssh(target) => target.host.clone(),
            Connection::Local => "local".to_owned(),
        },
        groups: planned.groups.iter().map(ToString::to_string).collect(),
        roles: state
            .into_iter()
            .flat_map(|state| &state.pinned)
            .filter(|(_, nodes)| nodes.contains(name))
            .map(|(role, _)| role.to_string())
            .collect(),
        version: observed.version.clone().or(known),
        staged: observed.staged.or(staged),
        stand,
        since: latest.filter(|_| stand != Stand::ToDo).map(|(_, turn)| turn.since),
        detail: detail(state, name, stand, &observed, staged, &history),
        parts: state.map(|state| run::time_by_part(state, name)).unwrap_or_default(),
        history,
        observed,
    }
}

fn detail(
    state: Option<&RunState>,
    name: &NodeName,
    stand: Stand,
    observed: &Observed,
    staged: Option<bool>,
    history: &NodeHistory,
) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &observed.error {
        parts.push(error.clone());
    }
    if staged == Some(true) && observed.staged == Some(false) && stand == Stand::ToDo {
        parts.push("staged copy missing, was there".to_owned());
    }
    let Some(state) = state else { return parts.join("; ") };
    for (_, turn) in state.turns_of(name) {
        if let TurnStatus::Skipped { reason } | TurnStatus::Leaving { reason } = &turn.status {
            parts.push(format!("left out: {reason}"));
        }
    }
    let troubles = state.turns_of(name).filter_map(|(turn, _)| state.trouble(turn));
    for key in troubles {
        match state.step(&key).map(|step| &step.status) {
            Some(StepStatus::Failed(failure)) => {
                parts.push(format!("{}: {}", run::title_of(state, &key), failure.message));
            }
            Some(StepStatus::Unknown { why, .. }) => {
                parts.push(format!("{}: {why}", run::title_of(state, &key)));
            }
            _ => {}
        }
    }
    for flight in run::in_flight_of(state, name) {
        let readings = state.step(&flight.key).map(|step| gate::one_line(&step.readings, name));
        match readings.filter(|readings| !readings.is_empty()) {
            Some(readings) => parts.push(format!("{}: {readings}", flight.title)),
            None => parts.push(flight.title.clone()),
        }
    }
    if stand == Stand::Done {
        let times = run::time_by_part(state, name);
        let times: Vec<String> =
            times.iter().map(|(part, time)| format!("{part} {}", words::elapsed(*time))).collect();
        parts.push(times.join(" "));
    }
    parts.extend(past::words(state, history));
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

/// The screen for eyes.
pub fn human(face: &Face, moment: &Moment, view: &StatusView) -> Vec<Line> {
    let mut lines = heading(face, moment, view);
    lines.push(Line::new(face));
    let mut table = Table::new(0)
        .column("")
        .column("NODE")
        .if_room("ROLE", 1)
        .column("RUNS")
        .if_room("STAGED", 0)
        .column("STATE")
        .if_room("SINCE", 2)
        .column("DETAIL");
    for node in &view.nodes {
        let sign = node.stand.sign();
        let role = if node.roles.is_empty() { &node.groups } else { &node.roles };
        let reached = node.observed.reachable != Some(false);
        table.row(vec![
            (sign.tone(), sign.on(face).to_owned()),
            (Tone::Strong, node.name.to_string()),
            (Tone::Text, role.join(",")),
            (Tone::Text, node.version.clone().unwrap_or_else(|| "?".to_owned())),
            (Tone::Text, node.staged.map_or("", |staged| if staged { "yes" } else { "no" }).to_owned()),
            (sign.tone(), if reached { node.stand.word() } else { "unreachable" }.to_owned()),
            (Tone::Dim, node.since.map(|since| moment.short(since)).unwrap_or_default()),
            (Tone::Text, node.detail.clone()),
        ]);
    }
    if !view.nodes.is_empty() {
        lines.extend(table.lines(face));
    }
    if let Some(run) = &view.run {
        lines.extend(run_lines(face, moment, run));
    }
    if let Some(window) = &view.window {
        lines.push(Line::new(face));
        let head = Line::new(face).tone(Tone::Strong, "window: ");
        lines.extend(wrap(face, head, Tone::Text, &window.words(moment)));
    }
    lines.push(Line::new(face));
    lines.extend(next::lines(face, &view.next));
    lines
}

fn heading(face: &Face, moment: &Moment, view: &StatusView) -> Vec<Line> {
    let notes = view.notes.iter().flat_map(|text| wrap(face, Line::new(face), Tone::Wait, text));
    let mut parts = vec![view.cluster.to_string()];
    match (&view.from, &view.to) {
        (Some(from), Some(to)) => parts.push(format!("{from} -> {to}")),
        (None, Some(to)) => parts.push(format!("to {to}")),
        _ => {}
    }
    let Some(run) = &view.run else {
        parts.push("no run".to_owned());
        let title = wrap(face, Line::new(face), Tone::Strong, &parts.join("  "));
        return title.into_iter().chain(notes).collect();
    };
    parts.push(format!("run {}", run.id));
    parts.push(run.status.to_uppercase());
    if !view.nodes.is_empty() {
        parts.push(format!("{} of {} done", view.done(), words::count(view.nodes.len(), "node")));
    }
    let until = if run.ended { run.latest_at } else { moment.now };
    parts.push(words::total(between(run.started_at, until)));
    parts.extend(run.left.map(run::left));
    let mut lines = title(face, &parts);
    lines.extend(notes);
    let change = run.change.as_ref().map(|change| format!(" for {change}")).unwrap_or_default();
    let begun =
        format!("started {} by {} on {}{change}", moment.short(run.started_at), run.by.user, run.by.host);
    let line = Line::new(face).tone(Tone::Dim, &begun);
    lines.push(line.at_edge(face, Tone::Dim, &view.sources.inventory.display().to_string()).fit(face));
    lines
}

/// The parts in a row; where one has no room, a row more.
fn title(face: &Face, parts: &[String]) -> Vec<Line> {
    let mut rows: Vec<Line> = Vec::new();
    for part in parts {
        let cell = Line::new(face).tone(Tone::Strong, part);
        match rows.last_mut() {
            Some(row) if face.width.is_none_or(|columns| row.width() + 3 + cell.width() <= columns) => {
                row.push(Tone::Strong, " | ");
                row.push(Tone::Strong, part);
            }
            _ => rows.push(cell),
        }
    }
    rows.into_iter().map(|row| row.fit(face)).collect()
}

fn broken(broken: &Broken) -> String {
    format!("the lock was taken from {}: {}", broken.holder, broken.reason)
}

fn run_lines(face: &Face, moment: &Moment, run: &RunView) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut section = |title: &str, tone: Tone, facts: &[String]| {
        if let Some((first, rest)) = facts.split_first() {
            lines.push(Line::new(face));
            let indent = " ".repeat(title.len() + 1);
            lines.extend(wrap(face, Line::new(face).tone(Tone::Strong, title).text(" "), tone, first));
            for fact in rest {
                lines.extend(wrap(face, Line::of(face, &indent), tone, fact));
            }
        }
    };
    section("waits for an answer:", Tone::Wait, &QuestionView::sentences(run, |at| moment.short(at)));
    if let Some(stop) = &run.stop {
        section("why stopped:", Tone::Wait, std::slice::from_ref(&stop.why));
    }
    let broke: Vec<String> = run.broke.iter().map(broken).collect();
    section("lock broken:", Tone::Wait, &broke);
    let outside: Vec<String> = run.outside.iter().map(Outside::sentence).collect();
    section("outside the window:", Tone::Wait, &outside);
    let armed: Vec<String> = run.armed.iter().map(|armed| armed.sentence(moment)).collect();
    section("armed:", Tone::Wait, &armed);
    section("still in force:", Tone::Bad, &run.outstanding);
    section("giving up now:", Tone::Text, &run.aborting);
    if let Some((title, node, readings)) = &run.waiting_at {
        let mut watch = Watch::default();
        watch.read(readings);
        let state = if watch.all_hold() { GateState::Open { after: None } } else { GateState::Closed };
        lines.push(Line::new(face));
        lines.extend(
            GateView { place: None, node, title, state, watch: &watch, so_far: "" }.lines(face, moment),
        );
    }
    lines
}
