//! The lock of a node, as far as it matters to whoever looks on.

use serde_json::{Value as Json, json};

use crate::model::fence::Fence;
use crate::model::name::NodeName;

/// A lock on a node that stands in the way of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockView {
    /// The node.
    pub node: NodeName,
    /// The lock.
    pub fence: Fence,
    /// Whether it was taken from this machine's state directory.
    pub ours: bool,
}

impl LockView {
    /// Of the nodes' locks the one to know of: somebody else's, else one that ours left behind.
    pub fn of<'a>(
        locks: impl IntoIterator<Item = (&'a NodeName, &'a Fence)>,
        seat: Option<&str>,
    ) -> Option<Self> {
        let held = locks.into_iter().filter(|(_, fence)| fence.holds()).map(|(node, fence)| Self {
            node: node.clone(),
            fence: fence.clone(),
            ours: seat == Some(fence.owner.seat.as_str()),
        });
        held.min_by_key(|lock| (lock.ours, lock.fence.ended.is_some()))
    }

    /// The lock for a program.
    pub fn document(&self) -> Json {
        let fence = &self.fence;
        json!({
            "node": self.node,
            "state": if fence.ended.is_some() { "stopped" } else { "held" },
            "ours": self.ours,
            "stale": fence.is_stale(),
            "epoch": fence.epoch,
            "run": fence.owner.run,
            "by": { "user": fence.owner.by.user, "host": fence.owner.by.host, "pid": fence.owner.by.pid },
            "doing": fence.owner.doing,
            "held_seconds": fence.age.as_secs(),
            "seen_seconds": fence.seen.as_secs(),
        })
    }
}
