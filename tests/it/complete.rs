//! No test file is forgotten: a file that no module declares is compiled by nobody.

use std::fs;
use std::path::Path;

/// The `.rs` files of a directory that its root file does not declare.
fn undeclared(dir: &Path, root: &str) -> Vec<String> {
    let declared = fs::read_to_string(dir.join(root)).unwrap();
    let mut forgotten: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|end| end == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != root.trim_end_matches(".rs"))
        .filter(|name| {
            !declared.lines().any(|line| {
                let line = line.trim().trim_start_matches("pub(crate) ");
                line.strip_prefix("mod ").is_some_and(|rest| rest.trim_end_matches(';') == name)
            })
        })
        .collect();
    forgotten.sort();
    forgotten
}

#[test]
fn every_test_file_is_declared() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    assert_eq!(undeclared(&here, "main.rs"), [""; 0]);
    assert_eq!(undeclared(&here.join("support"), "mod.rs"), [""; 0]);
}

#[test]
fn there_is_one_integration_binary() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let strays: Vec<_> = fs::read_dir(tests)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .collect();
    assert!(strays.is_empty(), "these would be linked as binaries of their own: {strays:?}");
}

#[test]
fn a_forgotten_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.rs"), "mod known;\n// mod commented;\n").unwrap();
    for name in ["known.rs", "commented.rs", "forgotten.rs", "notes.txt"] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(undeclared(dir.path(), "main.rs"), ["commented", "forgotten"]);
}
