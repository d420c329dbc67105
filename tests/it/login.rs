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

/// A procedure of one step.
fn procedure(run: &str) -> String {
    format!(
        "procedure: login\nphases:\n  - name: service\n    nodes: 'n*'\n    upgrade:\n      - name: work\n        {run}\n"
    )
}

/// A cluster whose one key has a passphrase.
fn locked(nodes: usize, run: &str) -> (Cluster, String) {
    let cluster = Cluster::new().nodes(nodes).procedure(&procedure(run)).build();
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
    // Whoever runs the tests in the background has them ignore it.
    let script = format!(
        "env --default-signal=INT {} {}; echo \"ended with $?\"; stty -a",
        program.display(),
        line.join(" ")
    );
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
    set_ssh(&cluster, "identity_file", None);
    let gone = cluster.path("agent.gone");
    cluster
        .rollgate(["check"])
        .env("SSH_AUTH_SOCK", &gone)
        .run()
        .code(13)
        .stdout_has("the agent is gone: SSH_AUTH_SOCK is ROOT");
    cluster.rollgate(["check"]).run().code(13).stdout_has("there is no agent (SSH_AUTH_SOCK is not set");
}

/// An agent of the test's own, ended with the value.
struct Agent {
    process: std::process::Child,
    socket: std::path::PathBuf,
}

impl Agent {
    fn start(cluster: &Cluster) -> Self {
        let socket = cluster.path("agent");
        let process = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { process, socket };
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&agent.socket).is_err() {
            assert!(Instant::now() < deadline, "there is no agent");
            std::thread::sleep(Duration::from_millis(10));
        }
        agent
    }

    fn add(&self, words: &[&std::ffi::OsStr]) {
        let done = Command::new("ssh-add")
            .arg("-q")
            .args(words)
            .env("SSH_AUTH_SOCK", &self.socket)
            .status()
            .unwrap();
        assert!(done.success(), "{words:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes a key of `ssh:` out of the inventory, or sets it.
fn set_ssh(cluster: &Cluster, key: &str, value: Option<&Path>) {
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    let mut lines: Vec<String> =
        inventory.lines().filter(|line| !line.starts_with(&format!("  {key}:"))).map(str::to_owned).collect();
    let section = lines.iter().position(|line| line == "ssh:").unwrap();
    if let Some(value) = value {
        lines.insert(section + 1, format!("  {key}: {}", value.display()));
    }
    cluster.write("inventory.yaml", &format!("{}\n", lines.join("\n")));
}

#[test]
fn an_agent_lets_in_for_as_long_as_it_has_the_key() {
    let cluster = Cluster::new().nodes(1).procedure(&procedure(WORK)).build();
    set_ssh(&cluster, "identity_file", None);
    let agent = Agent::start(&cluster);
    let check = || cluster.rollgate(["check"]).env("SSH_AUTH_SOCK", &agent.socket).run();
    check().code(13).stdout_has("tried: ").stdout_has("the agent has no key");
    agent.add(&[cluster.keys().identity.as_os_str()]);
    check().code(0);
    let run = cluster.start(&[]).env("SSH_AUTH_SOCK", &agent.socket).run();
    run.code(0);
    assert_eq!(cluster.effects(), ["n1"]);
    agent.add(&["-D".as_ref()]);
    check().code(13).stdout_has("the agent has no key");
}

/// What an operator's `ssh_config` wishes for a login of their own is not for rollgate's.
#[test]
fn nothing_is_forwarded_and_nothing_runs_here_whatever_the_ssh_config_wishes() {
    const LOOK: &str = "echo \"agent ${SSH_AUTH_SOCK:-none} $(cd \"$dir/../..\" && ls -d forwarded.* canary.* \
                        2>/dev/null || :)\" >> \"$effects\"";
    let run = format!("run: '{LOOK}'\n      - name: typed\n        interactive: true\n        run: '{LOOK}'");
    let cluster = Cluster::new().nodes(1).procedure(&procedure(&run)).build();
    let at = cluster.root().display();
    let config = cluster.path("ssh_config");
    // LocalCommand comes when the login has succeeded, and each login has a file of its own.
    cluster.write(
        "ssh_config",
        &format!(
            "ForwardAgent yes\nForwardX11 yes\nExitOnForwardFailure no\nStreamLocalBindUnlink yes\n\
             RemoteForward {at}/forwarded.there 127.0.0.1:9\nLocalForward {at}/forwarded.here 127.0.0.1:9\n\
             PermitLocalCommand yes\nLocalCommand touch {at}/canary.login\n"
        ),
    );
    set_ssh(&cluster, "config_file", Some(&config));
    let agent = Agent::start(&cluster);
    agent.add(&[cluster.keys().identity.as_os_str()]);
    let made = || {
        let names = fs::read_dir(cluster.root()).unwrap().flatten().map(|entry| entry.file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        let mut names: Vec<_> =
            names.filter(|name| name.starts_with("forwarded.") || name.starts_with("canary.")).collect();
        names.sort();
        names
    };

    // ssh itself does all of it.
    let mut by_hand = Command::new("ssh");
    by_hand.arg("-F").arg(&config).arg("-i").arg(&cluster.keys().identity);
    by_hand.arg("-o").arg(format!("UserKnownHostsFile={}", cluster.keys().known_hosts.display()));
    by_hand.args(["-p", &cluster.sshd("n1").port().to_string(), "127.0.0.1"]);
    by_hand.arg(format!("printf %s \"${{SSH_AUTH_SOCK:-none}}\"; ls -d {at}/forwarded.*"));
    let by_hand = by_hand.env("SSH_AUTH_SOCK", &agent.socket).output().unwrap();
    let said = String::from_utf8_lossy(&by_hand.stdout).into_owned();
    assert!(!said.starts_with("none") && said.contains("/forwarded.there"), "{by_hand:?}");
    assert_eq!(made(), ["canary.login", "forwarded.here", "forwarded.there"]);
    for name in made() {
        fs::remove_file(cluster.path(&name)).unwrap();
    }

    let start = cluster.rollgate(["start", "--confirm", "test"]).env("SSH_AUTH_SOCK", &agent.socket);
    Pty::start(start, Size::default()).ends_with(0);
    assert_eq!(cluster.effects(), ["agent none ", "agent none "]);
    assert_eq!(made(), [""; 0]);
}

#[test]
fn a_host_key_that_is_not_the_known_one_is_refused_with_the_line_to_type() {
    let cluster = Cluster::new().nodes(2).procedure(&procedure(WORK)).build();
    let file = &cluster.keys().known_hosts;
    let known = fs::read_to_string(file).unwrap();
    let before = cluster.nodes_tree();
    let ports = ["n1", "n2"].map(|node| (node, cluster.sshd(node).port()));
    let check = |says: &dyn Fn(&str, u16) -> Vec<String>| {
        let checked = cluster.rollgate(["check"]).run();
        checked
            .code(13)
            .stderr("next: rollgate -i inventory.yaml check  # look again, once that is put right\n");
        for line in ports.iter().flat_map(|(node, port)| says(node, *port)) {
            assert!(checked.raw_stdout().contains(&line), "{line:?} is missing in\n{}", checked.raw_stdout());
        }
        let start = cluster.start(&[]).run();
        start
            .code(13)
            .stderr_has("nothing was done (exit 13)")
            .stderr_has("next: rollgate -i inventory.yaml check");
    };

    fs::write(file, "").unwrap();
    check(&|node, port| {
        let scan = format!("ssh-keyscan -p {port} 127.0.0.1");
        vec![
            format!(
                "[!!] {node}  cannot log in to {node} (127.0.0.1 port {port}): No ED25519 host key is known for \
                 [127.0.0.1]:{port} and you have requested strict checking\n"
            ),
            format!(
                "Compare its fingerprint with the one on the node's console, then keep it: {scan} >> {}; \
                 try: {scan} | ssh-keygen -lf -\n",
                file.display()
            ),
        ]
    });
    assert_eq!(fs::read_to_string(file).unwrap(), "", "none is kept");

    // Each port is said to have the other's key.
    let keys: Vec<(&str, &str)> = known.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let swapped = format!("{} {}\n{} {}\n", keys[0].0, keys[1].1, keys[1].0, keys[0].1);
    fs::write(file, &swapped).unwrap();
    let print = |node: &str| {
        let public = cluster.path("sshd").join(node).join("host_key.pub");
        let said = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap().stdout;
        String::from_utf8(said).unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    check(&|node, port| {
        vec![
            format!(
                "[!!] {node}  cannot log in to {node} (127.0.0.1 port {port}): the host key has CHANGED, now {}\n",
                print(node)
            ),
            "rollgate goes on with neither. When the new key is the one on the node's console".to_owned(),
            format!("forget the old one; try: ssh-keygen -R '[127.0.0.1]:{port}' -f {}\n", file.display()),
        ]
    });
    assert_eq!(fs::read_to_string(file).unwrap(), swapped, "none is forgotten");
    before.assert_unchanged(&cluster.nodes_tree());
    assert_eq!(cluster.effects(), [""; 0]);

    // What was typed is right: the known key goes, and the one that is there comes.
    for (node, port) in ports {
        let public = fs::read_to_string(cluster.path("sshd").join(node).join("host_key.pub")).unwrap();
        let host = format!("[127.0.0.1]:{port}");
        let forgotten =
            Command::new("ssh-keygen").args(["-q", "-R", &host, "-f"]).arg(file).output().unwrap();
        assert!(forgotten.status.success(), "{forgotten:?}");
        let left = fs::read_to_string(file).unwrap();
        assert!(!left.contains(&host), "{left}");
        fs::write(file, format!("{left}{host} {public}")).unwrap();
    }
    cluster.rollgate(["check"]).run().code(0);
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
    let (cluster, passphrase) = locked(1, WORK);
    cluster.set_procedure(
        r#"
        procedure: login
        stage:
          - name: copy
            run: echo staged >> "$effects"
        phases:
          - name: service
            nodes: "n*"
            upgrade:
              - name: work
                run: echo work >> "$effects"
        "#,
    );
    // No plan is shown before it, so the run itself logs in first.
    let mut terminal = cluster.terminal(["stage"]);
    terminal.expect("run ").expect(" begins").expect(QUESTION).expect("none): ").ctrl_c();
    terminal.expect("stopped with 0 of 1 node done: Ctrl-C (exit 16)");
    terminal.expect("next: rollgate -i inventory.yaml stage").ends_with(16);
    assert_eq!(times(&terminal, QUESTION), 1, "{:#?}", terminal.lines());
    assert_eq!(cluster.effects(), [""; 0]);
    // Answered, the same words do the work.
    let answer = format!("{passphrase}\n");
    let mut terminal = cluster.terminal(["stage"]);
    terminal.expect(QUESTION).expect("none): ").send(&answer).ends_with(0);
    assert_eq!(cluster.effects(), ["staged"]);
}

#[test]
fn ctrl_c_at_the_question_before_the_plan_leaves_everything_as_it_is() {
    let (cluster, _) = locked(1, WORK);
    let before = cluster.nodes_tree();
    let mut terminal = cluster.terminal(["start", "--yes", "--confirm", "test"]);
    terminal.expect(QUESTION).expect("none): ").ctrl_c();
    terminal.expect("error: cannot log in to n1").expect("Permission denied (publickey)");
    terminal
        .expect("nothing was done (exit 13)")
        .expect("next: rollgate -i inventory.yaml check")
        .ends_with(13);
    assert_eq!(times(&terminal, QUESTION), 1, "{:#?}", terminal.lines());
    assert_eq!(cluster.effects(), [""; 0]);
    before.assert_unchanged(&cluster.nodes_tree());
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
