//! Executes a plan: the one loop that moves data between journal, nodes and screen.
//!
//! [`drive`](drive::drive) asks the scheduler what comes next, commits what happened through the
//! [`Ledger`](ledger::Ledger), and hands steps to workers. Nothing but the loop writes the journal.

mod ahead;
mod artifacts;
mod asking;
mod callers;
mod contact;
mod desk;
mod driver;
pub mod dry_run;
mod effect;
mod gate;
mod given;
pub mod keyring;
pub mod ledger;
mod lock;
mod opening;
mod output;
pub mod pool;
mod recovery;
mod restricting;
mod scene;
pub mod secrets;
mod settling;
mod signals;
mod site;
mod survey;
pub mod takeover;
mod watching;
pub mod window;
mod worker;

pub use callers::{Call, Callers};
pub use driver::drive;
pub use signals::Signals;
pub use site::Site;
pub use survey::{NodeSurvey, survey};

use std::sync::Arc;

use crate::journal::JournalError;
use crate::model::event::Report;
use crate::model::state::Illegal;

/// Where reports go. False: the screen is gone.
pub type Screen = Arc<dyn Fn(Report) -> bool + Send + Sync>;

/// Why the engine itself gave up. What goes wrong on a node is an outcome, not an error.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The journal could not be written: no new step begins.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event that cannot have happened: a defect of rollgate.
    #[error("this is a defect of rollgate: {0}")]
    Illegal(#[from] Illegal),
    /// The scheduler has nothing to do and the run is not at its end: a defect of rollgate.
    #[error("this is a defect of rollgate: nothing comes next, and the run is not at its end")]
    Stuck,
}
