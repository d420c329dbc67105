//! SIGINT, SIGTERM and SIGHUP, as one stream.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that means: stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, systemd, `unstage`.
    Terminate,
    /// The terminal is gone.
    HangUp,
}

impl Arrived {
    /// What happened, for the journal.
    pub fn words(self) -> &'static str {
        match self {
            Self::Interrupt => "Ctrl-C",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "the terminal was closed (SIGHUP)",
        }
    }
}

/// The signals of a run.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    heeds_hang_up: bool,
}

impl Signals {
    /// From here on the signals do not end the process by themselves. To a run without a terminal it means
    /// nothing that one is closed.
    pub fn catch(heeds_hang_up: bool) -> io::Result<Self> {
        Ok(Self {
            heeds_hang_up,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next one. Safe to drop and call again.
    pub async fn next(&mut self) -> Arrived {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Arrived::Interrupt,
            Some(()) = self.terminate.recv() => Arrived::Terminate,
            Some(()) = self.hang_up.recv(), if self.heeds_hang_up => Arrived::HangUp,
            else => std::future::pending().await,
        }
    }
}
