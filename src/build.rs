//! Tells the program what it was built from, for `rollgate --version`: the commit and the target.
//!
//! Cargo runs this again only when what it looked at has changed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is made of. Whatever else differs from the commit does not make it another program.
const SOURCES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "src", "man"];

/// Where `cargo package` says which commit it packed.
const PACKED: &str = ".cargo_vcs_info.json";

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let packed = fs::read_to_string(root.join(PACKED)).ok();
    let commit = match packed {
        Some(packed) => of_package(&packed),
        None => of_tree(&root),
    };
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rustc-env=ROLLGATE_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=ROLLGATE_TARGET={}", std::env::var("TARGET").unwrap_or_default());
}

/// The commit that a package from a registry was made of, as short as git shows it.
fn of_package(packed: &str) -> Option<String> {
    let (_, after) = packed.split_once("\"sha1\"")?;
    let sum = after.split('"').nth(1)?.get(..7)?;
    let dirty = if packed.contains("\"dirty\": true") { "-dirty" } else { "" };
    Some(format!("{sum}{dirty}"))
}

/// The commit of a checkout. None where there is no git, or where the tree lies in a repository of somebody else.
fn of_tree(root: &Path) -> Option<String> {
    let top = git(root, ["rev-parse", "--show-toplevel"])?;
    if fs::canonicalize(top).ok()? != fs::canonicalize(root).ok()? {
        return None;
    }
    watch(root);
    let commit = git(root, ["rev-parse", "--short", "HEAD"])?;
    let changed = git(root, ["status", "--porcelain", "--"].into_iter().chain(SOURCES))?;
    let dirty = if changed.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{dirty}"))
}

/// Has cargo look at what changes with every commit: HEAD, and the branch that it names.
fn watch(root: &Path) {
    let own = |path: &str| git(root, ["rev-parse", "--git-path", path]).map(|path| root.join(path));
    let branch = git(root, ["rev-parse", "--symbolic-full-name", "HEAD"]);
    let branch = branch.filter(|name| name.starts_with("refs/")).and_then(|name| own(&name));
    // A branch that is packed gets a file of its own with its next commit: until then its directory is looked at.
    let branch = branch.and_then(|file| file.ancestors().find(|path| path.exists()).map(Path::to_owned));
    for path in [own("HEAD"), branch].into_iter().flatten().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git says, without the end of its line. None when there is no git or it fails.
fn git<A: AsRef<OsStr>>(root: &Path, args: impl IntoIterator<Item = A>) -> Option<String> {
    // It must not refresh the index, which others may be at work with.
    let said = Command::new("git").arg("--no-optional-locks").args(args).current_dir(root).output().ok()?;
    let text = said.status.success().then(|| String::from_utf8(said.stdout).ok())??;
    Some(text.trim_end().to_owned())
}
