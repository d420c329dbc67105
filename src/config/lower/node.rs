//! Nodes: ranges expanded, cluster-wide settings taken over.

use std::collections::BTreeMap;

use super::super::path::Path;
use super::super::raw::inventory::{RawNode, RawSecret};
use super::super::raw::words::CONNECTIONS;
use super::super::raw::{Entries, Given as _, Scalar};
use super::desk::Desk;
use super::inventory::Defaults;
use super::range;
use super::rights::rights;
use crate::model::host::{Connection, SshTarget};
use crate::model::inventory::Node;
use crate::model::name::{GroupName, NodeName};

/// The most nodes of one cluster.
const MOST_NODES: usize = 5000;

/// All nodes in the order of the file, each name and machine once.
pub(super) fn nodes(
    desk: &Desk<'_>,
    path: &Path,
    raw: &[RawNode],
    defaults: &Defaults,
    secrets: Option<&Entries<RawSecret>>,
) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut names: BTreeMap<NodeName, usize> = BTreeMap::new();
    let mut machines: BTreeMap<(String, Option<u16>), NodeName> = BTreeMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = path.index(index);
        for node in entry(desk, &at, raw, defaults, secrets) {
            if names.insert(node.name.clone(), index).is_some() {
                let what = format!("there are two nodes `{}`", node.name);
                desk.wrong(&at.key("name"), what, "second one here", "give it another name");
            } else if let Connection::Ssh(target) = &node.connection
                && let Some(other) = machines.insert((target.host.clone(), target.port), node.name.clone())
            {
                let what = format!("`{}` and `{other}` are the same machine, {}", node.name, target.host);
                let key = if raw.host.is_some() { "host" } else { "name" };
                let help = "two nodes on one machine need ports of their own: port: 2222";
                desk.wrong(&at.key(key), what, "second time here", help);
            }
            nodes.push(node);
        }
        if nodes.len() > MOST_NODES {
            desk.wrong(&at, format!("these are more than {MOST_NODES} nodes"), "too many here", "");
            break;
        }
    }
    nodes
}

/// The nodes that one entry stands for.
fn entry(
    desk: &Desk<'_>,
    path: &Path,
    raw: &RawNode,
    defaults: &Defaults,
    secrets: Option<&Entries<RawSecret>>,
) -> Vec<Node> {
    let names = names(desk, path, raw);
    let local = local(desk, path, raw);
    let hosts = hosts(desk, path, raw, &names, local);
    let rights = match &raw.r#become {
        Some(value) => rights(desk, &path.key("become"), value, secrets),
        None => Some(defaults.rights.clone()),
    };
    let state_dir = match &raw.state_dir {
        Some(directory) => desk.remote_path(&path.key("state_dir"), directory),
        None => defaults.state_dir.clone(),
    };
    let user = match &raw.user {
        Some(user) => desk.host(&path.key("user"), user),
        None => defaults.user.clone(),
    };
    let password = match &raw.password {
        Some(name) => desk.secret(&path.key("password"), name, &defaults.secrets),
        None => defaults.password.clone(),
    };
    if raw.port == Some(0) {
        desk.wrong(&path.key("port"), "0 is no port", "this value", "1 to 65535; without the key ssh's own");
    }
    let groups = groups(desk, path, raw);
    let vars = desk.vars(&path.key("vars"), raw.vars.as_ref());
    let (Some(local), Some(rights)) = (local, rights) else { return Vec::new() };
    let connection = |host: String| {
        if local {
            return Connection::Local;
        }
        Connection::Ssh(SshTarget {
            host,
            port: raw.port.or(defaults.port),
            user: user.clone(),
            identity_file: defaults.identity_file.clone(),
            password: password.clone(),
            jump: defaults.jump.clone(),
            config_file: defaults.config_file.clone(),
            known_hosts: defaults.known_hosts.clone(),
            accept_new_host_keys: defaults.accept_new_host_keys,
            connect_timeout: defaults.connect_timeout,
            reconnect_timeout: defaults.reconnect_timeout,
            persist: defaults.persist,
        })
    };
    names
        .into_iter()
        .zip(hosts)
        .map(|(name, host)| Node {
            name,
            connection: connection(host),
            become_with: rights.with,
            become_password: rights.password.clone(),
            state_dir: state_dir.clone(),
            groups: groups.clone(),
            vars: vars.clone(),
        })
        .collect()
}

fn names(desk: &Desk<'_>, path: &Path, raw: &RawNode) -> Vec<NodeName> {
    let Some(name) = &raw.name else {
        desk.missing(path, "name", "what the node is called on screens and in `--limit`");
        return Vec::new();
    };
    let at = path.key("name");
    let Some(text) = desk.text(&at, name) else { return Vec::new() };
    let texts = match range::expand(&text) {
        Ok(texts) => texts,
        Err(why) => {
            desk.wrong(&at, why, "this range", "such as sn[1-3] or web[01-12]");
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for text in texts {
        match desk.name(&at, &Scalar::Text(text), NodeName::parse) {
            Some(name) => names.push(name),
            // The others of the range have the same fault.
            None => return Vec::new(),
        }
    }
    names
}

/// Whether commands run here instead of over ssh.
fn local(desk: &Desk<'_>, path: &Path, raw: &RawNode) -> Option<bool> {
    let Some(value) = &raw.connection else { return Some(false) };
    let local = desk.choice(&path.key("connection"), value, CONNECTIONS)?;
    if local {
        for key in raw.given().into_iter().filter(|key| ["host", "port", "user", "password"].contains(key)) {
            let what = format!("`{key}` does not apply to `connection: local`");
            desk.wrong_key(&path.key(key), what, "not here", "commands run on this machine, as you");
        }
    }
    Some(local)
}

/// A host for each name: a range of the same length, or the name itself.
fn hosts(
    desk: &Desk<'_>,
    path: &Path,
    raw: &RawNode,
    names: &[NodeName],
    local: Option<bool>,
) -> Vec<String> {
    let own_names = || names.iter().map(ToString::to_string).collect();
    let at = path.key("host");
    let Some(host) = raw.host.as_ref().filter(|_| local != Some(true)) else { return own_names() };
    let Some(text) = desk.text(&at, host) else { return own_names() };
    let hosts = match range::expand(&text) {
        Ok(hosts) => hosts,
        Err(why) => {
            desk.wrong(&at, why, "this range", "such as 10.0.0.[11-13]");
            return own_names();
        }
    };
    if !names.is_empty() && hosts.len() != names.len() {
        let what = format!("{} names and {} hosts", names.len(), hosts.len());
        let note = if range::is_range(&text) { "this range has another length" } else { "no range here" };
        desk.wrong(&at, what, note, "both sides must agree: name: \"sn[1-3]\", host: \"10.0.0.[1-3]\"");
        return own_names();
    }
    for host in &hosts {
        if desk.host(&at, &Scalar::Text(host.clone())).is_none() {
            break;
        }
    }
    hosts
}

fn groups(desk: &Desk<'_>, path: &Path, raw: &RawNode) -> Vec<GroupName> {
    let at = path.key("groups");
    let mut groups = Vec::new();
    for (at, group) in raw.groups.as_ref().map_or_else(Vec::new, |groups| desk.list(&at, groups)) {
        let Some(name) = desk.name(&at, group, GroupName::parse) else { continue };
        if groups.contains(&name) {
            desk.wrong(&at, format!("`{name}` stands here twice"), "second time here", "delete one of them");
        } else {
            groups.push(name);
        }
    }
    groups
}
