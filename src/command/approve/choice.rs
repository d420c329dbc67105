//! Which question is meant, and what is answered.

use super::super::context::Context;
use super::super::refusal::Refusal;
use crate::cli::Approve;
use crate::config::meant;
use crate::exit::Exit;
use crate::model::event::{Decision, Question};
use crate::model::state::{Pending, RunState};
use crate::ui::approve::{name_of, title_of, ways};
use crate::ui::gate;
use crate::ui::next::Next;

/// Questions that are listed with the commands that answer them.
const LISTED: usize = 4;

/// The one question that the words mean.
pub(super) fn choose(context: &Context, state: &RunState, flags: &Approve) -> Result<Pending, Refusal> {
    let all = state.pending();
    let fits = |pending: &&Pending| {
        let key = pending.question.key();
        let is_named = flags.gate.as_ref().is_none_or(|word| is_called(state, pending, word));
        let is_there = flags.node.as_ref().is_none_or(|node| key.node == *node);
        is_named && is_there && flags.question.is_none_or(|number| number == pending.number)
    };
    let fitting: Vec<&Pending> = all.iter().filter(fits).collect();
    let put: Vec<&Pending> = fitting.iter().filter(|pending| pending.is_put).copied().collect();
    match (put.as_slice(), fitting.as_slice()) {
        ([one], _) | ([], [one]) => Ok((*one).clone()),
        ([], []) => Err(none(context, state, flags, &all)),
        ([], several) | (several, _) => Err(listed(
            context,
            state,
            Refusal::input("more than one question waits").help("say which: GATE and --node"),
            several,
        )),
    }
}

fn is_called(state: &RunState, pending: &Pending, word: &str) -> bool {
    let key = pending.question.key();
    let label = state.plan.find(&key.step).map(|(_, step)| step.label.as_str());
    name_of(state, key) == word || key.to_string() == word || label == Some(word)
}

fn listed(context: &Context, state: &RunState, refusal: Refusal, waiting: &[&Pending]) -> Refusal {
    let program = context.program();
    let refusal = waiting.iter().fold(refusal, |refusal, pending| {
        let key = pending.question.key();
        let closed = if pending.is_put { "" } else { ", closed" };
        refusal.evidence(format!("{}: {}{closed}", key.node, title_of(state, pending)))
    });
    let first = |pending: &&Pending| ways(state, pending, &program).into_iter().next();
    let nexts: Vec<Next> = waiting.iter().take(LISTED).filter_map(first).collect();
    let refusal = nexts.into_iter().fold(refusal, Refusal::next);
    refusal.next(context.command(&["status"], "everything that waits")).standing("nothing was done")
}

/// Nothing waits that the words mean.
fn none(context: &Context, state: &RunState, flags: &Approve, all: &[Pending]) -> Refusal {
    let waiting: Vec<&Pending> = all.iter().collect();
    if let Some(number) = flags.question.filter(|number| all.iter().all(|one| one.number != *number)) {
        let what = format!("question {number} is not what waits now");
        return listed(context, state, Refusal::input(what), &waiting);
    }
    let Some(word) = &flags.gate else {
        let place = flags.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        return listed(
            context,
            state,
            Refusal::input(format!("nothing waits for an answer{place}")),
            &waiting,
        );
    };
    let gates: Vec<String> = state
        .plan
        .phases
        .iter()
        .flat_map(crate::model::plan::PlannedPhase::all_steps)
        .filter(|step| step.is_gate())
        .filter_map(|step| step.gate_name().map(ToString::to_string))
        .collect();
    let is_known = gates.contains(word) || all.iter().any(|pending| is_called(state, pending, word));
    let what = if is_known {
        let place = flags.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        format!("`{word}` does not wait{place} now")
    } else {
        format!("no gate is called `{word}`")
    };
    let refusal = Refusal::input(what);
    let refusal = match meant(word, gates.iter().map(String::as_str)).filter(|_| !is_known) {
        Some(near) => refusal.help(format!("did you mean `{near}`?")),
        None => refusal,
    };
    listed(context, state, refusal, &waiting)
}

/// What the flags answer.
pub(super) fn decide(
    context: &Context,
    state: &RunState,
    pending: &Pending,
    flags: &Approve,
) -> Result<Decision, Refusal> {
    let title = title_of(state, pending);
    let is_way_out = flags.retry || flags.done || flags.skip || flags.roll_back;
    let with_ways = |refusal: Refusal| {
        let ways = ways(state, pending, &context.program());
        ways.into_iter().fold(refusal, Refusal::next).standing("nothing was done; it waits on")
    };
    if flags.deny {
        return Ok(Decision::No);
    }
    if let Question::Trouble { .. } = pending.question {
        let reason = flags.reason.clone().unwrap_or_default();
        return match (flags.retry, flags.done, flags.skip, flags.roll_back) {
            (true, ..) => Ok(Decision::Retry),
            (_, true, ..) => Ok(Decision::MarkDone { reason }),
            (_, _, true, _) => Ok(Decision::SkipNode { reason }),
            (.., true) => Ok(Decision::RollBack),
            _ => Err(with_ways(Refusal::input(format!("{title} went wrong: say what is to be done")).help(
                "also --skip --reason TEXT and --roll-back, where its node can be left or taken back",
            ))),
        };
    }
    if is_way_out {
        let what = format!("{title} has not failed: it is answered yes, or no with --deny");
        return Err(with_ways(Refusal::input(what)));
    }
    if pending.is_typed && flags.confirm.is_none() {
        let what = format!("{title} takes the cluster's name");
        return Err(with_ways(Refusal::input(what).help(format!("--confirm {}", state.plan.cluster))));
    }
    if pending.is_put {
        return Ok(Decision::Yes);
    }
    closed(context, state, pending, flags, &title)
}

/// A gate that is closed is opened for its node's name and a reason, as at the terminal, and for nothing else.
fn closed(
    context: &Context,
    state: &RunState,
    pending: &Pending,
    flags: &Approve,
    title: &str,
) -> Result<Decision, Refusal> {
    let key = pending.question.key();
    let way = || ways(state, pending, &context.program());
    let Some(reason) = &flags.reason else {
        let readings = gate::one_line(&state.readings_of(key), &key.node);
        let refusal = Refusal::new(Exit::GateClosed, format!("{title} is closed"))
            .evidence(readings)
            .help("wait until it is open; only a reason opens it as it is, and goes into the journal");
        let refusal = way().into_iter().fold(refusal, Refusal::next);
        return Err(refusal
            .next(context.command(&["status", "--watch"], "look on"))
            .standing("nothing was done; it waits on"));
    };
    if flags.node.is_none() && !key.node.is_operator() {
        let refusal = Refusal::input(format!("{title} is closed: name the node for which it is opened"));
        return Err(way().into_iter().fold(refusal, Refusal::next).standing("nothing was done; it waits on"));
    }
    Ok(Decision::Override { reason: reason.clone() })
}
