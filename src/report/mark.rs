//! The moments that a reader of a report asks about: every answer of a human, every override, every failure, each
//! with a number that the timeline shows.

use jiff::Timestamp;

use crate::model::event::{
    Decision, Event, Failure, Halt, How, Means, Operator, Outcome, Question, Reading, Record, Reverting,
    Settlement,
};
use crate::model::name::NodeName;
use crate::model::plan::{Plan, PlannedStep, StepKey, Work};
use crate::model::procedure::{Action, CheckRef, Undo};
use crate::model::state::RunState;
use crate::model::{run, words};

/// What kind of moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody answered, or nobody did.
    Answer,
    /// Somebody passed what would have stopped the run.
    Override,
    /// Something failed, or nobody knows how it ended.
    Failure,
}

impl Kind {
    /// The word for programs.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Override => "override",
            Self::Failure => "failure",
        }
    }
}

/// A numbered moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// From 1, in the order of the journal.
    pub(super) number: usize,
    /// When.
    pub(super) at: Timestamp,
    /// In whose turn; the operator's for the whole run.
    pub(super) node: NodeName,
    /// Of which kind.
    pub(super) kind: Kind,
    /// Who, and how he said it.
    pub(super) who: Option<String>,
    /// What happened, in words.
    pub(super) what: String,
    /// What was on the screen.
    pub(super) readings: Vec<String>,
    /// The reason given.
    pub(super) reason: Option<String>,
}

/// A failure with what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    /// The number of its mark.
    pub(super) mark: usize,
    /// Which step.
    pub(super) key: StepKey,
    /// In which attempt.
    pub(super) attempt: u32,
    /// The step in words.
    pub(super) title: String,
    /// What was run.
    pub(super) command: Option<String>,
    /// How it ended.
    pub(super) failure: Failure,
}

/// Reads all of them off a run's records.
pub(super) fn marks(state: &RunState, records: &[Record]) -> (Vec<Mark>, Vec<Trouble>) {
    let mut found = Found { state, marks: Vec::new(), troubles: Vec::new() };
    for record in records {
        found.take(record);
    }
    (found.marks, found.troubles)
}

/// How often an open gate was answered by `--yes`: no human looked at these.
pub(super) fn passed_by_flag(records: &[Record]) -> usize {
    let by_flag = |record: &&Record| matches!(&record.event, Event::Answered { how: How::YesFlag, .. });
    records.iter().filter(by_flag).count()
}

struct Found<'a> {
    state: &'a RunState,
    marks: Vec<Mark>,
    troubles: Vec<Trouble>,
}

impl Found<'_> {
    fn take(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::Answered { question, decision, how, by, readings } if *how != How::YesFlag => {
                self.answer(at, question, decision, *how, by, readings);
            }
            Event::StepEnded { key, attempt, outcome } => self.ended(at, key, *attempt, false, outcome),
            Event::UndoEnded { key, attempt, outcome } => self.ended(at, key, *attempt, true, outcome),
            Event::RevertEnded { key, end: Reverting::Reverted { .. }, .. } => {
                let what = format!("{}: its node undid it by itself", self.title(key, false));
                self.push(at, &key.node, Kind::Failure, what);
            }
            Event::LeftUnknown { key, undo, why } => {
                let what = format!("{}: nobody knows how it ended: {why}", self.title(key, *undo));
                self.push(at, &key.node, Kind::Failure, what);
            }
            Event::Settled { key, undo, verdict, how: Means::Decided, by, why } => {
                let became = match verdict {
                    Settlement::Done => "was done",
                    Settlement::NotDone => "was not done, and is tried again",
                    Settlement::Failed => "failed",
                };
                let what = format!("decided that {} {became}", self.title(key, *undo));
                let mark = self.push(at, &key.node, Kind::Override, what);
                mark.who = by.as_ref().map(person);
                mark.reason = Some(why.clone()).filter(|why| !why.is_empty());
            }
            Event::Adopted { from, records, by, .. } => {
                let nodes: Vec<&str> = from.iter().map(NodeName::as_str).collect();
                let proven = words::count(usize::try_from(*records).unwrap_or(usize::MAX), "record");
                let what = format!("took the run over with {proven} that {} proved", words::list(&nodes));
                self.push(at, &NodeName::operator(), Kind::Answer, what).who = Some(person(by));
            }
            Event::LockTaken { broke: Some(broken), .. } => {
                let what = format!("took the lock from {}", broken.holder);
                let mark = self.push(at, &NodeName::operator(), Kind::Override, what);
                mark.reason = Some(broken.reason.clone());
            }
            Event::WindowPassed { outside, .. } => {
                let what = format!("went on outside of the window: {}", outside.why);
                let mark = self.push(at, &NodeName::operator(), Kind::Override, what);
                mark.who = Some(person(&outside.by));
                mark.reason = Some(outside.reason.clone());
            }
            Event::StopRequested { stop } if matches!(stop.halt, Halt::Interrupted) => {
                let node = stop.key.as_ref().map_or_else(NodeName::operator, |key| key.node.clone());
                self.push(at, &node, Kind::Answer, format!("stopped: {}", stop.why));
            }
            _ => {}
        }
    }

    fn push(&mut self, at: Timestamp, node: &NodeName, kind: Kind, what: String) -> &mut Mark {
        let number = self.marks.len() + 1;
        let mark = Mark {
            number,
            at,
            node: node.clone(),
            kind,
            who: None,
            what,
            readings: Vec::new(),
            reason: None,
        };
        self.marks.push(mark);
        self.marks.last_mut().expect("it was pushed just now")
    }

    fn title(&self, key: &StepKey, undo: bool) -> String {
        let title = run::title_of(self.state, key);
        if undo { format!("the undo of {title}") } else { title }
    }

    fn answer(
        &mut self,
        at: Timestamp,
        question: &Question,
        decision: &Decision,
        how: How,
        by: &Operator,
        readings: &[Reading],
    ) {
        let undo = matches!(question, Question::Trouble { undo: true, .. });
        let title = self.title(question.key(), undo);
        let node = &question.key().node;
        let (kind, what, reason) = match decision {
            Decision::Yes => (Kind::Answer, format!("yes to {title}"), None),
            Decision::No if how == How::Nobody => {
                (Kind::Answer, format!("{title}: an answer was needed, and nobody could be asked"), None)
            }
            Decision::No => (Kind::Answer, format!("no to {title}"), None),
            Decision::Override { reason } => (Kind::Override, format!("passed {title} closed"), Some(reason)),
            Decision::Retry => (Kind::Answer, format!("had {title} tried again"), None),
            Decision::MarkDone { reason } => (Kind::Override, format!("took {title} as done"), Some(reason)),
            Decision::SkipNode { reason } => {
                (Kind::Override, format!("went on without {node} after {title}"), Some(reason))
            }
            Decision::RollBack => (Kind::Answer, format!("had {node} rolled back after {title}"), None),
        };
        let who = match how {
            How::Nobody => None,
            How::Terminal => Some(person(by)),
            How::Approved => Some(format!("{}, by rollgate approve", person(by))),
            How::YesFlag => Some(format!("{}, by --yes", person(by))),
            How::OverrideFlag => Some(format!("{}, by --override", person(by))),
            How::ConfirmFlag => Some(format!("{}, by --confirm", person(by))),
        };
        let (node, reason) = (node.clone(), reason.cloned());
        let mark = self.push(at, &node, kind, what);
        mark.who = who;
        mark.readings = readings.iter().map(in_words).collect();
        mark.reason = reason;
    }

    fn ended(&mut self, at: Timestamp, key: &StepKey, attempt: u32, undo: bool, outcome: &Outcome) {
        let title = self.title(key, undo);
        let failure = match outcome {
            Outcome::Failed(failure) => failure,
            Outcome::Unknown { why, .. } => {
                let what = format!("{title}: nobody knows how it ended: {why}");
                self.push(at, &key.node, Kind::Failure, what);
                return;
            }
            Outcome::Done | Outcome::Skipped { .. } | Outcome::Interrupted => return,
        };
        let mark =
            self.push(at, &key.node, Kind::Failure, format!("{title} failed: {}", failure.message)).number;
        let planned = self.state.plan.find(&key.step).map(|(_, planned)| planned);
        let command = planned.and_then(|planned| command_of(&self.state.plan, planned, undo));
        let trouble = Trouble { mark, key: key.clone(), attempt, title, command, failure: failure.clone() };
        self.troubles.push(trouble);
    }
}

/// Who somebody is.
pub(super) fn person(by: &Operator) -> String {
    format!("{} on {}", by.user, by.host)
}

/// A reading in words: `queue depth 5200 messages (needs <= 100)`.
fn in_words(reading: &Reading) -> String {
    let value = reading.value.as_ref().map_or_else(|| "unreadable".to_owned(), ToString::to_string);
    let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let needs = if reading.needs.is_empty() { String::new() } else { format!(" (needs {})", reading.needs) };
    format!("{} {value}{unit}{needs}", reading.check)
}

/// What a step runs, as written in the procedure.
fn command_of(plan: &Plan, planned: &PlannedStep, undo: bool) -> Option<String> {
    let check = |check: &CheckRef| plan.check(check).script.body.clone();
    let step = match &planned.work {
        Work::Step(step) => step,
        Work::Soak(soak) => return Some(soak.checks.iter().map(check).collect::<Vec<_>>().join("\n")),
        _ => return None,
    };
    if undo {
        return match step.undo.as_ref()? {
            Undo::Run(script) => Some(script.body.clone()),
            Undo::Manual(text) => Some(text.as_str().to_owned()),
        };
    }
    match &step.action {
        Action::Run(run) => Some(run.script.body.clone()),
        Action::Check(one) => Some(check(one)),
        Action::Wait(wait) => Some(check(&wait.check)),
        Action::Gate(gate) => Some(gate.checks.iter().map(check).collect::<Vec<_>>().join("\n")),
        Action::Manual(manual) => Some(manual.text.as_str().to_owned()),
        Action::Reboot(script) => Some(script.body.clone()),
        Action::Put(put) => Some(format!("put {} {}", put.source.as_str(), put.to.as_str())),
        Action::Get(get) => Some(format!("get {} {}", get.from.as_str(), get.to.as_str())),
    }
    .filter(|command| !command.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::FailureKind;
    use crate::model::plan::Section;
    use crate::model::sample;
    use crate::model::window::Outside;

    fn answered(decision: Decision, how: How) -> Vec<Mark> {
        let mut events = sample::events();
        let question = Question::Gate { key: sample::key("mq-02", Section::Drain, 2) };
        let by = sample::request().by;
        let readings = vec![sample::reading(5200.0, 400)];
        events.push((400, Event::Answered { question, decision, how, by, readings }));
        let state = sample::state(sample::events());
        marks(&state, &sample::records(events)).0
    }

    #[test]
    fn an_override_has_its_person_its_reading_and_its_reason() {
        let reason = "CHG-7 agreed".to_owned();
        let marks = answered(Decision::Override { reason }, How::Terminal);
        let [mark] = &marks[..] else { panic!("{marks:?}") };
        assert_eq!((mark.number, mark.kind, mark.node.as_str()), (1, Kind::Override, "mq-02"));
        assert_eq!(mark.what, "passed gate \"queue depth\" closed");
        assert_eq!(mark.who.as_deref(), Some("anna on bastion-1"));
        assert_eq!(mark.readings, ["queue depth 5200 messages (needs <= 100)"]);
        assert_eq!(mark.reason.as_deref(), Some("CHG-7 agreed"));
    }

    #[test]
    fn a_flag_is_no_human() {
        assert!(answered(Decision::Yes, How::YesFlag).is_empty());
        assert_eq!(answered(Decision::No, How::Nobody)[0].who, None);
    }

    #[test]
    fn a_turn_outside_of_the_window_is_marked_with_its_reason() {
        let mut events = sample::events();
        let outside = Outside {
            why: "the window is closed until Sat 22:00".into(),
            reason: "CHG-9 agreed".into(),
            by: sample::request().by,
        };
        events.push((400, Event::WindowPassed { phase: 0, outside }));
        let (marks, _) = marks(&sample::state(events.clone()), &sample::records(events));
        assert_eq!(marks[0].what, "went on outside of the window: the window is closed until Sat 22:00");
        assert_eq!(marks[0].kind, Kind::Override);
        assert_eq!(marks[0].who.as_deref(), Some("anna on bastion-1"));
        assert_eq!(marks[0].reason.as_deref(), Some("CHG-9 agreed"));
    }

    #[test]
    fn a_failure_keeps_its_command_and_its_output() {
        let mut events = sample::events();
        let key = sample::key("mq-01", Section::Upgrade, 1);
        let failure = Failure {
            kind: FailureKind::Script,
            message: "it ended with exit status 3".to_owned(),
            tail: vec!["no space".to_owned()],
            help: None,
        };
        events.push((500, Event::StepEnded { key, attempt: 1, outcome: Outcome::Failed(failure.clone()) }));
        let state = sample::state(sample::events());
        let (marks, troubles) = marks(&state, &sample::records(events));
        assert_eq!(marks[0].what, "upgrade \"install\" failed: it ended with exit status 3");
        assert_eq!((troubles[0].mark, troubles[0].command.as_deref()), (1, Some("mqctl upgrade")));
        assert_eq!(troubles[0].failure, failure);
    }
}
