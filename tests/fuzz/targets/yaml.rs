//! Inventories and procedures: any text is a plan, or is refused in words that say where.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rollgate::config::{Loaded, Mistakes, Source, load_source};
use rollgate::model::lint;
use rollgate::model::plan::{Origin, Sources};
use rollgate::model::planner::{self, ArtifactFacts, Located, PlanError};
use rustix::time::{ClockId, clock_gettime};

/// Begins the procedure in a text that has both.
const CUT: &[u8] = b"\n---\n";

/// What one text may take of a processor, instrumented and not optimised: a hundred times what a usual one does.
const MOST: Duration = Duration::from_secs(3);

/// Findings of the linter that are placed: each takes a pass over the file.
const PLACED: usize = 20;

/// In what `run` gives as the place for temporary files, and removes.
static DIR: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().expect("a place for a file").keep());

fuzz_target!(|bytes: &[u8]| {
    let began = worked();
    let cut = bytes.windows(CUT.len()).position(|part| part == CUT);
    let inventory = cut.map_or(bytes, |at| &bytes[..=at]);
    let procedure = cut.map_or(&b""[..], |at| &bytes[at + CUT.len()..]);
    if cut.is_some() {
        fs::write(DIR.join("procedure.yaml"), procedure).expect("the file takes it");
    }
    if let Err(mistakes) = load(inventory) {
        explains(&mistakes);
    }
    let took = worked() - began;
    assert!(took < MOST, "{} bytes took {took:?}", bytes.len());
});

fn load(inventory: &[u8]) -> Result<(), Mistakes> {
    let source = Source::from_bytes(&DIR.join("rollgate.yaml"), inventory.to_vec())?;
    let loaded = load_source(source)?;
    for finding in lint::lint(&loaded.inventory, &loaded.procedure).iter().take(PLACED) {
        explains(&loaded.mistake(finding).into());
    }
    let Loaded { inventory, procedure, inventory_source, procedure_source } = loaded;
    let sources = Sources {
        inventory: inventory_source.path().to_owned(),
        inventory_sha256: inventory_source.sha256().to_owned(),
        procedure: procedure_source.path().to_owned(),
        procedure_sha256: procedure_source.sha256().to_owned(),
    };
    let artifacts = procedure.artifacts.iter().map(|artifact| {
        Ok(match planner::locate(artifact, &inventory)? {
            Located::Url { url, sha256 } => ArtifactFacts { origin: Origin::Url { url }, sha256 },
            Located::File { path, wanted } => {
                let found = wanted.clone().unwrap_or_else(|| "0".repeat(64));
                ArtifactFacts::of_file(path, wanted, found, 1)?
            }
        })
    });
    let artifacts: Result<Vec<_>, PlanError> = artifacts.collect();
    let planned = artifacts.and_then(|all| planner::plan(&inventory, &procedure, sources, &all));
    if let Err(error) = planned {
        assert!(!error.to_string().is_empty(), "{error:?}");
    }
    Ok(())
}

/// Says what is wrong and what to write instead, in characters that leave a terminal alone.
fn explains(mistakes: &Mistakes) {
    assert!(mistakes.iter().count() > 0);
    assert!(!mistakes.to_do().is_empty());
    for mistake in mistakes.iter() {
        assert!(!mistake.what.is_empty() && mistake.help.iter().all(|help| !help.is_empty()), "{mistake:?}");
        if let Some(place) = &mistake.place {
            assert!(place.line > 0 && place.column > 0 && place.length > 0, "{place:?}");
        }
    }
    for ascii in [false, true] {
        let shown = mistakes.render(ascii);
        let bad = shown.chars().find(|&c| c.is_control() && c != '\n' || ascii && !c.is_ascii());
        assert!(bad.is_none(), "{bad:?} in {shown}");
    }
}

/// How long this thread has worked: what others do to the machine does not count.
fn worked() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("time is not negative")
}
