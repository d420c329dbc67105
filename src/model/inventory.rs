//! One cluster: its nodes, how to reach them, variables, and secrets by reference.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use super::host::{Become, Connection};
use super::name::{ClusterName, GroupName, NodeName, VarName};
use super::template::Vars;
use super::window::Window;

/// The inventory with ranges expanded and defaults applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The cluster.
    pub cluster: ClusterName,
    /// Variables of every node.
    pub vars: BTreeMap<VarName, String>,
    /// Secrets, by where they come from.
    pub secrets: BTreeMap<VarName, SecretSource>,
    /// What is run on the operator's machine when somebody is wanted.
    pub notify: Option<Notify>,
    /// The hours in which turns may begin; at any time where there are none.
    pub windows: Vec<Window>,
    /// Groups with their variables, in the order of the file.
    pub groups: Vec<Group>,
    /// Nodes in the order of the file.
    pub nodes: Vec<Node>,
}

/// A group of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// Variables of its nodes.
    pub vars: BTreeMap<VarName, String>,
}

/// A node as the inventory has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// How it is reached; cluster-wide ssh settings are already in.
    pub connection: Connection,
    /// How commands gain rights there.
    pub become_with: Become,
    /// The secret that is the password for sudo there; without one sudo must want none.
    pub become_password: Option<VarName>,
    /// rollgate's own directory on the node, absolute; by default what `transport` finds fit.
    pub state_dir: Option<PathBuf>,
    /// Its groups in the order of the file.
    pub groups: Vec<GroupName>,
    /// Its own variables.
    pub vars: BTreeMap<VarName, String>,
}

/// A command that tells people of a run: that it asks something, or that it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notify {
    /// For `sh -c`; what happened stands on its standard input.
    pub run: String,
    /// How long it may take, in seconds.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub timeout: Duration,
}

/// Where a secret comes from. It is fetched once when a run starts and never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// An environment variable of the operator.
    Env(String),
    /// A file that only its owner may read; one newline at the end is dropped.
    File(PathBuf),
    /// The output of a command on the operator's machine (`pass`, `vault`).
    Command(String),
    /// Asked at the terminal with this text.
    Prompt(String),
}

impl Inventory {
    /// The node of that name.
    pub fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// A node's variables: cluster, then its groups in order, then its own; the nearest wins.
    pub fn vars_of(&self, node: &Node) -> Vars {
        let groups = self.groups.iter().filter(|group| node.groups.contains(&group.name));
        [&self.vars]
            .into_iter()
            .chain(groups.map(|group| &group.vars))
            .chain([&node.vars])
            .flatten()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect()
    }
}
