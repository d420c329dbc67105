//! Two operators, two machines, one cluster: a state directory of its own stands for the second machine. One
//! works, the other is told who, and what he can do about it.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::support::{Cluster, Invocation, Output, Running, effects};

/// Two nodes whose upgrade waits until the test lets it go.
fn waiting() -> Cluster {
    cluster(
        r#"run: LOG(begins); until test -e "$dir/../go" || ! test -d "$dir"; do sleep 0.05; done; LOG(ends)"#,
    )
}

fn cluster(upgrade: &str) -> Cluster {
    let procedure = format!(
        r#"
        procedure: locked
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - {upgrade}
        "#
    );
    Cluster::new().nodes(2).procedure(&effects(&procedure)).build()
}

const START: [&str; 4] = ["start", "--yes", "--confirm", "test"];

fn other_starts(cluster: &Cluster, flags: &[&str]) -> Invocation {
    cluster.elsewhere(START).args(flags)
}

fn at_work(cluster: &Cluster) -> Running {
    let running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 begins");
    running
}

fn let_go(cluster: &Cluster) {
    cluster.write("nodes/go", "");
}

fn kill(mut running: Running) {
    running.signal(Signal::KILL);
    drop(running.wait());
}

/// The word at the end of a node's latest lock, with its number.
fn latest(cluster: &Cluster, node: &str) -> (u64, String) {
    let dir = cluster.node_dir(node).join("rollgate/test/fence");
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let epoch: u64 = names.filter_map(|name| name.parse().ok()).max().unwrap();
    (epoch, fs::read_to_string(dir.join(format!("{epoch}.end"))).unwrap_or_default().trim().to_owned())
}

#[track_caller]
fn refused(output: &Output) -> &Output {
    output.code(14).stderr_has("tester@").stderr_has("next:")
}

#[test]
fn the_second_operator_is_told_who_works() {
    let cluster = waiting();
    let running = at_work(&cluster);
    let output = other_starts(&cluster, &[]).run();
    refused(&output).stderr_has("held by tester@").stderr_has("(start, run ").stderr_has("--lock-wait 10m");
    output.stderr_has("last seen").lacks("--break-lock");
    cluster.elsewhere(["stage"]).run().code(14);
    let breaking = other_starts(&cluster, &["--break-lock", "CHG-7"]).run();
    refused(&breaking).stderr_has("its holder lives").stderr_has("it can be tried in");
    cluster.elsewhere(["status"]).run().code(0).stdout_has("held by tester@");
    cluster.elsewhere(["check"]).run().code(0).stdout_has("held by tester@");
    let document = cluster.elsewhere(["status", "-o", "json"]).run();
    document.code(0).stdout_has("\"state\": \"held\"").stdout_has("\"ours\": false");
    cluster.rollgate(["status"]).run().code(0).lacks("held by an unfinished");
    let_go(&cluster);
    running.wait().code(0);
    assert_eq!(cluster.effects(), ["n1 begins", "n1 ends", "n2 begins", "n2 ends"]);
    for node in ["n1", "n2"] {
        assert_eq!(latest(&cluster, node).1, "released");
    }
}

#[test]
fn a_finished_run_lets_the_other_begin() {
    let cluster = cluster("run: LOG(up)");
    cluster.start(&[]).run().code(0);
    other_starts(&cluster, &[]).run().code(0);
    assert_eq!(cluster.effects(), ["n1 up", "n2 up", "n1 up", "n2 up"]);
    assert_eq!(latest(&cluster, "n1"), (2, "released".to_owned()));
}

#[test]
fn a_run_that_stopped_keeps_the_cluster_until_it_is_over() {
    let cluster = cluster("run: LOG(up)");
    cluster.start(&["--pause-after", "n1"]).run().code(16);
    assert_eq!(latest(&cluster, "n1"), (1, "stopped".to_owned()));
    let output = other_starts(&cluster, &[]).run();
    refused(&output).stderr_has("unfinished run of tester@").stderr_has("--break-lock REASON");
    // The same machine goes on, with a higher number.
    cluster.resume().run().code(0);
    assert_eq!(latest(&cluster, "n1"), (2, "released".to_owned()));
    assert_eq!(cluster.effects(), ["n1 up", "n2 up"]);
}

#[test]
fn an_ended_run_lets_go_of_every_node_that_it_had() {
    // One that it never came to.
    let unstaged = cluster("run: LOG(up)");
    unstaged.start(&["--pause-after", "n1"]).run().code(16);
    unstaged.rollgate(["unstage", "--yes"]).run().code(0);
    for node in ["n1", "n2"] {
        let runs = unstaged.node_dir(node).join("rollgate/test/runs");
        assert_eq!(fs::read_dir(runs).unwrap().count(), 0, "{node} keeps the run's records");
    }
    other_starts(&unstaged, &[]).run().code(0);
    // One that was not among those of its last invocation.
    let finished = cluster("run: LOG(up)");
    finished.start(&["--pause-after", "n1"]).run().code(16);
    finished.resume().args(["--limit", "n2"]).run().code(0);
    other_starts(&finished, &[]).run().code(0);
}

/// Waits until an invocation in the state directory `fourth` waits for the lock: from here on a signal is an answer.
fn await_begun(cluster: &Cluster) {
    let has_begun = || {
        fs::read_dir(cluster.path("fourth/test/runs")).is_ok_and(|mut runs| {
            runs.any(|run| {
                fs::read(run.unwrap().path().join("journal.ndjson")).is_ok_and(|text| !text.is_empty())
            })
        })
    };
    while !has_begun() {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
}

#[test]
fn who_waits_gets_it_afterwards() {
    let cluster = waiting();
    let running = at_work(&cluster);
    let waits = other_starts(&cluster, &["--lock-wait", "1m"]).spawn();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(cluster.effects(), ["n1 begins"]);
    let short =
        other_starts(&cluster, &["--lock-wait", "1s"]).env("ROLLGATE_STATE_DIR", cluster.path("third"));
    refused(&short.run()).stderr_has("waited 1s");
    // Somebody who waits can leave.
    let mut leaves = other_starts(&cluster, &["--lock-wait", "1m"])
        .env("ROLLGATE_STATE_DIR", cluster.path("fourth"))
        .spawn();
    await_begun(&cluster);
    leaves.signal(Signal::INT);
    leaves.wait().code(16);
    let_go(&cluster);
    running.wait().code(0);
    waits.wait().code(0).stderr_has("waiting for the lock").stderr_has("held by tester@");
    assert_eq!(cluster.effects().len(), 8);
    assert_eq!(cluster.effects()[..4], ["n1 begins", "n1 ends", "n2 begins", "n2 ends"]);
}

#[test]
fn who_waits_in_the_background_leaves_with_the_terminal_until_it_has_begun() {
    for signal in [Signal::TERM, Signal::HUP] {
        let cluster = waiting();
        let running = at_work(&cluster);
        let mut leaves = other_starts(&cluster, &["--detach", "--lock-wait", "1m"])
            .env("ROLLGATE_STATE_DIR", cluster.path("fourth"))
            .spawn();
        await_begun(&cluster);
        leaves.signal(signal);
        leaves.wait().code(16);
        let_go(&cluster);
        running.wait().code(0);
        assert_eq!(cluster.effects().len(), 4);
    }
}

/// The same on one machine, where the second is kept out by the machine's own lock.
#[test]
fn who_waits_on_the_same_machine_gets_it_as_well() {
    let cluster = waiting();
    let running = at_work(&cluster);
    cluster.start(&[]).run().code(14).stderr_has("--lock-wait 10m");
    let waits = cluster.rollgate(["stage", "--lock-wait", "1m"]).spawn();
    std::thread::sleep(Duration::from_secs(1));
    let_go(&cluster);
    running.wait().code(0);
    waits.wait().code(0).stderr_has("waiting 1m at most");
}

#[test]
fn a_dead_holder_is_told_and_never_passed_over_in_silence() {
    let cluster = waiting();
    kill(at_work(&cluster));
    cluster.silence("2 hours ago");
    let output = other_starts(&cluster, &[]).run();
    refused(&output)
        .stderr_has("last seen 2 h ago")
        .stderr_has("it may be dead")
        .stderr_has("--break-lock REASON");
    assert_eq!(latest(&cluster, "n1"), (1, String::new()));
    cluster.rollgate(["status"]).run().code(0).stdout_has("a rollgate of this machine that is gone");
    let_go(&cluster);

    let broken = other_starts(&cluster, &["--break-lock", "CHG-7: anna's laptop is gone"]).run();
    broken.code(0).stderr_has("the lock was taken from tester@").stderr_has("CHG-7: anna's laptop is gone");
    assert_eq!(latest(&cluster, "n2"), (2, "released".to_owned()));
    let journal = cluster.path("other/test/runs");
    let run = fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
    let journal = fs::read_to_string(run.join("journal.ndjson")).unwrap();
    assert!(journal.contains("\"broke\":{\"reason\":\"CHG-7: anna's laptop is gone\""), "{journal}");
    cluster.elsewhere(["status"]).run().code(0).stdout_has("the lock was taken from tester@");
}

#[test]
fn the_same_machine_takes_its_own_lock_again() {
    let cluster = cluster(r#"run: LOG(up); test -e "$dir/../go" || sleep 20"#);
    let running = cluster.start(&[]).spawn();
    cluster.await_effect("n1 up");
    kill(running);
    let_go(&cluster);
    // What the killed one began is the recovery's to judge; the lock does not stand in its way.
    let output = cluster.resume().run();
    assert_ne!(output.exit_code(), 14, "{output:?}");
    assert!(latest(&cluster, "n1").0 == 2, "{:?}", latest(&cluster, "n1"));
    other_starts(&cluster, &[]).run().code(if latest(&cluster, "n1").1 == "released" { 0 } else { 14 });
}

/// A run that another machine took over is over for the one that had it, whatever its own journal says.
#[test]
fn an_adopted_run_goes_on_in_one_place_only() {
    let cluster = waiting();
    kill(at_work(&cluster));
    let run = cluster.run_dir().file_name().unwrap().to_str().unwrap().to_owned();
    let adopting = ["--resume", "--adopt", run.as_str()];
    refused(&other_starts(&cluster, &adopting).run()).stderr_has("held by tester@");
    cluster.silence("5 minutes ago");
    let_go(&cluster);
    other_starts(&cluster, &adopting).run().code(0);
    assert_eq!(cluster.effects(), ["n1 begins", "n1 ends", "n2 begins", "n2 ends"]);
    cluster.resume().run().code(14).stderr_has("was adopted elsewhere");
    assert_eq!(cluster.effects().len(), 4);
}

/// Who is refused has no lock, and gives back what he had.
#[test]
fn a_refusal_leaves_the_other_nodes_free() {
    let cluster = waiting();
    let running = cluster.start(&["-l", "n2"]).spawn();
    cluster.await_effect("n2 begins");
    refused(&other_starts(&cluster, &[]).run()).stderr_has("n2 is held");
    assert_eq!(latest(&cluster, "n1"), (1, "released".to_owned()), "it had been taken, and was given back");
    let_go(&cluster);
    running.wait().code(0);
}

/// A change that an earlier invocation left in force is not undone by one that has no lock.
#[test]
fn without_the_lock_nothing_is_undone() {
    let procedure = r#"
        procedure: temporary
        phases:
          - name: all
            nodes: "*"
            drain:
              - { name: stop, run: LOG(made), undo: LOG(undone), temporary: node }
            upgrade:
              - run: LOG(begins); until test -e "$dir/../go" || ! test -d "$dir"; do sleep 0.05; done
        "#;
    let cluster = Cluster::new().nodes(1).procedure(&effects(procedure)).build();
    kill(at_work(&cluster));
    let dir = cluster.node_dir("n1").join("rollgate/test/fence");
    fs::write(dir.join("2"), "run=2026-11-21.9\ntoken=x\nseat=somebody\nwho=eve\nhost=else\nsince=1\n")
        .unwrap();
    fs::write(dir.join("2.beat"), "").unwrap();
    cluster.resume().run().code(14).stderr_has("eve@else").stderr_has("still in force");
    assert_eq!(cluster.effects(), ["n1 made", "n1 begins"]);
    let_go(&cluster);
}

#[test]
fn of_two_at_the_same_instant_one_runs() {
    const PAIRS: usize = 20;
    let cluster = cluster("run: LOG(begins); sleep 0.3; LOG(ends)");
    let mut refusals = 0;
    for pair in 0..PAIRS {
        let begin = |name: &str| {
            let dir = cluster.path(&format!("{name}{pair}"));
            cluster.start(&[]).env("ROLLGATE_STATE_DIR", dir).spawn()
        };
        let both = [begin("a"), begin("b")];
        let codes: Vec<_> = both.map(|one| one.wait().exit_code()).to_vec();
        let ran = codes.iter().filter(|code| **code == 0).count();
        // The second may come when the first is through; both at once is what must not be.
        assert!(ran >= 1 && codes.iter().all(|code| matches!(code, 0 | 14)), "pair {pair}: {codes:?}");
        refusals += codes.len() - ran;
    }
    let effects = cluster.effects();
    for two in effects.chunks(2) {
        let node = two[0].split(' ').next().unwrap();
        assert_eq!(two, [format!("{node} begins"), format!("{node} ends")], "two ran at once");
    }
    println!("{PAIRS} pairs: {refusals} refused, never both");
}
