//! Nodes as they are typed: `[user@]host[:port]`, an IPv6 address in brackets, a range as in an inventory.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::super::lower::range;
use super::Entry;
use crate::model::host::host_is_safe;
use crate::model::name::NodeName;

/// The longest name of a node.
const LONGEST: usize = 64;

/// Why a word is no node, and what would be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct BadAddress {
    /// What is wrong with it.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl BadAddress {
    fn new(what: impl Into<String>, help: &str) -> Self {
        Self { what: what.into(), help: help.to_owned() }
    }
}

const FORM: &str = "a node is [user@]host[:port]; a host has letters, digits and `._-`, or is an IPv6 address in \
                    brackets";

/// The nodes that words name, each once.
pub(super) fn entries<'w>(words: impl IntoIterator<Item = &'w str>) -> Result<Vec<Entry>, BadAddress> {
    let mut entries = Vec::new();
    let mut machines = BTreeMap::new();
    for word in words {
        let entry = entry(word)?;
        // The host is the name, or the name is made of it: two with one name are one.
        for name in range::expand(&entry.name).unwrap_or_default() {
            if let Some(first) = machines.insert(name, word) {
                let what = format!("`{first}` and `{word}` are the same node");
                let help = "name each node once; two on one machine get names of their own in the file";
                return Err(BadAddress::new(what, help));
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(word: &str) -> Result<Entry, BadAddress> {
    let (user, rest) = match word.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, word),
    };
    if let Some(user) = user
        && (!host_is_safe(user) || user.contains([':', '@', '[', ']']))
    {
        let what = format!("`{user}` in `{word}` cannot be a login name");
        return Err(BadAddress::new(what, "letters, digits and `._-`, not beginning with `-`"));
    }
    let (host, port) = split_port(word, rest)?;
    let port = port.map(|port| self::port(word, port)).transpose()?;
    let (name, host) = named(word, host)?;
    Ok(Entry { name, host, port, user: user.map(str::to_owned), ..Entry::default() })
}

/// The host, without the brackets of an IPv6 address, and the text of the port.
fn split_port<'w>(word: &str, rest: &'w str) -> Result<(&'w str, Option<&'w str>), BadAddress> {
    if let Some(inner) = rest.strip_prefix('[')
        && let Some((address, after)) = inner.split_once(']')
        && address.contains(':')
    {
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(BadAddress::new(format!("`{address}` in `{word}` is no IPv6 address"), FORM));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((address, Some(port))),
            None if after.is_empty() => Ok((address, None)),
            None => Err(BadAddress::new(format!("`{after}` in `{word}` is no port"), FORM)),
        };
    }
    match rest.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            let what = format!("`{word}` could be read in two ways");
            Err(BadAddress::new(what, "an IPv6 address stands in brackets: [2001:db8::1]:22"))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((rest, None)),
    }
}

fn port(word: &str, port: &str) -> Result<u16, BadAddress> {
    let digits = !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    digits.then(|| port.parse().ok()).flatten().filter(|port| *port != 0).ok_or_else(|| {
        BadAddress::new(format!("`{port}` in `{word}` is no port"), "a number from 1 to 65535")
    })
}

/// The name of a node for its host, and the host where it is another.
fn named(word: &str, host: &str) -> Result<(String, Option<String>), BadAddress> {
    if host.is_empty() {
        return Err(BadAddress::new(format!("`{word}` names no host"), FORM));
    }
    let hosts = range::expand(host).map_err(|why| {
        BadAddress::new(format!("`{word}`: {why}"), "a range is such as web[1-3] or web[01-12]")
    })?;
    let is_address = host.parse::<Ipv6Addr>().is_ok();
    let unfit = |host: &&String| !host_is_safe(host) || host.contains(['[', ']', '@']);
    if !is_address && hosts.iter().any(|host| unfit(&host)) {
        return Err(BadAddress::new(format!("`{word}` cannot be a host"), FORM));
    }
    let name = if is_address || host.len() > LONGEST { made_name(host) } else { host.to_owned() };
    for name in range::expand(&name).unwrap_or_default() {
        fit_name(&name).map_err(|why| BadAddress::new(format!("`{word}`: {why}"), FORM))?;
    }
    let host = (name != host).then(|| host.to_owned());
    Ok((name, host))
}

/// Whether a node can have this name.
pub(super) fn fit_name(name: &str) -> Result<(), String> {
    match NodeName::parse(name) {
        Ok(name) if name.is_operator() => Err(format!("`{name}` means the operator's own machine")),
        Ok(_) => Ok(()),
        Err(why) => Err(why.to_string()),
    }
}

/// A name for a host whose own cannot be one: the first label, or its letters and digits.
pub(super) fn made_name(host: &str) -> String {
    if let Some((label, _)) = host.split_once('.').filter(|_| host.len() > LONGEST) {
        return label.to_owned();
    }
    let word: String = host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = if host.parse::<Ipv6Addr>().is_ok() { format!("ip-{word}") } else { word };
    name.trim_start_matches('-').chars().take(LONGEST).collect()
}
