//! Real sshd processes on the loopback address, for nodes that live on this machine. The integration
//! tests use this very file.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Where the programs live that a plain user's PATH does not name.
const SYSTEM_PATHS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/ssh"];

/// How to come by a missing sshd.
pub(crate) const INSTALL_SSHD: &str = "apt-get install openssh-server";

/// The sshd of this machine, if it has one.
pub(crate) fn sshd_program() -> Option<PathBuf> {
    let system = SYSTEM_PATHS.iter().map(|dir| Path::new(dir).join("sshd"));
    which::which("sshd").ok().or_else(|| system.into_iter().find(|file| file.is_file()))
}

/// A port of 127.0.0.1 on which nobody listens, below those that the kernel hands out for outgoing
/// connections: a server that is stopped for a moment finds it free again.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)).wrapping_add(process) % u32::from(COUNT);
        let port = FIRST + u16::try_from(offset).expect("a remainder of COUNT fits where COUNT does");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// The operator's key and known hosts, thrown away with the directory they are in.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The private key.
    pub(crate) identity: PathBuf,
    /// The file to which every started sshd adds its host key.
    pub(crate) known_hosts: PathBuf,
}

impl Keys {
    /// Makes a key pair and an empty list of known hosts in a new directory.
    pub(crate) fn make(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
        let keys = Self { identity: dir.join("id_ed25519"), known_hosts: dir.join("known_hosts") };
        make_key(&keys.identity)?;
        fs::write(&keys.known_hosts, "")?;
        Ok(keys)
    }
}

/// Makes an ed25519 key without a passphrase.
fn make_key(file: &Path) -> Result<()> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "rollgate-throw-away", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("cannot run ssh-keygen (apt-get install openssh-client)")?;
    ensure!(made.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// One sshd on 127.0.0.1 that lets the owner of [`Keys`] in as the current user. Dropping it ends it
/// and every session that it serves.
#[derive(Debug)]
pub(crate) struct Sshd {
    dir: PathBuf,
    port: u16,
    child: Child,
    guard: Child,
}

impl Sshd {
    /// Starts an sshd whose configuration, host key and log stay in `dir`, and waits until it listens.
    pub(crate) fn start(dir: &Path, keys: &Keys) -> Result<Self> {
        let program = sshd_program()
            .with_context(|| format!("sshd is not installed on this machine; install it: {INSTALL_SSHD}"))?;
        fs::create_dir_all(dir)?;
        make_key(&dir.join("host_key"))?;
        let public = fs::read_to_string(keys.identity.with_extension("pub"))?;
        fs::write(dir.join("authorized_keys"), public)?;
        if rustix::process::geteuid().is_root() {
            // sshd refuses to start as root without the directory it drops its privileges into.
            fs::create_dir_all("/run/sshd")?;
        }
        // Another process may take the port between the look and the start.
        let mut last = String::new();
        for _ in 0..5 {
            let port = free_port()?;
            let child = launch(&program, dir, port)?;
            let guard = guard(child.id())?;
            let mut sshd = Self { dir: dir.to_owned(), port, child, guard };
            match sshd.await_listening() {
                Ok(()) => {
                    sshd.make_known(&keys.known_hosts)?;
                    return Ok(sshd);
                }
                Err(error) => last = error.to_string(),
            }
        }
        bail!("sshd does not start: {last}")
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Adds the host key to a list of known hosts.
    fn make_known(&self, known_hosts: &Path) -> Result<()> {
        let public = fs::read_to_string(self.dir.join("host_key.pub"))?;
        let mut words = public.split_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let known = fs::read_to_string(known_hosts)?;
        fs::write(known_hosts, format!("{known}[127.0.0.1]:{} {kind} {key}\n", self.port))?;
        Ok(())
    }

    /// Waits for the line in which sshd says that the port is its own.
    fn await_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let log = fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default();
            if log.contains("Server listening on 127.0.0.1") {
                return Ok(());
            }
            ensure!(self.child.try_wait()?.is_none(), "{log}");
            ensure!(Instant::now() < deadline, "it is silent after 10 s: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Writes the configuration and starts the program, its log beside it.
fn launch(program: &Path, dir: &Path, port: u16) -> Result<Child> {
    let at = dir.display();
    // A node has a home of its own: what the user's shell reads at its start is not for here.
    fs::create_dir_all(dir.join("home"))?;
    let config = dir.join("sshd_config");
    // The first choice of OpenSSH 9 for exchanging keys (sntrup761) costs each client 90 ms of CPU, measured.
    fs::write(
        &config,
        format!(
            "Port {port}\n\
             ListenAddress 127.0.0.1\n\
             HostKey {at}/host_key\n\
             AuthorizedKeysFile {at}/authorized_keys\n\
             PidFile {at}/sshd.pid\n\
             SetEnv HOME={at}/home\n\
             AuthenticationMethods publickey\n\
             PermitRootLogin yes\n\
             UsePAM no\n\
             StrictModes no\n\
             PrintMotd no\n\
             MaxStartups 100\n\
             KexAlgorithms curve25519-sha256\n\
             Subsystem sftp internal-sftp\n\
             LogLevel VERBOSE\n"
        ),
    )?;
    let log = fs::File::create(dir.join("sshd.log"))?;
    Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // A Ctrl-C at the operator's terminal is not meant for the nodes.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

/// Ends that process when this one is gone, even one that was killed: the end of the pipe says so.
fn guard(pid: u32) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _; kill -KILL \"$0\"", &pid.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run sh")
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // First of all, for a process id whose owner has ended may be given to another.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let sessions = descendants(self.child.id());
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in sessions {
            end(pid);
        }
    }
}

/// Kills one process.
pub(crate) fn end(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It fails only where the process has ended already.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// Every process that descends from `ancestor` now, nearest first.
pub(crate) fn descendants(ancestor: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name in parentheses may hold blanks and parentheses itself.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![ancestor];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}
