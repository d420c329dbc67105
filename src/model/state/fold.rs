//! One record at a time. An event that cannot have happened is an error, never repaired.

use std::sync::Arc;

use super::{
    PhaseState, PhaseStatus, RunState, StepState, StepStatus, TurnState, TurnStatus, UndoStatus, Versions,
};
use crate::model::condition::Verdict;
use crate::model::event::{
    Decision, Event, FailureKind, Goal, Halt, Outcome, Question, Reading, Record, RunEnd, Stop, Turn, TurnEnd,
};
use crate::model::name::NodeName;
use crate::model::plan::{PhaseKind, PlannedStep, Section, StepKey, Work};

/// An event that cannot follow what came before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} cannot be: {why}")]
pub struct Illegal {
    /// The record's number.
    pub seq: u64,
    /// What is wrong with it.
    pub why: String,
}

impl RunState {
    /// Begins with the first record, which must be `RunOpened`.
    pub fn open(record: &Record) -> Result<Self, Illegal> {
        let Event::RunOpened { run, plan, request } = &record.event else {
            return Err(Illegal { seq: record.seq, why: "a journal begins with RunOpened".to_owned() });
        };
        Ok(Self {
            run: run.clone(),
            phases: vec![PhaseState::default(); plan.phases.len()],
            plan: Arc::new(plan.as_ref().clone()),
            opened: request.clone(),
            request: request.clone(),
            invocation: 1,
            opened_at: record.at,
            latest_at: record.at,
            latest_seq: record.seq,
            baseline: std::collections::BTreeMap::new(),
            pinned: std::collections::BTreeMap::new(),
            versions: std::collections::BTreeMap::new(),
            captures: std::collections::BTreeMap::new(),
            turns: std::collections::BTreeMap::new(),
            steps: std::collections::BTreeMap::new(),
            points_passed: std::collections::BTreeSet::new(),
            question: None,
            waiting: std::collections::BTreeSet::new(),
            stop: None,
            end: None,
        })
    }

    /// Folds a whole journal.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Result<Option<Self>, Illegal> {
        let mut state: Option<Self> = None;
        for record in records {
            match &mut state {
                None => state = Some(Self::open(record)?),
                Some(state) => state.apply(record)?,
            }
        }
        Ok(state)
    }

    /// Whether a record could come next.
    pub fn admits(&self, record: &Record) -> Result<(), Illegal> {
        self.clone().apply(record)
    }

    /// Folds one record in. After an error the state is not to be used.
    pub fn apply(&mut self, record: &Record) -> Result<(), Illegal> {
        let illegal = |why: String| Illegal { seq: record.seq, why };
        if record.seq != self.latest_seq + 1 {
            return Err(illegal(format!("it should have number {}", self.latest_seq + 1)));
        }
        if self.end.is_some() && !matches!(record.event, Event::RunResumed { .. }) {
            return Err(illegal("the run is closed".to_owned()));
        }
        self.fold(record).map_err(illegal)?;
        self.latest_seq = record.seq;
        self.latest_at = record.at;
        Ok(())
    }

    fn fold(&mut self, record: &Record) -> Result<(), String> {
        match &record.event {
            Event::RunOpened { .. } => return Err("the run is open already".to_owned()),
            Event::RunResumed { request } => self.resume(request)?,
            Event::BaselineTaken { check, node, verdict } => {
                self.baseline.insert((check.clone(), node.clone()), verdict.clone());
            }
            Event::RolePinned { role, nodes } => {
                if self.pinned.insert(role.clone(), nodes.clone()).is_some() {
                    return Err(format!("role {role} is pinned already"));
                }
            }
            Event::VersionRead { node, version } => {
                self.versions
                    .entry(node.clone())
                    .and_modify(|versions| versions.now.clone_from(version))
                    .or_insert_with(|| Versions { before: version.clone(), now: version.clone() });
            }
            Event::PhaseStarted { phase } => self.start_phase(*phase, record)?,
            Event::PhaseSkipped { phase, .. } => self.phase_mut(*phase)?.status = PhaseStatus::Skipped,
            Event::PhaseEnded { phase } => self.phase_mut(*phase)?.status = PhaseStatus::Done,
            Event::BatchFormed { phase, nodes, .. } => {
                self.phase_mut(*phase)?.batches += 1;
                for node in nodes {
                    self.begin_turn(Turn { phase: *phase, node: node.clone() }, record)?;
                }
            }
            Event::StepStarted { key, attempt, on } => self.start_step(key, *attempt, on, record)?,
            Event::StepEnded { key, attempt, outcome } => self.end_step(key, *attempt, outcome, record)?,
            Event::UndoStarted { key, attempt } => self.start_undo(key, *attempt)?,
            Event::UndoEnded { key, attempt, outcome } => self.end_undo(key, *attempt, outcome)?,
            Event::Captured { key, name, value } => {
                self.captures.entry(key.node.clone()).or_default().insert(name.to_string(), value.clone());
            }
            Event::ReadingTaken { key, readings } => {
                self.step_mut(key)?.readings.clone_from(readings);
                // A gate that closed again has withdrawn its question.
                if readings.iter().any(|reading| !reading.verdict.holds()) {
                    self.waiting.remove(key);
                }
            }
            Event::Asked { question } => self.ask(question)?,
            Event::Answered { question, decision, readings, .. } => {
                self.answer(question, decision, readings)?;
            }
            Event::PointPassed { key } => {
                self.planned(key)?;
                self.points_passed.insert(key.clone());
            }
            Event::TurnEnded { turn, end } => self.end_turn(turn, end, record)?,
            Event::StopRequested { stop } => self.request_stop(stop.clone()),
            Event::RunClosed { verdict } => self.close(verdict)?,
        }
        Ok(())
    }

    fn phase_mut(&mut self, phase: usize) -> Result<&mut PhaseState, String> {
        self.phases.get_mut(phase).ok_or_else(|| format!("there is no phase {phase}"))
    }

    pub(super) fn step_mut(&mut self, key: &StepKey) -> Result<&mut StepState, String> {
        self.steps.get_mut(key).ok_or_else(|| format!("{key} has not begun"))
    }

    fn planned(&self, key: &StepKey) -> Result<(usize, PlannedStep), String> {
        self.plan
            .find(&key.step)
            .map(|(phase, step)| (phase, step.clone()))
            .ok_or_else(|| format!("the plan has no step {}", key.step))
    }

    fn start_phase(&mut self, phase: usize, record: &Record) -> Result<(), String> {
        self.phase_mut(phase)?.status = PhaseStatus::Active;
        let planned = &self.plan.phases[phase];
        if planned.kind != PhaseKind::Single && !planned.before.is_empty() {
            self.begin_turn(Turn { phase, node: NodeName::operator() }, record)?;
        }
        Ok(())
    }

    fn begin_turn(&mut self, turn: Turn, record: &Record) -> Result<(), String> {
        if self.turns.get(&turn).is_some_and(|turn| turn.status == TurnStatus::Active) {
            return Err(format!("the turn of {} has begun already", turn.node));
        }
        let started_at = self.turns.get(&turn).map_or(record.at, |turn| turn.started_at);
        let state = TurnState { status: TurnStatus::Active, ended_in: None, started_at, since: record.at };
        self.turns.insert(turn, state);
        Ok(())
    }

    fn start_step(
        &mut self,
        key: &StepKey,
        attempt: u32,
        on: &[NodeName],
        record: &Record,
    ) -> Result<(), String> {
        let (_, planned) = self.planned(key)?;
        let step = self.steps.entry(key.clone()).or_insert_with(|| StepState::begun_at(record.at));
        match &step.status {
            StepStatus::ToDo | StepStatus::Failed(_) => {}
            StepStatus::Unknown { .. } | StepStatus::Dangling if planned.is_repeatable() => {}
            other => return Err(format!("{key} cannot begin while it is {other:?}")),
        }
        if attempt != step.attempts + 1 {
            return Err(format!("{key} begins with attempt {attempt} after {}", step.attempts));
        }
        step.status = StepStatus::Running;
        step.attempts = attempt;
        step.spent += 1;
        step.on = on.to_vec();
        step.started_seq = record.seq;
        step.started_at = record.at;
        step.ended_at = None;
        if planned.has_undo() {
            step.undo = UndoStatus::Due;
        }
        Ok(())
    }

    fn end_step(
        &mut self,
        key: &StepKey,
        attempt: u32,
        outcome: &Outcome,
        record: &Record,
    ) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        self.waiting.remove(key);
        let step = self.step_mut(key)?;
        if !matches!(step.status, StepStatus::Running | StepStatus::Dangling) || step.attempts != attempt {
            return Err(format!("{key} attempt {attempt} is not running"));
        }
        step.ended_at = Some(record.at);
        let never_began = matches!(outcome, Outcome::Skipped { .. })
            || matches!(outcome, Outcome::Failed(failure)
                if matches!(failure.kind, FailureKind::Unreachable | FailureKind::Input));
        if never_began && step.undo == UndoStatus::Due {
            step.undo = UndoStatus::Nothing;
        }
        step.status = match outcome {
            Outcome::Done => StepStatus::Done,
            Outcome::Skipped { why } => StepStatus::Skipped { why: why.clone() },
            Outcome::Failed(failure) => StepStatus::Failed(failure.clone()),
            Outcome::Interrupted => StepStatus::ToDo,
            Outcome::Unknown { why } => StepStatus::Unknown { why: why.clone() },
        };
        self.judge(key, phase, &planned, outcome);
        Ok(())
    }

    /// Decides whether a bad outcome stops the run here and now. At a terminal the operator is asked
    /// instead, but for an answer already given.
    fn judge(&mut self, key: &StepKey, phase: usize, planned: &PlannedStep, outcome: &Outcome) {
        let (kind, why) = match outcome {
            Outcome::Failed(failure) => (Some(failure.kind), failure.message.clone()),
            Outcome::Unknown { why } => (None, why.clone()),
            _ => return,
        };
        let answered = matches!(kind, Some(FailureKind::GateClosed | FailureKind::NoAnswer));
        // On the way back, what went wrong on the way forward is no news.
        let is_forward = matches!(self.request.goal, Goal::Finished | Goal::Staged);
        if !is_forward && planned.section != Section::Rollback {
            return;
        }
        let budget_left = kind.is_some() && !answered && self.steps[key].spent <= planned.retries();
        if budget_left || (self.request.attended && !answered) {
            return;
        }
        let tolerated = kind.is_some()
            && !answered
            && planned.section != Section::Rollback
            && self.failures(phase) <= self.plan.phases[phase].max_failures
            && self.plan.phases[phase].kind == PhaseKind::Rolling
            && !key.node.is_operator();
        if !tolerated {
            let why = format!("{}: {}: {why}", key.node, planned.label);
            self.request_stop(Stop { halt: halt_of(planned, outcome), why, key: Some(key.clone()) });
        }
    }

    /// How many nodes of a phase have failed, counting those that are in trouble now.
    fn failures(&self, phase: usize) -> usize {
        self.turns
            .iter()
            .filter(|(turn, state)| {
                turn.phase == phase
                    && (state.status == TurnStatus::Failed
                        || state.status == TurnStatus::Active && self.trouble(turn).is_some())
            })
            .count()
    }

    fn start_undo(&mut self, key: &StepKey, attempt: u32) -> Result<(), String> {
        let step = self.step_mut(key)?;
        match step.undo {
            UndoStatus::Due | UndoStatus::Failed { .. } => {}
            _ => return Err(format!("{key} has nothing to undo")),
        }
        if step.status == StepStatus::Running {
            return Err(format!("{key} is running and cannot be undone"));
        }
        if attempt != step.undo_attempts + 1 {
            return Err(format!(
                "the undo of {key} begins with attempt {attempt} after {}",
                step.undo_attempts
            ));
        }
        step.undo = UndoStatus::Running;
        step.undo_attempts = attempt;
        Ok(())
    }

    fn end_undo(&mut self, key: &StepKey, attempt: u32, outcome: &Outcome) -> Result<(), String> {
        let attended = self.request.attended;
        let step = self.step_mut(key)?;
        if !matches!(step.undo, UndoStatus::Running | UndoStatus::Dangling) || step.undo_attempts != attempt {
            return Err(format!("the undo of {key} is not running"));
        }
        let why = match outcome {
            Outcome::Done | Outcome::Skipped { .. } => {
                step.undo = UndoStatus::Done;
                return Ok(());
            }
            Outcome::Failed(failure) => failure.message.clone(),
            Outcome::Unknown { why } => why.clone(),
            Outcome::Interrupted => "it was interrupted".to_owned(),
        };
        step.undo = UndoStatus::Failed { why: why.clone(), settled: !attended };
        if !attended {
            self.stop_for_undo(key, &why);
        }
        Ok(())
    }

    fn stop_for_undo(&mut self, key: &StepKey, why: &str) {
        let rolling_back = matches!(self.request.goal, Goal::RolledBack(_));
        let halt = if rolling_back { Halt::RollbackFailed } else { Halt::UndoFailed };
        let label = self.plan.find(&key.step).map_or("", |(_, step)| step.label.as_str());
        let why = format!("{}: undo of \"{label}\": {why}", key.node);
        self.request_stop(Stop { halt, why, key: Some(key.clone()) });
    }

    fn ask(&mut self, question: &Question) -> Result<(), String> {
        match question {
            Question::Trouble { .. } if self.question.is_some() => {
                return Err("another question is open".to_owned());
            }
            Question::Trouble { .. } => self.question = Some(question.clone()),
            Question::Gate { key } | Question::During { key } => {
                self.waiting.insert(key.clone());
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        question: &Question,
        decision: &Decision,
        readings: &[Reading],
    ) -> Result<(), String> {
        match question {
            Question::Gate { key } => {
                self.waiting.remove(key);
            }
            Question::During { key } => {
                self.waiting.remove(key);
                if *decision == Decision::No {
                    let (_, planned) = self.planned(key)?;
                    let why = format!("{}: {}: {}", key.node, planned.label, no_longer(readings));
                    self.request_stop(Stop { halt: Halt::NoAnswer, why, key: Some(key.clone()) });
                }
            }
            Question::Trouble { key, undo } => {
                self.question = None;
                if *undo { self.answer_undo(key, decision)? } else { self.answer_step(key, decision)? }
            }
        }
        Ok(())
    }

    fn answer_undo(&mut self, key: &StepKey, decision: &Decision) -> Result<(), String> {
        let step = self.step_mut(key)?;
        let UndoStatus::Failed { why, .. } = step.undo.clone() else {
            return Err(format!("the undo of {key} is in no trouble"));
        };
        match decision {
            Decision::Retry => step.undo = UndoStatus::Due,
            Decision::MarkDone { .. } => step.undo = UndoStatus::Done,
            _ => {
                step.undo = UndoStatus::Failed { why: why.clone(), settled: true };
                self.stop_for_undo(key, &why);
            }
        }
        Ok(())
    }

    fn answer_step(&mut self, key: &StepKey, decision: &Decision) -> Result<(), String> {
        let (phase, planned) = self.planned(key)?;
        let step = self.step_mut(key)?;
        let outcome = match &step.status {
            StepStatus::Failed(failure) => Outcome::Failed(failure.clone()),
            StepStatus::Unknown { why } => Outcome::Unknown { why: why.clone() },
            _ => return Err(format!("{key} is in no trouble")),
        };
        match decision {
            Decision::Retry => {
                step.status = StepStatus::ToDo;
                step.spent = 0;
            }
            Decision::MarkDone { .. } => step.status = StepStatus::Done,
            Decision::SkipNode { reason } => {
                let reason = reason.clone();
                self.turn_mut(phase, &key.node)?.status = TurnStatus::Leaving { reason };
            }
            Decision::RollBack => self.turn_mut(phase, &key.node)?.status = TurnStatus::Returning,
            Decision::Yes | Decision::No | Decision::Override { .. } => {
                let message = match &outcome {
                    Outcome::Failed(failure) => failure.message.clone(),
                    Outcome::Unknown { why } => why.clone(),
                    _ => String::new(),
                };
                let why = format!("{}: {}: {message}", key.node, planned.label);
                self.request_stop(Stop { halt: halt_of(&planned, &outcome), why, key: Some(key.clone()) });
            }
        }
        Ok(())
    }

    fn turn_mut(&mut self, phase: usize, node: &NodeName) -> Result<&mut TurnState, String> {
        self.turns
            .get_mut(&Turn { phase, node: node.clone() })
            .ok_or_else(|| format!("{node} has no turn in phase {phase}"))
    }

    fn end_turn(&mut self, turn: &Turn, end: &TurnEnd, record: &Record) -> Result<(), String> {
        let invocation = self.invocation;
        let forward = self.request.goal == Goal::Finished;
        let state = self.turns.get_mut(turn).ok_or_else(|| format!("{} has no turn", turn.node))?;
        if state.status.is_over() && *end != TurnEnd::RolledBack {
            return Err(format!("the turn of {} is over already", turn.node));
        }
        state.ended_in = Some(invocation);
        state.since = record.at;
        state.status = match end {
            TurnEnd::Done => TurnStatus::Done,
            TurnEnd::Failed => TurnStatus::Failed,
            TurnEnd::Skipped { reason } => TurnStatus::Skipped { reason: reason.clone() },
            TurnEnd::RolledBack => TurnStatus::RolledBack,
        };
        if *end == TurnEnd::RolledBack {
            self.forget_turn(turn);
            if forward {
                let why = format!("{} was rolled back", turn.node);
                self.request_stop(Stop { halt: Halt::Interrupted, why, key: None });
            }
        }
        Ok(())
    }

    /// A node that was taken back has everything before it again; attempts go on counting.
    fn forget_turn(&mut self, turn: &Turn) {
        let phase = &self.plan.phases[turn.phase];
        for step in phase.all_steps() {
            if let Some(step) = self.steps.get_mut(&turn.key(&step.id)) {
                step.status = StepStatus::ToDo;
                step.spent = 0;
                step.undo = UndoStatus::Nothing;
            }
        }
        if self.phases[turn.phase].status == PhaseStatus::Done {
            self.phases[turn.phase].status = PhaseStatus::Active;
        }
    }

    /// Several reasons to stop: the gravest one counts.
    fn request_stop(&mut self, stop: Stop) {
        self.question = None;
        if self.stop.as_ref().is_none_or(|present| present.halt < stop.halt) {
            self.stop = Some(stop);
        }
    }

    fn close(&mut self, verdict: &RunEnd) -> Result<(), String> {
        let killed = matches!(verdict, RunEnd::Stopped(Stop { halt: Halt::Killed | Halt::Local, .. }));
        if !killed && let Some((key, _)) = self.steps.iter().find(|(_, step)| step.is_in_flight()) {
            return Err(format!("{key} is still running"));
        }
        self.question = None;
        self.waiting.clear();
        self.end = Some(verdict.clone());
        Ok(())
    }
}

/// What stopped holding while a step ran, in words.
fn no_longer(readings: &[Reading]) -> String {
    let fallen: Vec<String> = readings
        .iter()
        .filter_map(|reading| match &reading.verdict {
            Verdict::Holds => None,
            Verdict::DoesNotHold { why } => Some(format!("{} on {}: {why}", reading.check, reading.node)),
            Verdict::Unreadable { why } => {
                Some(format!("{} on {}: unreadable: {why}", reading.check, reading.node))
            }
        })
        .collect();
    format!("stopped holding while it ran: {}", fallen.join("; "))
}

/// The class of a bad outcome, by where it happened (`product.md` §7). A node that was touched and
/// is out of service outranks the reason why.
fn halt_of(step: &PlannedStep, outcome: &Outcome) -> Halt {
    let Outcome::Failed(failure) = outcome else { return Halt::Unknown };
    if step.work == Work::Unstage {
        return if failure.kind == FailureKind::Unreachable { Halt::Unreachable } else { Halt::CheckFailed };
    }
    match (step.section, failure.kind) {
        (_, FailureKind::GateClosed) => Halt::GateClosed,
        (_, FailureKind::NoAnswer) => Halt::NoAnswer,
        (Section::Rollback, _) => Halt::RollbackFailed,
        (Section::Upgrade, _) => Halt::UpgradeFailed,
        (Section::Verify | Section::Undrain | Section::Soak, _) => Halt::VerifyFailed,
        (_, FailureKind::Unreachable) => Halt::Unreachable,
        (_, FailureKind::Local) => Halt::Local,
        (Section::Drain, _) => Halt::DrainFailed,
        (Section::Steps, _) if step.is_effect() => Halt::UpgradeFailed,
        (_, FailureKind::Input) => Halt::Input,
        (Section::Stage | Section::Before | Section::Precheck | Section::Steps, _) => Halt::CheckFailed,
    }
}
