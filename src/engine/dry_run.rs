//! The dry run: everything that can be read is read, nothing is changed. It is handed a pool that opens
//! readers, so that it cannot.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::artifacts;
use super::asking::{self, Ask, Told};
use super::opening;
use super::pool::Opens;
use super::scene;
use super::site::Site;
use super::survey::survey;
use super::watching::{asked_by_invariant, captured};
use super::worker::holds;
use crate::model::condition::{Value, Verdict};
use crate::model::event::{Event, Failure, FailureKind, Halt, Reading, Record, Stop, Turn};
use crate::model::fence::Fence;
use crate::model::forecast::{Forecast, Outlook, StepForecast, TurnForecast};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, PlannedStep, Section, Work};
use crate::model::procedure::{Action, CheckRef};
use crate::model::schedule::turns_to_come;
use crate::model::state::{Illegal, RunState};
use crate::transport::{Reader as _, Secret};

/// Reads everything that a run would read before it changes something. `opened` is the state of a run
/// that exists only in memory. A node that does not answer keeps nobody from asking the others.
pub async fn forecast<O: Opens>(site: &Site<O>, opened: RunState) -> Result<Forecast, Illegal> {
    let mut state = opened;
    let mut nodes = opening::needed(&site.plan, state.request.limit.as_deref());
    let failed = site.pool.open_all(&nodes).await;
    let silent: BTreeMap<NodeName, Failure> = failed
        .into_iter()
        .map(|(node, error)| (node, asking::masked(site, asking::unreachable(&error))))
        .collect();
    nodes.retain(|node| !silent.contains_key(node));
    if !silent.is_empty() {
        if nodes.is_empty() {
            return Ok(Forecast { silent, locks: BTreeMap::new(), refused: None, turns: Vec::new() });
        }
        state.request.limit = Some(nodes.clone());
    }
    let (foreseen, locks) = tokio::join!(foresee(site, &mut state), locks(site, &nodes));
    let (refused, turns) = match foreseen? {
        Ok(turns) => (None, turns),
        Err(mut stop) => {
            stop.mask(&site.secrets().masking());
            (Some(stop), glance(site, &state, &nodes).await)
        }
    };
    Ok(Forecast { silent, locks, refused, turns })
}

/// The locks of nodes. One that cannot be read now is found when it is to be taken.
async fn locks<O: Opens>(site: &Site<O>, nodes: &[NodeName]) -> BTreeMap<NodeName, Fence> {
    let asked = nodes.iter().map(|node| async move {
        let session = site.pool.session(node).await.ok()?;
        Some((node.clone(), session.fence(&site.plan.cluster).await.ok()??))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// The turns that would come, or why there would be none.
async fn foresee<O: Opens>(
    site: &Site<O>,
    state: &mut RunState,
) -> Result<Result<Vec<TurnForecast>, Stop>, Illegal> {
    let events = match opening::open(site, state).await {
        Ok(events) => events,
        Err(stop) => return Ok(Err(stop)),
    };
    for event in events {
        imagine(state, event)?;
    }
    let state = &*state;
    let phases = 0..state.plan.phases.len();
    let orders = join_all(phases.map(|phase| order_of(site, state, phase))).await;
    let turns: Vec<Turn> = match orders.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(orders) => orders.into_iter().flatten().collect(),
        Err(failure) => {
            return Ok(Err(Stop { halt: Halt::CheckFailed, why: failure.message, key: None }));
        }
    };
    let questions = questions(site, state, &turns).await;
    let asks: Vec<Ask<'_>> = questions.iter().flat_map(|question| question.asks(site)).collect();
    let (mut told, copies) = tokio::join!(asking::ask(site, state, &asks), copies(site, state, &turns));
    learn(site, state, &turns, &questions, &told.values);
    Reading::mask_all(&mut told.readings, &site.secrets().masking());
    let mut readings = told.readings.into_iter();
    let mut answered = questions.into_iter().map(|question| {
        let told = Told {
            readings: readings.by_ref().take(question.count()).collect(),
            unreachable: told.unreachable.clone(),
            ..Told::default()
        };
        (question, told)
    });
    let mut forecasts = Vec::new();
    for turn in &turns {
        let mut steps = Vec::new();
        for planned in state.steps_of(turn) {
            let (question, mut told) =
                answered.next().expect("there is a question for every step of every turn");
            if planned.step().and_then(|step| step.capture.as_ref()).is_some_and(|capture| capture.secret) {
                told.hide();
            }
            let outlook = masked(site, outlook(state, &copies, turn, planned, &question, &told));
            steps.push(step_forecast(turn, planned, outlook, told.readings));
        }
        let version = state.versions.get(&turn.node).map(|versions| versions.now.clone());
        forecasts.push(turn_forecast(state, turn, version, steps));
    }
    Ok(Ok(forecasts))
}

/// What a step would capture as a secret is one already, wherever it stands.
fn learn<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    turns: &[Turn],
    questions: &[Question],
    values: &[Option<Value>],
) {
    let mut values = values.iter();
    let steps = turns.iter().flat_map(|turn| state.steps_of(turn));
    for (planned, question) in steps.zip(questions) {
        let read: Vec<&Value> = values.by_ref().take(question.count()).flatten().collect();
        // With a `skip_if` it was that which was asked.
        let Some(step) = planned.step().filter(|step| step.skip_if.is_none()) else { continue };
        let Some(capture) = step.capture.as_ref().filter(|capture| capture.secret) else { continue };
        if let Ok(value) = captured(capture, read.first().copied()) {
            site.secrets().keep(&question.lane, capture.name.as_str(), Secret::new(value));
        }
    }
}

/// What can be told of nodes when there would be no run: their versions, and what is staged.
async fn glance<O: Opens>(site: &Site<O>, state: &RunState, nodes: &[NodeName]) -> Vec<TurnForecast> {
    let mut turns = Vec::new();
    for answer in survey(site, state, nodes).await {
        let Some(phase) = state.plan.phases.iter().position(|phase| phase.nodes.contains(&answer.node))
        else {
            continue;
        };
        let turn = Turn { phase, node: answer.node };
        let copies = state.steps_of(&turn).iter().filter(|planned| planned.work == Work::Stage);
        let steps = copies.filter_map(|planned| {
            let outlook = if answer.staged? { already_there() } else { Outlook::WouldRun };
            Some(step_forecast(&turn, planned, outlook, Vec::new()))
        });
        let steps = steps.collect();
        turns.push(turn_forecast(state, &turn, answer.version.and_then(Result::ok), steps));
    }
    turns
}

fn step_forecast(
    turn: &Turn,
    planned: &PlannedStep,
    outlook: Outlook,
    readings: Vec<Reading>,
) -> StepForecast {
    StepForecast {
        key: turn.key(&planned.id),
        label: planned.label.clone(),
        section: planned.section,
        outlook,
        readings,
    }
}

fn turn_forecast(
    state: &RunState,
    turn: &Turn,
    version: Option<String>,
    steps: Vec<StepForecast>,
) -> TurnForecast {
    TurnForecast {
        phase: state.plan.phases[turn.phase].name.clone(),
        node: turn.node.clone(),
        version,
        steps,
    }
}

fn already_there() -> Outlook {
    Outlook::NotNeeded { why: "everything is there already".to_owned() }
}

fn imagine(state: &mut RunState, event: Event) -> Result<(), Illegal> {
    let record = Record { seq: state.latest_seq + 1, at: state.latest_at, event };
    state.apply(&record)
}

/// The turns of a phase in the order in which they would come.
async fn order_of<O: Opens>(site: &Site<O>, state: &RunState, phase: usize) -> Result<Vec<Turn>, Failure> {
    let planned = &state.plan.phases[phase];
    if let Some(when) = &planned.when
        && let Ok(Some(_)) = holds(when, &state.vars_of(&NodeName::operator()))
    {
        return Ok(Vec::new());
    }
    let last = match &planned.last {
        None => Vec::new(),
        Some(role) => scene::holders(site, state, role).await?,
    };
    Ok(turns_to_come(state, phase, &last))
}

/// The checks of one step with the machines that are asked.
struct Question {
    lane: NodeName,
    on: Vec<(CheckRef, Vec<NodeName>)>,
    unanswerable: Option<Failure>,
}

impl Question {
    /// How many readings answer it.
    fn count(&self) -> usize {
        self.on.iter().map(|(_, machines)| machines.len()).sum()
    }

    fn asks<'a, O: Opens>(&'a self, site: &'a Site<O>) -> Vec<Ask<'a>> {
        self.on
            .iter()
            .flat_map(|(reference, machines)| {
                machines.iter().map(|on| Ask {
                    check: site.plan.check(reference),
                    lane: self.lane.clone(),
                    on: on.clone(),
                })
            })
            .collect()
    }
}

async fn questions<O: Opens>(site: &Site<O>, state: &RunState, turns: &[Turn]) -> Vec<Question> {
    let steps = turns.iter().flat_map(|turn| state.steps_of(turn).iter().map(move |planned| (turn, planned)));
    join_all(steps.map(|(turn, planned)| question_of(site, state, turn, planned))).await
}

/// What would be copied to each node that gets copies.
type Copies = BTreeMap<NodeName, Outlook>;

async fn copies<O: Opens>(site: &Site<O>, state: &RunState, turns: &[Turn]) -> Copies {
    let is_copied = |turn: &&Turn| state.steps_of(turn).iter().any(|planned| planned.work == Work::Stage);
    let asked = turns.iter().filter(is_copied).map(|turn| async {
        let outlook = match artifacts::missing(site, &turn.node).await {
            Ok(missing) if missing.is_empty() => already_there(),
            Ok(missing) => {
                let urls: Vec<_> =
                    missing.iter().filter_map(|(file, _)| file.origin.url().cloned()).collect();
                if urls.is_empty() { Outlook::WouldRun } else { Outlook::WouldFetch { urls } }
            }
            Err(failure) => Outlook::WouldStop(failure),
        };
        (turn.node.clone(), outlook)
    });
    join_all(asked).await.into_iter().collect()
}

async fn question_of<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    turn: &Turn,
    planned: &PlannedStep,
) -> Question {
    let mut question = Question { lane: turn.node.clone(), on: Vec::new(), unanswerable: None };
    if planned.work == Work::Invariants {
        for name in &state.plan.invariants {
            let check = &state.plan.checks[name];
            match asked_by_invariant(site, state, check).await {
                Ok(mut machines) => {
                    machines.retain(|node| *node != turn.node);
                    question.on.push((CheckRef::Named(name.clone()), machines));
                }
                Err(failure) => question.unanswerable = Some(failure),
            }
        }
        return question;
    }
    for reference in readable_now(planned) {
        let place = match &planned.work {
            Work::WayIn(way_in) => site.plan.place_of(way_in),
            _ => &site.plan.check(&reference).on,
        };
        match scene::places(site, state, &turn.node, place).await {
            Ok(machines) => question.on.push((reference, machines)),
            Err(failure) => question.unanswerable = Some(failure),
        }
    }
    question
}

/// The checks of a step whose answer today says something about the run: pre-checks, gates, and
/// whether a step is done already. What verifies a change has nothing to verify yet.
fn readable_now(planned: &PlannedStep) -> Vec<CheckRef> {
    if let Work::WayIn(way_in) = &planned.work {
        return vec![way_in.check.clone()];
    }
    let Some(step) = planned.step() else { return Vec::new() };
    if let Some(check) = &step.skip_if {
        return vec![check.clone()];
    }
    match &step.action {
        Action::Gate(gate) if !planned.section.is_after_the_change() => gate.checks.clone(),
        Action::Check(check) if matches!(planned.section, Section::Precheck | Section::Steps) => {
            vec![check.clone()]
        }
        _ => Vec::new(),
    }
}

fn outlook(
    state: &RunState,
    copies: &Copies,
    turn: &Turn,
    planned: &PlannedStep,
    question: &Question,
    told: &Told,
) -> Outlook {
    if let Some(failure) = &question.unanswerable {
        return Outlook::CannotKnow { why: failure.message.clone() };
    }
    if let Some(early) = before_its_checks(state, copies, turn, planned) {
        return early;
    }
    let step = planned.step();
    if step.is_some_and(|step| step.skip_if.is_some()) {
        return match told.failure() {
            None => Outlook::NotNeeded { why: words(&told.readings) },
            Some(failure) if told.readings.iter().any(is_unreadable) => Outlook::WouldStop(failure),
            Some(_) => Outlook::WouldRun,
        };
    }
    let is_gate = planned.is_gate();
    if planned.work == Work::Invariants {
        return invariants(state, told).map_or(Outlook::Holds, Outlook::WouldStop);
    }
    if question.on.is_empty() {
        return match (is_gate, planned.is_effect()) {
            (true, _) => Outlook::WouldAsk,
            (false, true) => Outlook::WouldRun,
            (false, false) => {
                Outlook::CannotKnow { why: "it verifies what has not been changed yet".to_owned() }
            }
        };
    }
    match (told.failure(), is_gate) {
        (None, true) => Outlook::WouldAsk,
        (None, false) => Outlook::Holds,
        (Some(failure), true) => Outlook::WouldWait(failure),
        (Some(failure), false) => Outlook::WouldStop(failure),
    }
}

/// Why it is so, as it may be shown and kept.
fn masked<O: Opens>(site: &Site<O>, outlook: Outlook) -> Outlook {
    match outlook {
        Outlook::NotNeeded { why } => Outlook::NotNeeded { why: site.mask(&why) },
        Outlook::CannotKnow { why } => Outlook::CannotKnow { why: site.mask(&why) },
        Outlook::WouldStop(failure) => Outlook::WouldStop(asking::masked(site, failure)),
        Outlook::WouldWait(failure) => Outlook::WouldWait(asking::masked(site, failure)),
        Outlook::WouldRun | Outlook::WouldFetch { .. } | Outlook::Holds | Outlook::WouldAsk => outlook,
    }
}

fn is_unreadable(reading: &Reading) -> bool {
    matches!(reading.verdict, Verdict::Unreadable { .. })
}

fn words(readings: &[Reading]) -> String {
    readings.iter().map(asking::wording).collect::<Vec<_>>().join("; ")
}

/// What can be said of a step without its checks: its `when`, captures that do not exist yet, copies.
fn before_its_checks(
    state: &RunState,
    copies: &Copies,
    turn: &Turn,
    planned: &PlannedStep,
) -> Option<Outlook> {
    if planned.work == Work::Stage {
        return copies.get(&turn.node).cloned();
    }
    let vars = state.vars_of(&turn.node);
    if let Some(when) = planned.when() {
        match holds(when, &vars) {
            Ok(None) => {}
            Ok(Some(why)) => return Some(Outlook::NotNeeded { why }),
            Err(_) if captured_names(state).contains(when.var.as_str()) => {
                return Some(Outlook::CannotKnow {
                    why: format!("{} is captured by an earlier step", when.var),
                });
            }
            Err(why) => {
                return Some(Outlook::WouldStop(scene::failure(FailureKind::Input, why)));
            }
        }
    }
    let scripts: Vec<&str> = readable_now(planned)
        .iter()
        .map(|reference| match reference {
            CheckRef::Named(name) => state.plan.checks[name].script.body.as_str(),
            CheckRef::Inline(_) => "",
        })
        .collect();
    let inline: Vec<String> = readable_now(planned)
        .into_iter()
        .filter_map(|reference| match reference {
            CheckRef::Inline(check) => Some(check.script.body),
            CheckRef::Named(_) => None,
        })
        .collect();
    captured_names(state)
        .into_iter()
        .find(|name| {
            !vars.contains_key(*name)
                && (scripts.iter().any(|body| names(body, name))
                    || inline.iter().any(|body| names(body, name)))
        })
        .map(|name| Outlook::CannotKnow { why: format!("{name} is captured by an earlier step") })
}

fn names(body: &str, variable: &str) -> bool {
    body.contains(&format!("${variable}")) || body.contains(&format!("${{{variable}"))
}

fn captured_names(state: &RunState) -> BTreeSet<&str> {
    state
        .plan
        .phases
        .iter()
        .filter(|phase| phase.kind != PhaseKind::Staging)
        .flat_map(|phase| &phase.steps)
        .filter_map(|planned| Some(planned.step()?.capture.as_ref()?.name.as_str()))
        .collect()
}

fn invariants(state: &RunState, told: &Told) -> Option<Failure> {
    let reading = told.readings.iter().find(|reading| {
        let before = state
            .plan
            .invariants
            .iter()
            .filter(|name| state.plan.checks[*name].label == reading.check)
            .find_map(|name| state.baseline.get(&(name.clone(), reading.node.clone())));
        !reading.verdict.holds() && !matches!(before, Some(Verdict::DoesNotHold { .. }))
    })?;
    Some(Failure {
        kind: FailureKind::Check,
        message: asking::wording(reading),
        tail: reading.evidence.clone(),
        help: reading.remedy.clone(),
    })
}
