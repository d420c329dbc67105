//! The locks on the nodes, as the loop takes and ends them: waiting for others, Ctrl-C while it waits.

use std::time::{Duration, Instant};

use super::{Driver, interrupted};
use crate::engine::lock::{self, Attempt, Heartbeat};
use crate::engine::opening;
use crate::engine::{EngineError, contact};
use crate::journal::Journal;
use crate::model::duration;
use crate::model::event::{Event, Goal, Halt, Notice, RunEnd, Stop};
use crate::model::fence::Fence;
use crate::model::name::NodeName;

/// How often somebody else's lock is looked at.
const AGAIN: Duration = Duration::from_secs(2);
/// How often it is said that one still waits.
const WORD: Duration = Duration::from_secs(30);

/// Why there is no lock.
struct Refused {
    stop: Stop,
    by: Option<(NodeName, Fence)>,
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self { stop, by: None }
    }
}

impl<J: Journal> Driver<J> {
    /// Locks the nodes of the invocation, or ends it: without the locks nothing is changed, not even to
    /// undo what an earlier invocation left in force.
    pub(super) async fn lock(&mut self) -> Result<bool, EngineError> {
        match self.take_locks().await {
            Ok(taken) => {
                self.commit(taken)?;
                contact::leave_with_all(&self.site, &self.state(), &self.desk).await;
                self.heartbeat = Some(Heartbeat::of(std::sync::Arc::clone(&self.site)));
                Ok(true)
            }
            Err(Refused { stop, by }) => {
                if let Some((node, by)) = by {
                    self.commit(Event::LockRefused { node, by })?;
                }
                self.commit(Event::StopRequested { stop: stop.clone() })?;
                self.commit(Event::RunClosed { verdict: RunEnd::Stopped(stop) })?;
                Ok(false)
            }
        }
    }

    async fn take_locks(&mut self) -> Result<Event, Refused> {
        let state = self.state();
        let nodes = lock::nodes(&state);
        tokio::select! {
            reached = opening::reach_all(&self.site, &nodes) => match reached {
                Err(stop) if state.request.goal != Goal::Unstaged => return Err(stop.into()),
                _ => {}
            },
            signal = self.signals.next() => return Err(interrupted(signal).into()),
        }
        let begun = Instant::now();
        let mut said: Option<(Instant, NodeName, String)> = None;
        loop {
            let (node, fence, why) = match self.attempt(&nodes).await? {
                Attempt::Taken(event) => return Ok(*event),
                Attempt::Failed(stop) => return Err(stop.into()),
                Attempt::Held { node, fence, why } => (node, fence, why),
            };
            let waited = begun.elapsed();
            let patience = state.request.lock.wait.unwrap_or_default();
            if waited >= patience {
                let asked =
                    state.request.lock.wait.map(|wait| format!("; waited {}", duration::written(wait)));
                let why = format!("{why}{}", asked.unwrap_or_default());
                let stop = Stop { halt: Halt::Held, why, key: None };
                return Err(Refused { stop, by: Some((node, *fence)) });
            }
            let holder = fence.owner.sentence();
            let is_old = said.as_ref().is_none_or(|(at, node_before, holder_before)| {
                at.elapsed() >= WORD || (node_before, holder_before) != (&node, &holder)
            });
            if is_old {
                let text = format!(
                    "waiting for the lock, {} of {}: {why}; Ctrl-C leaves",
                    duration::written(Duration::from_secs(waited.as_secs())),
                    duration::written(patience)
                );
                self.desk.notify(Notice::Said { node: None, text });
                said = Some((Instant::now(), node, holder));
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN.min(patience.saturating_sub(waited))) => {}
                signal = self.signals.next() => return Err(interrupted(signal).into()),
            }
        }
    }

    /// One try. A signal in the middle of it waits for its end: a lock that was asked for and never heard of
    /// again would keep everybody out.
    async fn attempt(&mut self, nodes: &[NodeName]) -> Result<Attempt, Refused> {
        let (site, state) = (std::sync::Arc::clone(&self.site), self.state());
        let trying = lock::attempt(&site, &state, nodes);
        tokio::pin!(trying);
        let mut arrived = None;
        let attempt = loop {
            tokio::select! {
                attempt = &mut trying => break attempt,
                signal = self.signals.next(), if arrived.is_none() => arrived = Some(signal),
            }
        };
        match arrived {
            Some(signal) => Err(interrupted(signal).into()),
            None => Ok(attempt),
        }
    }

    /// Ends the locks with the invocation.
    pub(super) async fn unlock(&mut self) {
        self.heartbeat = None;
        let state = self.state();
        for node in lock::release(&self.site, &state).await {
            let text =
                "its lock could not be ended: another machine finds it held until this one comes again";
            self.desk.notify(Notice::Said { node: Some(node), text: text.to_owned() });
        }
    }
}
