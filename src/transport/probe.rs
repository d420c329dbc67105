//! Runs a batch of scripts in one call and sorts out what each of them answered.

use std::time::{Duration, Instant};

use super::converse::{self, Call, Ended, Heard, Snag, converse};
use super::frame::{Mark, Nonce};
use super::job::{Captured, ProbeEnd, ProbeReply, Stream};
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
    took: Duration,
    stdout: Captured,
    stderr: Captured,
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

    pub(super) fn hear(&mut self, heard: &Heard<'_>) {
        match *heard {
            Heard::Output { stream, bytes } => {
                let answer = &mut self.list[self.current[usize::from(stream == Stream::Err)]];
                match stream {
                    Stream::Out => answer.stdout.take(bytes),
                    Stream::Err => answer.stderr.take(bytes),
                }
            }
            Heard::Mark { stream, mark } => self.mark(stream, mark),
        }
    }

    fn mark(&mut self, stream: Stream, mark: Mark) {
        let (Mark::Begin { index, .. } | Mark::Running { index } | Mark::End { index, .. }) = mark else {
            return;
        };
        let Some(answer) = self.list.get_mut(index) else { return };
        match mark {
            Mark::Begin { group, .. } => {
                self.current[usize::from(stream == Stream::Err)] = index;
                self.group = group;
                answer.begun.get_or_insert_with(Instant::now);
            }
            Mark::Running { .. } => answer.running = true,
            Mark::End { code, .. } => {
                answer.exit = Some(code);
                answer.took = answer.begun.map(|begun| begun.elapsed()).unwrap_or_default();
            }
            _ => {}
        }
    }

    /// Says of each script how it ended, where the first one without an end ended `unfinished`.
    pub(super) fn replies(self, unfinished: &ProbeEnd) -> Vec<ProbeReply> {
        let mut stopped = false;
        let reply = |answer: Answer| {
            let end = match answer.exit {
                Some(code) if answer.running => ProbeEnd::Exited { code },
                Some(_) => ProbeEnd::NotRun { why: answer.stderr.text().trim().to_owned() },
                None if stopped => ProbeEnd::NotRun { why: "the one before it came to no end".to_owned() },
                None => {
                    stopped = true;
                    unfinished.clone()
                }
            };
            ProbeReply { end, stdout: answer.stdout, stderr: answer.stderr, took: answer.took }
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

/// Asks a batch. `home` and `make` are those of [`script::program_of`].
pub(super) async fn ask(
    link: &dyn Link,
    bodies: &[Body<'_>],
    home: Option<&str>,
    make: bool,
    deadline: Duration,
) -> Result<Asked, Snag> {
    let Some(last) = bodies.len().checked_sub(1) else { return Ok(Asked::default()) };
    let nonce = Nonce::draw()?;
    let program = script::program_of(bodies, &nonce, home, make)?;
    let mut answers = Answers::expected(bodies.len());
    let call = Call { line: line::WHOLE, program, nonce: &nonce, last, feed: None, deadline, pulse: None };
    let ended = converse(link, call, &mut |heard| answers.hear(&heard)).await?;
    let (unfinished, noise) = match ended {
        Ended::Whole => (ProbeEnd::Died, String::new()),
        Ended::Late { hold, .. } => {
            let hung = bodies.get(answers.current[0]).map_or(Become::None, |body| body.become_with);
            // What hangs is only read; that it may go on hanging does no harm.
            converse::stop_group(link, answers.group, hung).await;
            drop(hold);
            (ProbeEnd::TimedOut, String::new())
        }
        Ended::Died { noise } => (ProbeEnd::Died, noise),
    };
    Ok(Asked { replies: answers.replies(&unfinished), noise })
}
