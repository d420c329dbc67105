//! Changes that their nodes undo by themselves unless a new login confirms them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use crate::model::duration::between;
use crate::model::name::NodeName;
use crate::model::state::RunState;

use super::super::moment::Moment;
use super::super::{run, words};

/// One of them, as the journal has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmedView {
    /// The node that undoes it.
    pub node: NodeName,
    /// The step in words.
    pub title: String,
    /// When its time is over.
    pub until: Timestamp,
}

impl ArmedView {
    /// All of a run.
    pub(super) fn all(state: &RunState) -> Vec<Self> {
        let armed = state.armed().map(|(key, armed)| {
            let node = state.step(key).and_then(|step| step.on.first()).unwrap_or(&key.node).clone();
            let until =
                SignedDuration::try_from(armed.after).ok().and_then(|after| armed.at.checked_add(after).ok());
            Self { node, title: run::title_of(state, key), until: until.unwrap_or(armed.at) }
        });
        armed.collect()
    }

    /// In a sentence. What became of one whose time is over its node alone knows.
    pub(super) fn sentence(&self, moment: &Moment) -> String {
        let (node, title) = (&self.node, &self.title);
        let left = between(moment.now, self.until);
        if left > Duration::ZERO {
            return format!("{node} undoes {title} by itself in {}", words::elapsed(left));
        }
        let ago = words::elapsed(between(self.until, moment.now));
        format!("{node} was to undo {title} by itself {ago} ago; going on with the run asks it")
    }

    pub(super) fn document(&self, moment: &Moment) -> Json {
        json!({ "node": self.node, "step": self.title, "undone_at": moment.iso(self.until) })
    }
}
