//! The journal's reader: whatever stands in the file, what is read is what was written, up to where it is broken.

#![no_main]

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rollgate::journal::{self, Contents, End, Journal as _, MemoryJournal, proven};
use rollgate::model::event::Record;
use rollgate::model::history::histories;
use rollgate::model::planner;
use rollgate::model::schedule;
use rollgate::model::state::RunState;

/// Begins a text that is read as it stands. Any other is sealed first: raw bytes almost never match their checksum, and
/// nothing behind it would be reached.
const AS_IT_STANDS: u8 = b'#';

/// In what `run` gives as the place for temporary files, and removes.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| tempfile::tempdir().expect("a place for a file").keep().join("journal.ndjson"));

fuzz_target!(|bytes: &[u8]| {
    let text = &*match bytes.split_first() {
        Some((&AS_IT_STANDS, text)) => Cow::Borrowed(text),
        _ => Cow::Owned(seal(bytes)),
    };
    let (records, good) = proven(text);
    agrees(text, &records, good);
    if records.is_empty() {
        return;
    }
    reads_back(&records);
    is_broken_by_a_change(text, &records, good, bytes);
    folds(&records);
});

/// Gives each line the checksum that belongs there. The format is written down in `journal::line`; this is it once
/// more, independently.
fn seal(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut sum = crc32fast::Hasher::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            text.extend_from_slice(line);
            break;
        };
        let body = line.strip_suffix(b"}").unwrap_or(line);
        sum.update(body);
        text.extend_from_slice(body);
        text.extend_from_slice(format!(",\"crc\":\"{:08x}\"}}\n", sum.clone().finalize()).as_bytes());
    }
    text
}

/// The reader of files says the same, and says of what follows whether a crash explains it.
fn agrees(text: &[u8], records: &[Record], good: usize) {
    assert_eq!(text[..good].iter().filter(|byte| **byte == b'\n').count(), records.len());
    assert!(records.iter().zip(0..).all(|(record, n)| record.seq == n), "numbers leave none out");
    fs::write(&*FILE, text).expect("the file takes it");
    let Contents { records: read, version, end } = journal::read(&FILE).expect("it can be opened");
    assert_eq!(read, records);
    let rest = &text[good..];
    match end {
        End::Clean => assert!(rest.is_empty()),
        End::Torn { bytes, .. } => {
            assert_eq!(bytes, rest.len() as u64);
            assert!(!rest.is_empty() && !rest.contains(&b'\n'), "a whole line is not torn");
        }
        End::Damaged { line, .. } => {
            assert!(rest.contains(&b'\n'), "half a line is torn, not damaged");
            assert_eq!(line, records.len() as u64 + 1);
        }
    }
    let damaged = matches!(end, End::Damaged { .. });
    let flaw = Contents { records: read, version, end }.flaw(&FILE);
    assert_eq!(flaw.is_some(), damaged || version > journal::VERSION, "damage and a newer format end it");
}

/// What was accepted can be written again, and reads the same.
fn reads_back(records: &[Record]) {
    let mut again = MemoryJournal::new();
    for record in records {
        let kept = again.append(&record.event, record.at).expect("what was read can be written");
        assert_eq!(&kept, record);
    }
}

/// One bit of what was accepted is turned: from that line on nothing is believed.
fn is_broken_by_a_change(text: &[u8], records: &[Record], good: usize, seed: &[u8]) {
    let at = crc32fast::hash(seed) as usize % good;
    let line = text[..at].iter().filter(|byte| **byte == b'\n').count();
    let mut changed = text.to_vec();
    changed[at] ^= 1 << (seed.len() % 8);
    let (left, _) = proven(&changed);
    assert_eq!(left, records[..line], "byte {at} was changed");
}

/// Records that are proven may still be impossible. Those that are not give a state that can be asked anything.
fn folds(records: &[Record]) {
    let mut state = match RunState::open(&records[0]) {
        Ok(state) => state,
        Err(illegal) => return assert!(!illegal.why.is_empty()),
    };
    for record in &records[1..] {
        let admitted = state.admits(record);
        let applied = state.apply(record);
        assert_eq!(admitted, applied);
        if applied.is_err() {
            break;
        }
    }
    let _ = schedule::next(&state);
    let _ = (state.status(), state.is_open(), state.pending(), state.outstanding(), state.dangling());
    let _ = (state.undecided(), state.unknown(), state.no_return());
    let _ = planner::way_back(&state, None);
    let _ = histories(records);
    for phase in 0..state.plan.phases.len() {
        let _ = state.to_do(phase);
        let _ = schedule::batches_to_come(&state, phase, &[]);
    }
}
