//! The operator's desk: takes reports, folds its own state from the records, draws, asks, and sends controls.
//!
//! It runs on a thread of its own, so that neither a slow terminal nor an unanswered question holds up the engine.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::model::event::{Control, Decision, Event, Inquiry, Notice, Question, Record, Report};
use crate::model::plan::StepKey;
use crate::model::state::RunState;

use super::block::{self, Passing, Waiting};
use super::dialog::{self, Closed, Dialog, Reply, Then, Want};
use super::gate::{self, GateState, GateView};
use super::ink::{Line, Sign, Tone, wrap};
use super::moment::Moment;
use super::narrate::{Loudness, Told, narrate};
use super::prompt::{self, Standing};
use super::run;
use super::screen::{Lines, Live, Screen};
use super::terminal::{Format, Style};
use super::words;
use super::write;

/// How often what is drawn is brought up to date.
const TICK: Duration = Duration::from_millis(500);
/// Off a terminal a gate that waits says so at most this often.
const HEARTBEAT: Duration = Duration::from_mins(1);

enum Input {
    Report(Report),
    Reply(u64, Reply),
    Interrupt,
    Finish,
}

/// Where the desk stands: its screen, its keyboard, where records go that a program reads.
pub struct Place {
    /// The screen.
    pub screen: Box<dyn Screen>,
    /// The terminal where answers are typed; absent where nobody can be asked.
    pub keyboard: Option<OwnedFd>,
    /// Whether choices are made with arrows (only on the process's own terminal).
    pub arrows: bool,
    /// Where each record goes as a line of JSON.
    pub records: Option<Box<dyn Write + Send>>,
    /// How much is said.
    pub loudness: Loudness,
}

impl Place {
    /// The place that a style describes, on this process's own streams.
    pub fn of(style: &Style, loudness: Loudness) -> Self {
        let screen: Box<dyn Screen> = if style.live && loudness > Loudness::Quiet {
            let rows = usize::from(console::Term::stderr().size().0);
            let target = indicatif::ProgressDrawTarget::stderr_with_hz(8);
            Box::new(Live::new(style.err, rows, target, Box::new(std::io::stderr())))
        } else {
            Box::new(Lines::new(Box::new(std::io::stderr())))
        };
        Self {
            screen,
            keyboard: style.interactive.then(|| prompt::stdin().ok()).flatten(),
            arrows: style.live,
            records: (style.format == Format::Json)
                .then(|| Box::new(write::stdout()) as Box<dyn Write + Send>),
            loudness,
        }
    }
}

/// The way to a desk.
#[derive(Debug)]
pub struct Desk {
    inbox: Sender<Input>,
    offers_choices: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<RunState>>>,
}

/// Sends reports to a desk from anywhere.
#[derive(Debug, Clone)]
pub struct Reporter {
    inbox: Sender<Input>,
}

impl Reporter {
    /// Hands a report over; false when the desk is gone.
    pub fn report(&self, report: Report) -> bool {
        self.inbox.send(Input::Report(report)).is_ok()
    }
}

impl Desk {
    /// Opens a desk. `controls` is called on the desk's thread and must not block. A run that goes on starts
    /// with the state that its journal gives.
    pub fn open(
        place: Place,
        state: Option<RunState>,
        controls: impl Fn(Control) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (inbox, input) = channel();
        let offers_choices = Arc::new(AtomicBool::new(false));
        let clerk = Clerk {
            place,
            state,
            passing: Passing::default(),
            controls: Box::new(controls),
            inbox: inbox.clone(),
            offers_choices: offers_choices.clone(),
            inquiries: VecDeque::new(),
            dialog: None,
            serial: 0,
            yielded: 0,
            heard: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new().name("desk".into()).spawn(move || clerk.work(&input))?;
        Ok(Self { inbox, offers_choices, thread: Some(thread) })
    }

    /// A way to report that can be handed around.
    pub fn reporter(&self) -> Reporter {
        Reporter { inbox: self.inbox.clone() }
    }

    /// Takes a Ctrl-C. True: a gate waits and the operator is shown the choices instead. False: it is meant
    /// for the run, which stops at its next safe point.
    pub fn interrupt(&self) -> bool {
        self.offers_choices.swap(false, Ordering::SeqCst) && self.inbox.send(Input::Interrupt).is_ok()
    }

    /// Shows what was reported so far, clears what was drawn, and gives the fold back.
    pub fn close(mut self) -> Option<RunState> {
        // A desk that is gone has nothing more to show.
        let _ = self.inbox.send(Input::Finish);
        self.thread.take().and_then(|thread| thread.join().ok()).flatten()
    }
}

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

struct Clerk {
    place: Place,
    state: Option<RunState>,
    passing: Passing,
    controls: Box<dyn Fn(Control) + Send>,
    inbox: Sender<Input>,
    offers_choices: Arc<AtomicBool>,
    inquiries: VecDeque<Inquiry>,
    dialog: Option<Asked>,
    serial: u64,
    /// Steps that have the terminal to themselves.
    yielded: usize,
    /// What was last said of gates that wait.
    heard: BTreeMap<StepKey, Heard>,
}

impl Clerk {
    fn work(mut self, input: &Receiver<Input>) -> Option<RunState> {
        let mut drawn = Instant::now();
        loop {
            match input.recv_timeout(TICK) {
                Ok(Input::Report(report)) => self.take(report),
                Ok(Input::Reply(serial, reply)) => self.reply(serial, &reply),
                Ok(Input::Interrupt) => self.offer_choices(),
                Ok(Input::Finish) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.ask_next();
            self.note_choices();
            // Many reports at once are drawn once.
            if drawn.elapsed() >= TICK / 5 {
                self.draw();
                drawn = Instant::now();
            }
        }
        if let Some(asked) = self.dialog.take() {
            self.place.screen.settle(false);
            drop(asked);
        }
        self.place.screen.draw(&[]);
        self.state
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Record(record) => self.record(&record),
            Report::Notice(notice) => self.notice(notice),
            Report::Ask(inquiry) => self.inquiries.push_back(*inquiry),
            Report::Withdraw(question) => self.withdraw(&question),
            Report::Yield(_) => {
                self.yielded += 1;
                self.place.screen.release();
            }
            Report::Restore(_) => {
                self.yielded = self.yielded.saturating_sub(1);
                if self.yielded == 0 {
                    self.place.screen.resume();
                }
            }
        }
    }

    fn record(&mut self, record: &Record) {
        if let Some(records) = &mut self.place.records {
            let line = serde_json::to_string(record).expect("a record is made of plain data");
            // A closed pipe counts as done; a full disk must not stop a run that has its own journal.
            let _ = writeln!(records, "{line}").and_then(|()| records.flush());
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
            self.heard.remove(key);
        }
        if !self.is_news(&record.event) {
            return;
        }
        let told = self.state.as_ref().and_then(|state| narrate(record, state));
        if let Some(told) = told.filter(|told| told.from <= self.place.loudness) {
            let moment = Moment { now: record.at, ..Moment::current() };
            self.place.screen.tell(&moment, &told);
        }
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
            }
            Notice::Watching { key, readings, steady, every, waited, limit } => {
                let waiting = self.passing.waiting.entry(key.clone()).or_default();
                waiting.watch.take(&readings, steady, every);
                waiting.waited = waited;
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
            words::limit(waiting.limit),
            gate::one_line(waiting.watch.readings(), &key.node)
        );
        self.say(key, Sign::Waiting, &text);
    }

    fn draw(&mut self) {
        let Some(state) = &self.state else { return };
        let moment = Moment::current();
        if let Some(asked) = &self.dialog {
            if asked.is_gate
                && let Dialog::Confirm(inquiry) = &asked.dialog
            {
                let above = question_lines(&*self.place.screen, &moment, state, &self.passing, inquiry);
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
        if self.dialog.as_ref().is_some_and(|asked| asked.dialog.question() == Some(question)) {
            self.dialog = None;
            self.place.screen.settle(false);
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
        while self.dialog.is_none() && self.yielded == 0 {
            let Some(inquiry) = self.inquiries.pop_front() else { return };
            if self.place.keyboard.is_none() {
                let question = inquiry.question;
                (self.controls)(Control::Answer { question, decision: Decision::No });
                continue;
            }
            let waiting = self.passing.waiting.entry(inquiry.question.key().clone()).or_default();
            waiting.watch.read(&inquiry.readings);
            let above = match &self.state {
                Some(state) => {
                    let moment = Moment::current();
                    question_lines(&*self.place.screen, &moment, state, &self.passing, &inquiry)
                }
                None => Vec::new(),
            };
            self.put(Dialog::of(inquiry), &above);
        }
    }

    /// Puts a dialog's question; what was typed before it stands there is thrown away.
    fn put(&mut self, dialog: Dialog, above: &[Line]) {
        self.serial += 1;
        let serial = self.serial;
        let is_gate = matches!(dialog, Dialog::Confirm(_));
        let standing = match dialog.want() {
            Want::Line(prompt) => {
                self.place.screen.ask(above, &prompt);
                self.listen(serial, Reply::Typed)
            }
            Want::Choice(items, harmless) if self.place.arrows => {
                self.place.screen.keep(above);
                self.place.screen.release();
                self.choose(serial, items, harmless);
                None
            }
            Want::Choice(items, harmless) => {
                let face = self.place.screen.face();
                let mut lines = above.to_vec();
                for (place, item) in items.iter().enumerate() {
                    let number = format!("  {} ", place + 1);
                    lines.extend(wrap(face, Line::of(face, &number), Tone::Text, item));
                }
                let prompt = format!("Number, anything else for {}: ", harmless + 1);
                self.place.screen.ask(&lines, &prompt);
                let count = items.len();
                self.listen(serial, move |typed| match typed {
                    prompt::Typed::End => Reply::Gone,
                    typed => Reply::Chosen(typed.choice(count)),
                })
            }
        };
        self.dialog = Some(Asked { dialog, serial, standing, is_gate });
    }

    fn listen(
        &mut self,
        serial: u64,
        reply: impl FnOnce(prompt::Typed) -> Reply + Send + 'static,
    ) -> Option<Standing> {
        let inbox = self.inbox.clone();
        let keyboard = self.place.keyboard.as_ref().and_then(|keyboard| keyboard.try_clone().ok());
        let standing = keyboard.and_then(|keyboard| {
            let then = move |typed| {
                // The desk may have closed meanwhile: then the answer is to nobody.
                let _ = inbox.send(Input::Reply(serial, reply(typed)));
            };
            Standing::line(keyboard, None, then).ok()
        });
        if standing.is_none() {
            let _ = self.inbox.send(Input::Reply(serial, Reply::Gone));
        }
        standing
    }

    fn choose(&mut self, serial: u64, items: Vec<String>, harmless: usize) {
        let inbox = self.inbox.clone();
        let spawned = std::thread::Builder::new().name("choice".into()).spawn(move || {
            let chosen = prompt::select(&items, harmless);
            let _ = inbox.send(Input::Reply(serial, Reply::Chosen(chosen)));
        });
        if spawned.is_err() {
            let _ = self.inbox.send(Input::Reply(serial, Reply::Gone));
        }
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
            Then::Leave(words) => {
                let line = Line::new(self.place.screen.face()).tone(Tone::Dim, words);
                self.place.screen.keep(&[line]);
            }
        }
    }

    /// The gate that Ctrl-C offers choices for: one that is closed and waits, while no question stands.
    fn closed_gate(&self) -> Option<Closed> {
        let state = self
            .state
            .as_ref()
            .filter(|_| self.dialog.is_none() && self.inquiries.is_empty() && self.yielded == 0)?;
        let keyboard = self.place.keyboard.is_some() && state.stop.is_none();
        let flight = run::in_flight(state).into_iter().filter(|_| keyboard).find(|flight| {
            let is_gate = state.plan.find(&flight.key.step).is_some_and(|(_, step)| step.is_gate());
            is_gate && self.passing.waiting.contains_key(&flight.key)
        })?;
        let turn = run::turn_of(state, &flight.key)?;
        let node = &flight.key.node;
        let word = if node.is_operator() { state.plan.cluster.to_string() } else { node.to_string() };
        let so_far = run::so_far(state, &turn);
        Some(Closed { key: flight.key, word, so_far })
    }

    fn note_choices(&self) {
        self.offers_choices.store(self.closed_gate().is_some(), Ordering::SeqCst);
    }

    fn offer_choices(&mut self) {
        match self.closed_gate() {
            Some(closed) => {
                let (face, moment) = (*self.place.screen.face(), Moment::current());
                let above = match &self.state {
                    Some(state) => gate_now(&face, &moment, state, &self.passing, &closed.key),
                    None => Vec::new(),
                };
                self.put(Dialog::GateMenu(closed), &above);
            }
            // The gate moved between the key and now; a Ctrl-C is never lost.
            None => (self.controls)(Control::Stop),
        }
    }
}

fn gate_now(
    face: &super::terminal::Face,
    moment: &Moment,
    state: &RunState,
    passing: &Passing,
    key: &StepKey,
) -> Vec<Line> {
    let flight = run::in_flight(state).into_iter().find(|flight| flight.key == *key);
    match (flight, passing.waiting.get(key)) {
        (Some(flight), Some(waiting)) => block::gate(face, moment, state, &flight, waiting),
        _ => Vec::new(),
    }
}

/// Everything above a prompt: the gate or the trouble, what a yes will do, the question itself.
fn question_lines(
    screen: &dyn Screen,
    moment: &Moment,
    state: &RunState,
    passing: &Passing,
    inquiry: &Inquiry,
) -> Vec<Line> {
    let face = screen.face();
    let key = inquiry.question.key();
    let empty = Waiting::default();
    let waiting = passing.waiting.get(key).unwrap_or(&empty);
    let turn = run::turn_of(state, key);
    let title = run::title_of(state, key);
    let mut lines = match inquiry.question {
        Question::Gate { .. } | Question::During { .. } => GateView {
            place: turn.as_ref().and_then(|turn| run::place(state, turn)),
            node: &key.node,
            title: &title,
            state: if !waiting.watch.all_hold() {
                GateState::Closed
            } else if waiting.watch.readings().is_empty() {
                GateState::Asked
            } else {
                let after = (waiting.waited > Duration::ZERO).then_some(waiting.waited);
                GateState::Open { after }
            },
            watch: &waiting.watch,
            so_far: &turn.map(|turn| run::so_far(state, &turn)).unwrap_or_default(),
        }
        .lines(face, moment),
        Question::Trouble { .. } => {
            let head = if key.node.is_operator() { title } else { format!("{}   {title}", key.node) };
            let mut lines = vec![Line::new(face).tone(Tone::Bad, &head).fit(face)];
            lines.extend(gate::reading_lines(face, &waiting.watch, &key.node));
            lines
        }
    };
    if !inquiry.consequence.is_empty() {
        let head = Line::of(face, "  ").tone(Tone::Strong, "yes will: ");
        lines.extend(wrap(face, head, Tone::Text, &inquiry.consequence));
    }
    for part in dialog::split(inquiry).0.lines() {
        lines.extend(wrap(face, Line::new(face), Tone::Strong, part));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::sync::{Arc, Mutex};

    use pty_process::blocking::{Pts, Pty, open};

    use super::super::sample;
    use super::super::terminal::Face;
    use super::*;
    use crate::model::event::{Failure, FailureKind, How, Outcome};
    use crate::model::plan::Section;

    const SOON: Duration = Duration::from_secs(10);

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn wait_for(&self, text: &str) {
            let begun = Instant::now();
            while !self.text().contains(text) {
                assert!(begun.elapsed() < SOON, "no {text:?} in:\n{}", self.text());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    struct Bench {
        desk: Desk,
        paper: Paper,
        records: Paper,
        keyboard: Option<(Pty, Pts)>,
        controls: Receiver<Control>,
    }

    fn bench(keyboard: bool, screen: impl FnOnce(Paper) -> Box<dyn Screen>) -> Bench {
        let (paper, records) = (Paper::default(), Paper::default());
        let keyboard = keyboard.then(|| open().unwrap());
        let (send, controls) = channel();
        let place = Place {
            screen: screen(paper.clone()),
            keyboard: keyboard.as_ref().map(|(_, pts)| pts.as_fd().try_clone_to_owned().unwrap()),
            arrows: false,
            records: Some(Box::new(records.clone())),
            loudness: Loudness::Normal,
        };
        let desk = Desk::open(place, None, move |control| send.send(control).unwrap()).unwrap();
        for record in sample::records(sample::events()) {
            assert!(desk.reporter().report(Report::Record(Box::new(record))));
        }
        Bench { desk, paper, records, keyboard, controls }
    }

    fn lines(paper: Paper) -> Box<dyn Screen> {
        Box::new(Lines::new(Box::new(paper)))
    }

    fn live(paper: Paper) -> Box<dyn Screen> {
        let face = Face { color: false, unicode: true, width: Some(80) };
        Box::new(Live::new(face, 24, indicatif::ProgressDrawTarget::hidden(), Box::new(paper)))
    }

    fn watching(value: f64) -> Report {
        Report::Notice(Notice::Watching {
            key: sample::key("mq-02", Section::Drain, 2),
            readings: vec![sample::reading(value, 400)],
            steady: (if value <= 100.0 { 3 } else { 0 }, 3),
            every: Duration::from_secs(5),
            waited: Duration::from_secs(100),
            limit: Duration::from_mins(30),
        })
    }

    impl Bench {
        fn report(&self, report: Report) {
            assert!(self.desk.reporter().report(report));
        }

        fn ask(&self) {
            self.report(watching(94.0));
            self.report(Report::Ask(Box::new(sample::inquiry())));
            self.paper.wait_for("[yes/no] ");
            // The prompt's thread throws type-ahead away before it listens.
            std::thread::sleep(Duration::from_millis(150));
        }

        fn type_in(&mut self, text: &str) {
            self.keyboard.as_mut().unwrap().0.write_all(text.as_bytes()).unwrap();
        }

        fn decision(&self) -> Decision {
            match self.controls.recv_timeout(SOON).unwrap() {
                Control::Answer { decision, .. } => decision,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn lines_tell_each_change_once() {
        let bench = bench(false, lines);
        bench.report(Report::Notice(Notice::Output {
            key: sample::key("mq-02", Section::Drain, 2),
            line: b"\x1b[2Jhello".to_vec(),
        }));
        let paper = bench.paper.clone();
        let state = bench.desk.close().unwrap();
        assert_eq!(state, sample::state(sample::events()));
        let text = paper.text();
        assert!(text.is_ascii() && !text.contains(['\x1b', '\r']), "{text}");
        let told: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        assert_eq!(
            told,
            [
                "run 2026-11-21.1 on mq-prod begins: 3 nodes, to 3.13.7",
                "phase \"brokers\" begins",
                "next: mq-01 (0 of 3 done)",
                "mq-01 drain \"stop the receiver\" begins",
                "mq-01 drain \"stop the receiver\" done in 1m12",
                "mq-01 gate \"queue depth\" begins",
                "mq-01 gate \"queue depth\" done in 1m36",
                "mq-01 upgrade \"install\" begins",
                "mq-01 upgrade \"install\" done in 48s",
                "mq-01 verify \"cluster sees 3 nodes\" begins",
                "mq-01 verify \"cluster sees 3 nodes\" done in 36s",
                "mq-01 undo of drain \"stop the receiver\" begins",
                "mq-01 undo of drain \"stop the receiver\" done",
                "mq-01 done (phase \"brokers\")",
                "next: mq-02 (1 of 3 done)",
                "mq-02 drain \"stop the receiver\" begins",
                "mq-02 drain \"stop the receiver\" done in 41s",
                "mq-02 gate \"queue depth\" begins",
                "mq-02 gate \"queue depth\" closed: queue depth 5200, needs <= 100",
                "| \\x1b[2Jhello",
            ]
        );
    }

    #[test]
    fn records_go_to_programs_as_the_journal_has_them() {
        let bench = bench(false, lines);
        let records = bench.records.clone();
        bench.desk.close();
        let parsed: Vec<Record> =
            records.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed, sample::records(sample::events()));
    }

    #[test]
    fn yes_is_an_answer_and_everything_around_it_is_shown() {
        let mut bench = bench(true, live);
        bench.ask();
        let text = bench.paper.text();
        for part in [
            "[2 of 3] mq-02   gate \"queue depth\"",
            "open after 1m40",
            "queue depth  94  needs <= 100  steady for 3 readings (15s)",
            "yes will: upgrade 3.13.6 -> 3.13.7, verify, back into service",
            "Go on with mq-02? [yes/no] ",
        ] {
            assert!(text.contains(part), "{part:?} in:\n{text}");
        }
        bench.type_in("yes\n");
        assert_eq!(bench.decision(), Decision::Yes);
    }

    #[test]
    fn enter_end_of_input_and_other_words_are_a_no() {
        for typed in ["\n", "\x04", "y\n", "yes please\n"] {
            let mut bench = bench(true, lines);
            bench.ask();
            bench.type_in(typed);
            assert_eq!(bench.decision(), Decision::No, "{typed:?}");
        }
    }

    #[test]
    fn nobody_to_ask_is_a_no() {
        let bench = bench(false, lines);
        bench.report(Report::Ask(Box::new(sample::inquiry())));
        assert_eq!(bench.decision(), Decision::No);
    }

    #[test]
    fn what_was_typed_before_the_question_is_no_answer() {
        let mut bench = bench(true, lines);
        bench.type_in("yes\nyes\n");
        std::thread::sleep(Duration::from_millis(50));
        bench.ask();
        assert!(bench.controls.try_recv().is_err());
        bench.type_in("no\n");
        assert_eq!(bench.decision(), Decision::No);
    }

    #[test]
    fn a_gate_that_closes_takes_its_question_back() {
        let mut bench = bench(true, live);
        bench.ask();
        bench.report(watching(130.0));
        bench.report(Report::Withdraw(sample::inquiry().question));
        bench.paper.wait_for("is closed again, the question is void: queue");
        bench.type_in("yes\n");
        std::thread::sleep(Duration::from_millis(100));
        assert!(bench.controls.try_recv().is_err(), "an answer to a void question");
        bench.ask();
        bench.type_in("yes\n");
        assert_eq!(bench.decision(), Decision::Yes, "the next one counts");
    }

    #[test]
    fn a_reading_is_brought_up_to_date_above_the_question() {
        let bench = bench(true, live);
        bench.ask();
        bench.report(watching(61.0));
        bench.paper.wait_for("queue depth  61");
        let text = bench.paper.text();
        let (_, redrawn) = text.rsplit_once("\x1b7").unwrap();
        assert!(redrawn.starts_with("\x1b[5A\r[2 of 3]"), "{redrawn:?}");
    }

    #[test]
    fn what_is_told_meanwhile_does_not_swallow_the_question() {
        let bench = bench(true, lines);
        bench.ask();
        bench.report(Report::Notice(Notice::Said { node: None, text: "the sky is blue".into() }));
        bench.paper.wait_for("the sky is blue\nGo on with mq-02? [yes/no] ");
    }

    #[test]
    fn ctrl_c_at_a_closed_gate_offers_choices() {
        let mut bench = bench(true, lines);
        assert!(!bench.desk.interrupt(), "nothing is known of the gate yet");
        bench.report(watching(5135.0));
        let begun = Instant::now();
        while !bench.desk.interrupt() {
            assert!(begun.elapsed() < SOON);
            std::thread::sleep(Duration::from_millis(10));
        }
        bench.paper.wait_for("Number, anything else for 1: ");
        assert!(!bench.desk.interrupt(), "a second one is meant for the run");
        std::thread::sleep(Duration::from_millis(150));
        bench.type_in("3\n");
        bench.paper.wait_for("Type mq-02 to open the closed gate");
        std::thread::sleep(Duration::from_millis(150));
        bench.type_in("mq-02\n");
        bench.paper.wait_for("Reason, for the report: ");
        std::thread::sleep(Duration::from_millis(150));
        bench.type_in("vendor said so\n");
        assert_eq!(
            bench.controls.recv_timeout(SOON).unwrap(),
            Control::Open { key: sample::key("mq-02", Section::Drain, 2), reason: "vendor said so".into() }
        );
    }

    #[test]
    fn trouble_is_shown_with_its_evidence_and_ways_out() {
        let mut bench = bench(true, lines);
        let key = sample::key("mq-02", Section::Drain, 2);
        let failure = Failure {
            kind: FailureKind::Script,
            message: "exit status 3".into(),
            tail: vec!["disk full".into()],
            help: Some("free some room".into()),
        };
        let seq = u64::try_from(sample::events().len()).unwrap();
        let outcome = Outcome::Failed(failure);
        let event = Event::StepEnded { key: key.clone(), attempt: 1, outcome };
        bench.report(Report::Record(Box::new(Record { seq, at: sample::at(500), event })));
        let inquiry = Inquiry {
            question: Question::Trouble { key, undo: false },
            text: "What now?".into(),
            ..sample::inquiry()
        };
        bench.report(Report::Ask(Box::new(inquiry)));
        bench.paper.wait_for("Number, anything else for 5: ");
        let text = bench.paper.text();
        for part in
            ["failed in 3m20: exit status 3", "| disk full", "= help: free some room", "1 try it again"]
        {
            assert!(text.contains(part), "{part:?} in:\n{text}");
        }
        std::thread::sleep(Duration::from_millis(150));
        bench.type_in("1\n");
        assert_eq!(bench.decision(), Decision::Retry);
    }

    #[test]
    fn an_answer_without_a_terminal_names_the_lack() {
        let bench = bench(false, lines);
        let seq = u64::try_from(sample::events().len()).unwrap();
        let event = Event::Answered {
            question: sample::inquiry().question,
            decision: Decision::No,
            how: How::Nobody,
            by: sample::request().by,
            readings: Vec::new(),
        };
        bench.report(Report::Record(Box::new(Record { seq, at: sample::at(500), event })));
        bench.paper.wait_for("mq-02 stopped: gate \"queue depth\" needs an answer and there is no terminal");
    }

    #[test]
    fn a_step_may_have_the_terminal_to_itself() {
        let bench = bench(true, lines);
        let key = sample::key("mq-02", Section::Drain, 1);
        bench.report(Report::Yield(key.clone()));
        bench.report(Report::Notice(Notice::Said { node: None, text: "later".into() }));
        bench.report(Report::Ask(Box::new(sample::inquiry())));
        std::thread::sleep(Duration::from_millis(100));
        let text = bench.paper.text();
        assert!(!text.contains("later") && !text.contains("[yes/no]"), "{text}");
        bench.report(Report::Restore(key));
        bench.paper.wait_for("later");
        bench.paper.wait_for("[yes/no] ");
    }

    #[test]
    fn the_keyboard_is_a_terminal_that_shows_nothing_by_itself() {
        // The prompt goes to the screen; the terminal only echoes.
        let mut bench = bench(true, lines);
        bench.ask();
        bench.type_in("no\n");
        bench.decision();
        let mut echoed = [0; 64];
        let count = bench.keyboard.as_mut().unwrap().0.read(&mut echoed).unwrap();
        assert_eq!(&echoed[..count], b"no\r\n");
    }
}
