//! What a report is made of, read once: the files that the run was made of, and its journal.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::command::files::Files;
use crate::command::refusal::Refusal;
use crate::command::runs::Recorded;
use crate::config::{Source, without_secrets};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::model::plan::Plan;
use crate::report::{FileFact, JournalFact};
use crate::transport::hash_bytes;

/// The files that the plan was made of, with their text where that is still the same.
pub(super) fn sources(files: &Files, plan: &Plan) -> Vec<FileFact> {
    let sources = &plan.sources;
    let loaded = [&files.loaded.inventory_source, &files.loaded.procedure_source];
    let fact = |role, path: &Path, sha256: &str| {
        let is_meant = |source: &Source| source.sha256() == sha256;
        // What a program prints is in no file, so what was just read is looked at first.
        let same = loaded.into_iter().find(|source| is_meant(source)).cloned();
        let source = same.or_else(|| file(path).filter(is_meant));
        let text = source.map(|source| without_secrets(source.text()));
        FileFact { role, path: path.to_owned(), sha256: sha256.to_owned(), text }
    };
    let mut facts = vec![fact("inventory", &sources.inventory, &sources.inventory_sha256)];
    // A procedure that is written in the inventory is no file of its own.
    if sources.procedure != sources.inventory {
        facts.push(fact("procedure", &sources.procedure, &sources.procedure_sha256));
    }
    facts
}

/// A file that is nothing but one: a pipe would be waited for, and a program is not what it prints.
fn file(path: &Path) -> Option<Source> {
    let facts = path.metadata().ok()?;
    let is_plain = facts.is_file() && facts.permissions().mode() & 0o111 == 0;
    is_plain.then(|| Source::read(path).ok()).flatten()
}

/// The journal's bytes that the run's records were read from, and what is said of them.
pub(super) fn journal(run: &Recorded, at_work: bool) -> Result<(Vec<u8>, JournalFact), Refusal> {
    let path = run.dir.journal_path();
    let mut bytes = std::fs::read(&path).map_err(|error| {
        Refusal::new(Exit::Broken, format!("{} cannot be read: {error}", path.display()))
            .standing("nothing was written")
    })?;
    if run.flaw.is_none() {
        bytes.truncate(end_of_records(&bytes, run.records.len(), at_work));
    }
    let flaw = run.flaw.as_ref().map(|flaw| match flaw {
        JournalError::Damaged { .. } => "the journal is damaged: this is what precedes the damage".to_owned(),
        other => other.to_string(),
    });
    let sha256 = hash_bytes(&bytes).sha256;
    Ok((bytes, JournalFact { path, sha256, flaw }))
}

/// Where that many records end, if more were written since they were read; else the end of all. What is behind them
/// while somebody is at work is a record that is being written.
fn end_of_records(bytes: &[u8], records: usize, at_work: bool) -> usize {
    let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let last = records.checked_sub(1).and_then(|before| ends.nth(before));
    let is_more = at_work || ends.next().is_some();
    last.filter(|_| is_more).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_since_is_not_looked_at() {
        for (bytes, end) in [("a\nb\n", 4), ("a\nb\nc\n", 4), ("a\nb\nc\nd", 4), ("a\nb\nto", 6), ("", 0)] {
            assert_eq!(end_of_records(bytes.as_bytes(), 2, false), end, "{bytes}");
        }
        assert_eq!(end_of_records(b"a\nb\nto", 2, true), 4);
    }

    #[test]
    fn neither_a_pipe_nor_a_program_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory");
        std::fs::write(&path, "a: 1\n").unwrap();
        assert!(file(&path).is_some());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(file(&path), None);
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(file(&pipe), None);
    }
}
