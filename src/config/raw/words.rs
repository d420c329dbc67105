//! The words that a file may choose from, with what they mean.

use crate::model::host::{Become, Shell};
use crate::model::procedure::Scope;

/// How commands gain rights.
pub(crate) const BECOME: &[(&str, Become)] =
    &[("none", Become::None), ("sudo", Become::Sudo), ("doas", Become::Doas)];

/// Which shell reads a script.
pub(crate) const SHELLS: &[(&str, Shell)] = &[("sh", Shell::Sh), ("bash", Shell::Bash)];

/// Whether a host key that is not known is accepted.
pub(crate) const HOST_KEYS: &[(&str, bool)] = &[("strict", false), ("accept-new", true)];

/// Whether commands run on this machine instead of over ssh.
pub(crate) const CONNECTIONS: &[(&str, bool)] = &[("ssh", false), ("local", true)];

/// Where a temporary change ends.
pub(crate) const SCOPES: &[(&str, Scope)] =
    &[("node", Scope::Node), ("phase", Scope::Phase), ("run", Scope::Run)];

/// Whether a step may be done again unseen.
pub(crate) const RETRIES: &[(&str, bool)] = &[("safe", true)];

/// Who gets hold of an artifact.
pub(crate) const FETCHES: &[(&str, ())] = &[("node", ())];

/// What a step restricts.
pub(crate) const RESTRICTS: &[(&str, ())] = &[("ssh", ())];

/// How the value of a check is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// One number.
    Number,
    /// All of the output.
    Text,
    /// The lines that are not empty.
    Lines,
    /// The exit status.
    Exit,
    /// A JSON document.
    Json,
}

/// The words for how a value is read.
pub(crate) const READINGS: &[(&str, Reading)] = &[
    ("number", Reading::Number),
    ("text", Reading::Text),
    ("lines", Reading::Lines),
    ("exit", Reading::Exit),
    ("json", Reading::Json),
];

/// Conditions that make sense for some readings alone, with the words for those.
pub(crate) const FITTING: &[(&[&str], &[&str])] = &[
    (&["at_least", "at_most"], &["number", "text", "exit", "json"]),
    (&["count_at_most", "count_at_least", "count_equals", "empty"], &["lines", "text", "json"]),
    (&["matches", "not_matches"], &["text", "lines", "json"]),
];
