//! Finds out who could have changed a file of this machine that a run rests on: its own bits, its owner, and every
//! directory and link on the way to it, as sshd looks at `authorized_keys`.
//!
//! Trusted are root, the user of this process and, behind sudo, the one who called it. A group that nobody else is
//! in is no group: where each user has one of their own (umask 002) its bit says nothing. A sticky directory may be
//! everybody's, since what is in it is looked at by itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
/// Links that lead on to links; the kernel's own limit.
const MOST_LINKS: usize = 40;

/// A file, or something on the way to it, that somebody else could have changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exposed {
    /// What could have been changed.
    pub path: PathBuf,
    /// By whom, in words.
    pub why: String,
    /// Whether `chmod go-w` mends it; a foreign owner is not mended by that.
    pub by_mode: bool,
}

/// What of a file and of the way to it somebody else could have changed. A pipe has nobody else to look at, and a file
/// that this process was handed open is looked at where it lies. One that is not there is for its reader to miss, and
/// the way to where it would be is looked at all the same: who can write there can take it away for a moment.
pub fn exposed(file: &Path) -> Vec<Exposed> {
    let trusted = Trusted::here();
    let mut places = Vec::new();
    // What cannot be looked at cannot be read either.
    let _ = follow(file, &mut places);
    places.into_iter().filter_map(|(path, facts)| trusted.doubt(path, &facts)).collect()
}

/// Finds every directory, link and file that decides what a path means, each once, as far as it leads.
fn follow(path: &Path, found: &mut Vec<(PathBuf, Metadata)>) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    found.push((at.clone(), at.symlink_metadata()?));
    let mut words = words_of(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(word) = words.pop() {
        if word == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        if holds_descriptors(&at) {
            let open = next.metadata()?;
            if !open.is_file() {
                return Ok(());
            }
            if !still_lies_there(&next, &open) {
                found.push((next, open));
                return Ok(());
            }
        }
        let facts = next.symlink_metadata()?;
        if facts.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            words.extend(words_of(&target));
        } else {
            at.clone_from(&next);
        }
        if found.iter().all(|(known, _)| *known != next) {
            found.push((next, facts));
        }
    }
    Ok(())
}

/// The words of a path, the last one first.
fn words_of(path: &Path) -> Vec<OsString> {
    let is_word = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(is_word).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// `/proc/PID/fd`: what it lists was opened by whoever started this process.
fn holds_descriptors(directory: &Path) -> bool {
    directory.starts_with("/proc") && directory.ends_with("fd")
}

/// Whether a descriptor's link leads to the file that was opened: its name may be gone, or another's by now.
fn still_lies_there(link: &Path, open: &Metadata) -> bool {
    let found = fs::read_link(link).and_then(|path| path.symlink_metadata());
    found.is_ok_and(|found| (found.dev(), found.ino()) == (open.dev(), open.ino()))
}

/// Whose changes are no surprise.
struct Trusted {
    users: BTreeSet<u32>,
    /// `/etc/passwd` and `/etc/group`: whom they do not know may be anybody.
    logins: String,
    groups: String,
}

impl Trusted {
    fn here() -> Self {
        let me = rustix::process::geteuid().as_raw();
        let mut users = BTreeSet::from([0, me]);
        if me == 0 {
            let caller = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
            users.extend::<Option<u32>>(caller);
        }
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self { users, logins: read("/etc/passwd"), groups: read("/etc/group") }
    }

    fn doubt(&self, path: PathBuf, facts: &Metadata) -> Option<Exposed> {
        let mode = facts.mode();
        let said = format!("(mode {:04o})", mode & 0o7777);
        let exchange = if facts.is_dir() { ", and exchange what is in it" } else { "" };
        let (why, by_mode) = if !self.users.contains(&facts.uid()) {
            (format!("belongs to {}, who is neither you nor root", self.login(facts.uid())), false)
        } else if facts.is_symlink()
            || (facts.is_dir() && mode & STICKY != 0)
            || facts.file_type().is_char_device()
        {
            return None;
        } else if mode & OTHERS_WRITE != 0 {
            (format!("everybody can write to it{exchange} {said}"), true)
        } else if mode & GROUP_WRITES != 0 && (!self.is_private(facts.gid()) || has_acl(&path)) {
            (format!("{} can write to it{exchange} {said}", self.group(facts.gid())), true)
        } else {
            return None;
        };
        Some(Exposed { path, why, by_mode })
    }

    /// Whether nobody is in a group but those who are trusted anyway. One that no file of this machine knows may
    /// have any members.
    fn is_private(&self, gid: u32) -> bool {
        let mut known = false;
        for members in
            rows(&self.groups).filter(|row| number(row, 2) == Some(gid)).filter_map(|row| field(row, 3))
        {
            known = true;
            let mut members = members.split(',').filter(|member| !member.is_empty());
            if !members.all(|member| self.uid_of(member).is_some_and(|uid| self.users.contains(&uid))) {
                return false;
            }
        }
        let primary = rows(&self.logins).filter(|row| number(row, 3) == Some(gid));
        known && primary.filter_map(|row| number(row, 2)).all(|uid| self.users.contains(&uid))
    }

    fn uid_of(&self, login: &str) -> Option<u32> {
        rows(&self.logins).find(|row| field(row, 0) == Some(login)).and_then(|row| number(row, 2))
    }

    fn login(&self, uid: u32) -> String {
        let name = rows(&self.logins).find(|row| number(row, 2) == Some(uid)).and_then(|row| field(row, 0));
        name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
    }

    fn group(&self, gid: u32) -> String {
        let name = rows(&self.groups).find(|row| number(row, 2) == Some(gid)).and_then(|row| field(row, 0));
        name.map_or_else(|| format!("the group {gid}"), |name| format!("the group {name}"))
    }
}

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines()
}

fn field(row: &str, place: usize) -> Option<&str> {
    row.split(':').nth(place)
}

fn number(row: &str, place: usize) -> Option<u32> {
    field(row, place)?.parse().ok()
}

/// Whether somebody was given rights by name: then the group's bits are only the most that any of them has.
fn has_acl(path: &Path) -> bool {
    let mut list = [0_u8; 1024];
    let read = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]);
    matches!(read, Ok(_) | Err(rustix::io::Errno::RANGE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn why(path: &Path) -> Vec<String> {
        exposed(path).into_iter().map(|found| format!("{}: {}", found.path.display(), found.why)).collect()
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn bits_count_on_the_file_and_on_every_directory_and_link_that_leads_to_it() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        for dir in ["a", "b", "b/c"] {
            fs::create_dir(root.join(dir)).unwrap();
            chmod(&root.join(dir), 0o755);
        }
        let (file, link) = (root.join("a/file"), root.join("b/c/link"));
        fs::write(&file, "x").unwrap();
        chmod(&file, 0o644);
        symlink("../../a/file", &link).unwrap();
        assert_eq!(why(&file), [""; 0]);
        assert_eq!(why(&link), [""; 0]);
        chmod(&file, 0o666);
        assert_eq!(why(&file), [format!("{}: everybody can write to it (mode 0666)", file.display())]);
        assert_eq!(why(&link).len(), 1);
        chmod(&file, 0o644);
        for (dir, affected) in [("a", [&file, &link].as_slice()), ("b", &[&link]), ("b/c", &[&link])] {
            let dir = root.join(dir);
            chmod(&dir, 0o777);
            for path in affected {
                let said = format!(
                    "{}: everybody can write to it, and exchange what is in it (mode 0777)",
                    dir.display()
                );
                assert_eq!(why(path), [said]);
            }
            let missing = dir.join("missing");
            assert_eq!(why(&missing).len(), 1, "it may be taken away for a moment");
            chmod(&dir, 0o1777);
            assert_eq!(why(&link), [""; 0], "a sticky directory may be everybody's");
            chmod(&dir, 0o755);
        }
    }

    #[test]
    fn a_group_counts_as_soon_as_somebody_else_is_in_it() {
        let trusted = |groups: &str| Trusted {
            users: BTreeSet::from([0, 1000]),
            logins: "root:x:0:0::/:\nanna:x:1000:1000::/:\nbob:x:1001:1001::/:\neve:x:1002:50::/:\n"
                .to_owned(),
            groups: groups.to_owned(),
        };
        let table =
            "anna:x:1000:\nbob:x:1001:\nstaff:x:50:\nops:x:60:anna,bob\nmine:x:61:anna\nfar:x:62:from-ldap\n";
        for (gid, private) in
            [(1000, true), (1001, false), (50, false), (60, false), (61, true), (62, false), (99, false)]
        {
            assert_eq!(trusted(table).is_private(gid), private, "group {gid}");
        }
        assert!(!trusted("anna:x:1000:bob\n").is_private(1000));
    }

    #[test]
    fn what_was_handed_over_open_and_what_is_not_there_has_nobody_to_doubt() {
        assert_eq!(why(Path::new("/proc/self/fd/0")), [""; 0]);
        assert_eq!(why(Path::new("/dev/stdin")), [""; 0]);
        assert_eq!(why(Path::new("/nowhere/at/all")), [""; 0]);
        let temp = tempfile::tempdir().unwrap();
        let (one, other) = (temp.path().join("one"), temp.path().join("other"));
        symlink(&other, &one).unwrap();
        symlink(&one, &other).unwrap();
        assert_eq!(why(&one), [""; 0]);
    }
}
