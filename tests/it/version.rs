//! `rollgate --version` says what was built, and from what: here, and wherever else it is built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::support::{Invocation, rollgate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn said(flag: &str) -> String {
    let said = rollgate([flag]).run();
    said.code(0).stderr("");
    said.raw_stdout().to_owned()
}

#[test]
fn the_long_one_says_version_commit_and_target() {
    let said = said("--version");
    let lines: Vec<&str> = said.lines().collect();
    let [version, commit, target] = lines[..] else { panic!("{said}") };
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let number = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    assert_eq!(version, format!("rollgate {}", number.trim_matches('"')));
    let commit = commit.strip_prefix("commit ").unwrap();
    let head = Command::new("git").args(["-C", ROOT, "rev-parse", "--short", "HEAD"]).output();
    match head.ok().filter(|head| head.status.success() && Path::new(ROOT).join(".git").exists()) {
        Some(head) => {
            let head = String::from_utf8(head.stdout).unwrap();
            assert_eq!(commit.trim_end_matches("-dirty"), head.trim());
        }
        None => assert_eq!(commit, "unknown"),
    }
    let target = target.strip_prefix("target ").unwrap();
    assert!(target.starts_with(std::env::consts::ARCH) && target.contains("-linux-"), "{target}");
}

#[test]
fn the_short_one_is_one_line() {
    let long = said("--version");
    assert_eq!(said("-V"), format!("{}\n", long.lines().next().unwrap()));
}

/// A tree with the sources of a program, and the script that finds out what it is built from.
struct Tree {
    dir: TempDir,
    script: PathBuf,
}

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("build");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let source = Path::new(ROOT).join("src/build.rs");
        let built = Command::new(rustc).args(["--edition", "2024", "-o"]).args([&script, &source]).status();
        assert!(built.unwrap().success());
        let tree = Self { dir, script };
        tree.write("tree/src/main.rs", "one");
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, place: &str, args: &[&str]) -> String {
        let who = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"];
        let git = Invocation::new("git", &self.dir.path().join(place)).args(who).args(args).run();
        git.code(0);
        git.raw_stdout().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git("tree", &["add", "."]);
        self.git("tree", &["commit", "-q", "-m", "Change"]);
        self.git("tree", &["rev-parse", "--short", "HEAD"])
    }

    /// What the script tells cargo of a tree.
    fn build(&self, place: &str) -> Invocation {
        let root = self.dir.path().join(place);
        Invocation::new(&self.script, &root).env("CARGO_MANIFEST_DIR", &root).env("TARGET", "a-b-c")
    }

    #[track_caller]
    fn says(&self, place: &str, commit: &str) {
        let told = format!("cargo::rustc-env=ROLLGATE_COMMIT={commit}\n");
        self.build(place).run().code(0).stderr("").stdout_has(&told).stdout_has("ROLLGATE_TARGET=a-b-c\n");
    }

    /// The paths for which cargo is to ask the script again; each exists, else it would ask every time.
    fn watched(&self, place: &str) -> Vec<String> {
        let root = self.dir.path().join(place);
        let told = self.build(place).run();
        let lines = told.raw_stdout().lines();
        let paths: Vec<_> = lines
            .filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="))
            .filter(|path| path.contains(".git"))
            .map(|path| {
                assert!(root.join(path).exists(), "{path}");
                let path = fs::canonicalize(root.join(path)).unwrap();
                path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned()
            })
            .collect();
        paths
    }
}

#[test]
fn without_a_repository_the_commit_is_unknown() {
    let tree = Tree::new();
    tree.says("tree", "unknown");
    assert_eq!(tree.watched("tree"), [""; 0]);
    tree.build("tree").env("PATH", "/nowhere").run().code(0).stdout_has("ROLLGATE_COMMIT=unknown\n");
    // That of another project around it is not this one's.
    tree.git(".", &["init", "-q"]);
    tree.write("other", "");
    tree.git(".", &["add", "other"]);
    tree.git(".", &["commit", "-q", "-m", "Begin"]);
    tree.says("tree", "unknown");
}

#[test]
fn a_package_says_what_it_was_packed_from() {
    let tree = Tree::new();
    let sum = "0123456789012345678901234567890123456789";
    tree.write("tree/.cargo_vcs_info.json", &format!("{{\n  \"git\": {{\n    \"sha1\": \"{sum}\"\n  }}\n}}"));
    tree.says("tree", "0123456");
    let dirty = format!("{{\n  \"git\": {{\n    \"sha1\": \"{sum}\",\n    \"dirty\": true\n  }}\n}}");
    tree.write("tree/.cargo_vcs_info.json", &dirty);
    tree.says("tree", "0123456-dirty");
    tree.write("tree/.cargo_vcs_info.json", "{}");
    tree.says("tree", "unknown");
}

#[test]
fn a_checkout_says_its_commit_and_whether_its_sources_are_changed() {
    let tree = Tree::new();
    tree.git("tree", &["init", "-q", "-b", "main"]);
    let first = tree.commit();
    tree.says("tree", &first);
    assert_eq!(tree.watched("tree"), ["tree/.git/HEAD", "tree/.git/refs/heads/main"]);
    tree.write("tree/notes", "no part of the program");
    tree.says("tree", &first);
    tree.write("tree/src/main.rs", "two");
    tree.says("tree", &format!("{first}-dirty"));
    let second = tree.commit();
    assert_ne!(first, second);
    tree.says("tree", &second);
    tree.build("tree").env("PATH", "/nowhere").run().code(0).stdout_has("ROLLGATE_COMMIT=unknown\n");
}

#[test]
fn a_packed_branch_and_a_worktree_are_watched_as_well() {
    let tree = Tree::new();
    tree.git("tree", &["init", "-q", "-b", "main"]);
    let commit = tree.commit();
    tree.git("tree", &["worktree", "add", "-q", "-b", "side/way", "../beside"]);
    tree.says("beside", &commit);
    let head = "tree/.git/worktrees/beside/HEAD";
    assert_eq!(tree.watched("beside"), [head, "tree/.git/refs/heads/side/way"]);
    tree.git("tree", &["pack-refs", "--all"]);
    tree.says("beside", &commit);
    let watched = tree.watched("beside");
    assert_eq!(watched[0], head);
    assert!("tree/.git/refs/heads/side".starts_with(&watched[1]), "{watched:?}");
    tree.git("tree", &["checkout", "-q", "--detach"]);
    tree.says("tree", &commit);
    assert_eq!(tree.watched("tree"), ["tree/.git/HEAD"]);
}
