//! Gates, manual steps and points of no return: live readings, a question, and after a yes the same
//! readings once more, right before acting (`product.md` §5).

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::asking::{self, Told, wording};
use super::desk::Message;
use super::scene::{self, failure};
use super::watching::{note, stoppable, watching};
use super::worker::{Assignment, Done, GateWord};
use crate::model::duration;
use crate::model::event::{
    Decision, Event, Failure, FailureKind, How, Inquiry, Notice, Operator, Outcome, Question, Reading,
};
use crate::model::name::StepName;
use crate::model::plan::PlannedStep;
use crate::model::procedure::{CheckRef, Gate, Manual, PointOfNoReturn};
use crate::model::template::Template;

/// What must be passed.
pub(super) struct Passage {
    name: Option<StepName>,
    text: String,
    consequence: String,
    checks: Vec<CheckRef>,
    steady: u32,
    every: Duration,
    limit: Duration,
    typed: bool,
    /// A human must have done something: `--yes` cannot say that it was done unless a check shows it.
    by_hand: bool,
}

async fn render(at: &Assignment, template: &Template) -> Result<String, Failure> {
    let mut vars = scene::vars(&at.site, &at.state, at.lane(), at.lane(), None);
    scene::add_live_roles(&at.site, &at.state, template.as_str(), &mut vars).await?;
    template.render(&vars).map_err(|unset| failure(FailureKind::Input, unset.to_string()))
}

pub(super) async fn of_gate(at: &Assignment, planned: &PlannedStep, gate: &Gate) -> Result<Passage, Failure> {
    let text = match &gate.question {
        Some(question) => render(at, question).await?,
        None if at.lane().is_operator() => "Go on?".to_owned(),
        None => format!("Go on with {}?", at.lane()),
    };
    Ok(Passage {
        name: planned.gate_name().cloned(),
        text,
        consequence: consequence(at),
        checks: gate.checks.clone(),
        steady: gate.steady,
        every: gate.every,
        limit: at.state.request.gate_timeout.unwrap_or_else(|| planned.timeout()),
        typed: gate.typed,
        by_hand: false,
    })
}

pub(super) async fn of_manual(
    at: &Assignment,
    planned: &PlannedStep,
    manual: &Manual,
) -> Result<Passage, Failure> {
    let text = render(at, &manual.text).await?;
    let text = text.trim_end();
    if manual.check.is_some() {
        // The question comes when the check holds, and that is when somebody has read this and done it.
        for line in text.lines() {
            at.desk.notify(Notice::Said { node: Some(at.lane().clone()), text: format!("by hand: {line}") });
        }
    }
    Ok(Passage {
        name: planned.gate_name().cloned(),
        text: format!("{text}\nIs it done?"),
        consequence: consequence(at),
        checks: manual.check.iter().cloned().collect(),
        steady: 1,
        every: Duration::from_secs(5),
        limit: at.state.request.gate_timeout.unwrap_or_else(|| planned.timeout()),
        typed: false,
        by_hand: manual.check.is_none(),
    })
}

/// The typed question before a point of no return; asked once in a run.
pub(super) async fn pass_point(at: &mut Assignment, planned: &PlannedStep, point: &PointOfNoReturn) -> Done {
    if at.state.points_passed.iter().any(|passed| passed.step == at.key.step) {
        return Err(Outcome::Skipped { why: "it has been passed already".to_owned() });
    }
    let way_back =
        if point.rollback_possible { "" } else { "\nAfter this, rollback and unstage lead back no more." };
    let passage = Passage {
        name: None,
        text: format!("Point of no return: {}{way_back}", render(at, &point.text).await?),
        consequence: consequence(at),
        checks: Vec::new(),
        steady: 1,
        every: Duration::from_secs(5),
        limit: planned.timeout(),
        typed: true,
        by_hand: false,
    };
    pass(at, passage).await?;
    at.desk.commit(Event::PointPassed { key: at.key.clone() }).await;
    Ok(())
}

/// What a yes will do: the steps up to the next question.
pub(super) fn consequence(at: &Assignment) -> String {
    let Some((phase, here)) = at.state.plan.find(&at.key.step) else { return String::new() };
    let is_back = |step: &PlannedStep| step.section == crate::model::plan::Section::Rollback;
    let steps: Vec<&PlannedStep> = at.state.plan.phases[phase]
        .all_steps()
        .skip_while(|step| step.id != at.key.step)
        .skip(1)
        .take_while(|step| !step.is_gate())
        .filter(|step| is_back(step) == is_back(here))
        .collect();
    let mut words: Vec<&str> = steps.iter().take(6).map(|step| step.label.as_str()).collect();
    let more = format!("{} more", steps.len().saturating_sub(6));
    if steps.len() > 6 {
        words.push(&more);
    }
    words.join(", ")
}

struct Open {
    answer: oneshot::Receiver<(Decision, How)>,
    since: Instant,
}

/// Watches until the gate is open and answered, or stays closed too long, or the run stops.
pub(super) async fn pass(at: &mut Assignment, passage: Passage) -> Done {
    let began = Instant::now();
    let mut steady = 0;
    let mut last = Vec::new();
    let mut open: Option<Open> = None;
    loop {
        let told = read(at, &passage).await?;
        note(at, &told.readings, &mut last).await;
        steady = if told.holds() { steady + 1 } else { 0 };
        at.desk.notify(watching(
            at,
            &told,
            (steady.min(passage.steady), passage.steady),
            passage.every,
            began.elapsed(),
            passage.limit,
        ));
        if override_flag(at, &passage, &told).await {
            return Ok(());
        }
        if !told.holds() && open.take().is_some() {
            at.desk.send(Message::Withdraw(question(at)));
            at.desk.notify(Notice::GateMoved { key: at.key.clone(), open: false });
        }
        if told.holds() && steady >= passage.steady && open.is_none() {
            at.desk.notify(Notice::GateMoved { key: at.key.clone(), open: true });
            match answer_by_flag(at, &passage, &told).await {
                Some(Decision::Yes) if confirm(at, &passage, &mut last).await? => return Ok(()),
                Some(Decision::Yes) => {
                    steady = 0;
                    continue;
                }
                Some(_) => return Err(nobody(at, &passage).into()),
                None => open = Some(ask(at, &passage, &told)),
            }
        }
        if let Some(outcome) = too_late(&passage, &told, began, open.as_ref()) {
            at.desk.send(Message::Withdraw(question(at)));
            return Err(outcome.into());
        }
        match until_something(at, &passage, &mut open).await? {
            Woken::Tick => {}
            Woken::Answer(Decision::Yes) => {
                open = None;
                if confirm(at, &passage, &mut last).await? {
                    return Ok(());
                }
                steady = 0;
            }
            Woken::Answer(Decision::Override { .. }) => return Ok(()),
            Woken::Answer(_) => {
                return Err(failure(FailureKind::NoAnswer, "the answer was no").into());
            }
            Woken::Open { reason, from } => {
                let how = if from.is_some() { How::Approved } else { How::Terminal };
                let by = from.unwrap_or_else(|| at.state.request.by.clone());
                answered_by(at, Decision::Override { reason }, how, by, &told).await;
                return Ok(());
            }
        }
    }
}

fn question(at: &Assignment) -> Question {
    Question::Gate { key: at.key.clone() }
}

async fn read(at: &Assignment, passage: &Passage) -> Result<Told, Outcome> {
    let asked = asking::ask_all(&at.site, &at.state, at.lane(), &passage.checks);
    Ok(stoppable(at, asked).await??)
}

fn ask(at: &Assignment, passage: &Passage, told: &Told) -> Open {
    let inquiry = Inquiry {
        question: question(at),
        text: passage.text.clone(),
        consequence: passage.consequence.clone(),
        typed: passage.typed.then(|| at.state.plan.cluster.to_string()),
        readings: told.readings.clone(),
        can_roll_back: false,
        is_unknown: false,
    };
    Open { answer: at.desk.ask(inquiry), since: Instant::now() }
}

async fn answered(at: &Assignment, decision: Decision, how: How, told: &Told) {
    answered_by(at, decision, how, at.state.request.by.clone(), told).await;
}

async fn answered_by(at: &Assignment, decision: Decision, how: How, by: Operator, told: &Told) {
    let event =
        Event::Answered { question: question(at), decision, how, by, readings: told.readings.clone() };
    at.desk.commit(event).await;
}

/// `--override GATE=REASON` opens a gate whatever it says; a typed one it does not.
async fn override_flag(at: &Assignment, passage: &Passage, told: &Told) -> bool {
    let reason = passage.name.as_ref().and_then(|name| at.state.request.overrides.get(name));
    let Some(reason) = reason.filter(|_| !passage.typed) else { return false };
    let decision = if told.holds() && !passage.by_hand {
        Decision::Yes
    } else {
        Decision::Override { reason: reason.clone() }
    };
    answered(at, decision, How::OverrideFlag, told).await;
    true
}

/// What the command line answers at an open gate; `None` when a human is to be asked.
async fn answer_by_flag(at: &Assignment, passage: &Passage, told: &Told) -> Option<Decision> {
    let request = &at.state.request;
    let confirmed = request.confirm.as_deref() == Some(at.state.plan.cluster.as_str());
    let (decision, how) = if request.yes && !passage.typed && !passage.by_hand {
        (Decision::Yes, How::YesFlag)
    } else if request.attended {
        return None;
    } else if passage.typed && confirmed {
        (Decision::Yes, How::ConfirmFlag)
    } else {
        (Decision::No, How::Nobody)
    };
    answered(at, decision.clone(), how, told).await;
    Some(decision)
}

fn nobody(at: &Assignment, passage: &Passage) -> Failure {
    let help = match &passage.name {
        _ if passage.typed => format!("without a terminal it takes --confirm {}", at.state.plan.cluster),
        Some(name) if passage.by_hand => {
            format!("somebody must have done it: --override '{name}=REASON' says so")
        }
        _ => "--yes answers gates that are open".to_owned(),
    };
    Failure {
        kind: FailureKind::NoAnswer,
        message: "an answer is needed and there is no terminal".to_owned(),
        tail: Vec::new(),
        help: Some(help),
    }
}

/// The readings once more: what was approved may be minutes old. `last` is what the journal holds.
async fn confirm(at: &Assignment, passage: &Passage, last: &mut Vec<Reading>) -> Result<bool, Outcome> {
    if passage.checks.is_empty() {
        return Ok(true);
    }
    let told = read(at, passage).await?;
    let words: Vec<String> = told.readings.iter().map(wording).collect();
    let open = told.holds();
    let end = if open { "still open" } else { "closed again, so the answer is void" };
    let text = format!("read again: {}; {end}", words.join("; "));
    at.desk.notify(Notice::Said { node: Some(at.lane().clone()), text });
    if !open {
        at.desk.commit(Event::ReadingTaken { key: at.key.clone(), readings: told.readings.clone() }).await;
        *last = told.readings;
        at.desk.notify(Notice::GateMoved { key: at.key.clone(), open: false });
    }
    Ok(open)
}

fn too_late(passage: &Passage, told: &Told, began: Instant, open: Option<&Open>) -> Option<Failure> {
    if let Some(open) = open {
        return (open.since.elapsed() >= passage.limit)
            .then(|| failure(FailureKind::NoAnswer, "nobody answered in time"));
    }
    if began.elapsed() < passage.limit {
        return None;
    }
    let reading = told.readings.iter().find(|reading| !reading.verdict.holds());
    let seen = reading.map_or_else(|| "it was not open steadily".to_owned(), wording);
    Some(Failure {
        kind: FailureKind::GateClosed,
        message: format!("the gate stayed closed for {}: {seen}", duration::written(passage.limit)),
        tail: reading.map(|reading| reading.evidence.clone()).unwrap_or_default(),
        help: reading.and_then(|reading| reading.remedy.clone()),
    })
}

enum Woken {
    Tick,
    Answer(Decision),
    Open { reason: String, from: Option<Operator> },
}

async fn until_something(
    at: &mut Assignment,
    passage: &Passage,
    open: &mut Option<Open>,
) -> Result<Woken, Outcome> {
    let answer = async {
        match open {
            Some(open) => (&mut open.answer).await.unwrap_or((Decision::No, How::Nobody)).0,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        decision = answer => Ok(Woken::Answer(decision)),
        () = sleep(passage.every) => Ok(Woken::Tick),
        Some(word) = at.words.recv() => Ok(match word {
            GateWord::ReadNow => Woken::Tick,
            GateWord::Open { reason, from } => Woken::Open { reason, from },
        }),
        _ = at.stop.wait_for(|stopping| *stopping) => Err(Outcome::Interrupted),
    }
}

/// A change that only a human can undo.
pub(super) async fn undo_by_hand(at: &Assignment, planned: &PlannedStep, text: &Template) -> Done {
    let text = render(at, text).await?;
    if !at.state.request.attended {
        let message = format!("it must be undone by hand: {text}");
        return Err(failure(FailureKind::NoAnswer, message).into());
    }
    let inquiry = Inquiry {
        question: question(at),
        text: format!("Undo \"{}\": {}\nIs it undone?", planned.label, text.trim_end()),
        consequence: String::new(),
        typed: None,
        readings: Vec::new(),
        can_roll_back: false,
        is_unknown: false,
    };
    match at.desk.ask(inquiry).await {
        Ok((Decision::Yes, _)) => Ok(()),
        _ => Err(failure(FailureKind::NoAnswer, format!("it was not undone: {text}")).into()),
    }
}
