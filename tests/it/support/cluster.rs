//! A throw-away cluster: nodes that are directories of this machine, each behind an sshd of its own
//! or reached directly, and the files that an operator would have written for them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;
use super::pty::{Pty, Size};
use super::run::Invocation;
use super::schema;
use super::sshd::{Keys, Sshd};
use super::tree::Tree;

/// One node as a test wishes it.
#[derive(Debug, Clone)]
pub(crate) struct NodeSpec {
    name: String,
    local: bool,
    groups: Vec<String>,
    vars: BTreeMap<String, String>,
}

impl NodeSpec {
    /// A node behind an sshd of its own.
    pub(crate) fn ssh(name: &str) -> Self {
        Self { name: name.to_owned(), local: false, groups: Vec::new(), vars: BTreeMap::new() }
    }

    /// A node reached without SSH.
    pub(crate) fn local(name: &str) -> Self {
        Self { local: true, ..Self::ssh(name) }
    }

    /// Puts it into a group.
    pub(crate) fn group(mut self, name: &str) -> Self {
        self.groups.push(name.to_owned());
        self
    }

    /// Sets a variable of its own.
    pub(crate) fn var(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A cluster named `test`. Steps find two variables beside those that a test adds: `dir`, the node's
/// own directory, and `effects`, the one log that all nodes share:
/// `run: echo "$ROLLGATE_NODE drain" >> "$effects"`.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    nodes: Vec<NodeSpec>,
    inventory: String,
    procedure: String,
}

impl Builder {
    /// Adds nodes `n1` to `nCOUNT`, each behind an sshd of its own.
    pub(crate) fn nodes(mut self, count: usize) -> Self {
        self.nodes.extend((1..=count).map(|i| NodeSpec::ssh(&format!("n{i}"))));
        self
    }

    /// Adds nodes `n1` to `nCOUNT` that are reached without SSH: quick, for what SSH has no part in.
    pub(crate) fn local(mut self, count: usize) -> Self {
        self.nodes.extend((1..=count).map(|i| NodeSpec::local(&format!("n{i}"))));
        self
    }

    /// Adds one node.
    pub(crate) fn node(mut self, node: NodeSpec) -> Self {
        self.nodes.push(node);
        self
    }

    /// Adds top-level keys to the inventory.
    pub(crate) fn inventory(mut self, yaml: &str) -> Self {
        self.inventory.push_str(&dedent(yaml));
        self
    }

    /// Sets the procedure; common indentation is removed.
    pub(crate) fn procedure(mut self, yaml: &str) -> Self {
        self.procedure = dedent(yaml);
        self
    }

    /// Starts the nodes and writes the files.
    #[track_caller]
    pub(crate) fn build(self) -> Cluster {
        let temp = tempfile::Builder::new().prefix("rg-").tempdir().unwrap();
        let root = temp.path();
        for dir in ["state", "run", "nodes", "sshd"] {
            fs::create_dir(root.join(dir)).unwrap();
        }
        fs::write(root.join("effects"), "").unwrap();
        let keys = Keys::make(&root.join("ssh")).unwrap();
        let mut sshds = BTreeMap::new();
        for node in &self.nodes {
            fs::create_dir_all(root.join("nodes").join(&node.name)).unwrap();
            if !node.local {
                let sshd = Sshd::start(&root.join("sshd").join(&node.name), &keys);
                sshds.insert(node.name.clone(), sshd.unwrap_or_else(|error| panic!("{error:#}")));
            }
        }
        let cluster = Cluster { sshds, keys, nodes: self.nodes, extra: self.inventory, temp };
        cluster.write_inventory();
        cluster.set_procedure(&self.procedure);
        cluster
    }
}

/// A cluster that stands. Dropping it ends its sshd processes and removes its directory.
#[derive(Debug)]
pub(crate) struct Cluster {
    // Before the directory, so that no sshd outlives the files that it uses.
    sshds: BTreeMap<String, Sshd>,
    keys: Keys,
    nodes: Vec<NodeSpec>,
    extra: String,
    temp: TempDir,
}

impl Cluster {
    /// Begins a cluster without nodes.
    #[expect(clippy::new_ret_no_self, reason = "a test begins with the word for what it wants")]
    pub(crate) fn new() -> Builder {
        Builder::default()
    }

    /// Where inventory, procedure, state and nodes are.
    pub(crate) fn root(&self) -> &Path {
        self.temp.path()
    }

    /// A file below [`Self::root`].
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// A node's own directory: what its variable `dir` says.
    pub(crate) fn node_dir(&self, node: &str) -> PathBuf {
        self.root().join("nodes").join(node)
    }

    /// The sshd of a node.
    pub(crate) fn sshd(&self, node: &str) -> &Sshd {
        &self.sshds[node]
    }

    /// Ends a node's sshd: the node is unreachable from now on.
    pub(crate) fn cut_off(&mut self, node: &str) {
        drop(self.sshds.remove(node).expect("only a node with an sshd can be cut off"));
    }

    /// The operator's keys.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Runs rollgate with the cluster's inventory.
    pub(crate) fn rollgate<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation::new(env!("CARGO_BIN_EXE_rollgate"), self.root())
            .env("ROLLGATE_STATE_DIR", self.path("state"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .args(["-i", "inventory.yaml"])
            .args(args)
    }

    /// The same as somebody else types it, at another machine: a state directory of its own stands for it.
    pub(crate) fn elsewhere<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Invocation {
        let other = self.rollgate(args).env("ROLLGATE_STATE_DIR", self.path("other"));
        other.env("LOGNAME", "bob").env("USER", "bob")
    }

    /// Sets the latest sign of life of whoever holds a node back, on every node, to then in the words of `touch -d`.
    pub(crate) fn silence(&self, then: &str) {
        for node in &self.nodes {
            let fence = self.node_dir(&node.name).join("rollgate/test/fence");
            let Ok(entries) = fs::read_dir(fence) else { continue };
            let files = entries.map(|entry| entry.unwrap().path());
            for beat in files.filter(|file| file.extension().is_some_and(|extension| extension == "beat")) {
                assert!(Command::new("touch").args(["-d", then]).arg(beat).status().unwrap().success());
            }
        }
    }

    /// Runs rollgate at a terminal.
    #[track_caller]
    pub(crate) fn terminal<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Pty {
        Pty::start(self.rollgate(args), Size::default())
    }

    /// The latest run's journal as it stands, a record a line; empty before there is one.
    pub(crate) fn journal(&self) -> String {
        let Ok(runs) = fs::read_dir(self.path("state/test/runs")) else { return String::new() };
        let latest = runs.map(|run| run.unwrap().path()).max();
        latest.and_then(|run| fs::read_to_string(run.join("journal.ndjson")).ok()).unwrap_or_default()
    }

    /// Records of the latest run that hold every one of these texts.
    pub(crate) fn records(&self, texts: &[&str]) -> Vec<String> {
        let journal = self.journal();
        let fits = |line: &&str| texts.iter().all(|text| line.contains(text));
        journal.lines().filter(fits).map(str::to_owned).collect()
    }

    /// What the steps wrote to the log of effects, in order.
    pub(crate) fn effects(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("effects")).unwrap();
        log.lines().map(str::to_owned).collect()
    }

    /// Waits until an effect is in the log.
    #[track_caller]
    pub(crate) fn await_effect(&self, wanted: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.effects().iter().any(|effect| effect == wanted) {
            assert!(Instant::now() < deadline, "no effect {wanted:?} in {:?}", self.effects());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All nodes' directories as they are now.
    pub(crate) fn nodes_tree(&self) -> Tree {
        Tree::of(&self.path("nodes"))
    }

    /// Replaces the procedure.
    pub(crate) fn set_procedure(&self, yaml: &str) {
        fs::write(self.path("procedure.yaml"), dedent(yaml)).unwrap();
    }

    /// Takes every node's record of every run away.
    pub(crate) fn forget_runs(&self) {
        for node in &self.nodes {
            let own = self.path("nodes").join(&node.name).join("rollgate");
            if own.exists() {
                fs::remove_dir_all(own).unwrap();
            }
        }
    }

    /// Writes a file below [`Self::root`].
    pub(crate) fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn write_inventory(&self) {
        let root = self.root().display();
        let mut yaml = format!(
            "cluster: test\n\
             procedure: ./procedure.yaml\n\
             ssh:\n\
             \x20 identity_file: {}\n\
             \x20 known_hosts: {}\n\
             \x20 connect_timeout: 10s\n\
             \x20 reconnect_timeout: 10s\n",
            self.keys.identity.display(),
            self.keys.known_hosts.display(),
        );
        yaml.push_str(&self.extra);
        yaml.push_str("nodes:\n");
        for node in &self.nodes {
            let name = &node.name;
            writeln!(yaml, "  - name: {name}").unwrap();
            if let Some(sshd) = self.sshds.get(name) {
                writeln!(yaml, "    host: 127.0.0.1\n    port: {}", sshd.port()).unwrap();
            } else {
                writeln!(yaml, "    connection: local").unwrap();
            }
            if !node.groups.is_empty() {
                writeln!(yaml, "    groups: [{}]", node.groups.join(", ")).unwrap();
            }
            writeln!(yaml, "    state_dir: {root}/nodes/{name}/rollgate").unwrap();
            writeln!(yaml, "    vars:\n      dir: {root}/nodes/{name}\n      effects: {root}/effects")
                .unwrap();
            for (var, value) in &node.vars {
                writeln!(yaml, "      {var}: {value:?}").unwrap();
            }
        }
        fs::write(self.path("inventory.yaml"), yaml).unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The test that fails already says why.
        if !std::thread::panicking() {
            schema::journals(self.root());
        }
    }
}

/// Removes a first empty line and the indentation that all lines share.
fn dedent(text: &str) -> String {
    let text = text.strip_prefix('\n').unwrap_or(text);
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    let indent = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(line.get(indent..).unwrap_or(""));
        out.push('\n');
    }
    // A literal's last line holds only the indentation of its closing quote.
    out.truncate(out.trim_end().len());
    if !out.is_empty() {
        out.push('\n');
    }
    out
}
