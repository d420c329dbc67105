//! The journal on disk: one record, one `write`, one `fdatasync`; what a crash leaves behind is told
//! from damage when it is read.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::line::{Chain, Damage, VERSION};
use super::lock::{lock_patiently, share_patiently};
use super::{Journal, JournalError, private};
use crate::model::event::{Event, Record};

/// What a journal holds, as far as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// The records, in order, each one proven by its checksum.
    pub records: Vec<Record>,
    /// The format of the file; that of this rollgate if nothing is recorded yet.
    pub version: u32,
    /// What stands behind the last record.
    pub end: End,
}

/// What stands behind the last record that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Nothing.
    Clean,
    /// A record that a crash cut off: it was never acted upon.
    Torn {
        /// Its length.
        bytes: u64,
        /// Where it was moved, once the journal was opened to go on.
        kept: Option<PathBuf>,
    },
    /// A line that no crash explains. What precedes it is true; nothing may go on from there.
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        damage: Damage,
    },
}

impl Contents {
    /// Why nothing may go on from here: damage, or a newer format. A torn end is no reason.
    pub fn flaw(&self, path: &Path) -> Option<JournalError> {
        if self.version > VERSION {
            return Some(JournalError::Newer { path: path.to_owned(), version: self.version });
        }
        match &self.end {
            End::Damaged { line, damage } => {
                Some(JournalError::Damaged { path: path.to_owned(), line: *line, damage: damage.clone() })
            }
            End::Clean | End::Torn { .. } => None,
        }
    }
}

/// Where records go: a file, or in tests one that fails.
pub(super) trait Sink {
    /// Writes in one go, and says how much of it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Returns when all that was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(self, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// The journal of a run, locked for this process until it is dropped.
#[derive(Debug)]
#[expect(private_bounds, reason = "only tests write anywhere but into a file")]
pub struct FileJournal<S: Sink = File> {
    sink: S,
    path: PathBuf,
    chain: Chain,
    poisoned: bool,
}

impl FileJournal {
    /// Begins a journal where there is none.
    pub(super) fn create(path: &Path) -> Result<Self, JournalError> {
        let file = private::new_file(path)?;
        lock(&file, path)?;
        Ok(Self::over(file, path, Chain::default()))
    }

    /// Opens a journal to go on. A torn last record is copied to `journal.torn-N` beside it and cut
    /// off; damage and a newer format are errors.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), JournalError> {
        let mut file = private::existing_file(path)?;
        lock(&file, path)?;
        let bytes = read_all(&mut file, path)?;
        let (mut contents, chain, good) = parse(&bytes);
        if let Some(flaw) = contents.flaw(path) {
            return Err(flaw);
        }
        if let End::Torn { kept, .. } = &mut contents.end {
            *kept = Some(cut_off(&file, path, &bytes, good)?);
        }
        Ok((Self::over(file, path, chain), contents))
    }
}

#[expect(private_bounds, reason = "only tests write anywhere but into a file")]
impl<S: Sink> FileJournal<S> {
    fn over(sink: S, path: &Path, chain: Chain) -> Self {
        Self { sink, path: path.to_owned(), chain, poisoned: false }
    }

    /// Where the journal stands.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn keep(&mut self, line: &str) -> Result<(), JournalError> {
        // A second try after a failed one could report as durable what the kernel has already dropped.
        self.poisoned = true;
        let lost = |doing, source| JournalError::Lost {
            doing,
            path: self.path.clone(),
            record: line.to_owned(),
            source,
        };
        match self.sink.write(line.as_bytes()) {
            Ok(written) if written == line.len() => {}
            Ok(_) => return Err(lost("write", io::ErrorKind::StorageFull.into())),
            Err(source) => return Err(lost("write", source)),
        }
        self.sink.sync().map_err(|source| lost("sync", source))?;
        self.poisoned = false;
        Ok(())
    }
}

impl<S: Sink> Journal for FileJournal<S> {
    fn append(&mut self, event: &Event, at: Timestamp) -> Result<Record, JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned { path: self.path.clone() });
        }
        let (line, after) =
            self.chain.encode(event, at).map_err(|source| JournalError::Unrecordable { source })?;
        let record = self.chain.read_back(&line)?;
        self.keep(&line)?;
        self.chain = after;
        Ok(record)
    }
}

/// Reads a journal and changes nothing, also while another process writes it.
pub fn read(path: &Path) -> Result<Contents, JournalError> {
    let mut file = private::readable_file(path)?;
    let bytes = read_all(&mut file, path)?;
    let (mut contents, _, _) = parse(&bytes);
    // While its writer lives, half a record is one that is being written.
    if matches!(contents.end, End::Torn { .. }) && share_patiently(&file, path).is_ok_and(|shared| !shared) {
        contents.end = End::Clean;
    }
    Ok(contents)
}

fn lock(file: &File, path: &Path) -> Result<(), JournalError> {
    if lock_patiently(file, path)? { Ok(()) } else { Err(JournalError::Busy { path: path.to_owned() }) }
}

fn read_all(file: &mut File, path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|source| JournalError::io("read", path, source))?;
    Ok(bytes)
}

/// Reads as many records as are whole, and says where the chain stands and how many bytes they take.
fn parse(bytes: &[u8]) -> (Contents, Chain, usize) {
    let mut contents = Contents { records: Vec::new(), version: VERSION, end: End::Clean };
    let mut chain = Chain::default();
    let mut good = 0;
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(line) = line.strip_suffix(b"\n") else {
            contents.end = End::Torn { bytes: line.len() as u64, kept: None };
            break;
        };
        match chain.decode(line) {
            Ok((record, version, after)) => {
                contents.records.push(record);
                contents.version = version.unwrap_or(contents.version);
                chain = after;
                good += line.len() + 1;
            }
            Err(damage) => {
                contents.end = End::Damaged { line: at as u64 + 1, damage };
                break;
            }
        }
    }
    (contents, chain, good)
}

/// The records of a text that its checksums prove, and how many bytes they take.
pub fn proven(bytes: &[u8]) -> (Vec<Record>, usize) {
    let (contents, _, good) = parse(bytes);
    (contents.records, good)
}

/// Moves what a crash left behind the last whole record aside, and cuts it off.
fn cut_off(file: &File, path: &Path, bytes: &[u8], good: usize) -> Result<PathBuf, JournalError> {
    let (mut kept, copy) = torn_file(path)?;
    kept.write_all(&bytes[good..])
        .and_then(|()| kept.sync_all())
        .map_err(|source| JournalError::io("write", &copy, source))?;
    file.set_len(good as u64)
        .and_then(|()| file.sync_all())
        .map_err(|source| JournalError::io("cut the torn end off", path, source))?;
    Ok(copy)
}

/// The first `journal.torn-N` that is free.
fn torn_file(path: &Path) -> Result<(File, PathBuf), JournalError> {
    let mut number = 1_u32;
    loop {
        let copy = path.with_file_name(format!("journal.torn-{number}"));
        match private::new_file(&copy) {
            Ok(file) => return Ok((file, copy)),
            Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                number += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at the N-th call, as a disk does: with an error, or by taking only half.
    #[derive(Debug, Default)]
    struct Disk {
        bytes: Vec<u8>,
        calls: usize,
        fails_at: usize,
        halves: bool,
    }

    impl Disk {
        fn fails(&mut self) -> bool {
            self.calls += 1;
            self.calls - 1 == self.fails_at
        }
    }

    impl Sink for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = match self.fails() {
                false => bytes.len(),
                true if self.halves => bytes.len() / 2,
                true => return Err(io::ErrorKind::StorageFull.into()),
            };
            self.bytes.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn sync(&mut self) -> io::Result<()> {
            if self.fails() { Err(io::Error::other("EIO")) } else { Ok(()) }
        }
    }

    #[test]
    fn the_first_failure_of_the_disk_is_final_whichever_call_it_is() {
        for (fails_at, halves) in (0..20).flat_map(|call| [(call, false), (call, true)]) {
            let disk = Disk { fails_at, halves, ..Disk::default() };
            let mut journal = FileJournal::over(disk, Path::new("j"), Chain::default());
            let mut kept = 0;
            let mut errors = Vec::new();
            for phase in 0..11 {
                match journal.append(&Event::PhaseStarted { phase }, Timestamp::UNIX_EPOCH) {
                    Ok(record) => {
                        assert!(errors.is_empty(), "nothing is kept after a failure");
                        assert_eq!(record.seq, kept as u64);
                        kept += 1;
                    }
                    Err(error) => errors.push(error),
                }
            }
            assert_eq!(kept, fails_at / 2, "each record takes a write and a sync");
            let JournalError::Lost { doing, record, .. } = &errors[0] else {
                panic!("{:?}", errors[0]);
            };
            assert_eq!(*doing, if fails_at % 2 == 0 { "write" } else { "sync" });
            assert!(record.contains(&format!(r#""phase":{kept}"#)) && record.ends_with("\"}\n"), "{record}");
            assert!(errors[1..].iter().all(|error| matches!(error, JournalError::Poisoned { .. })));
            assert_eq!(journal.sink.calls, fails_at + 1, "the disk is not asked again");
            let (contents, ..) = parse(&journal.sink.bytes);
            assert!(contents.records.len() >= kept, "what was reported as kept is there");
            assert!(!matches!(contents.end, End::Damaged { .. }), "{:?}", contents.end);
        }
    }

    #[test]
    fn a_full_device_is_final_too() {
        let full = File::options().append(true).open("/dev/full").unwrap();
        let mut journal = FileJournal::over(full, Path::new("/dev/full"), Chain::default());
        let event = Event::PhaseStarted { phase: 3 };
        let lost = journal.append(&event, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(lost.to_string().contains("No space left on device"), "{lost}");
        let again = journal.append(&event, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(matches!(again, JournalError::Poisoned { .. }), "{again:?}");
    }
}
