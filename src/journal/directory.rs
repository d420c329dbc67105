//! Where the records of all runs are kept: the state directory, and in it one directory per cluster.
//!
//! ```text
//! STATE/CLUSTER/{lock, seat, dry-run.json}
//! STATE/CLUSTER/runs/2026-11-21.1/{journal.ndjson, debug.log, detached.log, notify.log, door, out/NODE.STEP[.undo].ATTEMPT.log, files/NODE/}
//! ```

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::run::{RunNumber, new_token};
use super::{ClusterLock, Holder, JournalError, RunDir, private};
use crate::model::event::RunId;
use crate::model::name::ClusterName;

/// The directory that holds the records of every cluster.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Takes the given directory.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Finds the directory: `$ROLLGATE_STATE_DIR`, else systemd's `$STATE_DIRECTORY`, else
    /// `$XDG_STATE_HOME/rollgate`, else `/var/lib/rollgate` for root and `~/.local/state/rollgate` for
    /// everyone else. An empty variable counts as absent, and so does an XDG one that is relative.
    /// Nothing is looked at or created.
    pub fn locate(env: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Result<Self, JournalError> {
        let dir = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(path) = dir("ROLLGATE_STATE_DIR") {
            let absolute = std::path::absolute(&path)
                .map_err(|source| JournalError::io("make absolute", &path, source))?;
            return Ok(Self::at(absolute));
        }
        if let Some(list) = env("STATE_DIRECTORY").filter(|value| !value.is_empty())
            && let Some(first) = std::env::split_paths(&list).find(|path| path.is_absolute())
        {
            return Ok(Self::at(first));
        }
        if let Some(home) = dir("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
            return Ok(Self::at(home.join("rollgate")));
        }
        if is_root {
            return Ok(Self::at("/var/lib/rollgate"));
        }
        dir("HOME")
            .filter(|path| path.is_absolute())
            .map(|home| Self::at(home.join(".local/state/rollgate")))
            .ok_or(JournalError::NoStateDirectory)
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The part of it that belongs to one cluster. Nothing is looked at or created.
    pub fn cluster(&self, name: &ClusterName) -> ClusterDir {
        ClusterDir { state: self.path.clone(), path: self.path.join(name.as_str()), name: name.clone() }
    }
}

/// The records of one cluster.
#[derive(Debug, Clone)]
pub struct ClusterDir {
    state: PathBuf,
    path: PathBuf,
    name: ClusterName,
}

impl ClusterDir {
    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the cluster for this process, and says for whom. The lock ends with the process or when it
    /// is dropped; [`JournalError::Held`] names the one who has it.
    pub fn lock(&self, holder: Holder) -> Result<ClusterLock, JournalError> {
        self.prepare()?;
        ClusterLock::take(&self.path.join("lock"), &self.name, holder)
    }

    /// Who works on the cluster on this machine now; `None` when nobody does. A holder who has not
    /// signed yet counts as nobody.
    pub fn holder(&self) -> Result<Option<Holder>, JournalError> {
        if !self.exists()? {
            return Ok(None);
        }
        ClusterLock::holder(&self.path.join("lock"))
    }

    /// What tells this directory from those of other operators, on the nodes' locks: eight hexadecimal
    /// digits, drawn once. The caller holds the lock.
    pub fn seat(&self) -> Result<String, JournalError> {
        if let Some(seat) = self.known_seat()? {
            return Ok(seat);
        }
        self.prepare()?;
        let path = self.path.join("seat");
        let failed = |source| JournalError::io("write", &path, source);
        let seat = new_token()?;
        let mut file = private::file(&path)?;
        // A word that was cut off when its writer was killed counts for nothing.
        file.set_len(0).map_err(failed)?;
        file.write_all(seat.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(seat)
    }

    /// The same, where it has been drawn already.
    pub fn known_seat(&self) -> Result<Option<String>, JournalError> {
        let path = self.path.join("seat");
        if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        let mut text = String::new();
        private::readable_file(&path)?
            .read_to_string(&mut text)
            .map_err(|source| JournalError::io("read", &path, source))?;
        let fits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(fits.then_some(text))
    }

    /// Creates the directory of a new run of the given day.
    pub fn new_run(&self, date: Date) -> Result<RunDir, JournalError> {
        self.prepare()?;
        let mut number = self
            .numbers()?
            .into_iter()
            .rfind(|number| number.is_of(date))
            .map_or(RunNumber::first_of(date), RunNumber::next);
        loop {
            match RunDir::create(number, self.run_path(number)) {
                Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                    number = number.next();
                }
                made => return made,
            }
        }
    }

    /// Takes over a run whose journal comes from elsewhere: its directory here, with as much of the text as is
    /// proven by its checksums. A journal that this machine has of the very same run is kept beside it; another
    /// run of the same name is an error, as is a text that proves nothing.
    pub fn adopt(&self, run: &RunId, text: &str) -> Result<RunDir, JournalError> {
        self.prepare()?;
        let foreign = || JournalError::Foreign { run: run.clone() };
        let number = RunNumber::parse(&run.0).ok_or_else(foreign)?;
        let dir = RunDir::new(number, self.run_path(number));
        if dir.path().symlink_metadata().is_err() {
            RunDir::create(number, self.run_path(number))?;
        }
        dir.replace_journal(text)?;
        Ok(dir)
    }

    /// The runs that began, oldest first. One that was killed before its journal was there never began.
    pub fn runs(&self) -> Result<Vec<RunDir>, JournalError> {
        let numbers = self.numbers()?.into_iter();
        let runs = numbers.map(|number| RunDir::new(number, self.run_path(number)));
        Ok(runs.filter(|run| run.journal_path().symlink_metadata().is_ok()).collect())
    }

    /// The run that began last.
    pub fn latest_run(&self) -> Result<Option<RunDir>, JournalError> {
        Ok(self.runs()?.pop())
    }

    /// The run of that name.
    pub fn run(&self, id: &RunId) -> Result<RunDir, JournalError> {
        let mut known = self.runs()?;
        match known.iter().position(|run| run.id() == id) {
            Some(at) => Ok(known.swap_remove(at)),
            None => Err(JournalError::NoSuchRun {
                cluster: self.name.clone(),
                run: id.clone(),
                known: known.iter().map(|run| run.id().clone()).collect(),
            }),
        }
    }

    fn runs_path(&self) -> PathBuf {
        self.path.join("runs")
    }

    fn run_path(&self, number: RunNumber) -> PathBuf {
        self.runs_path().join(number.name())
    }

    pub(super) fn name(&self) -> &ClusterName {
        &self.name
    }

    /// Makes the directory without a place for runs.
    pub(super) fn prepare_own(&self) -> Result<(), JournalError> {
        private::parents(&self.state)?;
        private::directory(&self.state)?;
        private::directory(&self.path)
    }

    fn prepare(&self) -> Result<(), JournalError> {
        self.prepare_own()?;
        private::directory(&self.runs_path())
    }

    /// Whether anything was ever recorded; what is there must be trustworthy.
    fn exists(&self) -> Result<bool, JournalError> {
        for path in [&self.state, &self.path, &self.runs_path()] {
            if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                return Ok(false);
            }
            private::trusted_directory(path)?;
        }
        Ok(true)
    }

    fn numbers(&self) -> Result<Vec<RunNumber>, JournalError> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let runs = self.runs_path();
        let failed = |source| JournalError::io("list", &runs, source);
        let mut numbers = Vec::new();
        for entry in runs.read_dir().map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(RunNumber::parse));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(env: &[(&str, &str)], is_root: bool) -> Option<String> {
        let lookup =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        StateDir::locate(lookup, is_root).ok().map(|dir| dir.path().display().to_string())
    }

    #[test]
    fn the_nearest_setting_names_the_directory() {
        let all = [
            ("ROLLGATE_STATE_DIR", "/mine"),
            ("STATE_DIRECTORY", "/var/lib/unit:/var/lib/other"),
            ("XDG_STATE_HOME", "/xdg"),
            ("HOME", "/home/anna"),
        ];
        let expected = ["/mine", "/var/lib/unit", "/xdg/rollgate", "/home/anna/.local/state/rollgate"];
        for (dropped, want) in expected.iter().enumerate() {
            assert_eq!(located(&all[dropped..], false).as_deref(), Some(*want));
        }
        assert_eq!(located(&all[2..], true).as_deref(), Some("/xdg/rollgate"));
        assert_eq!(located(&all[3..], true).as_deref(), Some("/var/lib/rollgate"));
    }

    #[test]
    fn an_empty_or_relative_setting_is_none() {
        let env = [("ROLLGATE_STATE_DIR", ""), ("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "state")];
        assert_eq!(located(&env, false), None);
        assert_eq!(located(&env, true).as_deref(), Some("/var/lib/rollgate"));
    }
}
