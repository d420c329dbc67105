//! Where one secret comes from: a variable, a private file, a command, somebody at the terminal. None of them can hold
//! a run up for ever, and none says the secret when it fails.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Ask, SecretError};
use crate::model::inventory::SecretSource;
use crate::model::name::VarName;
use crate::transport::{Secret, child};

/// A secret may be a key with its chain of certificates, and no document.
const LONGEST: usize = 1 << 16;

/// How long a command may take: somebody may have to touch a token or to type a passphrase into a window.
const PATIENCE: Duration = Duration::from_mins(1);

/// Fetches one.
pub(super) fn one(name: &VarName, source: &SecretSource, ask: &Ask<'_>) -> Result<Secret, SecretError> {
    let mut value = match source {
        SecretSource::Env(variable) => Zeroizing::new(
            (ask.env)(variable)
                .ok_or_else(|| SecretError::NotSet { name: name.clone(), variable: variable.clone() })?,
        ),
        SecretSource::File(file) => private(name, file)?,
        SecretSource::Command(command) => printed(name, command)?,
        SecretSource::Prompt(text) => {
            let prompt = ask.prompt.ok_or_else(|| SecretError::NoTerminal { name: name.clone() })?;
            prompt(text).ok_or_else(|| SecretError::NotTyped { name: name.clone() })?
        }
    };
    if matches!(source, SecretSource::File(_) | SecretSource::Command(_)) && value.ends_with('\n') {
        value.pop();
    }
    if value.is_empty() || value.contains('\0') {
        return Err(SecretError::Unusable { name: name.clone() });
    }
    Ok(Secret::new(value))
}

/// The whole text of something that is not too long; what was read of it is overwritten where it is no text.
fn text_of(from: impl Read) -> io::Result<Zeroizing<String>> {
    // One that had to grow would leave what it has where it was before.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 64));
    from.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 64 KiB"));
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        io::Error::new(io::ErrorKind::InvalidData, "it is not text")
    })
}

/// A file that nobody else can read. What was looked at is what is read, whatever is put in its place meanwhile.
fn private(name: &VarName, path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let unreadable = |source| SecretError::Unreadable { name: name.clone(), file: path.to_owned(), source };
    // A pipe would wait for somebody to write into it.
    let no_wait = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(no_wait).open(path);
    let file = opened.map_err(unreadable)?;
    let facts = file.metadata().map_err(unreadable)?;
    let refused =
        |why: &str| SecretError::Refused { name: name.clone(), file: path.to_owned(), why: why.to_owned() };
    if !facts.is_file() {
        return Err(refused("is no file"));
    }
    let own = rustix::process::geteuid().as_raw();
    if facts.uid() != own && facts.uid() != 0 {
        return Err(refused(&format!("belongs to another user (uid {})", facts.uid())));
    }
    let mode = facts.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen { name: name.clone(), file: path.to_owned(), mode });
    }
    text_of(file).map_err(unreadable)
}

/// What a command prints. It has neither this terminal nor anything to read; what it says on its error output is not
/// shown, for nobody knows yet what of it is the secret.
fn printed(name: &VarName, command: &str) -> Result<Zeroizing<String>, SecretError> {
    let failed = |why: String| SecretError::Command { name: name.clone(), why };
    let mut child = child::command("sh")
        .args(["-eu", "-c", command])
        // A group that is not the terminal's cannot read from it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let until = Instant::now() + PATIENCE;
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // Nobody listens any more when it took too long.
        std::thread::spawn(move || drop(sender.send(text_of(stdout))));
    }
    let printed = receiver.recv_timeout(PATIENCE);
    let ended = if printed.is_ok() { end_of(&mut child, until) } else { None };
    if ended.is_none() {
        if let Some(group) = group {
            // It may have ended in this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }
    match (printed, ended) {
        // What is too long is cut off, and it may have died of that.
        (Ok(Err(error)), _) => Err(failed(format!("printed what cannot be used: {error}"))),
        (Ok(Ok(text)), Some(status)) if status.success() => Ok(text),
        (Ok(Ok(_)), Some(status)) => Err(failed(format!("ended with {status}"))),
        (Ok(Ok(_)), None) | (Err(_), _) => {
            Err(failed("did not end within a minute, and was ended".to_owned()))
        }
    }
}

fn end_of(child: &mut Child, until: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => return None,
        }
    }
}
