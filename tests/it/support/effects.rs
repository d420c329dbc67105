//! Steps that say on the cluster's one log that they ran, and the journal that must agree with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::cluster::Cluster;

static WORDS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(LOG|ON|OPERATOR)\(([^)]*)\)").unwrap());

/// Writes out the effects in a procedure: `LOG(drain)` logs `n1 drain` in the turn of `n1`; `ON(drain)`
/// names the machine where it runs as well, as in `n1 drain on n2`; `OPERATOR(note)` is for steps on the
/// operator's machine, which knows no variable of a node.
pub(crate) fn effects(yaml: &str) -> String {
    let script = |found: &Captures<'_>| {
        let word = &found[2];
        match &found[1] {
            "LOG" => format!(r#"echo "$ROLLGATE_NODE {word}" >> "$effects""#),
            "ON" => format!(r#"echo "$ROLLGATE_NODE {word} on $ROLLGATE_ON" >> "$effects""#),
            _ => format!(r#"echo "$ROLLGATE_NODE {word}" >> "$ROLLGATE_RUN_DIR/../../../../effects""#),
        }
    };
    WORDS.replace_all(yaml, script).into_owned()
}

/// How often each line is in a log.
pub(crate) fn counted(log: &[String]) -> BTreeMap<String, usize> {
    log.iter().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line.clone()).or_default() += 1;
        counts
    })
}

impl Cluster {
    /// `start` without a terminal: every gate that opens is passed.
    #[track_caller]
    pub(crate) fn start(&self, flags: &[&str]) -> super::Invocation {
        self.rollgate(["start", "--yes", "--confirm", "test"]).args(flags)
    }

    /// `start --resume` without a terminal.
    #[track_caller]
    pub(crate) fn resume(&self) -> super::Invocation {
        self.start(&["--resume"])
    }

    /// The directory of the one run that there is.
    #[track_caller]
    pub(crate) fn run_dir(&self) -> PathBuf {
        only_entry(&self.path("state/test/runs"))
    }

    /// The journal of the one run: the name of each event with its fields.
    #[track_caller]
    pub(crate) fn history(&self) -> Vec<(String, Value)> {
        let text = std::fs::read_to_string(self.run_dir().join("journal.ndjson")).unwrap();
        text.lines()
            .map(|line| {
                let record: Value = serde_json::from_str(line).unwrap();
                let (name, fields) = record["event"].as_object().unwrap().iter().next().unwrap();
                (name.clone(), fields.clone())
            })
            .collect()
    }

    /// The journal's events of one name.
    #[track_caller]
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        self.history().into_iter().filter(|(found, _)| found == name).map(|(_, fields)| fields).collect()
    }
}

#[track_caller]
fn only_entry(dir: &Path) -> PathBuf {
    let entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

/// Shell code after which nobody knows how its step ends: it kills the process that watches over it and would
/// have said so, then is gone itself. Whatever may be known of a step by another way, this is not.
pub(crate) const VANISH: &str = r#"for owner in "$dir"/rollgate/*/runs/*/jobs/*/owner; do grep -qs kept "${owner%owner}exit" || { read -r _ _ _ pid _ <"$owner"; kill -9 "$pid" || :; }; done; exit 1"#;

/// Waits for the release of the test: it creates the file `go`.
pub(crate) const HELD: &str = r#"while [ ! -e "$dir/go" ]; do sleep 0.05; done"#;
