//! What is shown to somebody who is not at this terminal: questions that `approve` answers, and how far everything is.

use super::super::super::approve;
use super::super::super::block;
use super::super::super::ink::Line;
use super::super::super::moment::Moment;
use super::super::super::next;
use super::super::super::question;
use super::Clerk;
use crate::model::event::Inquiry;

impl Clerk {
    /// What stands above a question.
    pub(super) fn above(&mut self, inquiry: &Inquiry) -> Vec<Line> {
        let waiting = self.passing.waiting.entry(inquiry.question.key().clone()).or_default();
        waiting.watch.read(&inquiry.readings);
        let Some(state) = &self.state else { return Vec::new() };
        question::lines(self.place.screen.face(), &Moment::current(), state, &self.passing, inquiry)
    }

    /// Shows a question that is answered from elsewhere, and how.
    pub(super) fn put_up(&mut self, inquiry: &Inquiry) {
        let mut lines = self.above(inquiry);
        if let (Some(state), Some(program)) = (&self.state, &self.place.approved_by) {
            let program: Vec<&str> = program.iter().map(String::as_str).collect();
            let pending = state.pending().into_iter().find(|one| one.question == inquiry.question);
            let ways = pending.map(|pending| approve::ways(state, &pending, &program)).unwrap_or_default();
            lines.extend(next::lines(self.place.screen.face(), &ways));
        }
        self.place.screen.keep(&lines);
    }

    /// Shows how far everything is, to whoever asked for it with a signal.
    pub(super) fn show_progress(&mut self) {
        let Some(state) = &self.state else { return };
        let lines = block::progress(self.place.screen.face(), &Moment::current(), state, &self.passing);
        self.place.screen.keep(&lines);
    }
}
