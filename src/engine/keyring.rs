//! What logins are answered with: secrets of the inventory, and what somebody typed before.
//!
//! A password is first tried at one node alone. While it is, the others wait; only when it was accepted somewhere
//! they are offered it too, side by side, so that a wrong one is counted once and not once for each node. A secret
//! that a node has refused is not offered to it again. What was typed is kept in memory for as long as this process
//! lives, a one-time code never.

mod entry;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Notify};
use tokio::time::{Instant, timeout_at};

use super::secrets::Secrets;
use crate::model::name::{NodeName, VarName};
use crate::transport::{Answers, BoxFuture, Challenge, NoAnswer, Reach, Secret, Verdict, Wanted};
use entry::{Entry, Lock, Proof, Stand};

/// How long things may take.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// A login may stand in line for so long before it is made anew.
    in_line: Duration,
    /// A node that did not accept a secret is offered it again after so long, if ever.
    pause: Duration,
}

impl Default for Pace {
    /// No usual sshd waits longer than two minutes for a login.
    fn default() -> Self {
        Self { in_line: Duration::from_secs(90), pause: Duration::from_secs(10) }
    }
}

/// Somebody who can be asked.
pub trait Person: Send + Sync {
    /// Asks. Only one question stands at a time; dropping the future takes it back.
    fn ask<'a>(&'a self, question: &'a Query) -> BoxFuture<'a, Typed>;

    /// Says something of a node, unescaped.
    fn tell(&self, node: &NodeName, text: &str);
}

/// A question for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What is asked, and by whom.
    pub challenge: Challenge,
    /// Whether what was typed before was wrong.
    pub again: bool,
    /// Whether it is for this node alone, which refused what others have accepted.
    pub own: bool,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line.
    Line(Secret),
    /// Nothing: Enter alone.
    Nothing,
    /// Nothing, and nothing more is to be asked: Ctrl-C, the end of the input, or nobody there.
    NoMore,
}

/// Answers logins from memory, and asks somebody for what is not there.
#[derive(Default)]
pub struct Keyring {
    known: Mutex<Known>,
    changed: Notify,
    /// Whose question stands.
    turn: Turn<()>,
    pace: Pace,
}

#[derive(Default)]
struct Known {
    secrets: BTreeMap<VarName, Secret>,
    /// Where what was typed is hidden.
    hiding: Option<Secrets>,
    person: Option<Arc<dyn Person>>,
    entries: BTreeMap<Lock, Entry>,
    nodes: BTreeMap<NodeName, Stand>,
}

/// What follows for a login that wants what it shares with others.
enum Step {
    Give(Secret),
    No(NoAnswer),
    /// Another login is at it.
    Wait,
    /// Somebody has to be asked, for all or, with `true`, for this node alone.
    Ask(bool),
}

impl Keyring {
    /// Takes over the secrets that are passwords of logins. What is typed is hidden with them, once it has opened
    /// something: what was typed by mistake may be any word.
    pub fn know(&self, secrets: &Secrets) {
        let named = secrets
            .values()
            .into_iter()
            .filter_map(|(name, value)| Some((VarName::parse(&name).ok()?, value)));
        let mut known = self.known();
        known.secrets.extend(named);
        known.hiding = Some(secrets.clone());
        known.hide_what_opened();
    }

    /// Says who is asked from now on; nobody, and what is known already is all there is.
    pub fn ask(&self, person: Option<Arc<dyn Person>>) {
        self.known().person = person;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers with something that several logins have in common.
    async fn shared(&self, lock: Lock, challenge: &Challenge) -> Result<Secret, NoAnswer> {
        let until = Instant::now() + self.pace.in_line;
        let mut given = challenge.given;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let step = self.known().step(&lock, challenge, given, self.pace);
            match step {
                Step::Give(secret) => return Ok(secret),
                Step::No(why) => return Err(why),
                Step::Wait => timeout_at(until, changed).await.map_err(|_| NoAnswer::Stale)?,
                Step::Ask(own) => {
                    let typed = self.ask_somebody(challenge, own, until).await?;
                    let is_line = matches!(typed, Typed::Line(_));
                    self.known().keep(&lock, &challenge.node, own, typed);
                    self.changed.notify_waiters();
                    if !is_line {
                        return Err(NoAnswer::Declined);
                    }
                    // What was just typed has not been given yet.
                    given = 0;
                }
            }
        }
    }

    /// Asks, when nobody else is being asked.
    async fn ask_somebody(
        &self,
        challenge: &Challenge,
        own: bool,
        until: Instant,
    ) -> Result<Typed, NoAnswer> {
        let person = self.known().person.clone().ok_or(NoAnswer::Nobody)?;
        let _turn = timeout_at(until, self.turn.lock()).await.map_err(|_| NoAnswer::Stale)?;
        // Whoever was asked before may have left.
        if self.known().person.is_none() {
            return Err(NoAnswer::Declined);
        }
        let again = challenge.given > 0;
        let typed = person.ask(&Query { challenge: challenge.clone(), again, own }).await;
        if typed == Typed::NoMore {
            self.known().person = None;
        }
        Ok(typed)
    }

    async fn one_time(&self, challenge: &Challenge) -> Result<Secret, NoAnswer> {
        match self.ask_somebody(challenge, false, Instant::now() + self.pace.in_line).await? {
            Typed::Line(secret) => Ok(secret),
            Typed::Nothing | Typed::NoMore => Err(NoAnswer::Declined),
        }
    }
}

impl Answers for Keyring {
    fn reach(&self, password: Option<&VarName>) -> Reach {
        let known = self.known();
        let has_some = || known.entries.values().any(|entry| entry.typed.is_some());
        if known.person.is_some() {
            Reach::Person
        } else if password.is_some() || has_some() {
            Reach::Known
        } else {
            Reach::Nothing
        }
    }

    fn answer<'a>(&'a self, challenge: &'a Challenge) -> BoxFuture<'a, Result<Secret, NoAnswer>> {
        let lock = match (&challenge.wanted, &challenge.password) {
            (Wanted::Password, Some(secret)) => Lock::Named(secret.clone()),
            (Wanted::Password, None) => Lock::Nodes,
            (Wanted::OtherPassword, _) => Lock::Other(challenge.said.clone()),
            (Wanted::Passphrase { key }, _) => Lock::Key(key.clone()),
            (Wanted::Code, _) => {
                self.known().pass_on(&challenge.node, None);
                self.changed.notify_waiters();
                return Box::pin(self.one_time(challenge));
            }
        };
        if challenge.given == 0 {
            self.known().pass_on(&challenge.node, Some(&lock));
            self.changed.notify_waiters();
        }
        Box::pin(self.shared(lock, challenge))
    }

    fn tell(&self, node: &NodeName, text: &str) {
        let person = self.known().person.clone();
        if let Some(person) = person {
            person.tell(node, text);
        }
    }

    fn ended(&self, node: &NodeName, verdict: Verdict) -> bool {
        let is_offered_again = self.known().ended(node, verdict);
        self.changed.notify_waiters();
        is_offered_again
    }
}

impl Known {
    fn step(&mut self, lock: &Lock, challenge: &Challenge, given: u32, pace: Pace) -> Step {
        let node = &challenge.node;
        let stand = self.nodes.entry(node.clone()).or_default();
        let is_password = matches!(lock, Lock::Named(_) | Lock::Nodes);
        let is_starting = stand.may_be_starting() && (challenge.given > 0 || stand.is_too_soon(pace.pause));
        if is_password && is_starting {
            return Step::No(NoAnswer::NotYet);
        }
        match lock {
            Lock::Named(secret) => self.step_of_secret(secret, node, given),
            _ => self.step_of_typed(lock, node, given),
        }
    }

    /// A secret is offered once for each login.
    fn step_of_secret(&mut self, name: &VarName, node: &NodeName, given: u32) -> Step {
        let secret = name.clone();
        let Some(value) = self.secrets.get(name).cloned() else {
            return Step::No(NoAnswer::Missing { secret });
        };
        let stand = self.nodes.entry(node.clone()).or_default();
        if given > 0 || stand.is_barred() {
            return Step::No(NoAnswer::Refused { secret });
        }
        let entry = self.entries.entry(Lock::Named(secret.clone())).or_default();
        match &entry.proof {
            Proof::Accepted => Step::Give(value),
            Proof::Trying(by) if by != node => Step::Wait,
            Proof::Refused(by) if by == node => Step::No(NoAnswer::Refused { secret }),
            Proof::Refused(by) => Step::No(NoAnswer::Withheld { secret, by: by.clone() }),
            Proof::None | Proof::Trying(_) => {
                entry.proof = Proof::Trying(node.clone());
                Step::Give(value)
            }
        }
    }

    /// What was typed is asked for again where it is wrong.
    fn step_of_typed(&mut self, lock: &Lock, node: &NodeName, given: u32) -> Step {
        let has_person = self.person.is_some();
        let stand = self.nodes.entry(node.clone()).or_default();
        let entry = self.entries.entry(lock.clone()).or_default();
        let is_own = *lock == Lock::Nodes
            && (stand.has_refused || (stand.is_barred() && entry.proof == Proof::Accepted));
        if given > 0 {
            stand.own = None;
            if entry.proof == Proof::Accepted && *lock == Lock::Nodes {
                stand.has_refused = true;
                return if has_person { Step::Ask(true) } else { Step::No(NoAnswer::Nobody) };
            }
            // A key's passphrase is the same for all, and one that is wrong is wrong.
            entry.typed = None;
            entry.proof = Proof::Trying(node.clone());
            return if has_person { Step::Ask(is_own) } else { Step::No(NoAnswer::Nobody) };
        }
        if let Some(own) = stand.own.clone().filter(|_| *lock == Lock::Nodes) {
            return Step::Give(own);
        }
        if entry.is_declined {
            return Step::No(NoAnswer::Declined);
        }
        if is_own && stand.is_declined {
            return Step::No(NoAnswer::Declined);
        }
        if is_own {
            return if has_person { Step::Ask(true) } else { Step::No(NoAnswer::Nobody) };
        }
        match (&entry.proof, &entry.typed) {
            (Proof::Trying(by), _) if by != node => Step::Wait,
            (Proof::Accepted, Some(typed)) => Step::Give(typed.clone()),
            (_, Some(typed)) => {
                let typed = typed.clone();
                entry.proof = Proof::Trying(node.clone());
                Step::Give(typed)
            }
            (_, None) if !has_person => Step::No(NoAnswer::Nobody),
            (_, None) => {
                entry.proof = Proof::Trying(node.clone());
                Step::Ask(false)
            }
        }
    }

    /// Keeps what was typed.
    fn keep(&mut self, lock: &Lock, node: &NodeName, own: bool, typed: Typed) {
        let entry = self.entries.entry(lock.clone()).or_default();
        match (typed, own) {
            (Typed::Line(secret), true) => self.nodes.entry(node.clone()).or_default().own = Some(secret),
            (Typed::Line(secret), false) => entry.typed = Some(secret),
            (Typed::Nothing | Typed::NoMore, false) => {
                entry.is_declined = true;
                entry.proof = Proof::None;
            }
            (Typed::Nothing | Typed::NoMore, true) => {
                self.nodes.entry(node.clone()).or_default().is_declined = true;
            }
        }
    }

    /// A login that has come to its next question is done with the one before, if that was no node's.
    fn pass_on(&mut self, node: &NodeName, to: Option<&Lock>) {
        for (lock, entry) in &mut self.entries {
            if lock.is_local() && Some(lock) != to && entry.proof == Proof::Trying(node.clone()) {
                entry.proof = Proof::Accepted;
            }
        }
    }

    fn hide_what_opened(&self) {
        let Some(hiding) = &self.hiding else { return };
        let shared = self.entries.values().filter(|entry| entry.proof == Proof::Accepted);
        let own = self.nodes.values().filter(|stand| stand.has_opened());
        for typed in
            shared.filter_map(|entry| entry.typed.as_ref()).chain(own.filter_map(|stand| stand.own.as_ref()))
        {
            hiding.hide(typed);
        }
    }

    fn ended(&mut self, node: &NodeName, verdict: Verdict) -> bool {
        for (lock, entry) in &mut self.entries {
            if entry.proof != Proof::Trying(node.clone()) {
                continue;
            }
            entry.proof = match (verdict, lock) {
                (Verdict::Accepted, _) => Proof::Accepted,
                // Whether a node takes a key says nothing of its passphrase.
                (_, Lock::Key(_)) if entry.typed.is_some() => Proof::Accepted,
                (Verdict::Refused, Lock::Named(_)) => Proof::Refused(node.clone()),
                _ => Proof::None,
            };
            // What went wrong behind another host is not told from what it did not accept.
            let is_doubtful = match lock {
                Lock::Nodes => verdict == Verdict::Refused,
                Lock::Other(_) => verdict != Verdict::Accepted,
                Lock::Named(_) | Lock::Key(_) => false,
            };
            if is_doubtful {
                entry.typed = None;
            }
        }
        let stand = self.nodes.entry(node.clone()).or_default();
        stand.ended(verdict);
        let is_offered_again = verdict == Verdict::Refused && stand.may_be_starting();
        if verdict == Verdict::Accepted {
            self.hide_what_opened();
        }
        is_offered_again
    }
}

#[cfg(test)]
mod tests;
