//! What every worker stands on: the plan, the connections, the secrets, the run's files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::lock::Hold;
use super::pool::{Opens, Pool};
use super::secrets::Secrets;
use crate::journal::{JournalError, RunDir};
use crate::model::name::NodeName;
use crate::model::plan::Plan;
use crate::transport::JournalCopy;

/// Where a run takes place.
pub struct Site<O: Opens> {
    /// What is executed.
    pub plan: Arc<Plan>,
    /// The connections.
    pub pool: Pool<O>,
    /// The run's directory; a dry run has none.
    pub run_dir: Option<RunDir>,
    secrets: Secrets,
    holds: Mutex<BTreeMap<NodeName, Hold>>,
    /// How much of the journal each node has: bytes, and records.
    left: Mutex<BTreeMap<NodeName, (u64, u64)>>,
}

/// What a node does not have of the journal.
pub(super) struct Excerpt {
    pub(super) copy: JournalCopy,
    /// How much it has afterwards.
    has: (u64, u64),
}

impl<O: Opens> Site<O> {
    /// Puts it together.
    pub fn new(plan: Arc<Plan>, pool: Pool<O>, secrets: Secrets, run_dir: Option<RunDir>) -> Self {
        Self { plan, pool, run_dir, secrets, holds: Mutex::default(), left: Mutex::default() }
    }

    /// The numbers of the locks that this invocation has; a job on a node carries that node's. A node that
    /// is not among them is not locked for it, the operator's own machine among others.
    pub(super) fn epochs(&self) -> BTreeMap<NodeName, u64> {
        let holds = self.holds.lock().unwrap_or_else(PoisonError::into_inner);
        holds.iter().map(|(node, hold)| (node.clone(), hold.epoch)).collect()
    }

    /// Keeps a lock that was taken.
    pub(super) fn hold(&self, node: &NodeName, hold: Hold) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), hold);
    }

    /// Hands out all locks to be ended; from here on there are none.
    pub(super) fn let_go(&self) -> BTreeMap<NodeName, Hold> {
        std::mem::take(&mut *self.holds.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The secrets.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The journal from where a node's copy ends; `None` when there is nothing that it lacks.
    pub(super) fn journal_for(&self, node: &NodeName) -> Result<Option<Excerpt>, JournalError> {
        let (byte, from) =
            self.left.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied().unwrap_or_default();
        let Some(run_dir) = &self.run_dir else { return Ok(None) };
        let lines = run_dir.journal_from(byte)?;
        let has = (byte + lines.len() as u64, from + lines.lines().count() as u64);
        Ok((!lines.is_empty()).then_some(Excerpt { copy: JournalCopy { from, lines }, has }))
    }

    /// A node has this now.
    pub(super) fn left(&self, node: &NodeName, excerpt: &Excerpt) {
        self.left.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), excerpt.has);
    }

    /// Puts `***` where a secret stands.
    pub(super) fn mask(&self, text: &str) -> String {
        self.secrets.mask(text)
    }
}
