//! A node's session: every question and every change, the same over ssh and on this machine.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::converse::{Snag, answers};
use super::copy::{Copied, Upload};
use super::error::{TransportError, Trouble};
use super::facts::Facts;
use super::fence::{FenceClaim, Taking};
use super::job::{Job, JobEnd, JobRef, JournalCopy, Limit, OutputSink, Probe, ProbeEnd, ProbeReply, Secret};
use super::link::Link;
use super::note::Way;
use super::probe::{Asked, ask, ask_in_turn};
use super::script::{self, Body};
use super::sum::FileSum;
use super::{BoxFuture, Reader, RevertWord, Session, refused, rights, trouble};
use crate::model::fence::{Fence, FenceEnd};
use crate::model::host::{Become, Connection, Shell, SshTarget};
use crate::model::job::{Revert, Standing};
use crate::model::name::{ClusterName, NodeName};

/// An open session over some link.
pub(super) struct NodeSession {
    pub(super) name: NodeName,
    pub(super) connection: Connection,
    pub(super) become_with: Become,
    /// The password for sudo, where it wants one.
    pub(super) password: Option<Secret>,
    /// Whether sudo has refused the password in this session. It is not tried again: each time counts.
    pub(super) refused: AtomicBool,
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

    pub(super) fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
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
    pub(super) fn not_started(&self, shell: Shell, become_with: Become, said: &str) -> TransportError {
        let no_shell = said.contains("bash: not found") || said.contains("bash: No such file");
        if become_with == Become::None || no_shell {
            let text = format!("`{}` cannot be run there", script::program(shell));
            return self.unreachable(trouble::no_shell(self.place(), self.target(), &text, said));
        }
        self.no_rights(become_with, said)
    }

    fn no_rights(&self, become_with: Become, said: &str) -> TransportError {
        let by_password = self.password.is_some();
        self.unreachable(refused::no_rights(self.place(), self.target(), become_with, by_password, said))
    }

    /// Rights that are not to be had, where what was said are the words of that.
    pub(super) fn denied(&self, become_with: Become, said: &str) -> Option<TransportError> {
        if self.password.is_some() && refused::is_wrong_password(said) {
            self.refused.store(true, Ordering::Relaxed);
        }
        refused::is_told_by(become_with, said).then(|| self.no_rights(become_with, said))
    }

    /// Refuses what would try a password that was refused.
    pub(super) fn unless_refused(&self, become_with: Become) -> Result<(), TransportError> {
        if become_with == Become::Sudo && self.refused.load(Ordering::Relaxed) {
            return Err(self.no_rights(become_with, rights::NOT_AGAIN));
        }
        Ok(())
    }

    /// Asks with the rights and in the place of this session.
    pub(super) async fn ask(
        &self,
        bodies: &[Body<'_>],
        make: bool,
        deadline: Duration,
    ) -> Result<Asked, TransportError> {
        for body in bodies {
            self.unless_refused(body.become_with)?;
        }
        let home = self.home.as_deref();
        let asked = ask(&*self.link, bodies, home, make, self.password(), deadline).await;
        let asked = asked.map_err(|snag| self.snag(snag))?;
        asked.replies.iter().for_each(|reply| self.note_denial(reply));
        Ok(asked)
    }

    fn note_denial(&self, reply: &ProbeReply) {
        if let ProbeEnd::NotRun { why } = &reply.end {
            // The reply says itself what it means for the one who asked.
            let _ = self.denied(Become::Sudo, why);
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

    fn probe_in_turn<'a>(
        &'a self,
        batch: &'a [Probe],
        limits: &'a [Duration],
        told: &'a (dyn Fn(usize, ProbeReply) + Sync),
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            let bodies: Vec<Body<'_>> = batch.iter().map(Body::from).collect();
            for body in &bodies {
                self.unless_refused(body.become_with)?;
            }
            let told = |number, reply: ProbeReply| {
                self.note_denial(&reply);
                told(number, reply);
            };
            let home = self.home.as_deref();
            let asked = ask_in_turn(&*self.link, &bodies, home, self.password(), limits, &told).await;
            asked.map_err(|snag| self.snag(snag))
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

    fn hash<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>> {
        Box::pin(self.sums(paths, Way::Hash, deadline))
    }

    fn recall<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>> {
        Box::pin(self.sums(paths, Way::Recall, deadline))
    }

    fn standing<'a>(&'a self, job: &'a JobRef) -> BoxFuture<'a, Result<Standing, TransportError>> {
        Box::pin(self.look(job))
    }

    fn fence<'a>(&'a self, cluster: &'a ClusterName) -> BoxFuture<'a, Result<Option<Fence>, TransportError>> {
        Box::pin(self.show_fence(cluster))
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
        Box::pin(self.begin(job, sink))
    }

    fn attach<'a>(
        &'a self,
        job: &'a JobRef,
        from: [u64; 2],
        limit: &'a Limit,
        sink: &'a dyn OutputSink,
    ) -> BoxFuture<'a, Result<JobEnd, TransportError>> {
        Box::pin(self.follow(job, from, limit, sink))
    }

    fn arm<'a>(
        &'a self,
        undo: &'a Job,
        change: (&'a JobRef, Become),
        after: Duration,
    ) -> BoxFuture<'a, Result<Standing, TransportError>> {
        Box::pin(self.start_timer(undo, change, after))
    }

    fn decide<'a>(
        &'a self,
        armed: &'a JobRef,
        word: Option<RevertWord>,
    ) -> BoxFuture<'a, Result<Revert, TransportError>> {
        Box::pin(self.decide_timer(armed, word))
    }

    fn keep<'a>(
        &'a self,
        cluster: &'a ClusterName,
        run: &'a str,
        epoch: u64,
        copy: &'a JournalCopy,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.leave((cluster, run), epoch, copy))
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

    fn note<'a>(
        &'a self,
        paths: &'a [String],
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>> {
        Box::pin(self.sums(paths, Way::Note, deadline))
    }

    fn remove<'a>(&'a self, path: &'a str, deadline: Duration) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.clear(path, deadline))
    }

    fn take_fence<'a>(&'a self, claim: &'a FenceClaim) -> BoxFuture<'a, Result<Taking, TransportError>> {
        Box::pin(self.take(claim))
    }

    fn end_fence<'a>(
        &'a self,
        cluster: &'a ClusterName,
        epoch: u64,
        word: FenceEnd,
    ) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.end(cluster, epoch, word))
    }

    fn beat<'a>(&'a self, cluster: &'a ClusterName, epoch: u64) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(self.touch(cluster, epoch))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.link.leave() })
    }
}
