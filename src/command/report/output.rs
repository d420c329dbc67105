//! A file that is written whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::command::context::Context;
use crate::command::files::Files;
use crate::command::refusal::Refusal;
use crate::command::runs::Recorded;
use crate::exit::Exit;
use crate::ui::ink::Line;
use crate::ui::narrate::Loudness;
use crate::ui::{words, write};

/// What no report takes the place of, and what that is.
pub(super) struct Reserved(Vec<(PathBuf, &'static str)>);

impl Reserved {
    /// The files of the cluster and of the run, and all that is recorded.
    pub(super) fn of(files: &Files, run: &Recorded) -> Result<Self, Refusal> {
        let (loaded, planned) = (&files.loaded, &run.state.plan.sources);
        let state = Context::state_dir()?;
        let all = [
            (loaded.inventory_source.path(), "is the inventory"),
            (planned.inventory.as_path(), "is the inventory"),
            (loaded.procedure_source.path(), "is the procedure"),
            (planned.procedure.as_path(), "is the procedure"),
            (state.path(), "is in the directory where runs are recorded"),
        ];
        // What is not there cannot be lost.
        let found = |(path, what): (&Path, _)| Some((std::fs::canonicalize(path).ok()?, what));
        Ok(Self(all.into_iter().filter_map(found).collect()))
    }

    fn what(&self, path: &Path) -> Option<&'static str> {
        self.0.iter().find(|(reserved, _)| path.starts_with(reserved)).map(|(_, what)| *what)
    }
}

/// Where something is to be written.
pub(super) struct Target {
    /// What a link leads to.
    path: PathBuf,
    shown: PathBuf,
    replaces: bool,
}

impl Target {
    /// Looks at the place before any work is done for it: a new name, or a regular file that is replaced.
    pub(super) fn new(context: &Context, shown: &Path, reserved: &Reserved) -> Result<Self, Refusal> {
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
            _ if let Some(what) = reserved.what(&whole(&path)) => Err(refused(what)),
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

/// The same place as the system names it, also where nothing is yet.
fn whole(path: &Path) -> PathBuf {
    let folder = std::fs::canonicalize(folder(path));
    let joined = folder.ok().zip(path.file_name()).map(|(folder, name)| folder.join(name));
    joined.unwrap_or_else(|| path.to_owned())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
