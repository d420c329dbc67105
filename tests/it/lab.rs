//! Real Debian hosts, booted by `tests/lab/up`: what only a whole machine can show, such as reboots, power
//! cuts, an sshd that restarts, a full disk. Needs root; `tests/run.sh` says so where it is not.

mod bluecat;
mod digital_rebar;
mod disk;
mod itself;
mod logins;
mod logout;
mod nightly;
mod outages;
mod packaging;
mod reboots;
mod rights;
mod skudonet;
mod sshd;
mod starlingx;

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::{Invocation, Output, within_patience};

/// The longest that a run may take in which nodes boot.
const LIMIT: Duration = Duration::from_mins(3);

/// How long a node has to come back, with all others booting beside it on two cores.
const BOOT: Duration = Duration::from_mins(1);

/// Where a stand-in says what it did, an effect a line.
const EFFECTS: &str = "/var/log/stand-in.log";

/// A lab of its own for a test, with the files of an operator; gone when it is dropped, and also when the
/// tests are killed.
#[derive(Debug)]
pub(crate) struct Lab {
    name: String,
    /// Where `tests/lab/up` keeps it.
    dir: PathBuf,
    nodes: Vec<String>,
    /// The cluster's name in the inventory.
    cluster: String,
    inventory: PathBuf,
    temp: TempDir,
}

fn command(word: &str) -> Invocation {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab");
    let command = Invocation::new(tools.join(word), &std::env::temp_dir()).limit(Duration::from_mins(5));
    // What a person would pass on to them as well.
    ["ROLLGATE_LAB_DIR", "ROLLGATE_LAB_SUITE", "ROLLGATE_LAB_MIRROR", "http_proxy", "https_proxy", "no_proxy"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .fold(command, |command, (name, value)| command.env(name, value))
}

impl Lab {
    /// Boots nodes `n1` to `nCOUNT` and waits until they can be logged in to.
    #[track_caller]
    pub(crate) fn up(count: usize) -> Self {
        let nodes: Vec<String> = (1..=count).map(|i| format!("n{i}")).collect();
        let mut lab = Self::boot(&[], nodes);
        lab.inventory = lab.path("inventory.yaml");
        lab.write_inventory(|_| String::new());
        lab
    }

    /// Boots the hosts of `tests/lab/systems/SYSTEM`, with the files of `examples/SYSTEM`.
    #[track_caller]
    pub(crate) fn system(system: &str) -> Self {
        let systems = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/systems");
        let nodes = fs::read_to_string(systems.join(system).join("nodes")).unwrap();
        Self::system_of(system, &nodes.split_whitespace().collect::<Vec<_>>())
    }

    /// The same with these hosts alone.
    #[track_caller]
    pub(crate) fn system_of(system: &str, nodes: &[&str]) -> Self {
        let nodes = nodes.iter().map(|&node| node.to_owned()).collect();
        let mut lab = Self::boot(&["--system", system], nodes);
        let inventory = fs::read_to_string(&lab.inventory).unwrap();
        let cluster = inventory.lines().find_map(|line| line.strip_prefix("cluster:")).unwrap();
        lab.cluster = cluster.trim().to_owned();
        lab
    }

    #[track_caller]
    fn boot(flags: &[&str], nodes: Vec<String>) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        assert!(
            rustix::process::geteuid().is_root(),
            "the lab boots real hosts and needs root; as another user: cargo test -- --skip lab::"
        );
        let pid = std::process::id();
        let name = format!("test-{pid}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        command("up").args(["--for", &pid.to_string()]).args(flags).args([&name]).args(&nodes).run().code(0);
        let store = std::env::var_os("ROLLGATE_LAB_DIR").unwrap_or_else(|| "/var/cache/rollgate-lab".into());
        let dir = Path::new(&store).join("labs").join(&name);
        let temp = tempfile::Builder::new().prefix("rg-").tempdir().unwrap();
        fs::create_dir(temp.path().join("run")).unwrap();
        let inventory = dir.join("inventory.yaml");
        Self { name, dir, nodes, cluster: "test".to_owned(), inventory, temp }
    }

    /// Writes the inventory of cluster `test`; `more` are further lines of a node, in YAML's flow style.
    pub(crate) fn write_inventory(&self, more: impl Fn(&str) -> String) {
        let mut yaml = format!(
            "cluster: test\nprocedure: ./procedure.yaml\nssh:\n  user: root\n  identity_file: {0}/id_ed25519\n  \
             known_hosts: {0}/known_hosts\n  connect_timeout: 3s\nnodes:\n",
            self.dir.display()
        );
        for node in &self.nodes {
            writeln!(yaml, "  - {{ name: {node}, host: {}{} }}", self.address(node), more(node)).unwrap();
        }
        fs::write(self.path("inventory.yaml"), yaml).unwrap();
    }

    /// Sets the procedure.
    pub(crate) fn procedure(&self, yaml: &str) -> &Self {
        fs::write(self.path("procedure.yaml"), yaml).unwrap();
        self
    }

    /// The nodes' names.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(String::as_str)
    }

    /// A file of the operator's.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.temp.path().join(relative)
    }

    /// Where a node is reached.
    pub(crate) fn address(&self, node: &str) -> String {
        fs::read_to_string(self.dir.join("nodes").join(node).join("address")).unwrap().trim().to_owned()
    }

    /// Runs rollgate on the lab.
    pub(crate) fn rollgate(&self, args: &[&str]) -> Invocation {
        self.rollgate_with(&self.inventory, args)
    }

    /// Runs rollgate with another inventory.
    pub(crate) fn rollgate_with(&self, inventory: &Path, args: &[&str]) -> Invocation {
        self.command(env!("CARGO_BIN_EXE_rollgate"))
            .env("ROLLGATE_STATE_DIR", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .args([OsStr::new("-i"), inventory.as_os_str()])
            .args(args)
            .limit(LIMIT)
    }

    /// A command of the operator's, who has the stand-ins in his PATH.
    pub(crate) fn command(&self, program: &str) -> Invocation {
        let bin = self.dir.join("bin");
        let own = bin.join(program);
        let mut path = bin.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let program = if own.exists() { own } else { program.into() };
        Invocation::new(program, self.temp.path()).env("PATH", path)
    }

    /// A file of the lab's own directory: the example's, or what tells a stand-in to misbehave.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Replaces a text of such a file.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.file(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        fs::write(self.file(name), text.replace(from, to)).unwrap();
    }

    /// Tells the stand-ins of a node to misbehave.
    #[track_caller]
    pub(crate) fn misbehave(&self, node: &str, words: &str) {
        self.ssh(node, &format!("echo '{words}' >/etc/stand-in/misbehave")).code(0);
    }

    /// How often a node did just that.
    pub(crate) fn times(&self, node: &str, effect: &str) -> usize {
        self.on_disk(node, EFFECTS).lines().filter(|line| *line == effect).count()
    }

    /// How often a node did something that begins like this.
    pub(crate) fn times_like(&self, node: &str, begin: &str) -> usize {
        self.on_disk(node, EFFECTS).lines().filter(|line| line.starts_with(begin)).count()
    }

    /// Waits until a node did something that begins like this.
    #[track_caller]
    pub(crate) fn await_effect(&self, node: &str, begin: &str) {
        within_patience(&format!("{node} says {begin:?}"), || self.times_like(node, begin) > 0);
    }

    /// `start` without a terminal.
    pub(crate) fn start(&self) -> Invocation {
        self.rollgate(&["start", "--yes", "--confirm", &self.cluster])
    }

    /// `start --resume` without a terminal.
    pub(crate) fn resume(&self) -> Invocation {
        self.rollgate(&["start", "--yes", "--confirm", &self.cluster, "--resume"])
    }

    /// Runs a script on a node, as root, by plain `ssh`.
    #[track_caller]
    pub(crate) fn ssh(&self, node: &str, script: &str) -> Output {
        self.login(&format!("root@{node}"), script).run()
    }

    fn login(&self, to: &str, script: &str) -> Invocation {
        let config = self.dir.join("ssh_config");
        Invocation::new("ssh", self.temp.path())
            .args([OsStr::new("-F"), config.as_os_str()])
            .args([to, script])
    }

    /// A file on a node's disk as it is now; empty when there is none. The node may be off.
    pub(crate) fn on_disk(&self, node: &str, path: &str) -> String {
        let file = self.dir.join("nodes").join(node).join("upper").join(path.trim_start_matches('/'));
        fs::read_to_string(file).unwrap_or_default()
    }

    /// Waits until a file on a node's disk has that many lines.
    #[track_caller]
    pub(crate) fn await_lines(&self, node: &str, path: &str, count: usize) {
        let what = format!("{node}:{path} grows to {count} lines");
        within_patience(&what, || self.on_disk(node, path).lines().count() >= count);
    }

    /// Switches a node: `on`, `off`, `cut`, `reboot`.
    #[track_caller]
    pub(crate) fn power(&self, node: &str, word: &str) {
        command("power").args([&self.name, node, word]).run().code(0);
    }

    /// Switches all nodes at once.
    pub(crate) fn power_all(&self, word: &str) {
        std::thread::scope(|scope| {
            for node in self.nodes() {
                scope.spawn(move || self.power(node, word));
            }
        });
    }

    /// How often a node was booted.
    pub(crate) fn boots(&self, node: &str) -> usize {
        let console = fs::read_to_string(self.dir.join("nodes").join(node).join("console.log")).unwrap();
        console.lines().filter(|line| line.starts_with("--- ") && line.contains(" boots, ")).count()
    }

    /// Waits until a node was booted that often and can be logged in to.
    #[track_caller]
    pub(crate) fn await_boot(&self, node: &str, count: usize) {
        let deadline = Instant::now() + BOOT;
        let up =
            || self.boots(node) >= count && self.login(&format!("ops@{node}"), "true").run().exit_code() == 0;
        while !up() {
            assert!(Instant::now() < deadline, "{node} is not up after boot {count}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Name and text of every transcript of the one run.
    pub(crate) fn transcripts(&self) -> Vec<(String, String)> {
        let Some(run) = self.run_dir() else { return Vec::new() };
        let Ok(entries) = fs::read_dir(run.join("out")) else { return Vec::new() };
        let mut all: Vec<_> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
                (entry.file_name().into_string().unwrap(), text)
            })
            .collect();
        all.sort();
        all
    }

    fn run_dir(&self) -> Option<PathBuf> {
        let mut runs = fs::read_dir(self.path("state").join(&self.cluster).join("runs")).ok()?;
        Some(runs.next()?.unwrap().path())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A test that failed already must not be ended for it, and the keeper does it in any case.
        let output = command("down").args([&self.name]).run();
        if !std::thread::panicking() {
            output.code(0);
        }
    }
}
