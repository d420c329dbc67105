//! What makes a test read like a sentence: a cluster of throw-away nodes, a way to run rollgate
//! against it, a terminal, and eyes for what it left behind.

mod cluster;
pub(crate) mod disk;
mod effects;
pub(crate) mod failing;
mod mirror;
pub(crate) mod next;
mod pty;
mod redact;
mod run;
mod schema;
#[path = "../../../examples/demo/sshd.rs"]
mod sshd;
mod tree;
mod wire;

use std::time::{Duration, Instant};

pub(crate) use cluster::{Builder, Cluster, NodeSpec};
pub(crate) use effects::{HELD, VANISH, counted, effects};
pub(crate) use mirror::{Asked, Mirror};
pub(crate) use pty::{Pty, Size, written};
pub(crate) use redact::redact;
pub(crate) use run::{Invocation, Output, Running, harmless, rollgate};
pub(crate) use schema::{documents, schemas};
pub(crate) use sshd::{descendants, end, sshd_program};
pub(crate) use tree::Tree;
pub(crate) use wire::Wire;

/// How long a test waits for something that takes a moment before it says what is missing. Hosts that boot beside it
/// make a moment long.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Looks again and again until something is so; red when it is not in time.
#[track_caller]
pub(crate) fn within_patience(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
