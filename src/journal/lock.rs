//! One rollgate per cluster on this machine: a locked file, signed by the one who holds it.
//!
//! The kernel drops the lock with the process, so there is no stale one; the file stays, since a
//! removed one could be locked twice. It does not replace the lock on the nodes, which also keeps out
//! other machines.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{JournalError, private};
use crate::model::event::{Operator, RunId};
use crate::model::name::ClusterName;

/// Who holds a cluster, for the message to everyone else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run worked on, once there is one.
    pub run: Option<RunId>,
    /// Who, and the process that `unstage` asks to stop.
    pub by: Operator,
    /// Since when.
    pub since: Timestamp,
    /// What it does: "start", "start: db-2 waits at gate isolated".
    pub doing: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(run) = &self.run {
            write!(f, "run {run}, ")?;
        }
        let since = self.since.to_zoned(jiff::tz::TimeZone::system());
        write!(
            f,
            "{}@{} pid {}, since {}, {}",
            self.by.user,
            self.by.host,
            self.by.pid,
            since.strftime("%Y-%m-%d %H:%M"),
            self.doing
        )
    }
}

/// The right to work on a cluster, held until dropped.
#[derive(Debug)]
pub struct ClusterLock {
    file: File,
    path: PathBuf,
    holder: Holder,
}

impl ClusterLock {
    pub(super) fn take(path: &Path, cluster: &ClusterName, holder: Holder) -> Result<Self, JournalError> {
        // Signing writes at the beginning, which a descriptor that appends cannot.
        private::file(path)?;
        let file = private::rewritable_file(path)?;
        if !lock_patiently(&file, path)? {
            let holder = signature(path)?.map(Box::new);
            return Err(JournalError::Held { cluster: cluster.clone(), holder });
        }
        let mut lock = Self { file, path: path.to_owned(), holder };
        lock.sign()?;
        Ok(lock)
    }

    pub(super) fn holder(path: &Path) -> Result<Option<Holder>, JournalError> {
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let file = private::readable_file(path)?;
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => signature(path),
            Err(TryLockError::Error(source)) => Err(JournalError::io("lock", path, source)),
        }
    }

    /// Tells everyone else which run is worked on and what is being done.
    pub fn announce(&mut self, run: Option<RunId>, doing: &str) -> Result<(), JournalError> {
        self.holder.run = run;
        doing.clone_into(&mut self.holder.doing);
        self.sign()
    }

    /// What everyone else is told.
    pub fn signed(&self) -> &Holder {
        &self.holder
    }

    /// Writes the signature over the last one. Readers take the first line, so the rest of a longer
    /// one does no harm in the moment before it is cut off.
    fn sign(&mut self) -> Result<(), JournalError> {
        let failed = |source| JournalError::io("sign", &self.path, source);
        let mut line =
            serde_json::to_vec(&self.holder).map_err(|source| JournalError::Unrecordable { source })?;
        line.push(b'\n');
        self.file.write_all_at(&line, 0).map_err(failed)?;
        self.file.set_len(line.len() as u64).map_err(failed)
    }
}

impl Drop for ClusterLock {
    fn drop(&mut self) {
        // The lock goes with the descriptor; a signature that stays behind is never believed.
        drop(self.file.set_len(0));
    }
}

/// Takes the exclusive lock; `false` when another process keeps it.
pub(super) fn lock_patiently(file: &File, path: &Path) -> Result<bool, JournalError> {
    patiently(path, || file.try_lock())
}

/// Takes the lock that others may share; `false` when another process keeps the exclusive one.
pub(super) fn share_patiently(file: &File, path: &Path) -> Result<bool, JournalError> {
    patiently(path, || file.try_lock_shared())
}

/// Someone who only looks whether a lock is held has it for a moment, and so has a process that is just being
/// started with all that its parent had open: a few tries tell a holder from those.
fn patiently(path: &Path, lock: impl Fn() -> Result<(), TryLockError>) -> Result<bool, JournalError> {
    const TRIES: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(20);
    for left in (0..TRIES).rev() {
        match lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if left > 0 => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(source)) => return Err(JournalError::io("lock", path, source)),
        }
    }
    Ok(false)
}

fn signature(path: &Path) -> Result<Option<Holder>, JournalError> {
    let failed = |source| JournalError::io("read", path, source);
    let mut file = private::readable_file(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text.lines().next().and_then(|line| serde_json::from_str(line).ok()))
}
