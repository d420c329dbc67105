//! How rollgate talks to nodes: connections, read-only questions, jobs that change something, copies.
//!
//! What may be asked of a node is split by type. A [`Reader`] can only read; a [`Session`] can change
//! things as well; a dry run is handed readers (see [`ReadOnlyConnector`]) and so *cannot* start a job.
//!
//! ```text
//! Connector ──▶ Session: Reader        Dialer: over ssh or on this machine
//!                  │
//!               NodeSession            the same code for both, over
//!                  │
//!                Link                  ssh: an own master, a channel per call · local: a child process
//! ```
//!
//! A call is one fixed command line (`line`), a program on its standard input (`script`) and a reply
//! framed by a nonce (`frame`). No value of an inventory is ever shell source, and an exit status of
//! 255 is never taken for ssh's own.

mod answers;
mod askpass;
mod asks;
pub mod child;
mod connector;
mod converse;
mod copy;
mod denied;
mod download;
mod error;
mod facts;
mod fence;
mod fetch;
mod follow;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod garbled;
mod grip;
mod identity;
mod interact;
mod job;
mod keeping;
mod keys;
mod line;
mod link;
mod local;
mod master;
mod memory;
mod note;
mod probe;
mod read_only;
mod refused;
mod revert;
mod rights;
mod runner;
mod script;
mod session;
mod sockets;
mod ssh;
mod sum;
mod trouble;
mod trust;
mod warden;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::model::fence::{Fence, FenceEnd};
use crate::model::host::{Become, Connection};
use crate::model::job::{Revert, Standing};
use crate::model::name::{ClusterName, NodeName};

pub use answers::{Answers, Challenge, NoAnswer, Reach, Verdict, Wanted};
pub use askpass::{ASKPASS, relay};
pub use connector::Dialer;
pub use copy::{Copied, Upload};
pub use download::{Download, WRONG_SUM, download_script};
pub use error::{Kind, TransportError, Trouble};
pub use facts::{Detach, Facts};
pub use fence::{FenceClaim, FenceRule, Taking};
pub use job::{
    Captured, Job, JobEnd, JobId, JobRef, JournalCopy, Limit, OutputSink, Probe, ProbeEnd, ProbeReply,
    Secret, Stream,
};
pub use keeping::Keeping;
pub use read_only::ReadOnlyConnector;
pub use revert::RevertWord;
pub use sum::{FileSum, hash_bytes, hash_file};
pub use trust::{Exposed, exposed};

/// A future in a box, so that the traits below can be used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node as the transport needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in the inventory, for messages.
    pub name: NodeName,
    /// The way to it.
    pub connection: Connection,
    /// How copies and whatever says nothing else gain their rights.
    pub become_with: Become,
    /// The password for sudo there, for whatever gains its rights that way.
    pub become_password: Option<Secret>,
    /// rollgate's own directory on the node, absolute; see [`Facts::root`] for the default.
    pub state_dir: Option<PathBuf>,
    /// Where scripts run when the node is this machine, absolute; rollgate's own directory there by default.
    pub cwd: Option<PathBuf>,
}

/// Opens sessions.
pub trait Connector: Send + Sync {
    /// Connects, logs in, tries `become`, and reads the [`Facts`]. Changes nothing on the node.
    ///
    /// Errors are [`TransportError::Unreachable`], or [`TransportError::Refused`] for an endpoint that
    /// must not reach a command line.
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>>;

    /// Connects as [`Connector::connect`] does, by a login of its own that proves that one can log in now: nothing that
    /// is open already is taken up, and the connection ends with the session.
    fn log_in<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>>;
}

/// What may be asked of a node without changing it.
///
/// It is not [`std::any::Any`], so a `dyn Reader` cannot be turned back into the [`Session`] it may be.
pub trait Reader: Send + Sync {
    /// What was read at login.
    fn facts(&self) -> &Facts;

    /// Runs independent read-only scripts one after the other in one round trip; as many replies as
    /// probes, in their order. `deadline` is for all of them together: the one that hangs is
    /// [`ProbeEnd::TimedOut`], those after it [`ProbeEnd::NotRun`], those before it are valid.
    fn probe<'a>(
        &'a self,
        batch: &'a [Probe],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<ProbeReply>, TransportError>>;

    /// Runs such scripts with a time limit each, which counts from where it begins, and hands on each reply, by its
    /// number, as soon as it is there. Those behind one that hangs, or whose shell dies, have none; after an error
    /// neither has any other.
    fn probe_in_turn<'a>(
        &'a self,
        batch: &'a [Probe],
        limits: &'a [Duration],
        told: &'a (dyn Fn(usize, ProbeReply) + Sync),
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Copies one file from the node to `to`, which is created with mode 0600 and appears whole or not
    /// at all; a file that is there already is never overwritten.
    fn get<'a>(
        &'a self,
        from: &'a str,
        to: &'a Path,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Copied, TransportError>>;

    /// Size and sha256 of files on the node in one round trip, in their order; `None` where there is no
    /// regular file. The node reads them through now: this is what may be relied on right before they are used.
    fn hash<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>>;

    /// The same, without reading through what is as it was when the node noted its sum, by the device, inode, size,
    /// mtime and ctime of the file. It tells whether there is anything to copy, not that a file may be used.
    fn recall<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>>;

    /// Where a job stands on the node.
    fn standing<'a>(&'a self, job: &'a JobRef) -> BoxFuture<'a, Result<Standing, TransportError>>;

    /// The lock with the highest epoch that the node has for a cluster; `None` where there never was one.
    fn fence<'a>(&'a self, cluster: &'a ClusterName) -> BoxFuture<'a, Result<Option<Fence>, TransportError>>;

    /// Whether the node answers on this connection now; asks it, for two seconds at most.
    fn is_alive(&self) -> BoxFuture<'_, bool>;
}

/// What may change a node.
pub trait Session: Reader {
    /// Starts a job, detached, unless it was started before, and follows it to its end. A non-zero exit
    /// is `Ok`.
    ///
    /// [`TransportError::Unreachable`]: it never began. [`TransportError::Lost`]: it may have begun, and if
    /// so it goes on; starting it again, or following it, finds out.
    fn start<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
    ) -> BoxFuture<'a, Result<JobEnd, TransportError>>;

    /// Follows a job that was started earlier, by whomever, from certain bytes of its output and its error
    /// output on. `limit` counts from when it began. Errors as in [`Session::start`].
    fn attach<'a>(
        &'a self,
        job: &'a JobRef,
        from: [u64; 2],
        limit: &'a Limit,
        sink: &'a dyn OutputSink,
    ) -> BoxFuture<'a, Result<JobEnd, TransportError>>;

    /// Has the node begin the job `undo` by itself after so long, unless somebody decides otherwise before: its own
    /// process waits there, whatever becomes of the connection. It ends the job `change`, which has these rights, first,
    /// and one that has not begun by then never does. Running means that the node waits. Errors as in [`Session::start`].
    fn arm<'a>(
        &'a self,
        undo: &'a Job,
        change: (&'a JobRef, Become),
        after: Duration,
    ) -> BoxFuture<'a, Result<Standing, TransportError>>;

    /// Decides about a job that was [armed](Session::arm), unless somebody has, durably; what was decided, by
    /// whomever. Without a word it only asks. A job that was not armed by now never will be.
    fn decide<'a>(
        &'a self,
        armed: &'a JobRef,
        word: Option<RevertWord>,
    ) -> BoxFuture<'a, Result<Revert, TransportError>>;

    /// Leaves lines of a run's journal on the node, durably, unless somebody has taken over the lock `epoch`
    /// since. `run` is its name on nodes.
    fn keep<'a>(
        &'a self,
        cluster: &'a ClusterName,
        run: &'a str,
        epoch: u64,
        copy: &'a JournalCopy,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Runs a job with the operator's terminal as its input and output; its `stdin` is not used, and
    /// nothing of its output is seen here. Errors as in [`Session::start`].
    fn interact<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<JobEnd, TransportError>>;

    /// Copies a local file to the node: into a part beside its destination (an earlier part of the same
    /// content is continued), sha256 on the node, mode, fsync, rename. `progress` hears the bytes that
    /// the node has, and may hear 0 again when a part turned out to be damaged.
    fn put<'a>(
        &'a self,
        upload: &'a Upload,
        progress: &'a (dyn Fn(u64) + Sync),
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Copied, TransportError>>;

    /// As [`Reader::recall`], and the node notes what it had to read through.
    fn note<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>>;

    /// Removes a directory below [`Facts::root`], whole; that it is not there is fine. Any other path
    /// is refused.
    fn remove<'a>(&'a self, path: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Takes the node's lock, or says who has it. Nothing is certain after [`TransportError::Lost`]; asking
    /// again is right. [`TransportError::Lock`]: the node's own directory is not fit to hold one.
    fn take_fence<'a>(&'a self, claim: &'a FenceClaim) -> BoxFuture<'a, Result<Taking, TransportError>>;

    /// Says on the node how the invocation ended that took this lock.
    fn end_fence<'a>(
        &'a self,
        cluster: &'a ClusterName,
        epoch: u64,
        word: FenceEnd,
    ) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Gives the node a sign that the holder of this lock lives.
    fn beat<'a>(&'a self, cluster: &'a ClusterName, epoch: u64) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Ends the session. Calls under way end as lost; later ones find it gone. A connection that is to stay open for
    /// the next command does.
    fn close(&self) -> BoxFuture<'_, ()>;
}
