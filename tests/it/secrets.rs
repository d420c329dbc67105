//! The hunt: a token in every place where a secret can stand, printed by nodes in every form, and nowhere to be found
//! while the run is at work nor after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use super::support::{Cluster, NodeSpec, PATIENCE, descendants, end};

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

/// Looks at the command lines and environments of all processes, over and over. Both sides are this machine.
struct Watch {
    stop: Arc<AtomicBool>,
    watching: std::thread::JoinHandle<(usize, BTreeSet<String>)>,
}

impl Watch {
    /// Rollgate's own environment is what the test has put there.
    fn over(traces: Vec<Vec<u8>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let watching = std::thread::spawn(move || {
            let own = std::process::id().to_string();
            let (mut looks, mut found, mut known) = (0, BTreeSet::new(), BTreeMap::new());
            while !until.load(Ordering::Relaxed) {
                looks += 1;
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let (name, path) = (entry.file_name().to_string_lossy().into_owned(), entry.path());
                    if name == own || !name.starts_with(|c: char| c.is_ascii_digit()) {
                        continue;
                    }
                    // It may have ended in this moment.
                    let words = || fs::read(path.join("cmdline")).unwrap_or_default();
                    let before = words();
                    // What a process was called with stays what it is until it becomes another program.
                    if known.get(&name) == Some(&before) {
                        continue;
                    }
                    let shown = String::from_utf8_lossy(&before).replace('\0', " ");
                    if finds(&traces, &before) {
                        found.insert(format!("command line: {shown}"));
                    }
                    let program = before.split(|byte| *byte == 0).next();
                    let is_rollgate = program == Some(env!("CARGO_BIN_EXE_rollgate").as_bytes());
                    let environment = fs::read(path.join("environ")).unwrap_or_default();
                    // Between its two lives it has the environment of one and the words of the other.
                    if words() == before {
                        if !is_rollgate && finds(&traces, &environment) {
                            found.insert(format!("environment of {name}: {shown}"));
                        }
                        known.insert(name, before);
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (looks, found)
        });
        Self { stop, watching }
    }

    fn end(self) -> (usize, BTreeSet<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

/// Files below a directory that have a trace in them, compressed ones unpacked, but for those where the test put it.
fn holding(root: &Path, traces: &[Vec<u8>], known: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap().flatten() {
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

/// Prints a value in every form, on both streams.
const SHOW: &str = r#"show() {
  printf 'raw %s\n' "$value"
  printf 'raw %s\n' "$value" >&2
  printf 'json {"a":"%s"}\n' "$(printf %s "$value" | sed 's/["\]/\\&/g; s,/,\\/,g')"
  encoded=$(printf %s "$value" | sed "s/ /%20/g; s/\"/%22/g; s,/,%2F,g; s/'/%27/g; s/&/%26/g; s/</%3C/g; s/>/%3E/g; s/é/%C3%A9/g")
  printf 'url ?a=%s&b\n' "$encoded"
  printf 'base64 %s\n' "$(printf %s "$value" | base64 -w0)"
  printf 'basic %s\n' "$(printf 'user:%s' "$value" | base64 -w0)"
}
"#;

const PROCEDURE: &str = r#"
procedure: hunted
version: { run: 'printf "1 %s" "$from_env"' }
checks:
  waited:
    run: |
      . "$dir/../show"
      value=$from_prompt; show; value=$from_command; show
    value: text
    matches: nothing
    evidence: |
      . "$dir/../show"
      value=$from_env; show
  seen:
    run: |
      . "$dir/../show"
      value=$from_file; show; value=$captured; show
    value: exit
    evidence: printf '%s\n' "$from_file"
phases:
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
          value=$from_env; show; value=$from_file; show; value=$from_command; show; value=$from_prompt; show; value=$captured; show
          printf 'no newline %s' "$captured"
        undo: |
          . "$dir/../show"
          value=$from_file; show
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
          cat "$dir/stored"
          cat "$dir/stored" >&2
      - name: here
        on: operator
        run: |
          . "$ROLLGATE_RUN_DIR/../../../../nodes/show"
          value=$from_prompt; show
    upgrade:
      - name: held
        shell: bash
        run: |
          . "$dir/../show"
          value=$from_command; show
          echo "$ROLLGATE_NODE held" >> "$effects"
          while [ ! -e "$dir/../go" ]; do sleep 0.05; done
          value=$captured; show
      - check: seen
      - wait: waited
        every: 100ms
        timeout: 400ms
    rollback:
      - run: printf '%s\n' "$from_env"
"#;

const INVENTORY: &str = "
secrets:
  from_env: { env: RG_HUNTED }
  from_file: { file: ./secret }
  from_command: { command: cat ./source }
  from_prompt: { prompt: Password }
notify: cat >> told
";

/// A cluster of one node behind sshd and one here, and the files where the test itself puts the token.
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
    (cluster, known)
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

#[test]
fn a_token_in_every_place_is_nowhere_to_be_found() {
    let token = Token::draw();
    let traces = token.traces();
    let (cluster, known) = cluster(&token);
    let _ended = Ended(&cluster);
    let watch = Watch::over(traces.clone());
    let mut streams: Vec<(&str, Vec<u8>)> = Vec::new();
    let rollgate = |words: &[&str]| cluster.rollgate(words).env("RG_HUNTED", token.of("env"));
    let at_a_terminal = |words: &[&str]| {
        let mut terminal = super::support::Pty::start(rollgate(words), super::support::Size::default());
        terminal.expect("Password: ").send(&format!("{}\n", token.of("prompt")));
        terminal
    };

    let mut dry = at_a_terminal(&["start", "--dry-run"]);
    let _ = dry.ends();
    streams.push(("the dry run", dry.raw()));

    // Killed in the middle of a step; what it knew is gone with it.
    let mut first = at_a_terminal(&["start", "--confirm", "test", "--yes"]);
    until(&cluster, "it is not held", || cluster.effects().contains(&"n1 held".to_owned()));
    let pid = holder(&cluster).unwrap();
    let children = descendants(pid);
    assert!(!children.is_empty(), "it has no child that could have its environment");
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    let _ = first.ends();
    streams.push(("the first run", first.raw()));
    cluster.write("nodes/go", "");

    // Goes on in the background: the captured secret is read again. The wait fails, and what is temporary is undone.
    let resume = ["start", "--resume", "--detach", "--confirm", "test", "--yes"];
    let mut second = at_a_terminal(&resume);
    second.ends_with(0);
    streams.push(("the second run", second.raw()));
    until(&cluster, "it asks nobody", || {
        cluster.records(&["trouble"]).iter().any(|line| line.contains("asked"))
    });
    for answer in ["--retry", "--deny"] {
        let asked = || cluster.records(&[r#""asked""#]).len();
        let before = asked();
        let done = rollgate(&["approve", answer]).run();
        done.code(if answer == "--deny" { 11 } else { 0 });
        streams.push((answer, [done.raw_stdout(), done.raw_stderr()].concat().into_bytes()));
        if answer == "--retry" {
            until(&cluster, "it does not ask again", || asked() > before);
        }
    }
    until(&cluster, "it does not end", || {
        !cluster.records(&["run_closed"]).is_empty() && holder(&cluster).is_none()
    });
    let journal = cluster.journal();
    assert!(journal.contains(r#""verdict":{"stopped""#), "{journal}");
    assert!(cluster.effects().contains(&"undone".to_owned()), "{:?}\n{journal}", cluster.effects());

    for (name, words) in [
        ("status", &["status", "--offline"][..]),
        ("status as JSON", &["status", "--offline", "-o", "json"]),
        ("the report", &["report"]),
        ("the page", &["report", "-f", "report.html"]),
        ("the bundle", &["report", "--bundle", "run.tar.gz"]),
    ] {
        let done = rollgate(words).run();
        done.code(0);
        streams.push((name, [done.raw_stdout(), done.raw_stderr()].concat().into_bytes()));
    }
    let unpacked = cluster.path("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let tar =
        Command::new("tar").arg("-xzf").arg(cluster.path("run.tar.gz")).arg("-C").arg(&unpacked).status();
    assert!(tar.unwrap().success());

    let (looks, seen) = watch.end();
    println!("{looks} looks at all processes");
    assert!(looks > 20, "only {looks} looks");
    assert_eq!(seen, BTreeSet::new(), "in the list of processes");
    for (name, bytes) in &streams {
        let text = String::from_utf8_lossy(bytes);
        assert!(!finds(&traces, bytes), "{name} shows it:\n{text}");
    }
    let found = holding(cluster.root(), &traces, &known);
    assert_eq!(found, Vec::<PathBuf>::new());
    for place in ["/dev/shm", "/run"] {
        let left = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path());
        let ours: Vec<_> = left.filter(|path| path.to_string_lossy().contains("/rollgate.")).collect();
        assert!(ours.iter().all(|path| holding(path, &traces, &[]).is_empty()), "{ours:?}");
    }
    assert_was_printed(&cluster);
}

/// That there was something to be found: every form was printed, and masked, where it is kept.
fn assert_was_printed(cluster: &Cluster) {
    let mut files = Vec::new();
    for place in ["nodes/n1/rollgate/test/runs", "state/test/runs"] {
        files.extend(texts(&cluster.path(place)));
    }
    let all = files.concat();
    for text in [
        "raw ***\n",
        "json {\"a\":\"***\"}\n",
        "url ?a=***&b\n",
        "base64 ***",
        "basic dXNlcj",
        "read *** ***\n",
    ] {
        assert!(all.contains(text), "{text:?} was never printed");
    }
    assert!(cluster.journal().contains("raw ***"), "no failure has what was read");
    assert!(fs::read_to_string(cluster.path("told")).unwrap().contains("***"), "nobody was told");
}

fn texts(root: &Path) -> Vec<String> {
    let paths = fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                texts(&path)
            } else {
                vec![String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()]
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
