//! Sizes and sha256 of files and bytes.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::model::procedure::is_sha256;

/// A file's size and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// sha256 in lower-case hexadecimal.
    pub sha256: String,
}

/// Reads a file through for its size and sha256.
pub async fn hash_file(path: &Path) -> io::Result<FileSum> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut running = Running::default();
        let mut chunk = vec![0_u8; 1 << 18];
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(running.sum());
            }
            running.take(&chunk[..read]);
        }
    })
    .await
    .map_err(io::Error::other)?
}

/// The size and sha256 of bytes.
pub fn hash_bytes(bytes: &[u8]) -> FileSum {
    let mut running = Running::default();
    running.take(bytes);
    running.sum()
}

/// A sum while its bytes go by.
#[derive(Default)]
pub(super) struct Running {
    pub(super) size: u64,
    hasher: Sha256,
}

impl Running {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    pub(super) fn sum(self) -> FileSum {
        FileSum { size: self.size, sha256: hex(&self.hasher.finalize()) }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One line of an answer: `SIZE SHA256`, or `-`.
pub(super) fn sum_of(line: &str) -> Option<FileSum> {
    let (size, sha256) = line.split_once(' ')?;
    Some(FileSum { size: size.parse().ok()?, sha256: is_sha256(sha256).then(|| sha256.to_owned())? })
}
