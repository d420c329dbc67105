//! The one `ssh` process that holds a node's connection, and its socket.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::frame::Nonce;
use crate::model::host::SshTarget;

/// A control socket's path may have about 100 bytes, of which ssh needs some for a temporary name.
const LONGEST_DIRECTORY: usize = 60;

/// A master connection. Dropped, it is ended and its directory removed.
pub(super) struct Master {
    child: Mutex<Child>,
    directory: PathBuf,
    socket: PathBuf,
    said: Arc<Mutex<Vec<u8>>>,
}

/// Why there is no master connection.
#[derive(Debug)]
pub(super) enum NoMaster {
    /// This machine failed before anything was tried.
    Here { what: &'static str, source: io::Error },
    /// ssh ended, having said this.
    Ended { said: String },
    /// ssh took longer than it was given, having said this.
    Late { said: String },
}

impl Master {
    /// Starts ssh and waits for the login to succeed, until `until` at most.
    pub(super) async fn open(target: &SshTarget, until: Instant) -> Result<Self, NoMaster> {
        let directory = private_directory()
            .map_err(|source| NoMaster::Here { what: "making a private directory for sockets", source })?;
        let socket = directory.join("s");
        let mut command = std::process::Command::new("ssh");
        command.args(arguments(target, &socket));
        // The terminal's Ctrl-C is rollgate's to act upon; a jump host's ssh must not ask there either.
        command.process_group(0).env("SSH_ASKPASS", "/bin/false").env("SSH_ASKPASS_REQUIRE", "force");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = match Command::from(command).kill_on_drop(true).spawn() {
            Ok(child) => child,
            Err(source) => {
                remove(&directory);
                return Err(NoMaster::Here { what: "running ssh", source });
            }
        };
        let said = Arc::new(Mutex::new(Vec::new()));
        let mut listening = None;
        if let Some(mut stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            listening = Some(tokio::spawn(async move {
                let mut chunk = [0_u8; 4096];
                while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    // A hostile server may talk without end; read on, keep no more.
                    let room = (1_usize << 16).saturating_sub(said.len());
                    said.extend_from_slice(&chunk[..read.min(room)]);
                }
            }));
        }
        let master = Self { child: Mutex::new(child), directory, socket, said };
        while !master.socket.exists() {
            if master.ended() {
                if let Some(listening) = listening {
                    // A process that ssh left behind may hold stderr open.
                    let _ = tokio::time::timeout(Duration::from_millis(500), listening).await;
                }
                return Err(NoMaster::Ended { said: master.said() });
            }
            if Instant::now() >= until {
                return Err(NoMaster::Late { said: master.said() });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(master)
    }

    /// The control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// What ssh said on its standard error so far.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Whether ssh has ended.
    pub(super) fn ended(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(child.try_wait(), Ok(None))
    }

    /// Ends ssh and the jump host's, frozen or not.
    pub(super) fn kill(&self) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // `id` is none once the process was reaped, so no other process can be hit.
        if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.kill();
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    // It holds one socket; if it is gone already, so much the better.
    let _ = std::fs::remove_dir_all(directory);
}

/// A new directory that only this user can enter, with a short name.
fn private_directory() -> io::Result<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| is_private(path));
    let base = own.unwrap_or_else(|| PathBuf::from("/tmp"));
    let nonce = Nonce::draw()?;
    let directory = base.join(format!("rg-{}", &nonce.hex()[..16]));
    // Not recursive: fails if anything is there already, a planted link included.
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

fn is_private(path: &Path) -> bool {
    let mine = rustix::process::geteuid().as_raw();
    path.is_absolute()
        && path.as_os_str().len() <= LONGEST_DIRECTORY - "/rg-0123456789abcdef".len()
        && std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == mine && meta.mode() & 0o777 == 0o700)
}

/// `ssh`'s arguments. Nothing here is a secret, and nothing of it reaches a shell.
fn arguments(target: &SshTarget, socket: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = ["-M", "-N", "-T", "-S"].map(OsString::from).into();
    list.push(escaped(socket));
    list.extend(reach(target));
    let seconds = target.connect_timeout.as_secs().max(1);
    let verdict = if target.accept_new_host_keys { "accept-new" } else { "yes" };
    for option in [
        "ControlPersist=no",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "BatchMode=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "ClearAllForwardings=yes",
        "RemoteCommand=none",
        "LogLevel=ERROR",
        &format!("ConnectTimeout={seconds}"),
        &format!("StrictHostKeyChecking={verdict}"),
    ] {
        list.extend(["-o".into(), option.into()]);
    }
    list.extend(["--".into(), (&target.host).into()]);
    list
}

/// The arguments that say where and as whom; also those of a command for the operator to type.
pub(super) fn reach(target: &SshTarget) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    if let Some(file) = &target.config_file {
        list.extend(["-F".into(), file.into()]);
    }
    if let Some(port) = target.port {
        list.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = &target.user {
        list.extend(["-l".into(), user.into()]);
    }
    if let Some(file) = &target.identity_file {
        list.extend(["-i".into(), escaped(file), "-o".into(), "IdentitiesOnly=yes".into()]);
    }
    if !target.jump.is_empty() {
        list.extend(["-J".into(), target.jump.join(",").into()]);
    }
    if let Some(file) = &target.known_hosts {
        let mut option = OsString::from("UserKnownHostsFile=\"");
        option.push(escaped(file));
        option.push("\"");
        list.extend(["-o".into(), option]);
    }
    list
}

/// A path as ssh takes it where it replaces `%` tokens.
fn escaped(path: &Path) -> OsString {
    use std::os::unix::ffi::OsStringExt as _;
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b'%' {
            bytes.push(*byte);
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SshTarget {
        SshTarget {
            host: "10.0.0.13".to_owned(),
            port: None,
            user: None,
            identity_file: None,
            jump: Vec::new(),
            config_file: None,
            known_hosts: None,
            accept_new_host_keys: false,
            connect_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_host_stands_behind_the_end_of_options() {
        let list = arguments(&target(), Path::new("/run/s"));
        assert_eq!(list[list.len() - 2..], ["--", "10.0.0.13"]);
    }

    #[test]
    fn host_keys_are_always_checked() {
        for (accept, option) in
            [(false, "StrictHostKeyChecking=yes"), (true, "StrictHostKeyChecking=accept-new")]
        {
            let target = SshTarget { accept_new_host_keys: accept, ..target() };
            let list = arguments(&target, Path::new("/run/s"));
            assert!(list.iter().any(|word| word == option), "{list:?}");
        }
    }

    #[test]
    fn files_and_jumps_are_passed_as_ssh_takes_them() {
        let target = SshTarget {
            identity_file: Some("/keys/100%/id".into()),
            known_hosts: Some("/with space/known".into()),
            jump: vec!["one".to_owned(), "ops@two:22".to_owned()],
            ..target()
        };
        let list = arguments(&target, Path::new("/run/s"));
        for word in [
            "/keys/100%%/id",
            "IdentitiesOnly=yes",
            "UserKnownHostsFile=\"/with space/known\"",
            "one,ops@two:22",
        ] {
            assert!(list.iter().any(|given| given == word), "{word} is not in {list:?}");
        }
    }

    #[test]
    fn the_socket_directory_is_fresh_private_and_short() {
        let (one, two) = (private_directory().unwrap(), private_directory().unwrap());
        let mode = std::fs::metadata(&one).unwrap().mode() & 0o777;
        let length = one.as_os_str().len();
        remove(&one);
        remove(&two);
        assert_ne!(one, two);
        assert_eq!(mode, 0o700);
        assert!(length <= LONGEST_DIRECTORY, "{}", one.display());
    }
}
