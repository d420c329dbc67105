//! One sentence for each record: what both renderers print and keep.

use crate::model::condition::Verdict;
use crate::model::duration::{self, between};
use crate::model::event::{
    Decision, Event, How, Means, Operator, Outcome, Question, Reading, Record, Reverting, RunEnd, Settlement,
    Turn, TurnEnd,
};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, PlannedStep, StepKey, Work};
use crate::model::state::RunState;

use super::gate;
use super::ink::Sign;
use super::run;
use super::words;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Loudness {
    /// Errors and the last line only.
    Quiet,
    /// Every change of state.
    #[default]
    Normal,
    /// Everything.
    Verbose,
}

/// A sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// About whom; the run when absent.
    pub node: Option<NodeName>,
    /// Its sign.
    pub sign: Sign,
    /// The sentence.
    pub text: String,
    /// Lines below it: the last output of what failed, help.
    pub below: Vec<String>,
    /// From which loudness on it is said.
    pub from: Loudness,
}

fn told(node: Option<&NodeName>, sign: Sign, text: String) -> Told {
    let node = node.filter(|node| !node.is_operator()).cloned();
    Told { node, sign, text, below: Vec::new(), from: Loudness::Normal }
}

fn verbose(told: Told) -> Told {
    Told { from: Loudness::Verbose, ..told }
}

fn quietly(told: Told) -> Told {
    Told { from: Loudness::Quiet, ..told }
}

/// Words a record; `state` is the fold with the record in it. Nothing is said of a record that a prompt or
/// another record tells of.
pub fn narrate(record: &Record, state: &RunState) -> Option<Told> {
    Some(match &record.event {
        Event::RunOpened { .. }
        | Event::Adopted { .. }
        | Event::RunResumed { .. }
        | Event::LockTaken { .. } => invocation(&record.event, state)?,
        Event::BaselineTaken { check, node, verdict } => {
            let was = match verdict {
                Verdict::Holds => "holds".to_owned(),
                Verdict::DoesNotHold { why } => format!("does not hold ({why})"),
                Verdict::Unreadable { why } => format!("cannot be read ({why})"),
            };
            verbose(told(Some(node), Sign::Done, format!("before the run, {check} {was}")))
        }
        Event::RolePinned { role, nodes } => {
            told(None, Sign::Done, format!("{role} is {}", words::list(&names(nodes))))
        }
        Event::VersionRead { node, version } => {
            verbose(told(Some(node), Sign::Done, format!("runs {version}")))
        }
        Event::PhaseStarted { phase } => {
            told(None, Sign::Working, format!("{} begins", phase_title(state, *phase)))
        }
        Event::PhaseSkipped { phase, why } => {
            told(None, Sign::Skipped, format!("{} is left out: {why}", phase_title(state, *phase)))
        }
        Event::PhaseEnded { phase } => {
            told(None, Sign::Done, format!("{} is done", phase_title(state, *phase)))
        }
        Event::BatchFormed { phase, nodes, last, .. } => batch(state, *phase, nodes, last)?,
        Event::StepStarted { key, attempt, on } => step_started(state, key, *attempt, on),
        Event::StepEnded { key, outcome, .. } => {
            let took = state.step(key).map(|step| between(step.started_at, record.at)).unwrap_or_default();
            ended(&key.node, &run::title_of(state, key), outcome, Some(took))
        }
        Event::RevertArmed { key, after, .. } => {
            let who = words::list(&names(&state.step(key).map(|step| step.on.clone()).unwrap_or_default()));
            let text = format!(
                "{}: {who} undoes it by itself in {}, unless a new login confirms it",
                run::title_of(state, key),
                duration::written(*after)
            );
            told(Some(&key.node), Sign::Waiting, text)
        }
        Event::RevertEnded { key, end, .. } => reverting(state, key, end),
        Event::UndoStarted { key, .. } => {
            told(Some(&key.node), Sign::Working, format!("undo of {} begins", run::title_of(state, key)))
        }
        Event::UndoEnded { key, outcome, .. } => {
            ended(&key.node, &format!("undo of {}", run::title_of(state, key)), outcome, None)
        }
        Event::Settled { key, undo, verdict, how, by, why } => {
            let (sign, text) = settled(&thing(state, key, *undo), *verdict, *how, by.as_ref(), why);
            quietly(told(Some(&key.node), sign, text))
        }
        Event::LeftUnknown { key, undo, why } => {
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let text = format!("{}: only a human can say how it ended{why}", thing(state, key, *undo));
            told(Some(&key.node), Sign::Waiting, text)
        }
        Event::Captured { key, name, value } => verbose(told(
            Some(&key.node),
            Sign::Done,
            format!("{name} is {}", value.as_deref().unwrap_or("kept secret")),
        )),
        Event::ReadingTaken { key, readings } => read(state, key, readings),
        // A prompt, or the stop that follows, says it.
        Event::Asked { .. } | Event::LockRefused { .. } => return None,
        Event::Answered { question, decision, how, by, .. } => {
            let (sign, text) = answered(state, question, decision, *how, &by.user);
            told(Some(&question.key().node), sign, text)
        }
        Event::WindowPassed { outside, .. } => {
            let text = format!("{}; going on all the same: {}", outside.why, outside.reason);
            told(None, Sign::Waiting, text)
        }
        Event::PointPassed { key } => {
            told(Some(&key.node), Sign::Done, "the point of no return is passed".to_owned())
        }
        Event::TurnEnded { turn, end } => turn_ended(state, turn, end),
        Event::StopRequested { stop } => {
            quietly(told(None, Sign::Waiting, format!("stopping: {}", stop.why)))
        }
        Event::RunClosed { verdict } => closed(state, verdict),
    })
}

/// How an invocation begins: with a run, with the lock, perhaps with what another machine left.
fn invocation(event: &Event, state: &RunState) -> Option<Told> {
    Some(match event {
        Event::RunOpened { run, .. } => told(None, Sign::Working, opened(state, run.0.as_str())),
        Event::Adopted { from, records, by, .. } => told(
            None,
            Sign::Waiting,
            format!(
                "run {} was taken over by {}@{}, from {} that {} kept",
                state.run,
                by.user,
                by.host,
                words::count(usize::try_from(*records).unwrap_or(usize::MAX), "record"),
                words::list(&names(from))
            ),
        ),
        Event::RunResumed { request } => told(
            None,
            Sign::Working,
            format!("run {} goes on, by {}@{}", state.run, request.by.user, request.by.host),
        ),
        Event::LockTaken { broke: Some(broken), .. } => quietly(told(
            None,
            Sign::Waiting,
            format!("the lock was taken from {}: {}", broken.holder, broken.reason),
        )),
        Event::LockTaken { epochs, broke: None } => {
            verbose(told(None, Sign::Done, format!("locked: {}", words::count(epochs.len(), "node"))))
        }
        _ => return None,
    })
}

/// What became of a change that its node was to undo by itself.
fn reverting(state: &RunState, key: &StepKey, end: &Reverting) -> Told {
    let title = run::title_of(state, key);
    let who = words::list(&names(&state.step(key).map(|step| step.on.clone()).unwrap_or_default()));
    match end {
        Reverting::Confirmed => {
            told(Some(&key.node), Sign::Done, format!("{title}: confirmed by a new login to {who}, it stays"))
        }
        Reverting::Withdrawn => {
            verbose(told(Some(&key.node), Sign::Done, format!("{title}: {who} does not undo it by itself")))
        }
        Reverting::Reverted { outcome: Outcome::Done | Outcome::Skipped { .. } } => {
            let text = format!("{title}: {who} undid it by itself, so it counts as not made");
            quietly(told(Some(&key.node), Sign::Waiting, text))
        }
        Reverting::Reverted { outcome } => {
            quietly(ended(&key.node, &format!("{title}: the undo that {who} began by itself"), outcome, None))
        }
    }
}

fn read(state: &RunState, key: &StepKey, readings: &[Reading]) -> Told {
    let open = readings.iter().all(|reading| reading.verdict.holds());
    let planned = state.plan.find(&key.step).map(|(_, step)| step);
    let is_gate = planned.is_some_and(PlannedStep::is_gate);
    let is_watched = planned.is_some_and(PlannedStep::is_effect);
    let (sign, word) = match (open, is_gate) {
        (true, _) if is_watched => (Sign::Working, "runs, and it holds"),
        (true, _) if planned.is_some_and(|step| step.work == Work::Invariants) => (Sign::Done, "hold"),
        (true, _) => (Sign::Done, "holds"),
        (false, true) => (Sign::Waiting, "closed"),
        (false, false) if is_watched => (Sign::Waiting, "runs, and it does not hold"),
        (false, false) => (Sign::Waiting, "not yet"),
    };
    let title = run::title_of(state, key);
    let text = match readings {
        // Its name is the step's.
        [only] if gate::is_plain_success(only) => format!("{title} {word}"),
        _ => format!("{title} {word}: {}", gate::one_line(readings, &key.node)),
    };
    told(Some(&key.node), sign, text)
}

fn turn_ended(state: &RunState, turn: &Turn, end: &TurnEnd) -> Told {
    let (sign, text) = match end {
        TurnEnd::Done => (Sign::Done, "done".to_owned()),
        TurnEnd::Failed => (Sign::Failed, "failed; the phase goes on without it".to_owned()),
        TurnEnd::Skipped { reason } => (Sign::Skipped, format!("left as it is: {reason}")),
        TurnEnd::RolledBack if state.plan.phases[turn.phase].kind == PhaseKind::Staging => {
            (Sign::Done, "unstaged".to_owned())
        }
        TurnEnd::RolledBack => (Sign::Done, "rolled back".to_owned()),
    };
    let text = format!("{text} ({})", phase_title(state, turn.phase));
    let told = told(Some(&turn.node), sign, text);
    if turn.node.is_operator() { verbose(told) } else { told }
}

fn names(nodes: &[NodeName]) -> Vec<&str> {
    nodes.iter().map(NodeName::as_str).collect()
}

fn opened(state: &RunState, run: &str) -> String {
    let what = match run::nodes_of(state).len() {
        0 => words::count(state.plan.phases.len(), "phase"),
        nodes => words::count(nodes, "node"),
    };
    let to = state.plan.to.as_ref().map(|to| format!(", to {to}")).unwrap_or_default();
    format!("run {run} on {} begins: {what}{to}", state.plan.cluster)
}

fn phase_title(state: &RunState, number: usize) -> String {
    let phase = &state.plan.phases[number];
    format!("phase \"{}\"", phase.name)
}

fn batch(state: &RunState, phase: usize, nodes: &[NodeName], last: &[NodeName]) -> Option<Told> {
    let tally = run::phase_tally(state, phase);
    if nodes.iter().all(NodeName::is_operator) {
        return None;
    }
    let next = words::list(&names(nodes));
    let role = state.plan.phases[phase].last.as_ref().filter(|_| !last.is_empty());
    let last = role.map(|role| format!("; last: {}, the {role}", words::list(&names(last))));
    let text = format!("next: {next} ({} of {} done){}", tally.done, tally.total, last.unwrap_or_default());
    Some(told(None, Sign::Working, text))
}

fn step_started(state: &RunState, key: &StepKey, attempt: u32, on: &[NodeName]) -> Told {
    let elsewhere: Vec<&str> =
        on.iter().filter(|node| **node != key.node && !node.is_operator()).map(NodeName::as_str).collect();
    let place = if elsewhere.is_empty() { String::new() } else { format!(" on {}", words::list(&elsewhere)) };
    let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
    let text = format!("{} begins{place}{again}", run::title_of(state, key));
    told(Some(&key.node), Sign::Working, text)
}

fn ended(node: &NodeName, title: &str, outcome: &Outcome, took: Option<std::time::Duration>) -> Told {
    let took = took.filter(|took| took.as_secs() > 0).map(|took| format!(" in {}", words::elapsed(took)));
    let took = took.unwrap_or_default();
    match outcome {
        Outcome::Done => told(Some(node), Sign::Done, format!("{title} done{took}")),
        Outcome::Skipped { why } => told(Some(node), Sign::Skipped, format!("{title} left out: {why}")),
        Outcome::Interrupted => {
            told(Some(node), Sign::Waiting, format!("{title} given up, because the run stops"))
        }
        Outcome::Unknown { why, .. } => {
            quietly(told(Some(node), Sign::Failed, format!("{title}: nobody knows how it ended: {why}")))
        }
        Outcome::Failed(failure) => {
            let mut told =
                quietly(told(Some(node), Sign::Failed, format!("{title} failed{took}: {}", failure.message)));
            told.below = failure.tail.iter().map(|line| format!("| {line}")).collect();
            told.below.extend(failure.help.iter().map(|help| format!("= help: {help}")));
            told
        }
    }
}

/// A step, or its undo, in words.
fn thing(state: &RunState, key: &StepKey, undo: bool) -> String {
    format!("{}{}", if undo { "undo of " } else { "" }, run::title_of(state, key))
}

fn settled(thing: &str, verdict: Settlement, how: Means, by: Option<&Operator>, why: &str) -> (Sign, String) {
    let (sign, what) = match verdict {
        Settlement::Done => (Sign::Done, "is taken as done"),
        Settlement::NotDone => (Sign::Working, "is to be done again"),
        Settlement::Failed => (Sign::Failed, "is taken as failed"),
    };
    let means = match (how, by) {
        (Means::Reboot, _) => "reboots".to_owned(),
        (Means::Probe, _) => "done_if".to_owned(),
        (Means::RetrySafe, _) => "retry: safe".to_owned(),
        (Means::Decided, Some(by)) => format!("decided by {}", by.user),
        (Means::Decided, None) => "decided".to_owned(),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    (sign, format!("{thing} {what} ({means}{why})"))
}

fn answered(
    state: &RunState,
    question: &Question,
    decision: &Decision,
    how: How,
    user: &str,
) -> (Sign, String) {
    let title = run::title_of(state, question.key());
    let who = match how {
        How::Terminal => user.to_owned(),
        How::Approved => format!("{user} with approve"),
        How::YesFlag => "--yes".to_owned(),
        How::OverrideFlag => "--override".to_owned(),
        How::ConfirmFlag => "--confirm".to_owned(),
        How::Nobody if state.request.attended => {
            return (Sign::Waiting, format!("{title}: nobody answered, and no answer is a no"));
        }
        How::Nobody => {
            return (Sign::Waiting, format!("stopped: {title} needs an answer and there is no terminal"));
        }
    };
    match decision {
        Decision::Yes => (Sign::Done, format!("{title}: yes, by {who}")),
        Decision::No => (Sign::Waiting, format!("{title}: no, by {who}")),
        Decision::Override { reason } => (Sign::Waiting, format!("{title} opened by {who}: {reason}")),
        Decision::Retry => (Sign::Working, format!("{title} is tried again, by {who}")),
        Decision::MarkDone { reason } => (Sign::Waiting, format!("{title} taken as done by {who}: {reason}")),
        Decision::SkipNode { reason } => (Sign::Skipped, format!("the node is left out by {who}: {reason}")),
        Decision::RollBack => (Sign::Waiting, format!("the node is rolled back, by {who}")),
    }
}

fn closed(state: &RunState, verdict: &RunEnd) -> Told {
    let (sign, text) = match verdict {
        RunEnd::Staged => (Sign::Done, "everything is staged; nothing was restarted".to_owned()),
        RunEnd::Finished => (Sign::Done, format!("run {} is finished", state.run)),
        RunEnd::Stopped(stop) => (Sign::Waiting, format!("stopped: {}", stop.why)),
        RunEnd::Unstaged => (Sign::Done, "what was staged is removed".to_owned()),
        RunEnd::RolledBack => (Sign::Done, "rolled back".to_owned()),
    };
    quietly(told(None, sign, text))
}
