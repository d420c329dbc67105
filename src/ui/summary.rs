//! What an invocation leaves behind: one sentence, one line a node, what is still in force, what to type next.

use std::time::Duration;

use crate::model::event::RunEnd;
use crate::model::name::NodeName;
use crate::model::state::{RunState, TurnStatus, UndoStatus};

use super::after;
use super::ink::{Line, Sign, Tone, wrap};
use super::moment::Moment;
use super::next;
use super::run;
use super::status::Stand;
use super::table::Table;
use super::terminal::Face;
use super::words;

/// Builds the closing summary. `exit_code` is what this invocation ends with; `program` as in [`after::next`].
pub fn lines(face: &Face, moment: &Moment, state: &RunState, exit_code: u8, program: &[&str]) -> Vec<Line> {
    let mut lines = heading(face, moment, state, exit_code);
    lines.extend(nodes(face, state));
    let changes = after::outstanding(state);
    if !changes.is_empty() {
        lines.push(Line::new(face).tone(Tone::Bad, "still in force:").fit(face));
        for change in &changes {
            lines.extend(wrap(face, Line::of(face, "  "), Tone::Text, change));
        }
    }
    lines.extend(next::lines(face, &after::next(state, program)));
    lines
}

fn heading(face: &Face, moment: &Moment, state: &RunState, exit_code: u8) -> Vec<Line> {
    let cluster = state.plan.cluster.as_str();
    let tally = run::tally(state);
    let nodes = format!("{} of {}", tally.done, words::count(tally.total, "node"));
    let to = state.plan.to.as_deref();
    let (sign, text) = match &state.end {
        Some(RunEnd::Finished) => {
            let what = to.map_or_else(|| "is done".to_owned(), |to| format!("is on {to}"));
            (Sign::Done, format!("{cluster} {what}: {nodes}, {}", took(moment, state)))
        }
        Some(RunEnd::Staged) => {
            let what = to.map_or_else(|| "is staged".to_owned(), |to| format!("is staged for {to}"));
            let count = words::count(tally.total, "node");
            (Sign::Done, format!("{cluster} {what}: {count}; nothing was restarted"))
        }
        Some(RunEnd::Unstaged) => (Sign::Done, format!("{cluster}: what was staged is removed")),
        Some(RunEnd::RolledBack) => (Sign::Done, format!("{cluster} is rolled back")),
        Some(RunEnd::Stopped(stop)) => {
            (Sign::Failed, format!("{cluster} stopped with {nodes} done: {} (exit {exit_code})", stop.why))
        }
        None => (Sign::Working, format!("{cluster} is at work: {nodes} done")),
    };
    let first = Line::new(face).tone(sign.tone(), sign.on(face)).text(" ");
    wrap(face, first, Tone::Strong, &text)
}

fn took(moment: &Moment, state: &RunState) -> String {
    let _ = moment;
    let whole = words::total(super::moment::between(state.opened_at, state.latest_at));
    let mut parts: Vec<(&str, Duration)> = Vec::new();
    for node in run::nodes_of(state) {
        for (part, time) in run::time_by_part(state, node) {
            match parts.iter_mut().find(|(known, _)| *known == part) {
                Some((_, sum)) => *sum += time,
                None => parts.push((part, time)),
            }
        }
    }
    parts.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let parts: Vec<String> =
        parts.into_iter().take(3).map(|(part, time)| format!("{part} {}", words::total(time))).collect();
    if parts.is_empty() { whole } else { format!("{whole} ({})", parts.join(", ")) }
}

fn nodes(face: &Face, state: &RunState) -> Vec<Line> {
    let names = run::nodes_of(state);
    let times: Vec<Vec<(&str, Duration)>> = names.iter().map(|node| run::time_by_part(state, node)).collect();
    let mut parts: Vec<&str> = Vec::new();
    for (part, _) in times.iter().flatten() {
        if !parts.contains(part) {
            parts.push(part);
        }
    }
    let mut table = Table::new(2).column("").column("");
    for (order, _) in parts.iter().enumerate() {
        table = table.if_room("", u8::try_from(order).unwrap_or(u8::MAX));
    }
    table = table.column("");
    for (node, times) in names.iter().zip(&times) {
        let stand = Stand::of(state, node);
        let mut row = vec![(Tone::Strong, node.to_string()), (stand.sign().tone(), stand.word().to_owned())];
        for part in &parts {
            let time = times.iter().find(|(known, _)| known == part);
            let cell = time.map(|(part, time)| format!("{part} {:>5}", words::elapsed(*time)));
            row.push((Tone::Text, cell.unwrap_or_default()));
        }
        row.push((Tone::Dim, remark(state, node)));
        table.row(row);
    }
    table.lines(face)
}

/// What was not as it should be about a node, or why it stands where it does.
fn remark(state: &RunState, node: &NodeName) -> String {
    let mut remarks = Vec::new();
    for (turn, turn_state) in state.turns.iter().filter(|(turn, _)| turn.node == *node) {
        if let TurnStatus::Skipped { reason } = &turn_state.status {
            remarks.push(format!("left out: {reason}"));
        }
        if let Some(key) = state.trouble(turn).filter(|_| turn_state.status != TurnStatus::RolledBack) {
            remarks.push(run::title_of(state, &key));
        }
    }
    for (key, step) in state.steps.iter().filter(|(key, _)| key.node == *node) {
        if step.attempts > 1 {
            remarks.push(format!("{} took {} attempts", run::title_of(state, key), step.attempts));
        }
        if let UndoStatus::Failed { why, .. } = &step.undo {
            remarks.push(format!("undo of {} failed: {why}", run::title_of(state, key)));
        }
    }
    remarks.join("; ")
}
