//! What every worker stands on: the plan, the connections, the secrets, the run's files.

use std::sync::{Arc, Mutex, PoisonError};

use super::pool::{Opens, Pool};
use super::secrets::Secrets;
use crate::journal::RunDir;
use crate::model::name::NodeName;
use crate::model::plan::Plan;

/// Where a run takes place.
pub struct Site<O: Opens> {
    /// What is executed.
    pub plan: Arc<Plan>,
    /// The connections.
    pub pool: Pool<O>,
    /// The run's directory; a dry run has none.
    pub run_dir: Option<RunDir>,
    secrets: Mutex<Secrets>,
}

impl<O: Opens> Site<O> {
    /// Puts it together.
    pub fn new(plan: Arc<Plan>, pool: Pool<O>, secrets: Secrets, run_dir: Option<RunDir>) -> Self {
        Self { plan, pool, run_dir, secrets: Mutex::new(secrets) }
    }

    /// The secrets as they are now.
    pub(super) fn secrets(&self) -> Secrets {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps a secret that a lane captured, for the steps that follow.
    pub(super) fn keep_secret(&self, lane: &NodeName, name: &str, value: String) {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).keep(lane, name, value);
    }

    /// Puts `***` where a secret stands.
    pub(super) fn mask(&self, text: &str) -> String {
        self.secrets().mask(text)
    }
}
