//! Before anything is touched: every node answers, no guard holds, roles are pinned, versions are
//! read, invariants have their baseline.

use futures_util::future::join_all;

use super::asking::{self, Ask, wording};
use super::pool::Opens;
use super::scene;
use super::site::Site;
use super::watching::{asked_by_invariant, versions};
use crate::model::condition::Verdict;
use crate::model::event::{Event, Failure, FailureKind, Halt, Stop};
use crate::model::name::NodeName;
use crate::model::plan::Plan;
use crate::model::procedure::Target;
use crate::model::state::RunState;

/// Reads everything that a run rests on, at the same time. The answer is what the journal is to hold of it, or
/// why there is no run: a guard's reason before any other.
pub(super) async fn open<O: Opens>(site: &Site<O>, state: &RunState) -> Result<Vec<Event>, Stop> {
    reach(site, state).await?;
    let nodes = needed(&site.plan, state.request.limit.as_deref());
    let roles = site.plan.roles.keys().map(|role| async move {
        let nodes = scene::holders(site, state, role).await.map_err(|failure| refused(&failure))?;
        Ok(Event::RolePinned { role: role.clone(), nodes })
    });
    let (guards, roles, versions, baseline) = tokio::join!(
        guards(site, state),
        join_all(roles),
        versions(site, state, &nodes),
        baseline(site, state)
    );
    guards?;
    let mut events = roles.into_iter().collect::<Result<Vec<_>, Stop>>()?;
    for (node, version) in versions {
        let version = version.map_err(|failure| refused(&named(&node, failure)))?;
        events.push(Event::VersionRead { node, version });
    }
    events.extend(baseline?);
    Ok(events)
}

/// Connects to every node that a run needs, at the same time.
pub(super) async fn reach<O: Opens>(site: &Site<O>, state: &RunState) -> Result<(), Stop> {
    reach_all(site, &needed(&site.plan, state.request.limit.as_deref())).await
}

/// Connects to these nodes at the same time.
pub(super) async fn reach_all<O: Opens>(site: &Site<O>, nodes: &[NodeName]) -> Result<(), Stop> {
    let failed = site.pool.open_all(nodes).await;
    let Some((_, error)) = failed.first() else { return Ok(()) };
    let mut failure = asking::unreachable(error);
    let others: Vec<&str> = failed[1..].iter().map(|(node, _)| node.as_str()).collect();
    if !others.is_empty() {
        failure.message = format!("{} (nor {})", failure.message, others.join(", "));
    }
    Err(refused(&failure))
}

/// The nodes that a run needs: those of its phases, within `--limit`, and those that its checks name.
pub(super) fn needed(plan: &Plan, limit: Option<&[NodeName]>) -> Vec<NodeName> {
    let within = |node: &&NodeName| limit.is_none_or(|limit| limit.contains(node));
    let acted = |node: &NodeName| plan.phases.iter().any(|phase| phase.nodes.contains(node));
    plan.nodes.iter().map(|node| &node.name).filter(|node| acted(node)).filter(within).cloned().collect()
}

fn named(node: &NodeName, mut failure: Failure) -> Failure {
    failure.message = format!("{node}: {}", failure.message);
    failure
}

pub(super) fn refused(failure: &Failure) -> Stop {
    let halt = match failure.kind {
        FailureKind::Unreachable => Halt::Unreachable,
        FailureKind::Input => Halt::Input,
        FailureKind::Local => Halt::Local,
        _ => Halt::CheckFailed,
    };
    let help = failure.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    Stop { halt, why: format!("{}{help}", failure.message), key: None }
}

/// A guard that holds, or cannot be read, ends it.
async fn guards<O: Opens>(site: &Site<O>, state: &RunState) -> Result<(), Stop> {
    let mut asks = Vec::new();
    let mut asked = Vec::new();
    for guard in &site.plan.guards {
        let check = site.plan.check(&guard.check);
        let machines = match &check.on {
            Target::Itself => Ok(site.plan.everybody()),
            target => scene::places(site, state, &NodeName::operator(), target).await,
        };
        let count = machines.map(|machines| {
            let count = machines.len();
            asks.extend(machines.into_iter().map(|node| Ask { check, lane: node.clone(), on: node }));
            count
        });
        asked.push((guard, count));
    }
    let mut readings = asking::ask(site, state, &asks).await.readings.into_iter();
    for (guard, count) in asked {
        for reading in readings.by_ref().take(count.map_err(|failure| refused(&failure))?) {
            let because = guard.because.render_known(&site.plan.vars);
            match &reading.verdict {
                Verdict::DoesNotHold { .. } => {}
                Verdict::Holds => {
                    let why = format!("{because} (guard {} holds on {})", reading.check, reading.node);
                    return Err(Stop { halt: Halt::CheckFailed, why, key: None });
                }
                Verdict::Unreadable { .. } => {
                    let why = format!("guard {}; it stands for: {because}", wording(&reading));
                    return Err(Stop { halt: Halt::CheckFailed, why, key: None });
                }
            }
        }
    }
    Ok(())
}

/// What the invariants answer now. One that cannot be read is no baseline.
async fn baseline<O: Opens>(site: &Site<O>, state: &RunState) -> Result<Vec<Event>, Stop> {
    let mut asks = Vec::new();
    let mut names = Vec::new();
    for name in &site.plan.invariants {
        let check = &site.plan.checks[name];
        for node in asked_by_invariant(site, state, check).await.map_err(|failure| refused(&failure))? {
            asks.push(Ask { check, lane: node.clone(), on: node });
            names.push(name.clone());
        }
    }
    let told = asking::ask(site, state, &asks).await;
    let mut events = Vec::new();
    for (check, reading) in names.into_iter().zip(told.readings) {
        if matches!(reading.verdict, Verdict::Unreadable { .. }) {
            let why = format!("invariant {}", wording(&reading));
            return Err(Stop { halt: Halt::CheckFailed, why, key: None });
        }
        events.push(Event::BaselineTaken { check, node: reading.node, verdict: reading.verdict });
    }
    Ok(events)
}
