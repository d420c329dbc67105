//! The procedure: artifacts, checks, roles, guards, phases.

use std::collections::BTreeMap;

use super::super::path::Path;
use super::super::raw::procedure::{RawGuard, RawProcedure, RawRole};
use super::super::raw::{Entries, OneOrMany};
use super::artifact::artifacts;
use super::check::{self, reference, short_script};
use super::desk::Desk;
use super::known::Known;
use super::phase::phases;
use super::step::{Turn, maybe, steps};
use crate::model::inventory::Inventory;
use crate::model::name::{CheckName, RoleName};
use crate::model::procedure::{Check, Guard, Procedure, Role};
use crate::model::selector::Selector;

/// Lowers a procedure that stands at a path of its file. Without an inventory nothing is said about what
/// only that could tell. `default_name` is for one written inside an inventory.
pub(crate) fn lower(
    desk: &Desk<'_>,
    path: &Path,
    raw: &RawProcedure,
    inventory: Option<&Inventory>,
    default_name: Option<&str>,
) -> Option<Procedure> {
    let known = &Known::gather(inventory, raw);
    let name = match (&raw.procedure, default_name) {
        (Some(name), _) => desk.line(&path.key("procedure"), name),
        (None, Some(name)) => Some(name.to_owned()),
        (None, None) => {
            desk.missing(path, "procedure", "what the procedure is called in reports");
            None
        }
    };
    let required_tools = tools(desk, &path.key("requires").key("tools"), raw);
    let version = raw.version.as_ref().and_then(|raw| short_script(desk, &path.key("version"), raw));
    let to = maybe(desk, known, &path.key("to"), raw.to.as_ref());
    let artifacts =
        artifacts(desk, known, &path.key("artifacts"), raw.artifacts.as_deref().unwrap_or_default());
    let checks = checks(desk, known, &path.key("checks"), raw);
    let roles = roles(desk, known, &path.key("roles"), raw.roles.as_ref());
    let invariants = raw.invariants.as_deref().unwrap_or_default();
    let invariants: Vec<_> = invariants
        .iter()
        .enumerate()
        .map(|(index, name)| known.check(desk, &path.key("invariants").index(index), name))
        .collect();
    let guards = raw.refuse.as_deref().unwrap_or_default();
    let guards: Vec<_> = guards
        .iter()
        .enumerate()
        .map(|(index, raw)| guard(desk, known, &path.key("refuse").index(index), raw))
        .collect();
    let stage = steps(desk, known, &path.key("stage"), raw.stage.as_ref(), Turn::Node);
    let phases = match raw.phases.as_deref() {
        None | Some([]) => {
            desk.missing(path, "phases", "a list of phases, each with a name and what is done");
            None
        }
        Some(raw) => phases(desk, known, &path.key("phases"), raw),
    };
    Some(Procedure {
        name: name?,
        required_tools: required_tools?,
        version,
        to,
        artifacts: artifacts?,
        checks: checks?,
        roles: roles?,
        invariants: invariants.into_iter().collect::<Option<_>>()?,
        guards: guards.into_iter().collect::<Option<_>>()?,
        stage: stage?,
        phases: phases?,
    })
}

fn tools(desk: &Desk<'_>, path: &Path, raw: &RawProcedure) -> Option<Vec<String>> {
    let raw = raw.requires.as_ref().and_then(|requires| requires.tools.as_deref()).unwrap_or_default();
    let all: Vec<_> = raw
        .iter()
        .enumerate()
        .map(|(index, tool)| {
            let at = path.index(index);
            let tool = desk.text(&at, tool)?;
            let plain = tool.chars().all(|c| c.is_ascii_alphanumeric() || "._+-/".contains(c));
            if !plain || tool.starts_with('-') {
                desk.wrong(
                    &at,
                    format!("`{tool}` is not the name of a program"),
                    "this value",
                    "one name an entry",
                );
                return None;
            }
            Some(tool)
        })
        .collect();
    all.into_iter().collect()
}

/// Some nodes, or all when nothing is said.
pub(super) fn nodes(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&OneOrMany>,
) -> Option<Selector> {
    raw.map_or_else(|| Some(Selector::all()), |raw| known.selector(desk, path, raw))
}

fn checks(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: &RawProcedure,
) -> Option<BTreeMap<CheckName, Check>> {
    let entries = raw.checks.as_ref().map(|checks| checks.0.as_slice()).unwrap_or_default();
    let all: Vec<_> = entries
        .iter()
        .map(|(name, raw)| {
            let at = path.key(name);
            let parsed = desk.key_name(&at, name, CheckName::parse);
            let check = check::named(desk, known, &at, raw, name);
            Some((parsed?, check?))
        })
        .collect();
    all.into_iter().collect()
}

fn roles(
    desk: &Desk<'_>,
    known: &Known<'_>,
    path: &Path,
    raw: Option<&Entries<RawRole>>,
) -> Option<BTreeMap<RoleName, Role>> {
    let entries = raw.map(|roles| roles.0.as_slice()).unwrap_or_default();
    let mut upper = Vec::new();
    let all: Vec<_> = entries
        .iter()
        .map(|(name, raw)| {
            let at = path.key(name);
            if upper.contains(&name.to_uppercase()) {
                let what = format!("`{name}` differs from another role in letter case alone");
                desk.wrong_key(&at, what, "this name", "both would be the same ROLLGATE_PINNED_ variable");
            }
            upper.push(name.to_uppercase());
            let parsed = desk.key_name(&at, name, RoleName::parse);
            let check = check::lower(desk, known, &at, &raw.check(), name.clone());
            let of = nodes(desk, known, &at.key("of"), raw.of.as_ref());
            if raw.exactly == Some(0) {
                let what = "a role that no node may have is no role";
                desk.wrong(
                    &at.key("exactly"),
                    what,
                    "this value",
                    "1 for a leader; leave it out where the number varies",
                );
            }
            Some((parsed?, Role { check: check?, of: of?, exactly: raw.exactly }))
        })
        .collect();
    all.into_iter().collect()
}

fn guard(desk: &Desk<'_>, known: &Known<'_>, path: &Path, raw: &RawGuard) -> Option<Guard> {
    let check = desk.needed(path, "check", raw.check.as_ref(), "the check that must not hold");
    let check = check.and_then(|check| reference(desk, known, &path.key("check"), check, None));
    let because = desk.needed(path, "because", raw.because.as_ref(), "why there is no run when it holds");
    let because = because.and_then(|because| known.template(desk, &path.key("because"), because));
    Some(Guard { check: check?, because: because? })
}
