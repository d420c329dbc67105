//! What can be wrong with a run's records, and what to do about each.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::line::Damage;
use super::lock::Holder;
use crate::model::event::RunId;
use crate::model::name::ClusterName;

/// Why a directory or file of ours cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// Someone could have pointed it elsewhere.
    #[error("it is a symbolic link")]
    Symlink,
    /// Neither the directory nor the regular file that should stand there.
    #[error("it is not a {0}")]
    Kind(&'static str),
    /// Another user owns it, and could change it at any time.
    #[error("it belongs to uid {owner}, and rollgate runs as uid {me}")]
    Owner {
        /// Who owns it.
        owner: u32,
        /// Who we are.
        me: u32,
    },
    /// Its mode lets others write.
    #[error("others can write to it (mode {0:04o})")]
    Writable(u32),
}

/// Why a run's records could not be found, opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The environment names no place to keep records in.
    #[error("no place to keep the records of a run: HOME is not set")]
    NoStateDirectory,
    /// A directory or file that others could have prepared or could change.
    #[error("{} cannot be trusted with the records of a run: {why}", path.display())]
    Untrusted {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: Unsafe,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb phrase: "create", "lock".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Another process writes this run's journal.
    #[error("the journal {} is being written by another rollgate", path.display())]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// Another process works on this cluster.
    #[error("{cluster} is being worked on by someone else{}", held_by(holder.as_deref()))]
    Held {
        /// The cluster.
        cluster: ClusterName,
        /// Who; `None` in the moment between taking the lock and signing it.
        holder: Option<Box<Holder>>,
    },
    /// No run of that name.
    #[error("{cluster} has no run {run}")]
    NoSuchRun {
        /// The cluster.
        cluster: ClusterName,
        /// What was asked for.
        run: RunId,
        /// The runs that there are, oldest first.
        known: Vec<RunId>,
    },
    /// What was found under a run's name is another run, or none.
    #[error("what there is of run {run} on this machine and on the nodes is not of the same run")]
    Foreign {
        /// The name.
        run: RunId,
    },
    /// A line that no crash explains.
    #[error("the journal {} is damaged at line {line}: {damage}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The first bad line, from 1.
        line: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Written by a later rollgate.
    #[error(
        "the journal {} has format {version}; this rollgate writes format {}",
        path.display(),
        super::VERSION
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        version: u32,
    },
    /// The event cannot be written down so that it reads back. Nothing was written.
    #[error("an event cannot be recorded: {source}")]
    Unrecordable {
        /// What the encoder or the decoder said.
        source: serde_json::Error,
    },
    /// The record may not be on the disk. Final: a second try could claim what is not so.
    #[error("cannot {doing} the journal {}: {source}", path.display())]
    Lost {
        /// "write" or "sync".
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// The record as it would have stood there, for the screen as the last resort.
        record: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The journal failed before and takes nothing more.
    #[error("the journal {} failed earlier and takes no further record", path.display())]
    Poisoned {
        /// The journal.
        path: PathBuf,
    },
}

impl JournalError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }

    /// What can be done about it, for the line under the error; `None` where the message says all.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NoStateDirectory => "set ROLLGATE_STATE_DIR to a directory of your own, or HOME".to_owned(),
            Self::Untrusted { path, why } => {
                let path = quoted(path);
                match why {
                    Unsafe::Symlink => {
                        format!("name the real directory in ROLLGATE_STATE_DIR, or remove {path}")
                    }
                    Unsafe::Kind(_) => format!("look at what stands there: ls -ld {path}"),
                    Unsafe::Owner { owner, .. } => format!(
                        "run rollgate as uid {owner}, or set ROLLGATE_STATE_DIR to a directory of your own"
                    ),
                    Unsafe::Writable(_) => {
                        format!("look at what is in it, then: chmod go-w {path}")
                    }
                }
            }
            Self::Io { source, path, .. } => return io_help(source, path),
            Self::Lost { source, path, .. } => {
                return io_help(source, path.parent().unwrap_or(path));
            }
            Self::Busy { .. } | Self::Held { .. } => "look on with: rollgate status --watch".to_owned(),
            Self::Foreign { .. } => {
                "two runs of one name were begun on two machines; ROLLGATE_STATE_DIR names another place for this one"
                    .to_owned()
            }
            Self::NoSuchRun { known, .. } => match known.as_slice() {
                [] => "there is no run yet; rollgate stage begins one".to_owned(),
                [last] => format!("the only run is {last}"),
                [.., before, last] => format!("the latest runs are {before} and {last}"),
            },
            Self::Damaged { path, .. } => {
                let run = quoted(path.parent().unwrap_or(path));
                format!(
                    "rollgate status shows what precedes the damage; nothing goes on from it. Restore the file \
                     from a copy, or look at every node and set the run aside: mv {run} {run}.damaged"
                )
            }
            Self::Newer { .. } => {
                "go on with the rollgate that wrote it; this one can only show it".to_owned()
            }
            Self::Unrecordable { .. } | Self::Poisoned { .. } => return None,
        })
    }
}

fn held_by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(": {holder}"))
}

fn io_help(source: &io::Error, path: &Path) -> Option<String> {
    let path = quoted(path);
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(format!("make room: df -h {path}")),
        io::ErrorKind::PermissionDenied => {
            Some(format!("set ROLLGATE_STATE_DIR to a directory of your own, or look at: ls -ld {path}"))
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("set ROLLGATE_STATE_DIR to a directory that can be written".to_owned())
        }
        _ if source.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
            Some("the disk may be failing: look at the kernel's messages with dmesg".to_owned())
        }
        _ => None,
    }
}

/// A path as it can be pasted into a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
