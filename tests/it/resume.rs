//! Going on after a crash, from every prefix of a recorded journal and after real `kill -9`: nothing that
//! finished runs twice, nothing that did not finish is left out, and what nobody can know is said to be unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::support::{Cluster, counted, effects};

/// Every effect logs its step's own name, so that the log says which step ran and which undo.
const PROCEDURE: &str = r#"
    procedure: everything that a journal can hold
    version: { run: cat "$dir/../version" }
    checks:
      well: { run: test -d "$dir" }
    roles:
      leader: { run: test "$ROLLGATE_NODE" = n1, of: "*", exactly: 1 }
    invariants: [well]
    stage:
      - { name: fetch, run: LOG(fetch) }
    phases:
      - name: before
        steps:
          - { name: announce, run: LOG(announce), on: n1, undo: LOG(undo announce), temporary: run }
          - { name: token, check: { run: echo t1, not_equals: "" }, capture: { name: token, secret: true } }
      - name: nodes
        nodes: "*"
        batch: [1, 2]
        last: leader
        precheck:
          - { name: alive, check: well }
        drain:
          - { name: silence, run: LOG(silence), undo: LOG(undo silence), temporary: phase }
          - { name: stop, run: LOG(stop), undo: LOG(undo stop), temporary: node }
          - { gate: empty, checks: [well], every: 100ms, steady: 1 }
          - { name: block, run: LOG(block), undo: LOG(undo block), temporary: node }
        upgrade:
          - { name: conf, put: { source: ./conf, to: "${dir}/conf" } }
          - { name: pick, run: 'LOG(pick); echo picked', capture: picked }
          - { name: install, run: 'LOG(install); test "$picked" = picked; test "$token" = t1' }
          - { name: log, get: { from: "${dir}/conf", to: conf } }
        verify:
          - { name: runs, wait: { run: test -e "$dir/conf" }, every: 100ms }
        undrain:
          - { name: back, run: LOG(back) }
        soak: { for: 100ms, every: 100ms, checks: [well] }
      - name: after
        steps:
          - { name: finish, run: LOG(finish), on: n2 }
"#;

fn build(cluster: super::support::Builder, procedure: &str) -> Cluster {
    let cluster = cluster.procedure(&effects(procedure)).build();
    cluster.write("conf", "hello\n");
    cluster.write("nodes/version", "1\n");
    cluster
}

/// What a journal's first records say of the steps: which ended well, which were under way.
#[derive(Default, Debug)]
struct Prefix {
    done: BTreeSet<String>,
    under_way: BTreeSet<String>,
    undo_under_way: bool,
    /// Changes that were made, or may have been, and are not undone.
    in_force: BTreeSet<String>,
}

/// `n1/nodes.drain.2` as the log has it: `n1 stop`.
fn logged(labels: &BTreeMap<String, String>, key: &Value) -> String {
    let (node, step) = key.as_str().unwrap().split_once('/').unwrap();
    format!("{node} {}", labels[step])
}

impl Prefix {
    fn of(records: &[Value], labels: &BTreeMap<String, String>, all: &BTreeMap<String, usize>) -> Self {
        let mut prefix = Self::default();
        let undo = |line: &str| line.replacen(' ', " undo ", 1);
        for record in records {
            let (name, fields) = record["event"].as_object().unwrap().iter().next().unwrap();
            if !matches!(name.as_str(), "step_started" | "step_ended" | "undo_started" | "undo_ended") {
                continue;
            }
            let line = logged(labels, &fields["key"]);
            // Only what logs changes something that must not happen twice.
            if !all.contains_key(&line) {
                continue;
            }
            match name.as_str() {
                "step_started" => {
                    if all.contains_key(&undo(&line)) {
                        prefix.in_force.insert(undo(&line));
                    }
                    prefix.under_way.insert(line);
                }
                "step_ended" => {
                    assert_eq!(fields["outcome"], "done");
                    prefix.under_way.remove(&line);
                    prefix.done.insert(line);
                }
                "undo_started" => {
                    prefix.in_force.remove(&undo(&line));
                    prefix.undo_under_way = true;
                }
                _ => {
                    prefix.undo_under_way = false;
                    prefix.done.insert(undo(&line));
                }
            }
        }
        prefix
    }
}

/// The labels of all steps by their ids, from the plan in the first record.
fn labels(opened: &Value) -> BTreeMap<String, String> {
    let phases = opened["event"]["run_opened"]["plan"]["phases"].as_array().unwrap();
    let steps = phases.iter().flat_map(|phase| {
        ["before", "steps", "rollback"].into_iter().flat_map(|part| phase[part].as_array().unwrap())
    });
    let word = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
    steps.map(|step| (word(step, "id"), word(step, "label"))).collect()
}

#[test]
fn from_every_prefix_of_a_journal() {
    let cluster = build(Cluster::new().local(3), PROCEDURE);
    cluster.start(&[]).run().code(0);
    let all = counted(&cluster.effects());
    assert!(all.values().all(|count| *count == 1), "{all:?}");
    let journal = fs::read_to_string(cluster.run_dir().join("journal.ndjson")).unwrap();
    let lines: Vec<&str> = journal.lines().collect();
    let records: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let labels = labels(&records[0]);
    let relative = cluster.run_dir().strip_prefix(cluster.path("state")).unwrap().to_owned();

    let (mut whole, mut unknown, mut undo_unknown) = (0, 0, 0);
    for count in 1..=lines.len() {
        let state = cluster.path(&format!("state-{count}"));
        copy_prefix(&state.join(&relative), &lines[..count]);
        // The same machine, as far as the nodes' locks are concerned.
        fs::copy(cluster.path("state/test/seat"), state.join("test/seat")).unwrap();
        fs::write(cluster.path("effects"), "").unwrap();
        // What the nodes know is from the end of the run; one that knows nothing is as good as set up anew.
        cluster.forget_runs();
        let out = cluster.resume().env("ROLLGATE_STATE_DIR", &state).run();
        let now = counted(&cluster.effects());
        let prefix = Prefix::of(&records[..count], &labels, &all);
        let record: String = lines[count - 1].chars().take(200).collect();
        let place = format!("cut behind record {}: {record}\n{prefix:?}", count - 1);
        eprintln!("{place}");
        let wanted: BTreeSet<String> = if !prefix.under_way.is_empty() {
            unknown += 1;
            out.code(22).stderr_has("nobody knows how it ended");
            prefix.in_force
        } else if prefix.undo_under_way {
            undo_unknown += 1;
            out.code(17).stderr_has("still in force");
            prefix.in_force
        } else {
            whole += 1;
            out.code(0);
            all.keys().filter(|line| !prefix.done.contains(*line)).cloned().collect()
        };
        assert!(now.values().all(|count| *count == 1), "something ran twice: {now:?}\n{place}");
        assert_eq!(now.into_keys().collect::<BTreeSet<_>>(), wanted, "{place}");
        fs::remove_dir_all(state).unwrap();
    }
    println!(
        "{} prefixes: {whole} went on to the end, {unknown} were inside a step, {undo_unknown} inside an undo",
        lines.len()
    );
    assert!(whole > 50 && unknown > 10 && undo_unknown > 5, "the journal is not the one that was meant");
}

/// A run's directory whose journal was cut.
fn copy_prefix(run: &Path, lines: &[&str]) {
    fs::create_dir_all(run).unwrap();
    let mut dir = run.to_owned();
    for _ in 0..4 {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        dir.pop();
    }
    let journal = run.join("journal.ndjson");
    fs::write(&journal, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Less of everything, for each moment has a cluster of its own.
const SHORT: &str = r#"
    procedure: killed
    phases:
      - name: nodes
        nodes: "*"
        drain:
          - { name: silence, run: LOG(silence), undo: LOG(undo silence), temporary: phase }
          - { name: stop, run: LOG(stop), undo: LOG(undo stop), temporary: node }
          - { gate: empty, checks: [{ name: well, run: test -d "$dir" }], every: 100ms, steady: 4 }
        upgrade:
          - { name: pick, run: 'LOG(pick); echo picked', capture: picked }
          - { name: install, run: 'LOG(install); test "$picked" = picked' }
        verify:
          - { name: runs, wait: { run: test -d "$dir" }, every: 100ms, steady: 4 }
"#;

/// How many moments at which rollgate is killed.
const MOMENTS: usize = 12;

#[test]
fn after_kill_9_at_many_moments() {
    let cluster = build(Cluster::new().nodes(2), SHORT);
    cluster.start(&[]).run().code(0);
    let all = counted(&cluster.effects());
    let total = cluster.journal().lines().count();
    let next = AtomicUsize::new(1);
    let unsure = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let part = next.fetch_add(1, Ordering::Relaxed);
                    if part > MOMENTS {
                        return;
                    }
                    if !killed_at(total * part / (MOMENTS + 1), &all) {
                        unsure.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let unsure = unsure.into_inner();
    println!(
        "killed at {MOMENTS} of {total} records: {} went on to the end, {unsure} were unsure",
        MOMENTS - unsure
    );
}

/// Kills a run when its journal has so many records, and resumes it; whether that led to the end.
fn killed_at(moment: usize, all: &BTreeMap<String, usize>) -> bool {
    let cluster = build(Cluster::new().nodes(2), SHORT);
    let mut running = cluster.start(&[]).spawn();
    await_records(&cluster, moment);
    // Not always right behind a record.
    std::thread::sleep(Duration::from_millis(moment as u64 % 4 * 40));
    running.signal(Signal::KILL);
    running.wait();
    // Whatever was under way on a node comes to its end there.
    std::thread::sleep(Duration::from_millis(300));
    let out = cluster.resume().run();
    let log = counted(&cluster.effects());
    assert!(log.values().all(|count| *count == 1), "something ran twice: {log:?}");
    match out.exit_code() {
        0 => assert_eq!(&log, all, "killed at record {moment}"),
        22 => drop(out.stderr_has("nobody knows how it ended")),
        _ => drop(out.code(17).stderr_has("still in force")),
    }
    out.exit_code() == 0
}

fn await_records(cluster: &Cluster, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let runs = cluster.path("state/test/runs");
    loop {
        let dir = fs::read_dir(&runs).ok().and_then(|mut entries| entries.next()).and_then(Result::ok);
        let text = dir.and_then(|dir| fs::read_to_string(dir.path().join("journal.ndjson")).ok());
        if text.is_some_and(|text| text.matches('\n').count() >= count) {
            return;
        }
        assert!(Instant::now() < deadline, "the journal does not grow to {count} records");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_journal_without_a_record_is_no_run() {
    let cluster = build(Cluster::new().local(3), PROCEDURE);
    copy_prefix(&cluster.path("state/test/runs/2026-11-21.1"), &[]);
    cluster.resume().run().code(2).stderr_has("there is no unfinished run to go on with");
    assert!(cluster.effects().is_empty());
}
