//! The two ways out of the program that secrets are kept from: what is shown, and what is logged.

use std::io::{self, Write};
use std::sync::Arc;

use super::Secrets;
use crate::engine::Screen;

/// A log whose lines are masked. It takes a line with each call, as `tracing` writes them.
pub struct Masked<W> {
    secrets: Secrets,
    log: W,
}

impl<W> Masked<W> {
    /// Puts the mask before a log.
    pub fn new(secrets: Secrets, log: W) -> Self {
        Self { secrets, log }
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log.write_all(&self.secrets.mask_bytes(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

impl Secrets {
    /// The screen, and whoever listens to what it is told, with the mask before it.
    pub fn before(&self, screen: Screen) -> Screen {
        let secrets = self.clone();
        Arc::new(move |report| screen(report.masked(&secrets.masking())))
    }
}
