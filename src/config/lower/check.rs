//! Checks, their conditions, and the scripts they run.

use std::time::Duration;

use super::super::mistake::listed;
use super::super::path::Path;
use super::super::raw::check::{RawCheck, RawScript};
use super::super::raw::words::{BECOME, FITTING, READINGS, Reading, SHELLS};
use super::super::raw::{Given as _, Or, RawCondition, Scalar};
use super::desk::Desk;
use super::known::Known;
use crate::model::condition::{Condition, Form, Test, path_segments};
use crate::model::host::{Become, Shell};
use crate::model::name::{CheckName, GroupName, NodeName};
use crate::model::procedure::{Check, CheckRef, Script, Target};
use crate::model::template::Template;

/// How long one reading may take.
const READING: Duration = Duration::from_secs(30);

/// Reads what a script and its shell are.
pub(super) fn script(
    desk: &Desk<'_>,
    path: &Path,
    run: Option<&Scalar>,
    shell: Option<&Scalar>,
    become_with: Option<&Scalar>,
) -> Option<Script> {
    let help = "a command, or a script of several lines behind `|`";
    let body = desk.needed(path, "run", run, help).and_then(|run| desk.text(&path.key("run"), run));
    let (shell, become_with) = surroundings(desk, path, shell, become_with);
    Some(Script { body: body?, shell, become_with })
}

/// The shell of a script and the rights it takes.
pub(super) fn surroundings(
    desk: &Desk<'_>,
    path: &Path,
    shell: Option<&Scalar>,
    become_with: Option<&Scalar>,
) -> (Shell, Option<Become>) {
    let shell = shell.and_then(|value| desk.choice(&path.key("shell"), value, SHELLS));
    let become_with = become_with.and_then(|value| self::become_with(desk, path, value));
    (shell.unwrap_or_default(), become_with)
}

/// How commands gain rights.
pub(super) fn become_with(desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Become> {
    desk.choice(&path.key("become"), value, BECOME)
}

/// A script in its short form or in full.
pub(super) fn short_script(desk: &Desk<'_>, path: &Path, raw: &Or<RawScript>) -> Option<Script> {
    match raw {
        Or::Short(body) => Some(Script { body: desk.text(path, body)?, shell: Shell::Sh, become_with: None }),
        Or::Full(raw) => script(desk, path, raw.run.as_ref(), raw.shell.as_ref(), raw.r#become.as_ref()),
    }
}

/// Several checks, by name or in place.
pub(super) fn references(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Vec<Or<RawCheck>>>,
) -> Option<Vec<CheckRef>> {
    let raw = raw.map(Vec::as_slice).unwrap_or_default();
    let all: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(index, raw)| reference(desk, known, &path.index(index), raw, None))
        .collect();
    all.into_iter().collect()
}

/// A check by name, or written in place; `label` is what it is called if it has no name of its own.
pub(super) fn reference(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &Or<RawCheck>,
    label: Option<&str>,
) -> Option<CheckRef> {
    match raw {
        Or::Short(name) => known.check(desk, path, name).map(CheckRef::Named),
        Or::Full(raw) => {
            let own = raw.name.as_ref().map(|name| desk.name(&path.key("name"), name, CheckName::parse));
            let label = match own {
                Some(name) => name?.to_string(),
                None => label.map_or_else(|| first_line(raw), str::to_owned),
            };
            lower(desk, known, path, raw, label).map(|check| CheckRef::Inline(Box::new(check)))
        }
    }
}

/// What a check without any name is called: its command.
fn first_line(raw: &RawCheck) -> String {
    let Some(Scalar::Text(run)) = &raw.run else { return "check".to_owned() };
    let line = run.trim().lines().next().unwrap_or_default();
    if line.chars().count() > 40 {
        line.chars().take(37).chain("...".chars()).collect()
    } else {
        line.to_owned()
    }
}

/// A named check. Its name is its key.
pub(super) fn named(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawCheck,
    name: &str,
) -> Option<Check> {
    if raw.name.is_some() {
        desk.wrong_key(&path.key("name"), "a named check has its name already", "delete this", "");
    }
    lower(desk, known, path, raw, name.to_owned())
}

/// A check in full.
pub(super) fn lower(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawCheck,
    label: String,
) -> Option<Check> {
    let script = script(desk, path, raw.run.as_ref(), raw.shell.as_ref(), raw.r#become.as_ref());
    let on = match &raw.on {
        Some(on) => target(desk, known, &path.key("on"), on, true),
        None => Some(Target::Itself),
    };
    let tests = raw.condition();
    let form = form(desk, path, raw.value.as_ref(), raw.at.as_ref(), &tests);
    let tests = self::tests(desk, known, path, &tests, form.as_ref());
    let unit = raw.unit.as_ref().and_then(|unit| desk.line(&path.key("unit"), unit));
    let evidence = raw.evidence.as_ref().and_then(|run| desk.text(&path.key("evidence"), run));
    let remedy = raw.remedy.as_ref().and_then(|text| known.template(desk, &path.key("remedy"), text));
    let timeout = desk.duration_or(&path.key("timeout"), raw.timeout.as_ref(), READING);
    if raw.columns.is_some() && form.as_ref().is_some_and(|form| *form != Form::Lines) {
        let what = "`columns` applies to a value of lines only";
        desk.wrong_key(&path.key("columns"), what, "not here", "add `value: lines`, or delete the key");
    }
    let columns = columns(desk, &path.key("columns"), raw.columns.as_deref().unwrap_or_default());
    Some(Check {
        label,
        script: script?,
        on: on?,
        condition: Condition { form: form?, tests: tests? },
        unit,
        evidence,
        remedy,
        columns: columns?,
        timeout: timeout?,
    })
}

/// Column names; an empty one, `_` or `-` is not shown.
fn columns(desk: &Desk<'_>, path: &Path, raw: &[Scalar]) -> Option<Vec<Option<String>>> {
    let all: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(index, name)| match name {
            Scalar::Text(name) if matches!(name.as_str(), "" | "_" | "-") => Some(None),
            name => desk.line(&path.index(index), name).map(Some),
        })
        .collect();
    all.into_iter().collect()
}

/// How a value is read: as is said, else as the condition needs it.
pub(super) fn form(
    desk: &Desk<'_>,
    path: &Path,
    value: Option<&Scalar>,
    at: Option<&Scalar>,
    tests: &RawCondition,
) -> Option<Form> {
    let json = match at {
        None => None,
        Some(at_value) => {
            let text = desk.text(&path.key("at"), at_value)?;
            if path_segments(&text).is_none() {
                let what = format!("`{text}` is not a path into JSON");
                desk.wrong(&path.key("at"), what, "this path", "such as .items[0].state, or . for all of it");
                return None;
            }
            Some(Form::Json { at: text })
        }
    };
    let Some(value) = value else {
        return Some(json.unwrap_or_else(|| form_for(tests)));
    };
    let said = desk.choice(&path.key("value"), value, READINGS)?;
    if json.is_some() && said != Reading::Json {
        desk.wrong_key(
            &path.key("at"),
            "`at` applies to a value of JSON only",
            "not here",
            "add `value: json`",
        );
        return None;
    }
    Some(match said {
        Reading::Number => Form::Number,
        Reading::Text => Form::Text,
        Reading::Lines => Form::Lines,
        Reading::Exit => Form::Exit,
        Reading::Json => json.unwrap_or(Form::Json { at: ".".to_owned() }),
    })
}

/// The form of a check that has no mistakes; what it is where it has some does not matter.
pub(super) fn form_of(raw: &RawCheck) -> Form {
    let text = |value: &Option<Scalar>| match value {
        Some(Scalar::Text(text)) => Some(text.clone()),
        _ => None,
    };
    if let Some(at) = text(&raw.at) {
        return Form::Json { at };
    }
    match text(&raw.value).as_deref() {
        Some("number") => Form::Number,
        Some("text") => Form::Text,
        Some("lines") => Form::Lines,
        Some("json") => Form::Json { at: ".".to_owned() },
        Some(_) => Form::Exit,
        None => form_for(&raw.condition()),
    }
}

/// The form that a condition speaks of. None speaks of the exit status.
fn form_for(tests: &RawCondition) -> Form {
    let given = tests.given();
    let any = |keys: &[&str]| keys.iter().any(|key| given.contains(key));
    if any(&["count_at_most", "count_at_least", "count_equals"]) {
        Form::Lines
    } else if any(&["at_most", "at_least"]) {
        Form::Number
    } else if given.is_empty() {
        Form::Exit
    } else {
        Form::Text
    }
}

/// The tests of a condition, each fit for the form.
pub(super) fn tests(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawCondition,
    form: Option<&Form>,
) -> Option<Vec<Test>> {
    let mut all: Vec<Option<Test>> = Vec::new();
    let value = |key: &str, raw: &Scalar| known.value_template(desk, &path.key(key), raw);
    let list = |key: &str, raw: &[Scalar]| -> Option<Vec<Template>> {
        if raw.is_empty() {
            desk.wrong(&path.key(key), format!("`{key}` has no values"), "nothing in it", "");
        }
        let at = path.key(key);
        let all: Vec<_> = raw
            .iter()
            .enumerate()
            .map(|(index, raw)| known.value_template(desk, &at.index(index), raw))
            .collect();
        all.into_iter().collect()
    };
    all.extend(raw.equals.as_ref().map(|raw| value("equals", raw).map(Test::Equals)));
    all.extend(raw.not_equals.as_ref().map(|raw| value("not_equals", raw).map(Test::NotEquals)));
    all.extend(raw.at_least.as_ref().map(|raw| limit(desk, known, path, "at_least", raw).map(Test::AtLeast)));
    all.extend(raw.at_most.as_ref().map(|raw| limit(desk, known, path, "at_most", raw).map(Test::AtMost)));
    all.extend(raw.matches.as_ref().map(|raw| pattern(desk, known, path, "matches", raw).map(Test::Matches)));
    all.extend(
        raw.not_matches
            .as_ref()
            .map(|raw| pattern(desk, known, path, "not_matches", raw).map(Test::NotMatches)),
    );
    all.extend(raw.one_of.as_ref().map(|raw| list("one_of", raw).map(Test::OneOf)));
    all.extend(raw.none_of.as_ref().map(|raw| list("none_of", raw).map(Test::NoneOf)));
    all.extend(raw.empty.map(|raw| Some(Test::Empty(raw))));
    all.extend(raw.count_at_most.map(|raw| Some(Test::CountAtMost(raw))));
    all.extend(raw.count_at_least.map(|raw| Some(Test::CountAtLeast(raw))));
    all.extend(raw.count_equals.map(|raw| Some(Test::CountEquals(raw))));
    for key in raw.given() {
        if let Some((word, fit)) = form.and_then(|form| unfit(form, key)) {
            let what = format!("`{key}` never holds of a value that is read as {word}");
            desk.wrong_key(&path.key(key), what, "not here", format!("it applies to a value of {fit}"));
            return None;
        }
    }
    all.into_iter().collect()
}

/// The form in words, and those that would fit, where a test makes no sense for it.
fn unfit(form: &Form, key: &str) -> Option<(&'static str, String)> {
    let (_, fits) = FITTING.iter().find(|(keys, _)| keys.contains(&key))?;
    let word = match form {
        Form::Number => "number",
        Form::Text => "text",
        Form::Lines => "lines",
        Form::Exit => "exit",
        Form::Json { .. } => "json",
    };
    (!fits.contains(&word)).then(|| (word, listed(fits.iter().copied())))
}

/// A number, or a template that becomes one.
fn limit(desk: &Desk<'_>, known: &Known<'_>, path: &Path, key: &str, raw: &Scalar) -> Option<Template> {
    let at = path.key(key);
    let text = match raw {
        Scalar::Int(number) => return Some(Template::new(number.to_string())),
        Scalar::Float(number) if number.is_finite() => return Some(Template::new(number.to_string())),
        Scalar::Text(_) => known.template(desk, &at, raw)?,
        Scalar::Float(_) | Scalar::Bool(_) => Template::new(""),
    };
    let is_number = || text.as_str().trim().parse::<f64>().is_ok_and(f64::is_finite);
    if !text.is_literal() || is_number() {
        return Some(text);
    }
    desk.wrong(&at, format!("`{key}` must be a number"), "this value", "a number, or ${name} of a variable");
    None
}

/// A regular expression that compiles.
fn pattern(desk: &Desk<'_>, known: &Known<'_>, path: &Path, key: &str, raw: &Scalar) -> Option<Template> {
    let at = path.key(key);
    let template = known.template(desk, &at, raw)?;
    if template.is_literal()
        && let Err(error) = regex::RegexBuilder::new(template.as_str()).size_limit(1 << 20).build()
    {
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let what = format!("`{}` is not a regular expression", template.as_str());
        desk.wrong(&at, what, why, "a plain word needs no signs; put \\ before a sign that is meant as such");
        return None;
    }
    Some(template)
}

/// Where a step or check is: `operator`, `NODE`, `pinned.ROLE`, `live.ROLE`; checks also `group NAME`.
pub(super) fn target(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &Scalar,
    groups: bool,
) -> Option<Target> {
    let text = desk.text(path, raw)?;
    let text = text.trim();
    if text == "operator" {
        return Some(Target::Operator);
    }
    if let Some(role) = text.strip_prefix("pinned.") {
        return known.role(desk, path, role).map(Target::Pinned);
    }
    if let Some(role) = text.strip_prefix("live.") {
        return known.role(desk, path, role).map(Target::Live);
    }
    if let Some(group) = text.strip_prefix("group ").map(str::trim) {
        if !groups {
            desk.wrong(
                path,
                "a step runs on one machine",
                "this is a group",
                "name a node, operator, or live.ROLE",
            );
            return None;
        }
        if !known.is_group(group) {
            desk.unknown(path, "group", group, known.places());
            return None;
        }
        return GroupName::parse(group).ok().map(Target::Group);
    }
    let node = text.strip_prefix("node ").map_or(text, str::trim);
    if known.is_role(node) {
        let help = format!(
            "pinned.{node} is the node that had the role when the run started, live.{node} has it now"
        );
        desk.wrong(path, format!("`{node}` is a role"), "which node of it?", help);
        return None;
    }
    if !known.is_node(node) {
        if known.is_group(node) && groups {
            desk.wrong(path, format!("`{node}` is a group"), format!("write `group {node}`"), "");
        } else {
            let words = ["operator"].into_iter().chain(known.places());
            desk.unknown(path, "node", node, words);
        }
        return None;
    }
    desk.name(path, &Scalar::Text(node.to_owned()), NodeName::parse).map(Target::Node)
}
