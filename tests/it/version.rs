//! `rollgate --version` says what was built, and from which commit where whoever built it could know.

use std::fs;
use std::path::Path;
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
fn the_long_one_says_version_and_target() {
    let said = said("--version");
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml")).unwrap();
    let number = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap();
    // The tests are built by the same call of cargo, so what it was told was told to them as well.
    let commit = option_env!("ROLLGATE_COMMIT").filter(|commit| !commit.is_empty());
    let commit = commit.map(|commit| format!("commit {commit}\n")).unwrap_or_default();
    let start = format!("rollgate {}\n{commit}target ", number.trim_matches('"'));
    let target = said.strip_prefix(&start).unwrap_or_else(|| panic!("{said}")).trim_end();
    assert!(target.starts_with(&format!("{}-linux-", std::env::consts::ARCH)), "{target}");
}

#[test]
fn a_commit_is_said_where_the_build_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let constant = fs::read_to_string(Path::new(ROOT).join("src/main.rs")).unwrap();
    let constant = constant.lines().find(|line| line.starts_with("const COMMIT")).unwrap();
    fs::write(dir.path().join("main.rs"), format!("{constant}\nfn main() {{ print!(\"{{COMMIT:?}}\") }}"))
        .unwrap();
    for (told, means) in [(None, "None"), (Some("0123abc"), "Some(\"0123abc\")")] {
        let mut build = Command::new(&rustc);
        build.args(["--edition", "2024", "main.rs"]).current_dir(&dir).env_remove("ROLLGATE_COMMIT");
        assert!(build.envs(told.map(|commit| ("ROLLGATE_COMMIT", commit))).status().unwrap().success());
        Invocation::new(dir.path().join("main"), dir.path()).run().code(0).stdout(means);
    }
}

#[test]
fn the_short_one_is_one_line() {
    let long = said("--version");
    assert_eq!(said("-V"), format!("{}\n", long.lines().next().unwrap()));
}

/// A tree with the sources of a program, which `tests/lab/commit` is asked about.
struct Tree {
    dir: TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree = Self { dir: tempfile::tempdir().unwrap() };
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

    fn ask(&self, place: &str) -> Invocation {
        let script = Path::new(ROOT).join("tests/lab/commit");
        Invocation::new(script, self.dir.path()).args([self.dir.path().join(place)])
    }

    #[track_caller]
    fn is_of(&self, place: &str, commit: &str) {
        self.ask(place).run().code(0).stderr("").stdout(&format!("{commit}\n"));
    }

    #[track_caller]
    fn is_of_none(&self, place: &str) {
        self.ask(place).run().code(0).stderr("").stdout("");
    }
}

#[test]
fn without_a_repository_of_its_own_a_tree_is_of_no_commit() {
    let tree = Tree::new();
    tree.is_of_none("tree");
    // That of another project around it is not this one's.
    tree.git(".", &["init", "-q"]);
    tree.write("other", "");
    tree.git(".", &["add", "other"]);
    tree.git(".", &["commit", "-q", "-m", "Begin"]);
    tree.is_of_none("tree");
    // Nor is there one before the first.
    tree.git("tree", &["init", "-q", "-b", "main"]);
    tree.is_of_none("tree");
}

#[test]
fn a_checkout_is_of_its_commit_and_dirty_where_its_sources_are_changed() {
    let tree = Tree::new();
    tree.git("tree", &["init", "-q", "-b", "main"]);
    let first = tree.commit();
    tree.is_of("tree", &first);
    tree.write("tree/notes", "no part of the program");
    tree.is_of("tree", &first);
    tree.write("tree/src/main.rs", "two");
    tree.is_of("tree", &format!("{first}-dirty"));
    let second = tree.commit();
    assert_ne!(first, second);
    tree.is_of("tree", &second);
    tree.write("tree/src/new.rs", "nobody has added it yet");
    tree.is_of("tree", &format!("{second}-dirty"));
}

#[test]
fn a_worktree_is_of_its_own_commit() {
    let tree = Tree::new();
    tree.git("tree", &["init", "-q", "-b", "main"]);
    let first = tree.commit();
    tree.git("tree", &["worktree", "add", "-q", "-b", "side/way", "../beside"]);
    tree.write("tree/src/main.rs", "two");
    let second = tree.commit();
    tree.git("tree", &["pack-refs", "--all"]);
    tree.is_of("beside", &first);
    tree.is_of("tree", &second);
    tree.git("tree", &["checkout", "-q", "--detach", &first]);
    tree.is_of("tree", &first);
}
