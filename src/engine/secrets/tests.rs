//! Where secrets come from, who gets them, and what does not.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;

fn secrets(value: &str) -> Secrets {
    let secrets = Secrets::default();
    keep(&secrets, &NodeName::operator(), "password", value);
    secrets
}

fn keep(secrets: &Secrets, lane: &NodeName, name: &str, value: &str) {
    secrets.keep(lane, name, Secret::new(value.to_owned()));
}

fn fetch(source: SecretSource) -> Result<Secrets, SecretError> {
    let sources = BTreeMap::from([(VarName::parse("password").unwrap(), source)]);
    Secrets::fetch(&sources, &Ask { env: &|_| None, prompt: None })
}

fn command(command: &str) -> Result<Secrets, SecretError> {
    fetch(SecretSource::Command(command.to_owned()))
}

fn file(path: &Path) -> Result<Secrets, SecretError> {
    fetch(SecretSource::File(path.to_owned()))
}

#[test]
fn whatever_is_captured_is_known_to_every_clone() {
    let secrets = secrets("hunter22");
    let clone = secrets.clone();
    keep(&secrets, &NodeName::operator(), "later", "rabbit-7Qx!");
    assert_eq!(clone.mask("hunter22 rabbit-7Qx!"), "*** ***");
    assert_eq!(clone.mask_bytes(b"\xffhunter22\xff"), b"\xff***\xff");
}

#[test]
fn only_named_secrets_travel() {
    let secrets = secrets("hunter22");
    let named = |script: &str| secrets.named_in(script, &NodeName::operator()).len();
    for script in ["echo hello", "$passwords", "$my_password", "password2=1"] {
        assert_eq!(named(script), 0, "{script}");
    }
    for script in ["login \"$password\"", "${password:?}", "password", "pw=$password;"] {
        assert_eq!(named(script), 1, "{script}");
    }
    assert!(!format!("{secrets:?}").contains("hunter22"));
}

#[test]
fn every_lane_has_the_captures_of_its_own_and_of_the_operator() {
    let [n1, n2] = ["n1", "n2"].map(|name| NodeName::parse(name).unwrap());
    let secrets = secrets("everybodys");
    keep(&secrets, &n1, "password", "n1s-own");
    let of = |lane| secrets.named_in("$password", lane)["password"].reveal().to_owned();
    assert_eq!((of(&n1), of(&n2)), ("n1s-own".to_owned(), "everybodys".to_owned()));
    assert!(secrets.has_captured(&n1, "password") && !secrets.has_captured(&n2, "password"));
}

#[test]
fn what_cannot_be_had_is_named_and_stops_nothing() {
    let name = |name: &str| VarName::parse(name).unwrap();
    let sources = BTreeMap::from([
        (name("asked"), SecretSource::Prompt("password".to_owned())),
        (name("here"), SecretSource::Env("HERE".to_owned())),
    ]);
    let (known, unknown) =
        Secrets::fetch_some(&sources, &Ask { env: &|_| Some("hunter22".to_owned()), prompt: None });
    assert_eq!((known.mask("is hunter22"), unknown), ("is ***".to_owned(), vec![name("asked")]));
}

#[test]
fn only_a_private_file_of_ones_own_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::write(&path, "hunter22\n").unwrap();
    for open in [0o644, 0o640, 0o604, 0o620, 0o602] {
        mode(open);
        let refused = file(&path).unwrap_err();
        assert!(matches!(refused, SecretError::TooOpen { .. }), "{open:o}: {refused}");
        assert_eq!(refused.next().unwrap()[..2], ["chmod", "600"]);
    }
    mode(0o600);
    assert_eq!(file(&path).unwrap().mask("is hunter22"), "is ***");
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    assert_eq!(file(&link).unwrap().mask("is hunter22"), "is ***");
    assert!(matches!(file(directory.path()), Err(SecretError::Refused { .. })));
    // Nobody writes into it, and nobody waits for that.
    let pipe = directory.path().join("pipe");
    let piped = std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap();
    assert!(piped.success() && matches!(file(&pipe), Err(SecretError::Refused { .. })));
    std::fs::write(&path, "a".repeat((1 << 16) + 1)).unwrap();
    assert!(file(&path).unwrap_err().to_string().contains("longer than 64 KiB"));
    std::fs::write(&path, b"\xff").unwrap();
    assert!(file(&path).unwrap_err().to_string().contains("not text"));
    std::fs::write(&path, "\n").unwrap();
    assert!(matches!(file(&path), Err(SecretError::Unusable { .. })));
    if rustix::process::geteuid().is_root() {
        std::fs::write(&path, "hunter22").unwrap();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(file(&path).unwrap_err().to_string().contains("another user (uid 65534)"));
    }
}

#[test]
fn a_command_prints_it_and_says_nothing_else() {
    assert_eq!(command("echo hunter22").unwrap().mask("is hunter22"), "is ***");
    for (words, says) in [
        ("echo hunter22; echo hunter22 >&2; exit 3", "its command ended with exit status: 3"),
        ("echo hunter22; no-such-program-here", "its command ended with exit status: 127"),
        (
            "head -c 70000 /dev/zero | tr '\\0' a",
            "its command printed what cannot be used: it is longer than 64 KiB",
        ),
        ("printf '\\377'", "its command printed what cannot be used: it is not text"),
        (
            "while :; do echo hunter22; done",
            "its command printed what cannot be used: it is longer than 64 KiB",
        ),
        ("cat >/dev/null; true", "is empty or has a NUL character"),
    ] {
        let said = command(words).unwrap_err().to_string();
        assert!(said.contains(says) && !said.contains("hunter22"), "{words}: {said}");
    }
    // Standard input is nothing, and the terminal is somebody else's.
    assert_eq!(command("cat; echo hunter22").unwrap().mask("hunter22"), "***");
}

#[test]
fn a_log_is_masked_line_by_line() {
    let mut log = Vec::new();
    let line = b"DEBUG said=hunter22 aHVudGVyMjI=\n";
    let count = std::io::Write::write(&mut Masked::new(secrets("hunter22"), &mut log), line).unwrap();
    assert_eq!((count, log.as_slice()), (line.len(), b"DEBUG said=*** ***=\n".as_slice()));
}

#[test]
fn a_long_text_full_of_beginnings_costs_no_more_than_its_length() {
    let (value, text) = (format!("{}b", "a".repeat(20_000)), "a".repeat(1 << 20));
    let secrets = secrets(&value);
    let began = std::time::Instant::now();
    assert!(!secrets.masking().finds(&text));
    assert!(secrets.masking().finds(&format!("{text}b")));
    // Compared character by character it would be twenty thousand million steps, and more with every form.
    assert!(began.elapsed() < std::time::Duration::from_mins(1), "{:?}", began.elapsed());
}
