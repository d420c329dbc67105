//! What workers put on the loop's desk. The loop alone writes the journal; a worker that has
//! something to record hands it over and waits until it is durable.

use tokio::sync::{mpsc, oneshot};

use super::Screen;
use crate::model::event::{Decision, Event, How, Inquiry, Notice, Outcome, Question, Report, Turn, TurnEnd};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;

/// Something for the loop.
pub(super) enum Message {
    /// Commit this, then say so.
    Commit { event: Box<Event>, durable: oneshot::Sender<()> },
    /// Ask the operator.
    Ask { inquiry: Box<Inquiry>, answer: oneshot::Sender<(Decision, How)> },
    /// The question is void.
    Withdraw(Question),
    /// A step, or its undo, ended.
    Ended { key: StepKey, attempt: u32, undo: bool, outcome: Outcome },
    /// A step needs the terminal; the answer comes when the screen has let go of it.
    NeedTerminal { key: StepKey, free: oneshot::Sender<()> },
    /// It is known where a step is to be done, or why that cannot be known.
    Placed { key: StepKey, attempt: u32, on: Result<Vec<NodeName>, Outcome> },
    /// The nodes that have the role of `last:` are known, or why that cannot be known.
    LastRead { phase: usize, last: Result<Vec<NodeName>, String> },
    /// What a node runs at the end of its turn, where that could be read.
    TurnRead { turn: Turn, end: TurnEnd, version: Option<String> },
    /// What became of a step of an earlier invocation.
    Recovered { key: StepKey, undo: bool, outcome: Outcome },
    /// What an unknown step was settled by, or that it could not be.
    Settled { key: StepKey, undo: bool, event: Box<Event> },
}

/// A worker's side of the desk.
#[derive(Clone)]
pub(super) struct Desk {
    loop_: mpsc::UnboundedSender<Message>,
    screen: Screen,
}

impl Desk {
    pub(super) fn new(loop_: mpsc::UnboundedSender<Message>, screen: Screen) -> Self {
        Self { loop_, screen }
    }

    /// Makes an event part of the run. When the loop is gone there is nothing to wait for: the runtime
    /// ends with it.
    pub(super) async fn commit(&self, event: Event) {
        let (durable, told) = oneshot::channel();
        self.send(Message::Commit { event: Box::new(event), durable });
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Asks the operator. Dropping the future does not withdraw the question.
    pub(super) fn ask(&self, inquiry: Inquiry) -> oneshot::Receiver<(Decision, How)> {
        let (answer, told) = oneshot::channel();
        self.send(Message::Ask { inquiry: Box::new(inquiry), answer });
        told
    }

    pub(super) fn send(&self, message: Message) {
        if self.loop_.send(message).is_err() {
            tracing::debug!("the loop is gone");
        }
    }

    pub(super) fn notify(&self, notice: Notice) {
        self.report(Report::Notice(notice));
    }

    pub(super) fn report(&self, report: Report) {
        if !(self.screen)(report) {
            tracing::debug!("the screen is gone");
        }
    }
}
