//! Steps: one kind each, with the keys that belong to it.

use std::time::Duration;

use super::super::mistake::listed;
use super::super::path::Path;
use super::super::raw::procedure::{RawCapture, RawCheck, RawPoint, RawStep, RawUndo, RawWhen};
use super::super::raw::{Given as _, Or, Scalar};
use super::action;
use super::check::{self, form, reference, surroundings, target, tests};
use super::desk::Desk;
use super::known::Known;
use crate::model::condition::{Condition, Form};
use crate::model::name::StepName;
use crate::model::procedure::{
    Action, Capture, CheckRef, PointOfNoReturn, Scope, Script, Step, Target, Undo, When,
};

/// The kinds, by the key that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Run,
    Check,
    Wait,
    Gate,
    Manual,
    Reboot,
    Put,
    Get,
}

const KINDS: &[(&str, Kind)] = &[
    ("run", Kind::Run),
    ("check", Kind::Check),
    ("wait", Kind::Wait),
    ("gate", Kind::Gate),
    ("manual", Kind::Manual),
    ("reboot", Kind::Reboot),
    ("put", Kind::Put),
    ("get", Kind::Get),
];

impl Kind {
    fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("step", |(word, _)| word)
    }

    /// The keys that it has a meaning for, beside `when` and `point_of_no_return`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Run => &[
                "run",
                "name",
                "on",
                "timeout",
                "retries",
                "skip_if",
                "undo",
                "temporary",
                "capture",
                "shell",
                "become",
                "stdin",
                "cwd",
                "env",
                "ok_codes",
                "interactive",
                "during",
            ],
            Self::Check => &["check", "name", "capture"],
            Self::Wait => &["wait", "name", "every", "timeout", "steady", "fail_when", "show", "capture"],
            Self::Gate => &["gate", "checks", "question", "steady", "every", "timeout", "typed"],
            Self::Manual => &["manual", "name", "check", "skip_if", "undo", "temporary"],
            Self::Reboot => &["reboot", "name", "on", "timeout", "skip_if", "shell", "become"],
            Self::Put => &["put", "name", "on", "timeout", "retries", "skip_if", "undo", "temporary"],
            Self::Get => &["get", "name", "on", "timeout", "retries", "skip_if"],
        }
    }

    /// How long it may take when nothing is said.
    fn timeout(self) -> Duration {
        match self {
            Self::Check => Duration::from_secs(30),
            Self::Wait => Duration::from_mins(10),
            Self::Run | Self::Gate | Self::Put | Self::Get => Duration::from_mins(30),
            Self::Reboot => Duration::from_hours(1),
            Self::Manual => Duration::from_hours(24),
        }
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
    let on =
        raw.on.as_ref().map_or(Some(Target::Itself), |on| target(desk, known, &path.key("on"), on, false));
    let skip_if = raw
        .skip_if
        .as_ref()
        .map_or(Some(None), |raw| reference(desk, known, &path.key("skip_if"), raw, None).map(Some));
    let undo = raw
        .undo
        .as_ref()
        .map_or(Some(None), |undo| self::undo(desk, known, &path.key("undo"), undo, raw, kind).map(Some));
    let temporary = temporary(desk, path, raw, turn);
    let when = when(desk, known, &path.key("when"), raw.when.as_ref());
    let point = point(desk, known, &path.key("point_of_no_return"), raw.point_of_no_return.as_ref());
    let capture = raw
        .capture
        .as_ref()
        .map_or(Some(None), |raw| capture(desk, known, &path.key("capture"), raw, kind).map(Some));
    let action = action::action(desk, known, path, raw, kind, name.as_ref().and_then(Option::as_ref));
    let default = match &action {
        Some(Action::Check(CheckRef::Inline(check))) => check.timeout,
        _ => kind.timeout(),
    };
    let timeout = desk.duration_or(&path.key("timeout"), raw.timeout.as_ref(), default);
    Some(Step {
        name: name?,
        when: when?,
        on: on?,
        timeout: timeout?,
        retries: raw.retries.unwrap_or(0),
        skip_if: skip_if?,
        undo: undo?,
        temporary: temporary?,
        capture: capture?,
        point_of_no_return: point?,
        action: action?,
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
fn name(desk: &Desk<'_>, path: &Path, raw: &RawStep, kind: Kind) -> Option<Option<StepName>> {
    let (key, value) = match kind {
        Kind::Gate => ("gate", raw.gate.as_ref()),
        _ => ("name", raw.name.as_ref()),
    };
    match value {
        Some(value) => desk.name(&path.key(key), value, StepName::parse).map(Some),
        None if kind == Kind::Manual => {
            let place = path.to_string().replace(['[', '.'], " ").replace(']', "");
            Some(StepName::parse(&format!("manual step of {place}")).ok())
        }
        None => Some(None),
    }
}

fn temporary(desk: &Desk<'_>, path: &Path, raw: &RawStep, turn: Turn) -> Option<Option<Scope>> {
    let Some(value) = &raw.temporary else { return Some(None) };
    let at = path.key("temporary");
    let words = [("node", Scope::Node), ("phase", Scope::Phase), ("run", Scope::Run)];
    let scope = desk.choice(&at, value, &words)?;
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
    Some(Some(scope))
}

fn undo(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &Or<RawUndo>,
    step: &RawStep,
    kind: Kind,
) -> Option<Undo> {
    let inherited = || surroundings(desk, path, step.shell.as_ref(), step.r#become.as_ref());
    match raw {
        Or::Short(text) if kind == Kind::Manual => known.template(desk, path, text).map(Undo::Manual),
        Or::Short(body) => {
            let body = desk.text(path, body)?;
            let (shell, become_with) = inherited();
            Some(Undo::Run(Script { body, shell: shell?, become_with: become_with? }))
        }
        Or::Full(raw) => match (&raw.run, &raw.manual) {
            (Some(_), Some(_)) => {
                let what = "a step is undone either by a script or by a human";
                desk.wrong_key(&path.key("manual"), what, "second way here", "");
                None
            }
            (None, Some(text)) => {
                for key in raw.given().into_iter().filter(|key| *key != "manual") {
                    desk.wrong_key(&path.key(key), format!("`{key}` needs a script"), "not here", "");
                }
                known.template(desk, &path.key("manual"), text).map(Undo::Manual)
            }
            (run, None) => {
                let shell = raw.shell.as_ref().or(step.shell.as_ref());
                let become_with = raw.r#become.as_ref().or(step.r#become.as_ref());
                check::script(desk, path, run.as_ref(), shell, become_with).map(Undo::Run)
            }
        },
    }
}

/// Whether a step or phase is done.
pub(super) fn when(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&RawWhen>,
) -> Option<Option<When>> {
    let Some(raw) = raw else { return Some(None) };
    let var = match &raw.var {
        Some(var) => known.var(desk, &path.key("var"), var),
        None => {
            desk.missing(path, "var", "the variable that decides: { var: database, equals: oracle }");
            None
        }
    };
    let condition = raw.condition();
    if condition.given().is_empty() {
        let help = "such as equals, not_equals, one_of, matches, empty";
        desk.wrong(path, format!("`{path}` says nothing about the value"), "needs a condition", help);
    }
    let tests = tests(desk, known, path, &condition, Some(&Form::Text));
    Some(Some(When { var: var?, condition: Condition { form: Form::Text, tests: tests? } }))
}

/// A mark after which there is no way back.
pub(super) fn point(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Or<RawPoint>>,
) -> Option<Option<PointOfNoReturn>> {
    let (at, text, rollback_possible) = match raw {
        None => return Some(None),
        Some(Or::Short(text)) => (path.clone(), Some(text), false),
        Some(Or::Full(raw)) => (path.key("text"), raw.text.as_ref(), raw.rollback_possible.unwrap_or(false)),
    };
    let Some(text) = text else {
        desk.missing(path, "text", "what it means to go past this point");
        return None;
    };
    let text = known.template(desk, &at, text)?;
    Some(Some(PointOfNoReturn { text, rollback_possible }))
}

fn capture(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &Or<RawCapture>,
    kind: Kind,
) -> Option<Capture> {
    let short;
    let (at, raw) = match raw {
        Or::Short(name) => {
            short = RawCapture { name: Some(name.clone()), ..RawCapture::default() };
            (path.clone(), &short)
        }
        Or::Full(raw) => (path.key("name"), &**raw),
    };
    let Some(name) = &raw.name else {
        desk.missing(path, "name", "the variable that later steps read");
        return None;
    };
    let name = desk.text(&at, name).and_then(|name| desk.own_var_at(&at, &name));
    if let Some(name) = &name
        && known.is_secret(name)
    {
        desk.wrong(&at, format!("`{name}` is a secret of the inventory"), "this name", "choose another name");
    }
    let form = if kind == Kind::Run {
        capture_form(desk, path, raw)
    } else {
        for key in ["value", "at"].into_iter().filter(|key| raw.given().contains(key)) {
            let what = format!("how a check is read stands in the check, not in `capture.{key}`");
            desk.wrong_key(&path.key(key), what, "not here", "");
        }
        Some(Form::Text)
    };
    let secret = raw.secret.unwrap_or(false);
    if secret && kind == Kind::Run {
        let what = "only a check's value can be kept secret: after a resume it is read again";
        desk.wrong_key(&path.key("secret"), what, "not in a `run` step", "read it in a `check` step");
    }
    let one_of = raw.one_of.as_deref().unwrap_or_default();
    let one_of: Vec<_> = one_of
        .iter()
        .enumerate()
        .map(|(index, word)| desk.value(&path.key("one_of").index(index), word))
        .collect();
    let map = raw.map.as_ref().map(|map| map.0.as_slice()).unwrap_or_default();
    let map: Vec<_> = map
        .iter()
        .map(|(from, to)| Some((from.clone(), desk.value(&path.key("map").key(from), to)?)))
        .collect();
    Some(Capture {
        name: name?,
        form: form?,
        exactly_one: raw.exactly_one.unwrap_or(false),
        not_empty: raw.not_empty.unwrap_or(false),
        one_of: one_of.into_iter().collect::<Option<_>>()?,
        map: map.into_iter().collect::<Option<_>>()?,
        secret,
    })
}

/// A script's output is text unless it says otherwise.
fn capture_form(desk: &Desk<'_>, path: &Path, raw: &RawCapture) -> Option<Form> {
    if raw.value.is_none() && raw.at.is_none() {
        return Some(Form::Text);
    }
    form(desk, path, raw.value.as_ref(), raw.at.as_ref(), &super::super::raw::RawCondition::default())
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
) -> Option<Option<crate::model::template::Template>> {
    raw.map_or(Some(None), |raw| known.template(desk, path, raw).map(Some))
}
