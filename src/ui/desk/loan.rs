//! The terminal on loan: a login that wants something typed has it for a moment, between two questions of the desk.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// Asks the desk for the terminal.
#[derive(Debug, Clone)]
pub struct Lender {
    loans: Sender<Loan>,
}

/// Somebody who wants the terminal.
#[derive(Debug)]
pub(super) struct Loan {
    free: Sender<()>,
    over: Receiver<()>,
}

/// The terminal, until this is dropped.
#[derive(Debug)]
pub struct Lent {
    _over: Sender<()>,
}

impl Lender {
    pub(super) fn new(loans: Sender<Loan>) -> Self {
        Self { loans }
    }

    /// Waits for the terminal. `None` when the desk closes before; then it is nobody's.
    pub fn borrow(&self) -> Option<Lent> {
        let (free, is_free) = channel();
        let (until, over) = channel();
        self.loans.send(Loan { free, over }).ok()?;
        is_free.recv().ok()?;
        Some(Lent { _over: until })
    }
}

impl Loan {
    /// Hands the terminal over.
    pub(super) fn begin(&self) {
        // Who no longer wants it gives it back at once.
        let _ = self.free.send(());
    }

    /// Whether it was given back, or is no longer wanted.
    pub(super) fn is_over(&self) -> bool {
        self.over.try_recv() == Err(TryRecvError::Disconnected)
    }
}
