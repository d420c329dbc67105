//! The locks of an invocation on its nodes: taken before anything else is read or changed, given a sign of
//! life while it works, ended with it.
//!
//! The first node by name is asked alone and decides between two who begin at the same instant; the others
//! follow at the same time. Whoever is refused anywhere gives back what he took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::AbortHandle;

use super::asking;
use super::opening;
use super::pool::{Changing, Opens};
use super::site::Site;
use crate::model::duration;
use crate::model::event::{Event, Goal, Stop};
use crate::model::fence::{Broken, Fence, FenceEnd, FenceOwner, STALE_AFTER, span};
use crate::model::name::NodeName;
use crate::model::plan::PhaseKind;
use crate::model::procedure::Target;
use crate::model::state::{RunState, RunStatus};
use crate::transport::{FenceClaim, FenceRule, Reader as _, Taking, TransportError};

/// How often a node hears that the holder lives.
const BEAT: Duration = Duration::from_secs(15);
/// The end of an invocation waits no longer for its nodes.
const PARTING: Duration = Duration::from_secs(5);

/// A lock that this invocation has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub(super) epoch: u64,
    /// What it says of its end when it is given back unused.
    pub(super) before: FenceEnd,
}

/// What came of a try to lock every node.
pub(super) enum Attempt {
    /// All are locked.
    Taken(Box<Event>),
    /// Somebody else has one; nothing is locked.
    Held { node: NodeName, fence: Box<Fence>, why: String },
    /// A node could not be asked; nothing is locked.
    Failed(Stop),
}

/// The nodes that an invocation locks, by name: those it acts on, those that its steps name, and those where
/// an earlier invocation left something behind.
pub(super) fn nodes(state: &RunState) -> Vec<NodeName> {
    let plan = &state.plan;
    let goal = &state.request.goal;
    let mut nodes = BTreeSet::new();
    let forward = matches!(goal, Goal::Staged | Goal::Finished);
    if forward {
        nodes.extend(opening::needed(plan, state.request.limit.as_deref()));
    } else {
        nodes.extend(state.turns.keys().map(|turn| turn.node.clone()));
    }
    for step in state.steps.values() {
        if !forward || step.is_in_force() || !step.is_settled() {
            nodes.extend(step.on.iter().cloned());
        }
    }
    let begun = |number: usize| state.turns.keys().any(|turn| turn.phase == number);
    let reached = plan.phases.iter().enumerate().filter(|(number, phase)| match goal {
        Goal::Staged => phase.kind == PhaseKind::Staging,
        Goal::Finished => true,
        Goal::Unstaged | Goal::RolledBack(_) => begun(*number),
    });
    let steps = reached.flat_map(|(_, phase)| &phase.steps).filter(|step| step.is_effect());
    for target in steps.filter_map(|planned| planned.step()).map(|step| &step.on) {
        match target {
            Target::Itself | Target::Operator => {}
            Target::Node(node) => drop(nodes.insert(node.clone())),
            Target::Group(group) => nodes.extend(plan.group(group).cloned()),
            Target::Pinned(role) | Target::Live(role) => {
                nodes.extend(plan.roles.get(role).into_iter().flat_map(|role| role.of.iter().cloned()));
            }
        }
    }
    nodes.into_iter().filter(|node| plan.node(node).is_some()).collect()
}

/// Tries once to lock these nodes.
pub(super) async fn attempt(site: &Site<Changing>, state: &RunState, nodes: &[NodeName]) -> Attempt {
    let mut broke = None;
    let adopted = || state.adopting.then(|| format!("run {} is adopted", state.run));
    if let Some(reason) = state.request.lock.break_for.clone().or_else(adopted) {
        // Nothing of somebody else's is touched before it is known that all of it may be.
        match look(site, state, nodes, reason).await {
            Ok(found) => broke = found,
            Err(refused) => return refused,
        }
    }
    let Some((arbiter, others)) = nodes.split_first() else {
        return Attempt::Taken(Box::new(Event::LockTaken { epochs: BTreeMap::new(), broke }));
    };
    let mut refused = take(site, state, arbiter).await.err();
    if refused.is_none() {
        let answers = join_all(others.iter().map(|node| take(site, state, node))).await;
        refused = answers.into_iter().find_map(Result::err);
    }
    if let Some(refused) = refused {
        give_back(site).await;
        return refused;
    }
    Attempt::Taken(Box::new(Event::LockTaken { epochs: site.epochs(), broke }))
}

async fn take(site: &Site<Changing>, state: &RunState, node: &NodeName) -> Result<(), Attempt> {
    let lock = &state.request.lock;
    let claim = FenceClaim {
        cluster: state.plan.cluster.clone(),
        owner: FenceOwner {
            run: state.run.clone(),
            token: state.token.clone(),
            seat: lock.seat.clone(),
            by: state.request.by.clone(),
            doing: verb(&state.request.goal).to_owned(),
            args: state.request.args.join(" "),
        },
        rule: match &lock.break_for {
            _ if state.adopting => FenceRule::Adopt,
            Some(_) => FenceRule::Break,
            None => FenceRule::Own,
        },
        above: state.epochs.get(node).copied().unwrap_or_default(),
        first: !state.epochs.contains_key(node),
    };
    let claim = &claim;
    match site.pool.with(node, |session| async move { session.take_fence(claim).await }).await {
        Ok(Taking::Taken { epoch, before }) => {
            site.hold(node, Hold { epoch, before });
            Ok(())
        }
        Ok(Taking::Held(fence)) => {
            let why = held(node, &fence, lock.break_for.is_some() || state.adopting);
            Err(Attempt::Held { node: node.clone(), fence, why })
        }
        Ok(Taking::Moved(fence)) => {
            let why = format!(
                "run {} was adopted elsewhere, and what this machine has recorded of it is out of date; {node} \
                 is {}",
                state.run,
                fence.sentence()
            );
            Err(Attempt::Held { node: node.clone(), fence, why })
        }
        Err(error) => unlocked(state, &error).map_err(Attempt::Failed),
    }
}

fn verb(goal: &Goal) -> &'static str {
    match goal {
        Goal::Staged => "stage",
        Goal::Finished => "start",
        Goal::Unstaged => "unstage",
        Goal::RolledBack(_) => "rollback",
    }
}

/// Looks at every lock before one is broken: whose they are, and whether one of the holders lives.
async fn look(
    site: &Site<Changing>,
    state: &RunState,
    nodes: &[NodeName],
    reason: String,
) -> Result<Option<Broken>, Attempt> {
    let found = join_all(nodes.iter().map(|node| async move { (node, show(site, node).await) })).await;
    let mut holders = BTreeSet::new();
    for (node, answer) in found {
        let fence = match answer {
            Ok(fence) => fence.filter(Fence::holds),
            Err(error) => {
                unlocked(state, &error).map_err(Attempt::Failed)?;
                continue;
            }
        };
        let Some(fence) = fence.filter(|fence| fence.owner.seat != state.request.lock.seat) else { continue };
        if !fence.is_stale() {
            let why = held(node, &fence, true);
            return Err(Attempt::Held { node: node.clone(), fence: Box::new(fence), why });
        }
        holders.insert(fence.owner.sentence());
    }
    let holder = holders.into_iter().collect::<Vec<_>>().join(" and ");
    Ok((!holder.is_empty()).then_some(Broken { reason, holder }))
}

async fn show<O: Opens>(site: &Site<O>, node: &NodeName) -> Result<Option<Fence>, TransportError> {
    let cluster = &site.plan.cluster;
    site.pool.with(node, |session| async move { session.fence(cluster).await }).await
}

/// A node that cannot be reached stops a run, except one that ends: `unstage` must work although a node is
/// gone for good.
fn unlocked(state: &RunState, error: &TransportError) -> Result<(), Stop> {
    if state.request.goal == Goal::Unstaged && matches!(error, TransportError::Unreachable { .. }) {
        return Ok(());
    }
    Err(opening::refused(&asking::unreachable(error)))
}

fn held(node: &NodeName, fence: &Fence, replacing: bool) -> String {
    let sentence = format!("{node} is {}", fence.sentence());
    if replacing && !fence.is_stale() {
        let left = STALE_AFTER.saturating_sub(fence.seen);
        return format!(
            "{sentence}: its holder lives, and only one who was silent for {} is replaced; it can be tried in {}",
            duration::written(STALE_AFTER),
            span(left)
        );
    }
    match fence.ended {
        None if fence.is_stale() => format!("{sentence}: it may be dead, and nobody can know from here"),
        _ => sentence,
    }
}

/// Ends what was taken for nothing, as if it had never been.
async fn give_back(site: &Site<Changing>) {
    let holds = site.let_go();
    let ends = holds.iter().map(|(node, hold)| end(site, node, hold.epoch, hold.before));
    join_all(ends).await;
}

async fn end(
    site: &Site<Changing>,
    node: &NodeName,
    epoch: u64,
    word: FenceEnd,
) -> Result<(), TransportError> {
    let cluster = &site.plan.cluster;
    site.pool.with(node, |session| async move { session.end_fence(cluster, epoch, word).await }).await
}

/// Ends the locks with the invocation; with the run, those of its earlier invocations too, for it may have come
/// to its end without some of their nodes. The answer names nodes that could not be told.
pub(super) async fn release(site: &Site<Changing>, state: &RunState) -> Vec<NodeName> {
    // A run that has begun nothing is nobody's concern but its own.
    let is_over = !state.is_open() || state.steps.is_empty();
    let word = if is_over { FenceEnd::Released } else { FenceEnd::Stopped };
    let held: BTreeMap<_, _> = site.let_go().into_iter().map(|(node, hold)| (node, hold.epoch)).collect();
    // Whoever was refused has nothing to end: the epochs that his journal names are another's.
    let ends_all = !state.is_open() && !held.is_empty();
    let mut locks = if ends_all { state.epochs.clone() } else { BTreeMap::new() };
    locks.extend(held);
    let ends = locks.iter().map(|(node, epoch)| async move {
        let told = tokio::time::timeout(PARTING, async {
            if state.status() == RunStatus::Unstaged {
                forget(site, state, node).await?;
            }
            end(site, node, *epoch, word).await
        });
        (!matches!(told.await, Ok(Ok(())))).then(|| node.clone())
    });
    join_all(ends).await.into_iter().flatten().collect()
}

/// Removes a node's own records of the run.
async fn forget(site: &Site<Changing>, state: &RunState, node: &NodeName) -> Result<(), TransportError> {
    let run = &format!("{}/runs/{}", site.plan.cluster, state.key());
    let removed = site.pool.with(node, |session| async move {
        session.remove(&format!("{}/{run}", session.facts().root), PARTING).await
    });
    removed.await
}

/// Signs of life, until it is dropped.
pub(super) struct Heartbeat(AbortHandle);

impl Heartbeat {
    pub(super) fn of(site: Arc<Site<Changing>>) -> Self {
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                let (site, holds) = (&site, site.epochs());
                let beats = holds.iter().map(|(node, epoch)| async move {
                    let session = site.pool.session(node).await.ok()?;
                    session.beat(&site.plan.cluster, *epoch).await.ok()
                });
                // A sign that does not arrive makes a lock look older, and nothing else.
                drop(tokio::time::timeout(BEAT, join_all(beats)).await);
            }
        });
        Self(task.abort_handle())
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who has the lock of a node that refused a job because of a higher one.
pub(super) async fn who_took_over<O: Opens>(site: &Site<O>, node: &NodeName) -> String {
    match show(site, node).await {
        Ok(Some(fence)) => format!("somebody else took over: {node} is {}", fence.sentence()),
        Ok(None) => format!("somebody else took over: {node} has forgotten this run's lock"),
        Err(error) => format!("somebody else took over, and nobody can say who: {error}"),
    }
}
