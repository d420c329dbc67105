//! The operator's failing disk: whichever call fails, once or from then on, rollgate ends with a word about it,
//! and once the disk is sound again the run goes on and nothing was done twice.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::disk::{CALLS, EIO, ENOSPC, Fault};
use super::support::{Cluster, Invocation, Output, effects};

const PROCEDURE: &str = r#"
    procedure: short
    phases:
      - name: all
        nodes: "*"
        drain:
          - { name: stop, run: LOG(stop), undo: LOG(undo stop), temporary: node }
        upgrade:
          - { name: install, run: 'LOG(install); echo installed' }
"#;

fn cluster() -> Cluster {
    Cluster::new().local(1).procedure(&effects(PROCEDURE)).build()
}

/// A fresh state directory and an empty log of effects.
fn reset(cluster: &Cluster) {
    for dir in ["state", "nodes"] {
        let _ = fs::remove_dir_all(cluster.path(dir));
    }
    fs::create_dir_all(cluster.node_dir("n1")).unwrap();
    fs::create_dir(cluster.path("state")).unwrap();
    fs::set_permissions(cluster.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(cluster.path("effects"), "").unwrap();
}

/// What one fault led to.
struct Case {
    /// `KIND PATH` of the call that failed; `None` when the run has fewer calls.
    hit: Option<String>,
    code: i32,
}

/// One run on a failing disk, then one on a sound disk to the end.
fn case(cluster: &Cluster, fault: &Fault<'_>) -> Case {
    reset(cluster);
    let said = cluster.path("said");
    let out = cluster.start(&[]).on_failing(&cluster.path("state"), &said, fault).run();
    let hit = fs::read_to_string(&said).ok();
    judge(&out, hit.as_deref(), fault);
    let code = out.exit_code();
    if code != 0 {
        to_the_end(cluster);
    }
    let mut log = cluster.effects();
    log.sort();
    assert_eq!(log, ["n1 install", "n1 stop", "n1 undo stop"], "{fault:?}, failed: {hit:?}\n{out:?}");
    Case { hit, code }
}

fn judge(out: &Output, hit: Option<&str>, fault: &Fault<'_>) {
    let text = out.raw_stderr();
    let place = format!("{fault:?}, failed: {hit:?}\n{out:?}");
    assert!(!text.contains("panicked") && !text.contains("tracing"), "{place}");
    match (out.exit_code(), hit) {
        (0, None) => {}
        // What the operator reads later, and nothing rests on: the log with its name in the directory, the
        // signature on a lock that is about to be let go, the transcripts, of which half a write is made whole.
        (0, Some(hit)) => {
            let log = hit.contains("/debug.log") || hit.ends_with(".1") && !hit.starts_with("mkdir");
            let lock = hit.starts_with("truncate") && hit.ends_with("/lock");
            let transcript = hit.contains("/out");
            let half = hit.starts_with("write") && fault.errno == ENOSPC && !fault.forever;
            // What tells this directory from others: its other half is written as well.
            let seat = half && hit.ends_with("/seat");
            // The copy for the nodes.
            let copy = hit.starts_with("open") && text.contains("it does not have the journal");
            assert!(log || lock || transcript || seat || copy, "{place}");
            assert!(!transcript || half || text.contains("is not kept"), "{place}");
        }
        (1, Some(hit)) => {
            let path = hit.split_once(' ').unwrap().1;
            let reason = if fault.errno == EIO { "Input/output error" } else { "o space left on device" };
            let said = text.replace("\n       ", " ");
            assert!(said.contains(path) || said.contains(path.rsplit_once('/').unwrap().0), "{place}");
            assert!(said.contains(reason) || said.contains("no storage space"), "{place}");
            assert!(text.contains("(exit 1)") && text.contains("next: rollgate"), "{place}");
        }
        _ => panic!("{place}"),
    }
}

/// Goes on with what there is. A run without a first record is none: it is begun.
fn to_the_end(cluster: &Cluster) {
    let out = cluster.resume().run();
    if out.exit_code() == 2 {
        out.stderr_has("there is no unfinished run to go on with");
        assert!(cluster.effects().is_empty(), "{out:?}");
        cluster.start(&[]).run().code(0);
    } else {
        out.code(0);
    }
}

#[test]
fn every_call_that_can_fail() {
    let kinds: Vec<&str> = CALLS.split(' ').collect();
    let ways: Vec<(&str, bool, i32)> = kinds
        .iter()
        .flat_map(|kind| {
            [(*kind, false, EIO), (*kind, true, EIO), (*kind, false, ENOSPC), (*kind, true, ENOSPC)]
        })
        .collect();
    let (next, cases, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let cluster = cluster();
                while let Some((calls, forever, errno)) = ways.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for at in 1.. {
                        assert!(at < 200, "a short run makes fewer calls");
                        let fault = Fault { calls, part: "", at, forever: *forever, errno: *errno };
                        let case = case(&cluster, &fault);
                        if case.hit.is_none() {
                            break;
                        }
                        cases.fetch_add(1, Ordering::Relaxed);
                        *failed.lock().unwrap().entry((*calls, case.code)).or_insert(0) += 1;
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} faults of the disk: {failed:?}", cases.load(Ordering::Relaxed));
    assert!(failed.get(&("write", 1)).is_some_and(|count| *count > 30), "{failed:?}");
    assert!(failed.get(&("sync", 1)).is_some_and(|count| *count > 30), "{failed:?}");
}

/// A file system of 256 KiB, full but for a few pages, mounted where only one invocation sees it. What it leaves
/// is copied out before the namespace ends.
#[test]
fn a_file_system_that_is_full() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: a full disk was only simulated");
        return;
    }
    let cluster = cluster();
    let script = r#"
        mount -t tmpfs -o size=256k,mode=700 full state || exit 99
        dd if=/dev/zero of=state/ballast bs=4k count="$ROOM" 2>/dev/null
        "$0" "$@"; code=$?
        rm state/ballast; cp -a state/. kept/; exit $code"#;
    let mut codes = BTreeMap::new();
    for room in 54..=64 {
        reset(&cluster);
        let _ = fs::remove_dir_all(cluster.path("kept"));
        fs::create_dir(cluster.path("kept")).unwrap();
        let out = Invocation::new("unshare", cluster.root())
            .env("ROLLGATE_STATE_DIR", cluster.path("state"))
            .env("XDG_RUNTIME_DIR", cluster.path("run"))
            .env("ROOM", room.to_string())
            .args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_rollgate")])
            .args(["-i", "inventory.yaml", "start", "--yes", "--confirm", "test"])
            .run();
        fs::remove_dir(cluster.path("state")).unwrap();
        fs::rename(cluster.path("kept"), cluster.path("state")).unwrap();
        fs::set_permissions(cluster.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
        match out.exit_code() {
            0 => {}
            1 => {
                out.stderr_has("space").stderr_has("df -h").stderr_has("next: rollgate").lacks("panicked");
                to_the_end(&cluster);
            }
            _ => panic!("{out:?}"),
        }
        let mut log = cluster.effects();
        log.sort();
        assert_eq!(log, ["n1 install", "n1 stop", "n1 undo stop"], "{room}: {out:?}");
        *codes.entry(out.exit_code()).or_insert(0) += 1;
    }
    println!("a full file system, exit codes: {codes:?}");
    assert!(codes.contains_key(&1) && codes.contains_key(&0), "{codes:?}");
}
