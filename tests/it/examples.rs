//! The files under `examples/` are what they say they are.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::support::rollgate;

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo").join(file)
}

#[test]
fn the_demo_procedure_names_the_sum_of_its_package() {
    let package = fs::read(demo("service-2")).unwrap();
    let sum = Sha256::digest(&package).iter().fold(String::new(), |sum, byte| format!("{sum}{byte:02x}"));
    let procedure = fs::read_to_string(demo("procedure.yaml")).unwrap();
    assert!(procedure.contains(&sum), "procedure.yaml must say sha256: {sum}");
}

#[test]
fn every_example_is_read_without_a_complaint() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut seen = Vec::new();
    for entry in fs::read_dir(examples).unwrap() {
        let entry = entry.unwrap();
        let inventory = entry.path().join("inventory.yaml");
        // Schemas, and what cron, systemd and notify want; other tests hold those to it.
        if !inventory.exists() {
            continue;
        }
        rollgate(["-i", inventory.to_str().unwrap(), "check", "--syntax-only"])
            .run()
            .code(0)
            .stderr("")
            .lacks("warning");
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(
        seen,
        ["3scale", "bluecat", "demo", "digital-rebar", "notify", "skudonet", "starlingx", "starter"]
    );
}
