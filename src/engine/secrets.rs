//! Secrets: fetched once, before anything is touched; passed on, masked, never stored.

mod fetch;
mod shown;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::model::inventory::SecretSource;
use crate::model::mask::Mask;
use crate::model::name::{NodeName, VarName};
use crate::transport::{Secret, child};

pub use shown::Masked;

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("secret `{name}`: the environment variable {variable} is not set")]
    NotSet {
        /// The secret.
        name: VarName,
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("secret `{name}`: cannot read {}: {source}", file.display())]
    Unreadable {
        /// The secret.
        name: VarName,
        /// The file.
        file: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("secret `{name}`: {} can be read by others (mode {mode:03o}); it must be 0600", file.display())]
    TooOpen {
        /// The secret.
        name: VarName,
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is no file of one's own.
    #[error("secret `{name}`: {} {why}; it must be a file of yours or of root", file.display())]
    Refused {
        /// The secret.
        name: VarName,
        /// The file.
        file: PathBuf,
        /// What it is.
        why: String,
    },
    /// The command did not deliver. Its words are not said: a secret may be among them.
    #[error("secret `{name}`: its command {why}")]
    Command {
        /// The secret.
        name: VarName,
        /// What went wrong.
        why: String,
    },
    /// It must be typed, and there is nobody.
    #[error("secret `{name}` is asked at the terminal, and there is none")]
    NoTerminal {
        /// The secret.
        name: VarName,
    },
    /// Nobody typed it.
    #[error("secret `{name}` was asked at the terminal, and not typed")]
    NotTyped {
        /// The secret.
        name: VarName,
    },
    /// Empty, or with a character that no environment variable can have.
    #[error("secret `{name}` is empty or has a NUL character")]
    Unusable {
        /// The secret.
        name: VarName,
    },
}

impl SecretError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotSet { .. } => "set it, and call rollgate again from the same shell",
            Self::Unreadable { .. } | Self::Refused { .. } => "the inventory names it under `secrets:`",
            Self::TooOpen { .. } => "whoever could read it may have done so: a new secret is safer",
            Self::Command { .. } => {
                "run it by hand to see what it says; here it has no terminal, and its error output is not shown, for \
                 the secret may stand in it"
            }
            Self::NotTyped { .. } => "Enter alone, Ctrl-C and two minutes without a line leave it untyped",
            Self::NoTerminal { .. } => "take it from env, file or command instead, or start at a terminal",
            Self::Unusable { .. } => "the inventory says under `secrets:` where it comes from",
        }
    }

    /// A command to type next, where there is one.
    pub fn next(&self) -> Option<[String; 3]> {
        let Self::TooOpen { file, .. } = self else { return None };
        Some(["chmod".to_owned(), "600".to_owned(), file.display().to_string()])
    }
}

/// Asks a question whose answer is not shown.
pub type Prompt<'a> = dyn Fn(&str) -> Option<Zeroizing<String>> + 'a;

/// Where secrets come from that are in no file.
pub struct Ask<'a> {
    /// A variable of this process's environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Asks at the terminal; `None` where there is none. What it gives is `None` where nothing was typed.
    pub prompt: Option<&'a Prompt<'a>>,
}

/// The secrets of a run. All clones are one: whatever is captured is known to all of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    values: BTreeMap<String, Secret>,
    /// Captured by steps: every lane has its own.
    captured: BTreeMap<NodeName, BTreeMap<String, Secret>>,
    /// Typed for logins, and right.
    typed: Vec<Secret>,
    mask: Arc<Mask>,
}

impl Known {
    fn of(values: BTreeMap<String, Secret>) -> Self {
        let mut known = Self { values, ..Self::default() };
        known.learn();
        known
    }

    fn learn(&mut self) {
        let captured = self.captured.values().flat_map(BTreeMap::values);
        let all = self.values.values().chain(captured).chain(&self.typed);
        self.mask = Arc::new(Mask::of(all.map(Secret::reveal)));
    }
}

impl Secrets {
    /// Fetches every secret. From here on nothing that is started has the variables that some come from.
    pub fn fetch(sources: &BTreeMap<VarName, SecretSource>, ask: &Ask<'_>) -> Result<Self, SecretError> {
        hide(sources);
        let mut values = BTreeMap::new();
        for (name, source) in sources {
            values.insert(name.to_string(), fetch::one(name, source, ask)?);
        }
        Ok(Self::holding(Known::of(values)))
    }

    /// Fetches those that can be had, and names the others: what masks a report must not stop one.
    pub fn fetch_some(sources: &BTreeMap<VarName, SecretSource>, ask: &Ask<'_>) -> (Self, Vec<VarName>) {
        hide(sources);
        let (mut values, mut unknown) = (BTreeMap::new(), Vec::new());
        for (name, source) in sources {
            match fetch::one(name, source, ask) {
                Ok(value) => drop(values.insert(name.to_string(), value)),
                Err(_) => unknown.push(name.clone()),
            }
        }
        (Self::holding(Known::of(values)), unknown)
    }

    /// Those of an inventory that another process has fetched.
    pub fn of_values(values: BTreeMap<String, Secret>) -> Self {
        Self::holding(Known::of(values))
    }

    fn holding(known: Known) -> Self {
        Self(Arc::new(Mutex::new(known)))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values as they are, for the pipe to another process of this program and nowhere else.
    pub fn values(&self) -> BTreeMap<String, Secret> {
        self.known().values.clone()
    }

    /// One of the inventory's.
    pub fn value(&self, name: &VarName) -> Option<Secret> {
        self.known().values.get(name.as_str()).cloned()
    }

    /// Keeps one that a lane captured, for this invocation.
    pub fn keep(&self, lane: &NodeName, name: &str, value: Secret) {
        let mut known = self.known();
        known.captured.entry(lane.clone()).or_default().insert(name.to_owned(), value);
        known.learn();
    }

    /// Hides what somebody typed for a login that was made with it.
    pub fn hide(&self, typed: &Secret) {
        let mut known = self.known();
        if !known.typed.contains(typed) {
            known.typed.push(typed.clone());
            known.learn();
        }
    }

    /// Whether a lane's capture is known in this invocation.
    pub fn has_captured(&self, lane: &NodeName, name: &str) -> bool {
        self.known().captured.get(lane).is_some_and(|captured| captured.contains_key(name))
    }

    /// The secrets that a lane's script names: no other is sent to a node. What the operator's lane
    /// captured is everybody's, and the lane's own is nearer.
    pub fn named_in(&self, script: &str, lane: &NodeName) -> BTreeMap<String, Secret> {
        let known = self.known();
        let operator = NodeName::operator();
        let captured = [&operator, lane].into_iter().filter_map(|lane| known.captured.get(lane));
        std::iter::once(&known.values)
            .chain(captured)
            .flatten()
            .filter(|(name, _)| names(script, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// What hides them, as they are now.
    pub fn masking(&self) -> Arc<Mask> {
        Arc::clone(&self.known().mask)
    }

    /// Puts `***` where a secret stands, in whatever form.
    pub fn mask(&self, text: &str) -> String {
        self.masking().text(text)
    }

    /// The same for raw output.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.masking().bytes(bytes)
    }
}

fn hide(sources: &BTreeMap<VarName, SecretSource>) {
    child::hide(sources.values().filter_map(|source| match source {
        SecretSource::Env(variable) => Some(variable.as_str()),
        _ => None,
    }));
}

/// Whether a script has a word of its own of this name: `pw` is none of `pwd`.
pub(super) fn names(script: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    script
        .match_indices(name)
        .any(|(at, _)| !script[..at].ends_with(is_part) && !script[at + name.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests;
