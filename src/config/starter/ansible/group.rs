//! Groups in groups, made flat: a host of a child is a host of its parents.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The groups of a document.
pub(super) struct Groups<'j> {
    hosts: BTreeMap<&'j str, Vec<&'j str>>,
    children: BTreeMap<&'j str, Vec<&'j str>>,
    vars: BTreeMap<&'j str, &'j Map<String, Value>>,
    hostvars: Option<&'j Map<String, Value>>,
    /// Every group with its distance from the top, the farthest one counts.
    depth: BTreeMap<&'j str, usize>,
}

impl<'j> Groups<'j> {
    pub(super) fn read(document: &'j Map<String, Value>) -> Self {
        let (mut hosts, mut children, mut vars) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, group) in document.iter().filter(|(name, _)| *name != "_meta") {
            // Old programs print the hosts alone.
            let members = if group.is_array() { Some(group) } else { group.get("hosts") };
            hosts.insert(name.as_str(), words(members));
            children.insert(name.as_str(), words(group.get("children")));
            if let Some(all) = group.get("vars").and_then(Value::as_object) {
                vars.insert(name.as_str(), all);
            }
        }
        let hostvars = document.get("_meta").and_then(|meta| meta.get("hostvars")).and_then(Value::as_object);
        let mut groups = Self { hosts, children, vars, hostvars, depth: BTreeMap::new() };
        groups.measure();
        groups
    }

    /// Parents before children, in so many rounds as there are groups: one in itself ends there.
    fn measure(&mut self) {
        self.depth = self.hosts.keys().map(|name| (*name, usize::from(*name != "all"))).collect();
        for _ in 0..self.children.len().min(100) {
            let mut is_settled = true;
            for (parent, children) in &self.children {
                let below = self.depth.get(parent).map_or(1, |depth| depth + 1);
                for child in children {
                    let depth = self.depth.entry(child).or_insert(below);
                    is_settled &= *depth >= below;
                    *depth = (*depth).max(below);
                }
            }
            if is_settled {
                return;
            }
        }
    }

    /// Every host, in the order of the groups.
    pub(super) fn hosts(&self) -> Vec<&'j str> {
        let mut seen = BTreeSet::new();
        let named = self.in_order().into_iter().filter_map(|group| self.hosts.get(group)).flatten().copied();
        let described = self.hostvars.into_iter().flat_map(|vars| vars.keys().map(String::as_str));
        named.chain(described).filter(|host| seen.insert(*host)).collect()
    }

    /// All groups: the parents first, then by name, which is how Ansible lets one win over another.
    pub(super) fn in_order(&self) -> Vec<&'j str> {
        let mut all: Vec<(usize, &'j str)> = self.depth.iter().map(|(name, depth)| (*depth, *name)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, name)| name).collect()
    }

    /// The groups of a host with all above them, the parents first.
    pub(super) fn all_of(&self, host: &str) -> Vec<&'j str> {
        let mut found: BTreeSet<&'j str> =
            self.hosts.iter().filter(|(_, hosts)| hosts.contains(&host)).map(|(name, _)| *name).collect();
        loop {
            let above: Vec<&'j str> = self
                .children
                .iter()
                .filter(|(name, children)| {
                    !found.contains(*name) && children.iter().any(|child| found.contains(child))
                })
                .map(|(name, _)| *name)
                .collect();
            if above.is_empty() {
                break;
            }
            found.extend(above);
        }
        if self.vars.contains_key("all") {
            found.insert("all");
        }
        self.in_order().into_iter().filter(|group| found.contains(group)).collect()
    }

    /// The variables that stand at a group.
    pub(super) fn vars_of(&self, group: &str) -> Option<&'j Map<String, Value>> {
        self.vars.get(group).copied()
    }

    /// The variables of a host.
    pub(super) fn vars_of_host(&self, host: &str) -> Option<&'j Map<String, Value>> {
        self.hostvars?.get(host)?.as_object()
    }
}

fn words(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}
