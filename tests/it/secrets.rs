//! The hunt: a token in every place where a secret can stand, printed by nodes in every form, and nowhere to be found
//! while the run is at work nor after it.

mod watch;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use super::support::{Cluster, Invocation, NodeSpec, PATIENCE, Pty, Size, descendants, end};
use watch::{Decoy, Watch};

/// A token that nothing else on this machine has, with characters that JSON, URLs and shells write otherwise.
struct Token {
    core: String,
}

impl Token {
    fn draw() -> Self {
        let mut bytes = [0; 9];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
        Self { core: bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// The secret of one source.
    fn of(&self, source: &str) -> String {
        format!("{source} \"{}\"/'&<\u{e9}>", self.core)
    }

    /// Whatever form it is in, one of these is in it: the core is letters and digits, which only base64 changes.
    fn traces(&self) -> Vec<Vec<u8>> {
        let mut traces = vec![self.core.clone().into_bytes()];
        for before in 0..3 {
            let text = format!("{}{}", "x".repeat(before), self.core);
            let encoded = piped("base64 -w0", &text);
            // What the characters around it have a part in is left away.
            let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
            traces.push(encoded.as_bytes()[from..to].to_vec());
        }
        traces
    }
}

fn piped(script: &str, input: &str) -> String {
    use std::io::Write as _;
    let pipe = std::process::Stdio::piped;
    let mut child = Command::new("sh").args(["-c", script]).stdin(pipe()).stdout(pipe()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn finds(traces: &[Vec<u8>], bytes: &[u8]) -> bool {
    traces.iter().any(|trace| memchr::memmem::find(bytes, trace).is_some())
}

/// Files below a directory that have a trace in them, compressed ones unpacked, but for those where the test put it.
fn holding(root: &Path, traces: &[Vec<u8>], known: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // While something is at work here, a directory may go at any time.
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(holding(&path, traces, known));
        } else if kind.is_file()
            && !known.contains(&path)
            && finds(traces, &fs::read(&path).unwrap_or_default())
        {
            found.push(path);
        } else {
            assert!(kind.is_file() || kind.is_symlink() || kind.is_socket() || kind.is_fifo());
        }
    }
    found
}

/// What this program puts into memory or beside it on this machine, which is the node's side as well.
fn held_in_memory(traces: &[Vec<u8>]) -> Vec<PathBuf> {
    let places = ["/dev/shm", "/run", "/run/user/0", "/tmp"];
    let entries = places.iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    let ours = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("/rollgate."));
    ours.flat_map(|path| holding(&path, traces, &[])).collect()
}

/// `show PLACE` prints `$value` in every form, on both streams.
const SHOW: &str = r#"show() {
  printf 'raw %s %s\n' "$1" "$value"
  printf 'raw %s %s\n' "$1" "$value" >&2
  printf 'json %s {"a":"%s"}\n' "$1" "$(printf %s "$value" | sed 's/["\]/\\&/g; s,/,\\/,g')"
  encoded=$(printf %s "$value" | sed "s/ /%20/g; s/\"/%22/g; s,/,%2F,g; s/'/%27/g; s/&/%26/g; s/</%3C/g; s/>/%3E/g; s/é/%C3%A9/g")
  printf 'url %s ?a=%s&b\n' "$1" "$encoded"
  printf 'base64 %s %s\n' "$1" "$(printf %s "$value" | base64 -w0)"
  printf 'basic %s %s\n' "$1" "$(printf 'user:%s' "$value" | base64 -w0)"
}
"#;

const PROCEDURE: &str = r#"
procedure: hunted
version: { run: 'printf "1 %s" "$from_env"' }
checks:
  waited:
    run: |
      . "$dir/../show"
      value=$from_prompt; show waited-prompt; value=$from_command; show waited-command
    value: text
    matches: nothing
    evidence: |
      . "$dir/../show"
      value=$from_env; show evidence-env
  seen:
    run: |
      . "$dir/../show"
      value=$from_file; show seen-file; value=$captured; show seen-captured
    value: exit
    evidence: printf '%s\n' "$from_file"
phases:
  - name: typed
    nodes: n1
    upgrade:
      - name: wizard
        interactive: true
        run: |
          echo "typed $(printf %s "$from_env" | sha256sum)" >> "$effects"
          while [ ! -e "$dir/typed" ]; do sleep 0.05; done
  - name: all
    nodes: "*"
    precheck:
      - name: stored
        check: { run: 'cat "$dir/stored"', value: text, empty: false }
        capture: { name: captured, secret: true }
    drain:
      - name: change
        run: |
          . "$dir/../show"
          value=$from_env; show change-env
          value=$from_file; show change-file
          value=$from_command; show change-command
          value=$from_prompt; show change-prompt
          value=$from_rights; show change-rights
          value=$from_login; show change-login
          value=$captured; show change-captured
          printf 'no newline %s' "$captured"
        undo: |
          . "$dir/../show"
          value=$from_file; show undo-file
          echo undone >> "$effects"
        temporary: node
      - name: reads
        stdin: "${from_file} ${captured}"
        run: |
          read -r line || :
          [ "$line" = "$from_file $captured" ]
          printf 'read %s\n' "$line"
      - name: finds
        run: |
          printf 'finds %s\n' "$(cat "$dir/stored")"
          printf 'finds too %s\n' "$(cat "$dir/stored")" >&2
      - name: here
        on: operator
        run: |
          . "$ROLLGATE_RUN_DIR/../../../../nodes/show"
          value=$from_prompt; show here-prompt
    upgrade:
      - name: held
        shell: bash
        run: |
          . "$dir/../show"
          value=$from_command; show held-command
          echo "$ROLLGATE_NODE held" >> "$effects"
          while [ ! -e "$dir/go" ]; do sleep 0.05; done
          value=$captured; show held-captured
      - check: seen
      - wait: waited
        every: 100ms
        timeout: 400ms
    rollback:
      - run: printf '%s\n' "$from_env"
"#;

const INVENTORY: &str = "
become: { with: sudo, password: from_rights }
secrets:
  from_env: { env: RG_HUNTED }
  from_file: { file: ./secret }
  from_command: { command: cat ./source }
  from_prompt: { prompt: Password }
  from_rights: { env: RG_RIGHTS }
  from_login: { env: RG_LOGIN }
notify: cat >> told
";

/// A cluster of one node behind sshd and one here, with a sudo of the tests' own before all others, and the files where
/// the test itself puts the token.
fn cluster(token: &Token) -> (Cluster, Vec<PathBuf>) {
    let cluster =
        Cluster::new().nodes(1).node(NodeSpec::local("n2")).inventory(INVENTORY).procedure(PROCEDURE).build();
    cluster.write("nodes/show", SHOW);
    let mut known = Vec::new();
    for (file, source) in
        [("secret", "file"), ("source", "command"), ("nodes/n1/stored", "n1"), ("nodes/n2/stored", "n1")]
    {
        cluster.write(file, &format!("{}\n", token.of(source)));
        fs::set_permissions(cluster.path(file), fs::Permissions::from_mode(0o600)).unwrap();
        known.push(cluster.path(file));
    }
    cluster.write("bin/sudo", include_str!("support/sudo.sh"));
    fs::set_permissions(cluster.path("bin/sudo"), fs::Permissions::from_mode(0o755)).unwrap();
    cluster.write("bin/password", &token.of("rights"));
    // It keeps what it took for a password.
    known.extend(["bin/password", "bin/tried"].map(|file| cluster.path(file)));
    // The login's password is known to every login, though the key is enough.
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &inventory.replacen("ssh:\n", "ssh:\n  password: from_login\n", 1));
    let keys = cluster.path("sshd/n1/authorized_keys");
    let key = fs::read_to_string(&keys).unwrap();
    let bin = cluster.path("bin");
    let forced =
        format!(r#"command="export PATH={}:$PATH; eval \"$SSH_ORIGINAL_COMMAND\"" {key}"#, bin.display());
    fs::write(keys, forced).unwrap();
    assert!(passphrase(&cluster, "", &token.of("passphrase")).wait().unwrap().success());
    (cluster, known)
}

/// Changes the passphrase of the cluster's key. Both are on its command line.
fn passphrase(cluster: &Cluster, from: &str, to: &str) -> std::process::Child {
    Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", from, "-N", to, "-f"])
        .arg(&cluster.keys().identity)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// The process that holds the cluster now.
fn holder(cluster: &Cluster) -> Option<u32> {
    let holder = fs::read_to_string(cluster.path("state/test/lock")).ok()?;
    let holder: Json = serde_json::from_str(holder.lines().next()?).ok()?;
    u32::try_from(holder["by"]["pid"].as_u64()?).ok()
}

#[track_caller]
fn until(cluster: &Cluster, what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}:\n{}", cluster.journal());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the run that is at work, whatever becomes of the test.
struct Ended<'c>(&'c Cluster);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        if let Some(pid) = holder(self.0) {
            end(pid);
        }
    }
}

/// A hunt that is on.
struct Hunt<'c> {
    cluster: &'c Cluster,
    token: &'c Token,
    /// Where the test itself put the token.
    known: &'c [PathBuf],
    /// The processes that the test itself gave the token.
    own: RefCell<BTreeSet<u32>>,
    /// What each of them wrote, and where.
    streams: RefCell<Vec<(&'static str, Vec<u8>)>>,
}

impl Hunt<'_> {
    fn rollgate(&self, words: &[&str]) -> Invocation {
        let path = format!("{}:{}", self.cluster.path("bin").display(), std::env::var("PATH").unwrap());
        let rollgate = self.cluster.rollgate(words).env("PATH", path);
        [("RG_HUNTED", "env"), ("RG_RIGHTS", "rights"), ("RG_LOGIN", "login")]
            .into_iter()
            .fold(rollgate, |rollgate, (name, source)| rollgate.env(name, self.token.of(source)))
    }

    /// Runs it to its end.
    #[track_caller]
    fn run(&self, name: &'static str, words: &[&str], code: i32) {
        let running = self.rollgate(words).spawn();
        self.own.borrow_mut().insert(running.pid());
        let done = running.wait();
        done.code(code);
        self.keep(name, [done.raw_stdout(), done.raw_stderr()].concat().into_bytes());
    }

    /// Starts it and types what it asks for.
    #[track_caller]
    fn at_a_terminal(&self, words: &[&str]) -> Pty {
        let mut terminal = Pty::start(self.rollgate(words), Size::default());
        self.own.borrow_mut().insert(terminal.pid());
        terminal.expect("Password: ").send(&format!("{}\n", self.token.of("prompt")));
        terminal
    }

    /// Types the passphrase of the key.
    #[track_caller]
    fn unlocks(&self, terminal: &mut Pty) {
        terminal.expect("Enter passphrase for key").expect("none): ");
        terminal.send(&format!("{}\n", self.token.of("passphrase")));
    }

    fn keep(&self, name: &'static str, bytes: Vec<u8>) {
        self.streams.borrow_mut().push((name, bytes));
    }

    /// No file has the token, but for those where the test put it.
    #[track_caller]
    fn nowhere(&self, when: &str) {
        let traces = self.token.traces();
        assert_eq!(holding(self.cluster.root(), &traces, self.known), Vec::<PathBuf>::new(), "{when}");
        assert_eq!(held_in_memory(&traces), Vec::<PathBuf>::new(), "{when}");
    }

    fn dry_run(&self) {
        let mut dry = self.at_a_terminal(&["start", "--dry-run"]);
        self.unlocks(&mut dry);
        dry.ends_with(0);
        self.keep("the dry run", dry.raw());
    }

    /// A run that has the terminal for a step, holds another and is killed in its middle.
    fn first_run(&self) {
        let mut first = self.at_a_terminal(&["start", "--confirm", "test", "--yes"]);
        self.unlocks(&mut first);
        first.expect("asks for the password of").send(&format!("{}\n", self.token.of("rights")));
        let sum = piped("sha256sum", &self.token.of("env"));
        self.cluster.await_effect(&format!("typed {}", sum.trim_end()));
        self.nowhere("while a step has the terminal");
        self.cluster.write("nodes/n1/typed", "");
        until(self.cluster, "it is not held", || self.cluster.effects().contains(&"n1 held".to_owned()));
        self.nowhere("while a step is held");
        let pid = holder(self.cluster).unwrap();
        assert_eq!(pid, first.pid());
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(
            core.split_whitespace().collect::<Vec<_>>()[4..6],
            ["0", "0"],
            "a crash would write it to a disk"
        );
        // Killed in the middle of a step; what it knew is gone with it.
        let children = descendants(pid);
        assert!(!children.is_empty(), "it has no child that could have its environment");
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
        assert_eq!(first.ends().signal(), Some(9));
        self.keep("the first run", first.raw());
        self.cluster.write("nodes/n1/go", "");
    }

    /// Goes on with it in the background, where it fails, until it is told to stop.
    fn second_run(&self) {
        // In the background nobody types.
        let mut unlocked = passphrase(self.cluster, &self.token.of("passphrase"), "");
        self.own.borrow_mut().insert(unlocked.id());
        assert!(unlocked.wait().unwrap().success());
        // Goes on in the background: the captured secret is read again. The wait fails, and what is temporary is undone.
        let mut second = self.at_a_terminal(&["start", "--resume", "--detach", "--confirm", "test", "--yes"]);
        second.ends_with(0);
        self.keep("the second run", second.raw());
        until(self.cluster, "it asks nobody", || {
            self.cluster.records(&["trouble"]).iter().any(|line| line.contains("asked"))
        });
        let asked = || self.cluster.records(&[r#""asked""#]).len();
        let before = asked();
        self.run("the answer to try again", &["approve", "--retry"], 0);
        until(self.cluster, "it does not ask again", || asked() > before);
        self.run("the answer to stop", &["approve", "--deny"], 11);
        until(self.cluster, "it does not end", || {
            !self.cluster.records(&["run_closed"]).is_empty() && holder(self.cluster).is_none()
        });
        let journal = self.cluster.journal();
        assert!(journal.contains(r#""verdict":{"stopped""#), "{journal}");
        assert!(
            self.cluster.effects().contains(&"undone".to_owned()),
            "{:?}\n{journal}",
            self.cluster.effects()
        );
    }

    /// Everything that tells of it afterwards.
    fn reports(&self) {
        self.run("status", &["status", "--offline"], 0);
        self.run("status as JSON", &["status", "--offline", "-o", "json"], 0);
        self.run("the report", &["report"], 0);
        self.run("the page", &["report", "-f", "report.html"], 0);
        self.run("the bundle", &["report", "--bundle", "run.tar.gz"], 0);
        let unpacked = self.cluster.path("unpacked");
        fs::create_dir(&unpacked).unwrap();
        let tar = Command::new("tar")
            .arg("-xzf")
            .arg(self.cluster.path("run.tar.gz"))
            .arg("-C")
            .arg(&unpacked)
            .status();
        assert!(tar.unwrap().success());
    }
}

#[test]
fn a_token_in_every_place_is_nowhere_to_be_found() {
    let token = Token::draw();
    let traces = token.traces();
    let (cluster, known) = cluster(&token);
    let _ended = Ended(&cluster);
    let decoy = Decoy::with(&token);
    let watch = Watch::over(traces.clone());
    let hunt = Hunt {
        cluster: &cluster,
        token: &token,
        known: &known,
        own: RefCell::default(),
        streams: RefCell::default(),
    };
    hunt.dry_run();
    hunt.first_run();
    hunt.second_run();
    hunt.reports();

    let seen = watch.end();
    let (looks, elapsed, gap) = (seen.looks.len(), seen.elapsed(), seen.median_gap());
    println!("{looks} looks at all processes in {elapsed:.1?}, one every {gap:.1?} (median)");
    // Every 5 ms, and what a look takes on a machine that has other work.
    assert!(looks as u128 >= elapsed.as_millis() / 100, "only {looks} looks in {elapsed:?}");
    let places = seen.places_of(decoy.pid());
    assert_eq!(places.len(), 2, "the watch is blind: it saw {places:?}");
    hunt.own.borrow_mut().insert(decoy.pid());
    assert_eq!(seen.beside(&hunt.own.borrow()), [""; 0], "in the list of processes");
    for (name, bytes) in &*hunt.streams.borrow() {
        let text = String::from_utf8_lossy(bytes);
        assert!(!finds(&traces, bytes), "{name} shows it:\n{text}");
        // These show the version, which a secret is in, or what was read.
        let shows = [
            "the dry run",
            "the first run",
            "the answer to try again",
            "status",
            "status as JSON",
            "the report",
        ];
        assert_eq!(text.contains("***"), shows.contains(name), "{name}:\n{text}");
    }
    hunt.nowhere("in the end");
    assert_was_printed(&cluster);
}

/// The lines of `show PLACE` as they are where a secret is masked, whatever padding base64 has left.
fn masked(place: &str) -> [String; 5] {
    [
        format!("raw {place} ***\n"),
        format!("json {place} {{\"a\":\"***\"}}\n"),
        format!("url {place} ?a=***&b\n"),
        format!("base64 {place} ***"),
        format!("basic {place} dXNlcjp***"),
    ]
}

/// Insists that every place in turn printed all forms, and that they are kept masked.
#[track_caller]
fn was_masked(kept: &str, text: &str, places: &[&str]) {
    for place in places {
        for line in masked(place) {
            assert!(text.contains(&line), "{kept} has no {line:?}:\n{text}");
        }
    }
}

/// That there was something to be found: every place printed every form, and each is masked where it is kept.
fn assert_was_printed(cluster: &Cluster) {
    const CHANGE: [&str; 7] = [
        "change-env",
        "change-file",
        "change-command",
        "change-prompt",
        "change-rights",
        "change-login",
        "change-captured",
    ];
    let below = |place: &str, name: &str| {
        let files = texts(&cluster.path(place)).into_iter().filter(|(path, _)| path.ends_with(name));
        files.map(|(_, text)| text).collect::<String>()
    };
    let run = cluster.path("state/test/runs");
    let run = fs::read_dir(run).unwrap().flatten().next().unwrap().path();
    let on_node = |job: &str, stream: &str| below("nodes/n1/rollgate/test/runs", &format!("{job}/{stream}"));
    let here = |job: &str| fs::read_to_string(run.join("out").join(format!("{job}.log"))).unwrap();
    for (job, places) in [
        ("n1.all.drain.1.1", &CHANGE[..]),
        ("n1.all.drain.1.undo.1", &["undo-file"]),
        ("n1.all.upgrade.1.1", &["held-command", "held-captured"]),
    ] {
        was_masked(job, &on_node(job, "out"), places);
        for place in places {
            let line = format!("raw {place} ***\n");
            assert!(on_node(job, "err").contains(&line), "{job} has no {line:?} among its errors");
        }
    }
    was_masked("the step", &here("n1.all.drain.1.1"), &CHANGE);
    was_masked("its undo", &here("n1.all.drain.1.undo.1"), &["undo-file"]);
    was_masked("what runs here", &here("n1.all.drain.4.1"), &["here-prompt"]);
    was_masked("what was followed again", &here("n1.all.upgrade.1.1"), &["held-command", "held-captured"]);
    let whole = on_node("n1.all.drain.1.1", "out");
    assert!(whole.trim_end().ends_with("\nno newline ***"), "{whole:?}");
    assert_eq!(on_node("n1.all.drain.2.1", "out"), "read *** ***\n");
    assert_eq!(here("n1.all.drain.2.1"), "read *** ***\n");
    let found = [on_node("n1.all.drain.3.1", "out"), on_node("n1.all.drain.3.1", "err")];
    assert_eq!(found, ["finds ***\n", "finds too ***\n"]);
    assert_eq!(
        here("n1.all.drain.3.1").lines().collect::<BTreeSet<_>>(),
        ["finds ***", "finds too ***"].into()
    );

    let readings = cluster.records(&["reading_taken", r#""waited""#]);
    let reading: Json = serde_json::from_str(&readings[0]).unwrap();
    let reading = &reading["event"]["reading_taken"]["readings"][0];
    let value = reading["value"]["text"].as_str().unwrap();
    was_masked("the reading", &format!("{value}\n"), &["waited-prompt", "waited-command"]);
    let evidence = reading["evidence"].as_array().unwrap();
    let evidence: String = evidence.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect();
    was_masked("the evidence", &evidence, &["evidence-env"]);
    assert!(!cluster.records(&["reading_taken", r#""seen""#]).is_empty(), "nothing was seen");
    let told = fs::read_to_string(cluster.path("told")).unwrap();
    assert!(told.contains("raw waited-prompt ***"), "nobody was told: {told}");
    let page = fs::read_to_string(cluster.path("report.html")).unwrap();
    assert!(page.contains("raw waited-prompt ***"), "the page shows no reading");
    let unpacked: String = texts(&cluster.path("unpacked")).into_iter().map(|(_, text)| text).collect();
    assert!(unpacked.contains("raw held-command ***"), "the bundle has no output");
}

/// Every file below a directory.
fn texts(root: &Path) -> Vec<(PathBuf, String)> {
    let paths = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                texts(&path)
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                vec![(path, String::from_utf8_lossy(&bytes).into_owned())]
            }
        })
        .collect()
}

/// A node reads what another one has captured before: to it that is no secret of somebody else.
#[test]
fn every_node_captures_what_it_reads() {
    let cluster = Cluster::new()
        .local(2)
        .procedure(
            r#"
            procedure: captures
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - check: { name: stored, run: 'cat "$dir/stored"', value: text }
                    capture: { name: token, secret: true }
                  - run: |
                      [ "$token" = "$(cat "$dir/stored")" ]
                      echo "$ROLLGATE_NODE same" >> "$effects"
            "#,
        )
        .build();
    for node in ["n1", "n2"] {
        cluster.write(&format!("nodes/{node}/stored"), "the-same-on-both\n");
    }
    cluster.start(&[]).run().code(0).lacks("the-same-on-both");
    assert_eq!(cluster.effects(), ["n1 same", "n2 same"]);
    assert!(!cluster.journal().contains("the-same-on-both"));
}

/// What is to be captured as a secret is one before it is known, and also where it is not what it should be.
#[test]
fn what_is_to_be_captured_is_never_shown() {
    for (read, what) in [
        ("value: text, matches: '^never$'", "stored on n1: ***, needs a match of"),
        ("value: number", "it is not of the form that the check says"),
        ("value: exit", "capture token: *** is none of x"),
        ("value: text, matches: 'x'", "exit status 3"),
    ] {
        let fails = if what == "exit status 3" { "; cat \"$dir/stored\" >&2; exit 3" } else { "" };
        let procedure = format!(
            "procedure: shown\nphases:\n  - name: all\n    nodes: \"*\"\n    precheck:\n      - check: {{ name: stored, \
             run: 'cat \"$dir/stored\"{fails}', {read} }}\n        capture: {{ name: token, secret: true, one_of: [x] }}\n"
        );
        let cluster = Cluster::new().local(1).procedure(&procedure).build();
        cluster.write("nodes/n1/stored", "hunter22-4f81 and the rest of a long one\n");
        cluster.rollgate(["start", "--dry-run"]).run().lacks("hunter22");
        cluster.rollgate(["start", "--dry-run", "-o", "json"]).run().lacks("hunter22");
        let done = cluster.start(&[]).run();
        done.stderr_has(what).lacks("hunter22");
        assert!(!cluster.journal().contains("hunter22"), "{read}");
        let kept = fs::read_to_string(cluster.path("state/test/dry-run.json")).unwrap_or_default();
        assert!(!kept.contains("hunter22"), "{kept}");
    }
}

/// A cluster with a secret that is in a file, and a node that does this with it.
fn with_file(step: &str) -> Cluster {
    let procedure =
        format!("procedure: file\nphases:\n  - name: all\n    nodes: \"*\"\n    upgrade:\n      - {step}\n");
    let cluster = Cluster::new()
        .local(1)
        .inventory("\nsecrets:\n  token: { file: ./secret }\n")
        .procedure(&procedure)
        .build();
    cluster.write("secret", "hunter22-4f81\n");
    fs::set_permissions(cluster.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    cluster
}

#[test]
fn a_secret_is_not_captured_as_if_it_were_none() {
    let cluster = with_file("{ run: 'cat \"$dir/../../secret\"', capture: copy }");
    let refused = cluster.start(&[]).run();
    refused.stderr_has("a secret stands in the value").stderr_has("`secret: true`").lacks("hunter22");
    assert_ne!(refused.exit_code(), 0);
    assert!(!cluster.journal().contains("hunter22"));
}

#[test]
fn a_file_that_others_can_read_is_refused_before_anything_is_touched() {
    let cluster = with_file("run: 'echo \"$token\" >> \"$effects\"'");
    fs::set_permissions(cluster.path("secret"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = cluster.nodes_tree();
    cluster
        .start(&[])
        .run()
        .code(2)
        .stderr_has("secret can be read by others (mode 640); it must be 0600")
        .stderr_has("chmod 600")
        .stderr_has("nothing was done");
    before.assert_unchanged(&cluster.nodes_tree());
}
