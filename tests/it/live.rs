//! The block that is redrawn while nodes are at work: it stands once, fits every terminal, and goes when it is over.

use std::time::{Duration, Instant};

use super::support::{Cluster, Pty, Size};

/// Two of three nodes at a time, in a step that says something and goes on until it is let go.
fn long() -> Cluster {
    let procedure = r#"
        procedure: live
        phases:
          - name: service
            nodes: "n*"
            batch: [2, 1]
            upgrade:
              - name: install
                timeout: 10m
                run: |
                  printf 'layer 1 of 7\rlayer %s \033[2J%s\n' "$ROLLGATE_NODE" "$(printf %0300d 0)"
                  echo began >> "$effects"
                  until test -e "$dir/../go" || ! test -d "$dir"; do sleep 0.05; done
        "#;
    Cluster::new().local(3).procedure(procedure).build()
}

fn release(cluster: &Cluster) {
    cluster.write("nodes/go", "");
}

fn rows(terminal: &Pty) -> Vec<String> {
    terminal.screen().lines().map(|row| row.trim_end().to_owned()).collect()
}

/// Waits until the block is as it should be; what it was last is shown if it never is.
#[track_caller]
fn awaits(terminal: &Pty, fits: impl Fn(&[String]) -> bool) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let rows = rows(terminal);
        if fits(&rows) {
            return rows;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", rows.join("\n"));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn count(rows: &[String], text: &str) -> usize {
    rows.iter().filter(|row| row.contains(text)).count()
}

/// The block of two nodes, at the bottom of the screen: a line each and what they said last, then all of it.
fn is_whole(rows: &[String], columns: usize) -> bool {
    let said = |node: &str| count(rows, &format!(" ago | layer {node}")) == 1;
    let at_work = |node: &str| rows.iter().filter(|row| row.starts_with(&format!("{node}  upgrade"))).count();
    let last = rows.iter().rfind(|row| !row.is_empty());
    at_work("n1") == 1
        && at_work("n2") == 1
        && at_work("n3") == 0
        && said("n1")
        && said("n2")
        && last.is_some_and(|row| row.contains("0 of 3   "))
        // What a node prints is shown whole, and broken by the terminal.
        && rows.iter().all(|row| row.starts_with('n') && row.contains(" | ") || row.chars().count() <= columns)
}

#[test]
fn each_node_has_a_line_and_its_last_words_at_every_width() {
    let sizes = [40, 80, 100, 200].map(|columns| Size { rows: 24, columns });
    let runs: Vec<(Size, Cluster, Pty)> = sizes
        .into_iter()
        .map(|size| {
            let cluster = long();
            let invocation = cluster.rollgate(["start", "--confirm", "test"]);
            let terminal = Pty::start(invocation, Size { rows: size.rows, columns: size.columns });
            (size, cluster, terminal)
        })
        .collect();
    for (size, cluster, mut terminal) in runs {
        let rows = awaits(&terminal, |rows| is_whole(rows, size.columns.into()));
        let line = rows.iter().find(|row| row.starts_with("n1  ")).unwrap();
        assert!(line.contains("upgrade \"install\"") && line.ends_with(" of 10m"), "{line}");
        let words = rows.iter().find(|row| row.contains("ago | layer n1")).unwrap();
        assert!(words.contains(r"layer n1 \x1b[2J000") && words.ends_with('…'), "{words}");
        release(&cluster);
        terminal.ends_with(0);
        let rows = self::rows(&terminal);
        assert_eq!((count(&rows, " of 10m"), count(&rows, "ago | layer")), (0, 0), "{}", rows.join("\n"));
    }
}

#[test]
fn another_size_in_the_middle_leaves_one_block() {
    let cluster = long();
    let invocation = cluster.rollgate(["start", "--confirm", "test"]);
    let mut terminal = Pty::start(invocation, Size { rows: 30, columns: 120 });
    awaits(&terminal, |rows| is_whole(rows, 120));
    for (lines, columns) in [(24, 60), (12, 40), (40, 200)] {
        terminal.resize(Size { rows: lines, columns });
        awaits(&terminal, |rows| is_whole(rows, columns.into()));
    }
    release(&cluster);
    terminal.ends_with(0);
}

#[test]
fn where_the_locale_has_no_unicode_it_is_ascii() {
    let cluster = long();
    let invocation = cluster.rollgate(["start", "--confirm", "test"]).env("LANG", "C");
    let mut terminal = Pty::start(invocation, Size { rows: 24, columns: 80 });
    let rows = awaits(&terminal, |rows| is_whole(rows, 80));
    assert!(rows.iter().any(|row| row.contains("ago | layer n1") && row.ends_with("...")), "{rows:?}");
    release(&cluster);
    terminal.ends_with(0);
    assert!(terminal.raw().is_ascii());
}
