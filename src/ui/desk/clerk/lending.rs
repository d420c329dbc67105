//! Who has the terminal when it is not the desk: a step that talks to the operator, or a login that asks.

use super::Clerk;
use crate::model::event::Control;
use crate::model::plan::StepKey;

impl Clerk {
    /// Lets a step have the terminal, or a login, once no question stands there.
    pub(super) fn hand_over(&mut self) {
        if self.lent.take_if(|loan| loan.is_over()).is_some() {
            self.place.screen.resume();
        }
        if self.is_busy() {
            return;
        }
        if let Ok(loan) = self.borrowers.try_recv() {
            self.place.screen.release();
            loan.begin();
            self.lent = Some(loan);
            return;
        }
        if let Some(key) = self.yields.front() {
            self.yielded = true;
            self.place.screen.release();
            (self.controls)(Control::Yielded(key.clone()));
        }
    }

    /// Whether the terminal is somebody's.
    pub(super) fn is_busy(&self) -> bool {
        self.dialog.is_some() || self.yielded || self.lent.is_some()
    }

    pub(super) fn restore(&mut self, key: &StepKey) {
        if self.yielded && self.yields.front() == Some(key) {
            self.yielded = false;
            self.place.screen.resume();
        }
        self.yields.retain(|other| other != key);
    }
}
