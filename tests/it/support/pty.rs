//! An operator at a terminal: a program on a pseudo terminal that is its controlling one, the keys
//! that are pressed, and the screen as it stands.

use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use regex::bytes::Regex;

use super::PATIENCE;
use super::run::{Invocation, await_exit};
use super::sshd;

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Lines of text.
    pub(crate) rows: u16,
    /// Characters in a line.
    pub(crate) columns: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { rows: 40, columns: 100 }
    }
}

/// What the program wrote so far, as bytes and as the screen that they make.
struct Seen {
    raw: Vec<u8>,
    screen: vt100::Parser,
    closed: bool,
}

/// Runs a program at a terminal to its end; its exit status and every byte that it wrote. Where the screen does not
/// matter, and may be of any width.
#[track_caller]
pub(crate) fn written(invocation: Invocation, size: Size) -> (ExitStatus, Vec<u8>) {
    let (mut command, _) = invocation.into_parts();
    command.env("TERM", "xterm-256color");
    let (mut master, slave) = pty_process::blocking::open().unwrap();
    master.resize(pty_process::Size::new(size.rows, size.columns)).unwrap();
    let mut child = pty_process::blocking::Command::from(command).spawn(slave).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut raw, mut bytes) = (Vec::new(), vec![0; 1 << 16]);
        // A pseudo terminal whose other end is closed answers with EIO instead of an end.
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            raw.extend_from_slice(&bytes[..count]);
        }
        raw
    });
    let status = await_exit(&mut child, Duration::from_mins(10));
    let raw = reader.join().unwrap();
    (status.unwrap_or_else(|| panic!("it does not end: {}", String::from_utf8_lossy(&raw))), raw)
}

/// A program at a terminal. It has a minute in all; dropping it ends it.
pub(crate) struct Pty {
    child: Child,
    master: Arc<pty_process::blocking::Pty>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    /// How much of the raw output earlier expectations have used up.
    used: usize,
}

impl Pty {
    /// Starts a program at a terminal of that size.
    #[track_caller]
    pub(crate) fn start(invocation: Invocation, size: Size) -> Self {
        let (mut command, _) = invocation.into_parts();
        if !command.get_envs().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        let (master, slave) = pty_process::blocking::open().unwrap();
        master.resize(pty_process::Size::new(size.rows, size.columns)).unwrap();
        let child = pty_process::blocking::Command::from(command).spawn(slave).unwrap();
        let master = Arc::new(master);
        let screen = vt100::Parser::new(nonzero(size.rows), nonzero(size.columns), 10_000);
        let seen = Seen { raw: Vec::new(), screen, closed: false };
        let seen = Arc::new((Mutex::new(seen), Condvar::new()));
        let (from, into) = (Arc::clone(&master), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // A pseudo terminal whose other end is closed answers with EIO instead of an end.
            while let Ok(count @ 1..) = (&*from).read(&mut bytes) {
                let mut seen = into.0.lock().unwrap();
                seen.raw.extend_from_slice(&bytes[..count]);
                seen.screen.process(&bytes[..count]);
                into.1.notify_all();
            }
            into.0.lock().unwrap().closed = true;
            into.1.notify_all();
        });
        Self { child, master, seen, used: 0 }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has written a text since the last thing that was expected. Control
    /// sequences do not count.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> &mut Self {
        self.expect_within(text, PATIENCE)
    }

    /// Like [`Self::expect`], with another patience.
    #[track_caller]
    pub(crate) fn expect_within(&mut self, text: &str, patience: Duration) -> &mut Self {
        let from = self.used;
        let found = self.wait_until(patience, |seen| end_of(&seen.raw[from..], text));
        match found {
            Some(end) => self.used += end,
            None => panic!("{text:?} does not come; the terminal has:\n{}", self.screen()),
        }
        self
    }

    /// Waits until a text stands on the screen.
    #[track_caller]
    pub(crate) fn expect_on_screen(&mut self, text: &str) -> &mut Self {
        let found = self.wait_until(PATIENCE, |seen| {
            seen.screen.screen().contents().contains(text).then_some(seen.raw.len())
        });
        assert!(found.is_some(), "{text:?} is not on the screen:\n{}", self.screen());
        self
    }

    fn wait_until<T>(&self, patience: Duration, look: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut seen = self.lock();
        loop {
            if let Some(found) = look(&seen) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.closed || left.is_zero() {
                return None;
            }
            seen = self.seen.1.wait_timeout(seen, left).unwrap().0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.0.lock().unwrap()
    }

    /// Types keys; `\n` is Enter.
    pub(crate) fn send(&mut self, keys: &str) -> &mut Self {
        (&*self.master).write_all(keys.replace('\n', "\r").as_bytes()).unwrap();
        self
    }

    /// Presses Ctrl-C.
    pub(crate) fn ctrl_c(&mut self) -> &mut Self {
        self.send("\x03")
    }

    /// Presses Ctrl-D: the end of input.
    pub(crate) fn ctrl_d(&mut self) -> &mut Self {
        self.send("\x04")
    }

    /// Changes the terminal's size; the program is told by SIGWINCH.
    pub(crate) fn resize(&mut self, size: Size) -> &mut Self {
        self.lock().screen.set_size(nonzero(size.rows), nonzero(size.columns));
        self.master.resize(pty_process::Size::new(size.rows, size.columns)).unwrap();
        self
    }

    /// The screen as the operator sees it.
    pub(crate) fn screen(&self) -> String {
        self.lock().screen.screen().contents()
    }

    /// Every line that was shown so far, what has left the screen at its top included.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut seen = self.lock();
        let screen = seen.screen.screen_mut();
        let columns = screen.size().1.get();
        screen.set_scrollback(usize::MAX);
        let mut lines = Vec::new();
        for above in (1..=screen.scrollback()).rev() {
            screen.set_scrollback(above);
            lines.extend(screen.rows(0, columns).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, columns));
        lines
    }

    /// Whether the cursor is hidden.
    pub(crate) fn cursor_is_hidden(&self) -> bool {
        self.lock().screen.screen().hide_cursor()
    }

    /// Every byte that was written so far.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.lock().raw.clone()
    }

    /// Waits for the program's end and insists on its exit status.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, wanted: i32) -> &mut Self {
        let status = self.ends();
        assert_eq!(status.code(), Some(wanted), "{status}; the terminal has:\n{}", self.screen());
        self
    }

    /// Waits for the program's end, whatever it is.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> ExitStatus {
        let status = await_exit(&mut self.child, Duration::from_mins(1));
        self.wait_until(PATIENCE, |seen| seen.closed.then_some(()));
        status.unwrap_or_else(|| panic!("it does not end; the terminal has:\n{}", self.screen()))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let below = sshd::descendants(self.child.id());
        if self.child.try_wait().unwrap().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            below.into_iter().for_each(sshd::end);
        }
    }
}

fn nonzero(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

/// Sequences that move, colour or name something and show no text.
static CONTROLS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?-u)\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[0-Z\\^-~]").unwrap()
});

/// Where a text ends within raw output, not counting control sequences.
fn end_of(raw: &[u8], text: &str) -> Option<usize> {
    let mut visible = Vec::new();
    let mut ends = Vec::new();
    let mut from = 0;
    let mut controls = CONTROLS.find_iter(raw).map(|found| found.range());
    while from < raw.len() {
        let control = controls.next().unwrap_or(raw.len()..raw.len());
        visible.extend_from_slice(&raw[from..control.start]);
        ends.extend(from + 1..=control.start);
        from = control.end;
    }
    let text = text.as_bytes();
    let start = visible.windows(text.len()).position(|part| part == text)?;
    Some(ends[start + text.len() - 1])
}
