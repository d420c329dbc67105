//! What `ansible-inventory --list` prints, as an inventory: `{"GROUP": {"hosts": [], "children": [], "vars": {}},
//! "_meta": {"hostvars": {"HOST": {}}}}`. Ansible has merged its variables already; with `--export` they stand at
//! their groups.

mod connection;
mod group;
mod variable;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::address::{fit_name, made_name};
use super::note::{Notes, ascii};
use super::{Entry, Starter, Vars, common};
use crate::model::name::GroupName;
use connection::Connection;
use group::Groups;

/// Why a text is no inventory of Ansible's, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NoInventory {
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl NoInventory {
    fn new(what: impl Into<String>) -> Self {
        let help = "it is what this prints: ansible-inventory -i INVENTORY --list > hosts.json";
        Self { what: what.into(), help: help.to_owned() }
    }
}

/// A host of Ansible's on its way.
struct Host<'j> {
    alias: &'j str,
    groups: Vec<&'j str>,
    vars: Vars,
    connection: Connection,
}

/// Reads Ansible's JSON.
pub(super) fn read(json: &str) -> Result<Starter, NoInventory> {
    let document: Value = serde_json::from_str(json)
        .map_err(|error| NoInventory::new(format!("this is not JSON: {}", ascii(&error.to_string()))))?;
    let Value::Object(document) = document else {
        return Err(NoInventory::new("this is JSON, and no inventory of Ansible's"));
    };
    let groups = Groups::read(&document);
    let mut remarks = Notes::default();
    let hosts: Vec<Host<'_>> =
        groups.hosts().into_iter().map(|alias| host(&groups, alias, &mut remarks)).collect();
    if hosts.is_empty() {
        return Err(NoInventory::new("there is no host in it"));
    }
    let mut starter = Starter::default();
    let mut nodes = nodes(hosts, &mut remarks);
    if nodes.is_empty() {
        return Err(NoInventory::new(
            "none of its hosts can be a node: ".to_owned() + &remarks.into_lines().join("; "),
        ));
    }
    settle_connections(&mut starter, &mut nodes, &mut remarks);
    starter.nodes = nodes.into_iter().map(|(entry, _)| entry).collect();
    settle_groups(&mut starter, &groups, &mut remarks);
    settle_vars(&mut starter, &groups, &mut remarks);
    starter.left_out = remarks.into_lines();
    Ok(starter)
}

/// A host with what is said of it and of its groups.
fn host<'j>(groups: &Groups<'j>, alias: &'j str, remarks: &mut Notes) -> Host<'j> {
    let own = groups.vars_of_host(alias);
    let mut merged = Map::new();
    for vars in groups.all_of(alias).iter().filter_map(|group| groups.vars_of(group)).chain(own) {
        merged.extend(vars.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    let connection = Connection::read(&merged, alias, remarks);
    let vars = own.map(|own| variable::all(own, alias, remarks)).unwrap_or_default();
    let named = groups.all_of(alias).into_iter().filter(|group| !matches!(*group, "all" | "ungrouped"));
    Host { alias, groups: named.collect(), vars, connection }
}

/// The hosts that can be nodes, each name and machine once.
fn nodes(hosts: Vec<Host<'_>>, remarks: &mut Notes) -> Vec<(Entry, Connection)> {
    let mut names = BTreeSet::new();
    let mut machines = BTreeSet::new();
    let mut nodes = Vec::new();
    for host in hosts {
        let has_name = fit_name(host.alias).is_ok();
        let name = if has_name { host.alias.to_owned() } else { made_name(host.alias) };
        if let Err(why) = fit_name(&name) {
            remarks.add(format!("a host: {why}"), host.alias);
            continue;
        }
        let address = host.connection.host.clone().unwrap_or_else(|| host.alias.to_owned());
        if !host.connection.is_local && !connection::is_host(&address) {
            remarks.add("a host whose address cannot be given to ssh", host.alias);
            continue;
        }
        if !names.insert(name.clone()) {
            remarks.add(format!("a host: there is a node `{name}` already"), host.alias);
            continue;
        }
        if !host.connection.is_local && !machines.insert((address.clone(), host.connection.port)) {
            remarks.add(format!("a host: another node is the same machine, {address}"), host.alias);
            continue;
        }
        let entry = Entry {
            host: (!host.connection.is_local && address != name).then_some(address),
            name,
            port: host.connection.port,
            user: host.connection.user.clone(),
            is_local: host.connection.is_local,
            become_with: None,
            groups: host.groups.iter().map(|&group| group.to_owned()).collect(),
            vars: host.vars,
        };
        nodes.push((entry, host.connection));
    }
    nodes
}

/// What all nodes have in common stands once; what only the cluster can say is left out where nodes differ.
fn settle_connections(starter: &mut Starter, nodes: &mut [(Entry, Connection)], remarks: &mut Notes) {
    let remote = || nodes.iter().filter(|(entry, _)| !entry.is_local);
    let user = common(remote().map(|(entry, _)| entry.user.clone()));
    if let Some(user) = user {
        starter.ssh.push(("user", user));
        for (entry, _) in nodes.iter_mut() {
            entry.user = None;
        }
    }
    let remote = || nodes.iter().filter(|(entry, _)| !entry.is_local);
    for (key, said) in [
        ("identity_file", remote().map(|(_, way)| way.identity_file.clone()).collect::<Vec<_>>()),
        ("jump", remote().map(|(_, way)| way.jump.clone()).collect()),
    ] {
        match common(said.iter().cloned()) {
            Some(value) => starter.ssh.push((key, value)),
            None => {
                for ((entry, _), _) in remote().zip(&said).filter(|(_, said)| said.is_some()) {
                    let what = format!("`{key}`, which not all nodes share: write it into ~/.ssh/config");
                    remarks.add(what, &entry.name);
                }
            }
        }
    }
    let ways: Vec<Option<&'static str>> = nodes.iter().map(|(_, way)| way.become_with).collect();
    match common(ways.iter().copied()) {
        Some(way) => starter.become_with = Some(way),
        None => nodes.iter_mut().zip(ways).for_each(|((entry, _), way)| entry.become_with = way),
    }
}

/// Groups whose names can be groups here and are no node's.
fn settle_groups(starter: &mut Starter, groups: &Groups<'_>, remarks: &mut Notes) {
    let names: BTreeSet<String> = starter.nodes.iter().map(|node| node.name.clone()).collect();
    let mut left = BTreeSet::new();
    for group in starter.nodes.iter().flat_map(|node| node.groups.clone()).collect::<BTreeSet<_>>() {
        if let Err(why) = GroupName::parse(&group) {
            remarks.add(format!("a group: {why}"), &group);
            left.insert(group);
        } else if names.contains(&group) {
            remarks.add("a group with the name of a node", &group);
            left.insert(group);
        }
    }
    for node in &mut starter.nodes {
        node.groups.retain(|group| !left.contains(group));
    }
    // The nearer group is the later one here, as in Ansible.
    let used: BTreeSet<&String> = starter.nodes.iter().flat_map(|node| &node.groups).collect();
    let in_order = groups.in_order().into_iter().filter(|group| used.contains(&(*group).to_owned()));
    starter.groups = in_order
        .map(|group| {
            let vars = groups.vars_of(group).map(|vars| variable::all(vars, group, remarks));
            (group.to_owned(), vars.unwrap_or_default())
        })
        .collect();
}

/// Variables of all; one that every node has with the same value is the cluster's.
fn settle_vars(starter: &mut Starter, groups: &Groups<'_>, remarks: &mut Notes) {
    starter.vars = groups.vars_of("all").map(|vars| variable::all(vars, "all", remarks)).unwrap_or_default();
    let nearer: BTreeSet<&String> =
        starter.groups.iter().flat_map(|(_, vars)| vars).map(|(name, _)| name).collect();
    let [first, rest @ ..] = starter.nodes.as_slice() else { return };
    let shared: Vec<(String, String)> = first
        .vars
        .iter()
        .filter(|(name, _)| !nearer.contains(name))
        .filter(|var| !rest.is_empty() && rest.iter().all(|node| node.vars.contains(var)))
        .cloned()
        .collect();
    for node in &mut starter.nodes {
        node.vars.retain(|var| !shared.contains(var));
    }
    starter.vars.retain(|(name, _)| shared.iter().all(|(other, _)| other != name));
    starter.vars.extend(shared);
}
