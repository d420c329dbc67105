//! The one `ssh` process that holds a node's connection, and its socket.
//!
//! It is a child of this process, and ends with it. One that stays open (`ssh.persist`) is so until its login is done;
//! then ssh forks to the background: what was started here ends well, and the other process has a session and a group
//! of its own, no standard error, and a number that only it tells. From then on there is a [grip](super::grip) on it,
//! the warden is told to forget it, and letting it go leaves it open for whoever comes next.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::Instant;

use super::answers::Reach;
use super::askpass::Askpass;
use super::child;
use super::grip::Grip;
use super::warden::Warden;
use crate::model::host::SshTarget;

/// How many seconds ssh gives a connection that may ask somebody; no server waits longer for a login.
const WHILE_ASKED: u64 = 600;

/// A master connection. Dropped, it is ended, unless it is to stay open.
pub(super) struct Master {
    process: Process,
    warden: Arc<Warden>,
    socket: PathBuf,
    said: Arc<Mutex<Vec<u8>>>,
}

enum Process {
    /// A child of this process.
    Own {
        child: Mutex<Child>,
        /// Its process group, until it is known to have ended.
        group: Mutex<Option<Pid>>,
    },
    /// One that stays open, in the background.
    Background(Grip),
}

/// Where the socket of a connection lies that stays open, and for how long after its last use.
pub(super) struct Staying {
    pub(super) socket: PathBuf,
    pub(super) time: Duration,
}

/// Why there is no master connection.
#[derive(Debug)]
pub(super) enum NoMaster {
    /// ssh could not be run.
    NoSsh(io::Error),
    /// ssh ended, having said this.
    Ended { said: String },
    /// ssh took longer than it was given, having said this.
    Late { said: String },
    /// ssh asked for something and is not to go on without it; it was ended.
    Stopped,
}

impl Master {
    /// Starts ssh and waits for the login to succeed, until `until` at most and for as long as questions stand.
    pub(super) async fn open(
        target: &SshTarget,
        warden: Arc<Warden>,
        until: Instant,
        askpass: Option<&Askpass>,
        staying: Option<Staying>,
    ) -> Result<Self, NoMaster> {
        let (socket, time) = match staying {
            Some(staying) => (staying.socket, Some(staying.time)),
            None => (warden.socket(), None),
        };
        let mut command = child::command("ssh");
        command.args(arguments(target, &socket, time, askpass.map(|askpass| askpass.reach)));
        // The terminal's Ctrl-C is rollgate's to act upon; a jump host's ssh must not ask there either.
        command.process_group(0).envs(environment(askpass));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(NoMaster::NoSsh)?;
        if let Some(askpass) = askpass {
            askpass.belongs_to(child.id());
        }
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(group) = group {
            warden.watch(group.as_raw_nonzero().get());
        }
        let said = Arc::new(Mutex::new(Vec::new()));
        let listening = child.stderr.take().map(|stderr| tokio::spawn(listen(stderr, Arc::clone(&said))));
        let process = Process::Own { child: Mutex::new(child), group: Mutex::new(group) };
        let mut master = Self { process, warden, socket, said };
        loop {
            let has_ended = master.ended();
            let is_open = master.socket.exists();
            // One that stays open goes to the background when the login is done, and what was started here ends.
            if is_open && time.is_some() && has_ended {
                if let Ok(grip) = Grip::take(&master.socket).await {
                    master.process = Process::Background(grip);
                    return Ok(master);
                }
            } else if is_open && time.is_none() {
                return Ok(master);
            }
            if has_ended {
                if let Some(listening) = listening {
                    // A process that ssh left behind may hold stderr open.
                    let _ = tokio::time::timeout(Duration::from_millis(500), listening).await;
                }
                return Err(NoMaster::Ended { said: master.said() });
            }
            if askpass.is_some_and(Askpass::has_stopped) {
                return Err(NoMaster::Stopped);
            }
            if Instant::now() >= until + askpass.map(Askpass::waited).unwrap_or_default() {
                return Err(NoMaster::Late { said: master.said() });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A connection that an earlier command has left open, if it is there.
    pub(super) async fn take_up(socket: PathBuf, warden: Arc<Warden>) -> Option<Self> {
        match Grip::take(&socket).await {
            Ok(grip) => {
                Some(Self { process: Process::Background(grip), warden, socket, said: Arc::default() })
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    // Its ssh was killed, and could not remove it.
                    let _ = std::fs::remove_file(socket);
                }
                None
            }
        }
    }

    /// The control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Who watches over it.
    pub(super) fn warden(&self) -> &Warden {
        &self.warden
    }

    /// What ssh said on its standard error so far.
    pub(super) fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// Whether ssh has ended.
    pub(super) fn ended(&self) -> bool {
        match &self.process {
            Process::Own { child, group } => {
                let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = !matches!(child.try_wait(), Ok(None));
                if ended {
                    self.forget(group);
                }
                ended
            }
            Process::Background(grip) => grip.has_ended(),
        }
    }

    /// Ends ssh and the jump host's, frozen or not.
    pub(super) fn kill(&self) {
        match &self.process {
            Process::Own { child, group } => {
                // As long as the child is held it was not waited for, and its number is no other's.
                let _child = child.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(group) = *group.lock().unwrap_or_else(PoisonError::into_inner) {
                    // It may have ended in this moment.
                    let _ = kill_process_group(group, Signal::KILL);
                }
            }
            Process::Background(grip) => {
                // Nobody else is to take it up.
                let _ = std::fs::remove_file(&self.socket);
                grip.end();
            }
        }
    }

    /// Whether it stays open without this process.
    pub(super) fn stays(&self) -> bool {
        matches!(self.process, Process::Background(_))
    }

    /// Tells the warden of a group that has ended, once.
    fn forget(&self, group: &Mutex<Option<Pid>>) {
        if let Some(group) = group.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.warden.forget(group.as_raw_nonzero().get());
        }
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Process::Own { group, .. } = &self.process {
            self.kill();
            self.forget(group);
            // A killed ssh leaves its socket behind.
            let _ = std::fs::remove_file(&self.socket);
        }
    }
}

/// Keeps what ssh says on its standard error.
async fn listen(mut stderr: ChildStderr, said: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0_u8; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        // A hostile server may talk without end; read on, keep no more.
        let room = (1_usize << 16).saturating_sub(said.len());
        said.extend_from_slice(&chunk[..read.min(room)]);
    }
}

/// `ssh`'s arguments. Nothing here is a secret, and nothing of it reaches a shell.
fn arguments(
    target: &SshTarget,
    socket: &Path,
    stays: Option<Duration>,
    reach: Option<Reach>,
) -> Vec<OsString> {
    let mut list: Vec<OsString> = ["-M", "-N", "-T", "-S"].map(OsString::from).into();
    list.push(escaped(socket));
    // ssh takes whole seconds, and 0 for ever.
    let seconds = stays.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let persist = seconds.map_or_else(|| "no".to_owned(), |seconds| seconds.max(1).to_string());
    list.extend(["-o".into(), format!("ControlPersist={persist}").into()]);
    list.extend(login(target, reach));
    list
}

/// What ssh finds in its environment for its questions. Without an askpass every one of them is answered with no.
pub(super) fn environment(askpass: Option<&Askpass>) -> Vec<(&'static str, PathBuf)> {
    match askpass {
        Some(askpass) => askpass.environment().into(),
        None => vec![("SSH_ASKPASS", "/bin/false".into()), ("SSH_ASKPASS_REQUIRE", "force".into())],
    }
}

/// The arguments of every login: where, as whom, by which rules, and what it may ask, where it may.
pub(super) fn login(target: &SshTarget, asks: Option<Reach>) -> Vec<OsString> {
    let mut list = reach(target);
    let seconds = target.connect_timeout.as_secs().max(1);
    let seconds = match asks {
        // ssh counts the time in which a jump host's question stands; ours is counted without it.
        Some(Reach::Person) => seconds.max(WHILE_ASKED),
        _ => seconds,
    };
    let prompts = match asks {
        Some(Reach::Person) => "NumberOfPasswordPrompts=3",
        // What is known already is no better the second time, and accounts are locked for it.
        _ => "NumberOfPasswordPrompts=1",
    };
    let verdict = if target.accept_new_host_keys { "accept-new" } else { "yes" };
    for option in [
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        if asks.is_some() { "BatchMode=no" } else { "BatchMode=yes" },
        prompts,
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
            password: None,
            jump: Vec::new(),
            config_file: None,
            known_hosts: None,
            accept_new_host_keys: false,
            connect_timeout: Duration::from_secs(10),
            reconnect_timeout: Duration::from_mins(10),
            persist: None,
        }
    }

    #[test]
    fn the_host_stands_behind_the_end_of_options() {
        let list = arguments(&target(), Path::new("/run/s"), None, None);
        assert_eq!(list[list.len() - 2..], ["--", "10.0.0.13"]);
    }

    #[test]
    fn host_keys_are_always_checked() {
        for (accept, option) in
            [(false, "StrictHostKeyChecking=yes"), (true, "StrictHostKeyChecking=accept-new")]
        {
            let target = SshTarget { accept_new_host_keys: accept, ..target() };
            let list = arguments(&target, Path::new("/run/s"), None, None);
            assert!(list.iter().any(|word| word == option), "{list:?}");
        }
    }

    #[test]
    fn ssh_asks_only_where_it_is_answered() {
        for (reach, options) in [
            (None, ["BatchMode=yes", "NumberOfPasswordPrompts=1", "ConnectTimeout=10"]),
            (Some(Reach::Known), ["BatchMode=no", "NumberOfPasswordPrompts=1", "ConnectTimeout=10"]),
            (Some(Reach::Person), ["BatchMode=no", "NumberOfPasswordPrompts=3", "ConnectTimeout=600"]),
        ] {
            let list = arguments(&target(), Path::new("/run/s"), None, reach);
            for option in options {
                assert!(list.iter().any(|word| word == option), "{option} is not in {list:?}");
            }
        }
    }

    #[test]
    fn a_connection_stays_open_for_whole_seconds_and_never_for_ever() {
        for (stays, option) in [
            (None, "ControlPersist=no"),
            (Some(Duration::from_mins(10)), "ControlPersist=600"),
            (Some(Duration::from_millis(1500)), "ControlPersist=2"),
            (Some(Duration::ZERO), "ControlPersist=1"),
        ] {
            let list = arguments(&target(), Path::new("/run/s"), stays, None);
            assert!(list.iter().any(|word| word == option), "{option} is not in {list:?}");
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
        let list = arguments(&target, Path::new("/run/s"), None, None);
        for word in [
            "/keys/100%%/id",
            "IdentitiesOnly=yes",
            "UserKnownHostsFile=\"/with space/known\"",
            "one,ops@two:22",
        ] {
            assert!(list.iter().any(|given| given == word), "{word} is not in {list:?}");
        }
    }
}
