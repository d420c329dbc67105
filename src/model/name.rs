//! Names that reach file names, environment variables and screens, checked once where they enter.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a word cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing stands there.
    #[error("a {kind} name is needed here")]
    Empty {
        /// What was to be named.
        kind: &'static str,
    },
    /// Longer than 64 bytes: it would not fit in file names together with a step's.
    #[error("a {kind} name has at most 64 characters")]
    TooLong {
        /// What was to be named.
        kind: &'static str,
    },
    /// Starts with or contains a character outside the set.
    #[error("`{text}` cannot be a {kind} name: {rule}")]
    Characters {
        /// What was to be named.
        kind: &'static str,
        /// The word as written, escaped.
        text: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A word that rollgate itself uses.
    #[error("`{text}` is rollgate's own word and cannot be a {kind} name")]
    Reserved {
        /// What was to be named.
        kind: &'static str,
        /// The word.
        text: String,
    },
}

const PLAIN: &str = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
const SPOKEN: &str = "letters, digits, spaces and `.,:_()/+-`, beginning with a letter or digit";
const SHELL: &str = "a shell identifier: letters, digits and `_`, not beginning with a digit";

fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn spoken(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || " .,:_()/+-".contains(c))
}

fn identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn checked(
    kind: &'static str,
    text: &str,
    fits: fn(&str) -> bool,
    rule: &'static str,
    reserved: &[&str],
) -> Result<(), BadName> {
    if text.is_empty() {
        return Err(BadName::Empty { kind });
    }
    if text.len() > 64 {
        return Err(BadName::TooLong { kind });
    }
    if !fits(text) {
        return Err(BadName::Characters { kind, text: text.escape_default().to_string(), rule });
    }
    if reserved.contains(&text) {
        return Err(BadName::Reserved { kind, text: text.to_owned() });
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $type:ident = $kind:literal, $fits:ident, $rule:ident, $reserved:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Words that cannot be such a name: they mean something else where it can stand.
            pub const RESERVED: &[&str] = $reserved;

            /// Checks a word and makes it a name.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                checked($kind, text, $fits, $rule, Self::RESERVED)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    )*};
}

names! {
    /// A node of the cluster: the inventory's own word for it, also in file names and `ROLLGATE_NODE`.
    NodeName = "node", plain, PLAIN, &["all", "local", "self"];
    /// A group of nodes.
    GroupName = "group", plain, PLAIN, &["all", "operator", "self", "pinned", "live", "node", "group"];
    /// The cluster: names the lock, the state directory, and what `--confirm` wants.
    ClusterName = "cluster", plain, PLAIN, &[];
    /// A named check.
    CheckName = "check", plain, PLAIN, &[];
    /// A role; `ROLLGATE_PINNED_<ROLE>` is made of it.
    RoleName = "role", identifier, SHELL, &[];
    /// A phase, as shown.
    PhaseName = "phase", spoken, SPOKEN, &[];
    /// A gate or any other step, as shown and as `--override GATE=REASON` names it.
    StepName = "step", spoken, SPOKEN, &[];
    /// A variable, secret or capture: an environment variable of the scripts.
    VarName = "variable", identifier, SHELL, &[];
}

/// The lane of steps that belong to no node: those of a single phase, and the questions before a phase.
pub const OPERATOR: &str = "operator";

impl NodeName {
    /// The pseudo node under which steps of the operator's own machine are kept.
    pub fn operator() -> Self {
        Self(OPERATOR.to_owned())
    }

    /// Whether this is the operator's own machine.
    pub fn is_operator(&self) -> bool {
        self.0 == OPERATOR
    }
}

/// What shells and the loader set or read themselves.
pub const SHELL_TAKEN: &[&str] = &[
    "PATH",
    "HOME",
    "IFS",
    "ENV",
    "BASH_ENV",
    "SHELL",
    "SHELLOPTS",
    "BASHOPTS",
    "PWD",
    "OLDPWD",
    "PS4",
    "CDPATH",
    "USER",
    "LOGNAME",
    "UID",
    "EUID",
    "PPID",
    "TERM",
    "LANG",
    "TMPDIR",
];

/// Variables that scripts and the loader need as they are: a file may not redefine them
/// (`product.md` §2).
pub fn shadows_the_shell(name: &str) -> bool {
    SHELL_TAKEN.contains(&name)
        || name.starts_with("LD_")
        || name.starts_with("ROLLGATE_")
        || name.starts_with("rg_")
}

/// Variables that rollgate sets for every script. Where there are artifacts, and on the operator's machine, there
/// is one more each, and two for each role.
pub const BUILT_IN: &[&str] = &[
    "ROLLGATE_ALONE",
    "ROLLGATE_CLUSTER",
    "ROLLGATE_FROM",
    "ROLLGATE_HOST",
    "ROLLGATE_NODE",
    "ROLLGATE_ON",
    "ROLLGATE_OPERATOR_ADDRESS",
    "ROLLGATE_OPERATOR_JUMP",
    "ROLLGATE_TO",
];
