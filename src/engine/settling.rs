//! A step whose end nobody saw: what it declares for that case is asked of its machine, in the order that the
//! model gives; what a human decided comes last.

use super::asking::{self, Ask, wording};
use super::pool::Opens;
use super::scene;
use super::site::Site;
use crate::model::condition::Verdict;
use crate::model::event::{Event, Means, Outcome, Reading, Settlement};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;
use crate::model::procedure::{CheckRef, Target};
use crate::model::recovery::Settling;
use crate::model::state::{RunState, Taken};

/// Settles an unknown step, or undo, or finds that only a human can.
pub(super) async fn settle<O: Opens>(site: &Site<O>, state: &RunState, key: &StepKey, undo: bool) -> Event {
    let mut read = None;
    let mut found = state.settling(key, undo, None);
    if found == Settling::AskProbe {
        let (verdict, words) = probe(site, state, key).await;
        found = state.settling(key, undo, Some(&verdict));
        read = Some(words);
    }
    let key = key.clone();
    let Settling::Settled(verdict, how) = found else {
        return Event::LeftUnknown { key, undo, why: read.unwrap_or_default() };
    };
    let decided = state.decision(&key, undo).filter(|_| how == Means::Decided);
    let why = match how {
        Means::Reboot => "its machine was booted since, and that is what it is for".to_owned(),
        Means::Probe => read.unwrap_or_default(),
        Means::RetrySafe => "doing it again does no harm, it says".to_owned(),
        Means::Decided => decided.and_then(|decided| decided.why.clone()).unwrap_or_default(),
    };
    let by = decided.map(|_| state.request.by.clone());
    Event::Settled { key, undo, verdict, how, by, why }
}

/// Reads `done_if`, on the machine where the step was done unless the check says another.
async fn probe<O: Opens>(site: &Site<O>, state: &RunState, key: &StepKey) -> (Verdict, String) {
    let unreadable = |why: String| (Verdict::Unreadable { why: why.clone() }, why);
    let planned = state.plan.find(&key.step).and_then(|(_, planned)| planned.step());
    let Some(reference) = planned.and_then(|step| step.if_unknown.done_if.as_ref()) else {
        return unreadable("it has no `done_if`".to_owned());
    };
    match readings(site, state, key, reference).await {
        Ok(readings) => verdict_of(&readings),
        Err(why) => unreadable(why),
    }
}

async fn readings<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    key: &StepKey,
    reference: &CheckRef,
) -> Result<Vec<Reading>, String> {
    let check = site.plan.check(reference);
    let machines: Vec<NodeName> = match &check.on {
        Target::Itself => state.step(key).map(|step| step.on.clone()).unwrap_or_default(),
        target => scene::places(site, state, &key.node, target).await.map_err(|failure| failure.message)?,
    };
    if machines.is_empty() {
        return Err("it is not known where it was begun".to_owned());
    }
    let asks: Vec<Ask<'_>> =
        machines.into_iter().map(|on| Ask { check, lane: key.node.clone(), on }).collect();
    Ok(asking::ask(site, state, &asks).await.readings)
}

/// Of several machines: one that cannot be read leaves it open, one where it does not hold says no.
fn verdict_of(readings: &[Reading]) -> (Verdict, String) {
    let gravity = |reading: &&Reading| match reading.verdict {
        Verdict::Unreadable { .. } => 0,
        Verdict::DoesNotHold { .. } => 1,
        Verdict::Holds => 2,
    };
    readings.iter().min_by_key(gravity).map_or_else(
        || {
            let why = "nothing was read".to_owned();
            (Verdict::Unreadable { why: why.clone() }, why)
        },
        |reading| (reading.verdict.clone(), wording(reading)),
    )
}

/// What is said when the node itself knows the end of a step that somebody decided about.
pub(super) fn not_needed(state: &RunState, key: &StepKey, undo: bool, outcome: &Outcome) -> Option<String> {
    let decided = state.decision(key, undo)?;
    // It was needed: the node has only been asked whether it stays so.
    if state.step(key).is_some_and(|step| step.taken != Taken::ForNothing) {
        return None;
    }
    let known = match outcome {
        Outcome::Unknown { .. } => return None,
        Outcome::Done | Outcome::Skipped { .. } => "it was done",
        Outcome::Failed(_) => "it failed",
        Outcome::Interrupted => "it never began",
    };
    Some(format!("--decide {decided} is not needed: the node knows that {known}"))
}

/// The same where what the step declares has settled it.
pub(super) fn passed_over(state: &RunState, key: &StepKey, undo: bool, event: &Event) -> Option<String> {
    let decided = state.decision(key, undo)?;
    let Event::Settled { verdict, how, .. } = event else { return None };
    if *how == Means::Decided {
        return None;
    }
    let known = match verdict {
        Settlement::Done => "it was done",
        Settlement::NotDone => "it is to be done",
        Settlement::Failed => "it failed",
    };
    let by = match how {
        Means::Reboot => "`reboots`",
        Means::Probe => "`done_if`",
        Means::RetrySafe | Means::Decided => "`retry: safe`",
    };
    Some(format!("--decide {decided} is not needed: {by} says that {known}"))
}
