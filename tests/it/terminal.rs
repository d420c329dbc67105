//! The operator at a terminal: choices after a failure, Ctrl-C, the screen at every width, and a
//! cursor that is there at the end.

use std::fs;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::support::{Cluster, Pty, Size};

const DOWN: &str = "\x1b[B";

fn cluster_of(nodes: usize, sections: &str) -> Cluster {
    let sections = sections.replace('\n', "\n    ");
    let procedure =
        format!("procedure: terminal\nphases:\n  - name: service\n    nodes: 'n*'\n    {sections}\n");
    Cluster::new().local(nodes).procedure(&procedure).build()
}

/// A run at a terminal that has been confirmed.
fn begun(cluster: &Cluster) -> Pty {
    let mut terminal = cluster.terminal(["start", "--confirm", "test"]);
    terminal.expect("begins");
    terminal
}

/// Chooses an item of a menu, so many below the one that Enter alone takes.
fn choose(terminal: &mut Pty, down: usize) {
    for _ in 0..down {
        terminal.send(DOWN);
    }
    terminal.send("\n");
}

/// Insists that a terminal is handed back as it was.
#[track_caller]
fn whole(terminal: &Pty) {
    assert!(!terminal.cursor_is_hidden(), "the cursor is hidden:\n{}", terminal.screen());
    let raw = String::from_utf8_lossy(&terminal.raw()).into_owned();
    let last = |on: &str, off: &str| (raw.rfind(on), raw.rfind(off));
    for (on, off) in [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h")] {
        let (on, off) = last(on, off);
        assert!(on <= off, "left on at the end: {raw:?}");
    }
}

/// Two nodes; `n1` fails until `fixed` exists. The choices begin at the last one, to stop, and go round.
fn failing() -> Cluster {
    cluster_of(
        2,
        r#"drain:
  - run: echo "$ROLLGATE_NODE out" >> "$effects"
    undo: echo "$ROLLGATE_NODE in" >> "$effects"
    temporary: node
upgrade:
  - name: install
    run: |
      if test "$ROLLGATE_NODE" = n1 && ! test -e "$dir/fixed"; then
        echo no space left
        exit 28
      fi
      echo "$ROLLGATE_NODE upgrade" >> "$effects"
rollback:
  - run: echo "$ROLLGATE_NODE back" >> "$effects""#,
    )
}

const RETRY: &str = "try it again";
const STOP: &str = "stop here";

fn in_trouble(cluster: &Cluster) -> Pty {
    let mut terminal = begun(cluster);
    terminal.expect("no space left").expect("exit status 28");
    terminal.expect(RETRY).expect("take it as done").expect("leave n1").expect("roll n1 back").expect(STOP);
    terminal
}

#[test]
fn after_a_failure_the_step_is_tried_again() {
    let cluster = failing();
    let mut terminal = in_trouble(&cluster);
    choose(&mut terminal, 1);
    terminal.expect("exit status 28").expect(STOP);
    fs::write(cluster.node_dir("n1").join("fixed"), "").unwrap();
    choose(&mut terminal, 1);
    terminal.ends_with(0);
    assert_eq!(cluster.effects(), ["n1 out", "n1 upgrade", "n1 in", "n2 out", "n2 upgrade", "n2 in"]);
    whole(&terminal);
}

#[test]
fn after_a_failure_the_step_is_taken_as_done_for_a_reason() {
    let cluster = failing();
    let mut terminal = in_trouble(&cluster);
    choose(&mut terminal, 2);
    terminal.expect("Reason, for the report: ").send("installed by hand\n").ends_with(0);
    assert_eq!(cluster.effects(), ["n1 out", "n1 in", "n2 out", "n2 upgrade", "n2 in"]);
    assert_eq!(cluster.records(&["answered", "mark_done", "installed by hand"]).len(), 1);
    whole(&terminal);
}

#[test]
fn after_a_failure_the_node_is_left_out_for_a_reason_and_stays_known() {
    let cluster = failing();
    let mut terminal = in_trouble(&cluster);
    choose(&mut terminal, 3);
    // Without a reason the choices come again.
    terminal.expect("Reason, for the report: ").send("\n").expect(STOP);
    choose(&mut terminal, 3);
    terminal.expect("Reason, for the report: ").send("disk is on order\n").ends_with(0);
    assert_eq!(cluster.effects(), ["n1 out", "n1 in", "n2 out", "n2 upgrade", "n2 in"]);
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("disk is on order");
    let json = cluster.rollgate(["status", "--offline", "-o", "json"]).run();
    let document: serde_json::Value = serde_json::from_str(json.raw_stdout()).unwrap();
    assert_eq!(document["nodes"][0]["state"], "skipped", "{document:#}");
    whole(&terminal);
}

#[test]
fn after_a_failure_the_node_is_rolled_back() {
    let cluster = failing();
    let mut terminal = in_trouble(&cluster);
    choose(&mut terminal, 4);
    terminal.expect("next: rollgate").ends_with(16);
    assert_eq!(cluster.effects(), ["n1 out", "n1 back", "n1 in"]);
    whole(&terminal);
}

#[test]
fn after_a_failure_the_run_is_stopped() {
    for stop in ["last", "escape", "ctrl-c"] {
        let cluster = failing();
        let mut terminal = in_trouble(&cluster);
        match stop {
            "last" => choose(&mut terminal, 0),
            "escape" => drop(terminal.send("\x1b")),
            _ => drop(terminal.ctrl_c()),
        }
        terminal.expect("next: rollgate").ends_with(20);
        assert_eq!(cluster.effects(), ["n1 out", "n1 in"], "{stop}: what is temporary is undone");
        whole(&terminal);
    }
}

#[test]
fn after_a_failure_enter_alone_stops() {
    let cluster = failing();
    let mut terminal = in_trouble(&cluster);
    terminal.send("\n").expect("next: rollgate").ends_with(20);
    assert_eq!(cluster.effects(), ["n1 out", "n1 in"]);
}

/// One node with a step that waits until it is let go, a temporary change before, a step after.
fn long() -> Cluster {
    cluster_of(
        1,
        r#"drain:
  - run: echo out >> "$effects"
    undo: echo in >> "$effects"
    temporary: node
upgrade:
  - name: long
    run: |
      echo began >> "$effects"
      until test -e "$dir/go" || ! test -d "$dir"; do sleep 0.05; done
      echo ended >> "$effects"
verify:
  - run: echo verify >> "$effects""#,
    )
}

fn release(cluster: &Cluster) {
    fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
}

#[test]
fn ctrl_c_finishes_the_step_undoes_and_stops() {
    let cluster = long();
    let mut terminal = begun(&cluster);
    cluster.await_effect("began");
    terminal.ctrl_c().expect("finishing what runs").expect("once more stops");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(cluster.effects(), ["out", "began"], "the step is not interrupted");
    release(&cluster);
    terminal.expect("next: rollgate -i inventory.yaml start --resume").ends_with(16);
    assert_eq!(cluster.effects(), ["out", "began", "ended", "in"]);
    whole(&terminal);
    let mut terminal = cluster.terminal(["start", "--resume"]);
    terminal.ends_with(0);
    let effects = cluster.effects();
    assert_eq!(effects.iter().filter(|effect| *effect == "began").count(), 1, "{effects:?}");
    assert_eq!(effects.iter().filter(|effect| *effect == "verify").count(), 1, "{effects:?}");
    assert_eq!(effects.last().unwrap(), "in", "{effects:?}");
}

#[test]
fn ctrl_c_twice_stops_at_once() {
    let cluster = long();
    let mut terminal = begun(&cluster);
    cluster.await_effect("began");
    terminal.ctrl_c().expect("finishing what runs");
    let begun = Instant::now();
    terminal.ctrl_c().expect("next: rollgate").ends_with(24);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    release(&cluster);
    whole(&terminal);
    cluster.rollgate(["status", "--offline"]).run().code(0).stdout_has("start --resume");
}

/// Everything that a screen shows, in one run: a gate that opens, questions, output, a failure, the end.
fn colourful() -> Cluster {
    let cluster = cluster_of(
        2,
        r#"drain:
  - gate: isolated and free of every client that could still be connected
    checks:
      - name: queue-of-messages-that-nobody-has-read
        run: cat "$dir/queue"
        value: number
        at_most: 0
        unit: messages
        remedy: look at the consumers and at the log of the processor, a stuck message blocks it
      - name: clients
        run: printf '10.0.0.%s ESTAB a-rather-long-name-of-a-client.example.org:5672\n' 1 2 3
        value: lines
        count_at_most: 3
    every: 100ms
upgrade:
  - name: install
    run: |
      i=0; while test $i -lt 20; do echo "line $i of an installer that is fond of very long lines, as they all are, alas, $dir"; i=$((i+1)); done
      sleep 0.5
      test "$ROLLGATE_NODE" = n1 || exit 9"#,
    );
    for node in ["n1", "n2"] {
        cluster.write(&format!("nodes/{node}/queue"), "5\n");
    }
    cluster
}

fn open_queue(cluster: &Cluster, node: &str) {
    cluster.write(&format!("nodes/{node}/next"), "0\n");
    fs::rename(cluster.node_dir(node).join("next"), cluster.node_dir(node).join("queue")).unwrap();
}

/// Takes a colourful run from the typed name through a gate, its choices, a yes and a failure to its end.
fn play(cluster: &Cluster, mut terminal: Pty, arrows: bool) -> Pty {
    terminal.expect("leave: ").send("test\n");
    terminal.expect("needs <= 0");
    std::thread::sleep(Duration::from_millis(500));
    terminal.ctrl_c().expect("keep waiting").expect("stop here");
    if !arrows {
        terminal.expect("Number, anything else for 1: ");
    }
    terminal.send("\n");
    std::thread::sleep(Duration::from_millis(300));
    open_queue(cluster, "n1");
    terminal.expect("[yes/no] ").send("yes\n").expect("read again");
    terminal.expect("needs <= 0");
    open_queue(cluster, "n2");
    terminal.expect("[yes/no] ").send("yes\n").expect("exit status 9").expect("stop here");
    if !arrows {
        terminal.expect("Number, anything else for ");
    }
    terminal.send("\n").ends_with(20);
    terminal
}

/// Insists that nothing that was ever on the screen was wider. It is drawn again on a screen that is: there
/// shows what would not have fitted.
#[track_caller]
fn fits(raw: &[u8], columns: u16) {
    let size = |count| NonZeroU16::new(count).unwrap();
    let mut wide = vt100::Parser::new(size(200), size(columns + 200), 0);
    for piece in raw.split_inclusive(|byte| *byte == b'\n') {
        wide.process(piece);
        for row in wide.screen().rows(0, columns + 200) {
            let row = row.trim_end();
            // What a node prints is shown whole; the terminal breaks it, and so it can be copied.
            if row.starts_with("n1 | ") || row.starts_with("n2 | ") {
                continue;
            }
            assert!(row.chars().count() <= usize::from(columns), "wider than {columns}: {row:?}");
        }
    }
}

#[test]
fn nothing_is_wider_than_the_terminal() {
    for columns in [40, 80, 100, 200] {
        let cluster = colourful();
        let size = Size { rows: 40, columns };
        let terminal = play(&cluster, Pty::start(cluster.rollgate(["start"]), size), true);
        fits(&terminal.raw(), columns);
        whole(&terminal);
        for words in [
            &["status"][..],
            &["status", "--offline"],
            &["status", "--from-nodes"],
            &["start"],
            &["start", "--dry-run"],
            &["check"],
            &["stage"],
            &["unstage", "--no-input"],
            &["rollback", "--no-input"],
            &["start", "-l", "nobody"],
            &["start", "--adopt", "2026-11-21.1"],
            &["strat"],
        ] {
            let mut terminal = Pty::start(cluster.rollgate(words), size);
            terminal.ends();
            fits(&terminal.raw(), columns);
            whole(&terminal);
        }
    }
}

#[test]
fn without_colour_there_is_no_colour_at_all() {
    let sgr = regex::bytes::Regex::new(r"(?-u)\x1b\[[0-9;:]*m").unwrap();
    for (name, value, coloured) in [("NO_COLOR", "1", false), ("NO_COLOR", "", true)] {
        let cluster = colourful();
        let invocation = cluster.rollgate(["start"]).env(name, value);
        let terminal = play(&cluster, Pty::start(invocation, Size::default()), true);
        let raw = terminal.raw();
        assert_eq!(sgr.is_match(&raw), coloured, "{name}={value}: {:?}", String::from_utf8_lossy(&raw));
        for words in
            [&["status"][..], &["start", "--dry-run"], &["--help"], &["strat"], &["start", "-l", "m"]]
        {
            let mut terminal = Pty::start(cluster.rollgate(words).env(name, value), Size::default());
            terminal.ends();
            if !coloured {
                let raw = terminal.raw();
                assert!(!sgr.is_match(&raw), "{words:?}: {:?}", String::from_utf8_lossy(&raw));
            }
        }
    }
}

#[test]
fn a_dumb_terminal_gets_lines_and_is_asked_all_the_same() {
    let cluster = colourful();
    let invocation = cluster.rollgate(["start"]).env("TERM", "dumb");
    let terminal = play(&cluster, Pty::start(invocation, Size::default()), false);
    let raw = terminal.raw();
    assert!(!raw.contains(&0x1b), "{:?}", String::from_utf8_lossy(&raw));
}

#[test]
fn plain_output_at_a_terminal_is_lines_and_still_asks() {
    let cluster = colourful();
    let invocation = cluster.rollgate(["start", "-o", "plain"]);
    let terminal = play(&cluster, Pty::start(invocation, Size::default()), false);
    let raw = terminal.raw();
    assert!(!raw.contains(&0x1b) && raw.is_ascii(), "{:?}", String::from_utf8_lossy(&raw));
}

#[test]
fn a_terminal_may_change_its_size_in_the_middle() {
    let cluster = colourful();
    let mut terminal = Pty::start(cluster.rollgate(["start"]), Size { rows: 40, columns: 120 });
    terminal.expect("to begin, anything else to leave: ").send("test\n").expect("needs <= 0");
    let from = terminal.raw().len();
    terminal.resize(Size { rows: 20, columns: 60 });
    // What is drawn in this moment may still have the old width.
    std::thread::sleep(Duration::from_millis(400));
    let settled = terminal.raw().len();
    assert!(settled > from, "the gate goes on being drawn");
    open_queue(&cluster, "n1");
    terminal.expect("[yes/no] ").send("no\n").expect("next: rollgate").ends_with(11);
    let raw = terminal.raw();
    fits(&raw[settled..], 60);
    whole(&terminal);
}

#[test]
fn the_cursor_is_there_on_every_way_out() {
    for way in ["no", "ctrl-c", "ctrl-d", "menu", "menu ctrl-c", "menu escape", "closed"] {
        let cluster = colourful();
        let flags = if way == "closed" { &["--gate-timeout", "1s"][..] } else { &[] };
        let mut terminal = cluster.terminal([&["start", "--confirm", "test"], flags].concat());
        terminal.expect("needs <= 0");
        let code = match way {
            "closed" => 10,
            "menu" | "menu ctrl-c" | "menu escape" => {
                terminal.ctrl_c().expect("keep waiting").expect("stop here");
                match way {
                    "menu" => choose(&mut terminal, 3),
                    "menu ctrl-c" => drop(terminal.ctrl_c()),
                    _ => {
                        terminal.send("\x1b").expect("waiting on");
                        terminal.ctrl_c().expect("stop here");
                        choose(&mut terminal, 3);
                    }
                }
                16
            }
            _ => {
                open_queue(&cluster, "n1");
                terminal.expect("[yes/no] ");
                match way {
                    "no" => drop(terminal.send("no\n")),
                    "ctrl-c" => drop(terminal.ctrl_c()),
                    _ => drop(terminal.ctrl_d()),
                }
                if way == "ctrl-c" { 16 } else { 11 }
            }
        };
        terminal.expect("next: rollgate").ends_with(code);
        whole(&terminal);
    }
}

#[test]
fn watching_shows_the_cursor_when_it_ends() {
    let cluster = long();
    let mut run = begun(&cluster);
    cluster.await_effect("began");
    let mut watch = cluster.terminal(["status", "--watch", "1"]);
    watch.expect("n1").expect("n1").ctrl_c().ends();
    whole(&watch);
    let mut watch = cluster.terminal(["status", "--watch", "1"]);
    watch.expect("n1");
    release(&cluster);
    run.ends_with(0);
    watch.ends_with(0);
    whole(&watch);
}

#[test]
fn an_interactive_step_has_the_terminal_and_gives_it_back() {
    for node in ["local", "ssh"] {
        let sections = r#"upgrade:
  - name: wizard
    interactive: true
    run: |
      printf 'Licence key? '
      read -r key
      stty -echo; printf 'Password? '; read -r password; stty echo; echo
      echo "key $key, password $password" >> "$effects"
  - gate: pleased"#;
        let procedure = format!(
            "procedure: terminal\nphases:\n  - name: service\n    nodes: 'n*'\n    {}\n",
            sections.replace('\n', "\n    ")
        );
        let builder = if node == "ssh" { Cluster::new().nodes(1) } else { Cluster::new().local(1) };
        let cluster = builder.procedure(&procedure).build();
        let mut terminal = begun(&cluster);
        terminal.expect("Licence key? ").send("42-yes\n").expect("Password? ").send("geheim\n");
        terminal.expect("[yes/no] ").send("yes\n").ends_with(0);
        assert_eq!(cluster.effects(), ["key 42-yes, password geheim"], "{node}");
        assert!(!terminal.screen().contains("geheim"), "{}", terminal.screen());
        whole(&terminal);
    }
}

#[test]
fn an_interactive_step_without_a_terminal_is_not_begun() {
    let cluster = cluster_of(1, "upgrade:\n  - interactive: true\n    run: echo done >> \"$effects\"");
    let output = cluster.rollgate(["start", "--yes", "--confirm", "test"]).run();
    output.stderr_has("next: rollgate").lacks("panicked");
    assert_eq!(cluster.effects(), [""; 0]);
}

/// What a hostile node says, as shell and as what must not come through.
const MISCHIEF: [(&str, &[u8]); 6] = [
    (r"\033]52;c;aGFjaw==\007", b"\x1b]52"),
    (r"\033]0;owned\007", b"\x1b]0;"),
    (r"\033[2J\033[H", b"\x1b[2J"),
    (r"fine\rFAKE", b"fine\rFAKE"),
    (r"\342\200\256desrever", "\u{202e}".as_bytes()),
    (r"\302\2332J", "\u{9b}".as_bytes()),
];

#[test]
fn what_a_node_says_reaches_the_terminal_as_text() {
    let all: String = MISCHIEF.iter().map(|(shell, _)| *shell).collect();
    let said = format!("printf '{all}\\n'");
    let yaml = format!("'{}'", said.replace('\'', "''"));
    let sections = format!(
        r"drain:
  - gate: isolated
    checks:
      - name: clients
        run: {yaml}
        value: lines
        count_at_most: 0
        evidence: {yaml}
        remedy: see the log
    every: 100ms
upgrade:
  - name: install
    run: |
      {said}
      {said} >&2
      exit 3
rollback:
  - run: 'true'"
    );
    let cluster = cluster_of(1, &sections);
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(&format!("version: {{ run: {yaml} }}\n{procedure}"));
    let mut terminal = begun(&cluster);
    terminal.expect("desrever");
    std::thread::sleep(Duration::from_millis(500));
    terminal.ctrl_c().expect("stop here");
    choose(&mut terminal, 2);
    terminal.expect("Type n1 to open").send("n1\n").expect("Reason").send("a test\n");
    terminal.expect("exit status 3").expect("stop here").send("\n").ends_with(20);
    let mut screens = vec![terminal.raw()];
    for words in [&["status"][..], &["start", "--dry-run"], &["check"], &["rollback"]] {
        let mut terminal = cluster.terminal(words);
        if words == ["rollback"] {
            terminal.expect("anything else to leave: ").send("\n");
        }
        terminal.ends();
        screens.push(terminal.raw());
    }
    for raw in screens {
        for (shell, bytes) in MISCHIEF {
            let found = raw.windows(bytes.len()).any(|window| window == bytes);
            assert!(!found, "{shell} came through: {:?}", String::from_utf8_lossy(&raw));
        }
    }
}
