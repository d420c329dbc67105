//! The sockets of connections that stay open between commands (`ssh.persist`), and the directory that they lie in.
//!
//! A connection that stays open lets in whoever reaches its socket, so the directory is the user's alone, and one that
//! is not is refused with an error: nothing in it is believed. Each socket bears the [identity](super::identity) of its
//! connection and a part that no other has. So two rollgates that log in at the same time do not get into each other's
//! way, ssh itself removes the socket when the time is over, and nobody has to be locked out.
//!
//! What lies there is looked up once, before the first connection, and each is taken up at most once: what a process
//! needs after that, because the node was restarted or the connection fell silent, is a new login. The newest comes
//! first, since an older one may be what a newer one was made for.
//!
//! ssh keeps the time itself (`ControlPersist`); nobody has to be there for that. Ended before it by hand:
//! `ssh -O exit -S SOCKET node`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::frame::Nonce;
use super::{memory, warden};

/// The directory's name, where it lies in a directory of the user's own.
const NAME: &str = "rollgate-ssh";

/// Why there is no directory for sockets.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) directory: PathBuf,
    pub(super) why: String,
}

/// The sockets that were there, and room for new ones.
pub(super) struct Sockets {
    directory: PathBuf,
    /// By the identity of their connections, the newest last.
    found: Mutex<BTreeMap<String, Vec<PathBuf>>>,
}

impl Sockets {
    /// Looks up what there is, in `directory` or where it is by default.
    pub(super) fn open(directory: Option<&Path>) -> Result<Self, Unfit> {
        let directory = directory.map_or_else(place, Path::to_owned);
        let found = made(&directory).and_then(|()| list(&directory));
        match found {
            Ok(found) => Ok(Self { directory, found: Mutex::new(found) }),
            Err(why) => Err(Unfit { directory, why }),
        }
    }

    /// The newest socket of a connection that was not taken up yet.
    pub(super) fn take(&self, identity: &str) -> Option<PathBuf> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get_mut(identity)?.pop()
    }

    /// A path for a socket that no other connection has.
    pub(super) fn new_path(&self, identity: &str) -> io::Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let nonce = Nonce::draw()?;
        Ok(self.directory.join(format!("{identity}-{now:08x}{}", &nonce.hex()[..6])))
    }
}

/// Where it is by default: in the runtime directory, which is the user's own and empty after a restart.
fn place() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // A timer or a `sudo -u` lacks the variable and finds the same connections.
    let own = [named, Some(PathBuf::from(format!("/run/user/{uid}")))];
    match own.into_iter().flatten().find(|path| warden::is_private(path)) {
        Some(base) => base.join(NAME),
        None => PathBuf::from(format!("/tmp/{NAME}-{uid}")),
    }
}

/// Makes the directory unless it is there, and looks at whose it is.
fn made(directory: &Path) -> Result<(), String> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    let facts = directory.symlink_metadata().map_err(|error| error.to_string())?;
    if !facts.is_dir() {
        return Err("it is no directory".to_owned());
    }
    let me = rustix::process::geteuid().as_raw();
    if facts.uid() != me {
        return Err(format!("it belongs to user {}, not to you", facts.uid()));
    }
    let mode = facts.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(format!("others than you may enter it (mode {mode:04o})"));
    }
    Ok(())
}

/// The sockets in it that are this user's.
fn list(directory: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
    let entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // By their time: the identity is the same where it counts.
    names.sort();
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for name in names {
        forget_ended(&directory.join(&name));
        // ssh makes a socket under a longer name first.
        let Some((identity, _)) = name.split_once('-').filter(|_| !name.contains('.')) else { continue };
        let path = directory.join(&name);
        if is_own_socket(&path) {
            found.entry(identity.to_owned()).or_default().push(path);
        }
    }
    Ok(found)
}

/// Removes what was remembered of a connection that has ended.
fn forget_ended(path: &Path) {
    if memory::socket_of(path).is_some_and(|socket| !socket.exists()) {
        // Whoever comes next tries again.
        let _ = fs::remove_file(path);
    }
}

fn is_own_socket(path: &Path) -> bool {
    let me = rustix::process::geteuid().as_raw();
    path.symlink_metadata().is_ok_and(|facts| facts.file_type().is_socket() && facts.uid() == me)
}
