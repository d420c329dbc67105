//! `status --list` and `status --watch`: what was, and what another process is at right now.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::support::{Cluster, Pty, Running, Size};

/// Nodes without SSH; each waits in its upgrade until the file `go` is in its directory.
fn waiting(count: usize) -> Cluster {
    Cluster::new()
        .local(count)
        .procedure(
            r#"
            procedure: waits
            to: "2"
            version: { run: cat "$dir/version" }
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - name: install
                    run: |
                      echo "$ROLLGATE_NODE install" >> "$effects"
                      while ! test -e "$dir/go"; do sleep 0.05; done
                      echo 2 > "$dir/version"
                rollback: [{ name: back, run: echo 1 > "$dir/version" }]
            "#,
        )
        .build()
}

fn ready(count: usize) -> Cluster {
    let cluster = waiting(count);
    for node in 1..=count {
        cluster.write(&format!("nodes/n{node}/version"), "1\n");
    }
    cluster
}

fn go(cluster: &Cluster, node: &str) {
    fs::write(cluster.node_dir(node).join("go"), "").unwrap();
}

/// A run in another process that stands in the upgrade of n1.
fn under_way(cluster: &Cluster) -> Running {
    let run = cluster.start(&["--change", "CHG-1"]).spawn();
    cluster.await_effect("n1 install");
    run
}

#[test]
fn without_a_run_the_list_is_empty_in_every_form() {
    let cluster = ready(1);
    let list = |form: &str| cluster.rollgate(["status", "--list", "-o", form]).run();
    let heads = "RUN  KIND  STATE  FROM  TO  DONE  TOTAL  BEGAN  SECONDS  BY  CHANGE  DETAIL\n";
    list("plain").code(0).stdout(heads).stderr("");
    list("human").code(0).stdout_has("test  no run\n").stdout_has("next: rollgate -i inventory.yaml stage");
    let document: Value = serde_json::from_str(list("json").code(0).raw_stdout()).unwrap();
    assert_eq!(document["format"], "rollgate/runs");
    assert_eq!(document["runs"], serde_json::json!([]));
}

#[test]
fn every_run_is_listed_the_latest_first_and_a_damaged_one_says_so() {
    let cluster = ready(2);
    go(&cluster, "n1");
    go(&cluster, "n2");
    cluster.start(&["--change", "CHG-1"]).run().code(0);
    cluster.rollgate(["rollback", "--yes", "--confirm", "test"]).run().code(0);
    cluster.rollgate(["unstage", "--yes"]).run();
    cluster.start(&[]).run().code(0);
    let list = |form: &str| cluster.rollgate(["status", "--list", "-o", form]).run();
    let rows = |text: &str| -> Vec<Vec<String>> {
        let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        text.lines().skip(1).map(fields).collect()
    };
    let plain = rows(list("plain").code(0).raw_stdout());
    assert_eq!(plain.len(), 2, "{plain:?}");
    let (new, old) = (&plain[0], &plain[1]);
    assert!(new[0].ends_with(".2") && old[0].ends_with(".1"), "{plain:?}");
    assert_eq!(new[1..7], ["upgrade", "finished", "1", "2", "2", "2"]);
    assert_eq!(old[3..5], ["1", "2"]);
    assert_eq!(old[10], "CHG-1");
    assert!(new[9].starts_with("tester@") && new[10] == "-" && new[11] == "-", "{new:?}");
    // Whatever happened to one journal, the others are told.
    let journal = cluster.path("state/test/runs").join(&old[0]).join("journal.ndjson");
    let text = fs::read_to_string(&journal).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(3);
    fs::write(&journal, lines.join("\n") + "\n").unwrap();
    let out = list("plain");
    let plain = rows(out.code(0).raw_stdout());
    assert_eq!((plain[0][2].as_str(), plain[1][2].as_str()), ("finished", "damaged"));
    out.stdout_has("is damaged at line 4");
    let document: Value = serde_json::from_str(list("json").code(0).raw_stdout()).unwrap();
    assert_eq!(document["runs"][1]["state"], "damaged");
    assert!(document["runs"][1]["flaw"].as_str().unwrap().contains("line 4"));
    assert_eq!(document["runs"][0]["counts"]["done"], 2);
    assert!(document["runs"][0]["flaw"].is_null());
    // One whose first line is gone is still a row.
    fs::write(&journal, "x\n").unwrap();
    let plain = rows(list("plain").code(0).raw_stdout());
    assert_eq!(plain[1][1..3], ["-", "damaged"]);
}

#[test]
fn a_run_that_is_worked_on_is_listed_as_such() {
    let cluster = ready(1);
    let run = under_way(&cluster);
    let json = cluster.rollgate(["status", "--list", "-o", "json"]).run();
    let document: Value = serde_json::from_str(json.code(0).raw_stdout()).unwrap();
    assert_eq!(document["runs"][0]["at_work"], true, "{document:#}");
    assert_eq!(document["runs"][0]["state"], "working");
    go(&cluster, "n1");
    run.wait().code(0);
}

#[test]
fn a_finished_run_tells_what_its_nodes_went_through() {
    let cluster = Cluster::new()
        .local(1)
        .procedure(
            r#"
            procedure: fails once
            phases:
              - name: all
                nodes: "*"
                upgrade: [{ name: install, run: sleep 1; test -e "$dir/go" }]
            "#,
        )
        .build();
    cluster.start(&[]).run().code(20);
    go(&cluster, "n1");
    cluster.resume().env("USER", "bob").env("LOGNAME", "bob").run().code(0);
    let out = cluster.rollgate(["status"]).run();
    out.code(0)
        .stdout_has(" state finished ")
        .stdout_has("upgrade 2s; stopped once, ")
        .stdout_has("; upgrade \"install\" failed once, repeated by bob\n");
}

#[test]
fn off_a_terminal_a_watch_prints_a_block_for_each_change_and_ends_with_the_run() {
    let cluster = ready(2);
    let run = under_way(&cluster);
    let watch = cluster.rollgate(["status", "--watch", "1"]).spawn();
    // Long enough for some looks at which nothing is new.
    std::thread::sleep(Duration::from_secs(3));
    go(&cluster, "n1");
    cluster.await_effect("n2 install");
    std::thread::sleep(Duration::from_millis(2500));
    go(&cluster, "n2");
    run.wait().code(0);
    let out = watch.wait();
    out.code(0).stderr("");
    let blocks: Vec<&str> = out.raw_stdout().split("cluster test ").skip(1).collect();
    assert!((3..=5).contains(&blocks.len()), "{blocks:#?}");
    assert!(blocks.windows(2).all(|pair| pair[0] != pair[1]), "{blocks:#?}");
    assert!(blocks[0].contains(" state working ") && blocks[0].contains("install"), "{}", blocks[0]);
    let last = blocks.last().unwrap();
    assert!(last.contains(" state finished done 2 total 2 "), "{last}");
    // What the nodes say themselves is of after the end.
    for node in ["n1 ", "n2 "] {
        let row = last.lines().find(|line| line.starts_with(node)).unwrap();
        assert_eq!(row.split_whitespace().nth(2), Some("2"), "{last}");
    }
    assert!(!out.raw_stdout().contains(['\x1b', '\r']));
}

#[test]
fn a_watch_of_what_is_over_shows_it_once() {
    let cluster = ready(1);
    go(&cluster, "n1");
    cluster.start(&[]).run().code(0);
    let out = cluster.rollgate(["status", "--watch", "--detailed-exitcode"]).run();
    assert_eq!(out.code(0).raw_stdout().matches("cluster test ").count(), 1);
}

/// How often a text stands on the screen.
fn count(terminal: &Pty, text: &str) -> usize {
    terminal.screen().matches(text).count()
}

#[test]
fn at_a_terminal_a_watch_is_one_block_and_leaves_what_is_above_alone() {
    let cluster = ready(2);
    let run = under_way(&cluster);
    let shell = cluster.rollgate(["status", "--watch", "1"]);
    let mut terminal = Pty::start(shell, Size { rows: 30, columns: 90 });
    terminal.expect("WORKING").expect("next: ");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(3500) {
        // At no time is there more than one block, or none.
        assert_eq!(count(&terminal, "NODE"), 1, "{}", terminal.screen());
        std::thread::sleep(Duration::from_millis(20));
    }
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    assert!(raw.matches("WORKING").count() >= 3, "it is drawn again: {raw:?}");
    for never in ["\x1b[H", "\x1b[2J", "\x1b[?1049h", "\x1b[3J", "\x1b[?25l"] {
        assert!(!raw.contains(never), "{never:?} in {raw:?}");
    }
    go(&cluster, "n1");
    go(&cluster, "n2");
    terminal.expect("FINISHED").ends_with(0);
    run.wait().code(0);
    assert_eq!(count(&terminal, "NODE"), 1, "{}", terminal.screen());
    assert_eq!(count(&terminal, "WORKING"), 0, "{}", terminal.screen());
}

#[test]
fn a_watch_fits_the_terminal_also_when_that_changes() {
    let cluster = ready(8);
    let run = under_way(&cluster);
    let mut terminal = Pty::start(cluster.rollgate(["status", "-w", "1"]), Size { rows: 9, columns: 60 });
    terminal.expect(" below");
    let fits = |terminal: &Pty, columns: usize| {
        let screen = terminal.screen();
        assert!(screen.lines().all(|line| line.chars().count() <= columns), "{screen}");
        assert_eq!(screen.matches(" below").count(), 1, "{screen}");
        assert!(screen.starts_with("test | "), "the first line is there: {screen}");
    };
    fits(&terminal, 60);
    terminal.resize(Size { rows: 12, columns: 44 });
    terminal.expect(" below");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(count(&terminal, " below"), 1, "{}", terminal.screen());
    for node in 1..=8 {
        go(&cluster, &format!("n{node}"));
    }
    // At its end it is shown whole.
    terminal.expect("FINISHED").expect("n8").expect("next:").ends_with(0);
    run.wait().code(0);
}

#[test]
fn ctrl_c_ends_a_watch_and_not_the_run() {
    let cluster = ready(1);
    let mut run = under_way(&cluster);
    let mut terminal = cluster.terminal(["status", "--watch", "--detailed-exitcode"]);
    terminal.expect("WORKING");
    std::thread::sleep(Duration::from_millis(300));
    terminal.ctrl_c().ends_with(18);
    assert!(!terminal.cursor_is_hidden());
    let screen = terminal.screen();
    assert!(!screen.contains("^C") && screen.contains("WORKING"), "{screen}");
    assert!(!run.has_ended());
    go(&cluster, "n1");
    run.wait().code(0);
}
