//! The records of a run on a real file system: what is damaged, torn, locked or not ours.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::date;
use rollgate::journal::{
    ClusterDir, Contents, Damage, End, Holder, Journal as _, JournalError, RunDir, StateDir, Unsafe,
};
use rollgate::model::event::{Event, Operator, Record, RunId};
use rollgate::model::name::ClusterName;
use tempfile::TempDir;

use super::support::{Cluster, effects};

const RECORDS: usize = 32;

fn cluster(state: &Path) -> ClusterDir {
    StateDir::at(state).cluster(&ClusterName::parse("mq-prod").unwrap())
}

fn new_run(state: &Path) -> RunDir {
    cluster(state).new_run(date(2026, 11, 21)).unwrap()
}

fn event(n: usize) -> Event {
    match n % 3 {
        0 => Event::PhaseStarted { phase: n },
        1 => Event::PhaseSkipped { phase: n, why: format!("because of \"{n}\" \u{1b}[2J\nand ü") },
        _ => Event::PhaseEnded { phase: n },
    }
}

/// A run with a journal of some records, closed again.
fn recorded(state: &Path, records: usize) -> (RunDir, Vec<Record>) {
    let run = new_run(state);
    let mut journal = run.create_journal().unwrap();
    let at = Timestamp::from_second(1_795_000_000).unwrap();
    let records = (0..records).map(|n| journal.append(&event(n), at).unwrap()).collect();
    (run, records)
}

fn holder() -> Holder {
    Holder {
        run: None,
        by: Operator { user: "anna".into(), host: "bastion-1".into(), pid: std::process::id() },
        since: Timestamp::UNIX_EPOCH,
        doing: "start".into(),
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_appended_is_read_back_and_continued() {
    let state = TempDir::new().unwrap();
    let (run, mut records) = recorded(state.path(), 3);
    let expected = Contents { records: records.clone(), version: 1, end: End::Clean };
    assert_eq!(run.read_journal().unwrap(), expected);

    let (mut journal, contents) = run.open_journal().unwrap();
    assert_eq!(contents, expected);
    records.push(journal.append(&event(3), Timestamp::now()).unwrap());
    assert_eq!(records[3].seq, 3);
    assert_eq!(run.read_journal().unwrap().records, records, "also while it is open");
}

/// The promise about every damaged journal: its records are a true prefix; something lost without a
/// word is whole lines at the end and nothing else.
fn judge(run: &RunDir, records: &[Record], bytes: &[u8], what: &str) {
    fs::write(run.journal_path(), bytes).unwrap();
    let read = run.read_journal().unwrap();
    assert_eq!(read.records, records[..read.records.len()], "{what}: a wrong record");
    let whole_lines = bytes.split(|byte| *byte == b'\n').count() - 1;
    match &read.end {
        End::Clean => assert_eq!(read.records.len(), whole_lines, "{what}: lost without a word"),
        End::Torn { bytes: torn, .. } => {
            let tail = bytes.rsplit(|byte| *byte == b'\n').next().unwrap().len();
            assert_eq!(*torn, tail as u64, "{what}");
            assert_eq!(read.records.len(), whole_lines, "{what}: only the last line can be torn");
        }
        End::Damaged { line, .. } => assert_eq!(*line, read.records.len() as u64 + 1, "{what}"),
    }
    // Opening to go on must judge exactly as reading did.
    match (run.open_journal(), &read.end) {
        (Ok((_, opened)), End::Clean | End::Torn { .. }) => {
            assert_eq!(opened.records, read.records, "{what}");
            assert_eq!(run.read_journal().unwrap().end, End::Clean, "{what}: the torn end is gone");
        }
        (Err(JournalError::Damaged { line, .. }), End::Damaged { line: read, .. }) => {
            assert_eq!(line, *read, "{what}");
            assert_eq!(fs::read(run.journal_path()).unwrap(), bytes, "{what}: damage is left as it is");
        }
        (opened, end) => panic!("{what}: read as {end:?}, opened as {opened:?}"),
    }
}

#[test]
fn every_cut_of_a_journal_leaves_a_true_prefix() {
    let state = TempDir::new().unwrap();
    let (run, records) = recorded(state.path(), RECORDS);
    let bytes = fs::read(run.journal_path()).unwrap();
    for cut in 0..=bytes.len() {
        judge(&run, &records, &bytes[..cut], &format!("cut at {cut}"));
        let nul_tail = [&bytes[..cut], &[0; 7]].concat();
        judge(&run, &records, &nul_tail, &format!("cut at {cut}, then NUL"));
        for torn in fs::read_dir(run.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if torn.file_name().unwrap().to_string_lossy().starts_with("journal.torn-") {
                fs::remove_file(torn).unwrap();
            }
        }
    }
}

#[test]
fn no_changed_byte_of_a_journal_goes_unnoticed() {
    let state = TempDir::new().unwrap();
    let (run, records) = recorded(state.path(), RECORDS);
    let bytes = fs::read(run.journal_path()).unwrap();
    assert!(bytes.len() > 2000);
    for at in 0..bytes.len() {
        for other in [bytes[at] ^ 0x20, 0, b'\n'] {
            if other == bytes[at] {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] = other;
            let what = format!("byte {at} made {other:#04x}");
            fs::write(run.journal_path(), &changed).unwrap();
            assert_ne!(run.read_journal().unwrap().end, End::Clean, "{what}");
            judge(&run, &records, &changed, &what);
        }
    }
}

#[test]
fn a_line_dropped_doubled_or_moved_is_damage() {
    let state = TempDir::new().unwrap();
    let (run, records) = recorded(state.path(), 6);
    let text = fs::read_to_string(run.journal_path()).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() - 1 {
        let mut dropped = lines.clone();
        dropped.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let mut moved = lines.clone();
        moved.swap(at, at + 1);
        for (what, lines) in [("dropped", dropped), ("doubled", doubled), ("moved", moved)] {
            let bytes = lines.concat();
            judge(&run, &records, bytes.as_bytes(), &format!("line {at} {what}"));
            assert!(matches!(run.read_journal().unwrap().end, End::Damaged { .. }), "line {at} {what}");
        }
    }
}

#[test]
fn a_line_of_another_journal_is_damage_even_in_its_right_place() {
    let state = TempDir::new().unwrap();
    let (run, records) = recorded(state.path(), 4);
    let other = new_run(state.path());
    let mut journal = other.create_journal().unwrap();
    for n in [5, 1, 2, 3] {
        journal.append(&event(n), records[0].at).unwrap();
    }
    let [ours, theirs] = [&run, &other].map(|run| fs::read_to_string(run.journal_path()).unwrap());
    let mut lines: Vec<&str> = ours.split_inclusive('\n').collect();
    lines[2] = theirs.split_inclusive('\n').nth(2).unwrap();
    judge(&run, &records, lines.concat().as_bytes(), "a foreign line");
    let end = run.read_journal().unwrap().end;
    assert_eq!(end, End::Damaged { line: 3, damage: Damage::Checksum });
}

#[test]
fn a_torn_end_is_kept_aside_and_the_run_goes_on() {
    let state = TempDir::new().unwrap();
    let (run, records) = recorded(state.path(), 3);
    for round in 1..=2_usize {
        let torn = format!("{{\"n\":3,\"at\":\"20{round}");
        let mut bytes = fs::read(run.journal_path()).unwrap();
        bytes.extend_from_slice(torn.as_bytes());
        fs::write(run.journal_path(), bytes).unwrap();

        let length = torn.len() as u64;
        assert_eq!(run.read_journal().unwrap().end, End::Torn { bytes: length, kept: None });
        let (_, contents) = run.open_journal().unwrap();
        let kept = run.path().join(format!("journal.torn-{round}"));
        assert_eq!(contents.end, End::Torn { bytes: length, kept: Some(kept.clone()) });
        assert_eq!(fs::read_to_string(&kept).unwrap(), torn);
        assert_eq!(mode(&kept), 0o600);
    }
    let (mut journal, contents) = run.open_journal().unwrap();
    assert_eq!(contents, Contents { records, version: 1, end: End::Clean });
    assert_eq!(journal.append(&event(3), Timestamp::now()).unwrap().seq, 3);
    assert_eq!(run.read_journal().unwrap().records.len(), 4);
}

#[test]
fn who_has_the_journal_for_a_moment_does_not_write_it() {
    let state = TempDir::new().unwrap();
    let (run, _) = recorded(state.path(), 3);
    let mut bytes = fs::read(run.journal_path()).unwrap();
    bytes.extend_from_slice(b"{\"n\":3");
    fs::write(run.journal_path(), bytes).unwrap();
    let file = fs::File::open(run.journal_path()).unwrap();
    file.lock().unwrap();
    let reading = || run.read_journal().unwrap().end;
    assert_eq!(reading(), End::Clean, "its writer lives");
    let end = std::thread::scope(|scope| {
        let end = scope.spawn(reading);
        std::thread::sleep(std::time::Duration::from_millis(10));
        drop(file);
        end.join().unwrap()
    });
    assert_eq!(end, End::Torn { bytes: 6, kept: None });
}

#[test]
fn a_newer_journal_is_shown_and_never_written() {
    let state = TempDir::new().unwrap();
    let run = new_run(state.path());
    run.create_journal().unwrap();
    let body = r#"{"n":0,"v":2,"at":"2026-11-21T09:14:02Z","event":{"phase_started":{"phase":7}}"#;
    let line = format!("{body},\"crc\":\"{:08x}\"}}\n", crc32fast::hash(body.as_bytes()));
    fs::write(run.journal_path(), &line).unwrap();

    let contents = run.read_journal().unwrap();
    assert_eq!((contents.version, contents.records.len(), contents.end), (2, 1, End::Clean));
    let error = run.open_journal().unwrap_err();
    assert!(matches!(error, JournalError::Newer { version: 2, .. }), "{error:?}");
    assert_eq!(fs::read_to_string(run.journal_path()).unwrap(), line);

    // A newer format may also know events that this one does not: what precedes them is shown.
    let second = r#"{"n":1,"at":"2026-11-21T09:14:02Z","event":"Teleported""#;
    let crc = crc32fast::hash([body, second].concat().as_bytes());
    fs::write(run.journal_path(), format!("{line}{second},\"crc\":\"{crc:08x}\"}}\n")).unwrap();
    let contents = run.read_journal().unwrap();
    assert_eq!((contents.version, contents.records.len()), (2, 1));
    assert!(matches!(contents.end, End::Damaged { line: 2, damage: Damage::Unknown(_) }));
    assert!(matches!(run.open_journal().unwrap_err(), JournalError::Newer { version: 2, .. }));
}

#[test]
fn one_process_writes_a_journal() {
    let state = TempDir::new().unwrap();
    let run = new_run(state.path());
    let journal = run.create_journal().unwrap();
    assert!(matches!(run.open_journal().unwrap_err(), JournalError::Busy { .. }));
    assert!(run.create_journal().is_err(), "a journal is created once");
    drop(journal);
    run.open_journal().unwrap();
}

#[test]
fn half_a_record_of_a_living_writer_is_not_torn() {
    let state = TempDir::new().unwrap();
    let run = new_run(state.path());
    let mut journal = run.create_journal().unwrap();
    journal.append(&event(0), Timestamp::now()).unwrap();
    let mut bytes = fs::read(run.journal_path()).unwrap();
    bytes.extend_from_slice(b"{\"n\":1,");
    fs::write(run.journal_path(), bytes).unwrap();
    assert_eq!(run.read_journal().unwrap().end, End::Clean);
    drop(journal);
    assert_eq!(run.read_journal().unwrap().end, End::Torn { bytes: 7, kept: None });
}

#[test]
fn a_cluster_is_held_by_one_and_the_other_learns_by_whom() {
    let state = TempDir::new().unwrap();
    let cluster = cluster(state.path());
    assert_eq!(cluster.holder().unwrap(), None, "nothing was ever recorded");

    let mut lock = cluster.lock(holder()).unwrap();
    let run = RunId("2026-11-21.1".into());
    lock.announce(Some(run.clone()), "start: mq-03 waits at gate isolated").unwrap();
    let JournalError::Held { holder: Some(seen), .. } = cluster.lock(holder()).unwrap_err() else {
        panic!("the holder has signed");
    };
    assert_eq!((&seen.run, seen.by.pid), (&Some(run), std::process::id()));
    assert!(seen.to_string().starts_with("run 2026-11-21.1, anna@bastion-1 pid "), "{seen}");
    assert!(seen.to_string().ends_with(", start: mq-03 waits at gate isolated"), "{seen}");
    assert_eq!(cluster.holder().unwrap().as_ref(), Some(&*seen));

    lock.announce(None, "-").unwrap();
    assert_eq!(cluster.holder().unwrap().unwrap().doing, "-", "a shorter signature leaves no rest");
    drop(lock);
    assert_eq!(cluster.holder().unwrap(), None);
    cluster.lock(holder()).unwrap();
}

/// Runs one test of this binary in a process of its own, so that it can have its own umask or be
/// killed. The test finds its directory in `RG_TEST_STATE`.
fn in_child(test: &str, umask: &str, state: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("umask {umask}; exec \"$0\" --exact {test} --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env("RG_TEST_STATE", state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn as_child() -> Option<PathBuf> {
    std::env::var_os("RG_TEST_STATE").map(PathBuf::from)
}

#[test]
fn a_killed_holder_leaves_no_lock_behind() {
    if let Some(state) = as_child() {
        let _lock = cluster(&state).lock(holder()).unwrap();
        std::thread::sleep(Duration::from_mins(1));
        return;
    }
    let state = TempDir::new().unwrap();
    let mut child =
        in_child("journal::a_killed_holder_leaves_no_lock_behind", "022", state.path()).spawn().unwrap();
    let cluster = cluster(state.path());
    let seen = (0..500).find_map(|_| {
        std::thread::sleep(Duration::from_millis(20));
        cluster.holder().unwrap()
    });
    assert_eq!(seen.map(|holder| holder.by.pid), Some(child.id()));
    assert!(matches!(cluster.lock(holder()), Err(JournalError::Held { holder: Some(_), .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cluster.holder().unwrap(), None);
    cluster.lock(holder()).unwrap();
}

#[test]
fn everything_is_private_whatever_the_umask() {
    if let Some(state) = as_child() {
        let state = state.join("a/state");
        let cluster = cluster(&state);
        let _lock = cluster.lock(holder()).unwrap();
        let (run, _) = recorded(&state, 1);
        run.open_debug_log().unwrap();
        let key = "mq-01/brokers.upgrade.1".to_owned().try_into().unwrap();
        run.begin_transcript(&key, false, 1).unwrap();
        run.fetched_path(&key.node, "core dump").unwrap();
        return;
    }
    for umask in ["000", "022", "077", "0777"] {
        let state = TempDir::new().unwrap();
        let test = "journal::everything_is_private_whatever_the_umask";
        let done = in_child(test, umask, state.path()).output().unwrap();
        assert!(done.status.success(), "umask {umask}: {}", String::from_utf8_lossy(&done.stderr));
        let mut open = vec![state.path().join("a")];
        let mut files = Vec::new();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                assert_eq!(mode(&path), 0o700, "umask {umask}: {}", path.display());
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                assert_eq!(mode(&path), 0o600, "umask {umask}: {}", path.display());
                files.push(path.strip_prefix(state.path()).unwrap().display().to_string());
            }
        }
        files.sort();
        let run = "a/state/mq-prod/runs/2026-11-21.1";
        let expected = [
            "a/state/mq-prod/lock".to_owned(),
            format!("{run}/debug.log"),
            format!("{run}/journal.ndjson"),
            format!("{run}/out/mq-01.brokers.upgrade.1.1.log"),
        ];
        assert_eq!(files, expected);
    }
}

fn untrusted<T: std::fmt::Debug>(result: Result<T, JournalError>, at: &Path) -> Unsafe {
    match result {
        Err(JournalError::Untrusted { path, why }) if path == at => why,
        other => panic!("{} was taken: {other:?}", at.display()),
    }
}

#[test]
fn a_directory_or_file_that_others_can_change_is_refused() {
    let root = TempDir::new().unwrap();
    let state = root.path().join("state");
    let (run, _) = recorded(&state, 2);
    let cluster = cluster(&state);
    for (path, own) in
        [(state.clone(), 0o700), (cluster.path().to_owned(), 0o700), (cluster.path().join("runs"), 0o700)]
    {
        for open in [0o770, 0o707, 0o1777] {
            chmod(&path, open);
            assert_eq!(untrusted(cluster.new_run(date(2026, 11, 21)), &path), Unsafe::Writable(open));
            assert_eq!(untrusted(cluster.lock(holder()), &path), Unsafe::Writable(open));
            assert_eq!(untrusted(cluster.latest_run(), &path), Unsafe::Writable(open));
        }
        chmod(&path, own);
    }
    for (path, own) in [(run.path().to_owned(), 0o700), (run.journal_path(), 0o600)] {
        chmod(&path, own | 0o020);
        assert_eq!(untrusted(run.read_journal(), &path), Unsafe::Writable(own | 0o020));
        assert_eq!(untrusted(run.open_journal(), &path), Unsafe::Writable(own | 0o020));
        chmod(&path, own);
    }
    run.open_journal().unwrap();
}

#[test]
fn a_link_or_something_else_in_place_of_a_file_is_refused() {
    let root = TempDir::new().unwrap();
    let state = root.path().join("state");
    let (run, _) = recorded(&state, 2);
    let elsewhere = root.path().join("elsewhere");
    fs::rename(run.journal_path(), &elsewhere).unwrap();
    symlink(&elsewhere, run.journal_path()).unwrap();
    assert_eq!(untrusted(run.read_journal(), &run.journal_path()), Unsafe::Symlink);
    assert_eq!(untrusted(run.open_journal(), &run.journal_path()), Unsafe::Symlink);

    symlink(&elsewhere, run.debug_log_path()).unwrap();
    assert_eq!(untrusted(run.open_debug_log(), &run.debug_log_path()), Unsafe::Symlink);

    fs::remove_file(run.journal_path()).unwrap();
    let fifo = Command::new("mkfifo").arg(run.journal_path()).status().unwrap();
    assert!(fifo.success());
    chmod(&run.journal_path(), 0o600);
    assert_eq!(untrusted(run.read_journal(), &run.journal_path()), Unsafe::Kind("regular file"));

    let real = root.path().join("real");
    fs::rename(&state, &real).unwrap();
    symlink(&real, &state).unwrap();
    assert_eq!(untrusted(cluster(&state).latest_run(), &state), Unsafe::Symlink);
    assert_eq!(untrusted(cluster(&state).lock(holder()), &state), Unsafe::Symlink);
}

#[test]
fn a_directory_of_another_user_is_refused() {
    // Which other user there is depends on who runs the test; `/` and a file of root's always are.
    let me = fs::metadata("/proc/self").unwrap().uid();
    let foreign = TempDir::new().unwrap();
    let at = if me == 0 {
        std::os::unix::fs::chown(foreign.path(), Some(12345), None).unwrap();
        foreign.path().to_owned()
    } else {
        PathBuf::from("/usr")
    };
    let owner = if me == 0 { 12345 } else { 0 };
    assert_eq!(untrusted(cluster(&at).lock(holder()), &at), Unsafe::Owner { owner, me });
    assert_eq!(untrusted(cluster(&at).latest_run(), &at), Unsafe::Owner { owner, me });
}

#[test]
fn runs_are_numbered_by_day_and_listed_in_order() {
    let state = TempDir::new().unwrap();
    let cluster = cluster(state.path());
    assert!(cluster.latest_run().unwrap().is_none());
    let day = |day| date(2026, 11, day);
    let mut names = Vec::new();
    for run in (0..11).map(|_| cluster.new_run(day(21)).unwrap()).chain([cluster.new_run(day(22)).unwrap()]) {
        run.create_journal().unwrap();
        names.push(run.id().to_string());
    }
    assert_eq!(names[9..], ["2026-11-21.10", "2026-11-21.11", "2026-11-22.1"]);

    // Killed before its journal was there: the number is spent, the run never was.
    assert_eq!(cluster.new_run(day(22)).unwrap().id().0, "2026-11-22.2");
    assert_eq!(cluster.new_run(day(22)).unwrap().id().0, "2026-11-22.3");
    fs::create_dir(cluster.path().join("runs/notes")).unwrap();

    let listed: Vec<String> = cluster.runs().unwrap().iter().map(|run| run.id().to_string()).collect();
    assert_eq!(listed, names);
    assert_eq!(cluster.latest_run().unwrap().unwrap().id().0, "2026-11-22.1");
    assert_eq!(cluster.run(&RunId("2026-11-21.2".into())).unwrap().id().0, "2026-11-21.2");
    let error = cluster.run(&RunId("../../etc".into())).unwrap_err();
    assert_eq!(error.to_string(), "mq-prod has no run ../../etc");
    assert_eq!(error.help().as_deref(), Some("the latest runs are 2026-11-21.11 and 2026-11-22.1"));
}

#[test]
fn a_fetched_file_is_never_overwritten_and_a_transcript_begins_anew() {
    use std::io::Write as _;
    let state = TempDir::new().unwrap();
    let run = new_run(state.path());
    let key = "mq-01/brokers.upgrade.1".to_owned().try_into().unwrap();
    // Followed again, a job is followed from its first byte.
    for text in ["one\n", "one\ntwo\n"] {
        run.begin_transcript(&key, false, 2).unwrap().write_all(text.as_bytes()).unwrap();
    }
    let mut transcript = String::new();
    fs::File::open(run.transcript_path(&key, false, 2)).unwrap().read_to_string(&mut transcript).unwrap();
    assert_eq!(transcript, "one\ntwo\n");

    let fetched = run.fetched_path(&key.node, "../dump").unwrap();
    assert_eq!(fetched, run.path().join("files/mq-01/%2E.%2Fdump"));
}

/// How many flipped bytes, and how many cuts within a line that another follows, are shown to the program.
const SHOWN: usize = 48;

#[test]
fn nothing_goes_on_from_a_damaged_journal() {
    let procedure = "
        procedure: damaged
        phases:
          - name: all
            nodes: '*'
            drain: [{ name: stop, run: LOG(stop), undo: LOG(undo stop), temporary: node }]
            upgrade: [{ run: LOG(install) }]
        ";
    let cluster = Cluster::new().local(1).procedure(&effects(procedure)).build();
    cluster.start(&[]).run().code(0);
    let journal = cluster.run_dir().join("journal.ndjson");
    let whole = fs::read(&journal).unwrap();
    // Open, and with everything done: whoever believed the rest would only have to close it.
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap();
    let open = &whole[..=last];
    let first = open.iter().position(|byte| *byte == b'\n').unwrap();
    fs::write(cluster.path("effects"), "").unwrap();
    let mut cases = 0;
    for at in 0..SHOWN {
        // Half in the plan, which is most of the file, half in what was done.
        let (from, to) = if at % 2 == 0 { (0, first) } else { (first, open.len() - 2) };
        let at = from + (to - from) * at / SHOWN;
        let mut flipped = open.to_vec();
        flipped[at] ^= 0x01;
        let gone = [&open[..at], &open[at + 1..]].concat();
        for (what, bytes) in [("flipped", flipped), ("gone", gone)] {
            fs::write(&journal, &bytes).unwrap();
            for verb in [&["--resume"][..], &[]] {
                cluster.start(verb).run().code(1).stderr_has("is damaged at line");
            }
            let status = cluster.rollgate(["status", "--offline"]).run();
            let shows = status.exit_code() == 0 && status.raw_stdout().contains("the journal is damaged");
            assert_eq!(shows, at > first, "byte {at} {what}: {status:?}");
            assert!(cluster.effects().is_empty(), "byte {at} {what}: {:?}", cluster.effects());
            assert_eq!(fs::read(&journal).unwrap(), bytes, "byte {at} {what}");
            cases += 1;
        }
    }
    println!("{cases} damaged journals: none was gone on from");
}
