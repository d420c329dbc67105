//! A directory as evidence: what a run that must change nothing is measured by.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Everything below a directory: paths, kinds, modes, owners, times of change, contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Dir,
    Link(PathBuf),
    File { len: u64, sha256: Vec<u8> },
    Other,
}

impl Tree {
    /// Reads a directory with all that is below it.
    pub(crate) fn of(dir: &Path) -> Self {
        let mut tree = BTreeMap::new();
        read(dir, Path::new("."), &mut tree);
        Self(tree)
    }

    /// Without what a run notes on its nodes before it begins: its lock, and its own records.
    pub(crate) fn without_bookkeeping(mut self) -> Self {
        self.0.retain(|path, entry| {
            let parts: Vec<_> =
                path.components().skip(1).filter_map(|part| part.as_os_str().to_str()).collect();
            match parts[..] {
                // These change with what is made in them.
                [_] | [_, "rollgate"] | [_, "rollgate", _] => entry.content != Content::Dir,
                [_, "rollgate", _, "fence" | "runs", ..] => false,
                _ => true,
            }
        });
        self
    }

    /// What differs, a line each: `+` appeared, `-` vanished, `~` changed.
    pub(crate) fn changes(&self, after: &Self) -> Vec<String> {
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(after.0.keys()).collect();
        let mut changes = Vec::new();
        for path in paths {
            let at = path.display();
            match (self.0.get(path), after.0.get(path)) {
                (None, Some(_)) => changes.push(format!("+ {at}")),
                (Some(_), None) => changes.push(format!("- {at}")),
                (Some(before), Some(after)) if before != after => changes.push(format!("~ {at}")),
                _ => {}
            }
        }
        changes
    }

    /// Insists that nothing changed.
    #[track_caller]
    pub(crate) fn assert_unchanged(&self, after: &Self) {
        let changes = self.changes(after);
        assert!(changes.is_empty(), "the tree changed:\n{}", changes.join("\n"));
    }
}

fn read(root: &Path, relative: &Path, tree: &mut BTreeMap<PathBuf, Entry>) {
    let path = root.join(relative);
    let meta = fs::symlink_metadata(&path).unwrap();
    let content = if meta.is_dir() {
        for entry in fs::read_dir(&path).unwrap() {
            read(root, &relative.join(entry.unwrap().file_name()), tree);
        }
        Content::Dir
    } else if meta.is_symlink() {
        Content::Link(fs::read_link(&path).unwrap())
    } else if meta.is_file() {
        let bytes = fs::read(&path).unwrap();
        Content::File { len: meta.len(), sha256: Sha256::digest(&bytes).to_vec() }
    } else {
        Content::Other
    };
    let entry = Entry {
        mode: meta.permissions().mode(),
        owner: (meta.uid(), meta.gid()),
        modified: (meta.mtime(), meta.mtime_nsec()),
        content,
    };
    tree.insert(relative.to_owned(), entry);
}
