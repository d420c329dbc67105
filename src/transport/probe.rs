//! Runs a batch of scripts in one call and sorts out what each of them answered.

use std::time::{Duration, Instant};

use super::converse::{self, Call, Ended, Heard, Snag, converse_in_turn};
use super::frame::{Mark, Nonce};
use super::job::{Captured, ProbeEnd, ProbeReply, Secret, Stream};
use super::line;
use super::link::Link;
use super::script::{self, Body};
use crate::model::host::Become;

/// One script of a batch while its answer comes in.
#[derive(Default)]
struct Answer {
    begun: Option<Instant>,
    running: bool,
    exit: Option<i32>,
    /// On which streams its end was heard.
    ended: [bool; 2],
    took: Duration,
    stdout: Captured,
    stderr: Captured,
}

impl Answer {
    /// How the script ended, as far as it said so itself.
    fn end(&self) -> Option<ProbeEnd> {
        Some(match self.exit? {
            code if self.running => ProbeEnd::Exited { code },
            _ => ProbeEnd::NotRun { why: self.stderr.text().trim().to_owned() },
        })
    }

    fn reply(self, end: ProbeEnd) -> ProbeReply {
        ProbeReply { end, stdout: self.stdout, stderr: self.stderr, took: self.took }
    }
}

/// What a batch has answered so far.
pub(super) struct Answers {
    list: Vec<Answer>,
    /// Whose output comes now, on each stream.
    current: [usize; 2],
    group: i32,
}

impl Answers {
    /// Nothing yet, of so many scripts, at least one.
    pub(super) fn expected(scripts: usize) -> Self {
        let list = std::iter::repeat_with(Answer::default).take(scripts).collect();
        Self { list, current: [0; 2], group: 0 }
    }

    /// Hears what comes; the script whose answer is whole with it.
    pub(super) fn hear(&mut self, heard: &Heard<'_>) -> Option<usize> {
        match *heard {
            Heard::Output { stream, bytes } => {
                let answer = &mut self.list[self.current[usize::from(stream == Stream::Err)]];
                match stream {
                    Stream::Out => answer.stdout.take(bytes),
                    Stream::Err => answer.stderr.take(bytes),
                }
                None
            }
            Heard::Mark { stream, mark } => self.mark(stream, mark),
        }
    }

    fn mark(&mut self, stream: Stream, mark: Mark) -> Option<usize> {
        let (Mark::Begin { index, .. } | Mark::Running { index } | Mark::End { index, .. }) = mark else {
            return None;
        };
        let answer = self.list.get_mut(index)?;
        match mark {
            Mark::Begin { group, .. } => {
                self.current[usize::from(stream == Stream::Err)] = index;
                self.group = group;
                answer.begun.get_or_insert_with(Instant::now);
            }
            Mark::Running { .. } => {
                answer.running = true;
                // What was said so far is sudo's: its lecture, or that a password is about to expire.
                match stream {
                    Stream::Out => answer.stdout = Captured::default(),
                    Stream::Err => answer.stderr = Captured::default(),
                }
            }
            Mark::End { code, .. } => {
                answer.exit = Some(code);
                answer.took = answer.begun.map(|begun| begun.elapsed()).unwrap_or_default();
                answer.ended[usize::from(stream == Stream::Err)] = true;
                return (answer.ended == [true; 2]).then_some(index);
            }
            _ => {}
        }
        None
    }

    /// Whose output comes now, and the process group that it runs in.
    fn standing(&self) -> (usize, i32) {
        (self.current[0], self.group)
    }

    /// Hands out what a script answered that has come to its end.
    fn take(&mut self, index: usize) -> ProbeReply {
        let answer = std::mem::take(&mut self.list[index]);
        let end = answer.end().unwrap_or(ProbeEnd::Died);
        answer.reply(end)
    }

    /// Says of each script how it ended, where the first one without an end ended `unfinished`.
    pub(super) fn replies(self, unfinished: &ProbeEnd) -> Vec<ProbeReply> {
        let mut stopped = false;
        let reply = |answer: Answer| {
            let end = match answer.end() {
                Some(end) => end,
                None if stopped => ProbeEnd::not_reached(),
                None => {
                    stopped = true;
                    unfinished.clone()
                }
            };
            answer.reply(end)
        };
        self.list.into_iter().map(reply).collect()
    }
}

/// What a batch came to.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) replies: Vec<ProbeReply>,
    /// What the node said before anything of ours, if the batch did not come to its end.
    pub(super) noise: String,
}

/// Asks a batch. `home`, `make` and `password` are those of [`script::program_of`].
pub(super) async fn ask(
    link: &dyn Link,
    bodies: &[Body<'_>],
    home: Option<&str>,
    make: bool,
    password: Option<&Secret>,
    deadline: Duration,
) -> Result<Asked, Snag> {
    let mut answers = Answers::expected(bodies.len());
    let mut hear = |heard: Heard<'_>| {
        answers.hear(&heard);
        answers.standing()
    };
    let place = Place { home, make, password };
    let (unfinished, noise) = send(link, bodies, place, (deadline, &[]), &mut hear).await?;
    Ok(Asked { replies: answers.replies(&unfinished), noise })
}

/// Asks a batch in which each script has its own time, and hands on each reply as soon as it is whole. Of those
/// behind one that comes to no end nothing is said.
pub(super) async fn ask_in_turn(
    link: &dyn Link,
    bodies: &[Body<'_>],
    home: Option<&str>,
    password: Option<&Secret>,
    limits: &[Duration],
    told: &(dyn Fn(usize, ProbeReply) + Sync),
) -> Result<(), Snag> {
    let Some(first) = limits.first() else { return Ok(()) };
    let mut answers = Answers::expected(bodies.len());
    let mut next = 0;
    let mut hear = |heard: Heard<'_>| {
        if let Some(index) = answers.hear(&heard).filter(|index| *index == next) {
            told(index, answers.take(index));
            next += 1;
        }
        answers.standing()
    };
    let place = Place { home, make: false, password };
    let (unfinished, _) = send(link, bodies, place, (*first, limits), &mut hear).await?;
    answers.list.drain(..next);
    if let Some(reply) = answers.replies(&unfinished).into_iter().next() {
        told(next, reply);
    }
    Ok(())
}

/// Where scripts run, and how they gain rights there.
struct Place<'a> {
    home: Option<&'a str>,
    make: bool,
    password: Option<&'a Secret>,
}

/// Sends a batch and stays to its end: how the first script without an end ended, and the noise. `limits` are the
/// time for all and, where each has its own, those. `on` answers with the script that runs now, and its group.
async fn send(
    link: &dyn Link,
    bodies: &[Body<'_>],
    place: Place<'_>,
    (deadline, limits): (Duration, &[Duration]),
    on: &mut (dyn FnMut(Heard<'_>) -> (usize, i32) + Send),
) -> Result<(ProbeEnd, String), Snag> {
    let Some(last) = bodies.len().checked_sub(1) else { return Ok((ProbeEnd::Died, String::new())) };
    let nonce = Nonce::draw()?;
    let program = script::program_of(bodies, &nonce, place.home, place.make, place.password)?;
    let call = Call { line: line::WHOLE, program, nonce: &nonce, last, feed: None, deadline, pulse: None };
    let mut standing = (0, 0);
    let ended = converse_in_turn(link, call, limits, &mut |heard| standing = on(heard)).await?;
    Ok(match ended {
        Ended::Whole => (ProbeEnd::Died, String::new()),
        Ended::Late { hold, .. } => {
            let (current, group) = standing;
            let hung = bodies.get(current).map_or(Become::None, |body| body.become_with);
            // What hangs is only read; that it may go on hanging does no harm.
            converse::stop_group(link, group, hung, place.password).await;
            drop(hold);
            (ProbeEnd::TimedOut, String::new())
        }
        Ended::Died { noise } => (ProbeEnd::Died, noise),
    })
}
