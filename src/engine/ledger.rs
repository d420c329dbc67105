//! The only birthplace of an event, in this order: legal → durable → folded → shown.

use std::sync::Arc;

use jiff::Timestamp;

use super::{EngineError, Screen};
use crate::journal::Journal;
use crate::model::event::{Event, Record, Report};
use crate::model::state::RunState;

/// A run's journal with the state that follows from it.
pub struct Ledger<J> {
    journal: J,
    state: Arc<RunState>,
    screen: Screen,
}

impl<J: Journal> Ledger<J> {
    /// Begins a run with its first event.
    pub fn begin(mut journal: J, opened: &Event, screen: Screen) -> Result<Self, EngineError> {
        let record = journal.append(opened, Timestamp::now())?;
        let state = Arc::new(RunState::open(&record)?);
        show(&screen, Report::Record(Box::new(record)));
        Ok(Self { journal, state, screen })
    }

    /// Goes on with a run whose records have been folded; the screen has folded them, too.
    pub fn resume(journal: J, state: RunState, screen: Screen) -> Self {
        Self { journal, state: Arc::new(state), screen }
    }

    /// Makes an event part of the run. After an error nothing may be done that rests on it.
    pub fn commit(&mut self, event: Event) -> Result<(), EngineError> {
        let next = Record { seq: self.state.latest_seq + 1, at: Timestamp::now(), event };
        let mut state = RunState::clone(&self.state);
        state.apply(&next)?;
        let record = self.journal.append(&next.event, next.at)?;
        tracing::debug!(seq = record.seq, event = ?record.event.key(), "committed");
        if record != next {
            // What a reader of the journal will see is what counts.
            state = RunState::clone(&self.state);
            state.apply(&record)?;
        }
        self.state = Arc::new(state);
        show(&self.screen, Report::Record(Box::new(record)));
        Ok(())
    }

    /// Where the run stands.
    pub fn state(&self) -> &Arc<RunState> {
        &self.state
    }
}

/// A screen that is gone is no reason to abandon nodes; the loop notices it by its controls.
fn show(screen: &Screen, report: Report) {
    if !screen(report) {
        tracing::debug!("the screen is gone");
    }
}
