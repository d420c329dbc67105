//! A journal without a disk: the engine's tests read what was recorded and choose where it fails.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use super::line::Chain;
use super::{Journal, JournalError};
use crate::model::event::{Event, Record};

/// Keeps records in memory, by the same rules as the file: dense numbers, only what reads back, and
/// silence for good after the first failure.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Vec<Record>,
    chain: Chain,
    fails_at: Option<u64>,
    failed: bool,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty journal whose append of record `seq` fails, as on a full disk.
    pub fn failing_at(seq: u64) -> Self {
        Self { fails_at: Some(seq), ..Self::default() }
    }

    /// What was recorded, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, event: &Event, at: Timestamp) -> Result<Record, JournalError> {
        let path = || PathBuf::from("memory");
        if self.failed {
            return Err(JournalError::Poisoned { path: path() });
        }
        let (line, after) =
            self.chain.encode(event, at).map_err(|source| JournalError::Unrecordable { source })?;
        if self.fails_at == Some(self.records.len() as u64) {
            self.failed = true;
            let source = io::ErrorKind::StorageFull.into();
            return Err(JournalError::Lost { doing: "write", path: path(), record: line, source });
        }
        let record = self.chain.read_back(&line)?;
        self.chain = after;
        self.records.push(record.clone());
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fails_where_it_was_told_and_stays_failed() {
        let mut journal = MemoryJournal::failing_at(1);
        let mut append = |phase| journal.append(&Event::PhaseEnded { phase }, Timestamp::UNIX_EPOCH);
        assert_eq!(append(0).unwrap().seq, 0);
        let lost = append(1).unwrap_err();
        assert!(matches!(&lost, JournalError::Lost { record, .. } if record.contains(r#"{"phase":1}"#)));
        assert!(matches!(append(2).unwrap_err(), JournalError::Poisoned { .. }));
        assert_eq!(journal.records().len(), 1);
    }
}
