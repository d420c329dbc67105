//! Phases: rolling or single, never both.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::path::Path;
use super::super::raw::procedure::{RawPhase, RawSoak};
use super::super::raw::step::RawStep;
use super::super::raw::{Given as _, OneOrMany, Scalar};
use super::action::some_checks;
use super::desk::Desk;
use super::known::Known;
use super::step::{Turn, steps};
use super::when::{point, when};
use crate::model::name::PhaseName;
use crate::model::procedure::{BatchSize, Phase, PhaseBody, Rolling, Soak, Step};

/// How often a soak asks its checks.
const SOAK_EVERY: Duration = Duration::from_secs(10);

/// Keys that both shapes take.
const SHARED: &[&str] = &["name", "when", "point_of_no_return", "steps", "rollback"];

/// All phases.
pub(super) fn phases(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &[RawPhase],
) -> Option<Vec<Phase>> {
    let mut names = BTreeSet::new();
    let all: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(index, raw)| {
            let at = path.index(index);
            let phase = phase(desk, known, &at, raw);
            if let Some(phase) = &phase
                && !names.insert(phase.name.clone())
            {
                let what = format!("there are two phases `{}`", phase.name);
                desk.wrong(&at.key("name"), what, "second one here", "give it another name");
            }
            phase
        })
        .collect();
    all.into_iter().collect()
}

fn phase(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawPhase) -> Option<Phase> {
    let name = desk.needed(path, "name", raw.name.as_ref(), "what the phase is called on screens");
    let name = name.and_then(|name| desk.name(&path.key("name"), name, PhaseName::parse));
    let when = when(desk, known, &path.key("when"), raw.when.as_ref());
    let point_of_no_return =
        point(desk, known, &path.key("point_of_no_return"), raw.point_of_no_return.as_ref());
    refuse_equal_names(desk, path, raw);
    let (turn, body) = if let Some(single) = &raw.steps {
        for key in raw.given().into_iter().filter(|key| !SHARED.contains(key)) {
            let what = format!("`{key}` does not apply to a phase with `steps:`, which runs once");
            let help = "a rolling phase has nodes and the sections precheck, drain, upgrade, verify, undrain";
            desk.wrong_key(&path.key(key), what, "not here", help);
        }
        if single.is_empty() {
            desk.wrong(&path.key("steps"), "this phase does nothing", "no step in it", "");
        }
        let body = steps(desk, known, &path.key("steps"), Some(single), Turn::Single);
        (Turn::Single, body.map(PhaseBody::Single))
    } else {
        (Turn::Node, rolling(desk, known, path, raw).map(|rolling| PhaseBody::Rolling(Box::new(rolling))))
    };
    let rollback = steps(desk, known, &path.key("rollback"), raw.rollback.as_ref(), turn);
    Some(Phase { name: name?, when, point_of_no_return, body: body?, rollback: rollback? })
}

fn rolling(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawPhase) -> Option<Rolling> {
    let help = "the nodes it takes through its sections; a phase that runs once has `steps:`";
    let nodes = desk.needed(path, "nodes", raw.nodes.as_ref(), help);
    let nodes = nodes.and_then(|nodes| known.selector(desk, &path.key("nodes"), nodes));
    let batch = match &raw.batch {
        Some(batch) => self::batch(desk, &path.key("batch"), batch),
        None => Some(vec![BatchSize::Nodes(1)]),
    };
    let last = raw.last.as_ref().and_then(|role| {
        let at = path.key("last");
        known.role(desk, &at, &desk.text(&at, role)?)
    });
    let spread = raw.spread.as_ref().and_then(|var| known.var(desk, &path.key("spread"), var));
    let section = |key: &str, raw: &Option<Vec<RawStep>>| -> Option<Vec<Step>> {
        steps(desk, known, &path.key(key), raw.as_ref(), Turn::Node)
    };
    let precheck = section("precheck", &raw.precheck);
    let drain = section("drain", &raw.drain);
    let upgrade = section("upgrade", &raw.upgrade);
    let verify = section("verify", &raw.verify);
    let undrain = section("undrain", &raw.undrain);
    let sections = [&raw.precheck, &raw.drain, &raw.upgrade, &raw.verify, &raw.undrain];
    if sections.iter().all(|section| section.as_ref().is_none_or(Vec::is_empty)) {
        let help = "give it steps in precheck, drain, upgrade, verify or undrain; a phase that runs once has `steps:`";
        desk.wrong(path, "this phase does nothing", "no section has a step", help);
    }
    let soak = raw.soak.as_ref().and_then(|raw| soak(desk, known, &path.key("soak"), raw));
    Some(Rolling {
        nodes: nodes?,
        batch: batch?,
        last,
        spread,
        max_failures: raw.max_failures.unwrap_or(0),
        precheck: precheck?,
        drain: drain?,
        upgrade: upgrade?,
        verify: verify?,
        undrain: undrain?,
        soak,
    })
}

fn batch(desk: &Desk<'_>, path: &Path, raw: &OneOrMany) -> Option<Vec<BatchSize>> {
    let sizes: Vec<_> = desk
        .list(path, raw)
        .into_iter()
        .map(|(at, value)| {
            let size = match value {
                Scalar::Int(number) => {
                    usize::try_from(*number).ok().filter(|number| *number > 0).map(BatchSize::Nodes)
                }
                Scalar::Text(text) => text
                    .strip_suffix('%')
                    .and_then(|digits| digits.parse().ok())
                    .filter(|percent| (1..=100).contains(percent))
                    .map(BatchSize::Percent),
                Scalar::Float(_) | Scalar::Bool(_) => None,
            };
            if size.is_none() {
                let help = "a number from 1, a share such as 25%, or a list of them: [1, 25%, 100%]";
                desk.wrong(&at, "this is no size of a batch", "this value", help);
            }
            size
        })
        .collect();
    sizes.into_iter().collect()
}

fn soak(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawSoak) -> Option<Soak> {
    let help = "how long the checks must keep holding: 2m";
    let length = desk.needed(path, "for", raw.r#for.as_ref(), help);
    let length = length.and_then(|length| desk.duration(&path.key("for"), length));
    let every = desk.duration_or(&path.key("every"), raw.every.as_ref(), SOAK_EVERY);
    let checks = some_checks(desk, known, path, raw.checks.as_ref());
    Some(Soak { length: length?, every: every?, checks: checks? })
}

/// `--override GATE=REASON` and screens name steps: within a phase a name means one of them.
fn refuse_equal_names(desk: &Desk<'_>, path: &Path, raw: &RawPhase) {
    let sections = [
        ("precheck", &raw.precheck),
        ("drain", &raw.drain),
        ("upgrade", &raw.upgrade),
        ("verify", &raw.verify),
        ("undrain", &raw.undrain),
        ("steps", &raw.steps),
    ];
    let mut seen = BTreeSet::new();
    for (section, steps) in sections {
        for (index, step) in steps.iter().flatten().enumerate() {
            let (key, name) = match (&step.gate, &step.name) {
                (Some(Scalar::Text(gate)), _) => ("gate", gate),
                (None, Some(Scalar::Text(name))) => ("name", name),
                _ => continue,
            };
            if !seen.insert(name) {
                let at = path.key(section).index(index).key(key);
                let what = format!("two steps of this phase are called `{name}`");
                desk.wrong(&at, what, "second one here", "give it another name");
            }
        }
    }
}
