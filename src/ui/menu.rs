//! A list to choose from with the arrows, looking as dialoguer's does. dialoguer's own waits for a key and for nothing
//! else; this one waits beside its [`Called`], so it can be taken back while it stands, and leaves the terminal as it was
//! on every way out.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use console::Term;
use dialoguer::theme::{SimpleTheme, Theme as _};
use rustix::io::{Errno, read};
use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use super::prompt::{Called, has_input};

/// How long the rest of an arrow's key may take; Esc alone has none.
const REST: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Up,
    Down,
    Take,
    Leave,
    Interrupt,
    Other,
}

/// Shows a list on a terminal that can be redrawn; arrows and Enter choose. Esc, Ctrl-C, an error and being taken
/// back choose nothing. The harmless item is the one that Enter takes.
///
/// Blocks; the cursor is shown again and the terminal is in its usual mode on every way out.
pub(super) fn select(
    terminal: impl AsFd,
    called: &Called,
    items: &[String],
    harmless: usize,
) -> Option<usize> {
    let _keys = Keys::of(&terminal).ok()?;
    let term = Term::stderr();
    let _ = term.hide_cursor();
    let chosen = choose(&terminal, called, &term, items, harmless);
    let _ = term.show_cursor();
    chosen.ok().flatten()
}

fn choose(
    terminal: impl AsFd,
    called: &Called,
    term: &Term,
    items: &[String],
    harmless: usize,
) -> io::Result<Option<usize>> {
    let (count, mut at) = (items.len(), harmless);
    loop {
        for (place, item) in items.iter().enumerate() {
            let mut row = String::new();
            SimpleTheme.format_select_prompt_item(&mut row, item, place == at).map_err(io::Error::other)?;
            term.write_line(&row)?;
        }
        let key = next_key(&terminal, called);
        term.clear_last_lines(count)?;
        match key? {
            Some(Key::Up) => at = (at + count - 1) % count,
            Some(Key::Down) => at = (at + 1) % count,
            Some(Key::Take) => return Ok(Some(at)),
            Some(Key::Interrupt) => {
                // The terminal makes no signal of it in this mode, and it means the same as always.
                kill_process(getpid(), Signal::INT)?;
                return Ok(None);
            }
            Some(Key::Leave) | None => return Ok(None),
            Some(Key::Other) => {}
        }
    }
}

/// The next key; `None` when the list was taken back or nobody is there any more.
fn next_key(terminal: impl AsFd, called: &Called) -> io::Result<Option<Key>> {
    let Some(first) = next_byte(&terminal, called, None)? else { return Ok(None) };
    Ok(Some(match first {
        b'\n' | b'\r' | b' ' => Key::Take,
        b'j' | b'\t' => Key::Down,
        b'k' => Key::Up,
        b'q' => Key::Leave,
        3 => Key::Interrupt,
        27 => match next_byte(&terminal, called, Some(REST))? {
            None => Key::Leave,
            Some(b'[' | b'O') => sequence(&terminal, called)?,
            Some(_) => Key::Other,
        },
        _ => Key::Other,
    }))
}

/// What follows `ESC [`, up to its last byte.
fn sequence(terminal: impl AsFd, called: &Called) -> io::Result<Key> {
    loop {
        match next_byte(&terminal, called, Some(REST))? {
            Some(b'A' | b'Z') => return Ok(Key::Up),
            Some(b'B') => return Ok(Key::Down),
            Some(b'0'..=b'?') => {}
            _ => return Ok(Key::Other),
        }
    }
}

fn next_byte(terminal: impl AsFd, called: &Called, patience: Option<Duration>) -> io::Result<Option<u8>> {
    loop {
        if !has_input(&terminal, called, patience)? {
            return Ok(None);
        }
        let mut byte = [0];
        match read(&terminal, &mut byte) {
            Ok(0) | Err(Errno::IO) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A terminal that gives every key at once and shows none; as it was when this is dropped.
struct Keys<T: AsFd> {
    terminal: T,
    before: Termios,
}

impl<T: AsFd> Keys<T> {
    /// What was typed before is thrown away.
    fn of(terminal: T) -> io::Result<Self> {
        let before = termios::tcgetattr(&terminal)?;
        let mut keys = before.clone();
        keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        termios::tcsetattr(&terminal, OptionalActions::Flush, &keys)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Keys<T> {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be put back.
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use pty_process::blocking::open;

    use super::super::prompt::Call;
    use super::*;

    fn key(typed: &[u8]) -> Option<Key> {
        let (mut keyboard, screen) = open().unwrap();
        let (_call, called) = Call::pair().unwrap();
        let _keys = Keys::of(&screen).unwrap();
        keyboard.write_all(typed).unwrap();
        next_key(&screen, &called).unwrap()
    }

    #[test]
    fn keys_are_told_apart() {
        for (typed, wanted) in [
            (&b"\x1b[A"[..], Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[B", Key::Down),
            (b"\x1b[1;5C", Key::Other),
            (b"\r", Key::Take),
            (b"\n", Key::Take),
            (b"\x1b", Key::Leave),
            (b"\x03", Key::Interrupt),
            (b"y", Key::Other),
        ] {
            assert_eq!(key(typed), Some(wanted), "{typed:?}");
        }
    }

    #[test]
    fn it_is_taken_back_and_leaves_the_terminal_as_it_was() {
        let (_keyboard, screen) = open().unwrap();
        let before = termios::tcgetattr(&screen).unwrap().local_modes;
        let (call, called) = Call::pair().unwrap();
        std::thread::scope(|scope| {
            let standing = scope.spawn(|| select(&screen, &called, &["a".to_owned(), "b".to_owned()], 1));
            while termios::tcgetattr(&screen).unwrap().local_modes == before {
                std::thread::yield_now();
            }
            drop(call);
            assert_eq!(standing.join().unwrap(), None);
        });
        assert_eq!(termios::tcgetattr(&screen).unwrap().local_modes, before);
    }
}
