//! The inventory: settings of the whole cluster, groups, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::super::path::Path;
use super::super::raw::inventory::{RawInventory, RawNotify, RawSecret, RawSsh};
use super::super::raw::words::HOST_KEYS;
use super::super::raw::{Entries, Given as _, Or, Scalar};
use super::desk::Desk;
use super::rights::{Rights, rights};
use super::{node, window};
use crate::model::duration;
use crate::model::inventory::{Group, Inventory, Node, Notify, SecretSource};
use crate::model::name::{ClusterName, GroupName, VarName};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a node may be out of contact while a step runs there.
const RECONNECT: Duration = Duration::from_mins(10);
/// How long a connection that nobody uses may stay open: it lets in whoever has the operator's account.
const LONGEST_PERSIST: Duration = Duration::from_hours(1);

/// How long the command may take that tells people of a run.
const NOTIFY: Duration = Duration::from_secs(10);

/// What every node takes over unless it says otherwise.
pub(super) struct Defaults {
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) identity_file: Option<PathBuf>,
    pub(super) password: Option<VarName>,
    /// The names that a password may have.
    pub(super) secrets: BTreeSet<String>,
    pub(super) jump: Vec<String>,
    pub(super) config_file: Option<PathBuf>,
    pub(super) known_hosts: Option<PathBuf>,
    pub(super) accept_new_host_keys: bool,
    pub(super) connect_timeout: Duration,
    pub(super) reconnect_timeout: Duration,
    pub(super) persist: Option<Duration>,
    pub(super) rights: Rights,
    pub(super) state_dir: Option<PathBuf>,
}

/// Lowers an inventory; `None` means that mistakes were noted.
pub(crate) fn lower(desk: &Desk<'_>, raw: &RawInventory) -> Option<Inventory> {
    let top = Path::default();
    let help = "the cluster's name; `start` asks for it before it begins";
    let cluster = desk.needed(&top, "cluster", raw.cluster.as_ref(), help);
    let cluster = cluster.and_then(|cluster| desk.name(&top.key("cluster"), cluster, ClusterName::parse));
    let defaults = defaults(desk, raw);
    let vars = desk.vars(&top.key("vars"), raw.vars.as_ref());
    let secrets = secrets(desk, &top.key("secrets"), raw.secrets.as_ref(), &vars);
    let notify = raw.notify.as_ref().and_then(|raw| notify(desk, &top.key("notify"), raw));
    let windows =
        raw.window.as_ref().map_or_else(Vec::new, |raw| window::windows(desk, &top.key("window"), raw));
    let mut groups = Vec::new();
    for (name, raw) in raw.groups.as_ref().map(|groups| groups.0.as_slice()).unwrap_or_default() {
        let at = top.key("groups").key(name);
        let vars = desk.vars(&at.key("vars"), raw.vars.as_ref());
        if let Some(name) = desk.key_name(&at, name, GroupName::parse) {
            groups.push(Group { name, vars });
        }
    }
    let nodes = match raw.nodes.as_deref() {
        None => {
            let help = "a list of nodes: - { name: db1, host: 10.0.0.1 }; [] where commands of this machine reach it all";
            desk.missing(&top, "nodes", help);
            Vec::new()
        }
        Some(nodes) => node::nodes(desk, &top.key("nodes"), nodes, &defaults, raw.secrets.as_ref()),
    };
    refuse_shadowed_secrets(desk, &secrets, &groups, &nodes);
    refuse_unused_groups(desk, &groups, &nodes);
    add_undeclared(&mut groups, &nodes);
    refuse_double_meanings(desk, &groups, &nodes);
    desk.is_clean().then_some(Inventory { cluster: cluster?, vars, secrets, notify, windows, groups, nodes })
}

fn defaults(desk: &Desk<'_>, raw: &RawInventory) -> Defaults {
    let top = Path::default();
    let none = RawSsh::default();
    let ssh = raw.ssh.as_ref().unwrap_or(&none);
    let at = top.key("ssh");
    let file = |key: &str, value: &Option<Scalar>| {
        value.as_ref().and_then(|value| desk.local_path(&at.key(key), value))
    };
    if ssh.port == Some(0) {
        desk.wrong(&at.key("port"), "0 is no port", "this value", "1 to 65535; without the key ssh's own");
    }
    let secrets = raw.secrets.iter().flat_map(|secrets| &secrets.0).map(|(name, _)| name.clone()).collect();
    let jump = ssh.jump.as_ref().map_or_else(Vec::new, |jump| desk.list(&at.key("jump"), jump));
    Defaults {
        user: ssh.user.as_ref().and_then(|user| desk.host(&at.key("user"), user)),
        port: ssh.port,
        identity_file: file("identity_file", &ssh.identity_file),
        password: ssh.password.as_ref().and_then(|name| desk.secret(&at.key("password"), name, &secrets)),
        secrets,
        jump: jump.into_iter().filter_map(|(at, host)| desk.host(&at, host)).collect(),
        config_file: file("config_file", &ssh.config_file),
        known_hosts: file("known_hosts", &ssh.known_hosts),
        accept_new_host_keys: ssh
            .host_keys
            .as_ref()
            .and_then(|value| desk.choice(&at.key("host_keys"), value, HOST_KEYS))
            .unwrap_or(false),
        connect_timeout: desk
            .duration_or(&at.key("connect_timeout"), ssh.connect_timeout.as_ref(), CONNECT)
            .unwrap_or(CONNECT),
        reconnect_timeout: desk
            .duration_or(&at.key("reconnect_timeout"), ssh.reconnect_timeout.as_ref(), RECONNECT)
            .unwrap_or(RECONNECT),
        persist: ssh.persist.as_ref().and_then(|value| persist(desk, &at.key("persist"), value)),
        rights: raw
            .r#become
            .as_ref()
            .and_then(|value| rights(desk, &top.key("become"), value, raw.secrets.as_ref()))
            .unwrap_or_default(),
        state_dir: raw
            .state_dir
            .as_ref()
            .and_then(|directory| desk.remote_path(&top.key("state_dir"), directory)),
    }
}

/// How long connections stay open.
fn persist(desk: &Desk<'_>, path: &Path, value: &Scalar) -> Option<Duration> {
    let time = desk.duration(path, value)?;
    if time > LONGEST_PERSIST {
        let what = format!("a connection that nobody uses cannot stay open for {}", duration::written(time));
        let help =
            "1h at most: whoever has your account here gets in through it; each command begins the time anew";
        desk.wrong(path, what, "this time", help);
        return None;
    }
    Some(time)
}

/// The command alone, or a mapping with its time.
fn notify(desk: &Desk<'_>, path: &Path, raw: &Or<RawNotify>) -> Option<Notify> {
    match raw {
        Or::Short(run) => Some(Notify { run: desk.text(path, run)?, timeout: NOTIFY }),
        Or::Full(raw) => {
            let help = "the command, such as run: mail-oncall; what happened stands on its standard input";
            let run = desk.needed(path, "run", raw.run.as_ref(), help)?;
            let timeout = desk.duration_or(&path.key("timeout"), raw.timeout.as_ref(), NOTIFY)?;
            Some(Notify { run: desk.text(&path.key("run"), run)?, timeout })
        }
    }
}

fn secrets(
    desk: &Desk<'_>,
    path: &Path,
    raw: Option<&Entries<RawSecret>>,
    vars: &BTreeMap<VarName, String>,
) -> BTreeMap<VarName, SecretSource> {
    let mut secrets = BTreeMap::new();
    for (name, raw) in raw.map(|secrets| secrets.0.as_slice()).unwrap_or_default() {
        let at = path.key(name);
        let (name, source) = (desk.own_var(&at, name), secret(desk, &at, raw));
        if let Some(name) = &name
            && vars.contains_key(name)
        {
            let what = format!("`{name}` is a variable and a secret");
            desk.wrong_key(&at, what, "second meaning here", "give one of them another name");
        }
        if let (Some(name), Some(source)) = (name, source) {
            secrets.insert(name, source);
        }
    }
    secrets
}

fn secret(desk: &Desk<'_>, path: &Path, raw: &RawSecret) -> Option<SecretSource> {
    let help = "exactly one of env, file, command, prompt";
    match raw.given().as_slice() {
        [_] => {}
        [] => {
            desk.wrong(path, format!("`{path}` says not where it comes from"), "nothing in it", help);
            return None;
        }
        [_, second, ..] => {
            desk.wrong_key(&path.key(second), "a secret comes from one place", "second place here", help);
            return None;
        }
    }
    if let Some(name) = &raw.env {
        let at = path.key("env");
        return desk.name(&at, name, VarName::parse).map(|name| SecretSource::Env(name.to_string()));
    }
    if let Some(file) = &raw.file {
        return desk.local_path(&path.key("file"), file).map(SecretSource::File);
    }
    if let Some(command) = &raw.command {
        return desk.text(&path.key("command"), command).map(SecretSource::Command);
    }
    desk.line(&path.key("prompt"), raw.prompt.as_ref()?).map(SecretSource::Prompt)
}

/// A secret that a variable nearer to the node hides would reach scripts as that variable, unmasked.
fn refuse_shadowed_secrets(
    desk: &Desk<'_>,
    secrets: &BTreeMap<VarName, SecretSource>,
    groups: &[Group],
    nodes: &[Node],
) {
    let top = Path::default();
    let mut hidden = BTreeSet::new();
    let of_groups = groups.iter().map(|group| &group.vars);
    for name in of_groups.chain(nodes.iter().map(|node| &node.vars)).flat_map(|vars| vars.keys()) {
        if secrets.contains_key(name) && hidden.insert(name) {
            let what = format!("`{name}` is a secret, and a variable of a group or node");
            let at = top.key("secrets").key(name.as_str());
            desk.wrong_key(&at, what, "this secret", "give one of them another name");
        }
    }
}

/// Groups that only nodes name have no variables.
fn add_undeclared(groups: &mut Vec<Group>, nodes: &[Node]) {
    for name in nodes.iter().flat_map(|node| &node.groups) {
        if !groups.iter().any(|group| group.name == *name) {
            groups.push(Group { name: name.clone(), vars: BTreeMap::new() });
        }
    }
}

/// A group without nodes is a typing mistake here or at a node.
fn refuse_unused_groups(desk: &Desk<'_>, declared: &[Group], nodes: &[Node]) {
    let used: BTreeSet<&str> = nodes.iter().flat_map(|node| &node.groups).map(GroupName::as_str).collect();
    if !desk.is_clean() {
        return;
    }
    for group in declared.iter().filter(|group| !used.contains(group.name.as_str())) {
        let at = Path::default().key("groups").key(group.name.as_str());
        let near = super::super::mistake::meant(group.name.as_str(), used.iter().copied());
        let note = near.map_or_else(String::new, |near| format!("nodes say `{near}`"));
        let help = "name it in `groups:` of a node, or delete it";
        desk.wrong_key(&at, format!("no node is in the group `{}`", group.name), note, help);
    }
}

/// In `nodes:` and `--limit` a word means a group or a node.
fn refuse_double_meanings(desk: &Desk<'_>, groups: &[Group], nodes: &[Node]) {
    for node in nodes {
        if groups.iter().any(|group| group.name.as_str() == node.name.as_str()) {
            let what = format!("`{}` is the name of a node and of a group", node.name);
            desk.wrong(&Path::default().key("nodes"), what, "among these", "give one of them another name");
        }
    }
}
