//! Which nodes are meant: groups, names and globs; `!x` leaves out; a list is their union in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::inventory::Inventory;
use super::name::NodeName;

/// A list of terms, as written in `nodes:`, `of:` and `--limit`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Selector(pub Vec<String>);

/// A term that names no node of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no node matches `{term}`")]
pub struct NoMatch {
    /// The term as written.
    pub term: String,
}

impl Selector {
    /// Every node.
    pub fn all() -> Self {
        Self(vec!["all".to_owned()])
    }

    /// Splits a comma list, as `--limit a,b` has it.
    pub fn from_list(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|term| !term.is_empty()).map(str::to_owned).collect())
    }

    /// The nodes that are meant, each once, in the order of the terms and then of the inventory. A
    /// term that matches nothing is an error, never an empty success (ansible #14693). Terms with
    /// `!` alone leave out of all nodes.
    pub fn resolve(&self, inventory: &Inventory) -> Result<Vec<NodeName>, NoMatch> {
        let matching = |term: &str| -> Result<Vec<NodeName>, NoMatch> {
            let nodes: Vec<_> = inventory
                .nodes
                .iter()
                .filter(|node| {
                    term == "all"
                        || glob(term, node.name.as_str())
                        || node.groups.iter().any(|group| group.as_str() == term)
                })
                .map(|node| node.name.clone())
                .collect();
            if nodes.is_empty() { Err(NoMatch { term: term.to_owned() }) } else { Ok(nodes) }
        };
        let mut chosen: Vec<NodeName> = Vec::new();
        if self.0.iter().all(|term| term.starts_with('!')) {
            chosen = matching("all")?;
        }
        for term in self.0.iter().filter(|term| !term.starts_with('!')) {
            for node in matching(term)? {
                if !chosen.contains(&node) {
                    chosen.push(node);
                }
            }
        }
        for term in self.0.iter().filter_map(|term| term.strip_prefix('!')) {
            let out = matching(term)?;
            chosen.retain(|node| !out.contains(node));
        }
        if chosen.is_empty() {
            return Err(NoMatch { term: self.0.join(",") });
        }
        Ok(chosen)
    }
}

/// Matches `*` and `?`, over characters, without backtracking beyond the last star.
fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, fits) in [
            ("sn*", "sn1", true),
            ("*", "", true),
            ("s?1", "sn1", true),
            ("*1*2", "a1b12", true),
            ("sn", "sn1", false),
            ("a*b", "acd", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }
}
