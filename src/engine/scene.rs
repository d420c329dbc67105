//! What a script finds around it: where it runs, and which variables it sees.

use std::collections::BTreeMap;

use super::asking;
use super::pool::Opens;
use super::secrets::names;
use super::site::Site;
use crate::model::event::{Failure, FailureKind};
use crate::model::host::Connection;
use crate::model::name::{NodeName, RoleName};
use crate::model::plan::StepKey;
use crate::model::procedure::Target;
use crate::model::state::RunState;
use crate::model::template::Vars;
use crate::transport::{Facts, JobId, JobRef, Secret};

/// A failure in a few words.
pub(super) fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    Failure { kind, message: message.into(), tail: Vec::new(), help: None }
}

/// The job that an attempt of a step, or of its undo, is on its node; `None` where its name is too long for one.
pub(super) fn job(state: &RunState, key: &StepKey, is_undo: bool, attempt: u32) -> Option<JobRef> {
    let undo = if is_undo { ".undo" } else { "" };
    let id = JobId::parse(&format!("{}.{}{undo}.{attempt}", key.node, key.step))?;
    Some(JobRef { cluster: state.plan.cluster.clone(), run: state.key(), id })
}

/// The undo of an attempt of a step as the job that its node begins by itself.
pub(super) fn revert_job(state: &RunState, key: &StepKey, attempt: u32) -> Option<JobRef> {
    let id = JobId::parse(&format!("{}.{}.revert.{attempt}", key.node, key.step))?;
    Some(JobRef { cluster: state.plan.cluster.clone(), run: state.key(), id })
}

/// The machines that a target means, for a lane. A role that nobody has is a failure, never "none".
pub(super) async fn places<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    target: &Target,
) -> Result<Vec<NodeName>, Failure> {
    let found = match target {
        Target::Itself => vec![lane.clone()],
        Target::Operator => vec![NodeName::operator()],
        Target::Node(node) => vec![node.clone()],
        Target::Group(group) => site.plan.group(group).cloned().collect(),
        Target::Pinned(role) => state.pinned.get(role).cloned().unwrap_or_default(),
        Target::Live(role) => holders(site, state, role).await?,
    };
    if found.is_empty() {
        let what = match target {
            Target::Pinned(role) => format!("no node had role {role} when the run started"),
            Target::Live(role) => format!("no node has role {role} now"),
            Target::Group(group) => format!("group {group} has no node"),
            Target::Itself | Target::Operator | Target::Node(_) => "there is no such node".to_owned(),
        };
        return Err(failure(FailureKind::Input, what));
    }
    Ok(found)
}

/// The one machine where something is done.
pub(super) async fn place<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    target: &Target,
) -> Result<NodeName, Failure> {
    let mut found = places(site, state, lane, target).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        count => {
            let names: Vec<_> = found.iter().map(NodeName::as_str).collect();
            let what = format!("a step runs on one node, and {count} are meant: {}", names.join(", "));
            Err(failure(FailureKind::Input, what))
        }
    }
}

/// The nodes that have a role now. Fewer or more than `exactly` says is a failure, and so is an answer
/// that cannot be read: a leader that is not seen is not no leader.
pub(super) async fn holders<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    role: &RoleName,
) -> Result<Vec<NodeName>, Failure> {
    let planned = site
        .plan
        .roles
        .get(role)
        .ok_or_else(|| failure(FailureKind::Input, format!("there is no role {role}")))?;
    let asks: Vec<_> = planned
        .of
        .iter()
        .map(|node| asking::Ask { check: &planned.check, lane: node.clone(), on: node.clone() })
        .collect();
    let told = asking::ask(site, state, &asks).await;
    for reading in &told.readings {
        if let crate::model::condition::Verdict::Unreadable { why } = &reading.verdict {
            let what = format!("role {role} cannot be read on {}: {why}", reading.node);
            let kind = if told.unreachable.is_some() { FailureKind::Unreachable } else { FailureKind::Check };
            return Err(failure(kind, what));
        }
    }
    let holders: Vec<NodeName> = told
        .readings
        .into_iter()
        .filter(|reading| reading.verdict.holds())
        .map(|reading| reading.node)
        .collect();
    if let Some(exactly) = planned.exactly
        && holders.len() != exactly
    {
        let names: Vec<_> = holders.iter().map(NodeName::as_str).collect();
        let who = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
        let what = format!("exactly {exactly} must have role {role}, and {who} has it");
        return Err(failure(FailureKind::Check, what));
    }
    Ok(holders)
}

/// The variables of a lane's script on a machine. They are those of the machine where it runs, for
/// paths and ports are its own; `ROLLGATE_NODE` stays the node whose turn it is, and `ROLLGATE_ON` is the
/// machine.
pub(super) fn vars<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    on: &NodeName,
    facts: Option<&Facts>,
) -> Vars {
    let mut vars = state.vars_of(lane);
    if on != lane
        && let Some(node) = site.plan.node(on)
    {
        vars.extend(node.vars.clone());
    }
    vars.insert("ROLLGATE_ON".to_owned(), on.to_string());
    vars.extend(way_in(site, on, facts));
    if let (Some(facts), Some(set)) = (facts, site.plan.staging_set(on)) {
        vars.insert(
            super::artifacts::STAGED.to_owned(),
            staging_dir(&facts.root, site.plan.cluster.as_str(), &set),
        );
    }
    if on.is_operator()
        && let Some(dir) = &site.run_dir
    {
        vars.insert("ROLLGATE_RUN_DIR".to_owned(), dir.path().display().to_string());
    }
    vars
}

/// The address that a machine sees the operator come from, which only a connection can tell, and the jump hosts
/// on the way as the inventory names them. Both are empty where there is no ssh on the way, whatever this rollgate
/// was itself called by.
fn way_in<O: Opens>(site: &Site<O>, on: &NodeName, facts: Option<&Facts>) -> Vec<(String, String)> {
    let (address, jump) = match (site.plan.node(on).map(|node| &node.connection), facts) {
        (Some(Connection::Ssh(_)), None) => return Vec::new(),
        (Some(Connection::Ssh(target)), Some(facts)) => {
            let seen = facts.ssh_connection.as_deref().and_then(|seen| seen.split_whitespace().next());
            (seen.unwrap_or_default(), target.jump.join(" "))
        }
        _ => ("", String::new()),
    };
    let named = [("ROLLGATE_OPERATOR_ADDRESS", address.to_owned()), ("ROLLGATE_OPERATOR_JUMP", jump)];
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Where a node keeps what was staged: a set of artifacts has a directory of its own, so a new version
/// never mixes with an old one.
pub(super) fn staging_dir(root: &str, cluster: &str, set: &str) -> String {
    format!("{root}/{cluster}/staged/{set}")
}

/// Adds `ROLLGATE_LIVE_<ROLE>` for the roles that a script names, read now.
pub(super) async fn add_live_roles<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    script: &str,
    vars: &mut Vars,
) -> Result<(), Failure> {
    for role in site.plan.roles.keys() {
        let variable = format!("ROLLGATE_LIVE_{}", role.as_str().to_uppercase());
        if script.contains(&variable) {
            let holders = holders(site, state, role).await?;
            let names: Vec<_> = holders.iter().map(NodeName::as_str).collect();
            vars.insert(variable, names.join(" "));
        }
    }
    Ok(())
}

/// The secrets that a script names. One that was captured by an earlier invocation is read again: it
/// was never stored.
pub(super) async fn secrets<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    script: &str,
) -> Result<BTreeMap<String, Secret>, Failure> {
    for owner in [&NodeName::operator(), lane] {
        for (name, value) in state.captures.get(owner).into_iter().flatten() {
            if value.is_none() && names(script, name) && !site.secrets().has_captured(owner, name) {
                let value = super::watching::capture_again(site, state, owner, name).await?;
                site.secrets().keep(owner, name, Secret::new(value));
            }
        }
    }
    Ok(site.secrets().named_in(script, lane))
}
