//! What a login asks for, at a terminal and without one, over real sshd processes. Passwords need accounts, which only
//! hosts of the lab have.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::{Cluster, Invocation, PATIENCE, Pty, Size};

/// What may be seen nowhere. Tests run side by side, and making the key shows it.
fn passphrase() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("hunter22-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

const QUESTION: &str = "Enter passphrase for key";

/// A cluster whose one key has a passphrase.
fn locked(nodes: usize, run: &str) -> (Cluster, String) {
    let procedure = format!(
        "procedure: login\nphases:\n  - name: service\n    nodes: 'n*'\n    upgrade:\n      - name: work\n        {run}\n"
    );
    let cluster = Cluster::new().nodes(nodes).procedure(&procedure).build();
    let passphrase = passphrase();
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", &passphrase, "-f"])
        .arg(&cluster.keys().identity)
        .status()
        .unwrap();
    assert!(locked.success());
    (cluster, passphrase)
}

const WORK: &str = r#"run: echo "$ROLLGATE_NODE" >> "$effects""#;

fn times(terminal: &Pty, text: &str) -> usize {
    terminal.lines().iter().filter(|line| line.contains(text)).count()
}

/// Looks at every process until it is dropped.
struct Watcher {
    is_over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<(Vec<String>, usize)>>,
}

impl Watcher {
    fn start(passphrase: &str) -> Self {
        let passphrase = passphrase.to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let (mut found, mut askpasses) = (Vec::new(), 0);
            while !until.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    for file in ["cmdline", "environ"] {
                        // It may have ended meanwhile.
                        let Ok(bytes) = fs::read(entry.path().join(file)) else { continue };
                        let text = String::from_utf8_lossy(&bytes);
                        askpasses += usize::from(text.contains("ROLLGATE_ASKPASS="));
                        if text.contains(&passphrase) {
                            found.push(format!("{}: {text}", entry.path().join(file).display()));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (found, askpasses)
        });
        Self { is_over, thread: Some(thread) }
    }

    /// Where the passphrase was seen, and how often a process that could ask for it was.
    fn end(mut self) -> (Vec<String>, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn a_passphrase_is_asked_once_for_all_nodes_and_seen_nowhere() {
    let (cluster, passphrase) = locked(2, WORK);
    let watcher = Watcher::start(&passphrase);
    let mut terminal = cluster.terminal(["start", "--confirm", "test"]);
    terminal.expect("it is asked once for all nodes").expect(QUESTION).expect("(Enter alone: none): ");
    terminal.send(&format!("{passphrase}\n")).ends_with(0);
    let (found, askpasses) = watcher.end();
    assert_eq!(found, [""; 0]);
    assert!(askpasses > 0, "no askpass was ever seen, so nothing was looked at");
    // Two nodes, each logged in to for the plan and for the run.
    assert_eq!(times(&terminal, QUESTION), 1, "{:#?}", terminal.lines());
    assert!(!String::from_utf8_lossy(&terminal.raw()).contains(&passphrase));
    assert_eq!(cluster.effects(), ["n1", "n2"]);
    for file in files_below(cluster.root()) {
        let text = fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(&passphrase), "{}", file.display());
    }
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(files_below(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}

#[test]
fn a_wrong_passphrase_is_asked_for_again_and_enter_is_no_answer() {
    let (cluster, passphrase) = locked(1, WORK);
    let mut terminal = cluster.terminal(["check"]);
    terminal
        .expect(QUESTION)
        .expect("none): ")
        .send("wrong\n")
        .expect("That was not right.")
        .expect("none): ");
    terminal.send(&format!("{passphrase}\n")).ends_with(0);
    let mut terminal = cluster.terminal(["check"]);
    terminal.expect(QUESTION).expect("none): ").send("\n");
    terminal.expect("Permission denied (publickey)").expect("the passphrase was not given").ends_with(13);
    assert_eq!(times(&terminal, QUESTION), 1);
}

#[test]
fn ctrl_c_at_a_question_ends_it_like_any_other_and_leaves_the_terminal_as_it_was() {
    let (cluster, _) = locked(2, WORK);
    let mut terminal = looked_at_afterwards(&cluster);
    terminal.expect(QUESTION).expect("none): ").ctrl_c().expect("ended with 13");
    is_as_it_was(&mut terminal);
    assert_eq!(times(&terminal, QUESTION), 1, "one Ctrl-C is for all questions");
}

#[test]
fn ctrl_c_at_a_question_for_a_secret_ends_all_and_leaves_the_terminal_as_it_was() {
    let (cluster, _) = locked(1, WORK);
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &format!("secrets: {{ first: {{ prompt: First }} }}\n{inventory}"));
    let mut terminal = looked_at_afterwards(&cluster);
    terminal.expect("First: ").ctrl_c().expect("ended with 130");
    is_as_it_was(&mut terminal);
    assert_eq!(times(&terminal, QUESTION), 0);
}

/// `check` in a shell that looks at its terminal afterwards.
fn looked_at_afterwards(cluster: &Cluster) -> Pty {
    let inner = cluster.rollgate(["check"]).into_parts().0;
    let program = inner.get_program().to_owned();
    let line: Vec<String> = inner.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let script = format!("{} {}; echo \"ended with $?\"; stty -a", program.display(), line.join(" "));
    let shell = Invocation::new("sh", cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .args(["-c", &script]);
    Pty::start(shell, Size::default())
}

fn is_as_it_was(terminal: &mut Pty) {
    terminal.expect("-flusho").ends_with(0);
    let screen = terminal.screen();
    let settings: Vec<&str> = screen.split_whitespace().collect();
    for setting in ["isig", "echo", "icanon"] {
        assert!(settings.contains(&setting), "{setting}: {screen}");
    }
}

#[test]
fn without_a_terminal_nobody_is_asked_and_the_words_say_what_to_do() {
    let (cluster, _) = locked(1, WORK);
    cluster
        .rollgate(["check"])
        .run()
        .code(13)
        .lacks(QUESTION)
        .stdout_has("Permission denied (publickey)")
        .stdout_has("id_ed25519 (has a passphrase)")
        .stdout_has("nobody can be asked for the passphrase here");
    for flags in [["check", "--no-input"], ["check", "-ojson"]] {
        let mut terminal = cluster.terminal(flags);
        terminal.ends_with(13);
        assert_eq!(times(&terminal, QUESTION), 0, "{:#?}", terminal.lines());
    }
}

#[test]
fn an_agent_that_is_gone_is_said_to_be() {
    let (cluster, _) = locked(1, WORK);
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    let without_key: String = inventory
        .lines()
        .filter(|line| !line.contains("identity_file"))
        .map(|line| format!("{line}\n"))
        .collect();
    cluster.write("inventory.yaml", &without_key);
    let gone = cluster.path("agent.gone");
    cluster
        .rollgate(["check"])
        .env("SSH_AUTH_SOCK", &gone)
        .run()
        .code(13)
        .stdout_has("the agent is gone: SSH_AUTH_SOCK is ROOT");
    cluster.rollgate(["check"]).run().code(13).stdout_has("there is no agent (SSH_AUTH_SOCK is not set");
}

#[test]
fn a_connection_that_is_made_anew_in_a_run_asks_nobody() {
    let (cluster, passphrase) = locked(
        1,
        "run: |\n          echo began >> \"$effects\"\n          while ! test -e \"$dir/go\"; do sleep 0.05; \
         done\n          echo ended >> \"$effects\"",
    );
    let mut terminal = cluster.terminal(["start", "--confirm", "test"]);
    terminal.expect(QUESTION).expect("none): ").send(&format!("{passphrase}\n"));
    cluster.await_effect("began");
    let port = cluster.sshd("n1").port().to_string();
    let masters = || masters(&port);
    let first = masters();
    assert_eq!(first.len(), 1);
    kill_process(Pid::from_raw(first[0]).unwrap(), Signal::KILL).unwrap();
    terminal.expect("contact is being made again");
    let deadline = Instant::now() + PATIENCE;
    while masters().is_empty() || masters() == first {
        assert!(Instant::now() < deadline, "there is no new connection:\n{}", terminal.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::write(cluster.node_dir("n1").join("go"), "").unwrap();
    terminal.ends_with(0);
    assert_eq!(cluster.effects(), ["began", "ended"]);
    assert_eq!(times(&terminal, QUESTION), 1);
}

/// The masters that lead to a port.
fn masters(port: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        let has = |word: &str| words.contains(&word.as_bytes());
        if words.first() == Some(&b"ssh".as_slice()) && has("-M") && has(port) {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_run_asks_in_its_own_screen_and_ctrl_c_there_stops_it() {
    let (cluster, _) = locked(1, WORK);
    cluster.set_procedure(
        "procedure: login\nphases:\n  - name: service\n    nodes: 'n*'\n    upgrade:\n      - name: work\n        \
         run: echo work >> \"$effects\"\n",
    );
    // The plan is not shown to somebody who goes on with it, so the run itself logs in first.
    let mut terminal = cluster.terminal(["stage"]);
    terminal.expect(QUESTION).expect("none): ").ctrl_c();
    let status = terminal.ends();
    assert!(!status.success(), "{}", terminal.screen());
    assert!(cluster.effects().is_empty());
}

#[test]
fn a_step_at_the_terminal_logs_in_with_what_is_known() {
    let (cluster, passphrase) = locked(
        1,
        "interactive: true\n        run: read -r word; echo \"$word\" >> \"$effects\"; echo got it",
    );
    let mut terminal = cluster.terminal(["start", "--confirm", "test"]);
    terminal.expect(QUESTION).expect("none): ").send(&format!("{passphrase}\n"));
    // What is typed before the step reads would be its own.
    terminal.expect("work").send("hello\n").expect("got it").ends_with(0);
    assert_eq!(cluster.effects(), ["hello"]);
    assert_eq!(times(&terminal, QUESTION), 1);
}

#[test]
fn a_program_that_was_replaced_meanwhile_still_answers() {
    let (cluster, passphrase) = locked(1, WORK);
    let own = cluster.path("own-rollgate");
    fs::copy(env!("CARGO_BIN_EXE_rollgate"), &own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &format!("secrets: {{ first: {{ prompt: First }} }}\n{inventory}"));
    let invocation = Invocation::new(&own, cluster.root())
        .env("ROLLGATE_STATE_DIR", cluster.path("state"))
        .env("XDG_RUNTIME_DIR", cluster.path("run"))
        .args(["-i", "inventory.yaml", "check"]);
    let mut terminal = Pty::start(invocation, Size::default());
    terminal.expect("First: ");
    // As a package manager does it.
    let new = cluster.path("new");
    fs::write(&new, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &own).unwrap();
    terminal.send("x\n").expect(QUESTION).expect("none): ").send(&format!("{passphrase}\n")).ends_with(0);
}

#[test]
fn who_plays_askpass_for_nobody_says_nothing() {
    let out = Command::new(env!("CARGO_BIN_EXE_rollgate"))
        .arg("check")
        .env("ROLLGATE_ASKPASS", "/nowhere/at/all")
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
}
