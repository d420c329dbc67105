//! Values that steps and checks leave for later steps.

use super::super::path::Path;
use super::super::raw::kind::Kind;
use super::super::raw::step::RawCapture;
use super::super::raw::{Given as _, Or, RawCondition};
use super::check::form;
use super::desk::Desk;
use super::known::Known;
use crate::model::condition::Form;
use crate::model::procedure::Capture;

/// A value of a step that later steps read.
pub(super) fn capture(
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
    let name = desk.needed(path, "name", raw.name.as_ref(), "the variable that later steps read")?;
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
    if secret && kind != Kind::Check {
        let what = "only a check's value can be kept secret: after a resume it is read again";
        desk.wrong_key(&path.key("secret"), what, "not in this step", "read it in a `check` step");
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
    form(desk, path, raw.value.as_ref(), raw.at.as_ref(), &RawCondition::default())
}
