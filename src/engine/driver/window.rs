//! The window, before turns begin: one that is closed, or closes too early, stops the run at this safe point.

use jiff::Timestamp;

use super::Driver;
use crate::engine::{EngineError, window};
use crate::journal::Journal;
use crate::model::event::{Event, Halt, Stop};
use crate::model::plan::PhaseKind;
use crate::model::window::Outside;

impl<J: Journal> Driver<J> {
    /// Whether the next turns of a phase may not begin now; then the run stops. Copying files to nodes restarts
    /// nothing and waits for no window.
    pub(super) fn is_held_up(&mut self, phase: usize) -> Result<bool, EngineError> {
        let state = self.state();
        if state.plan.phases[phase].kind == PhaseKind::Staging {
            return Ok(false);
        }
        let now = Timestamp::now();
        let why = match window::hindrance(&state, phase, now) {
            Ok(None) => return Ok(false),
            Ok(Some(found)) => found.sentence(now),
            Err(why) => {
                self.commit(Event::StopRequested { stop: Stop { halt: Halt::Local, why, key: None } })?;
                return Ok(true);
            }
        };
        let Some(reason) = state.request.outside_window.clone() else {
            self.commit(Event::StopRequested { stop: Stop { halt: Halt::WindowClosed, why, key: None } })?;
            return Ok(true);
        };
        let by = state.request.by.clone();
        self.commit(Event::WindowPassed { phase, outside: Outside { why, reason, by } })?;
        Ok(false)
    }
}
