//! A failing disk, and a death at an exact record: `disk.c`, built once and preloaded into one rollgate.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::run::Invocation;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/disk.c");

/// The library. Needs `cc`, as rustc does for linking.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let part = dir.join(format!("disk-{}.part", std::process::id()));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&part)
        .args([SOURCE, "-ldl"])
        .output()
        .expect("cc is needed to build the failing disk");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let library = dir.join("disk.so");
    // Another process of this test may run with the old one.
    fs::rename(part, &library).unwrap();
    library
});

/// What is asked of the disk and may fail.
pub(crate) const CALLS: &str = "write sync open mkdir rename chmod truncate flock";

/// A fault of the disk below a directory.
#[derive(Debug, Clone)]
pub(crate) struct Fault<'a> {
    /// Kinds of calls that count, as in [`CALLS`].
    pub(crate) calls: &'a str,
    /// Only files whose path has this in it.
    pub(crate) part: &'a str,
    /// The first call that fails, from 1.
    pub(crate) at: usize,
    /// Whether all later ones fail as well.
    pub(crate) forever: bool,
    /// What the kernel says.
    pub(crate) errno: i32,
}

/// `EIO`.
pub(crate) const EIO: i32 = 5;
/// `ENOSPC`.
pub(crate) const ENOSPC: i32 = 28;

/// When a kill comes, as seen from one record.
pub(crate) const WAYS: [&str; 4] = ["before", "torn", "lost", "after"];

impl Invocation {
    /// Runs it on a disk that fails; the file `said` then names the first call that did.
    pub(crate) fn on_failing(self, dir: &Path, said: &Path, fault: &Fault<'_>) -> Self {
        let _ = fs::remove_file(said);
        self.env("LD_PRELOAD", LIBRARY.as_path())
            .env("RG_DISK_DIR", dir)
            .env("RG_DISK_SAID", said)
            .env("RG_DISK_CALLS", fault.calls)
            .env("RG_DISK_PART", fault.part)
            .env("RG_DISK_AT", fault.at.to_string())
            .env("RG_DISK_FOREVER", if fault.forever { "1" } else { "0" })
            .env("RG_DISK_ERRNO", fault.errno.to_string())
    }

    /// Has it killed at a record that it writes, from 1, in one of [`WAYS`].
    pub(crate) fn killed_at(self, dir: &Path, record: usize, way: &str) -> Self {
        self.env("LD_PRELOAD", LIBRARY.as_path())
            .env("RG_DISK_DIR", dir)
            .env("RG_KILL_AT", record.to_string())
            .env("RG_KILL_HOW", way)
    }
}
