//! A recorded session: the demo's procedure played at a terminal, with a verify that fails once, as the text of
//! its screens. `session.txt` shows a reader what an operator sees, and a reviewer what a change does to it.
//!
//! `ROLLGATE_BLESS=1 cargo test session::` writes it anew. Whoever changes a screen reads it aloud once.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;

use super::docs::hold;
use super::support::{Cluster, NodeSpec, PATIENCE, Pty, Size};

const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
const SIZE: Size = Size { rows: 40, columns: 100 };
const DOWN: &str = "\x1b[B";

/// A screen on which nothing moves for so long is not being drawn.
const SETTLED: Duration = Duration::from_millis(150);

/// Stands for the demo's service, and says what the test wants it to say.
const SVC: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit
case $1 in
    healthz) if test -e drained; then echo drained; exit 1; else echo serving; fi ;;
    depth) wc -l <queue ;;
    queue | clients | version) cat "$1" ;;
    drain) : >drained ;;
    undrain) rm -f drained ;;
    stop) echo "stopped with $(wc -l <clients) clients and $(wc -l <queue) messages" ;;
    start)
        while test -e slow; do sleep 0.05; done
        test -e stuck || readlink current | cut -d- -f2 >version
        ;;
esac
"#;

/// What differs from machine to machine and from run to run, and what stands for it.
static VARIES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    [
        (r"^\d\d:\d\d ", "12:00 "),
        (r"started \d\d:\d\d by", "started 12:00 by"),
        (r"done   \d\d:\d\d  ", "done   12:00  "),
        (r"tester(@| on )[\w.-]+", "tester${1}workstation"),
        (r"\d{4}-\d\d-\d\d\.\d+", "2026-11-21.1"),
        (r"\d{4}-\d\d-\d\dT\S+", "2026-11-21T12:00:00+00:00"),
        (r"/\S*/rg-\w+/", "/home/tester/demo/"),
        (r"waiting \S+ of", "waiting #s of"),
        (r"open after \S+", "open after #s"),
        (r"read (?:just now|\d+ s ago)", "read just now"),
        (r"unchanged for \S+", "unchanged for #s"),
        (r"falling [\d ]+/min", "falling #/min"),
        (r"\d+s of (\d+[ms])", "#s of $1"),
        (r"(\]  \d of 3   service)   .*", "$1   # s"),
        (r"(3 of 3 nodes,|3 of 3 nodes done \|) \d+ s.*", "$1 # s"),
        // On a slow machine a step takes a second here and there, and what took none is not said.
        (r" in \d+s(:|$)", "$1"),
        (r"(node-\d  done)  .*?(  verify .wait.*|$)", "$1  gate #s ...$2"),
        (r"(done   12:00)  .*", "$1  gate #s ..."),
    ]
    .map(|(pattern, shown)| (Regex::new(pattern).unwrap(), shown))
    .into()
});

/// The last line of a step's output, with its age.
static LAST_WORDS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^ +(just now|\d+ s ago) \| ").unwrap());

/// What stands at the right edge, and moves with what was replaced.
static AT_EDGE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.*\S) {2,}(waiting #s .*|open after #s|/home/tester/demo/\S+)$").unwrap()
});

/// A line as it is on every machine and every time.
fn steady(line: &str) -> String {
    let mut line = line.trim_end().to_owned();
    for (pattern, shown) in &*VARIES {
        line = pattern.replace_all(&line, *shown).into_owned();
    }
    // How often a value was read is chance; in which order it took its values is not.
    let mut sparks: Vec<char> = line.chars().collect();
    sparks.dedup_by(|one, other| one == other && ('▁'..='█').contains(one));
    line = sparks.into_iter().collect();
    if let Some(parts) = AT_EDGE.captures(&line) {
        let room = usize::from(SIZE.columns) - parts[1].chars().count();
        line = format!("{}{:>room$}", &parts[1], &parts[2]);
    }
    line
}

/// The lines of a terminal, down to the last that is not empty.
fn steady_lines(terminal: &Pty) -> Vec<String> {
    // The last words of a step stand in the block when it takes long, as on a slow machine.
    let shown = terminal.lines();
    let lines = shown.iter().filter(|line| !LAST_WORDS.is_match(line)).map(|line| steady(line));
    let lines: Vec<String> = lines.collect();
    let filled = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    lines[..filled].to_vec()
}

/// The session so far.
#[derive(Debug, Default)]
struct Session {
    text: String,
    /// What was on the terminal at the moment before.
    shown: Vec<String>,
}

impl Session {
    fn title(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        writeln!(self.text, "{gap}{:=<100}\n", format!("== {title} ")).unwrap();
    }

    /// Types a command at a new terminal.
    fn types(&mut self, cluster: &Cluster, args: &[&str]) -> Pty {
        self.shown.clear();
        writeln!(self.text, "$ rollgate -i inventory.yaml {}", args.join(" ")).unwrap();
        Pty::start(cluster.rollgate(args), SIZE)
    }

    /// A command that asks nothing, with all that it says.
    fn shows(&mut self, cluster: &Cluster, title: &str, args: &[&str]) {
        self.title(title);
        let mut terminal = self.types(cluster, args);
        terminal.ends_with(0);
        self.add(steady_lines(&terminal));
    }

    /// Waits until these texts stand on the screen and nothing moves there, and adds what is new on it.
    #[track_caller]
    fn moment(&mut self, terminal: &Pty, texts: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        let mut before = Vec::new();
        loop {
            let lines = steady_lines(terminal);
            let screen = &lines[lines.len().saturating_sub(SIZE.rows.into())..];
            if texts.iter().all(|text| screen.iter().any(|line| line.contains(text))) && lines == before {
                return self.add(lines);
            }
            assert!(Instant::now() < deadline, "not on the screen: {texts:?}\n{}", terminal.screen());
            before = lines;
            std::thread::sleep(SETTLED);
        }
    }

    fn add(&mut self, lines: Vec<String>) {
        let known = lines.iter().zip(&self.shown).take_while(|(now, before)| now == before).count();
        for line in &lines[known..] {
            writeln!(self.text, "{line}").unwrap();
        }
        self.shown = lines;
    }
}

fn demo(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo").join(path)).unwrap()
}

/// Writes a node's file in one go, for it may be read at any moment.
fn put(cluster: &Cluster, node: &str, name: &str, text: &str) {
    cluster.write("draft", text);
    fs::rename(cluster.path("draft"), cluster.node_dir(node).join(name)).unwrap();
}

/// The demo's three nodes; the first one has work to do yet, and its new version will need a hand.
fn cluster() -> Cluster {
    let procedure = demo("procedure.yaml").replace("$app", "$dir").replace("timeout: 30s", "timeout: 2s");
    let nodes = NODES.into_iter().fold(Cluster::new(), |nodes, node| nodes.node(NodeSpec::ssh(node)));
    let cluster = nodes.inventory("vars:\n  target: \"2\"\n").procedure(&procedure).build();
    cluster.write("service-2", &demo("service-2"));
    for node in NODES {
        let dir = cluster.node_dir(node);
        fs::create_dir(dir.join("releases")).unwrap();
        symlink("releases/service-1", dir.join("current")).unwrap();
        for (name, text) in [("svc", SVC), ("version", "1\n"), ("queue", ""), ("clients", "")] {
            put(&cluster, node, name, text);
        }
        fs::set_permissions(dir.join("svc"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (name, text) in
        [("queue", &*queue(28)), ("clients", "10.0.0.9:43446 viewer-7 15s\n"), ("slow", ""), ("stuck", "")]
    {
        put(&cluster, "node-1", name, text);
    }
    cluster
}

fn queue(messages: usize) -> String {
    (484..484 + messages).map(|number| format!("message {number} has waited 3.0 s\n")).collect()
}

/// From the typed name to a verify that fails and is tried again, until the second node asks.
fn first_node(session: &mut Session, cluster: &Cluster, terminal: &mut Pty) {
    session.moment(terminal, &["Type the cluster's name to begin"]);
    terminal.send("test\n").expect("queue-empty   28  needs <= 0");

    session.title("A gate waits: for the queue to run empty, and for a client to leave");
    put(cluster, "node-1", "queue", &queue(12));
    session.moment(terminal, &["queue-empty   12  needs <= 0", "falling #/min", "Ctrl-C for choices"]);

    session.title("It is open, and asks");
    put(cluster, "node-1", "clients", "");
    put(cluster, "node-1", "queue", "");
    session.moment(terminal, &["Go on with node-1? [yes/no]"]);

    session.title("After the yes it is read again; then the node is upgraded");
    terminal.send("yes\n");
    session.moment(terminal, &["node-1 | stopped with 0", "node-1  upgrade \"install\"  #s of 1m"]);
    // What takes less than a second is not counted in the summary.
    std::thread::sleep(Duration::from_millis(1100));
    fs::remove_file(cluster.node_dir("node-1").join("slow")).unwrap();

    session.title("Its verify fails, and what to do is up to the operator");
    session.moment(terminal, &["> stop here"]);

    session.title("He helps the service on in another terminal, and chooses to try it again");
    put(cluster, "node-1", "version", "2\n");
    terminal.send(DOWN);
    session.moment(terminal, &["> try it again"]);
    terminal.send("\n");
    session.moment(terminal, &["Go on with node-2? [yes/no]"]);
}

/// Of the report what does not depend on how fast the machine is.
fn what_was_answered(session: &mut Session, cluster: &Cluster) {
    session.title("The report for the ticket; of it, who answered what, and what failed");
    let mut terminal = session.types(cluster, &["report"]);
    terminal.ends_with(0);
    let lines = steady_lines(&terminal);
    let at =
        |title: &str| lines.iter().position(|line| line == title).unwrap_or_else(|| panic!("no {title}"));
    session.add(lines[at("ANSWERS, OVERRIDES AND FAILURES")..at("NODES") - 1].to_vec());
}

#[test]
fn a_session_looks_as_it_is_recorded() {
    let cluster = cluster();
    let mut session = Session::default();
    session.shows(&cluster, "The new version is copied to every node", &["stage", "--parallel", "1"]);
    session.title("The plan, and the name that is typed to begin");
    let mut terminal = session.types(&cluster, &["start"]);
    first_node(&mut session, &cluster, &mut terminal);
    session.title("The other nodes, and the summary");
    terminal.send("yes\n").expect("Go on with node-3? [yes/no] ").send("yes\n").ends_with(0);
    session.add(steady_lines(&terminal));
    session.shows(&cluster, "What runs where", &["status"]);
    what_was_answered(&mut session, &cluster);
    hold("tests/it/session.txt", &session.text);
}
