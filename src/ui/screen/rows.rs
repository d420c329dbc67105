//! The terminal as indicatif draws on it, row by row.
//!
//! indicatif fills each row with blanks and lets the terminal wrap into the next one. Such rows are one long line to
//! a terminal that lays its lines out anew when it is resized, and to whoever copies them; and an echoed Ctrl-C at
//! the end of the last one begins a row that nobody counts. So the blanks are left out, rows are ended by line
//! feeds, and the cursor rests at the beginning of the last one. Where there is no block it stays: behind a question,
//! where the answer is typed.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use indicatif::TermLike;

/// What comes next: indicatif writes a row and then its blanks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The first row of a block.
    First,
    /// The blanks of the row that was just written.
    Blanks,
    /// Another row.
    Another,
}

/// A terminal on which rows end by themselves.
#[derive(Debug)]
pub struct Rows<T> {
    terminal: T,
    next: Mutex<Next>,
    /// Whether the row that was written last has anything in it.
    filled: AtomicBool,
}

impl<T: TermLike> Rows<T> {
    /// Draws on a terminal.
    pub fn on(terminal: T) -> Self {
        Self { terminal, next: Mutex::new(Next::First), filled: AtomicBool::new(false) }
    }

    fn then(&self, next: Next) -> Next {
        std::mem::replace(&mut *self.next.lock().unwrap_or_else(PoisonError::into_inner), next)
    }
}

impl<T: TermLike> TermLike for Rows<T> {
    fn width(&self) -> u16 {
        self.terminal.width()
    }

    fn height(&self) -> u16 {
        self.terminal.height()
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.then(Next::First);
        self.terminal.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.terminal.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.then(Next::First);
        self.terminal.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        match self.then(Next::Blanks) {
            Next::First => {
                self.filled.store(!text.is_empty(), Ordering::Relaxed);
                self.terminal.write_str(text)
            }
            Next::Another => {
                self.filled.store(true, Ordering::Relaxed);
                self.terminal.write_str("\r\n")?;
                self.terminal.write_str(text)
            }
            Next::Blanks => {
                self.then(Next::Another);
                Ok(())
            }
        }
    }

    fn clear_line(&self) -> io::Result<()> {
        self.then(Next::First);
        self.terminal.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        if self.filled.swap(false, Ordering::Relaxed) {
            self.terminal.write_str("\r")?;
        }
        self.terminal.flush()
    }
}
