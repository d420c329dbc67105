//! How the pieces of a procedure fit together: nodes and phases, checks and roles, the point of no
//! return.

use std::collections::BTreeSet;

use super::walk::{self, few};
use super::{Document, Finding, error, warning};
use crate::model::condition::Form;
use crate::model::inventory::Inventory;
use crate::model::name::{CheckName, NodeName, RoleName};
use crate::model::plan::Section;
use crate::model::procedure::{Action, CheckRef, PhaseBody, Procedure, Step, Target, Wait};

pub(super) fn findings(inventory: &Inventory, procedure: &Procedure) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(operator_node(inventory));
    findings.extend(nodes_and_phases(inventory, procedure));
    findings.extend(unused(procedure));
    findings.extend(moved_roles(procedure));
    findings.extend(rollback_beyond_return(procedure));
    findings.extend(kept_statuses(procedure));
    findings
}

fn operator_node(inventory: &Inventory) -> Option<Finding> {
    inventory.nodes.iter().find(|node| node.name.is_operator()).map(|_| Finding {
        document: Document::Inventory,
        ..error(
            "operator-node",
            "nodes",
            "a node is called `operator`, which means the operator's own machine".to_owned(),
            "give the node another name",
        )
    })
}

fn nodes_and_phases(inventory: &Inventory, procedure: &Procedure) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut concerned: BTreeSet<NodeName> = BTreeSet::new();
    let mut rolls = false;
    for (number, phase) in procedure.phases.iter().enumerate() {
        let PhaseBody::Rolling(body) = &phase.body else { continue };
        rolls = true;
        match body.nodes.resolve(inventory) {
            Ok(nodes) => concerned.extend(nodes),
            Err(nobody) => findings.push(error(
                "phase-without-node",
                format!("phases[{number}].nodes"),
                format!("phase \"{}\" has no node: {nobody}", phase.name),
                "name a group, a node or a glob of the inventory, or delete the phase",
            )),
        }
    }
    let left: Vec<&NodeName> =
        inventory.nodes.iter().map(|node| &node.name).filter(|node| !concerned.contains(*node)).collect();
    if rolls && !left.is_empty() {
        let (is, it) = if left.len() == 1 { ("is", "it") } else { ("are", "they") };
        findings.push(warning(
            "node-in-no-phase",
            "phases",
            format!("{} {is} in no phase: {it} will keep the old version", few(&left)),
            "add a phase that names what is left, or take it out of the inventory",
        ));
    }
    findings
}

fn unused(procedure: &Procedure) -> Vec<Finding> {
    let mut checks: BTreeSet<&CheckName> = procedure.invariants.iter().collect();
    checks.extend(walk::checks(procedure).into_iter().filter_map(|(_, check)| match check {
        CheckRef::Named(name) => Some(name),
        CheckRef::Inline(_) => None,
    }));
    let unused_checks = procedure.checks.keys().filter(|name| !checks.contains(name)).map(|name| {
        warning(
            "unused-check",
            format!("checks.{name}"),
            format!("nothing asks check `{name}`"),
            "use it in a step, a gate or `invariants:`, or delete it",
        )
    });
    let scripts = walk::scripts(procedure);
    let used = roles_used(procedure);
    let unused_roles = procedure.roles.keys().filter(|role| {
        let variable = |kind: &str| format!("ROLLGATE_{kind}_{}", role.as_str().to_uppercase());
        let names = [variable("PINNED"), variable("LIVE")];
        !used.contains(role)
            && !scripts.iter().any(|script| names.iter().any(|name| script.body.contains(name)))
            && !texts(procedure).iter().any(|text| names.iter().any(|name| text.contains(name)))
    });
    let unused_roles = unused_roles.map(|role| {
        warning(
            "unused-role",
            format!("roles.{role}"),
            format!("nothing uses role `{role}`"),
            format!("use it in `last:` or `on: pinned.{role}`, or delete it"),
        )
    });
    unused_checks.chain(unused_roles).collect()
}

fn roles_used(procedure: &Procedure) -> BTreeSet<&RoleName> {
    let role_of = |target: &'_ Target| match target {
        Target::Pinned(role) | Target::Live(role) => Some(role.clone()),
        _ => None,
    };
    let in_checks = walk::checks(procedure).into_iter().filter_map(|(_, check)| match check {
        CheckRef::Inline(check) => role_of(&check.on),
        CheckRef::Named(_) => None,
    });
    let in_named = procedure.checks.values().filter_map(|check| role_of(&check.on));
    let in_steps = walk::steps(procedure).into_iter().filter_map(|at| role_of(&at.step.on));
    let last = procedure.phases.iter().filter_map(|phase| match &phase.body {
        PhaseBody::Rolling(body) => body.last.clone(),
        PhaseBody::Single(_) => None,
    });
    let used: BTreeSet<RoleName> = in_checks.chain(in_named).chain(in_steps).chain(last).collect();
    procedure.roles.keys().filter(|role| used.contains(role)).collect()
}

/// What a human reads: questions, manual steps, remedies; and what is put into steps besides scripts.
fn texts(procedure: &Procedure) -> Vec<&str> {
    walk::steps(procedure).into_iter().flat_map(|at| texts_of(at.step)).map(|(_, text)| text).collect()
}

fn texts_of(step: &Step) -> Vec<(&'static str, &str)> {
    match &step.action {
        Action::Gate(gate) => gate.question.iter().map(|text| ("question", text.as_str())).collect(),
        Action::Manual(manual) => vec![("manual", manual.text.as_str())],
        Action::Run(run) => run.env.values().map(|text| ("env", text.as_str())).collect(),
        Action::Put(put) => vec![("put", put.source.as_str()), ("put", put.to.as_str())],
        Action::Get(get) => vec![("get", get.from.as_str()), ("get", get.to.as_str())],
        _ => Vec::new(),
    }
}

/// A change made where a role is now, after steps that may have moved it.
fn moved_roles(procedure: &Procedure) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut something_moved = false;
    for at in walk::steps(procedure) {
        if at.section == Section::Rollback {
            continue;
        }
        let changes = matches!(at.step.action, Action::Run(_) | Action::Reboot(_) | Action::Put(_));
        if let Target::Live(role) = &at.step.on
            && changes
            && something_moved
        {
            findings.push(warning(
                "moved-role",
                format!("{}.on", at.place),
                format!("earlier steps may have moved role `{role}`: `live.{role}` is who has it by then"),
                format!("if the node that had it at the start is meant, write `pinned.{role}`"),
            ));
        }
        something_moved |= at.phase.is_some() && changes;
    }
    findings
}

/// A check that is read by its exit status leaves nothing else to later steps.
fn kept_statuses(procedure: &Procedure) -> Vec<Finding> {
    let found = walk::steps(procedure).into_iter().filter_map(|at| {
        let capture = at.step.capture.as_ref()?;
        let (Action::Check(reference) | Action::Wait(Wait { check: reference, .. })) = &at.step.action else {
            return None;
        };
        let check = match reference {
            CheckRef::Named(name) => procedure.checks.get(name)?,
            CheckRef::Inline(check) => check,
        };
        (check.condition.form == Form::Exit && check.condition.tests.is_empty()).then(|| {
            warning(
                "kept-status",
                format!("{}.capture", at.place),
                format!(
                    "`{}` keeps the exit status of the check, which is always 0, and not what it prints",
                    capture.name
                ),
                "say how the check is read, such as `value: text`",
            )
        })
    });
    found.collect()
}

/// Texts that promise a way back from beyond the point where there is none.
fn rollback_beyond_return(procedure: &Procedure) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut passed: Option<String> = None;
    let mut phase = None;
    for at in walk::steps(procedure) {
        if at.phase != phase {
            phase = at.phase;
            let of_phase = phase.and_then(|number| procedure.phases[number].point_of_no_return.as_ref());
            if of_phase.is_some_and(|point| !point.rollback_possible) {
                passed = phase.map(|number| format!("phases[{number}]"));
            }
        }
        let point = at.step.point_of_no_return.as_ref();
        if point.is_some_and(|point| !point.rollback_possible) {
            passed = Some(at.place.clone());
        }
        let Some(point) = &passed else { continue };
        let offers = |(_, text): &(&str, &str)| {
            let text = text.to_lowercase();
            ["rollback", "roll back", "roll it back", "downgrade"].iter().any(|word| text.contains(word))
        };
        if let Some((key, _)) = texts_of(at.step).into_iter().find(offers)
            && at.section != Section::Rollback
            && matches!(at.step.action, Action::Gate(_) | Action::Manual(_))
        {
            findings.push(warning(
                "rollback-beyond-return",
                format!("{}.{key}", at.place),
                format!("this offers a way back, and {point} is a point of no return before it"),
                "move it before the point, reword it, or say `rollback_possible: true` there",
            ));
        }
    }
    findings
}
