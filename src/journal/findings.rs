//! What the last dry run found, kept on this machine for the next one: `STATE/CLUSTER/dry-run.json`. The only thing
//! that a dry run writes anywhere.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ClusterDir, JournalError, private};
use crate::model::findings::Findings;
use crate::model::name::ClusterName;

/// What the file calls itself.
const FORMAT: &str = "rollgate/dry-run-findings";
/// The format that this rollgate reads and writes.
const VERSION: u32 = 1;
/// No cluster's findings are as long as this; what is longer is none.
const LONGEST: u64 = 64 << 20;

/// What is kept of the last dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// What it found.
    Found(Box<Findings>),
    /// Something that this rollgate cannot use, and why.
    Useless(String),
}

/// What can be read of any format, to tell a later one from damage.
#[derive(Deserialize)]
struct Head {
    format: String,
    format_version: u32,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    format_version: u32,
    cluster: ClusterName,
    findings: Findings,
}

impl ClusterDir {
    fn findings_path(&self) -> PathBuf {
        self.path().join("dry-run.json")
    }

    /// Reads what the last dry run found.
    pub fn findings(&self) -> Result<Kept, JournalError> {
        let path = self.findings_path();
        let failed = |source| JournalError::io("read", &path, source);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::Nothing),
            Err(error) => return Err(failed(error)),
        }
        private::trusted_directory(self.path())?;
        let mut bytes = Vec::new();
        private::readable_file(&path)?.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
        let useless = |why: String| Ok(Kept::Useless(format!("{} {why}", path.display())));
        match serde_json::from_slice::<Head>(&bytes) {
            Ok(head) if head.format == FORMAT && head.format_version > VERSION => {
                return useless(format!("has format {}, of a later rollgate", head.format_version));
            }
            Ok(head) if head.format == FORMAT => {}
            _ => return useless("is damaged".to_owned()),
        }
        match serde_json::from_slice::<File>(&bytes) {
            Ok(file) => Ok(Kept::Found(Box::new(file.findings))),
            Err(_) => useless("is damaged".to_owned()),
        }
    }

    /// Keeps what a dry run found, in the place of what the last one did; whole or not at all.
    pub fn keep_findings(&self, findings: &Findings) -> Result<(), JournalError> {
        self.prepare_own()?;
        let path = self.findings_path();
        let failed = |source| JournalError::io("write", &path, source);
        let file = File {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            cluster: self.name().clone(),
            findings: findings.clone(),
        };
        let mut text =
            serde_json::to_string_pretty(&file).map_err(|source| JournalError::Unrecordable { source })?;
        text.push('\n');
        let mut new = tempfile::Builder::new()
            .prefix(".dry-run.")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(self.path())
            .map_err(failed)?;
        new.write_all(text.as_bytes()).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
        new.persist(&path).map_err(|error| failed(error.error))?;
        private::sync_parent(&path)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::journal::StateDir;

    fn findings() -> Findings {
        let at = "2026-11-20T01:00:00Z".parse().unwrap();
        Findings { at, files: BTreeMap::new(), nodes: BTreeMap::new() }
    }

    #[test]
    fn what_is_kept_is_read_back_by_its_owner_alone() {
        let temp = tempfile::tempdir().unwrap();
        let cluster = StateDir::at(temp.path().join("state")).cluster(&ClusterName::parse("mq").unwrap());
        assert_eq!(cluster.findings().unwrap(), Kept::Nothing);
        cluster.keep_findings(&findings()).unwrap();
        cluster.keep_findings(&findings()).unwrap();
        assert_eq!(cluster.findings().unwrap(), Kept::Found(Box::new(findings())));
        let entries: Vec<_> = std::fs::read_dir(cluster.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0].metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn what_cannot_be_used_is_said_and_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let cluster = StateDir::at(temp.path().join("state")).cluster(&ClusterName::parse("mq").unwrap());
        cluster.keep_findings(&findings()).unwrap();
        let path = cluster.findings_path();
        let whole = std::fs::read_to_string(&path).unwrap();
        let newer = whole.replace("\"format_version\": 1", "\"format_version\": 2");
        for (text, why) in [
            (&whole[..whole.len() / 2], "is damaged"),
            ("", "is damaged"),
            ("{}", "is damaged"),
            (newer.as_str(), "has format 2, of a later rollgate"),
        ] {
            std::fs::write(&path, text).unwrap();
            match cluster.findings().unwrap() {
                Kept::Useless(said) => assert!(said.ends_with(why), "{said}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
        cluster.keep_findings(&findings()).unwrap();
        assert_eq!(cluster.findings().unwrap(), Kept::Found(Box::new(findings())));
    }
}
