//! A node's session: every question and every change, the same over ssh and on this machine.

use std::path::Path;
use std::time::Duration;

use super::converse::{self, Call, Ended, Heard, Snag, answers, converse};
use super::copy::{Copied, FileSum, Upload};
use super::error::{Kind, TransportError, Trouble};
use super::facts::Facts;
use super::frame::{Mark, Nonce};
use super::job::{Found, Job, JobEnd, JobId, OutputSink, Probe, ProbeReply, Stream};
use super::link::Link;
use super::probe::{Asked, ask};
use super::script::{self, Body};
use super::{BoxFuture, Reader, Session, line, trouble};
use crate::model::host::{Become, Connection, SshTarget};
use crate::model::name::NodeName;

/// An open session over some link.
pub(super) struct NodeSession {
    pub(super) name: NodeName,
    pub(super) connection: Connection,
    pub(super) become_with: Become,
    pub(super) link: Box<dyn Link>,
    pub(super) facts: Facts,
    /// Where scripts run on this machine; over ssh they run where the login puts them.
    pub(super) home: Option<String>,
}

impl NodeSession {
    pub(super) fn unreachable(&self, why: Trouble) -> TransportError {
        TransportError::Unreachable { node: self.name.clone(), why: Box::new(why) }
    }

    pub(super) fn lost(&self, why: impl Into<String>) -> TransportError {
        TransportError::Lost { node: self.name.clone(), why: why.into() }
    }

    pub(super) fn refused(&self, why: impl Into<String>) -> TransportError {
        TransportError::Refused { node: self.name.clone(), why: why.into() }
    }

    pub(super) fn place(&self) -> String {
        place(&self.connection)
    }

    pub(super) fn target(&self) -> Option<&SshTarget> {
        match &self.connection {
            Connection::Ssh(target) => Some(target),
            Connection::Local => None,
        }
    }

    /// Words for a call that came to no reply.
    pub(super) fn snag(&self, snag: Snag) -> TransportError {
        match snag {
            Snag::Unfit(unfit) => self.refused(unfit.0),
            Snag::Here(source) => TransportError::Here { what: "drawing a random number".to_owned(), source },
            Snag::Broken(broken) if broken.sent => self.lost(broken.why),
            Snag::Broken(broken) => self.unreachable(trouble::closed(self.place(), &broken.why)),
        }
    }

    /// The shell of the login never came to what it was sent.
    pub(super) fn no_shell(&self, noise: &str) -> TransportError {
        let text = "the login's shell ends without running anything";
        self.unreachable(trouble::no_shell(self.place(), self.target(), text, noise))
    }

    /// A job's own shell or rights are not to be had.
    pub(super) fn not_started(&self, job: &Job, said: &str) -> TransportError {
        let kind = if said.contains("not found") || said.contains("No such file") {
            Kind::Shell
        } else {
            Kind::Become
        };
        self.unreachable(if job.become_with == Become::None || kind == Kind::Shell {
            let text = format!("`{}` cannot be run there", script::program(job.shell));
            trouble::no_shell(self.place(), self.target(), &text, said)
        } else {
            trouble::no_rights(self.place(), self.target(), job.become_with, said)
        })
    }

    /// Asks with the rights and in the place of this session.
    pub(super) async fn ask(
        &self,
        bodies: &[Body<'_>],
        make: bool,
        deadline: Duration,
    ) -> Result<Asked, TransportError> {
        let home = self.home.as_deref();
        ask(&*self.link, bodies, home, make, deadline).await.map_err(|snag| self.snag(snag))
    }

    async fn follow(&self, job: &Job, sink: &dyn OutputSink) -> Result<JobEnd, TransportError> {
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let program = script::program_of(&[Body::from(job)], &nonce, self.home.as_deref(), true)
            .map_err(|unfit| self.snag(unfit.into()))?;
        let call =
            Call { line: line::WHOLE, program, nonce: &nonce, last: 0, feed: None, deadline: job.deadline };
        let mut seen = Seen::default();
        let ended = converse(&*self.link, call, &mut |heard| seen.hear(&heard, sink)).await;
        seen.flush(sink);
        match ended.map_err(|broken| self.snag(broken.into()))? {
            Ended::Whole => match seen.exit {
                Some(code) if seen.running => Ok(JobEnd::Exited { code }),
                _ => Err(self.not_started(job, &String::from_utf8_lossy(&seen.before))),
            },
            Ended::Died { noise } if seen.group.is_none() => Err(self.no_shell(&noise)),
            Ended::Died { .. } => Err(self.lost("the shell that ran it was killed, with its exit status")),
            Ended::Late { hold, sent } => {
                let Some(group) = seen.group else {
                    let why = format!("no sign that it began within {} s", job.deadline.as_secs_f32());
                    // What was never wholly sent can never begin; what was sent may, late.
                    return Err(if sent {
                        self.lost(why)
                    } else {
                        self.unreachable(trouble::closed(self.place(), &why))
                    });
                };
                let stopped = converse::stop_group(&*self.link, group, job.become_with).await;
                drop(hold);
                Ok(JobEnd::TimedOut { after: job.deadline, stopped })
            }
        }
    }
}

/// Where a connection leads, as shown.
pub(super) fn place(connection: &Connection) -> String {
    match connection {
        Connection::Ssh(target) => trouble::place(target),
        Connection::Local => "this machine".to_owned(),
    }
}

/// What a job has shown so far.
#[derive(Default)]
struct Seen {
    group: Option<i32>,
    running: bool,
    exit: Option<i32>,
    /// What was said before the job's own shell ran: why it did not.
    before: Vec<u8>,
    lines: [Vec<u8>; 2],
}

impl Seen {
    fn hear(&mut self, heard: &Heard<'_>, sink: &dyn OutputSink) {
        match *heard {
            Heard::Output { stream: Stream::Err, bytes } if !self.running => {
                let room = 4096_usize.saturating_sub(self.before.len());
                self.before.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Heard::Output { stream, bytes } => self.output(stream, bytes, sink),
            Heard::Mark { mark: Mark::Begin { group, .. }, .. } => self.group = Some(group),
            Heard::Mark { mark: Mark::Running { .. }, .. } => {
                self.running = true;
                // What rights were gained with may have spoken: a sudo lecture.
                let before = std::mem::take(&mut self.before);
                self.output(Stream::Err, &before, sink);
            }
            Heard::Mark { mark: Mark::End { code, .. }, .. } => self.exit = Some(code),
            Heard::Mark { .. } => {}
        }
    }

    fn output(&mut self, stream: Stream, bytes: &[u8], sink: &dyn OutputSink) {
        const LONGEST: usize = 1 << 16;
        let held = &mut self.lines[usize::from(stream == Stream::Err)];
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(LONGEST) {
                if held.len() + piece.len() > LONGEST {
                    sink.line(stream, held);
                    held.clear();
                }
                held.extend_from_slice(piece);
            }
            if held.ends_with(b"\n") {
                sink.line(stream, held);
                held.clear();
            }
        }
    }

    fn flush(&mut self, sink: &dyn OutputSink) {
        for (stream, held) in [Stream::Out, Stream::Err].into_iter().zip(&mut self.lines) {
            if !held.is_empty() {
                sink.line(stream, held);
                held.clear();
            }
        }
    }
}

impl Reader for NodeSession {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn probe<'a>(
        &'a self,
        batch: &'a [Probe],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<ProbeReply>, TransportError>> {
        Box::pin(async move {
            let bodies: Vec<Body<'_>> = batch.iter().map(Body::from).collect();
            Ok(self.ask(&bodies, false, deadline).await?.replies)
        })
    }

    fn get<'a>(
        &'a self,
        from: &'a str,
        to: &'a Path,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Copied, TransportError>> {
        Box::pin(self.fetch(from, to, deadline))
    }

    fn sums<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>> {
        Box::pin(self.hash(paths, deadline))
    }

    fn is_alive(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.link.gone().is_none() && answers(&*self.link).await })
    }
}

impl Session for NodeSession {
    fn start<'a>(
        &'a self,
        job: &'a Job,
        sink: &'a dyn OutputSink,
    ) -> BoxFuture<'a, Result<JobEnd, TransportError>> {
        Box::pin(self.follow(job, sink))
    }

    fn attach<'a>(
        &'a self,
        id: &'a JobId,
        _sink: &'a dyn OutputSink,
    ) -> BoxFuture<'a, Result<Found, TransportError>> {
        // Jobs end with the connection that started them and leave no record on the node.
        let why = format!("{} keeps no record of {id}", self.name);
        Box::pin(async move { Ok(Found::Unknown { why }) })
    }

    fn interact<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<JobEnd, TransportError>> {
        Box::pin(self.lend_terminal(job))
    }

    fn put<'a>(
        &'a self,
        upload: &'a Upload,
        progress: &'a (dyn Fn(u64) + Sync),
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Copied, TransportError>> {
        Box::pin(self.send(upload, progress, deadline))
    }

    fn remove<'a>(&'a self, path: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.clear(path, deadline))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.link.sever() })
    }
}
