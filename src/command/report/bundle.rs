//! All that is known of a run in one archive, for those who look for a fault: masked, and the same each time.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::{Value, json};

use super::columns::Columns;
use crate::command::refusal::Refusal;
use crate::command::runs::Recorded;
use crate::engine::secrets::Secrets;
use crate::exit::Exit;
use crate::report::{Facts, Mask, Member, Report, hide_sources, masked, pack};
use crate::ui::{document, words};

/// Of a longer file the end is packed: what went wrong stands there.
const MOST: u64 = 4 << 20;

/// Packs it.
pub(super) fn bundle(
    run: &Recorded,
    journal: &[u8],
    facts: &Facts<'_>,
    report: &Report<'_>,
    secrets: &Secrets,
) -> Result<Vec<u8>, Refusal> {
    let name = run.dir.id().to_string();
    let member = |path: &str, bytes: Vec<u8>| Member { path: format!("{name}/{path}"), bytes };
    let text = |path: &str, text: String| member(path, text.into_bytes());
    let broken = |path: &Path, error: &io::Error| {
        Refusal::new(Exit::Broken, format!("{} cannot be read: {error}", path.display()))
            .standing("nothing was written")
    };
    let journal = masked_journal(&String::from_utf8_lossy(journal), facts.mask);
    let mut members = vec![
        text("about.txt", about(facts, &journal)),
        text("journal.ndjson", journal.text),
        text("report.html", report.html()),
        text("report.json", document::text(&report.json())),
        text("report.txt", report.text(&Columns { unicode: false })),
    ];
    for file in &facts.files {
        members.extend(
            file.text.as_ref().map(|source| text(&format!("{}.yaml", file.role), (facts.mask)(source))),
        );
    }
    let log = run.dir.debug_log_path();
    if log.is_file() {
        let bytes = end_of(&log).map_err(|error| broken(&log, &error))?;
        members.push(member("debug.log", secrets.mask_bytes(&bytes)));
    }
    for path in transcripts(&run.dir.path().join("out")) {
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else { continue };
        let bytes = end_of(&path).map_err(|error| broken(&path, &error))?;
        members.push(member(&format!("out/{file}"), secrets.mask_bytes(&bytes)));
    }
    // The time of the run, and not that of the packing: the same run is the same bundle.
    let time = u64::try_from(facts.state.latest_at.as_second()).unwrap_or(0);
    pack(&members, time, Vec::new())
        .map_err(|error| Refusal::new(Exit::Broken, format!("the bundle cannot be packed: {error}")))
}

/// What one must know to read the rest.
fn about(facts: &Facts<'_>, journal: &Masked) -> String {
    let mut text = format!(
        "rollgate {}\nrun {} of {}\njournal sha256 {}\nlines of the journal that were masked: {changed}\n",
        env!("CARGO_PKG_VERSION"),
        facts.state.run,
        facts.state.plan.cluster,
        facts.journal.sha256,
        changed = journal.changed,
    );
    if journal.left_out > 0 {
        writeln!(text, "lines of the journal that were left out, for they are no JSON: {}", journal.left_out)
            .expect("a String takes every write");
    }
    let system = rustix::system::uname();
    let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let (name, release, machine) = (part(system.sysname()), part(system.release()), part(system.machine()));
    writeln!(text, "made on {name} {release} {machine}").expect("a String takes every write");
    for secret in &facts.unknown_secrets {
        writeln!(text, "secret {secret} cannot be had now: masked as the run masked it")
            .expect("a String takes every write");
    }
    text
}

/// The journal as it is packed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Masked {
    text: String,
    /// Lines that are not what they were.
    changed: usize,
    /// Lines in whose place a remark stands.
    left_out: usize,
}

/// The journal with its lines masked. A line in which there is nothing to mask stays as it is, with its checksum.
fn masked_journal(journal: &str, mask: Mask<'_>) -> Masked {
    let mut all = Masked::default();
    for line in journal.lines() {
        let shown = if let Ok(value) = serde_json::from_str::<Value>(line) {
            let mut hidden = value.clone();
            hide_sources(&mut hidden);
            let hidden = masked(hidden, mask);
            let is_same = hidden == value;
            all.changed += usize::from(!is_same);
            if is_same { line.to_owned() } else { hidden.to_string() }
        } else {
            // Torn or damaged: a secret may be cut or escaped in it, and where it comes from is not to be told.
            all.left_out += 1;
            json!({ "left_out": format!("a line of {} that is no JSON", words::size(line.len() as u64)) })
                .to_string()
        };
        all.text.push_str(&shown);
        all.text.push('\n');
    }
    all
}

/// The transcripts in the order of their names.
fn transcripts(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(|path| is_file(path)).collect();
    paths.sort();
    paths
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|facts| facts.is_file())
}

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let left_out = file.metadata()?.len().saturating_sub(MOST);
    let mut bytes = Vec::new();
    if left_out > 0 {
        bytes.extend(format!("[the first {left_out} bytes are left out]\n").bytes());
        file.seek(SeekFrom::Start(left_out))?;
        // Half a line may be half a secret, which no mask would find.
        let mut rest = Vec::new();
        file.take(MOST).read_to_end(&mut rest)?;
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        bytes.extend_from_slice(&rest[line..]);
    } else {
        file.take(MOST).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_a_secret_are_written_anew() {
        let journal = "{\"n\": 1}\n{\"a\":\"hunter22\",\"n\":2}\n{\"torn\":\"hunter2";
        let masked = masked_journal(journal, &|text| text.replace("hunter22", "***"));
        let remark = "{\"left_out\":\"a line of 16 B that is no JSON\"}";
        let text = format!("{{\"n\": 1}}\n{{\"a\":\"***\",\"n\":2}}\n{remark}\n");
        assert_eq!(masked, Masked { text, changed: 1, left_out: 1 });
    }

    #[test]
    fn of_a_long_file_whole_lines_of_its_end_are_packed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("{}\n", "x".repeat(99));
        std::fs::write(file.path(), line.repeat(50_000)).unwrap();
        let text = String::from_utf8(end_of(file.path()).unwrap()).unwrap();
        let (note, rest) = text.split_once('\n').unwrap();
        assert_eq!(note, "[the first 805696 bytes are left out]");
        assert!(rest.lines().all(|line| line.len() == 99) && rest.len() <= 4 << 20);
    }
}
