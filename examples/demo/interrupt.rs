//! Ctrl-C, TERM and HUP end the demo in order: what it started is ended first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

const NONE: u8 = 0;
const FROM_KEYBOARD: u8 = 1;
const TO_US_ALONE: u8 = 2;

/// Whether the demo has been told to end.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Begins to watch for signals.
    pub(crate) fn watch() -> Result<Self> {
        let seen = Arc::new(AtomicU8::new(NONE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut int, mut term, mut hup) = {
            let _inside = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            )
        };
        let into = Arc::clone(&seen);
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let kind = tokio::select! {
                        _ = int.recv() => FROM_KEYBOARD,
                        _ = term.recv() => TO_US_ALONE,
                        _ = hup.recv() => TO_US_ALONE,
                    };
                    into.fetch_max(kind, Ordering::Relaxed);
                }
            });
        });
        Ok(Self(seen))
    }

    /// Fails when the demo has been told to end.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.0.load(Ordering::Relaxed) == NONE, "interrupted");
        Ok(())
    }

    /// Whether a signal came that a running rollgate has not got from the terminal itself.
    pub(crate) fn must_be_passed_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) == TO_US_ALONE
    }

    /// Sleeps, and fails when the demo has been told to end.
    pub(crate) fn pause(&self, time: Duration) -> Result<()> {
        thread::sleep(time);
        self.check()
    }
}
