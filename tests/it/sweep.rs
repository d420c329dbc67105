//! The promise: whatever moment rollgate is killed at, the run resumes to its end by itself, each effect is there
//! exactly once, and nothing temporary is left.
//!
//! The kills come from a library that is preloaded (`support/disk.c`), at exact records of the journal, so the
//! program under test has no hook for them. A kill at a record comes `before` it is written, with it `torn`, with it
//! written and `lost` again before it was synced, and `after` it is on the disk.
//!
//! Whether this has teeth is seen by breaking the promise: let `follow` in `engine/effect.rs` answer
//! `Outcome::Interrupted` at once (start again on an intent without an outcome), or take the `sync_data` out of
//! `journal/file.rs` (`lost` never comes).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::disk::WAYS;
use super::support::{Cluster, Output, PATIENCE, counted, effects};

/// Gates, a temporary change of each node and one of the whole run: one node alone, then
/// two at the same time.
const PROCEDURE: &str = r#"
    procedure: swept
    phases:
      - name: first
        steps:
          - { name: silence, run: LOG(silence), on: n1, undo: LOG(undo silence), temporary: run }
      - name: nodes
        nodes: "*"
        batch: [1, 2]
        drain:
          - { name: stop, run: 'LOG(stop); sleep 0.1', undo: LOG(undo stop), temporary: node }
          - { gate: empty, checks: [{ name: well, run: test -d "$dir" }], every: 50ms, steady: 1 }
        upgrade:
          - { name: install, run: 'LOG(install); sleep 0.1' }
"#;

/// How many clusters are swept at the same time.
const AT_ONCE: usize = 4;

fn cluster() -> Cluster {
    Cluster::new().nodes(3).procedure(&effects(PROCEDURE)).build()
}

/// Nodes and operator as if there had been no run.
fn reset(cluster: &Cluster) {
    for dir in ["state", "nodes"] {
        fs::remove_dir_all(cluster.path(dir)).unwrap();
    }
    for node in ["n1", "n2", "n3"] {
        fs::create_dir_all(cluster.node_dir(node)).unwrap();
    }
    fs::create_dir(cluster.path("state")).unwrap();
    fs::set_permissions(cluster.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(cluster.path("effects"), "").unwrap();
}

/// What one undisturbed run does, and how many records it takes.
struct Whole {
    effects: BTreeMap<String, usize>,
    records: usize,
}

fn whole(cluster: &Cluster) -> Whole {
    cluster.start(&[]).run().code(0);
    let effects = counted(&cluster.effects());
    assert!(effects.values().all(|count| *count == 1), "{effects:?}");
    Whole { effects, records: cluster.journal().lines().count() }
}

/// Goes on to the end without a decision, and holds what was done against the promise.
fn verdict(cluster: &Cluster, whole: &Whole) -> Result<(), String> {
    let mut out = cluster.resume().run();
    if out.exit_code() == 2 && cluster.effects().is_empty() {
        // Killed before its first record was durable, the run never was.
        out = cluster.start(&[]).run();
    }
    let told = |why: &str, out: &Output| format!("{why}\n{out:?}\n{:?}", cluster.effects());
    if out.exit_code() != 0 {
        return Err(told("it does not go on", &out));
    }
    if counted(&cluster.effects()) != whole.effects {
        return Err(told("not every effect exactly once", &out));
    }
    let status = cluster.rollgate(["status", "--offline"]).run();
    if status.raw_stdout().contains("in-force:") {
        return Err(told("something temporary is left", &status));
    }
    Ok(())
}

/// Does every case once, on as many clusters as go at once, and insists on all of them.
fn sweep(what: &str, cases: usize, case: impl Fn(&Cluster, &Whole, usize) -> Result<(), String> + Sync) {
    let began = Instant::now();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let cluster = cluster();
                let whole = whole(&cluster);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cases {
                        return;
                    }
                    reset(&cluster);
                    if let Err(why) = case(&cluster, &whole, number) {
                        wrong.lock().unwrap().push((number, why));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    println!("{what}: {} of {cases} right, {:.0?}", cases - wrong.len(), began.elapsed());
    for (number, why) in wrong.iter().take(3) {
        println!("case {number}: {why}\n");
    }
    assert!(wrong.is_empty(), "{what}: {} of {cases} went wrong", wrong.len());
}

#[test]
fn killed_at_every_record() {
    let records = whole(&cluster()).records;
    assert!((32..=56).contains(&records), "{records} records: the sweep would be thin, or long");
    sweep(&format!("kill -9 at {records} records"), records * WAYS.len(), |cluster, whole, number| {
        let (record, way) = (number / WAYS.len() + 1, WAYS[number % WAYS.len()]);
        let out = cluster.start(&[]).killed_at(&cluster.path("state"), record, way).run();
        if out.exit_code() != 128 + 9 {
            return Err(format!("record {record} {way}: it was not killed\n{out:?}"));
        }
        verdict(cluster, whole).map_err(|why| format!("record {record} {way}: {why}"))
    });
}

/// Kills at random moments of a run, up to three times, once in the resumed run as well.
#[test]
fn killed_at_random() {
    let kills = AtomicUsize::new(0);
    sweep("killed at random", 130, |cluster, whole, number| {
        let mut random = Random(number as u64 + 1);
        let mut running = cluster.start(&[]).spawn();
        for _ in 0..=random.below(3) {
            // Behind a record rather than after a time, for how long a run takes depends on what else is done here;
            // and not behind its last ones, so that most find it alive.
            let records = || cluster.journal().lines().count() as u64;
            let begun = records();
            let behind = begun + random.below((whole.records as u64 * 4 / 5).saturating_sub(begun).max(1));
            let deadline = Instant::now() + PATIENCE;
            while records() < behind && !running.has_ended() {
                assert!(Instant::now() < deadline, "case {number}: no record {behind} within {PATIENCE:?}");
                std::thread::sleep(Duration::from_millis(2));
            }
            std::thread::sleep(Duration::from_millis(random.below(120)));
            if !running.has_ended() {
                running.signal(Signal::KILL);
            }
            let out = running.wait();
            kills.fetch_add(usize::from(out.exit_code() == 128 + 9), Ordering::Relaxed);
            let begun = !cluster.journal().is_empty();
            running = if begun { cluster.resume().spawn() } else { cluster.start(&[]).spawn() };
        }
        running.wait();
        verdict(cluster, whole)
    });
    let kills = kills.into_inner();
    println!("{kills} kills");
    assert!(kills >= 200, "{kills} kills: the moments are ill chosen");
}

/// The same moments on every machine: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
