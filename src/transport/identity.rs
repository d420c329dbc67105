//! What an open connection is: everything that decides where it leads, as whom and by which rules, in one short name.
//!
//! Whatever is in it that changes makes another name, and so a new login: the node and all that the inventory says of
//! the way to it, this version, the agent, the key's file, and the text of ssh's configuration with the files that it
//! includes. What only ssh itself can find out is not in it: where a host's name leads today, which keys the agent
//! holds, what a `Match exec` decides.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::frame::Nonce;
use super::sum::Running;
use crate::model::host::SshTarget;
use crate::model::name::NodeName;

/// What of the environment decides who ssh says that it is.
const SURROUNDINGS: [&str; 2] = ["SSH_AUTH_SOCK", "KRB5CCNAME"];

/// As many letters as a socket's path has room for.
const LETTERS: usize = 16;

/// Configurations that include each other; ssh's own limit.
const DEEPEST: usize = 16;

/// The name of the connection to a node, as everything is now.
pub(super) fn identity(node: &NodeName, target: &SshTarget) -> String {
    let mut sum = Running::default();
    // How long something may take decides nothing of where it leads.
    let way =
        SshTarget { connect_timeout: Duration::ZERO, reconnect_timeout: Duration::ZERO, ..target.clone() };
    let said = serde_json::to_string(&(env!("CARGO_PKG_VERSION"), node, way)).unwrap_or_default();
    part(&mut sum, said.as_bytes());
    for name in SURROUNDINGS {
        part(&mut sum, std::env::var_os(name).unwrap_or_default().as_encoded_bytes());
    }
    if let Some(file) = &target.identity_file {
        let stamp = fs::metadata(file)
            .map(|facts| (facts.dev(), facts.ino(), facts.size(), facts.mtime(), facts.mtime_nsec()));
        part(&mut sum, format!("{:?}", stamp.ok()).as_bytes());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let own = home.join(".ssh");
    let mut reading = Reading { sum: &mut sum, home: &home, seen: BTreeSet::new() };
    if let Some(file) = &target.config_file {
        reading.file(file, &own, 0);
    } else {
        reading.file(&own.join("config"), &own, 0);
        reading.file(Path::new("/etc/ssh/ssh_config"), Path::new("/etc/ssh"), 0);
    }
    let mut name = sum.sum().sha256;
    name.truncate(LETTERS);
    name
}

/// Adds a part so that no two lists of parts are the same bytes.
fn part(sum: &mut Running, bytes: &[u8]) {
    sum.take(&bytes.len().to_be_bytes());
    sum.take(bytes);
}

/// Goes through a configuration and what it includes.
struct Reading<'a> {
    sum: &'a mut Running,
    home: &'a Path,
    seen: BTreeSet<PathBuf>,
}

impl Reading<'_> {
    fn file(&mut self, path: &Path, base: &Path, depth: usize) {
        if depth > DEEPEST || !self.seen.insert(path.to_owned()) {
            return;
        }
        part(self.sum, path.as_os_str().as_encoded_bytes());
        // A device or a pipe has nothing to say twice.
        let is_file = fs::metadata(path).is_ok_and(|facts| facts.is_file());
        let Some(text) = is_file.then(|| fs::read(path).ok()).flatten() else {
            return part(self.sum, b"-");
        };
        part(self.sum, &text);
        for line in String::from_utf8_lossy(&text).lines() {
            for pattern in included(line) {
                self.include(&pattern, base, depth);
            }
        }
    }

    fn include(&mut self, pattern: &str, base: &Path, depth: usize) {
        if pattern.contains(['$', '%']) {
            // Where that leads is ssh's to know: no two connections are taken for the same.
            let never = Nonce::draw()
                .map_or_else(|_| format!("{:?}", std::time::Instant::now()), |nonce| nonce.hex().to_owned());
            return part(self.sum, never.as_bytes());
        }
        let path = match pattern.strip_prefix("~/") {
            Some(rest) => self.home.join(rest),
            None => base.join(pattern),
        };
        for file in matching(&path) {
            self.file(&file, base, depth + 1);
        }
    }
}

/// The patterns that a line includes.
fn included(line: &str) -> Vec<String> {
    let line = line.trim_start();
    let end = line.find(|c: char| c.is_whitespace() || c == '=' || c == '"').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    if !keyword.eq_ignore_ascii_case("include") {
        return Vec::new();
    }
    let rest = rest.trim_start().trim_start_matches('=');
    // Within quotes spaces belong to the path.
    let halves = rest.split('"').enumerate();
    let words = halves.flat_map(
        |(at, half)| {
            if at % 2 == 1 { vec![half] } else { half.split_whitespace().collect() }
        },
    );
    words.map(str::to_owned).collect()
}

/// The files that a pattern may stand for, in order. It is taken wider than ssh does: one file too many only costs a
/// login when that file changes.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for word in pattern.components() {
        let text = word.as_os_str().to_string_lossy();
        let Some(wild) = text.find(['*', '?', '[']) else {
            for path in &mut found {
                path.push(word);
            }
            continue;
        };
        let lists = found.iter().filter_map(|path| fs::read_dir(path).ok());
        let entries = lists.flat_map(Iterator::flatten);
        let fits = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&text[..wild]));
        found = fits.map(|entry| entry.path()).collect();
        found.sort();
    }
    found
}
