//! One record at a time. An event that cannot have happened is an error, never repaired.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Asked, PhaseState, PhaseStatus, RunState, StepState, TurnStatus, Versions};
use crate::model::duration::between;
use crate::model::event::{Event, Goal, Halt, Record, RunEnd, Stop};
use crate::model::name::NodeName;
use crate::model::plan::{PlannedStep, StepKey, Work};
use crate::model::window::Outside;

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
        let Event::RunOpened { run, token, plan, request } = &record.event else {
            return Err(Illegal { seq: record.seq, why: "a journal begins with RunOpened".to_owned() });
        };
        if record.seq != 0 {
            return Err(Illegal { seq: record.seq, why: "a journal begins with number 0".to_owned() });
        }
        Ok(Self {
            run: run.clone(),
            token: token.clone(),
            phases: vec![PhaseState::default(); plan.phases.len()],
            base: plan.sources.procedure.parent().map(std::path::Path::to_path_buf).unwrap_or_default(),
            plan: Arc::new(plan.as_ref().clone()),
            opened: request.clone(),
            request: request.clone(),
            invocation: 1,
            opened_at: record.at,
            latest_at: record.at,
            latest_seq: record.seq,
            idle: std::time::Duration::ZERO,
            epochs: std::collections::BTreeMap::new(),
            adopting: false,
            adopted_at: 0,
            broke: Vec::new(),
            outside: Vec::new(),
            refused: None,
            baseline: std::collections::BTreeMap::new(),
            pinned: std::collections::BTreeMap::new(),
            versions: std::collections::BTreeMap::new(),
            captures: std::collections::BTreeMap::new(),
            turns: std::collections::BTreeMap::new(),
            steps: std::collections::BTreeMap::new(),
            points_passed: std::collections::BTreeSet::new(),
            question: None,
            waiting: std::collections::BTreeSet::new(),
            asked: BTreeMap::new(),
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
            Event::Adopted { base, .. } => {
                self.idle += between(self.latest_at, record.at);
                self.base.clone_from(base);
                self.adopting = true;
                self.adopted_at = record.seq;
            }
            Event::RunOpened { .. } => return Err("the run is open already".to_owned()),
            Event::RunResumed { request } => {
                self.idle += between(self.latest_at, record.at);
                self.resume(request)?;
            }
            Event::LockTaken { epochs, broke } => {
                self.take_lock(epochs)?;
                self.adopting = false;
                self.broke.extend(broke.clone());
            }
            Event::LockRefused { node, by } => self.refused = Some((node.clone(), by.clone())),
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
            Event::PhaseSkipped { phase, .. } => self.skip_phase(*phase)?,
            Event::PhaseEnded { phase } => self.end_phase(*phase)?,
            Event::BatchFormed { phase, nodes, .. } => self.form_batch(*phase, nodes, record)?,
            Event::StepStarted { key, attempt, on } => self.start_step(key, *attempt, on, record)?,
            Event::StepEnded { key, attempt, outcome } => self.end_step(key, *attempt, outcome, record)?,
            Event::RevertArmed { key, attempt, after } => self.arm(key, *attempt, *after, record)?,
            Event::RevertEnded { key, attempt, end } => self.end_revert(key, *attempt, end)?,
            Event::UndoStarted { key, attempt } => self.start_undo(key, *attempt)?,
            Event::UndoEnded { key, attempt, outcome } => self.end_undo(key, *attempt, outcome)?,
            Event::Settled { key, undo: false, verdict, by, why, .. } => {
                self.settle_step(key, *verdict, by.as_ref(), why)?;
            }
            Event::Settled { key, undo: true, verdict, by, why, .. } => {
                self.settle_undo(key, *verdict, by.as_ref(), why)?;
            }
            Event::LeftUnknown { key, undo, .. } => self.leave_unknown(key, *undo)?,
            Event::Captured { key, name, value } => {
                self.planned(key)?;
                self.captures.entry(key.node.clone()).or_default().insert(name.to_string(), value.clone());
            }
            Event::ReadingTaken { key, readings } => {
                self.step_mut(key)?.readings.clone_from(readings);
                // A gate that closed again has withdrawn its question.
                if readings.iter().any(|reading| !reading.verdict.holds()) {
                    self.waiting.remove(key);
                    self.asked.remove(key);
                }
            }
            Event::Asked { question } => {
                self.ask(question)?;
                let asked = Asked { question: question.clone(), number: record.seq, at: record.at };
                self.asked.insert(question.key().clone(), asked);
            }
            Event::Answered { question, decision, readings, .. } => {
                self.answer(question, decision, readings)?;
            }
            Event::WindowPassed { phase, outside } => {
                self.phase_mut(*phase)?;
                // The same reason of the same person, in whichever invocation.
                let who = |outside: &Outside| (outside.by.user.clone(), outside.by.host.clone());
                let is_known = |last: &Outside| last.reason == outside.reason && who(last) == who(outside);
                if !self.outside.last().is_some_and(is_known) {
                    self.outside.push(outside.clone());
                }
            }
            Event::PointPassed { key } => {
                if !matches!(self.planned(key)?.1.work, Work::PassPoint { .. }) {
                    return Err(format!("{key} is no point of no return"));
                }
                self.points_passed.insert(key.clone());
            }
            Event::TurnEnded { turn, end } => self.end_turn(turn, end, record)?,
            Event::StopRequested { stop } => self.request_stop(stop.clone()),
            Event::RunClosed { verdict } => self.close(verdict)?,
        }
        Ok(())
    }

    /// Numbers of locks only rise: what carries a lower one never begins any more.
    fn take_lock(&mut self, epochs: &BTreeMap<NodeName, u64>) -> Result<(), String> {
        for (node, epoch) in epochs {
            let known = self.epochs.entry(node.clone()).or_default();
            if epoch <= known {
                return Err(format!("lock {epoch} of {node} is no higher than {known}, which the run had"));
            }
            *known = *epoch;
        }
        Ok(())
    }

    /// Whether every phase is over and no node was left behind in one.
    fn is_complete(&self) -> bool {
        let is_over = |phase: &PhaseState| matches!(phase.status, PhaseStatus::Done | PhaseStatus::Skipped);
        self.phases.iter().all(is_over) && self.turns.values().all(|turn| turn.status != TurnStatus::Failed)
    }

    pub(super) fn phase_mut(&mut self, phase: usize) -> Result<&mut PhaseState, String> {
        self.phases.get_mut(phase).ok_or_else(|| format!("there is no phase {phase}"))
    }

    pub(super) fn step_mut(&mut self, key: &StepKey) -> Result<&mut StepState, String> {
        self.steps.get_mut(key).ok_or_else(|| format!("{key} has not begun"))
    }

    pub(super) fn planned(&self, key: &StepKey) -> Result<(usize, PlannedStep), String> {
        self.plan
            .find(&key.step)
            .map(|(phase, step)| (phase, step.clone()))
            .ok_or_else(|| format!("the plan has no step {}", key.step))
    }

    fn close(&mut self, verdict: &RunEnd) -> Result<(), String> {
        let killed = matches!(verdict, RunEnd::Stopped(Stop { halt: Halt::Killed | Halt::Local, .. }));
        if !killed && let Some((key, _)) = self.steps.iter().find(|(_, step)| step.is_in_flight()) {
            return Err(format!("{key} is still running"));
        }
        let is_reached = match verdict {
            RunEnd::Stopped(_) => true,
            RunEnd::Staged => self.request.goal == Goal::Staged,
            RunEnd::Finished => self.request.goal == Goal::Finished && self.is_complete(),
            RunEnd::Unstaged => self.request.goal == Goal::Unstaged,
            RunEnd::RolledBack => matches!(self.request.goal, Goal::RolledBack(_)),
        };
        if !is_reached {
            return Err(format!("the run is not {verdict:?}"));
        }
        self.question = None;
        self.waiting.clear();
        self.end = Some(verdict.clone());
        Ok(())
    }
}
