//! The truth about a run on the operator's machine: its directory, its journal, and the lock that
//! lets one process at a time write it.
//!
//! `append` returns only when the record is on the disk, so whoever acts after it acts on something
//! that a crash cannot take back. A journal that failed once never writes again, and one that is
//! damaged can be read up to the damage but never continued.

mod directory;
mod door;
mod error;
mod file;
mod findings;
mod line;
mod lock;
mod memory;
mod private;
mod run;

use jiff::Timestamp;

use crate::model::event::{Event, Record};

pub use directory::{ClusterDir, StateDir};
pub use door::Door;
pub use error::{JournalError, Unsafe};
pub use file::{Contents, End, FileJournal, proven, read};
pub use findings::Kept;
pub use line::{Damage, VERSION};
pub use lock::{ClusterLock, Holder};
pub use memory::MemoryJournal;
pub use run::{RunDir, new_token};

/// Something that keeps events for good.
pub trait Journal {
    /// Keeps one event. It is durable when this returns; an error is final, and nothing can be
    /// appended after it. What is returned is what a reader of the journal will see.
    fn append(&mut self, event: &Event, at: Timestamp) -> Result<Record, JournalError>;
}
