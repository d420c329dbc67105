//! Secrets: fetched once, before anything is touched; passed on, masked, never stored.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::model::inventory::SecretSource;
use crate::model::name::{NodeName, VarName};
use crate::transport::Secret;

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
    /// The command did not deliver.
    #[error("secret `{name}`: `{command}` {why}")]
    Command {
        /// The secret.
        name: VarName,
        /// The command.
        command: String,
        /// What went wrong.
        why: String,
    },
    /// It must be typed, and there is nobody.
    #[error("secret `{name}` is asked at the terminal, and there is none")]
    NoTerminal {
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

/// The secrets of a run.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    values: BTreeMap<String, Secret>,
    /// Captured by steps: every lane has its own.
    captured: BTreeMap<NodeName, BTreeMap<String, Secret>>,
}

impl Secrets {
    /// Fetches every secret. `prompt` asks at the terminal, and answers `None` where there is none.
    pub fn fetch(
        sources: &BTreeMap<VarName, SecretSource>,
        env: impl Fn(&str) -> Option<String>,
        prompt: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SecretError> {
        let mut values = BTreeMap::new();
        for (name, source) in sources {
            let value = match source {
                SecretSource::Env(variable) => env(variable)
                    .ok_or_else(|| SecretError::NotSet { name: name.clone(), variable: variable.clone() })?,
                SecretSource::File(file) => read_private(name, file)?,
                SecretSource::Command(command) => run(name, command)?,
                SecretSource::Prompt(text) => {
                    prompt(text).ok_or_else(|| SecretError::NoTerminal { name: name.clone() })?
                }
            };
            if value.is_empty() || value.contains('\0') {
                return Err(SecretError::Unusable { name: name.clone() });
            }
            values.insert(name.to_string(), Secret::new(value));
        }
        Ok(Self { values, captured: BTreeMap::new() })
    }

    /// Fetches those that can be had without asking anybody, and names the others: what masks a report must not
    /// stop one.
    pub fn fetch_some(
        sources: &BTreeMap<VarName, SecretSource>,
        env: impl Fn(&str) -> Option<String>,
    ) -> (Self, Vec<VarName>) {
        let mut known = Self::default();
        let mut unknown = Vec::new();
        for (name, source) in sources {
            let one = BTreeMap::from([(name.clone(), source.clone())]);
            match Self::fetch(&one, &env, |_| None) {
                Ok(fetched) => known.values.extend(fetched.values),
                Err(_) => unknown.push(name.clone()),
            }
        }
        (known, unknown)
    }

    /// Those of an inventory that another process has fetched.
    pub fn of_values(values: BTreeMap<String, String>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        Self { values, captured: BTreeMap::new() }
    }

    /// Those of the inventory, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (VarName, Secret)> {
        self.values.iter().filter_map(|(name, value)| Some((VarName::parse(name).ok()?, value.clone())))
    }

    /// The values as they are, for the pipe to another process of this program and nowhere else.
    pub fn revealed(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect()
    }

    /// One of the inventory's.
    pub fn value(&self, name: &VarName) -> Option<Secret> {
        self.values.get(name.as_str()).cloned()
    }

    /// Keeps one that a lane captured, for this invocation.
    pub fn keep(&mut self, lane: &NodeName, name: &str, value: String) {
        self.captured.entry(lane.clone()).or_default().insert(name.to_owned(), Secret::new(value));
    }

    /// Whether a lane's capture is known in this invocation.
    pub fn has_captured(&self, lane: &NodeName, name: &str) -> bool {
        self.captured.get(lane).is_some_and(|captured| captured.contains_key(name))
    }

    /// The secrets that a lane's script names: no other is sent to a node. What the operator's lane
    /// captured is everybody's, and the lane's own is nearer.
    pub fn named_in(&self, script: &str, lane: &NodeName) -> BTreeMap<String, Secret> {
        let operator = NodeName::operator();
        let captured = [&operator, lane].into_iter().filter_map(|lane| self.captured.get(lane));
        std::iter::once(&self.values)
            .chain(captured)
            .flatten()
            .filter(|(name, _)| script.contains(name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Puts `***` where a secret stands. A secret of several lines is masked line by line, for output
    /// comes in lines; parts of fewer than four characters are left, for they are in everything.
    pub fn mask(&self, text: &str) -> String {
        self.parts().into_iter().fold(text.to_owned(), |text, part| text.replace(part, "***"))
    }

    /// The same for raw output.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.parts().into_iter().fold(bytes.to_vec(), |bytes, part| replace(&bytes, part.as_bytes()))
    }

    /// What is masked, the longest first: one that begins another would leave the other's end in sight.
    fn parts(&self) -> Vec<&str> {
        let captured = self.captured.values().flat_map(BTreeMap::values);
        let all = self.values.values().chain(captured);
        let lines = all.flat_map(|secret| secret.reveal().lines());
        let mut parts: Vec<&str> = lines.filter(|part| part.len() >= 4).collect();
        parts.sort_unstable_by_key(|part| (std::cmp::Reverse(part.len()), *part));
        parts.dedup();
        parts
    }
}

fn replace(bytes: &[u8], part: &[u8]) -> Vec<u8> {
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(part.len()).position(|window| window == part) {
        masked.extend_from_slice(&rest[..at]);
        masked.extend_from_slice(b"***");
        rest = &rest[at + part.len()..];
    }
    masked.extend_from_slice(rest);
    masked
}

fn read_private(name: &VarName, file: &Path) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { name: name.clone(), file: file.to_owned(), source };
    let mode = std::fs::metadata(file).map_err(unreadable)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen { name: name.clone(), file: file.to_owned(), mode });
    }
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    Ok(without_newline(text))
}

fn run(name: &VarName, command: &str) -> Result<String, SecretError> {
    let failed = |why: String| SecretError::Command { name: name.clone(), command: command.to_owned(), why };
    let output = std::process::Command::new("sh")
        .args(["-eu", "-c", command])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("ended with {}", output.status)));
    }
    String::from_utf8(output.stdout)
        .map(without_newline)
        .map_err(|_| failed("printed something that is not text".to_owned()))
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(value: &str) -> Secrets {
        let mut secrets = Secrets::default();
        secrets.keep(&NodeName::operator(), "password", value.to_owned());
        secrets
    }

    #[test]
    fn a_secret_is_masked_wherever_it_stands() {
        let secrets = secrets("hunter22\nsecond line");
        assert_eq!(secrets.mask("a hunter22b second line"), "a ***b ***");
        assert_eq!(secrets.mask_bytes(b"\xffhunter22\xff"), b"\xff***\xff");
    }

    #[test]
    fn of_a_secret_that_begins_with_another_no_end_is_left() {
        let mut secrets = secrets("rabbit");
        secrets.keep(&NodeName::operator(), "longer", "rabbit-7Qx!".to_owned());
        assert_eq!(secrets.mask("rabbit-7Qx! rabbit"), "*** ***");
        assert_eq!(secrets.mask_bytes(b"rabbit-7Qx! rabbit"), b"*** ***");
    }

    #[test]
    fn only_named_secrets_travel() {
        let secrets = secrets("hunter22");
        assert!(secrets.named_in("echo hello", &NodeName::operator()).is_empty());
        assert_eq!(secrets.named_in("login \"$password\"", &NodeName::operator()).len(), 1);
        assert!(!format!("{secrets:?}").contains("hunter22"));
    }

    #[test]
    fn every_lane_has_the_captures_of_its_own_and_of_the_operator() {
        let [n1, n2] = ["n1", "n2"].map(|name| NodeName::parse(name).unwrap());
        let mut secrets = secrets("everybodys");
        secrets.keep(&n1, "password", "n1s".to_owned());
        let of = |lane| secrets.named_in("$password", lane)["password"].reveal().to_owned();
        assert_eq!((of(&n1), of(&n2)), ("n1s".to_owned(), "everybodys".to_owned()));
        assert!(secrets.has_captured(&n1, "password") && !secrets.has_captured(&n2, "password"));
    }

    #[test]
    fn what_cannot_be_had_is_named_and_stops_nothing() {
        let name = |name: &str| VarName::parse(name).unwrap();
        let sources = BTreeMap::from([
            (name("asked"), SecretSource::Prompt("password".to_owned())),
            (name("here"), SecretSource::Env("HERE".to_owned())),
        ]);
        let (known, unknown) = Secrets::fetch_some(&sources, |_| Some("hunter22".to_owned()));
        assert_eq!((known.mask("is hunter22"), unknown), ("is ***".to_owned(), vec![name("asked")]));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter22\n").unwrap();
        let name = VarName::parse("password").unwrap();
        let sources = BTreeMap::from([(name, SecretSource::File(file.path().to_owned()))]);
        let fetch = || Secrets::fetch(&sources, |_| None, |_| None);
        assert_eq!(fetch().unwrap().mask("is hunter22"), "is ***");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(file.path(), open).unwrap();
        assert!(matches!(fetch(), Err(SecretError::TooOpen { mode: 0o644, .. })));
    }
}
