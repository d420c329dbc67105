//! Steps: one kind each, with the keys that belong to it.

use std::time::Duration;

use super::super::mistake::listed;
use super::super::path::Path;
use super::super::raw::check::RawCheck;
use super::super::raw::kind::{KINDS, Kind};
use super::super::raw::step::{RawStep, RawUndo};
use super::super::raw::words::{RETRIES, SCOPES};
use super::super::raw::{Given as _, Or, Scalar};
use super::action;
use super::capture::capture;
use super::check::{self, reference, surroundings, target};
use super::desk::Desk;
use super::known::Known;
use super::restriction::restriction;
use super::when::{point, when};
use crate::model::name::StepName;
use crate::model::procedure::{Action, CheckRef, IfUnknown, Scope, Script, Step, Undo};
use crate::model::template::Template;

/// How long a step may take when nothing is said.
fn timeout_of(kind: Kind) -> Duration {
    match kind {
        Kind::Check => Duration::from_secs(30),
        Kind::Wait => Duration::from_mins(10),
        Kind::Run | Kind::Gate | Kind::Put | Kind::Get => Duration::from_mins(30),
        Kind::Reboot => Duration::from_hours(1),
        Kind::Manual => Duration::from_hours(24),
    }
}

/// Where a step stands, as far as it matters to what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// In the turn of a node.
    Node,
    /// In a phase that runs once.
    Single,
}

/// The steps of one section.
pub(super) fn steps(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Vec<RawStep>>,
    turn: Turn,
) -> Option<Vec<Step>> {
    let raw = raw.map(Vec::as_slice).unwrap_or_default();
    let all: Vec<_> =
        raw.iter().enumerate().map(|(index, raw)| step(desk, known, &path.index(index), raw, turn)).collect();
    all.into_iter().collect()
}

fn step(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawStep, turn: Turn) -> Option<Step> {
    let kind = kind(desk, path, raw)?;
    refuse_other_keys(desk, path, raw, kind);
    let name = name(desk, path, raw, kind);
    let at = |key: &str| path.key(key);
    let on = raw.on.as_ref().and_then(|on| target(desk, known, &at("on"), on, false));
    let skip_if = raw.skip_if.as_ref().and_then(|raw| reference(desk, known, &at("skip_if"), raw, None));
    let undo = raw.undo.as_ref().and_then(|undo| self::undo(desk, known, path, undo, raw, kind));
    let temporary = temporary(desk, path, raw, turn);
    let when = when(desk, known, &at("when"), raw.when.as_ref());
    let point_of_no_return = point(desk, known, &at("point_of_no_return"), raw.point_of_no_return.as_ref());
    let capture = raw.capture.as_ref().and_then(|raw| capture(desk, known, &at("capture"), raw, kind));
    let if_unknown = if_unknown(desk, known, path, raw, kind);
    let restricts = (kind == Kind::Run).then(|| restriction(desk, known, path, raw, undo.as_ref())).flatten();
    let action = action::action(desk, known, path, raw, kind, name.as_ref());
    let default = match &action {
        Some(Action::Check(CheckRef::Inline(check))) => check.timeout,
        _ => timeout_of(kind),
    };
    let timeout = desk.duration_or(&at("timeout"), raw.timeout.as_ref(), default);
    Some(Step {
        name,
        when,
        on: on.unwrap_or_default(),
        timeout: timeout?,
        retries: raw.retries.unwrap_or(0),
        skip_if,
        undo,
        temporary,
        capture,
        point_of_no_return,
        if_unknown: if_unknown?,
        restricts,
        action: action?,
    })
}

/// What settles the step when nobody knows how it ended. A `reboot` is for a new boot by its nature.
fn if_unknown(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawStep,
    kind: Kind,
) -> Option<IfUnknown> {
    let reference = |raw| reference(desk, known, &path.key("done_if"), raw, None);
    let done_if = raw.done_if.as_ref().map(reference);
    let retry_is_safe = raw.retry.as_ref().map_or(Some(false), |value| {
        let at = path.key("retry");
        if matches!(value, Scalar::Text(_)) {
            return desk.choice(&at, value, RETRIES);
        }
        let help = "allowed: safe; how often a step that failed is tried again stands in `retries`";
        desk.wrong(&at, format!("`{at}` is a word"), "this value", help);
        None
    });
    Some(IfUnknown {
        reboots: kind == Kind::Reboot || raw.reboots.unwrap_or(false),
        done_if: done_if.map_or(Some(None), |check| check.map(Some))?,
        retry_is_safe: retry_is_safe?,
    })
}

/// Exactly one kind. A manual step may bring a check along.
fn kind(desk: &Desk<'_>, path: &Path, raw: &RawStep) -> Option<Kind> {
    let given = raw.given();
    let mut kinds = KINDS.iter().filter(|(word, _)| given.contains(word));
    let words = || listed(KINDS.iter().map(|(word, _)| *word));
    let Some((first, kind)) = kinds.next() else {
        desk.wrong(path, "this step does nothing", "which kind of step?", format!("one of: {}", words()));
        return None;
    };
    let kind = if given.contains(&"manual") && *kind == Kind::Check { Kind::Manual } else { *kind };
    match kinds.find(|(_, other)| *other != kind) {
        None => Some(kind),
        Some((second, _)) => {
            let what = format!("a step is either `{first}` or `{second}`");
            desk.wrong_key(&path.key(second), what, "second kind here", "make two steps of it");
            None
        }
    }
}

fn refuse_other_keys(desk: &Desk<'_>, path: &Path, raw: &RawStep, kind: Kind) {
    for key in raw.given() {
        if kind.keys().contains(&key) || matches!(key, "when" | "point_of_no_return") {
            continue;
        }
        let word = kind.word();
        let help = match (kind, key) {
            (Kind::Gate, "name") => "the name of a gate is the value of `gate`".to_owned(),
            (Kind::Check, "retries" | "timeout" | "every" | "steady") => {
                "a `wait` step asks again until it holds; how long one reading may take stands in the check"
                    .to_owned()
            }
            (Kind::Reboot, "reboots") => "a `reboot` step reboots by its nature".to_owned(),
            (Kind::Check | Kind::Wait, "on") => {
                format!("where it is asked stands in the check itself: {word}: {{ run: ..., on: ... }}")
            }
            _ => format!(
                "a `{word}` step takes: {}, when, point_of_no_return",
                listed(kind.keys().iter().copied())
            ),
        };
        desk.wrong_key(
            &path.key(key),
            format!("`{key}` does not apply to a `{word}` step"),
            "not here",
            help,
        );
    }
}

/// A step's name. That of a gate is the gate's; a human's task without one is called after its place.
fn name(desk: &Desk<'_>, path: &Path, raw: &RawStep, kind: Kind) -> Option<StepName> {
    let (key, value) = match kind {
        Kind::Gate => ("gate", raw.gate.as_ref()),
        _ => ("name", raw.name.as_ref()),
    };
    match value {
        Some(value) => desk.name(&path.key(key), value, StepName::parse),
        None if kind == Kind::Manual => {
            let place = path.to_string().replace(['[', '.'], " ").replace(']', "");
            StepName::parse(&format!("manual step of {place}")).ok()
        }
        None => None,
    }
}

fn temporary(desk: &Desk<'_>, path: &Path, raw: &RawStep, turn: Turn) -> Option<Scope> {
    let value = raw.temporary.as_ref()?;
    let at = path.key("temporary");
    let scope = desk.choice(&at, value, SCOPES)?;
    if raw.undo.is_none() {
        let what = "a temporary change needs to say how it is undone";
        desk.wrong_key(&at, what, "needs `undo:` beside it", "undo: the command that takes it back");
        return None;
    }
    if scope == Scope::Node && turn == Turn::Single {
        let what = "a phase with `steps:` has no turn of a node";
        desk.wrong(&at, what, "no such scope here", "allowed: phase, run");
        return None;
    }
    Some(scope)
}

/// How a step is undone: in its own shell and with its own rights, unless it says otherwise.
fn undo(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &Or<RawUndo>,
    step: &RawStep,
    kind: Kind,
) -> Option<Undo> {
    let at = path.key("undo");
    match raw {
        Or::Short(text) if kind == Kind::Manual => known.template(desk, &at, text).map(Undo::Manual),
        Or::Short(body) => {
            let body = desk.text(&at, body)?;
            let (shell, become_with) = surroundings(desk, path, step.shell.as_ref(), step.r#become.as_ref());
            Some(Undo::Run(Script { body, shell, become_with }))
        }
        Or::Full(raw) => match (&raw.run, &raw.manual) {
            (Some(_), Some(_)) => {
                let what = "a step is undone either by a script or by a human";
                desk.wrong_key(&at.key("manual"), what, "second way here", "");
                None
            }
            (None, Some(text)) => {
                for key in raw.given().into_iter().filter(|key| *key != "manual") {
                    desk.wrong_key(&at.key(key), format!("`{key}` needs a script"), "not here", "");
                }
                known.template(desk, &at.key("manual"), text).map(Undo::Manual)
            }
            (run, None) => {
                let shell = raw.shell.as_ref().or(step.shell.as_ref());
                let become_with = raw.r#become.as_ref().or(step.r#become.as_ref());
                check::script(desk, &at, run.as_ref(), shell, become_with).map(Undo::Run)
            }
        },
    }
}

/// A check of a step: called after the step when it has no name of its own.
pub(super) fn own_check(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Or<RawCheck>>,
    name: Option<&StepName>,
) -> Option<CheckRef> {
    reference(desk, known, path, raw?, name.map(StepName::as_str))
}

/// A whole number that is at least 1.
pub(super) fn at_least_one(desk: &Desk<'_>, path: &Path, value: Option<u32>) -> Option<u32> {
    match value {
        Some(0) => {
            desk.wrong(path, format!("`{path}` must be at least 1"), "this value", "");
            None
        }
        value => Some(value.unwrap_or(1)),
    }
}

/// A template that may be absent.
pub(super) fn maybe(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Scalar>,
) -> Option<Template> {
    raw.and_then(|raw| known.template(desk, path, raw))
}
