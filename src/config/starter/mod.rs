//! The inventory that `init` prints: nodes as they were typed or as Ansible has them, and a procedure to begin with.
//! It is text with comments, for no library writes those; what it prints loads as it stands.

mod address;
mod ansible;
mod note;
mod quote;

use std::fmt::Write as _;

pub use address::BadAddress;
pub use ansible::NoInventory;

use quote::{plain, quoted};

/// What stands above the nodes. The first lines are those by which editors find the schema.
const HEAD: &str = include_str!("head.yaml");

/// A procedure that changes nothing until it is told what to do.
const PROCEDURE: &str = include_str!("procedure.yaml");

/// The longest line of a node that is written on one.
const WIDE: usize = 110;

/// An inventory to begin with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Starter {
    ssh: Vec<(&'static str, String)>,
    become_with: Option<&'static str>,
    vars: Vars,
    groups: Vec<(String, Vars)>,
    nodes: Vec<Entry>,
    left_out: Vec<String>,
}

/// Variables in order.
type Vars = Vec<(String, String)>;

/// A node, or a range of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    name: String,
    /// Where it differs from the name.
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    is_local: bool,
    become_with: Option<&'static str>,
    groups: Vec<String>,
    vars: Vars,
}

impl Starter {
    /// Three nodes that do not exist.
    pub fn with_placeholders() -> Self {
        let node = |number: usize| Entry {
            name: format!("node-{number}"),
            host: Some(format!("node-{number}.example.org")),
            ..Entry::default()
        };
        Self { nodes: (1..=3).map(node).collect(), ..Self::default() }
    }

    /// Nodes as `[user@]host[:port]`. A user that all have stands once, for the cluster.
    pub fn with_nodes<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Self, BadAddress> {
        let mut nodes = address::entries(words)?;
        let user = common(nodes.iter().map(|node| node.user.as_ref())).cloned();
        let mut ssh = Vec::new();
        if let Some(user) = user {
            for node in &mut nodes {
                node.user = None;
            }
            ssh.push(("user", user));
        }
        Ok(Self { ssh, nodes, ..Self::default() })
    }

    /// What `ansible-inventory --list` printed.
    pub fn from_ansible(json: &str) -> Result<Self, NoInventory> {
        ansible::read(json)
    }

    /// What of Ansible's inventory is not in this one, one remark each, without a value.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = HEAD.to_owned();
        if !self.left_out.is_empty() {
            text.push_str("\n# Left out of what Ansible said:\n");
            for note in &self.left_out {
                let _ = writeln!(text, "# - {note}");
            }
        }
        text.push_str(
            "\ncluster: my-cluster               # change it: it names the lock, and `start` asks for it\n",
        );
        text.push_str(&self.access());
        text.push_str(&self.variables());
        text.push_str(
            "\nnodes:                            # in this order; a range stands for several: web[1-3]\n",
        );
        for node in &self.nodes {
            text.push_str(&node.lines());
        }
        text.push('\n');
        text.push_str(PROCEDURE);
        text
    }

    fn access(&self) -> String {
        let mut text =
            String::from("\nssh:                              # all else comes from ~/.ssh/config\n");
        for (key, value) in &self.ssh {
            let value = if *key == "jump" { list(value.split(',')) } else { plain(value) };
            let _ = writeln!(text, "  {key}: {value}");
        }
        text.push_str("  connect_timeout: 10s\n");
        for (key, example) in
            [("user", "ops"), ("identity_file", "~/.ssh/id_ed25519"), ("jump", "[bastion.example.org]")]
        {
            if self.ssh.iter().all(|(said, _)| *said != key) {
                let _ = writeln!(text, "  # {key}: {example}");
            }
        }
        let become_with =
            self.become_with.map_or("# become: sudo".to_owned(), |word| format!("become: {word}"));
        let _ = writeln!(text, "{become_with:<34}# none | sudo | doas; {{ with: sudo, password: SECRET }}");
        text
    }

    fn variables(&self) -> String {
        let mut text =
            String::from("\nvars:                             # scripts find these in their environment\n");
        if self.vars.iter().all(|(name, _)| name != "target") {
            text.push_str(
                "  target: \"2.0\"                   # quote versions: to YAML 1.10 is the number 1.1\n",
            );
        }
        for (name, value) in &self.vars {
            let _ = writeln!(text, "  {}: {}", plain(name), quoted(value));
        }
        if self.groups.iter().any(|(_, vars)| !vars.is_empty()) {
            text.push_str("\ngroups:\n");
        }
        for (name, vars) in self.groups.iter().filter(|(_, vars)| !vars.is_empty()) {
            let _ = writeln!(text, "  {}:\n    vars:", plain(name));
            for (name, value) in vars {
                let _ = writeln!(text, "      {}: {}", plain(name), quoted(value));
            }
        }
        text
    }
}

impl Entry {
    fn lines(&self) -> String {
        let mut keys = vec![("name", plain(&self.name))];
        keys.extend(self.host.as_ref().map(|host| ("host", plain(host))));
        keys.extend(self.port.map(|port| ("port", port.to_string())));
        keys.extend(self.user.as_ref().map(|user| ("user", plain(user))));
        if self.is_local {
            keys.push(("connection", "local".to_owned()));
        }
        keys.extend(self.become_with.map(|word| ("become", word.to_owned())));
        if !self.groups.is_empty() {
            keys.push(("groups", list(self.groups.iter().map(String::as_str))));
        }
        let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let line = format!("  - {{ {} }}\n", pairs.join(", "));
        if self.vars.is_empty() && line.len() <= WIDE {
            return line;
        }
        let mut text = format!("  - {}\n", pairs.join("\n    "));
        if !self.vars.is_empty() {
            text.push_str("    vars:\n");
        }
        for (name, value) in &self.vars {
            let _ = writeln!(text, "      {}: {}", plain(name), quoted(value));
        }
        text
    }
}

/// A list on one line.
fn list<'w>(words: impl Iterator<Item = &'w str>) -> String {
    format!("[{}]", words.map(plain).collect::<Vec<_>>().join(", "))
}

/// What all have, if all have the same.
fn common<T: PartialEq>(mut all: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = all.next()??;
    all.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

#[cfg(test)]
mod tests;
