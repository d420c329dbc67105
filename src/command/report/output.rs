//! A file that is written whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::command::context::Context;
use crate::command::refusal::Refusal;
use crate::exit::Exit;
use crate::ui::ink::Line;
use crate::ui::narrate::Loudness;
use crate::ui::{words, write};

/// Where something is to be written.
pub(super) struct Target {
    /// What a link leads to.
    path: PathBuf,
    shown: PathBuf,
    replaces: bool,
}

impl Target {
    /// Looks at the place before any work is done for it: a new name, or a regular file that is replaced.
    pub(super) fn new(context: &Context, shown: &Path) -> Result<Self, Refusal> {
        let refused = |why: &str| {
            Refusal::input(format!("{} {why}", shown.display()))
                .help("name a file; without -f a report goes to standard output")
                .next(context.command(&["report"], "the report as text, on the screen"))
                .standing("nothing was written")
        };
        let path = std::fs::canonicalize(shown).unwrap_or_else(|_| shown.to_owned());
        match path.symlink_metadata() {
            Ok(facts) if facts.is_dir() => Err(refused("is a directory")),
            Ok(facts) if !facts.is_file() => Err(refused("is no regular file")),
            _ if path.file_name().is_none() => Err(refused("is no name of a file")),
            _ if !folder(&path).is_dir() => Err(refused("is in a directory that is not there")),
            found => Ok(Self { replaces: found.is_ok(), path, shown: shown.to_owned() }),
        }
    }

    /// Writes it, and says so on standard error. What is private nobody but its owner may read.
    pub(super) fn write(&self, context: &Context, bytes: &[u8], private: bool) -> Result<Exit, Refusal> {
        self.put(bytes, private).map_err(|error| {
            Refusal::new(Exit::Broken, format!("{} cannot be written: {error}", self.shown.display()))
                .next(context.command(&["report"], "the report as text, on the screen"))
                .standing("nothing was written")
        })?;
        if context.loudness > Loudness::Quiet {
            let verb = if self.replaces { "replaced" } else { "wrote" };
            let size = words::size(bytes.len() as u64);
            let face = &context.style.err;
            let line = Line::of(face, &format!("{verb} {}: {size}", self.shown.display()));
            write::to_stderr(&format!("{}\n", line.paint(face)));
        }
        Ok(Exit::Done)
    }

    fn put(&self, bytes: &[u8], private: bool) -> io::Result<()> {
        // The umask takes from the second what the operator wants it to.
        let mode = if private { 0o600 } else { 0o666 };
        let mut file = tempfile::Builder::new()
            .prefix(".rollgate-report-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder(&self.path))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
