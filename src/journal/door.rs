//! The door of a run: a socket in its directory, through which other processes of the same user speak to the
//! one that works on it.
//!
//! The directory is the owner's alone, and so is the door. A path below `/proc/self/fd` names it, for that of the
//! directory may be longer than an address of a socket can be.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::{JournalError, RunDir};

const NAME: &str = "door";

/// An open door; dropped, it is closed and gone.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Door {
    /// Where callers arrive.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // One that stays behind is replaced by the next run, and nobody answers at it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl RunDir {
    /// Opens the door. The caller holds the cluster's lock, so one that is there was left behind by a process
    /// that is gone.
    pub fn open_door(&self) -> Result<Door, JournalError> {
        let path = self.path().join(NAME);
        let failed = |source| JournalError::io("open the socket", &path, source);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = near(self.path(), |short| UnixListener::bind(short)).map_err(failed)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Door { listener, path })
    }

    /// Goes to the door; `None` when nobody is behind it.
    pub fn knock(&self) -> Result<Option<UnixStream>, JournalError> {
        self.trusted()?;
        let path = self.path().join(NAME);
        match near(self.path(), |short| UnixStream::connect(short)) {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(source) => Err(JournalError::io("connect to", &path, source)),
        }
    }
}

/// Does something with a short path of the door in that directory.
fn near<T>(directory: &Path, then: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = File::open(directory)?;
    then(&Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(NAME))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::super::StateDir;
    use super::*;
    use crate::model::name::ClusterName;

    #[test]
    fn a_door_stands_at_any_depth_and_one_left_behind_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let deep = temp.path().join("d".repeat(120));
        let cluster = StateDir::at(deep).cluster(&ClusterName::parse("test").unwrap());
        let run = cluster.new_run(jiff::civil::date(2026, 11, 22)).unwrap();
        assert!(run.knock().unwrap().is_none());
        let door = run.open_door().unwrap();
        let mode = run.path().join(NAME).symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::mem::forget(door);
        let again = run.open_door().unwrap();
        run.knock().unwrap().unwrap().write_all(b"yes").unwrap();
        let listener = again.listener().unwrap();
        listener.set_nonblocking(false).unwrap();
        let mut said = String::new();
        listener.accept().unwrap().0.read_to_string(&mut said).unwrap();
        assert_eq!(said, "yes");
        drop((again, listener));
        assert!(run.knock().unwrap().is_none());
    }
}
