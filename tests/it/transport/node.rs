//! Nodes to test with: a throw-away sshd for each, or this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rollgate::model::host::{Become, Connection, Shell, SshTarget};
use rollgate::model::name::{ClusterName, NodeName};
use rollgate::transport::{
    Connector, Dialer, Endpoint, Job, JobId, JobRef, OutputSink, Probe, Secret, Session, Stream,
    TransportError,
};
use tempfile::TempDir;

use crate::support::failing;

pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An sshd of its own, ended with the value.
pub(crate) struct Sshd {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    server: Child,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// Starts one with more lines in its configuration.
    pub(crate) fn with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        keygen(&dir.path().join("host"));
        keygen(&dir.path().join("id"));
        fs::rename(dir.path().join("id.pub"), dir.path().join("authorized")).unwrap();
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = serve(dir.path(), port, more);
            if listens(&mut server, port) {
                let sshd = Self { dir, port, server };
                sshd.trust(&sshd.path("host.pub"));
                return sshd;
            }
            server.kill().unwrap();
            server.wait().unwrap();
        }
        panic!("no sshd on a free port: {}", fs::read_to_string(dir.path().join("log")).unwrap());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    /// Makes a host key the known one.
    pub(crate) fn trust(&self, key: &Path) {
        let key = fs::read_to_string(key).unwrap();
        fs::write(self.path("known"), format!("[127.0.0.1]:{} {key}", self.port)).unwrap();
    }

    pub(crate) fn target(&self) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: Some(self.port),
            user: None,
            identity_file: Some(self.path("id")),
            password: None,
            jump: Vec::new(),
            config_file: Some("/dev/null".into()),
            known_hosts: Some(self.path("known")),
            accept_new_host_keys: false,
            connect_timeout: Duration::from_secs(15),
            reconnect_timeout: Duration::from_mins(1),
            persist: None,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: NodeName::parse("n1").unwrap(),
            connection: Connection::Ssh(self.target()),
            become_with: Become::None,
            become_password: None,
            state_dir: Some(self.path("state")),
            cwd: None,
        }
    }

    /// The process ids of the ssh masters that lead here.
    pub(crate) fn masters(&self) -> Vec<i32> {
        let port = self.port.to_string();
        let mut list = Vec::new();
        for (pid, words) in command_lines() {
            let is_ssh = words.first().is_some_and(|word| word == "ssh");
            if is_ssh && words.contains(&port) && words.iter().any(|word| word == "-M") {
                list.push(pid);
            }
        }
        list
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Makes a key pair without a passphrase.
pub(crate) fn keygen(path: &Path) {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
}

fn serve(dir: &Path, port: u16, more: &str) -> Child {
    failing::at_once();
    // A node has a home of its own: what the user's shell reads at its start is not for here.
    fs::create_dir_all(dir.join("home")).unwrap();
    let config = format!(
        "{more}
SetEnv HOME={dir}/home
Port {port}
ListenAddress 127.0.0.1
HostKey {dir}/host
AuthorizedKeysFile {dir}/authorized
KexAlgorithms curve25519-sha256
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
LogLevel VERBOSE
",
        dir = dir.display()
    );
    fs::write(dir.join("config"), config).unwrap();
    Command::new("/usr/sbin/sshd")
        .args(["-D", "-E"])
        .arg(dir.join("log"))
        .arg("-f")
        .arg(dir.join("config"))
        .stdin(Stdio::null())
        .spawn()
        .expect("sshd is installed (apt-get install openssh-server)")
}

fn listens(server: &mut Child, port: u16) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        if server.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// A node with an open session; its files are seen from here as well.
pub(crate) struct Node {
    pub(crate) how: &'static str,
    pub(crate) session: Arc<dyn Session>,
    pub(crate) endpoint: Endpoint,
    pub(crate) sshd: Option<Sshd>,
    pub(crate) dir: TempDir,
}

impl Node {
    pub(crate) async fn ssh() -> Self {
        Self::over(Sshd::start()).await
    }

    pub(crate) async fn over(sshd: Sshd) -> Self {
        let endpoint = sshd.endpoint();
        let session = connect(&endpoint).await.unwrap();
        Self { how: "ssh", session, endpoint, sshd: Some(sshd), dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) async fn local() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = Endpoint {
            name: NodeName::parse("here").unwrap(),
            connection: Connection::Local,
            become_with: Become::None,
            become_password: None,
            state_dir: Some(dir.path().join("state")),
            cwd: None,
        };
        let session = connect(&endpoint).await.unwrap();
        Self { how: "local", session, endpoint, sshd: None, dir }
    }

    pub(crate) async fn both() -> [Self; 2] {
        [Self::ssh().await, Self::local().await]
    }

    pub(crate) fn root(&self) -> &str {
        &self.session.facts().root
    }

    /// Runs a script to its end; its code, output and errors.
    pub(crate) async fn run(&self, script: &str) -> (i32, String, String) {
        let heard = Heard::default();
        let end = self.session.start(&job(script), &heard).await.unwrap();
        let rollgate::transport::JobEnd::Exited { code } = end else { panic!("{}: {end:?}", self.how) };
        (code, heard.out(), heard.err())
    }
}

pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Arc<dyn Session>, TransportError> {
    Dialer::new().connect(endpoint).await
}

/// Why a connection could not be made.
pub(crate) async fn refusal(endpoint: &Endpoint) -> TransportError {
    match connect(endpoint).await {
        Ok(_) => panic!("connected"),
        Err(error) => error,
    }
}

/// A job of its own: no two of one test run have the same identity.
pub(crate) fn job(script: &str) -> Job {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let id = format!("n1.test.{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Job {
        at: JobRef {
            cluster: ClusterName::parse("test").unwrap(),
            run: "2026-11-21.1-00c0ffee".to_owned(),
            id: JobId::parse(&id).unwrap(),
        },
        epoch: 1,
        copy: None,
        script: script.to_owned(),
        shell: Shell::Sh,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        hidden: Vec::new(),
        stdin: None,
        cwd: None,
        become_with: Become::None,
        deadline: SOON,
    }
}

pub(crate) fn secrets(name: &str, value: &str) -> BTreeMap<String, Secret> {
    BTreeMap::from([(name.to_owned(), Secret::new(value.to_owned()))])
}

pub(crate) fn probe(script: &str) -> Probe {
    Probe {
        script: script.to_owned(),
        shell: Shell::Sh,
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        become_with: Become::None,
    }
}

/// Keeps the lines of a job.
#[derive(Default)]
pub(crate) struct Heard(pub(crate) Mutex<Vec<(Stream, Vec<u8>)>>);

impl Heard {
    pub(crate) fn bytes(&self, from: Stream) -> Vec<u8> {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.0 == from).flat_map(|line| line.1.clone()).collect()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.bytes(Stream::Out)).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.bytes(Stream::Err)).into_owned()
    }

    /// Waits until a line of output has come.
    pub(crate) async fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.out().contains(text) {
            assert!(start.elapsed() < SOON, "`{text}` never came; {:?} did", self.out());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl OutputSink for Heard {
    fn line(&self, from: Stream, line: &[u8]) {
        self.0.lock().unwrap().push((from, line.to_vec()));
    }

    fn cut(&self, why: &str) {
        self.0.lock().unwrap().push((Stream::Err, format!("cut: {why}\n").into_bytes()));
    }
}

/// Every process's command line.
pub(crate) fn command_lines() -> Vec<(i32, Vec<String>)> {
    let mut list = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        // It may have ended meanwhile.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        list.push((pid, words.collect()));
    }
    list
}

/// Whether a process runs (a zombie does not).
pub(crate) fn runs(pid: &str) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// A program in a directory, to be found before another one of its name.
pub(crate) fn plant(dir: &Path, name: &str, script: &str) {
    fs::create_dir_all(dir).unwrap();
    fs::write(dir.join(name), script).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}
