//! One step, from its beginning to its outcome. There is no error path: whatever happens is an outcome.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::ahead::Part;
use super::asking;
use super::desk::{Desk, Message};
use super::pool::Changing;
use super::scene;
use super::site::Site;
use super::{effect, gate, restricting, watching};
use crate::model::condition::{Form, Value, Verdict, visible};
use crate::model::event::{Failure, FailureKind, Operator, Outcome};
use crate::model::name::NodeName;
use crate::model::plan::{PlannedStep, StepKey, Work};
use crate::model::procedure::{Action, CheckRef, Step, Undo, When};
use crate::model::state::RunState;

/// A word from the operator to a gate that is being watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GateWord {
    /// Read it now.
    ReadNow,
    /// Open it though it is closed.
    Open {
        /// Why.
        reason: String,
        /// Who, where it was not said at the terminal.
        from: Option<Operator>,
    },
}

/// A step that has been committed as started.
pub(super) struct Assignment {
    pub(super) site: Arc<Site<Changing>>,
    pub(super) desk: Desk,
    /// The state in which it began.
    pub(super) state: Arc<RunState>,
    pub(super) key: StepKey,
    pub(super) attempt: u32,
    /// The machines where it is done.
    pub(super) on: Vec<NodeName>,
    /// How a check is asked.
    pub(super) part: Part,
    /// Turns true when the run stops: what changes nothing gives up then.
    pub(super) stop: watch::Receiver<bool>,
    /// What the operator says to a gate.
    pub(super) words: mpsc::UnboundedReceiver<GateWord>,
}

/// How a step or a part of it can fall short of being done.
pub(super) type Done = Result<(), Outcome>;

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Assignment {
    /// Does it, and puts the outcome on the loop's desk.
    pub(super) async fn perform(mut self) {
        let outcome = match self.attempt_it().await {
            Ok(()) => Outcome::Done,
            Err(outcome) => outcome,
        };
        let (key, attempt) = (self.key.clone(), self.attempt);
        self.desk.send(Message::Ended { key, attempt, undo: false, outcome });
    }

    async fn attempt_it(&mut self) -> Done {
        let planned = self.planned();
        match &planned.work {
            Work::Step(step) => {
                self.has_work(step).await?;
                match &step.action {
                    Action::Run(run) => match &step.restricts {
                        Some(restriction) => restricting::run(self, step, run, restriction).await,
                        None => effect::run(self, step, run).await,
                    },
                    Action::Check(check) => watching::check(self, step, check).await,
                    Action::Wait(wait) => watching::wait(self, step, wait).await,
                    Action::Gate(written) => {
                        let passage = gate::of_gate(self, &planned, written).await?;
                        gate::pass(self, passage).await
                    }
                    Action::Manual(manual) => {
                        let passage = gate::of_manual(self, &planned, manual).await?;
                        gate::pass(self, passage).await
                    }
                    Action::Reboot(script) => effect::reboot(self, step, script).await,
                    Action::Put(put) => effect::put(self, step, put).await,
                    Action::Get(get) => effect::get(self, step, get).await,
                }
            }
            Work::Stage => super::artifacts::stage(self).await,
            Work::Unstage => super::artifacts::unstage(self).await,
            Work::Invariants => watching::invariants(self).await,
            Work::Soak(soak) => watching::soak(self, soak).await,
            Work::PassPoint { point, when } => {
                if let Some(when) = when {
                    self.hold(when)?;
                }
                gate::pass_point(self, &planned, point).await
            }
            Work::WayIn(way_in) => {
                if let Some(when) = &way_in.when {
                    self.hold(when)?;
                }
                restricting::way_in(self, way_in).await
            }
            Work::VersionRestored => watching::version_restored(self).await,
        }
    }

    /// Whether there is anything to do. Where an earlier attempt has left what its node may yet undo, that is settled
    /// first, and asked again where the node was first.
    async fn has_work(&self, step: &Step) -> Done {
        match self.is_wanted(step).await {
            Err(Outcome::Skipped { .. }) if !restricting::stays(self).await? => self.is_wanted(step).await,
            found => found,
        }
    }

    async fn is_wanted(&self, step: &Step) -> Done {
        if let Some(when) = &step.when {
            self.hold(when)?;
        }
        match &step.skip_if {
            Some(check) => self.skip_if(check).await,
            None => Ok(()),
        }
    }

    pub(super) fn planned(&self) -> PlannedStep {
        let (_, planned) =
            self.state.plan.find(&self.key.step).expect("the scheduler names steps of the plan");
        planned.clone()
    }

    /// The node whose turn it is.
    pub(super) fn lane(&self) -> &NodeName {
        &self.key.node
    }

    /// The machine where it is done.
    pub(super) fn machine(&self) -> &NodeName {
        self.on.first().unwrap_or(&self.key.node)
    }

    fn hold(&self, when: &When) -> Done {
        match holds(when, &self.state.vars_of(self.lane())) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(Outcome::Skipped { why }),
            Err(why) => Err(scene::failure(FailureKind::Input, why).into()),
        }
    }

    async fn skip_if(&self, check: &CheckRef) -> Done {
        let told = asking::ask_all(&self.site, &self.state, self.lane(), std::slice::from_ref(check)).await?;
        if told.holds() {
            let why = told.readings.first().map(asking::wording).unwrap_or_default();
            return Err(Outcome::Skipped { why: format!("done already: {why}") });
        }
        match told.readings.iter().find(|reading| matches!(reading.verdict, Verdict::Unreadable { .. })) {
            // Whether it is done already is not known, so doing it again is not safe.
            Some(_) => Err(told.failure().map_or(Outcome::Interrupted, Outcome::Failed)),
            None => Ok(()),
        }
    }
}

/// Whether a `when` holds: `None` when it does, else why not. An unset variable is an error.
pub(super) fn holds(when: &When, vars: &crate::model::template::Vars) -> Result<Option<String>, String> {
    let value = vars.get(when.var.as_str()).ok_or_else(|| format!("`when`: {} is not set", when.var))?;
    let text = match when.condition.form {
        Form::Number => {
            value.trim().parse().map(Value::Number).map_err(|_| format!("`when`: {value} is no number"))?
        }
        _ => Value::Text(value.clone()),
    };
    Ok(match when.condition.verdict(&text, vars) {
        Verdict::Holds => None,
        Verdict::DoesNotHold { why } => Some(format!("{} is {}, {why}", when.var, visible(value))),
        Verdict::Unreadable { why } => return Err(format!("`when`: {why}")),
    })
}

/// Undoes a step on the machines where it was done.
pub(super) async fn undo(assignment: Assignment) {
    let planned = assignment.planned();
    let outcome = match planned.step().and_then(|step| step.undo.as_ref().map(|undo| (step, undo))) {
        Some((step, Undo::Run(script))) => restricting::undo(&assignment, step, script).await,
        Some((_, Undo::Manual(text))) => gate::undo_by_hand(&assignment, &planned, text).await,
        None => Ok(()),
    };
    let outcome = match outcome {
        Ok(()) => Outcome::Done,
        Err(outcome) => outcome,
    };
    let (key, attempt) = (assignment.key.clone(), assignment.attempt);
    assignment.desk.send(Message::Ended { key, attempt, undo: true, outcome });
}
