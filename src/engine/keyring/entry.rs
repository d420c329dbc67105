//! What is known of one password or passphrase, and of one node's logins.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::name::{NodeName, VarName};
use crate::transport::{Secret, Verdict};

/// How often a node that has accepted a password before is offered it again after it did not: one that is starting
/// lets nobody in for a while (`pam_nologin`).
const CHANCES: u32 = 3;

/// What something opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lock {
    /// The nodes whose password is this secret.
    Named(VarName),
    /// The nodes for which no secret is named.
    Nodes,
    /// Another host, by ssh's words.
    Other(String),
    /// A private key, by its file.
    Key(String),
}

impl Lock {
    /// Whether it is settled before the node's own login begins to judge.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Other(_))
    }
}

/// Whether something is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nobody knows.
    #[default]
    None,
    /// This node's login is finding out.
    Trying(NodeName),
    /// It has been accepted.
    Accepted,
    /// The first one that it was offered to has refused it.
    Refused(NodeName),
}

/// One password or passphrase.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) typed: Option<Secret>,
    pub(super) proof: Proof,
    /// Somebody was asked and gave none: nobody is asked for it twice.
    pub(super) is_declined: bool,
}

/// One node's logins.
#[derive(Debug, Clone, Default)]
pub(super) struct Stand {
    /// A password that was typed for this node alone.
    pub(super) own: Option<Secret>,
    /// Whether it has refused the one that others have accepted.
    pub(super) has_refused: bool,
    /// Somebody was asked for its own and gave none.
    pub(super) is_declined: bool,
    has_accepted: bool,
    refusals: u32,
    refused_at: Option<Instant>,
}

impl Stand {
    /// Whether a refusal may be that of a node that is starting.
    pub(super) fn may_be_starting(&self) -> bool {
        self.has_accepted && self.refusals < CHANCES
    }

    /// Whether the latest login was made.
    pub(super) fn has_opened(&self) -> bool {
        self.has_accepted && self.refusals == 0
    }

    /// Whether nothing more is offered.
    pub(super) fn is_barred(&self) -> bool {
        self.refusals > 0 && !self.may_be_starting()
    }

    /// Whether the last refusal was a moment ago.
    pub(super) fn is_too_soon(&self, pause: Duration) -> bool {
        self.refused_at.is_some_and(|at| at.elapsed() < pause)
    }

    pub(super) fn ended(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => {
                self.has_accepted = true;
                self.refusals = 0;
                self.refused_at = None;
            }
            Verdict::Refused => {
                self.refusals += 1;
                self.refused_at = Some(Instant::now());
                if self.is_barred() {
                    self.own = None;
                }
            }
            Verdict::Unclear => {}
        }
    }
}
