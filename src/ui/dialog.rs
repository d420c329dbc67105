//! What is asked after what: questions as a machine without a terminal. Every way out that is not a clear
//! answer is the harmless one.

use crate::model::event::{Control, Decision, Inquiry, Question};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;

use super::prompt::Typed;

/// A question of at most so many characters stands on the line where it is answered.
const SHORT: usize = 50;

/// A dialog that waits for a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialog {
    /// A gate, a step by hand, a point of no return, or a check that stopped holding: yes or a typed word.
    Confirm(Box<Inquiry>),
    /// What to do about a step that failed.
    Trouble(Box<Inquiry>),
    /// Why a step is taken as done, or a node left out.
    TroubleReason(Box<Inquiry>, Settling),
    /// Choices at a gate that is closed.
    GateMenu(Closed),
    /// The word that shows that opening a closed gate is meant.
    OpenName(Closed),
    /// Why it is opened.
    OpenReason(Closed),
}

/// What needs a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// Take the step as done.
    MarkDone,
    /// Leave the node out.
    SkipNode,
}

/// A gate that is closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Closed {
    /// Which.
    pub key: StepKey,
    /// What must be typed to open it: the node, or the cluster where it belongs to no node.
    pub word: String,
    /// What stopping here leaves: `mq-03 is untouched`.
    pub so_far: String,
}

/// What a dialog wants from the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A line after this prompt.
    Line(String),
    /// One of these; the number is the harmless one.
    Choice(Vec<String>, usize),
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Want::Line`].
    Typed(Typed),
    /// To [`Want::Choice`].
    Chosen(Option<usize>),
    /// The terminal is gone.
    Gone,
}

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Another question.
    Ask(Dialog),
    /// This is the answer.
    Send(Control),
    /// Nothing was decided at this gate; with words on why.
    Leave(StepKey, &'static str),
}

#[derive(Clone, Copy)]
enum Way {
    Retry,
    Settle(Settling),
    RollBack,
    Stop,
}

impl Dialog {
    /// Begins with a question of the engine.
    pub fn of(inquiry: Inquiry) -> Self {
        match inquiry.question {
            Question::Trouble { .. } => Self::Trouble(Box::new(inquiry)),
            Question::Gate { .. } | Question::During { .. } => Self::Confirm(Box::new(inquiry)),
        }
    }

    /// The question of the engine that it answers, if it does.
    pub fn question(&self) -> Option<&Question> {
        match self {
            Self::Confirm(inquiry) | Self::Trouble(inquiry) | Self::TroubleReason(inquiry, _) => {
                Some(&inquiry.question)
            }
            Self::GateMenu(_) | Self::OpenName(_) | Self::OpenReason(_) => None,
        }
    }

    /// The step that it is about.
    pub fn key(&self) -> &StepKey {
        match self {
            Self::Confirm(inquiry) | Self::Trouble(inquiry) | Self::TroubleReason(inquiry, _) => {
                inquiry.question.key()
            }
            Self::GateMenu(closed) | Self::OpenName(closed) | Self::OpenReason(closed) => &closed.key,
        }
    }

    /// What it wants.
    pub fn want(&self) -> Want {
        match self {
            Self::Confirm(inquiry) => Want::Line(match (&inquiry.typed, split(inquiry).1) {
                (Some(word), _) => format!("Type {word} to go on, anything else to stop: "),
                (None, "") => "[yes/no] ".to_owned(),
                (None, last) => format!("{last} [yes/no] "),
            }),
            Self::Trouble(inquiry) => {
                let ways = ways(inquiry);
                let items = ways.iter().map(|way| wording(*way, inquiry)).collect();
                Want::Choice(items, ways.len() - 1)
            }
            Self::TroubleReason(..) | Self::OpenReason(_) => {
                Want::Line("Reason, for the report: ".to_owned())
            }
            Self::GateMenu(closed) => Want::Choice(gate_items(closed), 0),
            Self::OpenName(closed) => Want::Line(format!(
                "Type {} to open the closed gate, anything else to keep waiting: ",
                closed.word
            )),
        }
    }

    /// Takes a reply. A terminal that is gone stops the run at its next safe point.
    pub fn answer(self, reply: &Reply) -> Then {
        let gone = matches!(reply, Reply::Gone | Reply::Typed(Typed::End));
        match self {
            Self::Confirm(inquiry) => {
                let yes = matches!((reply, &inquiry.typed),
                    (Reply::Typed(typed), Some(word)) if typed.is_name(word))
                    || matches!((reply, &inquiry.typed), (Reply::Typed(typed), None) if typed.is_yes());
                decide(&inquiry, if yes { Decision::Yes } else { Decision::No })
            }
            Self::Trouble(inquiry) => {
                let chosen = match reply {
                    Reply::Chosen(Some(place)) => ways(&inquiry).get(*place).copied(),
                    _ => None,
                };
                match chosen.unwrap_or(Way::Stop) {
                    Way::Retry => decide(&inquiry, Decision::Retry),
                    Way::RollBack => decide(&inquiry, Decision::RollBack),
                    Way::Stop => decide(&inquiry, Decision::No),
                    Way::Settle(settling) => Then::Ask(Self::TroubleReason(inquiry, settling)),
                }
            }
            Self::TroubleReason(inquiry, _) if gone => decide(&inquiry, Decision::No),
            Self::TroubleReason(inquiry, settling) => match (reason(reply), settling) {
                (Some(reason), Settling::MarkDone) => decide(&inquiry, Decision::MarkDone { reason }),
                (Some(reason), Settling::SkipNode) => decide(&inquiry, Decision::SkipNode { reason }),
                (None, _) => Then::Ask(Self::Trouble(inquiry)),
            },
            _ if gone => Then::Send(Control::Stop),
            Self::GateMenu(closed) => match reply {
                Reply::Chosen(Some(1)) => Then::Send(Control::ReadNow { key: closed.key }),
                Reply::Chosen(Some(2)) => Then::Ask(Self::OpenName(closed)),
                Reply::Chosen(Some(3)) => Then::Send(Control::Stop),
                _ => Then::Leave(closed.key, "waiting on"),
            },
            Self::OpenName(closed) => match reply {
                Reply::Typed(typed) if typed.is_name(&closed.word) => Then::Ask(Self::OpenReason(closed)),
                _ => Then::Leave(closed.key, "not opened; waiting on"),
            },
            Self::OpenReason(closed) => match reason(reply) {
                Some(reason) => Then::Send(Control::Open { key: closed.key, reason }),
                None => Then::Leave(closed.key, "a gate is not opened without a reason; waiting on"),
            },
        }
    }
}

/// The question's text in two: what stands above the prompt, and what begins it where that is short.
pub fn split(inquiry: &Inquiry) -> (&str, &str) {
    let text = inquiry.text.trim_end();
    let (above, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let is_yes_or_no = inquiry.typed.is_none() && !matches!(inquiry.question, Question::Trouble { .. });
    if is_yes_or_no && last.chars().count() <= SHORT { (above, last) } else { (text, "") }
}

fn decide(inquiry: &Inquiry, decision: Decision) -> Then {
    Then::Send(Control::Answer { question: inquiry.question.clone(), decision })
}

fn reason(reply: &Reply) -> Option<String> {
    match reply {
        Reply::Typed(typed) => typed.reason().map(str::to_owned),
        _ => None,
    }
}

/// The ways out of trouble; the last one is the harmless one.
fn ways(inquiry: &Inquiry) -> Vec<Way> {
    let mut ways = vec![Way::Retry, Way::Settle(Settling::MarkDone)];
    if inquiry.is_unknown {
        // Whoever answers in haste does not begin something twice.
        ways.swap(0, 1);
    }
    if let Question::Trouble { undo: false, key } = &inquiry.question {
        if !key.node.is_operator() {
            ways.push(Way::Settle(Settling::SkipNode));
        }
        if inquiry.can_roll_back {
            ways.push(Way::RollBack);
        }
    }
    ways.push(Way::Stop);
    ways
}

fn wording(way: Way, inquiry: &Inquiry) -> String {
    let node = name(&inquiry.question.key().node);
    match way {
        Way::Retry if inquiry.is_unknown => "it was not done: do it again".to_owned(),
        Way::Settle(Settling::MarkDone) if inquiry.is_unknown => {
            "it was done: go on (asks for a reason, which goes into the journal)".to_owned()
        }
        Way::Retry => "try it again".to_owned(),
        Way::Settle(Settling::MarkDone) => {
            "take it as done (asks for a reason, which goes into the journal)".to_owned()
        }
        Way::Settle(Settling::SkipNode) => {
            format!("leave {node} as it is and go on without it (asks for a reason)")
        }
        Way::RollBack => format!("roll {node} back, then stop"),
        Way::Stop if inquiry.is_unknown => {
            "stop here; it stays unknown (--resume asks the node again)".to_owned()
        }
        Way::Stop => "stop here (--resume goes on)".to_owned(),
    }
}

fn name(node: &NodeName) -> &str {
    if node.is_operator() { "this machine" } else { node.as_str() }
}

fn gate_items(closed: &Closed) -> Vec<String> {
    let so_far = if closed.so_far.is_empty() { String::new() } else { format!("; {}", closed.so_far) };
    vec![
        "keep waiting".to_owned(),
        "read the gate now and show what its commands say".to_owned(),
        format!("open it anyway (asks for {} and a reason, both go into the journal)", closed.word),
        format!("stop here{so_far} (--resume goes on)"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> StepKey {
        StepKey::try_from("mq-03/brokers.drain.2".to_owned()).unwrap()
    }

    fn inquiry(question: Question, typed: Option<&str>) -> Inquiry {
        Inquiry {
            question,
            text: "Go on with mq-03?".into(),
            consequence: String::new(),
            typed: typed.map(str::to_owned),
            readings: Vec::new(),
            can_roll_back: true,
            is_unknown: false,
        }
    }

    fn line(text: &str) -> Reply {
        Reply::Typed(Typed::Line(text.into()))
    }

    fn sent(then: Then) -> Decision {
        match then {
            Then::Send(Control::Answer { decision, .. }) => decision,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_yes_passes_a_gate() {
        let gate = || Dialog::of(inquiry(Question::Gate { key: key() }, None));
        assert_eq!(sent(gate().answer(&line("yes"))), Decision::Yes);
        for reply in [line("y"), line(""), line("no"), line("mq-prod"), Reply::Gone, Reply::Chosen(Some(0))] {
            assert_eq!(sent(gate().answer(&reply)), Decision::No, "{reply:?}");
        }
        for typed in [Typed::End, Typed::TakenBack, Typed::TimedOut] {
            assert_eq!(sent(gate().answer(&Reply::Typed(typed))), Decision::No);
        }
    }

    #[test]
    fn a_typed_gate_wants_the_word_and_not_yes() {
        let gate = || Dialog::of(inquiry(Question::Gate { key: key() }, Some("mq-prod")));
        assert_eq!(gate().want(), Want::Line("Type mq-prod to go on, anything else to stop: ".into()));
        assert_eq!(sent(gate().answer(&line("mq-prod"))), Decision::Yes);
        assert_eq!(sent(gate().answer(&line("yes"))), Decision::No);
    }

    #[test]
    fn trouble_has_ways_out_and_stops_on_anything_else() {
        let trouble = || Dialog::of(inquiry(Question::Trouble { key: key(), undo: false }, None));
        let Want::Choice(items, harmless) = trouble().want() else { panic!() };
        assert_eq!((items.len(), harmless), (5, 4));
        assert_eq!(sent(trouble().answer(&Reply::Chosen(Some(0)))), Decision::Retry);
        assert_eq!(sent(trouble().answer(&Reply::Chosen(Some(3)))), Decision::RollBack);
        for reply in [Reply::Chosen(Some(4)), Reply::Chosen(None), Reply::Chosen(Some(9)), Reply::Gone] {
            assert_eq!(sent(trouble().answer(&reply)), Decision::No);
        }
        let Then::Ask(reason) = trouble().answer(&Reply::Chosen(Some(1))) else { panic!() };
        assert_eq!(
            sent(reason.clone().answer(&line("done by hand"))),
            Decision::MarkDone { reason: "done by hand".into() }
        );
        assert!(matches!(reason.clone().answer(&line("")), Then::Ask(Dialog::Trouble(_))));
        assert_eq!(sent(reason.answer(&Reply::Typed(Typed::End))), Decision::No);
        let Then::Ask(reason) = trouble().answer(&Reply::Chosen(Some(2))) else { panic!() };
        assert_eq!(
            sent(reason.answer(&line("broken disk"))),
            Decision::SkipNode { reason: "broken disk".into() }
        );
    }

    #[test]
    fn what_nobody_knows_is_asked_about_in_its_own_words() {
        let of = |undo| {
            let question = Question::Trouble { key: key(), undo };
            Dialog::of(Inquiry { is_unknown: true, ..inquiry(question, None) })
        };
        let Want::Choice(items, harmless) = of(false).want() else { panic!() };
        assert!(items[0].starts_with("it was done") && items[1].starts_with("it was not done"), "{items:?}");
        assert!(items[harmless].contains("it stays unknown"), "{items:?}");
        let Then::Ask(reason) = of(false).answer(&Reply::Chosen(Some(0))) else { panic!() };
        assert_eq!(sent(reason.answer(&line("I looked"))), Decision::MarkDone { reason: "I looked".into() });
        assert_eq!(sent(of(false).answer(&Reply::Chosen(Some(1)))), Decision::Retry);
        assert_eq!(sent(of(true).answer(&Reply::Chosen(Some(1)))), Decision::Retry);
        assert_eq!(sent(of(true).answer(&Reply::Chosen(None))), Decision::No);
    }

    #[test]
    fn an_undo_offers_no_rollback() {
        let dialog = Dialog::of(inquiry(Question::Trouble { key: key(), undo: true }, None));
        let Want::Choice(items, _) = dialog.want() else { panic!() };
        assert_eq!(items.len(), 3, "{items:?}");
    }

    #[test]
    fn a_closed_gate_opens_for_its_name_and_a_reason() {
        let closed = Closed { key: key(), word: "mq-03".into(), so_far: "mq-03 is untouched".into() };
        let menu = || Dialog::GateMenu(closed.clone());
        assert_eq!(menu().answer(&Reply::Chosen(None)), Then::Leave(key(), "waiting on"));
        assert_eq!(menu().answer(&Reply::Chosen(Some(3))), Then::Send(Control::Stop));
        assert_eq!(menu().answer(&Reply::Gone), Then::Send(Control::Stop));
        assert_eq!(menu().answer(&Reply::Chosen(Some(1))), Then::Send(Control::ReadNow { key: key() }));
        let Then::Ask(named) = menu().answer(&Reply::Chosen(Some(2))) else { panic!() };
        assert!(matches!(named.clone().answer(&line("yes")), Then::Leave(..)));
        let Then::Ask(reason) = named.answer(&line("mq-03")) else { panic!() };
        assert!(matches!(reason.clone().answer(&line(" ")), Then::Leave(..)));
        assert_eq!(
            reason.answer(&line("vendor said so")),
            Then::Send(Control::Open { key: key(), reason: "vendor said so".into() })
        );
    }
}
