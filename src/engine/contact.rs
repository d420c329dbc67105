//! Stays with a job over connections that come and go. The job does not need us; we need to know how it ends.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::desk::Desk;
use super::output::Output;
use super::pool::Changing;
use super::scene::failure;
use super::site::Site;
use super::worker::Assignment;
use crate::model::duration;
use crate::model::event::{Failure, FailureKind, Notice};
use crate::model::host::Connection;
use crate::model::job::Standing;
use crate::model::name::NodeName;
use crate::model::state::RunState;
use crate::transport::{Job, JobEnd, JobRef, Kind, Limit, TransportError};

/// How long a node may be out of contact when the run is to stop.
pub(super) const HASTE: Duration = Duration::from_secs(15);

/// Starts a job and follows it to its end.
pub(super) async fn carry_out(
    at: &Assignment,
    on: &NodeName,
    job: &Job,
    output: &Output,
) -> Result<JobEnd, TransportError> {
    let started = at.site.pool.with(on, |session| async move { session.start(job, output).await }).await;
    let limit = Limit { deadline: job.deadline, become_with: job.become_with };
    stay(at, on, &job.at, &limit, output, Some(job), started).await
}

/// Follows a job of an earlier invocation to its end.
pub(super) async fn rejoin(
    at: &Assignment,
    on: &NodeName,
    job: &JobRef,
    limit: &Limit,
    output: &Output,
) -> Result<JobEnd, TransportError> {
    let followed = follow(at, on, job, limit, output).await;
    stay(at, on, job, limit, output, None, followed).await
}

async fn follow(
    at: &Assignment,
    on: &NodeName,
    job: &JobRef,
    limit: &Limit,
    output: &Output,
) -> Result<JobEnd, TransportError> {
    at.site
        .pool
        .with(on, |session| async move { session.attach(job, output.taken(), limit, output).await })
        .await
}

/// Connects again as long as contact is lost and patience lasts. A start that never arrived is made again:
/// the same job, which begins once however often it is started.
async fn stay(
    at: &Assignment,
    on: &NodeName,
    job: &JobRef,
    limit: &Limit,
    output: &Output,
    start: Option<&Job>,
    first: Result<JobEnd, TransportError>,
) -> Result<JobEnd, TransportError> {
    let mut last = match first {
        Err(error @ TransportError::Lost { .. }) => error,
        other => return other,
    };
    say(at, on, format!("{last}; the step goes on there, and contact is being made again"));
    let mut patience = Patience::of(at, on);
    while patience.lasts().await {
        match follow(at, on, job, limit, output).await {
            Ok(JobEnd::Unclear(Standing::Absent { .. })) if let Some(job) = start => {
                match at.site.pool.with(on, |session| async move { session.start(job, output).await }).await {
                    Err(error @ TransportError::Lost { .. }) => last = error,
                    other => return other,
                }
            }
            // It was there again, if only for a moment.
            Err(error @ TransportError::Lost { .. }) => {
                last = error;
                patience.renew();
            }
            Err(error) if comes_back(&error) => {}
            // It may be another machine, and waiting makes it no better.
            Err(error) => {
                return Err(TransportError::Lost { node: on.clone(), why: error.to_string() });
            }
            followed => {
                say(at, on, "contact again; the step was followed to its end".to_owned());
                return followed;
            }
        }
    }
    Err(last)
}

/// Makes a call that may be made any number of times, and makes it again as long as nobody answers, patience lasts and
/// it is not yet `until`. `goes_on` says what becomes of it meanwhile.
pub(super) async fn insist<T, R>(
    at: &Assignment,
    on: &NodeName,
    goes_on: &str,
    until: Instant,
    call: impl Fn() -> R,
) -> Result<T, TransportError>
where
    R: Future<Output = Result<T, TransportError>>,
{
    let mut last = match call().await {
        Err(error) if is_outage(&error) => error,
        other => return other,
    };
    let mut patience = Patience::of(at, on);
    say(at, on, format!("{last}; {goes_on} within {}", duration::written(patience.whole)));
    while patience.lasts().await && Instant::now() < until {
        match call().await {
            Err(error @ TransportError::Lost { .. }) => {
                say(at, on, error.to_string());
                last = error;
                patience.renew();
            }
            Err(error) if comes_back(&error) => {}
            other => return other,
        }
    }
    Err(last)
}

/// How long a node may be out of contact, and when it is tried again.
struct Patience {
    whole: Duration,
    lost_at: Instant,
    pause: Duration,
    stop: watch::Receiver<bool>,
}

impl Patience {
    fn of(at: &Assignment, on: &NodeName) -> Self {
        let whole = match at.site.plan.node(on).map(|node| &node.connection) {
            // A node that shut everybody out may open itself again.
            Some(Connection::Ssh(target)) => {
                let reverts = at.planned().restriction().and_then(|restriction| restriction.revert_after);
                target.reconnect_timeout.max(reverts.map_or(Duration::ZERO, |after| after + HASTE))
            }
            // This machine cannot be out of contact.
            _ => HASTE,
        };
        Self { whole, lost_at: Instant::now(), pause: Duration::from_millis(200), stop: at.stop.clone() }
    }

    /// Waits for the next try; false when there is to be none.
    async fn lasts(&mut self) -> bool {
        let patience = if *self.stop.borrow() { HASTE.min(self.whole) } else { self.whole };
        if self.lost_at.elapsed() >= patience {
            return false;
        }
        tokio::select! {
            () = sleep(self.pause) => {}
            Ok(()) = self.stop.changed() => self.lost_at = Instant::now(),
        }
        self.pause = (self.pause * 2).min(Duration::from_secs(5));
        true
    }

    /// The node was there, if only for a moment.
    fn renew(&mut self) {
        self.lost_at = Instant::now();
    }
}

/// Whether nothing of a node that was there answers any more.
fn is_outage(error: &TransportError) -> bool {
    match error {
        TransportError::Lost { .. } => true,
        TransportError::Unreachable { why, .. } => {
            matches!(why.kind, Kind::TimedOut | Kind::NoRoute | Kind::Closed)
        }
        _ => false,
    }
}

/// Whether a node that cannot be reached for this reason may be reached in a while.
pub(super) fn comes_back(error: &TransportError) -> bool {
    let TransportError::Unreachable { why, .. } = error else {
        return matches!(error, TransportError::Lost { .. });
    };
    matches!(
        why.kind,
        Kind::ConnectionRefused
            | Kind::TimedOut
            | Kind::NoRoute
            | Kind::TurnedAway
            | Kind::Closed
            | Kind::Other
            // While a node comes up it has no users yet, or lets none but root in (pam_nologin).
            | Kind::PermissionDenied
            | Kind::Shell
            | Kind::Become
    )
}

pub(super) fn say(at: &Assignment, on: &NodeName, text: String) {
    at.desk.notify(Notice::Said { node: Some(on.clone()), text });
}

/// Leaves the journal with a node before something is done on the operator's own machine: when that is
/// gone, the nodes alone know what was begun on it.
pub(super) async fn leave_word(at: &Assignment) -> Result<(), Failure> {
    let is_remote = |node: &&NodeName| {
        at.site.plan.node(node).is_some_and(|node| matches!(node.connection, Connection::Ssh(_)))
    };
    let names = at.site.plan.nodes.iter().map(|node| &node.name).filter(|node| *node != at.lane());
    let mut last = None;
    for node in std::iter::once(at.lane()).chain(names).filter(is_remote) {
        match leave_with(&at.site, &at.state, node).await {
            Ok(()) => return Ok(()),
            Err(why) => last = Some(why),
        }
    }
    match last {
        None => Ok(()),
        Some(why) => {
            let what = format!("no node could be told that it is about to begin: {why}");
            Err(failure(FailureKind::Unreachable, what))
        }
    }
}

/// Leaves the journal, and with it the plan, with every node that is locked. A node that cannot take it now gets
/// it with its first job.
pub(super) async fn leave_with_all(site: &Site<Changing>, state: &RunState, desk: &Desk) {
    let nodes: Vec<NodeName> = site.epochs().into_keys().collect();
    let told = nodes.iter().map(|node| async move { (node, leave_with(site, state, node).await) });
    for (node, told) in join_all(told).await {
        if let Err(why) = told {
            desk.notify(Notice::Said { node: Some(node.clone()), text: not_left(&why) });
        }
    }
}

/// What it means that a node lacks the journal.
pub(super) fn not_left(why: &impl std::fmt::Display) -> String {
    format!("it does not have the journal, which another machine would go on from: {why}")
}

/// Leaves with a node what it does not have of the journal.
async fn leave_with(site: &Site<Changing>, state: &RunState, node: &NodeName) -> Result<(), String> {
    let Some(excerpt) = site.journal_for(node).map_err(|error| error.to_string())? else { return Ok(()) };
    let (cluster, run, copy) = (&site.plan.cluster, &state.key(), &excerpt.copy);
    let epoch = site.epochs().get(node).copied().unwrap_or_default();
    site.pool
        .with(node, |session| async move { session.keep(cluster, run, epoch, copy).await })
        .await
        .map_err(|error| error.to_string())?;
    site.left(node, &excerpt);
    Ok(())
}
