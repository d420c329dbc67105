//! Where a run stands: for eyes, for awk, and as one JSON document, all three from one [`StatusView`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::model::event::{Operator, Reading, RunEnd, Stop};
use crate::model::name::{ClusterName, NodeName};
use crate::model::plan::{PhaseKind, Plan, Sources};
use crate::model::state::{RunState, StepStatus, TurnStatus};

use super::after;
use super::gate::{self, GateState, GateView, Watch};
use super::ink::{Line, Sign, Tone, wrap};
use super::moment::{Moment, between};
use super::next::{self, Next};
use super::run;
use super::table::Table;
use super::terminal::Face;
use super::words;

mod document;

pub use document::document;

/// Where a node stands in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// Its turn has not come.
    ToDo,
    /// It is being worked on.
    Working,
    /// It waits at a gate.
    Gate,
    /// A step failed.
    Failed,
    /// Nobody knows how a step ended.
    Unknown,
    /// It has every phase behind it.
    Done,
    /// The operator went on without it.
    Skipped,
    /// It was taken back.
    RolledBack,
}

impl Stand {
    /// Reads it off a run's state.
    pub fn of(state: &RunState, node: &NodeName) -> Self {
        if run::is_done(state, node) {
            return Self::Done;
        }
        let turns = state.turns.iter().filter(|(turn, _)| {
            turn.node == *node && state.plan.phases[turn.phase].kind != PhaseKind::Staging
        });
        let Some((turn, latest)) = turns.max_by_key(|(turn, state)| (state.since, turn.phase)) else {
            return Self::ToDo;
        };
        match &latest.status {
            TurnStatus::Done => Self::ToDo,
            TurnStatus::Failed => Self::Failed,
            TurnStatus::Skipped { .. } | TurnStatus::Leaving { .. } => Self::Skipped,
            TurnStatus::RolledBack => Self::RolledBack,
            TurnStatus::Returning => Self::Working,
            TurnStatus::Active => {
                let trouble = state.trouble(turn).and_then(|key| state.step(&key));
                match trouble.map(|step| &step.status) {
                    Some(StepStatus::Unknown { .. }) => Self::Unknown,
                    _ if Self::stopped_gate(state, node) => Self::Gate,
                    Some(_) => Self::Failed,
                    None => Self::Working,
                }
            }
        }
    }

    /// Whether what holds the node up is a gate: one that waits, or one that has stopped the run.
    fn stopped_gate(state: &RunState, node: &NodeName) -> bool {
        let stopped = match &state.end {
            Some(RunEnd::Stopped(stop)) => stop.key.as_ref(),
            _ => None,
        };
        let in_flight = run::in_flight(state);
        let at = stopped.into_iter().chain(in_flight.iter().map(|flight| &flight.key));
        at.filter(|key| key.node == *node)
            .any(|key| state.plan.find(&key.step).is_some_and(|(_, step)| step.is_gate()))
    }

    /// The word for eyes.
    pub fn word(self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Working => "working",
            Self::Gate => "at gate",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Skipped => "left out",
            Self::RolledBack => "rolled back",
        }
    }

    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::ToDo => "pending",
            Self::Working => "working",
            Self::Gate => "gate",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::RolledBack => "rolled_back",
        }
    }

    /// The sign that goes with it.
    pub fn sign(self) -> Sign {
        match self {
            Self::ToDo => Sign::ToDo,
            Self::Working => Sign::Working,
            Self::Gate => Sign::Waiting,
            Self::Failed | Self::Unknown => Sign::Failed,
            Self::Done => Sign::Done,
            Self::Skipped | Self::RolledBack => Sign::Skipped,
        }
    }
}

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
    /// The run, if there is one.
    pub run: Option<RunView>,
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
        let rolling_back = matches!(state.request.goal, crate::model::event::Goal::RolledBack(_));
        Self {
            cluster: state.plan.cluster.clone(),
            from: (before.len() == 1).then(|| before[0].to_owned()),
            to: state.plan.to.clone(),
            sources: state.plan.sources.clone(),
            offline: around.offline,
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
                outstanding: after::outstanding(state),
                aborting: after::aborting(state),
                directory: around.directory.clone(),
            }),
            nodes: nodes.collect(),
            next: after::next(state, &around.program),
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
            run: None,
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
    let stand = state.map_or(Stand::ToDo, |state| Stand::of(state, name));
    let latest = state.and_then(|state| {
        let turns = state.turns.iter().filter(|(turn, _)| turn.node == *name);
        turns.max_by_key(|(turn, turn_state)| (turn_state.since, turn.phase))
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
        detail: detail(state, name, stand, &observed, staged),
        parts: state.map(|state| run::time_by_part(state, name)).unwrap_or_default(),
        observed,
    }
}

fn detail(
    state: Option<&RunState>,
    name: &NodeName,
    stand: Stand,
    observed: &Observed,
    staged: Option<bool>,
) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &observed.error {
        parts.push(error.clone());
    }
    if staged == Some(true) && observed.staged == Some(false) && stand == Stand::ToDo {
        parts.push("staged copy missing, was there".to_owned());
    }
    let Some(state) = state else { return parts.join("; ") };
    let troubles =
        state.turns.keys().filter(|turn| turn.node == *name).filter_map(|turn| state.trouble(turn));
    for key in troubles {
        match state.step(&key).map(|step| &step.status) {
            Some(StepStatus::Failed(failure)) => {
                parts.push(format!("{}: {}", run::title_of(state, &key), failure.message));
            }
            Some(StepStatus::Unknown { why }) => parts.push(format!("{}: {why}", run::title_of(state, &key))),
            _ => {}
        }
    }
    for flight in run::in_flight(state).iter().filter(|flight| flight.key.node == *name) {
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
    lines.extend(table.lines(face));
    if let Some(run) = &view.run {
        lines.extend(run_lines(face, moment, run));
    }
    lines.push(Line::new(face));
    lines.extend(next::lines(face, &view.next));
    lines
}

fn heading(face: &Face, moment: &Moment, view: &StatusView) -> Vec<Line> {
    let mut parts = vec![view.cluster.to_string()];
    match (&view.from, &view.to) {
        (Some(from), Some(to)) => parts.push(format!("{from} -> {to}")),
        (None, Some(to)) => parts.push(format!("-> {to}")),
        _ => {}
    }
    let Some(run) = &view.run else {
        parts.push("no run".to_owned());
        return wrap(face, Line::new(face), Tone::Strong, &parts.join("  "));
    };
    parts.push(format!("run {}", run.id));
    parts.push(run.status.to_uppercase());
    parts.push(format!("{} of {} done", view.done(), words::count(view.nodes.len(), "node")));
    let until = if run.ended { run.latest_at } else { moment.now };
    parts.push(words::total(between(run.started_at, until)));
    let mut lines = wrap(face, Line::new(face), Tone::Strong, &parts.join(" | "));
    let change = run.change.as_ref().map(|change| format!(" for {change}")).unwrap_or_default();
    let begun =
        format!("started {} by {} on {}{change}", moment.short(run.started_at), run.by.user, run.by.host);
    let line = Line::new(face).tone(Tone::Dim, &begun);
    lines.push(line.at_edge(face, Tone::Dim, &view.sources.inventory.display().to_string()).fit(face));
    lines
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
    if let Some(stop) = &run.stop {
        section("why stopped:", Tone::Wait, std::slice::from_ref(&stop.why));
    }
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

/// The stable form: ASCII, no blanks inside a field but the last, `-` for nothing, ISO times. New columns only
/// before the last one.
pub fn plain(moment: &Moment, view: &StatusView, exit_code: Option<u8>) -> Vec<Line> {
    let face = &Face::PLAIN;
    let word = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").replace(' ', "_");
    let run = view.run.as_ref();
    let mut lines = vec![Line::of(
        face,
        &format!(
            "cluster {} from {} to {} run {} state {} done {} total {} change {}",
            view.cluster,
            word(view.from.as_deref()),
            word(view.to.as_deref()),
            word(run.map(|run| run.id.as_str())),
            word(run.map(|run| run.status)),
            view.done(),
            view.nodes.len(),
            word(run.and_then(|run| run.change.as_deref())),
        ),
    )];
    let mut table = Table::new(0);
    for title in ["NODE", "ROLE", "VERSION", "STAGED", "STATE", "SINCE", "DETAIL"] {
        table = table.column(title);
    }
    for node in &view.nodes {
        let roles = if node.roles.is_empty() { &node.groups } else { &node.roles };
        let state = if node.observed.reachable == Some(false) { "unreachable" } else { node.stand.code() };
        let cells = [
            node.name.to_string(),
            word(Some(&roles.join(","))),
            word(node.version.as_deref()),
            word(node.staged.map(|staged| if staged { "yes" } else { "no" })),
            state.to_owned(),
            word(node.since.map(|since| moment.iso(since)).as_deref()),
            if node.detail.is_empty() { "-".to_owned() } else { node.detail.clone() },
        ];
        table.row(cells.into_iter().map(|cell| (Tone::Text, cell)).collect());
    }
    lines.extend(table.lines(face));
    if let Some(run) = run {
        if let Some(stop) = &run.stop {
            let exit = exit_code.map(|code| format!("exit {code}, ")).unwrap_or_default();
            lines.push(Line::of(face, &format!("stopped: {exit}{}", stop.why)));
        }
        lines.extend(run.outstanding.iter().map(|change| Line::of(face, &format!("in-force: {change}"))));
        lines.extend(run.aborting.iter().map(|fact| Line::of(face, &format!("giving-up: {fact}"))));
    }
    for next in &view.next {
        lines.push(Line::of(face, &format!("next: {}", next.command())));
    }
    lines
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::ink::paint;
    use super::super::sample;
    use super::*;
    use crate::model::event::{Event, Halt, Outcome};
    use crate::model::plan::Section;

    fn moment() -> Moment {
        Moment { now: sample::at(2200), zone: TimeZone::UTC }
    }

    fn around() -> Circumstances<'static> {
        let mut around = Circumstances {
            program: vec!["rollgate"],
            directory: Some("/var/lib/rollgate/mq-prod/runs/2026-11-21.1".into()),
            exit_code: Some(10),
            ..Circumstances::default()
        };
        let gone = Observed { reachable: Some(false), error: Some("no route".into()), ..Observed::default() };
        around.observed.insert(sample::node("mq-03"), gone);
        around
    }

    fn stopped() -> StatusView {
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let why = "mq-02: queue depth: the gate stayed closed for 30m".to_owned();
        let stop = Stop { halt: Halt::GateClosed, why, key: Some(key.clone()) };
        events.push((2100, Event::StepEnded { key, attempt: 1, outcome: Outcome::Interrupted }));
        events.push((2100, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
        StatusView::of_run(&sample::state(events), &around())
    }

    #[test]
    fn the_screen_for_eyes() {
        let face = Face { color: false, unicode: true, width: Some(100) };
        assert_eq!(
            paint(&face, &human(&face, &moment(), &stopped())),
            "\
mq-prod | 3.13.6 -> 3.13.7 | run 2026-11-21.1 | STOPPED | 1 of 3 nodes done | 35 min
started 08:14 by anna on bastion-1 for CHG-20418                         /etc/rollgate/rollgate.yaml

   NODE   ROLE    RUNS    STATE        SINCE  DETAIL
✓  mq-01  broker  3.13.7  done         08:18  gate 1m36 drain 1m12 upgrade 48s verify 36s
‖  mq-02  broker  3.13.6  at gate      08:18
·  mq-03  broker  ?       unreachable         no route

why stopped: mq-02: queue depth: the gate stayed closed for 30m

still in force: mq-02: drain \"stop the receiver\"

giving up now: mq-01 stays on 3.13.7
               mq-02 is left in the middle of its turn
               mq-03 is untouched
               undone first: mq-02: drain \"stop the receiver\"
               rollback leads back to the versions before

mq-02   gate \"queue depth\"                                                                    closed
  queue depth  5 200  needs <= 100
  read 31 min ago

next: rollgate start --resume                    # wait for the gate again
      rollgate start --resume --gate-timeout 2h  # wait longer
      rollgate rollback                          # take mq-01 back
"
        );
    }

    #[test]
    fn the_stable_form() {
        let text = paint(&Face::PLAIN, &plain(&moment(), &stopped(), Some(10)));
        assert_eq!(
            text,
            "\
cluster mq-prod from 3.13.6 to 3.13.7 run 2026-11-21.1 state stopped done 1 total 3 change CHG-20418
NODE   ROLE    VERSION  STAGED  STATE        SINCE                      DETAIL
mq-01  broker  3.13.7   -       done         2026-11-21T08:18:20+00:00  gate 1m36 drain 1m12 upgrade 48s verify 36s
mq-02  broker  3.13.6   -       gate         2026-11-21T08:18:21+00:00  -
mq-03  broker  -        -       unreachable  -                          no route
stopped: exit 10, mq-02: queue depth: the gate stayed closed for 30m
in-force: mq-02: drain \"stop the receiver\"
giving-up: mq-01 stays on 3.13.7
giving-up: mq-02 is left in the middle of its turn
giving-up: mq-03 is untouched
giving-up: undone first: mq-02: drain \"stop the receiver\"
giving-up: rollback leads back to the versions before
next: rollgate start --resume
next: rollgate start --resume --gate-timeout 2h
next: rollgate rollback
"
        );
        assert!(text.is_ascii());
        for row in text.lines().skip(2).take(3) {
            assert!(row.split_whitespace().count() >= 7, "{row}");
        }
    }

    #[test]
    fn one_document_for_programs() {
        let document = document(&moment(), &stopped(), Some(10));
        let pick = |path: &str| document.pointer(path).unwrap_or_else(|| panic!("no {path}")).clone();
        assert_eq!(
            document.as_object().unwrap().keys().take(2).collect::<Vec<_>>(),
            ["format", "format_version"]
        );
        assert_eq!(pick("/status"), "stopped");
        assert_eq!(pick("/final_state"), "stopped");
        assert_eq!(pick("/working_node"), "mq-02");
        assert_eq!(pick("/working_state"), "gate");
        assert_eq!(pick("/transcript"), "/var/lib/rollgate/mq-prod/runs/2026-11-21.1");
        assert_eq!(pick("/run/stop/reason"), "gate_timeout");
        assert_eq!(pick("/run/stop/exit_code"), 10);
        assert_eq!(pick("/run/counts/pending"), 2);
        assert_eq!(pick("/nodes/1/gates/0/value"), 5200.0);
        assert_eq!(pick("/nodes/1/gates/0/open"), false);
        assert_eq!(pick("/nodes/2/reachable"), false);
        assert_eq!(pick("/nodes/0/phases/0/seconds"), 96.0);
        assert_eq!(pick("/next/0/2"), "--resume");
        assert!(pick("/nodes/0/error").is_null());
    }

    #[test]
    fn without_a_run_there_is_still_something_to_say() {
        let view = StatusView::of_plan(&sample::plan(), &around());
        let text = paint(&Face::PLAIN, &human(&Face::PLAIN, &moment(), &view));
        assert!(text.starts_with("mq-prod -> 3.13.7 no run\n"), "{text}");
        assert!(text.ends_with("next: rollgate stage  # copy the new version; nothing restarts\n"), "{text}");
        assert!(document(&moment(), &view, None).pointer("/run").unwrap().is_null());
    }

    #[test]
    fn nothing_is_wider_than_the_screen() {
        for unicode in [true, false] {
            for width in [40, 80, 100, 200] {
                let face = Face { color: false, unicode, width: Some(width) };
                for line in human(&face, &moment(), &stopped()) {
                    assert!(line.width() <= width, "{width}: {line:?}");
                    assert!(unicode || line.plain().is_ascii());
                }
            }
        }
    }
}
