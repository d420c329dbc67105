//! What an invocation leaves behind: one sentence, one line a node, what is still in force, what to type next.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::duration::between;
use crate::model::event::RunEnd;
use crate::model::name::NodeName;
use crate::model::state::{RunState, TurnStatus, UndoStatus};

use super::after;
use super::ink::{Line, Sign, Tone, wrap};
use super::next;
use super::run;
use super::status::Stand;
use super::table::Table;
use super::terminal::Face;
use super::words;

/// Builds the closing summary. `exit_code` is what this invocation ends with; `program` as in [`after::next`].
pub fn lines(face: &Face, state: &RunState, exit_code: u8, program: &[&str]) -> Vec<Line> {
    let mut lines = heading(face, state, exit_code);
    for stray in strays(state) {
        lines.extend(wrap(face, Line::of(face, "  "), Tone::Wait, &stray));
    }
    for broken in &state.broke {
        let text = format!("the lock was taken from {}: {}", broken.holder, broken.reason);
        lines.extend(wrap(face, Line::of(face, "  "), Tone::Wait, &text));
    }
    for outside in &state.outside {
        let head = Line::of(face, "  ");
        let text = format!("outside the window: {}", outside.sentence());
        lines.extend(wrap(face, head, Tone::Wait, &text));
    }
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

fn heading(face: &Face, state: &RunState, exit_code: u8) -> Vec<Line> {
    let cluster = state.plan.cluster.as_str();
    let tally = run::tally(state);
    let nodes = run::extent(state);
    let to = state.plan.to.as_deref();
    let (sign, text) = match &state.end {
        Some(RunEnd::Finished) => {
            // A procedure need not verify the version; what the nodes say themselves is not passed over.
            let to = to.filter(|_| strays(state).is_empty());
            let what = to.map_or_else(|| "is done".to_owned(), |to| format!("is on {to}"));
            (Sign::Done, format!("{cluster} {what}: {nodes}, {}", took(state)))
        }
        Some(RunEnd::Staged) => {
            let what = to.map_or_else(|| "is staged".to_owned(), |to| format!("is staged for {to}"));
            let count = match tally.total {
                0 => String::new(),
                total => format!(": {}", words::count(total, "node")),
            };
            (Sign::Done, format!("{cluster} {what}{count}; nothing was restarted"))
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

/// What nodes say of a finished upgrade whose version, in their own words, has not the new one in it.
fn strays(state: &RunState) -> Vec<String> {
    let Some(to) = state.plan.to.as_deref().filter(|_| state.end == Some(RunEnd::Finished)) else {
        return Vec::new();
    };
    let mut by_version: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (node, version) in state.versions.iter().filter(|(_, version)| !version.now.contains(to)) {
        by_version.entry(&version.now).or_default().push(node.as_str());
    }
    let say = |(version, nodes): (&str, Vec<&str>)| {
        let verb = if nodes.len() == 1 { "says" } else { "say" };
        format!("{} {verb} {version}, not {to}", words::list_some(&nodes, 4))
    };
    by_version.into_iter().map(say).collect()
}

fn took(state: &RunState) -> String {
    let whole = words::total(between(state.opened_at, state.latest_at));
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
    let is_staged = state.end == Some(RunEnd::Staged);
    for (node, times) in names.iter().zip(&times) {
        let stand = Stand::of(state, node);
        let (tone, word) = match stand {
            Stand::ToDo if is_staged => (Tone::Good, "staged"),
            stand => (stand.sign().tone(), stand.word()),
        };
        let mut row = vec![(Tone::Strong, node.to_string()), (tone, word.to_owned())];
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
    for (turn, turn_state) in state.turns_of(node) {
        if let TurnStatus::Skipped { reason } = &turn_state.status {
            remarks.push(format!("left out: {reason}"));
        }
        if let Some(key) = state.trouble(turn).filter(|_| turn_state.status != TurnStatus::RolledBack) {
            remarks.push(run::title_of(state, &key));
        }
    }
    for (key, step) in state.steps_in_turns_of(node) {
        if step.attempts > 1 {
            remarks.push(format!("{} took {} attempts", run::title_of(state, key), step.attempts));
        }
        if let UndoStatus::Failed { why, .. } = &step.undo {
            remarks.push(format!("undo of {} failed: {why}", run::title_of(state, key)));
        }
        if let UndoStatus::Unknown { .. } = &step.undo {
            remarks.push(format!("nobody knows how the undo of {} ended", run::title_of(state, key)));
        }
    }
    remarks.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::ink::paint;
    use super::super::sample;
    use super::*;
    use crate::model::event::{Event, Halt, Outcome, Stop};
    use crate::model::plan::Section;

    fn stopped() -> RunState {
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let why = "mq-02: queue depth: the gate stayed closed for 30m".to_owned();
        let stop = Stop { halt: Halt::GateClosed, why, key: Some(key.clone()) };
        events.push((2100, Event::StopRequested { stop: stop.clone() }));
        events.push((2100, Event::StepEnded { key, attempt: 1, outcome: Outcome::Interrupted }));
        events.push((2100, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
        sample::state(events)
    }

    fn shown(face: &Face, state: &RunState, code: u8) -> String {
        paint(face, &lines(face, state, code, &["rollgate"]))
    }

    #[test]
    fn a_stop_says_what_is_in_force_and_what_to_type() {
        let face = Face { color: false, unicode: true, width: Some(100) };
        assert_eq!(
            shown(&face, &stopped(), 10),
            "\
✗ mq-prod stopped with 1 of 3 nodes done: mq-02: queue depth: the gate stayed closed for 30m (exit
  10)
  mq-01  done     gate  1m36  drain  1m12  upgrade   48s  verify   36s
  mq-02  at gate  gate 30m00  drain   41s
  mq-03  to do
still in force:
  mq-02: drain \"stop the receiver\"
next: rollgate start --resume                    # wait for the gate again
      rollgate start --resume --gate-timeout 2h  # wait longer
      rollgate rollback                          # take mq-01 and mq-02 back
"
        );
    }

    #[test]
    fn every_attempt_took_its_time() {
        let face = Face { color: false, unicode: false, width: None };
        let mut events = sample::events();
        let key = sample::key("mq-02", Section::Drain, 2);
        let stop = Stop { halt: Halt::Interrupted, why: "Ctrl-C".to_owned(), key: None };
        events.push((2100, Event::StopRequested { stop: stop.clone() }));
        let interrupted = Outcome::Interrupted;
        events.push((2100, Event::StepEnded { key: key.clone(), attempt: 1, outcome: interrupted }));
        events.push((2100, Event::RunClosed { verdict: RunEnd::Stopped(stop) }));
        let before = shown(&face, &sample::state(events.clone()), 16);
        assert!(before.contains("gate 30m00"), "{before}");
        events.push((9000, Event::RunResumed { request: sample::request() }));
        let on = vec![key.node.clone()];
        events.push((9000, Event::StepStarted { key: key.clone(), attempt: 2, on }));
        events.push((9060, Event::StepEnded { key, attempt: 2, outcome: Outcome::Done }));
        let after = shown(&face, &sample::state(events), 0);
        assert!(after.contains("gate 31m00"), "{after}");
    }

    #[test]
    fn it_fits_and_is_ascii_where_it_has_to_be() {
        for width in [40, 80, 100, 200] {
            let face = Face { color: false, unicode: false, width: Some(width) };
            for line in shown(&face, &stopped(), 10).lines() {
                assert!(line.is_ascii() && line.len() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn colour_says_nothing_that_words_do_not() {
        let plain = Face { color: false, unicode: true, width: Some(100) };
        let colored = Face { color: true, ..plain };
        let text = shown(&colored, &stopped(), 10);
        assert!(text.contains("\x1b[32m"), "{text}");
        assert_eq!(console::strip_ansi_codes(&text), shown(&plain, &stopped(), 10));
    }
}
