//! The one loop. Work, answers and signals come in one after the other; what follows from them is the
//! scheduler's to say.

mod approving;
mod locking;
mod moves;
mod operator;
mod trouble;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::ahead::Ahead;
use super::callers::Call;
use super::desk::{Desk, Message};
use super::ledger::Ledger;
use super::lock::Heartbeat;
use super::opening;
use super::pool::Changing;
use super::signals::Signals;
use super::site::Site;
use super::worker::GateWord;
use super::{EngineError, Screen};
use crate::journal::Journal;
use crate::model::event::{Control, Decision, Event, Goal, How, Question, Report, RunEnd, Turn};
use crate::model::plan::StepKey;
use crate::model::state::RunState;
use operator::interrupted;

/// Work that must be done before the event it leads to can be committed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Errand {
    Place(StepKey),
    ReadLast(usize),
    Recover(StepKey, bool),
    Settle(StepKey, bool),
    ReadTurn(Turn),
}

/// Executes a run until its invocation ends. Answers come from the screen and, by `calls`, from other processes.
pub async fn drive<J: Journal>(
    ledger: Ledger<J>,
    site: Arc<Site<Changing>>,
    screen: Screen,
    controls: mpsc::UnboundedReceiver<Control>,
    calls: mpsc::UnboundedReceiver<Call>,
    signals: Signals,
) -> Result<RunEnd, EngineError> {
    let (loop_, inbox) = mpsc::unbounded_channel();
    let (stop, _) = watch::channel(false);
    let mut driver = Driver {
        ledger,
        desk: Desk::new(loop_, screen),
        site,
        inbox,
        controls,
        calls,
        signals,
        stop,
        errands: BTreeSet::new(),
        ahead: Ahead::default(),
        questions: BTreeMap::new(),
        gates: BTreeMap::new(),
        terminal: None,
        interrupts: 0,
        screen_is_gone: false,
        at_choices: false,
        heartbeat: None,
    };
    let end = match driver.lock().await {
        Ok(true) => driver.open().await,
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    let end = match end {
        Ok(()) => driver.run().await,
        Err(error) => Err(error),
    };
    if end.is_ok() {
        driver.unlock().await;
    }
    driver.site.pool.close().await;
    end
}

struct Driver<J> {
    ledger: Ledger<J>,
    desk: Desk,
    site: Arc<Site<Changing>>,
    inbox: mpsc::UnboundedReceiver<Message>,
    controls: mpsc::UnboundedReceiver<Control>,
    calls: mpsc::UnboundedReceiver<Call>,
    signals: Signals,
    stop: watch::Sender<bool>,
    errands: BTreeSet<Errand>,
    ahead: Ahead,
    questions: BTreeMap<StepKey, Standing>,
    gates: BTreeMap<StepKey, mpsc::UnboundedSender<GateWord>>,
    terminal: Option<(StepKey, oneshot::Sender<()>)>,
    interrupts: u32,
    screen_is_gone: bool,
    at_choices: bool,
    heartbeat: Option<Heartbeat>,
}

/// A question of a worker that nobody has answered yet.
struct Standing {
    question: Question,
    /// The word that must be typed, where it is not `yes`.
    typed: Option<String>,
    /// The record that put it.
    number: u64,
    answer: oneshot::Sender<(Decision, How)>,
}

impl<J: Journal> Driver<J> {
    fn state(&self) -> Arc<RunState> {
        Arc::clone(self.ledger.state())
    }

    /// Every event of a run comes by here, and with it all that somebody printed, typed or was told.
    fn commit(&mut self, event: Event) -> Result<(), EngineError> {
        let spoiled = self.ahead.spoiled_by(&event);
        self.ledger.commit(event.masked(&self.site.secrets().masking()))?;
        if self.ledger.state().stop.is_some() {
            self.stop.send_replace(true);
        }
        // Last: a check that stops is not to ask anew first.
        self.ahead.drop(&spoiled);
        Ok(())
    }

    /// What a first start rests on is read before its first step; `stage` reaches every node before it
    /// copies to the first.
    async fn open(&mut self) -> Result<(), EngineError> {
        let state = self.state();
        let is_first = !state.has_started() && state.pinned.is_empty() && state.versions.is_empty();
        let reading = async {
            match state.request.goal {
                Goal::Finished if is_first => opening::open(&self.site, &state).await,
                Goal::Staged => opening::reach(&self.site, &state).await.map(|()| Vec::new()),
                _ => Ok(Vec::new()),
            }
        };
        let found = tokio::select! {
            found = reading => found,
            signal = self.signals.next() => Err(interrupted(signal)),
        };
        match found {
            Ok(events) => events.into_iter().try_for_each(|event| self.commit(event)),
            Err(stop) => self.commit(Event::StopRequested { stop }),
        }
    }

    async fn run(&mut self) -> Result<RunEnd, EngineError> {
        loop {
            while self.make_moves()? {}
            if let Some(end) = self.state().end.clone() {
                return Ok(end);
            }
            if !self.is_waiting_for_something() {
                return Err(EngineError::Stuck);
            }
            tokio::select! {
                // The operator comes first, and in order: a Ctrl-C after an answer is no Ctrl-C before it.
                biased;
                control = self.controls.recv(), if !self.screen_is_gone => self.obey(control)?,
                Some(call) = self.calls.recv() => self.take_call(call)?,
                signal = self.signals.next() => {
                    if let Some(end) = self.signalled(signal)? {
                        return Ok(end);
                    }
                }
                Some(message) = self.inbox.recv() => self.hear(message)?,
            }
        }
    }

    fn is_waiting_for_something(&self) -> bool {
        let state = self.ledger.state();
        state.is_busy() || state.question.is_some() || !self.errands.is_empty()
    }

    fn hear(&mut self, message: Message) -> Result<(), EngineError> {
        match message {
            Message::Commit { event, durable } => {
                self.commit(*event)?;
                // A worker that no longer listens has been given up.
                let _ = durable.send(());
            }
            Message::Ask { inquiry, answer } => self.ask(*inquiry, answer)?,
            Message::Withdraw(question) => {
                if self.questions.remove(question.key()).is_some() {
                    self.desk.report(Report::Withdraw(question));
                }
            }
            Message::Ended { key, attempt, undo: false, outcome } => {
                self.gates.remove(&key);
                self.end_question(&key, &outcome)?;
                self.commit(Event::StepEnded { key, attempt, outcome })?;
            }
            Message::Ended { key, attempt, undo: true, outcome } => {
                self.commit(Event::UndoEnded { key, attempt, outcome })?;
            }
            Message::NeedTerminal { key, free } => {
                self.terminal = Some((key.clone(), free));
                self.desk.report(Report::Yield(key));
            }
            Message::Placed { key, attempt, on } => {
                self.errands.remove(&Errand::Place(key.clone()));
                self.placed(key, attempt, on)?;
            }
            Message::LastRead { phase, last } => {
                self.errands.remove(&Errand::ReadLast(phase));
                self.last_read(phase, last)?;
            }
            Message::TurnRead { turn, end, version } => {
                self.errands.remove(&Errand::ReadTurn(turn.clone()));
                self.turn_read(turn, end, version)?;
            }
            Message::Recovered { key, undo, outcome } => {
                self.errands.remove(&Errand::Recover(key.clone(), undo));
                self.recovered(key, undo, outcome)?;
            }
            Message::Settled { key, undo, event } => {
                self.errands.remove(&Errand::Settle(key.clone(), undo));
                self.settled(&key, undo, *event)?;
            }
        }
        Ok(())
    }
}
