//! Steps that decide who may log in: what they need, so that nobody locks himself out with them.

use super::super::path::Path;
use super::super::raw::Given as _;
use super::super::raw::step::RawStep;
use super::super::raw::words::RESTRICTS;
use super::check::reference;
use super::desk::Desk;
use super::known::Known;
use crate::model::procedure::{Restriction, Undo};

/// What keeps a step from shutting out whoever does it.
pub(super) fn restriction(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawStep,
    undo: Option<&Undo>,
) -> Option<Restriction> {
    let at = |key: &str| path.key(key);
    let given = raw.given();
    let Some(word) = &raw.restricts else {
        for key in ["way_in", "revert_after"].into_iter().filter(|key| given.contains(key)) {
            let what = format!("`{key}` is for a step that restricts SSH");
            desk.wrong_key(&at(key), what, "needs `restricts: ssh` beside it", "restricts: ssh");
        }
        return None;
    };
    desk.choice(&at("restricts"), word, RESTRICTS)?;
    if raw.undo.is_none() {
        let what =
            "a restriction of SSH needs to say how it is undone: it is, at once, when nobody can log in";
        desk.wrong_key(
            &at("restricts"),
            what,
            "needs `undo:` beside it",
            "undo: the command that takes it back",
        );
    }
    if let Some(Undo::Manual(_)) = undo {
        let what = "a restriction of SSH is undone by a script: who is shut out cannot do it by hand";
        desk.wrong_key(
            &at("undo").key("manual"),
            what,
            "a human's task",
            "undo: the command that takes it back",
        );
    }
    if raw.interactive == Some(true) {
        let what = "`interactive: true` and `restricts` exclude each other";
        let help = "a login that has the terminal ends with its connection, and so would the step";
        desk.wrong_key(&at("interactive"), what, "not here", help);
    }
    if raw.reboots == Some(true) && raw.revert_after.is_some() {
        let what = "`reboots: true` and `revert_after` exclude each other";
        let help = "what a node undoes by itself is forgotten when it restarts";
        desk.wrong_key(&at("reboots"), what, "not here", help);
    }
    let way_in = raw.way_in.as_ref().and_then(|raw| reference(desk, known, &at("way_in"), raw, None));
    let revert_after = raw.revert_after.as_ref().and_then(|value| desk.duration(&at("revert_after"), value));
    Some(Restriction { way_in, revert_after })
}
