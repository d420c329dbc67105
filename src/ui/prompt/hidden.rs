//! Reads a line that is not shown, such as a password, and puts the terminal back in every case.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::{Errno, read};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use super::super::write;
use super::{Called, LONGEST, has_input};

/// How much is read at once.
const CHUNK: usize = 512;

/// What Ctrl-C sends.
const CTRL_C: u8 = 0x03;

/// What came of a question whose answer is not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Hidden {
    /// A line, byte for byte; never empty.
    Line(Zeroizing<String>),
    /// Enter alone, or what is no text.
    Nothing,
    /// Ctrl-C.
    Stop,
    /// The input ended, or nobody typed in time.
    Nobody,
    /// The question was taken back.
    TakenBack,
}

/// The terminal with its echo off. Dropped, it is as it was.
struct Dark<'t> {
    terminal: BorrowedFd<'t>,
    shown: Termios,
}

impl<'t> Dark<'t> {
    /// Throws away what was typed so far. Ctrl-C ends the line instead of this process, which would leave the
    /// terminal dark.
    fn of(terminal: BorrowedFd<'t>) -> io::Result<Self> {
        let shown = termios::tcgetattr(terminal)?;
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        // Enter is seen all the same.
        hidden.local_modes.insert(LocalModes::ICANON | LocalModes::ECHONL);
        hidden.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        termios::tcsetattr(terminal, OptionalActions::Flush, &hidden)?;
        Ok(Self { terminal, shown })
    }
}

impl Drop for Dark<'_> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be put back.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Now, &self.shown);
    }
}

/// Asks for a line that is not shown while it is typed. The terminal is dark before the question stands there, so
/// that not even the quickest answer is seen, or thrown away with what was typed before.
pub fn hidden(
    terminal: impl AsFd,
    question: &str,
    called: &Called,
    patience: Duration,
) -> io::Result<Hidden> {
    let terminal = terminal.as_fd();
    if called.is_hung_up() {
        return Ok(Hidden::TakenBack);
    }
    let dark = Dark::of(terminal)?;
    write::to_stderr(question);
    let answer = await_line(terminal, called, patience);
    drop(dark);
    if !matches!(answer, Ok(Hidden::Line(_) | Hidden::Nothing)) {
        write::to_stderr("\n");
    }
    answer
}

fn await_line(terminal: BorrowedFd<'_>, called: &Called, patience: Duration) -> io::Result<Hidden> {
    let until = Instant::now() + patience;
    // One that had to grow would leave what was typed where it was before.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST + CHUNK));
    let mut chunk = Zeroizing::new([0; CHUNK]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Hidden::Nobody);
        }
        if !has_input(terminal, called, Some(left))? {
            if called.is_hung_up() {
                return Ok(Hidden::TakenBack);
            }
            continue;
        }
        let count = match read(terminal, &mut *chunk) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => continue,
            // The terminal hung up, or this process is no longer in its foreground.
            Err(Errno::IO) => return Ok(Hidden::Nobody),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
            return Ok(Hidden::Nobody);
        }
        line.extend_from_slice(&chunk[..count]);
        if line.contains(&CTRL_C) {
            return Ok(Hidden::Stop);
        }
        if line.ends_with(b"\n") || line.len() > LONGEST {
            while line.ends_with(b"\n") || line.ends_with(b"\r") {
                line.pop();
            }
            let text = String::from_utf8(std::mem::take(&mut *line)).map(Zeroizing::new);
            return Ok(text.ok().filter(|text| !text.is_empty()).map_or(Hidden::Nothing, Hidden::Line));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use pty_process::blocking::{Pts, Pty, open};

    use super::super::{Call, has_line};
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn echoes(terminal: &Pts) -> bool {
        let modes = termios::tcgetattr(terminal).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Types once the terminal is dark; what came of it, with the terminal that is as it was.
    fn typed(keys: &'static [u8]) -> Hidden {
        let (mut keyboard, screen): (Pty, Pts) = open().unwrap();
        keyboard.write_all(b"typed before\n").unwrap();
        let begun = Instant::now();
        while !has_line(&screen) {
            assert!(begun.elapsed() < SOON, "it never arrives");
            std::thread::sleep(Duration::from_millis(2));
        }
        let (_call, called) = Call::pair().unwrap();
        let same = screen.as_fd().try_clone_to_owned().unwrap();
        let typing = std::thread::spawn(move || {
            let begun = Instant::now();
            while termios::tcgetattr(&same).unwrap().local_modes.contains(LocalModes::ECHO) {
                assert!(begun.elapsed() < SOON, "it never gets dark");
                std::thread::sleep(Duration::from_millis(2));
            }
            keyboard.write_all(keys).unwrap();
            keyboard
        });
        let hidden = hidden(&screen, "", &called, SOON).unwrap();
        let mut keyboard = typing.join().unwrap();
        assert!(echoes(&screen), "it stays dark");
        drop(screen);
        let mut shown = Vec::new();
        // A pseudo terminal whose other end is closed answers with an error instead of an end.
        let _ = keyboard.read_to_end(&mut shown);
        assert!(!String::from_utf8_lossy(&shown).contains("hunter22"), "{shown:?}");
        hidden
    }

    #[test]
    fn what_is_typed_is_taken_as_it_is_and_not_shown() {
        assert!(typed(b" hunter22 \n") == Hidden::Line(" hunter22 ".to_owned().into()));
        assert!(typed(b"\n") == Hidden::Nothing);
    }

    #[test]
    fn ctrl_c_and_the_end_of_input_leave_the_terminal_as_it_was() {
        assert!(typed(b"hunter22\x03") == Hidden::Stop);
        assert!(typed(b"\x04") == Hidden::Nobody);
    }

    #[test]
    fn a_question_ends_when_it_is_taken_back_or_nobody_types() {
        let (_keyboard, screen) = open().unwrap();
        let (call, called) = Call::pair().unwrap();
        assert!(hidden(&screen, "", &called, Duration::from_millis(20)).unwrap() == Hidden::Nobody);
        drop(call);
        assert!(hidden(&screen, "", &called, SOON).unwrap() == Hidden::TakenBack);
        assert!(echoes(&screen));
    }
}
