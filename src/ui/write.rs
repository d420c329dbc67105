//! Writes to stdout and stderr; a reader that has gone away (`| head`) ends the output, not the program.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// A stream whose closed end counts as done: after that, everything written vanishes.
#[derive(Debug)]
pub struct Quiet<W> {
    inner: W,
    closed: AtomicBool,
}

impl<W: Write> Quiet<W> {
    /// Wraps a stream.
    pub fn new(inner: W) -> Self {
        Self { inner, closed: AtomicBool::new(false) }
    }

    /// Whether the other end has gone away.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn settle<T>(&self, result: io::Result<T>, done: T) -> io::Result<T> {
        match result {
            // EIO is what a terminal says that has hung up.
            Err(error)
                if error.kind() == io::ErrorKind::BrokenPipe
                    || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
            {
                self.closed.store(true, Ordering::Relaxed);
                Ok(done)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Quiet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed() {
            return Ok(bytes.len());
        }
        let result = self.inner.write(bytes);
        self.settle(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed() {
            return Ok(());
        }
        let result = self.inner.flush();
        self.settle(result, ())
    }
}

/// Standard output. Its errors (a full disk) are the caller's; a closed pipe is none.
pub fn stdout() -> Quiet<io::Stdout> {
    Quiet::new(io::stdout())
}

/// Writes to standard error whole. Nothing can be told to anybody when that fails, so nothing is.
pub fn to_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_done() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out = Quiet::new(writer);
        for _ in 0..3 {
            out.write_all(b"line\n").unwrap();
        }
        out.flush().unwrap();
        assert!(out.is_closed());
    }

    #[test]
    fn other_errors_are_told() {
        let mut out = Quiet::new(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        assert_eq!(out.write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(!out.is_closed());
    }
}
