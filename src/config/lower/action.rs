//! What each of the eight kinds of step does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::path::Path;
use super::super::raw::check::{RawCheck, RawScript};
use super::super::raw::kind::Kind;
use super::super::raw::step::{RawDuring, RawGet, RawPut, RawStep};
use super::super::raw::{Given as _, Or, RawCondition, Scalar};
use super::check::{references, short_script, surroundings, tests};
use super::desk::Desk;
use super::known::Known;
use super::step::{at_least_one, maybe, own_check};
use crate::model::condition::Condition;
use crate::model::name::StepName;
use crate::model::procedure::{Action, CheckRef, During, Gate, Get, Manual, Put, Run, Script, Wait};
use crate::model::template::Template;

/// How often something is asked again.
pub(super) const EVERY: Duration = Duration::from_secs(5);

/// Permissions of a file that is put on a node.
const PRIVATE: u32 = 0o600;

/// What the step does.
pub(super) fn action(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawStep,
    kind: Kind,
    name: Option<&StepName>,
) -> Option<Action> {
    match kind {
        Kind::Run => run(desk, known, path, raw).map(Action::Run),
        Kind::Check => {
            own_check(desk, known, &path.key("check"), raw.check.as_ref(), name).map(Action::Check)
        }
        Kind::Wait => wait(desk, known, path, raw, name).map(Action::Wait),
        Kind::Gate => gate(desk, known, path, raw).map(Action::Gate),
        Kind::Manual => manual(desk, known, path, raw, name).map(Action::Manual),
        Kind::Reboot => script(desk, path, "reboot", raw.reboot.as_ref(), raw).map(Action::Reboot),
        Kind::Put => put(desk, known, &path.key("put"), raw.put.as_ref()?).map(Action::Put),
        Kind::Get => get(desk, known, &path.key("get"), raw.get.as_ref()?).map(Action::Get),
    }
}

fn script(desk: &Desk<'_>, path: &Path, key: &str, body: Option<&Scalar>, raw: &RawStep) -> Option<Script> {
    let body = desk.text(&path.key(key), body?);
    let (shell, become_with) = surroundings(desk, path, raw.shell.as_ref(), raw.r#become.as_ref());
    Some(Script { body: body?, shell, become_with })
}

fn run(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawStep) -> Option<Run> {
    let script = script(desk, path, "run", raw.run.as_ref(), raw);
    let stdin = raw.stdin.as_ref().and_then(|stdin| known.input(desk, &path.key("stdin"), stdin));
    let cwd = raw.cwd.as_ref().and_then(|cwd| known.path(desk, &path.key("cwd"), cwd));
    let interactive = raw.interactive.unwrap_or(false);
    if interactive {
        for key in ["stdin", "capture", "during"].into_iter().filter(|key| raw.given().contains(key)) {
            let what = format!("`{key}` and `interactive: true` exclude each other");
            desk.wrong_key(
                &path.key(key),
                what,
                "not here",
                "an interactive step has the terminal for itself",
            );
        }
    }
    let mut env = BTreeMap::new();
    for (key, value) in raw.env.as_ref().map(|env| env.0.as_slice()).unwrap_or_default() {
        let at = path.key("env").key(key);
        let (name, value) = (desk.own_var(&at, key), known.value_template(desk, &at, value));
        if let (Some(name), Some(value)) = (name, value) {
            env.insert(name, value);
        }
    }
    let ok_codes = raw.ok_codes.clone().unwrap_or_else(|| vec![0]);
    let at = path.key("ok_codes");
    if ok_codes.is_empty() {
        desk.wrong(
            &at,
            "no exit status would mean success",
            "nothing in it",
            "[0] is what holds without the key",
        );
    }
    if let Some(index) = ok_codes.iter().position(|code| !(0..=255).contains(code)) {
        desk.wrong(&at.index(index), "an exit status is a number from 0 to 255", "this value", "");
    }
    let during = raw.during.as_ref().and_then(|raw| during(desk, known, &path.key("during"), raw));
    Some(Run { script: script?, stdin, cwd, env, ok_codes, interactive, during })
}

fn during(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawDuring) -> Option<During> {
    let every = desk.duration_or(&path.key("every"), raw.every.as_ref(), EVERY);
    let checks = some_checks(desk, known, path, raw.checks.as_ref());
    Some(During { every: every?, checks: checks? })
}

/// A list of checks that is not empty.
pub(super) fn some_checks(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Vec<Or<RawCheck>>>,
) -> Option<Vec<CheckRef>> {
    if raw.is_none_or(Vec::is_empty) {
        desk.missing(path, "checks", "the checks that must keep holding: [NAME, ...]");
        return None;
    }
    references(desk, known, &path.key("checks"), raw)
}

fn wait(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawStep,
    name: Option<&StepName>,
) -> Option<Wait> {
    let check = own_check(desk, known, &path.key("wait"), raw.wait.as_ref(), name);
    let every = desk.duration_or(&path.key("every"), raw.every.as_ref(), EVERY);
    let steady = at_least_one(desk, &path.key("steady"), raw.steady);
    let form = match &check {
        Some(CheckRef::Inline(check)) => Some(check.condition.form.clone()),
        Some(CheckRef::Named(name)) => known.form(name),
        None => None,
    };
    let condition = |key: &str, raw: &RawCondition, example: &str| {
        let at = path.key(key);
        if raw.given().is_empty() {
            let what = format!("`{key}` says nothing about the value");
            desk.wrong_key(&at, what, "needs a condition", example);
            return None;
        }
        let tests = tests(desk, known, &at, raw, form.as_ref())?;
        Some(Condition { form: form.clone()?, tests })
    };
    let fail_when =
        raw.fail_when.as_ref().and_then(|raw| condition("fail_when", raw, "such as one_of: [failed]"));
    let on_its_way =
        raw.r#while.as_ref().and_then(|raw| condition("while", raw, "such as one_of: [working]"));
    let script = |key: &str, raw: Option<&Or<RawScript>>| short_script(desk, &path.key(key), raw?);
    let per = script("per", raw.per.as_ref());
    let show = script("show", raw.show.as_ref());
    Some(Wait { check: check?, every: every?, steady: steady?, fail_when, on_its_way, per, show })
}

fn gate(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawStep) -> Option<Gate> {
    let checks = references(desk, known, &path.key("checks"), raw.checks.as_ref());
    let question = maybe(desk, known, &path.key("question"), raw.question.as_ref());
    let steady = at_least_one(desk, &path.key("steady"), raw.steady);
    let every = desk.duration_or(&path.key("every"), raw.every.as_ref(), EVERY);
    Some(Gate {
        checks: checks?,
        question,
        steady: steady?,
        every: every?,
        typed: raw.typed.unwrap_or(false),
    })
}

fn manual(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawStep,
    name: Option<&StepName>,
) -> Option<Manual> {
    let text = known.template(desk, &path.key("manual"), raw.manual.as_ref()?);
    let check = own_check(desk, known, &path.key("check"), raw.check.as_ref(), name);
    Some(Manual { text: text?, check })
}

fn put(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawPut) -> Option<Put> {
    let source = required(desk, known, path, "source", raw.source.as_ref(), "the file on this machine");
    let to = required(desk, known, path, "to", raw.to.as_ref(), "the absolute path on the node");
    let to = to.filter(|to| is_remote(desk, &path.key("to"), to));
    let mode = raw.mode.as_ref().map_or(Some(PRIVATE), |mode| self::mode(desk, &path.key("mode"), mode));
    Some(Put { source: source?, to: to?, mode: mode? })
}

fn get(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawGet) -> Option<Get> {
    let from = required(desk, known, path, "from", raw.from.as_ref(), "the absolute path on the node");
    let from = from.filter(|from| is_remote(desk, &path.key("from"), from));
    let to = required(desk, known, path, "to", raw.to.as_ref(), "the name below the run's directory");
    let to = to.filter(|to| {
        let text = to.as_str();
        let stays = !text.starts_with(['/', '~']) && !text.split('/').any(|part| part == "..");
        if !stays {
            let what = format!("`{text}` would leave the run's directory");
            desk.wrong(
                &path.key("to"),
                what,
                "this path",
                "a name, or a path without `..` and a `/` in front",
            );
        }
        stays
    });
    Some(Get { from: from?, to: to? })
}

fn required(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    key: &str,
    value: Option<&Scalar>,
    help: &str,
) -> Option<Template> {
    let value = desk.needed(path, key, value, help)?;
    known.path(desk, &path.key(key), value)
}

/// An absolute path, as far as can be told before its variables are set.
fn is_remote(desk: &Desk<'_>, path: &Path, template: &Template) -> bool {
    let text = template.as_str();
    let absolute =
        (text.starts_with('/') || text.starts_with("${")) && !text.split('/').any(|part| part == "..");
    if !absolute {
        let what = format!("`{path}` must be an absolute path");
        desk.wrong(path, what, "this path", "begin with `/`, without `..`");
    }
    absolute
}

/// Permissions in octal: `"0644"`.
fn mode(desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<u32> {
    let text = desk.text(path, value)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777 && text.len() >= 3);
    if mode.is_none() {
        let help = "three or four digits from 0 to 7, in quotes: \"0644\"";
        desk.wrong(path, format!("`{text}` is not a mode of a file"), "this value", help);
    }
    mode
}
