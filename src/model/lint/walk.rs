//! The steps, scripts and checks of a procedure with the places where they stand.

use crate::model::host::Shell;
use crate::model::name::NodeName;
use crate::model::plan::Section;
use crate::model::procedure::{Action, Check, CheckRef, Phase, PhaseBody, Procedure, Script, Step, Undo};

/// A step in its place.
#[derive(Clone)]
pub(super) struct Located<'a> {
    /// `phases[0].drain[1]`.
    pub(super) place: String,
    /// The number of its phase; `None` for `stage:`.
    pub(super) phase: Option<usize>,
    /// Where it stands in a turn.
    pub(super) section: Section,
    /// The step.
    pub(super) step: &'a Step,
}

/// A script in its place.
pub(super) struct Scripted<'a> {
    /// `phases[0].drain[1].run`.
    pub(super) place: String,
    /// What it says.
    pub(super) body: &'a str,
    /// Who reads it.
    pub(super) shell: Shell,
    /// The step that it is, when it changes something: not a check, not an undo.
    pub(super) changes: Option<&'a Step>,
}

/// The sections of a phase in the order in which they are gone through, the way back last.
fn sections(phase: &Phase) -> Vec<(Section, &[Step])> {
    let mut sections: Vec<(Section, &[Step])> = match &phase.body {
        PhaseBody::Single(steps) => vec![(Section::Steps, steps)],
        PhaseBody::Rolling(body) => vec![
            (Section::Precheck, &body.precheck),
            (Section::Drain, &body.drain),
            (Section::Upgrade, &body.upgrade),
            (Section::Verify, &body.verify),
            (Section::Undrain, &body.undrain),
        ],
    };
    sections.push((Section::Rollback, &phase.rollback));
    sections
}

/// The steps of one phase in order.
pub(super) fn steps_of(number: usize, phase: &Phase) -> Vec<Located<'_>> {
    sections(phase)
        .into_iter()
        .flat_map(|(section, steps)| {
            steps.iter().enumerate().map(move |(index, step)| Located {
                place: format!("phases[{number}].{section}[{index}]"),
                phase: Some(number),
                section,
                step,
            })
        })
        .collect()
}

/// The steps of `stage:`.
pub(super) fn staging(procedure: &Procedure) -> Vec<Located<'_>> {
    let located = |(index, step)| Located {
        place: format!("stage[{index}]"),
        phase: None,
        section: Section::Stage,
        step,
    };
    procedure.stage.iter().enumerate().map(located).collect()
}

/// Every step in order.
pub(super) fn steps(procedure: &Procedure) -> Vec<Located<'_>> {
    let phases = procedure.phases.iter().enumerate().flat_map(|(number, phase)| steps_of(number, phase));
    staging(procedure).into_iter().chain(phases).collect()
}

/// The checks that a step refers to or holds.
pub(super) fn checks_of<'a>(at: &Located<'a>) -> Vec<(String, &'a CheckRef)> {
    let place = &at.place;
    let list = |key: &str, checks: &'a [CheckRef]| -> Vec<(String, &'a CheckRef)> {
        checks.iter().enumerate().map(|(index, check)| (format!("{place}.{key}[{index}]"), check)).collect()
    };
    let mut checks: Vec<(String, &CheckRef)> = match &at.step.action {
        Action::Check(check) => vec![(format!("{place}.check"), check)],
        Action::Wait(wait) => vec![(format!("{place}.wait"), &wait.check)],
        Action::Gate(gate) => list("checks", &gate.checks),
        Action::Manual(manual) => {
            manual.check.iter().map(|check| (format!("{place}.check"), check)).collect()
        }
        Action::Run(run) => {
            run.during.iter().flat_map(|during| list("during.checks", &during.checks)).collect()
        }
        Action::Reboot(_) | Action::Put(_) | Action::Get(_) => Vec::new(),
    };
    checks.extend(at.step.skip_if.iter().map(|check| (format!("{place}.skip_if"), check)));
    let way_in = at.step.restricts.iter().filter_map(|restriction| restriction.way_in.as_ref());
    checks.extend(way_in.map(|check| (format!("{place}.way_in"), check)));
    let done_if = at.step.if_unknown.done_if.iter();
    checks.extend(done_if.map(|check| (format!("{place}.done_if"), check)));
    checks
}

/// Every reference to a check, and every check written in place.
pub(super) fn checks(procedure: &Procedure) -> Vec<(String, &CheckRef)> {
    let mut checks: Vec<(String, &CheckRef)> = steps(procedure).iter().flat_map(|at| checks_of(at)).collect();
    for (index, guard) in procedure.guards.iter().enumerate() {
        checks.push((format!("refuse[{index}].check"), &guard.check));
    }
    for (number, phase) in procedure.phases.iter().enumerate() {
        if let PhaseBody::Rolling(body) = &phase.body {
            for (index, check) in body.soak.iter().flat_map(|soak| &soak.checks).enumerate() {
                checks.push((format!("phases[{number}].soak.checks[{index}]"), check));
            }
        }
    }
    checks
}

/// Every script.
pub(super) fn scripts(procedure: &Procedure) -> Vec<Scripted<'_>> {
    let mut scripts: Vec<Scripted<'_>> = Vec::new();
    let reading = |place: String, script| scripted(place, script, None);
    scripts.extend(procedure.version.iter().map(|script| reading("version".to_owned(), script)));
    for (name, check) in &procedure.checks {
        scripts.extend(scripts_of_check(&format!("checks.{name}"), check));
    }
    for (name, role) in &procedure.roles {
        scripts.extend(scripts_of_check(&format!("roles.{name}"), &role.check));
    }
    for (place, check) in checks(procedure) {
        if let CheckRef::Inline(check) = check {
            scripts.extend(scripts_of_check(&place, check));
        }
    }
    for Located { place, step, .. } in steps(procedure) {
        match &step.action {
            Action::Run(run) => scripts.push(scripted(format!("{place}.run"), &run.script, Some(step))),
            Action::Reboot(script) => scripts.push(scripted(format!("{place}.reboot"), script, Some(step))),
            Action::Wait(wait) => {
                scripts.extend(wait.per.iter().map(|script| reading(format!("{place}.per"), script)));
                scripts.extend(wait.show.iter().map(|script| reading(format!("{place}.show"), script)));
            }
            _ => {}
        }
        if let Some(Undo::Run(script)) = &step.undo {
            scripts.push(reading(format!("{place}.undo"), script));
        }
    }
    scripts
}

fn scripted<'a>(place: String, script: &'a Script, changes: Option<&'a Step>) -> Scripted<'a> {
    Scripted { place, body: &script.body, shell: script.shell, changes }
}

/// The scripts of a check: its question, and what is run to show why it does not hold.
pub(super) fn scripts_of_check<'a>(place: &str, check: &'a Check) -> Vec<Scripted<'a>> {
    let mut scripts = vec![scripted(format!("{place}.run"), &check.script, None)];
    scripts.extend(check.evidence.iter().map(|body| Scripted {
        place: format!("{place}.evidence"),
        body,
        shell: check.script.shell,
        changes: None,
    }));
    scripts
}

/// `a, b and 3 more`.
pub(super) fn few(nodes: &[&NodeName]) -> String {
    let names: Vec<&str> = nodes.iter().take(3).map(|node| node.as_str()).collect();
    match nodes.len() {
        0..=3 => names.join(", "),
        more => format!("{} and {} more", names.join(", "), more - 3),
    }
}
