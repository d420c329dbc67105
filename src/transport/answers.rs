//! What a login asks for beside a key, and who answers it.

use super::BoxFuture;
use super::job::Secret;
use crate::model::name::{NodeName, VarName};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The password of the node's own login.
    Password,
    /// A password that is another host's: a jump host on the way asks for it.
    OtherPassword,
    /// The passphrase of a private key of this machine.
    Passphrase {
        /// The key's file, as ssh names it.
        key: String,
    },
    /// Anything else that has to be typed: a one-time code, a PIN.
    Code,
}

/// One question of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The node that is logged in to.
    pub node: NodeName,
    /// The secret that is the password of its login, by name.
    pub password: Option<VarName>,
    /// What is wanted.
    pub wanted: Wanted,
    /// ssh's own words, which may be the node's: unescaped.
    pub said: String,
    /// How often it was answered in this login already: each of these answers was wrong.
    pub given: u32,
    /// Whether this login has the operator's terminal for itself.
    pub has_terminal: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// Nobody can be asked here.
    Nobody,
    /// Somebody was asked, and gave none.
    Declined,
    /// The secret of this name could not be had.
    Missing {
        /// The secret.
        secret: VarName,
    },
    /// The secret was offered, was not accepted, and is not offered to this node again.
    Refused {
        /// The secret.
        secret: VarName,
    },
    /// The node has accepted its password before and does not now, as one does that is starting: in a moment it may
    /// be offered it again.
    NotYet,
    /// The secret was not offered here, for the first node that was offered it has refused it.
    Withheld {
        /// The secret.
        secret: VarName,
        /// That node.
        by: NodeName,
    },
    /// Others were asked for so long that no server would wait any longer: nothing was shown, try again.
    Stale,
}

/// How far a login can get with what it may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// No question can be answered: ssh must not ask any.
    Nothing,
    /// What is known already can be given, and nobody can be asked.
    Known,
    /// Somebody can be asked.
    Person,
}

/// How a login ended in which something was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The login is made.
    Accepted,
    /// It was turned down after a password of the node was given.
    Refused,
    /// For another reason there is no login.
    Unclear,
}

/// Answers what logins ask for.
pub trait Answers: Send + Sync {
    /// What can be answered for a node whose password is the secret of this name.
    fn reach(&self, password: Option<&VarName>) -> Reach;

    /// The answer. May take as long as somebody types; dropping it takes the question back.
    fn answer<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, Result<Secret, NoAnswer>>;

    /// Passes on something that ssh wants to be known, such as that a key has to be touched. Unescaped.
    fn tell(&self, node: &NodeName, text: &str);

    /// Hears how a login ended that could ask. Every such login ends so, in whatever way. The answer says whether a
    /// password that was refused is offered again in a while.
    fn ended(&self, node: &NodeName, verdict: Verdict) -> bool;
}
