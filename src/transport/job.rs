//! What is asked of a node, and what comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::model::host::{Become, Shell};
use crate::model::job::Standing;
use crate::model::name::ClusterName;

/// A value that is passed on and never shown, and overwritten when it is done with.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value out of sight.
    pub fn new(value: impl Into<Zeroizing<String>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one who passes or masks it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The identity of a job within its run, the same on every try to start it: node, step and attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// Makes an identity of letters, digits, `.`, `_` and `-`, at most 200 of them, the first a letter
    /// or a digit: it names a directory on the node. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() <= 200
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A job as a node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// The cluster.
    pub cluster: ClusterName,
    /// The run's name on nodes (`RunState::key`): letters, digits, `.` and `-`.
    pub run: String,
    /// The job's identity within the run.
    pub id: JobId,
}

impl JobRef {
    /// Where a node whose own directory is `root` keeps what belongs to the run.
    pub(super) fn run_dir(&self, root: &str) -> String {
        run_dir(root, &self.cluster, &self.run)
    }

    /// Its name among all jobs on a node.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.run, self.id)
    }
}

/// Where a node whose own directory is `root` keeps what belongs to a run.
pub(super) fn run_dir(root: &str, cluster: &ClusterName, run: &str) -> String {
    format!("{root}/{cluster}/runs/{run}")
}

/// Lines of the operator's journal, left on a node so that another machine can go on with the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalCopy {
    /// The number of the first record.
    pub from: u64,
    /// The lines as they stand in the journal.
    pub lines: String,
}

/// A script that may change the node.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its identity: on a node it begins at most once.
    pub at: JobRef,
    /// The lock under which it is started. It does not begin where somebody has taken over since.
    pub epoch: u64,
    /// What is left on the node with it.
    pub copy: Option<JournalCopy>,
    /// The script.
    pub script: String,
    /// Who reads it.
    pub shell: Shell,
    /// Environment variables, passed byte for byte. A NUL in one is refused.
    pub env: BTreeMap<String, String>,
    /// Variables of the script's own shell, which it does not export. What it prints of them is masked on the node,
    /// before it comes into a file there.
    pub secrets: BTreeMap<String, Secret>,
    /// What the script is not given and may find there all the same, since the node is given it in this run: masked
    /// like its own.
    pub hidden: Vec<Secret>,
    /// What the script reads; without it, nothing (`/dev/null`).
    pub stdin: Option<Secret>,
    /// The directory to run in; relative to the login's home, or to the node's own directory for
    /// `connection: local`. A missing one ends the job with 126 and a message.
    pub cwd: Option<String>,
    /// How it gains its rights.
    pub become_with: Become,
    /// How long it may take.
    pub deadline: Duration,
}

/// How long a job may take, and whose rights it takes to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How long, from when it began.
    pub deadline: Duration,
    /// The job's rights.
    pub become_with: Become,
}

/// A script that only reads: its author says so, and rollgate treats it so.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The script.
    pub script: String,
    /// Who reads it.
    pub shell: Shell,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Variables of the script's own shell, which it does not export.
    pub secrets: BTreeMap<String, Secret>,
    /// How it gains its rights.
    pub become_with: Become,
}

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Hears a job's output while it runs.
pub trait OutputSink: Send + Sync {
    /// Takes one line, raw, with its newline if it has one. A line of more than 64 KiB comes in pieces.
    fn line(&self, from: Stream, line: &[u8]);

    /// Hears, at the end, that the job printed more than was handed on, and why.
    fn cut(&self, why: &str);
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// By itself. Killed by a signal, the code is 128 and its number, as shells say it.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// It took too long and was told to stop.
    TimedOut {
        /// How long it was let run.
        after: Duration,
        /// Whether nothing of it runs any more. Where it is false, something of it may: a process
        /// in a session of its own, or under rights that the login cannot end.
        stopped: bool,
    },
    /// It did not run, or how it ended is not to be known: what the node says of it.
    Unclear(Standing),
}

/// Output that was kept: at most one MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// The bytes as they came.
    pub bytes: Vec<u8>,
    /// Whether there was more.
    pub truncated: bool,
}

impl Captured {
    const MOST: usize = 1 << 20;

    pub(super) fn take(&mut self, bytes: &[u8]) {
        let room = Self::MOST - self.bytes.len();
        self.truncated |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The bytes as text, anything that is none replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeEnd {
    /// By itself, with this code.
    Exited {
        /// The exit code.
        code: i32,
    },
    /// It was running when the time was over.
    TimedOut,
    /// The shell that ran the batch was killed in it.
    Died,
    /// It was not run: one before it hung, or its shell or rights are not to be had.
    NotRun {
        /// Why not.
        why: String,
    },
}

impl ProbeEnd {
    /// What becomes of a script behind one that came to no end.
    pub fn not_reached() -> Self {
        Self::NotRun { why: "the one before it came to no end".to_owned() }
    }
}

/// What a probe answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReply {
    /// How it ended.
    pub end: ProbeEnd,
    /// Its standard output.
    pub stdout: Captured,
    /// Its standard error.
    pub stderr: Captured,
    /// How long it took, as seen from here.
    pub took: Duration,
}
