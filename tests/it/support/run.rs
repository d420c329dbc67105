//! Runs a program in a clean environment and says what it left: exit status, stdout, stderr.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::redact::redact;
use super::{failing, next, schema, sshd};

/// The longest that one invocation may take unless the test says otherwise.
const LIMIT: Duration = Duration::from_mins(1);

/// A run of rollgate without a cluster: `rollgate(["--version"])`.
pub(crate) fn rollgate<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Invocation {
    Invocation::new(env!("CARGO_BIN_EXE_rollgate"), Path::new("/")).args(args)
}

/// A program about to run. Its environment holds what is said here and nothing of the tester's own.
#[derive(Debug)]
pub(crate) struct Invocation {
    command: Command,
    root: PathBuf,
    stdin: Option<String>,
    limit: Duration,
}

impl Invocation {
    /// A program that runs in `root`; the same directory is what [`Output`] redacts.
    pub(crate) fn new(program: impl AsRef<OsStr>, root: &Path) -> Self {
        failing::at_once();
        let mut command = Command::new(program);
        command
            .current_dir(root)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", root)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("USER", "tester")
            .env("LOGNAME", "tester");
        Self { command, root: root.to_owned(), stdin: None, limit: LIMIT }
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it text to read; without, its standard input is `/dev/null`.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Sets how long it may take before the test fails.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it and lets the test go on.
    #[track_caller]
    pub(crate) fn spawn(mut self) -> Running {
        let line = format!("{:?}", self.command);
        let mut child = self
            .command
            .stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        if let Some(text) = self.stdin {
            // A program that ends without reading it is no fault of the test.
            let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        }
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        let is_ours = self.command.get_program() == env!("CARGO_BIN_EXE_rollgate");
        let is_json = is_ours && prints_documents(&self.command);
        let is_plain = is_ours && is_plain(&self.command);
        let streams = Some([stdout, stderr]);
        Running { child, line, root: self.root, limit: self.limit, is_json, is_plain, streams }
    }

    /// The bare command and the directory, for a terminal.
    pub(crate) fn into_parts(self) -> (Command, PathBuf) {
        (self.command, self.root)
    }
}

/// Whether it is asked for JSON.
fn prints_documents(command: &Command) -> bool {
    let words: Vec<&OsStr> = command.get_args().collect();
    let is_text = words.iter().any(|word| {
        ["man", "completions", "-h", "--help", "-V", "--version"].iter().any(|text| word == text)
    });
    !is_text && words.windows(2).any(|pair| pair == ["-o", "json"])
}

/// Whether nobody asked for colour or signs. Completion scripts are indented as their generator does it.
fn is_plain(command: &Command) -> bool {
    let wishes = ["--color", "human", "completions"];
    let forced = |name: &OsStr| name == "CLICOLOR_FORCE" || name == "FORCE_COLOR";
    !command.get_args().any(|word| wishes.iter().any(|wish| word == *wish))
        && !command.get_envs().any(|(name, _)| forced(name))
}

/// Insists that what goes into a pipe is text that a log and a screen reader can take.
#[track_caller]
pub(crate) fn harmless(stdout: &str, stderr: &str) {
    for (stream, text) in [("stdout", stdout), ("stderr", stderr)] {
        let bad = text.char_indices().find(|(_, c)| !(c.is_ascii_graphic() || *c == ' ' || *c == '\n'));
        assert!(bad.is_none(), "{bad:?} on {stream}:\n{text:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Waits for a child, and kills it with all its descendants when its time is over.
pub(super) fn await_exit(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() > deadline {
            let below = sshd::descendants(child.id());
            let _ = child.kill();
            let _ = child.wait();
            below.into_iter().for_each(sshd::end);
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    line: String,
    root: PathBuf,
    limit: Duration,
    /// Whether it prints documents for a program.
    is_json: bool,
    /// Whether it is rollgate, and writes for pipes and logs.
    is_plain: bool,
    streams: Option<[JoinHandle<Vec<u8>>; 2]>,
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has come to its end.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Insists that it still runs, and shows what it said where it does not.
    #[track_caller]
    pub(crate) fn must_still_run(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            let [stdout, stderr] = self.streams.take().unwrap().map(|stream| stream.join().unwrap());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (text(&stdout), text(&stderr));
            panic!("{} ended with {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.line);
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> &mut Self {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Output {
        let status = await_exit(&mut self.child, self.limit);
        let [stdout, stderr] = self.streams.take().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (stdout, stderr) = (text(stdout.join().unwrap()), text(stderr.join().unwrap()));
        let Some(status) = status else {
            panic!(
                "{} did not end within {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.line, self.limit
            );
        };
        if self.is_json && status.code().is_some() {
            schema::documents(&stdout);
        }
        if self.is_plain {
            harmless(&stdout, &stderr);
            next::leads_on(status.code(), &stdout, &stderr);
        }
        Output { line: self.line.clone(), root: self.root.clone(), status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A failed assertion must leave nothing behind.
        let _ = await_exit(&mut self.child, Duration::ZERO);
    }
}

/// What a program left. Every assertion shows all of it when it fails.
#[derive(Debug)]
pub(crate) struct Output {
    line: String,
    root: PathBuf,
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Output {
    /// Insists on an exit status.
    #[track_caller]
    pub(crate) fn code(&self, wanted: i32) -> &Self {
        let got = self.status.code();
        assert_eq!(
            got,
            Some(wanted),
            "wrong exit status (signal: {:?})\n{}",
            self.status.signal(),
            self.all()
        );
        self
    }

    /// Insists on the whole of stdout, redacted.
    #[track_caller]
    pub(crate) fn stdout(&self, wanted: &str) -> &Self {
        self.exactly("stdout", &self.stdout, wanted)
    }

    /// Insists on the whole of stderr, redacted.
    #[track_caller]
    pub(crate) fn stderr(&self, wanted: &str) -> &Self {
        self.exactly("stderr", &self.stderr, wanted)
    }

    /// Insists that stdout holds a text, redacted.
    #[track_caller]
    pub(crate) fn stdout_has(&self, wanted: &str) -> &Self {
        assert!(self.redacted(&self.stdout).contains(wanted), "stdout lacks {wanted:?}\n{}", self.all());
        self
    }

    /// Insists that stderr holds a text, redacted.
    #[track_caller]
    pub(crate) fn stderr_has(&self, wanted: &str) -> &Self {
        assert!(self.redacted(&self.stderr).contains(wanted), "stderr lacks {wanted:?}\n{}", self.all());
        self
    }

    /// Insists that neither stream holds a text.
    #[track_caller]
    pub(crate) fn lacks(&self, unwanted: &str) -> &Self {
        let found = self.stdout.contains(unwanted) || self.stderr.contains(unwanted);
        assert!(!found, "{unwanted:?} must not be said\n{}", self.all());
        self
    }

    /// The exit status; 128 and the signal's number for a program that was killed.
    pub(crate) fn exit_code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Stdout as it came.
    pub(crate) fn raw_stdout(&self) -> &str {
        &self.stdout
    }

    /// Stderr as it came.
    pub(crate) fn raw_stderr(&self) -> &str {
        &self.stderr
    }

    #[track_caller]
    fn exactly(&self, stream: &str, got: &str, wanted: &str) -> &Self {
        let got = self.redacted(got);
        if got != wanted {
            let differs = got.lines().zip(wanted.lines()).position(|(got, wanted)| got != wanted);
            let line = differs.unwrap_or_else(|| got.lines().count().min(wanted.lines().count())) + 1;
            panic!("{stream} differs from line {line} on; wanted:\n{wanted}\n{}", self.all());
        }
        self
    }

    fn redacted(&self, text: &str) -> String {
        redact(text, &self.root)
    }

    fn all(&self) -> String {
        format!(
            "$ {}\n--- {}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.status,
            self.redacted(&self.stdout),
            self.redacted(&self.stderr)
        )
    }
}
