//! What a login had to offer: looked up after it was denied, without asking the node again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::child;
use super::master::reach;
use crate::model::host::SshTarget;

/// How long ssh and ssh-add may take to say it.
const PATIENCE: Duration = Duration::from_secs(5);

/// A private key of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) file: PathBuf,
    /// Why it could not be offered as it is.
    pub(super) fault: Option<Fault>,
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// There is no such file.
    Missing,
    /// It cannot be read.
    Unreadable,
    /// Others may read it, and ssh does not use such a key.
    Open,
    /// It has a passphrase.
    Locked,
}

/// The agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agent {
    /// None is named.
    None,
    /// One is named, and nobody answers there.
    Gone(PathBuf),
    /// It answers and has so many keys.
    Holds(usize),
}

/// What there was to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) keys: Vec<Key>,
    pub(super) agent: Agent,
}

impl Offer {
    /// Reads it off ssh's own configuration, the files and the agent.
    pub(super) async fn read(target: &SshTarget) -> Self {
        let mut command = Command::from(child::command("ssh"));
        command.arg("-G").args(reach(target)).arg("--").arg(&target.host);
        let settings = output(command).await.map(|(_, text)| text).unwrap_or_default();
        let setting = |name: &str| {
            let mut lines = settings.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let named = settings.lines().filter_map(|line| line.strip_prefix("identityfile "));
        let mut keys: Vec<Key> = named.map(|file| key(&at_home(file))).collect();
        // Of the names that ssh tries by itself only those count that are there.
        if target.identity_file.is_none() {
            keys.retain(|key| key.fault != Some(Fault::Missing));
        }
        let from_environment = || std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
        let socket = match setting("identityagent").as_deref() {
            None | Some("SSH_AUTH_SOCK") => from_environment().map(PathBuf::from),
            Some("none") => None,
            Some(path) => Some(at_home(path)),
        };
        Self { keys, agent: agent(socket).await }
    }

    /// Whether there is a key that only its passphrase stands before.
    pub(super) fn is_locked(&self) -> bool {
        let is_locked = self.keys.iter().any(|key| key.fault == Some(Fault::Locked));
        is_locked && !matches!(self.agent, Agent::Holds(1..))
    }
}

async fn agent(socket: Option<PathBuf>) -> Agent {
    let Some(socket) = socket else { return Agent::None };
    let mut command = Command::from(child::command("ssh-add"));
    command.arg("-l").env("SSH_AUTH_SOCK", &socket);
    match output(command).await {
        Some((Some(0), text)) => Agent::Holds(text.lines().count()),
        Some((Some(1), _)) => Agent::Holds(0),
        _ => Agent::Gone(socket),
    }
}

/// The exit code and the output of a command that asks nothing.
async fn output(mut command: Command) -> Option<(Option<i32>, String)> {
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.env("SSH_ASKPASS_REQUIRE", "never");
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    Some((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// A path as ssh prints it.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

fn key(file: &Path) -> Key {
    use std::os::unix::fs::MetadataExt as _;
    let fault = match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Fault::Missing),
        Err(_) => Some(Fault::Unreadable),
        Ok(meta) if meta.uid() == rustix::process::getuid().as_raw() && meta.mode() & 0o077 != 0 => {
            Some(Fault::Open)
        }
        Ok(_) => match std::fs::read(file) {
            Err(_) => Some(Fault::Unreadable),
            Ok(bytes) => is_locked(&String::from_utf8_lossy(&bytes)).then_some(Fault::Locked),
        },
    };
    Key { file: file.to_owned(), fault }
}

/// Whether the text of a private key is encrypted.
fn is_locked(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN "));
    match lines.next() {
        // The magic word of the format, then the name of the cipher.
        Some("-----BEGIN OPENSSH PRIVATE KEY-----") => {
            lines.next().is_some_and(|line| !line.starts_with("b3BlbnNzaC1rZXktdjEAAAAABG5vbmU"))
        }
        Some("-----BEGIN ENCRYPTED PRIVATE KEY-----") => true,
        Some(_) => lines.take(3).any(|line| line.contains("ENCRYPTED")),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_key_with_a_passphrase_is_told_from_one_without() {
        let dir = tempfile::tempdir().unwrap();
        for (name, passphrase, format, fault) in [
            ("open", "", "RFC4716", None),
            ("locked", "hunter22", "RFC4716", Some(Fault::Locked)),
            ("pem", "", "PEM", None),
            ("locked-pem", "hunter22", "PEM", Some(Fault::Locked)),
            ("locked-pkcs8", "hunter22", "PKCS8", Some(Fault::Locked)),
        ] {
            let file = dir.path().join(name);
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ecdsa", "-m", format, "-N", passphrase, "-f"])
                .arg(&file)
                .status()
                .unwrap();
            assert!(made.success());
            assert_eq!(key(&file).fault, fault, "{name}");
        }
        assert_eq!(key(&dir.path().join("none")).fault, Some(Fault::Missing));
    }
}
