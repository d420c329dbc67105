//! What can go wrong between here and a node, worded for the operator.

use std::io;

use crate::model::name::NodeName;

/// Why a call to a node has no answer. A command that ran and failed is not among them.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Nothing of what was asked has begun.
    #[error("{} {node} ({}): {}", .why.kind.verb(), .why.place, .why.text)]
    Unreachable {
        /// The node.
        node: NodeName,
        /// What stands in the way.
        why: Box<Trouble>,
    },
    /// It may have begun, and how it ended is unknown.
    #[error("contact with {node} was lost: {why}")]
    Lost {
        /// The node.
        node: NodeName,
        /// What was seen of the loss.
        why: String,
    },
    /// rollgate does not do what was asked; the node has not been asked.
    #[error("{node}: {why}")]
    Refused {
        /// The node.
        node: NodeName,
        /// What was asked, and why not.
        why: String,
    },
    /// A copy did not come about; the destination is as it was.
    #[error("{node}: {what}")]
    Copy {
        /// The node.
        node: NodeName,
        /// What failed, in the node's words where it said something.
        what: String,
    },
    /// The node's own directory can hold no lock, or the lock there is not what it was.
    #[error("{node} cannot be locked: {what}")]
    Lock {
        /// The node.
        node: NodeName,
        /// What is wrong, in words.
        what: String,
    },
    /// This machine failed.
    #[error("{what}")]
    Here {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl TransportError {
    /// Whether it is certain that nothing began on the node.
    pub fn never_began(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { .. })
    }

    /// What the operator should know to get on, where there is more to say than the error itself.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Unreachable { why, .. } => Some(&why.help),
            Self::Lock { .. } => Some(
                "what rollgate keeps on a node decides what runs there, so nobody else may be able to change it: \
                 take the right to write away, or name another `state_dir` in the inventory",
            ),
            _ => None,
        }
    }

    /// A command to type next, where the error itself suggests one.
    pub fn next(&self) -> Option<&str> {
        match self {
            Self::Unreachable { why, .. } => why.next.as_deref(),
            _ => None,
        }
    }
}

/// What stands between here and a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Of which kind it is.
    pub kind: Kind,
    /// Where it was tried: `ops@10.0.0.13 port 22`.
    pub place: String,
    /// The heart of it in one line.
    pub text: String,
    /// Everything that ssh, sudo or the node said, a line each, unescaped.
    pub said: Vec<String>,
    /// What it means and what to do.
    pub help: String,
    /// A command to type next.
    pub next: Option<String>,
}

/// Kinds of [`Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No key was accepted.
    PermissionDenied,
    /// A password or a code was given and not accepted.
    PasswordRefused,
    /// The password has expired.
    PasswordExpired,
    /// It asks for something, and there is no answer.
    Unanswered,
    /// The host key is not known and unknown ones are not accepted.
    HostKeyUnknown,
    /// The host key is another than the known one.
    HostKeyChanged,
    /// Nothing listens there.
    ConnectionRefused,
    /// No answer in time.
    TimedOut,
    /// The name has no address.
    NameNotResolved,
    /// There is no route to the address.
    NoRoute,
    /// The server closed the connection before the login (`MaxStartups`, a firewall, fail2ban).
    TurnedAway,
    /// Rights are not to be had by sudo or doas.
    Become,
    /// sudo does not take the password. It is not tried again: accounts are locked for less.
    Password,
    /// The login works, but its shell runs no commands, or the shell that a script wants is missing.
    Shell,
    /// Nothing can be written where rollgate keeps its records.
    NoRoom,
    /// This connection has ended; a new one may work.
    Closed,
    /// `ssh` cannot be run here, or said something that is in no list.
    Other,
}

impl Kind {
    fn verb(self) -> &'static str {
        match self {
            Self::PermissionDenied
            | Self::PasswordRefused
            | Self::PasswordExpired
            | Self::Unanswered
            | Self::HostKeyUnknown
            | Self::HostKeyChanged => "cannot log in to",
            Self::Become | Self::Password | Self::Shell | Self::NoRoom => "cannot run commands on",
            _ => "cannot reach",
        }
    }
}
