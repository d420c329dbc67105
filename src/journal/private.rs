//! Directories and files that nobody but their owner can read or write, whatever the umask, and the
//! refusal of those that someone else prepared.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{JournalError, Unsafe};

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;
const OTHERS_WRITE: u32 = 0o022;

/// Makes sure that a directory is there and ours, and that its name survives a power cut.
pub(super) fn directory(path: &Path) -> Result<(), JournalError> {
    match new_directory(path) {
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            trusted_directory(path)
        }
        made => made,
    }
}

/// Makes a directory that must not be there yet.
pub(super) fn new_directory(path: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::io("create the directory", path, source);
    DirBuilder::new().mode(DIRECTORY).create(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY)).map_err(failed)?;
    sync_parent(path)
}

/// Makes the directories above a path, as private as the ones that are ours.
pub(super) fn parents(path: &Path) -> Result<(), JournalError> {
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    if parent.exists() {
        return Ok(());
    }
    parents(parent)?;
    match new_directory(parent) {
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Refuses a directory that someone else could have prepared or can change.
pub(super) fn trusted_directory(path: &Path) -> Result<(), JournalError> {
    let metadata = path.symlink_metadata().map_err(|source| JournalError::io("look at", path, source))?;
    trusted(path, &metadata, metadata.is_dir(), "directory")
}

/// Creates a file that must not be there yet, for appending.
pub(super) fn new_file(path: &Path) -> Result<File, JournalError> {
    let failed = |source| JournalError::io("create", path, source);
    let file = options().create_new(true).open(path).map_err(failed)?;
    file.set_permissions(Permissions::from_mode(FILE)).map_err(failed)?;
    sync_parent(path)?;
    Ok(file)
}

/// Opens a file for reading and appending, creating it if it is not there.
pub(super) fn file(path: &Path) -> Result<File, JournalError> {
    match new_file(path) {
        Err(JournalError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            existing_file(path)
        }
        made => made,
    }
}

/// Opens a file that is there for reading and appending.
pub(super) fn existing_file(path: &Path) -> Result<File, JournalError> {
    checked(path, options().open(path))
}

/// Opens a file that is there for reading and writing anywhere in it.
pub(super) fn rewritable_file(path: &Path) -> Result<File, JournalError> {
    checked(path, OpenOptions::new().read(true).write(true).custom_flags(no_follow()).open(path))
}

/// Opens a file that is there for reading only.
pub(super) fn readable_file(path: &Path) -> Result<File, JournalError> {
    checked(path, OpenOptions::new().read(true).custom_flags(no_follow()).open(path))
}

/// Puts a new name in a directory on the disk; without it a power cut loses the file with its data.
pub(super) fn sync_parent(path: &Path) -> Result<(), JournalError> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| JournalError::io("sync the directory", parent, source))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(FILE).custom_flags(no_follow());
    options
}

/// A link in place of the file is an error, and a FIFO does not block the opening.
fn no_follow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

fn checked(path: &Path, opened: io::Result<File>) -> Result<File, JournalError> {
    let failed = |source| JournalError::io("open", path, source);
    let file = opened.map_err(|source| {
        if path.is_symlink() {
            JournalError::Untrusted { path: path.to_owned(), why: Unsafe::Symlink }
        } else {
            failed(source)
        }
    })?;
    let metadata = file.metadata().map_err(failed)?;
    trusted(path, &metadata, metadata.is_file(), "regular file")?;
    Ok(file)
}

fn trusted(
    path: &Path,
    metadata: &Metadata,
    right_kind: bool,
    kind: &'static str,
) -> Result<(), JournalError> {
    let me = rustix::process::geteuid().as_raw();
    let why = if metadata.is_symlink() {
        Unsafe::Symlink
    } else if !right_kind {
        Unsafe::Kind(kind)
    } else if metadata.uid() != me {
        Unsafe::Owner { owner: metadata.uid(), me }
    } else if metadata.mode() & OTHERS_WRITE != 0 {
        Unsafe::Writable(metadata.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(JournalError::Untrusted { path: path.to_owned(), why })
}
