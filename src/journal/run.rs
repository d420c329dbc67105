//! One run's directory: its journal, its log, and what its steps printed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::{Contents, FileJournal, JournalError, private};
use crate::model::event::{Event, Record, RunId};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;

/// What the name of a run says: the day it began and its number on that day, `2026-11-21.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunNumber {
    date: Date,
    count: u32,
}

impl RunNumber {
    pub(super) fn first_of(date: Date) -> Self {
        Self { date, count: 1 }
    }

    pub(super) fn next(self) -> Self {
        Self { count: self.count + 1, ..self }
    }

    pub(super) fn is_of(self, date: Date) -> bool {
        self.date == date
    }

    /// Reads a name. There is one spelling only, for the name is also that of a directory.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (date, count) = name.split_once('.')?;
        let number = Self { date: date.parse().ok()?, count: count.parse().ok()? };
        (number.count > 0 && number.name() == name).then_some(number)
    }

    pub(super) fn name(self) -> String {
        format!("{}.{}", self.date, self.count)
    }
}

/// Draws what tells a run from one of the same name that another machine began: eight hexadecimal digits.
pub fn new_token() -> Result<String, JournalError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 4];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| JournalError::io("read", source, error))?;
    Ok(format!("{:08x}", u32::from_le_bytes(bytes)))
}

/// The directory of one run.
#[derive(Debug, Clone)]
pub struct RunDir {
    id: RunId,
    path: PathBuf,
}

impl RunDir {
    pub(super) fn new(number: RunNumber, path: PathBuf) -> Self {
        Self { id: RunId(number.name()), path }
    }

    pub(super) fn create(number: RunNumber, path: PathBuf) -> Result<Self, JournalError> {
        private::new_directory(&path)?;
        private::new_directory(&path.join("out"))?;
        Ok(Self::new(number, path))
    }

    /// The run's name.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The directory, as `ROLLGATE_RUN_DIR` tells it to the steps of the operator's machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal stands.
    pub fn journal_path(&self) -> PathBuf {
        self.path.join("journal.ndjson")
    }

    /// Where the log for a bug report stands.
    pub fn debug_log_path(&self) -> PathBuf {
        self.path.join("debug.log")
    }

    /// Where the output of an attempt, or of its undo, stands. Steps may have any name: whatever does not belong in a
    /// file name is written as `%XX`.
    pub fn transcript_path(&self, key: &StepKey, is_undo: bool, attempt: u32) -> PathBuf {
        let (node, step) = (file_word(key.node.as_str()), file_word(key.step.as_str()));
        let undo = if is_undo { ".undo" } else { "" };
        self.path.join("out").join(format!("{node}.{step}{undo}.{attempt}.log"))
    }

    /// Begins the journal of a new run. Fails if there is one.
    pub fn create_journal(&self) -> Result<FileJournal, JournalError> {
        FileJournal::create(&self.journal_path())
    }

    /// Opens the journal to go on with the run: what it holds, and the way to add to it. A torn last
    /// line is moved aside first; a damaged or newer journal is refused, as is one that another
    /// process writes.
    pub fn open_journal(&self) -> Result<(FileJournal, Contents), JournalError> {
        self.trusted()?;
        FileJournal::open(&self.journal_path())
    }

    /// Puts the proven part of a journal from elsewhere in the place of this machine's own.
    pub(super) fn replace_journal(&self, text: &str) -> Result<(), JournalError> {
        self.trusted()?;
        let foreign = || JournalError::Foreign { run: self.id.clone() };
        let (records, proven) = super::file::proven(text.as_bytes());
        let token = |records: &[Record]| match records.first().map(|record| &record.event) {
            Some(Event::RunOpened { run, token, .. }) if *run == self.id => Some(token.clone()),
            _ => None,
        };
        let theirs = token(&records).ok_or_else(foreign)?;
        let path = self.journal_path();
        if path.symlink_metadata().is_ok() {
            let ours = self.read_journal()?.records;
            if !ours.is_empty() && token(&ours).as_ref() != Some(&theirs) {
                return Err(foreign());
            }
            self.keep_journal_aside()?;
        }
        let mut file = private::new_file(&path)?;
        file.write_all(&text.as_bytes()[..proven])
            .and_then(|()| file.sync_all())
            .map_err(|source| JournalError::io("write", &path, source))?;
        private::sync_parent(&path)
    }

    /// Renames this machine's own journal, that nothing is lost.
    fn keep_journal_aside(&self) -> Result<(), JournalError> {
        let path = self.journal_path();
        let mut count = 1;
        let mut aside = self.path.join("journal.before-adopt-1");
        while aside.symlink_metadata().is_ok() {
            count += 1;
            aside = self.path.join(format!("journal.before-adopt-{count}"));
        }
        std::fs::rename(&path, &aside).map_err(|source| JournalError::io("rename", &path, source))
    }

    /// Reads the journal and changes nothing, also while another process writes it.
    pub fn read_journal(&self) -> Result<Contents, JournalError> {
        self.trusted()?;
        super::read(&self.journal_path())
    }

    /// Opens the log, for appending.
    pub fn open_debug_log(&self) -> Result<File, JournalError> {
        private::file(&self.debug_log_path())
    }

    /// Where a detached run says what it would have said at the terminal.
    pub fn detached_log_path(&self) -> PathBuf {
        self.path.join("detached.log")
    }

    /// Opens that file, for appending.
    pub fn open_detached_log(&self) -> Result<File, JournalError> {
        private::file(&self.detached_log_path())
    }

    /// Opens what the commands say that tell people of the run, for appending.
    pub fn open_notify_log(&self) -> Result<File, JournalError> {
        private::file(&self.path.join("notify.log"))
    }

    /// Begins the transcript of an attempt or of its undo, empty: a job that is followed again is followed from its
    /// first byte, for the node has all of them.
    pub fn begin_transcript(&self, key: &StepKey, is_undo: bool, attempt: u32) -> Result<File, JournalError> {
        let path = self.transcript_path(key, is_undo, attempt);
        let file = private::file(&path)?;
        file.set_len(0).map_err(|source| JournalError::io("empty", &path, source))?;
        Ok(file)
    }

    /// The lines of the journal from a byte on, whole ones only, as they stand there.
    pub fn journal_from(&self, byte: u64) -> Result<String, JournalError> {
        let path = self.journal_path();
        let failed = |source| JournalError::io("read", &path, source);
        let mut file = private::readable_file(&path)?;
        file.seek(SeekFrom::Start(byte)).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        Ok(text)
    }

    /// Where the file that a `get` step fetches from a node stands: in `files/NODE/`, which is made. The
    /// transport creates the file itself, and never over one that is there.
    pub fn fetched_path(&self, node: &NodeName, name: &str) -> Result<PathBuf, JournalError> {
        let folder = self.path.join("files");
        private::directory(&folder)?;
        let folder = folder.join(file_word(node.as_str()));
        private::directory(&folder)?;
        Ok(folder.join(file_word(name)))
    }

    pub(super) fn trusted(&self) -> Result<(), JournalError> {
        private::trusted_directory(&self.path)
    }
}

/// A word as part of a file name: no separator, no control character, nothing hidden, and no two
/// words alike.
fn file_word(text: &str) -> String {
    let mut word = String::new();
    for (at, byte) in text.bytes().enumerate() {
        let hidden = at == 0 && byte == b'.';
        if !hidden && (byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            word.push(char::from(byte));
        } else {
            write!(word, "%{byte:02X}").expect("writing to a string never fails");
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_run_has_one_spelling() {
        for good in ["2026-11-21.1", "2026-01-02.12"] {
            assert_eq!(RunNumber::parse(good).unwrap().name(), good);
        }
        let bad = [
            "",
            "..",
            "2026-11-21",
            "2026-11-21.0",
            "2026-11-21.01",
            "2026-11-21.+1",
            "2026-13-01.1",
            "20261121.1",
            "2026-11-21.1/..",
        ];
        for bad in bad {
            assert_eq!(RunNumber::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn runs_are_ordered_by_number_and_not_by_spelling() {
        let numbers = ["2026-11-21.2", "2026-11-21.10", "2026-11-22.1"].map(RunNumber::parse);
        assert!(numbers.is_sorted());
    }

    #[test]
    fn any_word_is_a_harmless_file_name() {
        assert_eq!(file_word("upgrade.1"), "upgrade.1");
        assert_eq!(file_word("../etc/passwd"), "%2E.%2Fetc%2Fpasswd");
        assert_eq!(file_word("a b\n%"), "a%20b%0A%25");
    }
}
