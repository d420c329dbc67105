//! Asks the operator, and takes nothing for an answer that was not meant as one.
//!
//! What was typed before the question stood there is thrown away. An answer is a word and Enter, never one key.
//! A prompt waits in poll(2) beside its [`Call`], so a reading that changed or a signal ends it at once. It
//! reads stdin and never opens `/dev/tty`; [`Style::interactive`](super::terminal::Style) says whether it may
//! be used at all.

mod hidden;

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::termios::{QueueSelector, tcflush};

use super::menu;

pub use hidden::{Hidden, hidden};

/// An answer longer than this is no word, name or reason.
const LONGEST: usize = 4096;

/// How a prompt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed {
    /// A line, without blanks around it; may be empty.
    Line(String),
    /// The input ended: nobody is there. Never a yes.
    End,
    /// The question was taken back.
    TakenBack,
    /// Nobody answered in time.
    TimedOut,
}

impl Typed {
    /// Whether exactly `yes` was typed. `y`, `Y`, Enter and every other word are not.
    pub fn is_yes(&self) -> bool {
        matches!(self, Typed::Line(line) if line == "yes")
    }

    /// Whether exactly this name was typed.
    pub fn is_name(&self, name: &str) -> bool {
        !name.is_empty() && matches!(self, Typed::Line(line) if line == name)
    }

    /// The reason that was typed, if it says anything.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Typed::Line(line) if line.chars().any(char::is_alphanumeric) => Some(line),
            _ => None,
        }
    }

    /// The place in a numbered menu that was typed, counted from 0.
    pub fn choice(&self, items: usize) -> Option<usize> {
        let Typed::Line(line) = self else { return None };
        line.parse::<usize>().ok().filter(|place| (1..=items).contains(place)).map(|place| place - 1)
    }
}

/// Takes a standing question back when it is dropped.
#[derive(Debug)]
pub struct Call {
    _open: PipeWriter,
}

/// The prompt's end of a [`Call`].
#[derive(Debug)]
pub struct Called {
    hung_up: PipeReader,
}

impl Call {
    /// Makes the pair.
    pub fn pair() -> io::Result<(Call, Called)> {
        let (hung_up, open) = io::pipe()?;
        Ok((Call { _open: open }, Called { hung_up }))
    }
}

impl Called {
    /// Whether the question has been taken back.
    fn is_hung_up(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.hung_up.as_fd(), PollFlags::IN)];
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }
}

/// Shows that type-ahead was thrown away: without it no line is taken for an answer.
#[derive(Debug)]
#[must_use]
pub struct Unanswered(());

/// Throws away what was typed so far. To be done right before a question is shown: later it would take
/// the answer of somebody quick, or of a script, along.
pub fn forget_type_ahead(terminal: impl AsFd) -> Unanswered {
    // Not a terminal, or one that is gone: then nothing was typed either.
    let _ = tcflush(terminal, QueueSelector::IFlush);
    Unanswered(())
}

/// Reads one line from a terminal in its usual line mode, until the question is taken back or `patience` is
/// over.
pub fn read_line(
    terminal: impl AsFd,
    _unanswered: Unanswered,
    called: &Called,
    patience: Option<Duration>,
) -> io::Result<Typed> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut line = Vec::new();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Ok(Typed::TimedOut);
        }
        if !wait(&terminal, called, left)? {
            return Ok(Typed::TakenBack);
        }
        let mut chunk = [0; 512];
        let mut polled = [PollFd::new(&terminal, PollFlags::IN)];
        // After a timeout nothing is there to be read, and reading would block.
        if poll(&mut polled, Some(&Timespec::default()))? == 0 {
            continue;
        }
        let count = match read(&terminal, &mut chunk) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            // The terminal hung up, or this process is no longer in its foreground.
            Err(Errno::IO) => return Ok(Typed::End),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Ok(Typed::End);
        }
        line.extend_from_slice(&chunk[..count]);
        if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            return Ok(Typed::Line(String::from_utf8_lossy(&line[..end]).trim().to_owned()));
        }
        if line.len() > LONGEST {
            return Ok(Typed::Line(String::new()));
        }
    }
}

/// Waits for input; false when the question was taken back.
fn wait(terminal: impl AsFd, called: &Called, left: Option<Duration>) -> io::Result<bool> {
    let timeout = left.map(|left| Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    });
    let mut polled = [
        PollFd::new(&terminal, PollFlags::IN),
        PollFd::from_borrowed_fd(called.hung_up.as_fd(), PollFlags::IN),
    ];
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(polled[1].revents().is_empty()),
        Err(error) => Err(error.into()),
    }
}

/// Waits for input; false when the question was taken back, or `patience` is over.
pub(super) fn has_input(
    terminal: impl AsFd,
    called: &Called,
    patience: Option<Duration>,
) -> io::Result<bool> {
    loop {
        if !wait(&terminal, called, patience)? {
            return Ok(false);
        }
        // A signal may have ended the wait, and reading would block.
        let mut polled = [PollFd::new(&terminal, PollFlags::IN)];
        let has_some = poll(&mut polled, Some(&Timespec::default()))? > 0;
        if has_some || patience.is_some() {
            return Ok(has_some);
        }
    }
}

/// Whether a line stands in the terminal that nobody has read yet; the cursor is below it already.
pub fn has_line(terminal: impl AsFd) -> bool {
    let mut polled = [PollFd::new(&terminal, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// A question that stands on the screen while the rest goes on.
#[derive(Debug)]
pub struct Standing {
    call: Option<Call>,
    thread: Option<JoinHandle<()>>,
}

impl Standing {
    /// Waits for a line on a thread of its own and hands it to `then`. The question itself is shown by the
    /// caller, right after [`forget_type_ahead`].
    pub fn line(
        terminal: OwnedFd,
        unanswered: Unanswered,
        patience: Option<Duration>,
        then: impl FnOnce(Typed) + Send + 'static,
    ) -> io::Result<Self> {
        Self::of(move |called| {
            // A terminal that cannot be read is one where nobody answers.
            then(read_line(&terminal, unanswered, called, patience).unwrap_or(Typed::End));
        })
    }

    /// The same for a list to choose from, which is shown here.
    pub fn choice(
        terminal: OwnedFd,
        items: Vec<String>,
        harmless: usize,
        then: impl FnOnce(Option<usize>) + Send + 'static,
    ) -> io::Result<Self> {
        Self::of(move |called| then(menu::select(&terminal, called, &items, harmless)))
    }

    /// Whether its line has been taken.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn of(wait: impl FnOnce(&Called) + Send + 'static) -> io::Result<Self> {
        let (call, called) = Call::pair()?;
        let thread = std::thread::Builder::new().name("prompt".into()).spawn(move || wait(&called))?;
        Ok(Self { call: Some(call), thread: Some(thread) })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        drop(self.call.take());
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != std::thread::current().id())
        {
            // It ends at once: the call has just been hung up. A panic there has said its piece already.
            let _ = thread.join();
        }
    }
}

/// Standard input as a descriptor of its own, so that a thread may own it.
pub fn stdin() -> io::Result<OwnedFd> {
    io::stdin().as_fd().try_clone_to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use pty_process::blocking::{Pts, Pty, open};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn terminal() -> (Pty, Pts) {
        open().unwrap()
    }

    /// Answers as soon as the question could stand there: that is not too early.
    fn answer(typed: &[u8]) -> Typed {
        let (mut keyboard, screen) = terminal();
        let (_call, called) = Call::pair().unwrap();
        let unanswered = forget_type_ahead(&screen);
        keyboard.write_all(typed).unwrap();
        read_line(&screen, unanswered, &called, Some(SOON)).unwrap()
    }

    #[test]
    fn a_word_and_enter_is_an_answer() {
        assert!(answer(b"yes\n").is_yes());
        assert!(answer(b" yes \n").is_yes());
        assert_eq!(answer(b"\n"), Typed::Line(String::new()));
        assert_eq!(answer("gr\u{fc}n\n".as_bytes()), Typed::Line("gr\u{fc}n".into()));
    }

    #[test]
    fn end_of_input_is_no_answer() {
        assert_eq!(answer(b"\x04"), Typed::End);
    }

    #[test]
    fn only_the_whole_word_is_a_yes() {
        for word in ["y", "Y", "YES", "Yes", "ja", "", "yes!", "no", "yesyes"] {
            assert!(!Typed::Line(word.into()).is_yes(), "{word}");
        }
        assert!(!Typed::End.is_yes() && !Typed::TimedOut.is_yes() && !Typed::TakenBack.is_yes());
    }

    #[test]
    fn names_reasons_and_menus() {
        let typed = |line: &str| Typed::Line(line.into());
        assert!(
            typed("mq-prod").is_name("mq-prod") && !typed("mq").is_name("mq-prod") && !typed("").is_name("")
        );
        assert_eq!(typed("vendor said so").reason(), Some("vendor said so"));
        assert_eq!(typed(" - ").reason(), None);
        assert_eq!(Typed::End.reason(), None);
        assert_eq!(
            ["1", "4", "0", "5", "x", "", "-1"].map(|word| typed(word).choice(4)),
            [Some(0), Some(3), None, None, None, None, None]
        );
    }

    #[test]
    fn what_was_typed_before_is_thrown_away() {
        let (mut keyboard, screen) = terminal();
        keyboard.write_all(b"yes\nyes\n").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let (_call, called) = Call::pair().unwrap();
        let unanswered = forget_type_ahead(&screen);
        assert_eq!(
            read_line(&screen, unanswered, &called, Some(Duration::from_millis(200))).unwrap(),
            Typed::TimedOut
        );
    }

    #[test]
    fn a_question_can_be_taken_back() {
        let (_keyboard, screen) = terminal();
        let (tell, told) = mpsc::channel();
        let begun = Instant::now();
        let screen = screen.as_fd().try_clone_to_owned().unwrap();
        let unanswered = forget_type_ahead(&screen);
        let standing =
            Standing::line(screen, unanswered, None, move |typed| tell.send(typed).unwrap()).unwrap();
        drop(standing);
        assert_eq!(told.recv_timeout(SOON).unwrap(), Typed::TakenBack);
        assert!(begun.elapsed() < SOON);
    }

    #[test]
    fn a_standing_question_is_answered() {
        let (mut keyboard, screen) = terminal();
        let (tell, told) = mpsc::channel();
        let screen = screen.as_fd().try_clone_to_owned().unwrap();
        let unanswered = forget_type_ahead(&screen);
        let standing =
            Standing::line(screen, unanswered, None, move |typed| tell.send(typed).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        keyboard.write_all(b"no\n").unwrap();
        assert_eq!(told.recv_timeout(SOON).unwrap(), Typed::Line("no".into()));
        drop(standing);
    }
}
