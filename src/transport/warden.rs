//! Ends the ssh connections of a rollgate that was killed: nobody else would.
//!
//! A master connection outlives its parent, and a killed parent cannot end it. One small `sh` for all
//! connections is told their process groups on its standard input; when that ends, for whatever reason,
//! it ends what is left and removes the sockets' directory.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::child;
use super::frame::Nonce;

/// A control socket's path may have about 100 bytes, of which ssh needs some for a temporary name.
const LONGEST_DIRECTORY: usize = 60;

const SCRIPT: &str = r#"
trap '' HUP INT TERM
live=' '
while read -r word group; do
  case $word in
    (watch) live="$live$group " ;;
    (forget) case $live in (*" $group "*) live="${live%% $group *} ${live#* $group }" ;; esac ;;
  esac
done
for group in $live; do kill -KILL "-$group" 2>/dev/null; done
rm -rf -- "$1"
"#;

/// Watches over the connections of one dialer, and owns the directory of their sockets.
pub(super) struct Warden {
    orders: Mutex<ChildStdin>,
    directory: PathBuf,
    sockets: AtomicU32,
}

impl Warden {
    /// Makes the directory and starts the watch.
    pub(super) fn start() -> io::Result<Self> {
        let directory = private_directory()?;
        // A group of its own, so that the terminal's signals do not reach it.
        let child = child::command("sh")
            .args(["-c", SCRIPT, "rollgate-warden"])
            .arg(&directory)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let orders = child.and_then(|mut child| {
            let orders = child.stdin.take();
            // It outlives this process by a moment; until then somebody has to wait for it.
            std::thread::spawn(move || child.wait());
            orders.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
        });
        match orders {
            Ok(orders) => Ok(Self { orders: Mutex::new(orders), directory, sockets: AtomicU32::new(0) }),
            Err(error) => {
                remove(&directory);
                Err(error)
            }
        }
    }

    /// A path for a socket that no other connection has.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join(self.sockets.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A copy of a program that only this user can run, in the directory of the sockets.
    pub(super) fn copy_of(&self, program: &Path) -> io::Result<PathBuf> {
        let copy = self.directory.join("askpass");
        if !copy.exists() {
            std::fs::copy(program, &copy)?;
            std::fs::set_permissions(&copy, Permissions::from_mode(0o700))?;
        }
        Ok(copy)
    }

    /// Takes a process group into care.
    pub(super) fn watch(&self, group: i32) {
        self.order("watch", group);
    }

    /// Lets go of one that has ended: its number may soon be another's.
    pub(super) fn forget(&self, group: i32) {
        self.order("forget", group);
    }

    fn order(&self, word: &str, group: i32) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have killed it; connections work without it.
        let _ = orders.write_all(format!("{word} {group}\n").as_bytes());
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    // It holds sockets only; if it is gone already, so much the better.
    let _ = std::fs::remove_dir_all(directory);
}

/// A new directory that only this user can enter, with a short name.
fn private_directory() -> io::Result<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| is_private(path));
    let base = own.unwrap_or_else(|| PathBuf::from("/tmp"));
    let nonce = Nonce::draw()?;
    let directory = base.join(format!("rg-{}", &nonce.hex()[..16]));
    // Not recursive: fails if anything is there already, a planted link included.
    DirBuilder::new().mode(0o700).create(&directory)?;
    Ok(directory)
}

/// Whether a directory is this user's alone, and its name short enough for one with sockets in it.
pub(super) fn is_private(path: &Path) -> bool {
    let mine = rustix::process::geteuid().as_raw();
    path.is_absolute()
        && path.as_os_str().len() <= LONGEST_DIRECTORY - "/rg-0123456789abcdef".len()
        && std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_dir() && meta.uid() == mine && meta.mode() & 0o777 == 0o700)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    use super::*;

    fn group() -> (Child, i32) {
        let child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let group = i32::try_from(child.id()).unwrap();
        (child, group)
    }

    #[test]
    fn the_socket_directory_is_fresh_private_and_short() {
        let (one, two) = (private_directory().unwrap(), private_directory().unwrap());
        let mode = std::fs::metadata(&one).unwrap().mode() & 0o777;
        remove(&one);
        remove(&two);
        assert_ne!(one, two);
        assert_eq!(mode, 0o700);
        assert!(one.as_os_str().len() <= LONGEST_DIRECTORY, "{}", one.display());
    }

    #[test]
    fn what_is_left_ends_with_its_owner_and_what_was_forgotten_lives() {
        let warden = Warden::start().unwrap();
        let ((mut left, one), (mut forgotten, two), (mut last, three)) = (group(), group(), group());
        for group in [one, two, three] {
            warden.watch(group);
        }
        warden.forget(two);
        warden.forget(two);
        let directory = warden.directory.clone();
        // As the kernel does it for a process that is killed: the pipe is closed, and nothing else.
        let Warden { orders, .. } = &*std::mem::ManuallyDrop::new(warden);
        *orders.lock().unwrap() = Command::new("true").stdin(Stdio::piped()).spawn().unwrap().stdin.unwrap();
        let start = Instant::now();
        while directory.exists() || left.try_wait().unwrap().is_none() || last.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(10), "something is left");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(forgotten.try_wait().unwrap().is_none(), "it was not its to end");
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
