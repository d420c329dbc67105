//! How commands gain rights on nodes, and the secret that is the password for it.

use super::super::path::Path;
use super::super::raw::inventory::{RawBecome, RawSecret};
use super::super::raw::words::BECOME;
use super::super::raw::{Entries, Or};
use super::desk::Desk;
use crate::model::host::Become;
use crate::model::name::VarName;

/// What `become` of an inventory or a node says.
#[derive(Debug, Clone, Default)]
pub(super) struct Rights {
    pub(super) with: Become,
    /// The secret that is the password.
    pub(super) password: Option<VarName>,
}

/// The word alone, or a mapping with the password.
pub(super) fn rights(
    desk: &Desk<'_>,
    path: &Path,
    raw: &Or<RawBecome>,
    secrets: Option<&Entries<RawSecret>>,
) -> Option<Rights> {
    let raw = match raw {
        Or::Short(word) => return Some(Rights { with: desk.choice(path, word, BECOME)?, password: None }),
        Or::Full(raw) => raw,
    };
    let help = "by what: sudo, or none where only steps that say so gain rights";
    let with = desk.needed(path, "with", raw.with.as_ref(), help);
    let help = "the secret that is the password, by its name; without one: become: sudo";
    let password = desk.needed(path, "password", raw.password.as_ref(), help);
    let with = desk.choice(&path.key("with"), with?, BECOME)?;
    let at = path.key("password");
    let name = desk.text(&at, password?)?;
    if with == Become::Doas {
        let help = "let it in without one: `permit nopass LOGIN` in doas.conf and become: doas (`persist` does not help, \
                    for it needs a terminal as well); or use sudo";
        desk.wrong_key(&at, "doas reads a password from a terminal alone", "never read", help);
        return None;
    }
    let known = secrets.into_iter().flat_map(|secrets| &secrets.0).map(|(name, _)| name.as_str());
    let known: Vec<&str> = known.collect();
    if !known.contains(&name.as_str()) {
        desk.unknown(&at, "secret", &name, known);
        return None;
    }
    Some(Rights { with, password: VarName::parse(&name).ok() })
}
