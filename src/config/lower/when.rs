//! Whether a step or phase is done at all, and what it means to go past it.

use super::super::path::Path;
use super::super::raw::step::{RawPoint, RawWhen};
use super::super::raw::{Given as _, Or};
use super::check::tests;
use super::desk::Desk;
use super::known::Known;
use crate::model::condition::{Condition, Form};
use crate::model::procedure::{PointOfNoReturn, When};

/// Whether a step or phase is done.
pub(super) fn when(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: Option<&RawWhen>) -> Option<When> {
    let raw = raw?;
    let help = "the variable that decides: { var: database, equals: oracle }";
    let var = desk.needed(path, "var", raw.var.as_ref(), help);
    let var = var.and_then(|var| known.var(desk, &path.key("var"), var));
    let condition = raw.condition();
    if condition.given().is_empty() {
        let help = "such as equals, not_equals, one_of, matches, empty";
        desk.wrong(path, format!("`{path}` says nothing about the value"), "needs a condition", help);
    }
    let tests = tests(desk, known, path, &condition, Some(&Form::Text));
    Some(When { var: var?, condition: Condition { form: Form::Text, tests: tests? } })
}

/// A mark after which there is no way back.
pub(super) fn point(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Or<RawPoint>>,
) -> Option<PointOfNoReturn> {
    let (at, text, rollback_possible) = match raw? {
        Or::Short(text) => (path.clone(), Some(text), false),
        Or::Full(raw) => (path.key("text"), raw.text.as_ref(), raw.rollback_possible.unwrap_or(false)),
    };
    let text = desk.needed(path, "text", text, "what it means to go past this point")?;
    let text = known.template(desk, &at, text)?;
    Some(PointOfNoReturn { text, rollback_possible })
}
