//! Jobs over a session: started, followed to their end, stopped. What is followed lives on without us.

use std::time::Duration;

use super::converse::{Call, Ended, Heard, converse};
use super::error::{TransportError, Trouble};
use super::frame::{Mark, Nonce};
use super::job::{Job, JobEnd, JobRef, JournalCopy, Limit, OutputSink, Stream};
use super::runner::{self, Caller};
use super::script::Program;
use super::session::NodeSession;
use super::{line, trouble};
use crate::model::duration;
use crate::model::host::Become;
use crate::model::job::Standing;
use crate::model::name::ClusterName;

/// The node says every five seconds that it follows a job; three times out of hearing is silence.
const PULSE: Duration = Duration::from_secs(16);
/// How long it takes at most to end everything that a job started, and to fetch what it printed last.
const STOP: Duration = Duration::from_secs(40);
/// How many times as long it may take to fetch what was printed last, while more of it comes.
const REST: u32 = 15;
/// How long a look at a job may take.
const LOOK: Duration = Duration::from_secs(20);
/// How long lines of the journal may take to be kept.
const KEEP: Duration = Duration::from_secs(30);

impl NodeSession {
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller {
            facts: &self.facts,
            become_with: self.become_with,
            password: self.password(),
            home: self.home.as_deref(),
        }
    }

    /// Starts a job unless it was, and follows it.
    pub(super) async fn begin(&self, job: &Job, sink: &dyn OutputSink) -> Result<JobEnd, TransportError> {
        self.unless_refused(self.become_with)?;
        self.unless_refused(job.become_with)?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = runner::start(&self.caller(), job, &nonce).map_err(|unfit| self.snag(unfit.into()))?;
        let limit = Limit { deadline: job.deadline, become_with: job.become_with };
        let heard = self.hear(program, &nonce, limit.deadline, [0, 0], sink).await?;
        if let Heeded::Said(before) = &heard {
            return Err(self.not_begun(job, before));
        }
        self.conclude(&job.at, heard, &limit, sink).await
    }

    /// Follows a job that was started earlier.
    pub(super) async fn follow(
        &self,
        job: &JobRef,
        from: [u64; 2],
        limit: &Limit,
        sink: &dyn OutputSink,
    ) -> Result<JobEnd, TransportError> {
        self.unless_refused(self.become_with).map_err(|error| self.lost(error.to_string()))?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = runner::follow(&self.caller(), job, from, &nonce);
        let heard = self.hear(program, &nonce, limit.deadline, from, sink).await?;
        self.conclude(job, heard, limit, sink).await
    }

    /// Where a job stands.
    pub(super) async fn look(&self, job: &JobRef) -> Result<Standing, TransportError> {
        self.unless_refused(self.become_with).map_err(|error| self.lost(error.to_string()))?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = runner::look(&self.caller(), job, &nonce);
        let mut seen = Seen::default();
        let call = call(program, &nonce, LOOK, None);
        let ended = converse(&*self.link, call, &mut |heard| seen.hear(&heard, &Nobody)).await;
        if let (Ended::Whole, Some(standing)) =
            (ended.map_err(|broken| self.snag(broken.into()))?, seen.standing)
        {
            return Ok(standing);
        }
        let denied = self.denied(self.become_with, &seen.said()).map(|error| error.to_string());
        let why = || "the node does not say where the step stands".to_owned();
        Err(self.lost(denied.unwrap_or_else(why)))
    }

    /// Leaves lines of the journal on the node.
    pub(super) async fn leave(
        &self,
        run: (&ClusterName, &str),
        epoch: u64,
        copy: &JournalCopy,
    ) -> Result<(), TransportError> {
        self.unless_refused(self.become_with)?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = runner::keep(&self.caller(), run, epoch, copy, &nonce)
            .map_err(|unfit| self.snag(unfit.into()))?;
        let mut seen = Seen::default();
        let call = call(program, &nonce, KEEP, None);
        let ended = converse(&*self.link, call, &mut |heard| seen.hear(&heard, &Nobody)).await;
        match ended.map_err(|broken| self.snag(broken.into()))? {
            Ended::Whole if seen.exit == Some(0) => Ok(()),
            _ => {
                let said = seen.said();
                let denied = self.denied(self.become_with, &said);
                Err(denied.unwrap_or_else(|| self.unreachable(self.no_room(&said))))
            }
        }
    }

    /// Makes a call that follows a job, and takes what comes.
    async fn hear(
        &self,
        program: Program,
        nonce: &Nonce,
        deadline: Duration,
        from: [u64; 2],
        sink: &dyn OutputSink,
    ) -> Result<Heeded, TransportError> {
        let mut seen = Seen { taken: from, ..Seen::default() };
        let call = call(program, nonce, deadline, Some(PULSE));
        let ended = converse(&*self.link, call, &mut |heard| seen.hear(&heard, sink)).await;
        // A line that was cut off by a loss of contact is not said: it comes again, whole.
        match ended.map_err(|broken| self.snag(broken.into()))? {
            Ended::Whole => {
                seen.flush(sink);
                Ok(seen.standing.map_or_else(|| Heeded::Said(seen.said()), Heeded::Stands))
            }
            Ended::Died { noise } if !seen.begun => Err(self.no_shell(&noise)),
            Ended::Died { .. } => Err(self.lost("the shell that followed it was killed")),
            Ended::Late { sent: false, .. } => {
                let why = format!("it took no program within {}", duration::written(deadline));
                Err(self.unreachable(trouble::closed(self.place(), &why)))
            }
            Ended::Late { .. } => Ok(Heeded::Late { taken: seen.taken }),
        }
    }

    /// What a job's standing means for the one who follows it; one that took too long is stopped.
    async fn conclude(
        &self,
        job: &JobRef,
        heard: Heeded,
        limit: &Limit,
        sink: &dyn OutputSink,
    ) -> Result<JobEnd, TransportError> {
        match heard {
            Heeded::Said(said) => {
                let denied = self.denied(self.become_with, &said).map(|error| error.to_string());
                let why = || format!("the node does not say where it stands: {said}");
                Err(self.lost(denied.unwrap_or_else(why)))
            }
            Heeded::Stands(standing) => Ok(end_of(standing, limit)),
            Heeded::Late { taken } => {
                let (standing, stopped) = self.stop(job, limit.become_with).await?;
                if let Standing::Ended { .. } = standing {
                    self.fetch_rest(job, taken, sink).await?;
                }
                match end_of(standing, limit) {
                    JobEnd::Unclear(standing) if standing.never_began() => Ok(JobEnd::Unclear(standing)),
                    JobEnd::Exited { code } => Ok(JobEnd::Exited { code }),
                    _ => Ok(JobEnd::TimedOut { after: limit.deadline, stopped }),
                }
            }
        }
    }

    /// Takes what a job that has ended printed last: for as long as more of it comes, and a while at most, since what
    /// it has left running may print for ever. Where that is not all the sink hears of it.
    async fn fetch_rest(
        &self,
        job: &JobRef,
        mut taken: [u64; 2],
        sink: &dyn OutputSink,
    ) -> Result<(), TransportError> {
        for _ in 0..REST {
            let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
            let program = runner::follow(&self.caller(), job, taken, &nonce);
            match self.hear(program, &nonce, STOP, taken, sink).await? {
                Heeded::Late { taken: now } if now != taken => taken = now,
                Heeded::Late { .. } | Heeded::Said(_) => break,
                Heeded::Stands(_) => return Ok(()),
            }
        }
        sink.cut("the node has more of this than could be fetched");
        Ok(())
    }

    /// Ends a job; where it stands then, and whether nothing of it runs any more.
    async fn stop(&self, job: &JobRef, wanted: Become) -> Result<(Standing, bool), TransportError> {
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let rights = if self.become_with == Become::None { wanted } else { self.become_with };
        self.unless_refused(rights).map_err(|error| self.lost(error.to_string()))?;
        let program = runner::stop(&self.caller(), job, rights, &nonce);
        let mut seen = Seen::default();
        let call = call(program, &nonce, STOP, None);
        let ended = converse(&*self.link, call, &mut |heard| seen.hear(&heard, &Nobody)).await;
        match (ended.map_err(|broken| self.snag(broken.into()))?, seen.standing) {
            (Ended::Whole, Some(standing)) => Ok((standing, seen.exit == Some(0))),
            _ => Err(self.lost("it took too long, and the node does not say whether it was stopped")),
        }
    }

    pub(super) fn not_begun(&self, job: &Job, said: &str) -> TransportError {
        for rights in [self.become_with, job.become_with] {
            if rights != Become::None
                && let Some(denied) = self.denied(rights, said)
            {
                return denied;
            }
        }
        if said.contains(runner::NO_VEIL) {
            return self.refused(
                "a step that is given a secret has what it prints masked there before it comes into a file, and \
                 the node has no awk or no mkfifo; install them, or take the secret out of the step",
            );
        }
        // dash has no more to say of a full disk than `I/O error`.
        let cannot_write =
            ["No space left", "I/O error", "Read-only file system", "Permission denied", "cannot create"];
        if cannot_write.iter().any(|words| said.contains(words)) {
            return self.unreachable(self.no_room(said));
        }
        self.not_started(job.shell, job.become_with, said)
    }

    pub(super) fn no_room(&self, said: &str) -> Trouble {
        trouble::no_room(self.place(), &self.facts.root, said)
    }
}

fn call(program: Program, nonce: &Nonce, deadline: Duration, pulse: Option<Duration>) -> Call<'_> {
    Call { line: line::WHOLE, program, nonce, last: 0, feed: None, deadline, pulse }
}

/// Says for a job that came to an end by itself how it ended.
fn end_of(standing: Standing, limit: &Limit) -> JobEnd {
    match standing {
        Standing::Ended { stopped: true, .. } => JobEnd::TimedOut { after: limit.deadline, stopped: true },
        Standing::Ended { code, interrupted: false, .. } => JobEnd::Exited { code },
        other => JobEnd::Unclear(other),
    }
}

/// What a call that follows a job came to.
enum Heeded {
    Stands(Standing),
    /// It named no standing, and said this instead.
    Said(String),
    /// The time was over. So many bytes of both streams were taken.
    Late {
        taken: [u64; 2],
    },
}

/// Hears what nobody asked for.
struct Nobody;

impl OutputSink for Nobody {
    fn line(&self, _from: Stream, _line: &[u8]) {}

    fn cut(&self, _why: &str) {}
}

/// What a job has shown so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) begun: bool,
    /// Whether what comes now is the job's own, on either stream.
    running: [bool; 2],
    pub(super) standing: Option<Standing>,
    pub(super) exit: Option<i32>,
    /// What was said before the job's output: why there is none.
    pub(super) before: Vec<u8>,
    lines: [Vec<u8>; 2],
    /// Bytes handed on, of both streams.
    pub(super) taken: [u64; 2],
}

impl Seen {
    /// What was said instead of the job's output.
    fn said(&self) -> String {
        String::from_utf8_lossy(&self.before).trim().to_owned()
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, sink: &dyn OutputSink) {
        match *heard {
            Heard::Output { stream, bytes } if !self.running[usize::from(stream == Stream::Err)] => {
                let room = 4096_usize.saturating_sub(self.before.len());
                self.before.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Heard::Output { stream, bytes } => self.output(stream, bytes, sink),
            Heard::Mark { stream, mark } => match mark {
                Mark::Begin { .. } => self.begun = true,
                Mark::Running { .. } => self.running[usize::from(stream == Stream::Err)] = true,
                Mark::Stands(standing) => self.standing = Some(standing),
                Mark::End { code, .. } => self.exit = Some(code),
                Mark::Age { .. } | Mark::Pulse | Mark::Offset { .. } | Mark::Decided(_) => {}
            },
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8], sink: &dyn OutputSink) {
        const LONGEST: usize = 1 << 16;
        let at = usize::from(stream == Stream::Err);
        let (held, taken) = (&mut self.lines[at], &mut self.taken[at]);
        let mut hand_on = |held: &mut Vec<u8>| {
            sink.line(stream, held);
            *taken += held.len() as u64;
            held.clear();
        };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LONGEST) {
                if held.len() + piece.len() > LONGEST {
                    hand_on(held);
                }
                held.extend_from_slice(piece);
            }
            if held.ends_with(b"\n") {
                hand_on(held);
            }
        }
    }

    pub(super) fn flush(&mut self, sink: &dyn OutputSink) {
        for (at, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            let held = &mut self.lines[at];
            if !held.is_empty() {
                sink.line(stream, held);
                self.taken[at] += held.len() as u64;
                held.clear();
            }
        }
    }
}
