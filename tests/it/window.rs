//! The hours in which turns may begin: outside of them nothing begins, and what has begun goes on. The windows
//! lie around the real clock, hours away from it, and are of the week, so that midnight is an hour as any other.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rollgate::journal::{Journal as _, StateDir};
use rollgate::model::event::Event;
use rollgate::model::name::ClusterName;
use serde_json::Value;

use super::support::{Cluster, Output, effects};

/// A day and a time, so many hours from now.
fn edge(hours: i64) -> String {
    (Timestamp::now() + hours.hours()).to_zoned(TimeZone::UTC).strftime("%a %H:%M").to_string()
}

fn window(open: i64, close: i64) -> String {
    format!("window: {{ open: {}, close: \"{}\", zone: UTC }}\n", edge(open), edge(close))
}

fn open() -> String {
    window(-4, 3)
}

fn closed() -> String {
    window(3, 6)
}

const PROCEDURE: &str = r#"
    procedure: upgrade
    artifacts: [{ source: ./image.tar, nodes: "*" }]
    phases:
      - name: first
        nodes: "*"
        upgrade: [{ name: prepare, run: LOG(prepare), undo: LOG(unprepare) }]
      - name: second
        nodes: "*"
        upgrade:
          - name: install
            run: |
              LOG(install)
              if test -e "$dir/broken"; then exit 1; fi
            undo: LOG(uninstall)
    "#;

fn cluster(window: &str) -> Cluster {
    let cluster = Cluster::new().local(2).inventory(window).procedure(&effects(PROCEDURE)).build();
    cluster.write("image.tar", "image");
    cluster
}

/// Writes the same files with another window.
fn change(cluster: &Cluster, from: &str, to: &str) {
    let inventory = std::fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    assert!(inventory.contains(from), "{inventory}");
    cluster.write("inventory.yaml", &inventory.replace(from, to));
}

fn status(cluster: &Cluster) -> Value {
    let output = cluster.rollgate(["status", "--offline", "-o", "json"]).run();
    serde_json::from_str(output.raw_stdout()).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn refused(output: &Output) -> &Output {
    output.code(10).stderr_has("the window is closed until ").stderr_has(" (UTC), ")
}

const ALL: [&str; 4] = ["n1 prepare", "n2 prepare", "n1 install", "n2 install"];

#[test]
fn inside_of_it_a_run_is_as_without() {
    let cluster = cluster(&open());
    cluster.start(&[]).run().code(0);
    assert_eq!(cluster.effects(), ALL);
    let status = status(&cluster);
    assert_eq!(status["window"]["open"], true, "{status:#}");
    assert!(status["window"]["closes_at"].is_string(), "{status:#}");
    assert_eq!(status["run"]["outside_window"], serde_json::json!([]), "{status:#}");
    assert!(cluster.records(&["window_passed"]).is_empty());
}

#[test]
fn outside_of_it_nothing_begins() {
    let cluster = cluster(&closed());
    refused(&cluster.start(&[]).run())
        .stderr_has(
            "next: rollgate -i inventory.yaml start --yes --confirm test                           # once the window is open\n",
        )
        .stderr_has("start --yes --confirm test --override window=REASON")
        .stderr_has("nothing was done (exit 10)");
    assert_eq!(cluster.journal(), "");
    assert_eq!(cluster.effects(), [""; 0]);
    // At a terminal nobody types a name for nothing.
    cluster.terminal(["start"]).expect("the window is closed until").ends_with(10);
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("; closed until ");
    let status = status(&cluster);
    assert_eq!(status["window"]["open"], false, "{status:#}");
    assert!(status["window"]["opens_at"].is_string(), "{status:#}");
}

#[test]
fn a_reason_passes_it_and_is_kept() {
    let cluster = cluster(&closed());
    let output = cluster.start(&["--override", "window=CHG 7, agreed with the owner"]).run();
    output.code(0).stderr_has("going on all the same: CHG 7, agreed with the owner");
    output.stderr_has("outside the window: CHG 7, agreed with the owner (tester; the window is closed until");
    assert_eq!(cluster.effects(), ALL);
    assert!(!cluster.records(&["window_passed", "CHG 7, agreed with the owner", "tester"]).is_empty());
    let status = status(&cluster);
    assert_eq!(status["run"]["outside_window"].as_array().unwrap().len(), 1, "{status:#}");
    assert_eq!(status["run"]["outside_window"][0]["reason"], "CHG 7, agreed with the owner");
    cluster.rollgate(["status", "--offline", "-o", "human"]).run().stdout_has("outside the window: CHG 7");
    cluster.rollgate(["status", "--offline", "-o", "plain"]).run().stdout_has("outside-window: CHG 7");
}

#[test]
fn a_reason_for_a_window_that_is_not_there_is_a_slip() {
    let cluster = cluster("");
    cluster.start(&["--override", "window=why"]).run().code(2).stderr_has("no gate is called `window`");
    assert_eq!(cluster.journal(), "");
}

#[test]
fn copies_wait_for_no_window_and_the_plan_keeps_it() {
    let closed = closed();
    let cluster = cluster(&closed);
    cluster.rollgate(["stage"]).run().code(0);
    refused(&cluster.start(&[]).run());
    // What was staged is what runs, with its window.
    change(&cluster, &closed, &open());
    cluster.start(&[]).run().code(2).stderr_has("the plan changed since");
    cluster.rollgate(["stage"]).run().code(0);
    cluster.start(&[]).run().code(0);
    assert_eq!(cluster.effects(), ALL);
}

#[test]
fn a_dry_run_says_when_it_opens() {
    let cluster = cluster(&closed());
    let output = cluster.rollgate(["start", "--dry-run"]).run();
    output.code(0).stdout_has("RESULT  would start once the window opens");
    output.stdout_has("\nWINDOW\n").stdout_has("; closed until ");
    output.stdout_has("how long n1 and n2 take is not known; no turn begins after it has closed");
    let output = cluster.rollgate(["start", "--dry-run", "-o", "json"]).run();
    let document: Value = serde_json::from_str(output.raw_stdout()).unwrap();
    assert_eq!(document["window"]["open"], false, "{document:#}");
    assert_eq!(document["window"]["nodes"]["n2"], "unknown", "{document:#}");
    // With a reason it begins at once, and the dry run says so.
    let output = cluster.rollgate(["start", "--dry-run", "--override", "window=CHG 7"]).run();
    output
        .code(0)
        .stdout_has("RESULT  would start; 2 nodes not staged (exit 0)")
        .stdout_has("; closed until ");
}

#[test]
fn a_turn_that_no_opening_is_long_enough_for_is_not_told_to_wait() {
    let cluster = with_history();
    let inventory = std::fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &inventory.replace(&open(), &window(-1, 2)));
    let output = cluster.start(&[]).run();
    output.code(10).stderr_has("the window is never open for that long: only --override window=REASON");
    cluster.start(&["--resume", "--override", "window=it is urgent"]).run().code(0);
}

#[test]
fn a_plan_that_was_staged_under_another_zone_says_so() {
    let cluster = cluster("window: { open: \"00:00\", close: \"23:59\" }\n");
    cluster.rollgate(["stage"]).env("TZ", "Asia/Tokyo").run().code(0);
    let output = cluster.start(&[]).env("TZ", "Europe/Madrid").run();
    output.code(2).stderr_has(
        "the window is meant in Europe/Madrid here and in Asia/Tokyo where it was staged: name one with `zone:`",
    );
}

/// Writes the one run that there is as if turns of its second phase had taken five hours.
fn stretch_history(cluster: &Cluster) {
    let dir = StateDir::at(cluster.path("state")).cluster(&ClusterName::parse("test").unwrap());
    let run = dir.latest_run().unwrap().unwrap();
    let records = run.read_journal().unwrap().records;
    std::fs::remove_file(run.journal_path()).unwrap();
    let mut journal = run.create_journal().unwrap();
    let mut late = 0;
    for record in records {
        if matches!(&record.event, Event::TurnEnded { turn, .. } if turn.phase == 2) {
            late += 5;
        }
        journal.append(&record.event, record.at - 24.hours() + late.hours()).unwrap();
    }
}

/// A cluster whose second phase takes five hours a node, as an earlier run has it; the window closes in three.
fn with_history() -> Cluster {
    let cluster = cluster(&open());
    cluster.start(&[]).run().code(0);
    stretch_history(&cluster);
    std::fs::write(cluster.path("effects"), "").unwrap();
    // Another plan of the same procedure.
    cluster.write("image.tar", "another image");
    cluster
}

#[test]
fn a_turn_that_would_not_end_in_it_does_not_begin() {
    let cluster = with_history();
    let dry = cluster.rollgate(["start", "--dry-run"]).run();
    dry.code(0).stdout_has("n1 and n2 would be left for another opening");
    let output = cluster.start(&[]).run();
    output.code(10).stderr_has("a turn takes about 5h, and the window closes ");
    output.stderr_has("start --resume --yes --confirm test").stderr_has("--override window=REASON");
    assert_eq!(cluster.effects(), ["n1 prepare", "n2 prepare"]);
    let document = status(&cluster);
    assert_eq!(document["run"]["stop"]["reason"], "window_closed", "{document:#}");
    assert_eq!(document["run"]["state"], "stopped", "{document:#}");
    // Ten hours are left, and a little.
    let left = document["run"]["seconds_left"].as_u64().unwrap();
    assert!((36_000..36_060).contains(&left), "{left}");

    let list = cluster.rollgate(["status", "--list", "-o", "json"]).run();
    let list: Value = serde_json::from_str(list.raw_stdout()).unwrap();
    assert_eq!(list["runs"][0]["seconds_left"], document["run"]["seconds_left"], "{list:#}");

    // Again, and again nothing begins: not even another invocation.
    let records = cluster.journal().lines().count();
    cluster.resume().run().code(10).stderr_has("a turn takes about 5h");
    assert_eq!(cluster.journal().lines().count(), records);

    cluster.start(&["--resume", "--override", "window=it is urgent"]).run().code(0);
    assert_eq!(cluster.effects(), ALL);
}

#[test]
fn what_has_begun_goes_on_and_what_is_taken_back_waits_for_nothing() {
    let cluster = with_history();
    cluster.write("nodes/n1/broken", "");
    cluster.start(&["--override", "window=it is urgent"]).run().code(20);
    assert_eq!(cluster.effects(), ["n1 prepare", "n2 prepare", "n1 install"]);
    std::fs::remove_file(cluster.node_dir("n1").join("broken")).unwrap();
    // Without the reason the turn that was under way is finished, and the next one does not begin.
    cluster.resume().run().code(10).stderr_has("a turn takes about ");
    assert_eq!(cluster.effects(), ["n1 prepare", "n2 prepare", "n1 install", "n1 install"]);
    cluster.rollgate(["rollback", "--yes", "--confirm", "test"]).run().code(0);
    assert!(cluster.effects().ends_with(&[
        "n1 uninstall".into(),
        "n2 unprepare".into(),
        "n1 unprepare".into()
    ]));
}

#[test]
fn the_plan_shows_how_long_it_took_the_last_time() {
    let cluster = with_history();
    let mut terminal = cluster.terminal(["start"]);
    terminal.expect("LAST TIME").expect("5 h 0 m").expect("Window: ").expect("would be left for another");
    terminal.expect("Type the cluster's name").send("no\n").ends_with(11);
}

#[test]
fn without_a_zone_it_is_that_of_the_machine_where_the_plan_is_made() {
    let cluster = cluster("window: { open: \"00:00\", close: \"23:59\" }\n");
    let status = cluster.rollgate(["status", "--offline"]).env("TZ", "Asia/Tokyo").run();
    status.code(0).stdout_has("window: 00:00 to 23:59 every day (Asia/Tokyo); ");
}
