//! A wait that observes what another system does: words that mean failure, words that nobody knows, and a
//! time for each of its stages.

use super::support::{Cluster, Output};

/// Waits for `finished`; each reading finds the next of these words, the last one for ever.
fn observe(words: &str, keys: &str) -> (Cluster, Output) {
    let procedure = format!(
        r#"procedure: waits
phases:
  - name: service
    nodes: "n*"
    upgrade:
      - wait:
          name: state
          run: |
            echo . >> "$dir/asked"
            set -- {words}
            n=$(wc -l < "$dir/asked")
            while [ "$n" -gt 1 ] && [ $# -gt 1 ]; do n=$((n - 1)); shift; done
            echo "$1"
            echo "$1" > "$dir/state"
          equals: finished
          evidence: echo the last words
          remedy: see the log
{keys}"#
    );
    let cluster = Cluster::new().local(1).procedure(&procedure).build();
    let output = cluster.start(&[]).run();
    (cluster, output)
}

const MEANINGS: &str =
    "        every: 100ms\n        while: { matches: \"^working\" }\n        fail_when: { equals: failed }\n";

#[test]
fn a_word_of_failure_ends_it_with_its_evidence() {
    let (_cluster, output) = observe("working working failed", MEANINGS);
    output
        .code(20)
        .stderr_has("state on n1: failed, and that means it never will hold")
        .stderr_has("the last words")
        .stderr_has("see the log");
}

#[test]
fn a_word_that_nobody_knows_is_neither_failed_nor_done() {
    let (cluster, output) = observe("working frobnicating finished", MEANINGS);
    output
        .code(22)
        .stderr_has("state on n1: frobnicating, and the procedure knows no such state")
        .stderr_has("start --resume");
    cluster.resume().run().code(0);
}

#[test]
fn every_stage_has_the_whole_time() {
    let words = "working-1 working-2 working-3 working-4 working-5 working-6 finished";
    // A look at each stage takes a quarter of its time, and all of them more than the whole.
    let timeout = "        every: 700ms\n        timeout: 3s\n";
    let (_cluster, output) = observe(words, timeout);
    output.code(20).stderr_has("working-");
    let per = format!("{timeout}        per: cat \"$dir/state\"\n");
    let (_cluster, output) = observe(words, &per);
    output.code(0);
    let (_cluster, output) = observe("working-1 working-2 working-1", &per);
    output.code(20).stderr_has("working-1");
}

/// The last look is when the time is over: not before, and not never.
#[test]
fn a_wait_that_is_asked_seldom_has_all_its_time() {
    // Asked every five seconds where nothing is said.
    let timeout = "        timeout: 3s\n";
    let (_cluster, output) = observe("working finished", timeout);
    output.code(0);
    let begun = std::time::Instant::now();
    let (cluster, output) = observe("working working finished", timeout);
    output.code(20).stderr_has("state on n1: working, needs equals finished after 3s");
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
    let looks = std::fs::read_to_string(cluster.node_dir("n1").join("asked")).unwrap().lines().count();
    assert_eq!(looks, 2);
}

/// What a wait shows is asked as its check is: with the roles of that moment.
#[test]
fn what_it_shows_knows_who_leads_now() {
    let procedure = r#"
        procedure: shows
        roles:
          leader: { run: test "$ROLLGATE_NODE" = n2, of: "*", exactly: 1 }
        phases:
          - name: service
            nodes: n1
            upgrade:
              - wait: { name: well, run: "true" }
                every: 100ms
                show: echo "led by $ROLLGATE_LIVE_LEADER"
        "#;
    let cluster = Cluster::new().local(2).procedure(procedure).build();
    cluster.start(&[]).run().code(0).stderr_has("led by n2");
}
