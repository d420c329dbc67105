//! Events and reports without secrets. Names and numbers stay, for a run rests on them; whatever somebody printed,
//! typed or was told is masked. A new kind of event has to say here what of it is such text.

use super::{
    Decided, Decision, Event, Failure, Inquiry, LockTerms, Notice, Outcome, Reading, Report, Request,
    Reverting, RunEnd, Stop, TurnEnd,
};
use crate::model::condition::{Value, Verdict};
use crate::model::mask::{Mask, STARS};

impl Event {
    /// The event as the journal may have it. The plan stays as it is: it names secrets and has none. A captured
    /// value stays, too: whoever captures one sees to it that it is none.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        if mask.is_empty() {
            return self;
        }
        match &mut self {
            Self::RunOpened { request, .. } | Self::RunResumed { request } => request.mask(mask),
            Self::LockTaken { broke, .. } => {
                if let Some(broke) = broke {
                    cover(mask, &mut broke.reason);
                }
            }
            Self::BaselineTaken { verdict, .. } => verdict.mask(mask),
            Self::VersionRead { version, .. } => cover(mask, version),
            Self::PhaseSkipped { why, .. } | Self::Settled { why, .. } | Self::LeftUnknown { why, .. } => {
                cover(mask, why);
            }
            Self::WindowPassed { outside, .. } => cover(mask, &mut outside.reason),
            Self::StepEnded { outcome, .. } | Self::UndoEnded { outcome, .. } => outcome.mask(mask),
            Self::RevertEnded { end, .. } => {
                if let Reverting::Reverted { outcome } = end {
                    outcome.mask(mask);
                }
            }
            Self::ReadingTaken { readings, .. } => Reading::mask_all(readings, mask),
            Self::Answered { decision, readings, .. } => {
                decision.mask(mask);
                Reading::mask_all(readings, mask);
            }
            Self::TurnEnded { end, .. } => {
                if let TurnEnd::Skipped { reason } = end {
                    cover(mask, reason);
                }
            }
            Self::StopRequested { stop } => stop.mask(mask),
            Self::RunClosed { verdict } => {
                if let RunEnd::Stopped(stop) = verdict {
                    stop.mask(mask);
                }
            }
            Self::Adopted { .. }
            | Self::LockRefused { .. }
            | Self::RolePinned { .. }
            | Self::PhaseStarted { .. }
            | Self::BatchFormed { .. }
            | Self::StepStarted { .. }
            | Self::RevertArmed { .. }
            | Self::UndoStarted { .. }
            | Self::Captured { .. }
            | Self::Asked { .. }
            | Self::PointPassed { .. }
            | Self::PhaseEnded { .. } => {}
        }
        self
    }
}

impl Report {
    /// The report as a screen, a program or people far away may have it. A record was masked before it was one.
    #[must_use]
    pub fn masked(mut self, mask: &Mask) -> Self {
        if mask.is_empty() {
            return self;
        }
        match &mut self {
            Self::Notice(notice) => notice.mask(mask),
            Self::Ask(inquiry) => inquiry.mask(mask),
            Self::Record(_)
            | Self::Withdraw(_)
            | Self::Choices(_)
            | Self::Progress
            | Self::Yield(_)
            | Self::Restore(_) => {}
        }
        self
    }
}

impl Notice {
    fn mask(&mut self, mask: &Mask) {
        match self {
            Self::Output { line, .. } => *line = mask.bytes(line),
            Self::Watching { readings, .. } => Reading::mask_all(readings, mask),
            Self::Said { text, .. } => cover(mask, text),
            Self::Connecting { .. }
            | Self::Connected { .. }
            | Self::GateMoved { .. }
            | Self::Copying { .. }
            | Self::Transcript { .. } => {}
        }
    }
}

impl Inquiry {
    fn mask(&mut self, mask: &Mask) {
        cover(mask, &mut self.text);
        cover(mask, &mut self.consequence);
        Reading::mask_all(&mut self.readings, mask);
    }
}

impl Request {
    /// What the operator wrote: a secret may stand in a reason or in the command line.
    fn mask(&mut self, mask: &Mask) {
        let Self {
            overrides,
            change,
            decisions,
            outside_window,
            args,
            lock: LockTerms { break_for, .. },
            ..
        } = self;
        let maybe = [change, outside_window, break_for].into_iter().flatten();
        let whys = decisions.iter_mut().filter_map(|Decided { why, .. }| why.as_mut());
        for text in maybe.chain(overrides.values_mut()).chain(whys).chain(args) {
            cover(mask, text);
        }
    }
}

impl Decision {
    fn mask(&mut self, mask: &Mask) {
        match self {
            Self::Override { reason } | Self::MarkDone { reason } | Self::SkipNode { reason } => {
                cover(mask, reason);
            }
            Self::Yes | Self::No | Self::Retry | Self::RollBack => {}
        }
    }
}

impl Outcome {
    fn mask(&mut self, mask: &Mask) {
        match self {
            Self::Skipped { why } | Self::Unknown { why, .. } => cover(mask, why),
            Self::Failed(failure) => failure.mask(mask),
            Self::Done | Self::Interrupted => {}
        }
    }
}

impl Failure {
    /// Masks what it says.
    pub fn mask(&mut self, mask: &Mask) {
        cover(mask, &mut self.message);
        self.tail.iter_mut().chain(&mut self.help).for_each(|text| cover(mask, text));
    }
}

impl Stop {
    /// Masks why.
    pub fn mask(&mut self, mask: &Mask) {
        cover(mask, &mut self.why);
    }
}

impl Reading {
    /// Masks what was read.
    pub fn mask(&mut self, mask: &Mask) {
        if let Some(value) = &mut self.value {
            value.mask(mask);
        }
        self.verdict.mask(mask);
        cover(mask, &mut self.needs);
        self.evidence.iter_mut().chain(&mut self.remedy).for_each(|text| cover(mask, text));
    }

    /// Masks several.
    pub fn mask_all(readings: &mut [Self], mask: &Mask) {
        for reading in readings {
            reading.mask(mask);
        }
    }
}

impl Verdict {
    fn mask(&mut self, mask: &Mask) {
        match self {
            Self::DoesNotHold { why } | Self::Unreadable { why } => cover(mask, why),
            Self::Holds => {}
        }
    }
}

impl Value {
    /// A secret of digits alone is a number to whoever reads it so.
    fn mask(&mut self, mask: &Mask) {
        match self {
            Self::Text(text) => cover(mask, text),
            Self::Lines(lines) => lines.iter_mut().for_each(|line| cover(mask, line)),
            Self::Json(json) => {
                let text = json.to_string();
                if mask.finds(&text) {
                    *self = Self::Text(mask.text(&text));
                }
            }
            Self::Number(number) => {
                // What begins with zeros has lost them, and of a long one the end is rounded.
                let is_secret = mask.finds_number(*number);
                if is_secret || mask.finds(&self.to_text()) {
                    *self = Self::Text(STARS.to_owned());
                }
            }
            Self::Exit(_) => {}
        }
    }
}

fn cover(mask: &Mask, text: &mut String) {
    if mask.finds(text) {
        *text = mask.text(text);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::event::{FailureKind, Goal, Halt, Operator, Question};
    use crate::model::plan::StepKey;

    const TOKEN: &str = "token-4f81";

    fn text() -> String {
        format!("it is {TOKEN}.")
    }

    fn key() -> StepKey {
        StepKey::try_from("n1/all.upgrade.1".to_owned()).unwrap()
    }

    fn reading() -> Reading {
        Reading {
            check: "queue".to_owned(),
            node: key().node,
            value: Some(Value::Json(serde_json::json!({ "a": [text()] }))),
            verdict: Verdict::DoesNotHold { why: text() },
            needs: text(),
            unit: None,
            evidence: vec![text()],
            remedy: Some(text()),
            at: "2026-11-22T02:00:00Z".parse().unwrap(),
        }
    }

    fn request() -> Request {
        let by = Operator { user: "anna".to_owned(), host: "ops".to_owned(), pid: 1 };
        let mut request = Request::new(Goal::Finished, by);
        request.change = Some(text());
        request.args = vec!["--change".to_owned(), text()];
        request.outside_window = Some(text());
        request.lock.break_for = Some(text());
        request
    }

    #[test]
    fn whatever_is_text_is_masked_and_what_a_run_rests_on_stays() {
        let mask = Mask::of([TOKEN]);
        let stop = Stop { halt: Halt::CheckFailed, why: text(), key: Some(key()) };
        let failure =
            Failure { kind: FailureKind::Script, message: text(), tail: vec![text()], help: Some(text()) };
        let by = request().by;
        for event in [
            Event::RunResumed { request: request() },
            Event::VersionRead { node: key().node, version: text() },
            Event::PhaseSkipped { phase: 1, why: text() },
            Event::StepEnded { key: key(), attempt: 1, outcome: Outcome::Failed(failure) },
            Event::UndoEnded { key: key(), attempt: 1, outcome: Outcome::Skipped { why: text() } },
            Event::LeftUnknown { key: key(), undo: false, why: text() },
            Event::ReadingTaken { key: key(), readings: vec![reading()] },
            Event::Answered {
                question: Question::Gate { key: key() },
                decision: Decision::Override { reason: text() },
                how: crate::model::event::How::Terminal,
                by,
                readings: vec![reading()],
            },
            Event::StopRequested { stop: stop.clone() },
            Event::RunClosed { verdict: RunEnd::Stopped(stop) },
        ] {
            let before = serde_json::to_string(&event).unwrap();
            let after = serde_json::to_string(&event.clone().masked(&mask)).unwrap();
            assert!(before.contains(TOKEN) && after.contains("***") && !after.contains(TOKEN), "{after}");
            assert_eq!(event.clone().masked(&mask).key(), event.key());
            assert_eq!(event.clone().masked(&Mask::default()), event);
        }
    }

    #[test]
    fn a_number_that_is_a_secret_is_none_any_more() {
        let mask = Mask::of(["482913"]);
        let mut read = Reading { value: Some(Value::Number(482_913.0)), ..reading() };
        read.mask(&mask);
        assert_eq!(read.value, Some(Value::Text("***".to_owned())));
        let mut other = Reading { value: Some(Value::Number(7.0)), ..reading() };
        other.mask(&mask);
        assert_eq!(other.value, Some(Value::Number(7.0)));
        // As a number it has lost its zeros, and the end of a long one.
        for (secret, number) in [("004711", 4711.0), ("12345678901234567890", 12_345_678_901_234_567_890.0)] {
            let mut read = Reading { value: Some(Value::Number(number)), ..reading() };
            read.mask(&Mask::of([secret]));
            assert_eq!(read.value, Some(Value::Text("***".to_owned())), "{secret}");
        }
    }

    #[test]
    fn whatever_is_shown_and_not_stored_is_masked_too() {
        let mask = Mask::of([TOKEN]);
        let inquiry = Inquiry {
            question: Question::Gate { key: key() },
            text: text(),
            consequence: text(),
            typed: None,
            readings: vec![reading()],
            can_roll_back: false,
            is_unknown: false,
        };
        let (steady, every) = ((0, 0), Duration::ZERO);
        for report in [
            Report::Ask(Box::new(inquiry)),
            Report::Notice(Notice::Said { node: None, text: text() }),
            Report::Notice(Notice::Output { key: key(), line: text().into_bytes() }),
            Report::Notice(Notice::Watching {
                key: key(),
                readings: vec![reading()],
                steady,
                every,
                waited: every,
                limit: every,
            }),
        ] {
            let shown = format!("{:?}", report.masked(&mask));
            let bytes = format!("{:?}", TOKEN.as_bytes());
            assert!(!shown.contains(TOKEN) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
        }
    }
}
