//! Who works at the desk: one thread that takes reports and replies in turn.

mod elsewhere;
mod lending;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::duration;
use crate::model::event::{Control, Decision, Event, Inquiry, Notice, Question, Record, Report};
use crate::model::plan::StepKey;
use crate::model::state::RunState;

use super::super::block::{self, Passing};
use super::super::dialog::{Closed, Dialog, Reply, Then, Want};
use super::super::document;
use super::super::gate;
use super::super::ink::{Line, Sign, Tone, wrap};
use super::super::moment::Moment;
use super::super::narrate::{Loudness, Told, narrate};
use super::super::prompt::{self, Standing};
use super::super::question;
use super::super::run;
use super::super::terminal::Face;
use super::super::words;
use super::Place;
use super::loan::Loan;
use super::reports::Inbox;

/// How long an answer may lie there before it is taken up.
const PAUSE: Duration = Duration::from_millis(40);
/// How often what is drawn is brought up to date.
const TICK: Duration = Duration::from_millis(100);
/// Off a terminal a gate that waits says so at most this often.
const HEARTBEAT: Duration = Duration::from_mins(1);

/// A reply to the question of that number: one to an earlier question is nobody's.
type Numbered = (u64, Reply);

/// What was last said of a gate.
struct Heard {
    at: Instant,
    open: bool,
}

struct Asked {
    dialog: Dialog,
    serial: u64,
    standing: Option<Standing>,
    /// Whether the lines above the prompt are brought up to date while it stands.
    is_gate: bool,
}

/// See the module.
pub(super) struct Clerk {
    place: Place,
    state: Option<RunState>,
    passing: Passing,
    controls: Box<dyn Fn(Control) + Send>,
    answer: Sender<Numbered>,
    answers: Receiver<Numbered>,
    inquiries: VecDeque<Inquiry>,
    dialog: Option<Asked>,
    serial: u64,
    /// Steps that want the terminal to themselves; the first one has it once `yielded` is set.
    yields: VecDeque<StepKey>,
    yielded: bool,
    /// Logins that want the terminal for a line, and the one that has it.
    borrowers: Receiver<Loan>,
    lent: Option<Loan>,
    /// What was last said of gates that wait.
    heard: BTreeMap<StepKey, Heard>,
}

impl Clerk {
    pub(super) fn new(
        place: Place,
        state: Option<RunState>,
        controls: Box<dyn Fn(Control) + Send>,
        borrowers: Receiver<Loan>,
    ) -> Self {
        let (answer, answers) = channel();
        Self {
            place,
            state,
            passing: Passing::default(),
            controls,
            answer,
            answers,
            inquiries: VecDeque::new(),
            dialog: None,
            serial: 0,
            yields: VecDeque::new(),
            yielded: false,
            borrowers,
            lent: None,
            heard: BTreeMap::new(),
        }
    }

    /// Works until everything that was reported is shown and the desk is closing, or nobody reports any more.
    pub(super) fn work(mut self, reports: &Inbox, closing: &AtomicBool) -> Option<RunState> {
        let mut drawn = Instant::now();
        loop {
            match reports.recv_timeout(PAUSE) {
                Ok(report) => self.take(report),
                Err(RecvTimeoutError::Timeout) if !closing.load(Ordering::SeqCst) => {}
                Err(_) => break,
            }
            while let Ok((serial, reply)) = self.answers.try_recv() {
                self.reply(serial, &reply);
            }
            self.place.screen.measure();
            self.hand_over();
            self.ask_next();
            // Many reports at once are drawn once.
            if drawn.elapsed() >= TICK {
                self.draw();
                drawn = Instant::now();
            }
        }
        self.drop_dialog(|_| true);
        self.place.screen.draw(&[]);
        self.state
    }

    /// Ends the question that stands there, if it is one of these. True when there was one.
    fn drop_dialog(&mut self, which: impl Fn(&Dialog) -> bool) -> bool {
        let dropped = self.dialog.take_if(|asked| which(&asked.dialog));
        if let Some(asked) = dropped {
            drop(asked.standing);
            self.place.screen.settle(false);
            self.place.screen.resume();
            return true;
        }
        false
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Record(record) => self.record(&record),
            Report::Notice(notice) => self.notice(notice),
            Report::Ask(inquiry) => self.inquiries.push_back(*inquiry),
            Report::Withdraw(question) => self.withdraw(&question),
            Report::Choices(key) => self.offer_choices(key),
            Report::Progress => self.show_progress(),
            Report::Yield(key) => self.yields.push_back(key),
            Report::Restore(key) => self.restore(&key),
        }
    }

    fn record(&mut self, record: &Record) {
        if let Some(records) = &mut self.place.records {
            // A closed pipe counts as done; a full disk must not stop a run that has its own journal.
            let _ = writeln!(records, "{}", document::record(record)).and_then(|()| records.flush());
        }
        match &mut self.state {
            None => self.state = RunState::open(record).ok(),
            Some(state) => {
                if let Err(illegal) = state.apply(record) {
                    let text = format!("this screen is behind the journal: {illegal}");
                    self.tell(&Told {
                        node: None,
                        sign: Sign::Failed,
                        text,
                        below: Vec::new(),
                        from: Loudness::Quiet,
                    });
                    return;
                }
            }
        }
        if let Some(key) = record.event.key().filter(|_| {
            matches!(
                record.event,
                Event::StepStarted { .. } | Event::StepEnded { .. } | Event::UndoEnded { .. }
            )
        }) {
            self.passing.waiting.remove(key);
            self.passing.copying.remove(key);
            self.passing.printed.remove(key);
            self.heard.remove(key);
        }
        self.drop_answered(&record.event);
        if !self.is_news(&record.event) {
            return;
        }
        let told = self.state.as_ref().and_then(|state| narrate(record, state));
        if let Some(told) = told.filter(|told| told.from <= self.place.loudness) {
            let moment = Moment { now: record.at, ..Moment::current() };
            self.place.screen.tell(&moment, &told);
        }
    }

    /// A question about a step that has ended, or in a run that has, is nobody's any more.
    fn drop_answered(&mut self, event: &Event) {
        let over = |key: &StepKey| match event {
            Event::StepEnded { key: ended, .. } => ended == key,
            Event::RunClosed { .. } => true,
            // Somebody has answered from elsewhere.
            Event::Answered { question, .. } => question.key() == key,
            _ => false,
        };
        self.inquiries.retain(|inquiry| !over(inquiry.question.key()));
        self.drop_dialog(|dialog| over(dialog.key()));
    }

    /// Whether a record changes what is known. A queue that falls by ten is none; nor is a step's beginning
    /// where the block shows it.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::ReadingTaken { key, readings } => {
                let open = readings.iter().all(|reading| reading.verdict.holds());
                let known = self.heard.get(key);
                let news = known.is_none_or(|heard| heard.open != open || heard.at.elapsed() >= HEARTBEAT);
                if news {
                    self.heard.insert(key.clone(), Heard { at: Instant::now(), open });
                }
                news
            }
            Event::StepStarted { .. } | Event::UndoStarted { .. } => {
                !self.place.screen.is_live() || self.place.loudness == Loudness::Verbose
            }
            _ => true,
        }
    }

    fn tell(&mut self, told: &Told) {
        if told.from <= self.place.loudness {
            self.place.screen.tell(&Moment::current(), told);
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Connecting { node } => self.passing.connecting.push(node),
            Notice::Connected { node } => self.passing.connecting.retain(|other| *other != node),
            Notice::Output { key, line } => {
                if self.place.loudness > Loudness::Quiet {
                    self.place.screen.output(&key.node, &line);
                }
                self.passing.printed.insert(key, (Timestamp::now(), line));
            }
            Notice::Watching { key, readings, steady, every, waited, limit } => {
                let waiting = self.passing.waiting.entry(key.clone()).or_default();
                if !waiting.watch.is_steady() {
                    waiting.waited = waited;
                }
                waiting.watch.take(&readings, steady, every);
                waiting.limit = limit;
                self.heartbeat(&key);
            }
            Notice::GateMoved { key, open } => {
                let word = if open { "is open" } else { "is closed again" };
                self.say(&key, if open { Sign::Done } else { Sign::Waiting }, word);
            }
            Notice::Copying { key, done, total } => {
                self.passing.copying.insert(key, (done, total));
            }
            Notice::Said { node, text } => self.tell(&Told {
                node,
                sign: Sign::Working,
                text,
                below: Vec::new(),
                from: Loudness::Normal,
            }),
            Notice::Transcript { key, path } => {
                let mut told = self.about(&key, Sign::Working, "");
                told.text = format!("output is kept in {}", path.display());
                told.from = Loudness::Verbose;
                self.tell(&told);
            }
        }
    }

    fn about(&self, key: &StepKey, sign: Sign, text: &str) -> Told {
        let title =
            self.state.as_ref().map_or_else(|| key.step.to_string(), |state| run::title_of(state, key));
        Told {
            node: Some(key.node.clone()).filter(|node| !node.is_operator()),
            sign,
            text: format!("{title} {text}"),
            below: Vec::new(),
            from: Loudness::Normal,
        }
    }

    fn say(&mut self, key: &StepKey, sign: Sign, text: &str) {
        let told = self.about(key, sign, text);
        self.tell(&told);
    }

    /// Where nothing is redrawn, a line a minute shows that the gate is still being read.
    fn heartbeat(&mut self, key: &StepKey) {
        let now = Instant::now();
        let open = self.passing.waiting.get(key).is_some_and(|waiting| waiting.watch.all_hold());
        let heard = self.heard.entry(key.clone()).or_insert(Heard { at: now, open });
        if self.place.screen.is_live() || heard.at.elapsed() < HEARTBEAT {
            return;
        }
        heard.at = now;
        let Some(waiting) = self.passing.waiting.get(key) else { return };
        let text = format!(
            "waiting {} of at most {}: {}",
            words::elapsed(waiting.waited),
            duration::written(waiting.limit),
            gate::one_line(waiting.watch.readings(), &key.node)
        );
        self.say(key, Sign::Waiting, &text);
    }

    fn draw(&mut self) {
        let Some(state) = &self.state else { return };
        let moment = Moment::current();
        if let Some(asked) = &self.dialog {
            // Once Enter was pressed the cursor is no longer where the question left it.
            let is_typed = self.place.keyboard.as_ref().is_some_and(prompt::has_line)
                || asked.standing.as_ref().is_some_and(Standing::is_over);
            if asked.is_gate
                && !is_typed
                && let Dialog::Confirm(inquiry) = &asked.dialog
            {
                let above = question::lines(self.place.screen.face(), &moment, state, &self.passing, inquiry);
                self.place.screen.refresh(&above);
            }
            return;
        }
        if self.place.screen.is_live() {
            let lines = block::lines(self.place.screen.face(), &moment, state, &self.passing);
            self.place.screen.draw(&lines);
        }
    }

    fn withdraw(&mut self, question: &Question) {
        self.inquiries.retain(|inquiry| inquiry.question != *question);
        let was_shown = self.drop_dialog(|dialog| dialog.question() == Some(question));
        if was_shown && matches!(question, Question::Gate { .. }) {
            let key = question.key().clone();
            let readings = self
                .passing
                .waiting
                .get(&key)
                .filter(|waiting| !waiting.watch.all_hold())
                .map(|waiting| gate::one_line(waiting.watch.readings(), &key.node));
            let text = match readings {
                Some(readings) => format!("is closed again, the question is void: {readings}"),
                None => "no longer waits for an answer".to_owned(),
            };
            self.say(&key, Sign::Waiting, &text);
        }
    }

    fn ask_next(&mut self) {
        while !self.is_busy() {
            let Some(inquiry) = self.inquiries.pop_front() else { return };
            if self.place.keyboard.is_none() && self.place.approved_by.is_some() {
                self.put_up(&inquiry);
                continue;
            }
            if self.place.keyboard.is_none() {
                let question = inquiry.question;
                (self.controls)(Control::Answer { question, decision: Decision::No });
                continue;
            }
            let above = self.above(&inquiry);
            self.put(Dialog::of(inquiry), &above);
        }
    }

    /// Puts a dialog's question; what was typed before it stands there is thrown away.
    fn put(&mut self, dialog: Dialog, above: &[Line]) {
        self.serial += 1;
        let serial = self.serial;
        let is_gate = matches!(dialog, Dialog::Confirm(_));
        let standing = match dialog.want() {
            Want::Line(prompt) => self.listen(above, &prompt, serial, Reply::Typed),
            Want::Choice(items, harmless) if self.place.arrows => {
                self.place.screen.keep(above);
                self.place.screen.release();
                // A line that wraps would be cleared wrongly; the mark takes two columns.
                let face = *self.place.screen.face();
                let narrow = Face { width: face.width.map(|columns| columns.saturating_sub(3)), ..face };
                let items = items.iter().map(|item| Line::of(&face, item).fit(&narrow).plain()).collect();
                self.choose(serial, items, harmless)
            }
            Want::Choice(items, harmless) => {
                let face = self.place.screen.face();
                let mut lines = above.to_vec();
                for (place, item) in items.iter().enumerate() {
                    let number = format!("  {} ", place + 1);
                    lines.extend(wrap(face, Line::of(face, &number), Tone::Text, item));
                }
                let prompt = format!("Number, anything else for {}: ", harmless + 1);
                let count = items.len();
                self.listen(&lines, &prompt, serial, move |typed| match typed {
                    prompt::Typed::End => Reply::Gone,
                    typed => Reply::Chosen(typed.choice(count)),
                })
            }
        };
        self.dialog = Some(Asked { dialog, serial, standing, is_gate });
    }

    /// Shows a question and waits for a line.
    fn listen(
        &mut self,
        above: &[Line],
        prompt: &str,
        serial: u64,
        reply: impl FnOnce(prompt::Typed) -> Reply + Send + 'static,
    ) -> Option<Standing> {
        let inbox = self.answer.clone();
        let keyboard = self.place.keyboard.as_ref().and_then(|keyboard| keyboard.try_clone().ok());
        let face = *self.place.screen.face();
        let mut above = above.to_vec();
        let mut lines = wrap(&face, Line::new(&face), Tone::Text, prompt.trim_end());
        let last = lines.pop().map_or_else(String::new, |line| line.plain());
        above.extend(lines);
        let unanswered = keyboard.as_ref().map(prompt::forget_type_ahead);
        self.place.screen.ask(&above, &format!("{last} "));
        let standing = keyboard.zip(unanswered).and_then(|(keyboard, unanswered)| {
            let then = move |typed| {
                // The desk may have closed meanwhile: then the answer is to nobody.
                let _ = inbox.send((serial, reply(typed)));
            };
            Standing::line(keyboard, unanswered, None, then).ok()
        });
        if standing.is_none() {
            let _ = self.answer.send((serial, Reply::Gone));
        }
        standing
    }

    /// Shows a list and waits for a choice.
    fn choose(&mut self, serial: u64, items: Vec<String>, harmless: usize) -> Option<Standing> {
        let inbox = self.answer.clone();
        let keyboard = self.place.keyboard.as_ref().and_then(|keyboard| keyboard.try_clone().ok());
        let then = move |chosen| {
            let _ = inbox.send((serial, Reply::Chosen(chosen)));
        };
        let standing = keyboard.and_then(|keyboard| Standing::choice(keyboard, items, harmless, then).ok());
        if standing.is_none() {
            let _ = self.answer.send((serial, Reply::Gone));
        }
        standing
    }

    fn reply(&mut self, serial: u64, reply: &Reply) {
        let current = self.dialog.as_ref().is_some_and(|asked| asked.serial == serial);
        let Some(asked) = self.dialog.take_if(|_| current) else { return };
        drop(asked.standing);
        let ended_by_enter = matches!(reply, Reply::Typed(prompt::Typed::Line(_)) | Reply::Chosen(_));
        self.place.screen.settle(ended_by_enter);
        self.place.screen.resume();
        match asked.dialog.answer(reply) {
            Then::Ask(dialog) => self.put(dialog, &[]),
            Then::Send(control) => (self.controls)(control),
            Then::Leave(key, words) => {
                // Nothing was decided, and the engine may offer the choices again: a reading says so. It is
                // told first, for who reads these words may press Ctrl-C at once.
                (self.controls)(Control::ReadNow { key });
                let line = Line::new(self.place.screen.face()).tone(Tone::Dim, words);
                self.place.screen.keep(&[line]);
            }
        }
    }

    /// Shows the choices at a closed gate. Where nobody can choose, a Ctrl-C means to stop; it is never lost.
    fn offer_choices(&mut self, key: StepKey) {
        let turn = self.state.as_ref().and_then(|state| Some((state, run::turn_of(state, &key)?)));
        let keyboard = self.place.keyboard.as_ref().filter(|_| self.lent.is_none());
        let (Some((state, turn)), Some(_), None) = (turn, keyboard, &self.dialog) else {
            (self.controls)(Control::Stop);
            return;
        };
        let node = &key.node;
        let word = if node.is_operator() { state.plan.cluster.to_string() } else { node.to_string() };
        let so_far = run::so_far(state, &turn);
        let face = *self.place.screen.face();
        let above = question::gate_now(&face, &Moment::current(), state, &self.passing, &key);
        self.put(Dialog::GateMenu(Closed { key, word, so_far }), &above);
    }
}
