//! What is built into rollgate, and what building it runs: no code of ours, nothing unsafe, and as many crates as the
//! README says. `.ci/supply` looks at the crates themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of a section of a manifest.
fn section<'m>(manifest: &'m str, name: &str) -> Vec<&'m str> {
    let head = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| *line != head).skip(1);
    lines.take_while(|line| !line.starts_with('[')).collect()
}

/// What a manifest allows that is not to be.
fn allowed(manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    let package = section(manifest, "package");
    if !package.contains(&"build = false") {
        found.push("a build script would be run: it says `build = false`".to_owned());
    }
    found.extend(
        package
            .iter()
            .filter(|line| line.starts_with("links"))
            .map(|line| format!("{line}: it links nothing")),
    );
    if !section(manifest, "lints.rust").contains(&"unsafe_code = \"forbid\"") {
        found.push("unsafe code is forbidden".to_owned());
    }
    for name in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let from_elsewhere =
            |line: &&str| ["git =", "path =", "registry ="].iter().any(|key| line.contains(key));
        let lines = section(manifest, name);
        found.extend(
            lines.iter().copied().filter(from_elsewhere).map(|line| format!("{line}: not from crates.io")),
        );
        if name == "build-dependencies" && !lines.is_empty() {
            found.push("what only a build script needs".to_owned());
        }
    }
    for head in manifest.lines().filter(|line| line.starts_with("[patch") || line.starts_with("[replace")) {
        found.push(format!("{head}: another crate than the one it is named after"));
    }
    found
}

#[test]
fn building_rollgate_runs_no_code_of_ours() {
    assert_eq!(allowed(&file("Cargo.toml")), [""; 0]);
    for path in ["build.rs", "src/build.rs", ".cargo/config.toml", ".cargo/config"] {
        assert!(!Path::new(ROOT).join(path).exists(), "{path}");
    }
}

#[test]
fn what_would_allow_it_is_found() {
    let manifest = file("Cargo.toml");
    for (from, to, wanted) in [
        ("build = false", "build = \"src/build.rs\"", "build script"),
        ("build = false", "", "build script"),
        ("build = false", "build = false\nlinks = \"z\"", "links nothing"),
        ("unsafe_code = \"forbid\"", "unsafe_code = \"deny\"", "unsafe"),
        ("anyhow = \"1\"", "anyhow = { git = \"https://example.org/anyhow\" }", "not from crates.io"),
        ("[dev-dependencies]", "[build-dependencies]\ncc = \"1\"\n[dev-dependencies]", "only a build script"),
        ("[dev-dependencies]", "[patch.crates-io]\n[dev-dependencies]", "another crate"),
    ] {
        let found = allowed(&manifest.replacen(from, to, 1));
        assert!(found.len() == 1 && found[0].contains(wanted), "{to}: {found:?}");
    }
}

/// What cargo says of this project, without asking anybody.
fn cargo(words: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let said = Command::new(cargo).args(words.split(' ')).current_dir(ROOT).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}

/// The words with which the author of a crate has given it up, in its version, its description or its manifest.
fn given_up(version: &str, description: &str, manifest: &str) -> Option<String> {
    let words = ["deprecated", "unmaintained", "no longer maintained", "abandoned"];
    let about = format!("{version} {description}").to_lowercase();
    let badge = section(manifest, "badges.maintenance").join(" ");
    let badges = ["deprecated", "as-is", "looking-for-maintainer"];
    let said = words.iter().find(|word| about.contains(*word));
    said.or_else(|| badges.iter().find(|word| badge.contains(*word))).map(ToString::to_string)
}

#[test]
fn no_crate_says_that_it_is_given_up() {
    let metadata: Value = serde_json::from_str(&cargo(
        "metadata --locked --offline --format-version 1 --filter-platform host-tuple",
    ))
    .unwrap();
    let crates = metadata["packages"].as_array().unwrap();
    assert!(crates.len() > 100, "{}", crates.len());
    for it in crates {
        let [name, version, manifest] =
            ["name", "version", "manifest_path"].map(|key| it[key].as_str().unwrap());
        let description = it["description"].as_str().unwrap_or_default();
        let manifest = fs::read_to_string(manifest).unwrap();
        assert_eq!(given_up(version, description, &manifest), None, "{name} {version}: {description}");
    }
}

#[test]
fn a_crate_that_says_so_is_found() {
    let badge =
        |status: &str| format!("[package]\n[badges.maintenance]\nstatus = \"{status}\"\n[dependencies]\n");
    for (version, description, status) in [
        ("0.9.34+deprecated", "YAML for serde", "none"),
        ("1.0.0", "UNMAINTAINED: use another", "none"),
        ("1.0.0", "Good", "looking-for-maintainer"),
        ("1.0.0", "Good", "deprecated"),
    ] {
        assert!(given_up(version, description, &badge(status)).is_some(), "{version} {description} {status}");
    }
    assert_eq!(given_up("1.0.0", "Good", &badge("passively-maintained")), None);
}

#[test]
fn the_readme_counts_the_crates() {
    // Those of the platform that most have, so that it is one number everywhere.
    let words =
        "tree --locked --offline --edges no-dev --target x86_64-unknown-linux-gnu --prefix none --format {p}";
    let tree = cargo(words);
    let crates: BTreeSet<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let crates = crates.iter().filter(|line| !line.is_empty() && !line.starts_with("rollgate ")).count();
    let said = format!("{crates} crates");
    assert!(file("README.md").contains(&said), "the README does not say that there are {said}");
}
