//! The way to a node over ssh: channels of a master connection, without a process per command.
//!
//! Opening a channel takes two round trips and starting a shell in it a few milliseconds. Beside the call that greets a
//! node, a channel is opened in which a shell waits for the program of the next call, for there always is one; and as
//! soon as calls keep coming, beside each of them. Then a call takes one round trip, and what it waits for is its script.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use openssh::{Child, Session};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BoxFuture;
use super::answers::Verdict;
use super::askpass::Login;
use super::asks::Asks;
use super::child;
use super::denied;
use super::line;
use super::link::{Hold, Link, Pipes, Turn, with_terminal};
use super::master::{Master, environment, login};
use crate::model::host::SshTarget;
use crate::model::name::NodeName;

/// After so many calls there will be more than one. A look at a node needs fewer.
const CALLS: usize = 4;

/// A channel in which a shell waits for a program.
struct Spare {
    pipes: Pipes,
    /// A cluster may have more nodes than this process may have files open. None for a channel that is used at once.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Spare {
    /// Its channel, if that is still open. A login that has something to say has said it by now.
    fn ready(self) -> Option<Pipes> {
        let mut pipes = self.pipes;
        let mut noise = vec![0; 4096];
        match pipes.stdout.read(&mut noise).now_or_never() {
            None => Some(pipes),
            Some(Ok(read @ 1..)) => {
                noise.truncate(read);
                let stdout = Cursor::new(noise).chain(pipes.stdout);
                Some(Pipes { stdout: Box::new(stdout), ..pipes })
            }
            Some(_) => None,
        }
    }
}

/// What the node of a connection says that was taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Response {
    /// It opened a channel.
    Open,
    /// It opened none: others use all that there are, or the connection has just ended.
    Refused,
    /// Nothing in time.
    Silent,
}

/// A master connection and the calls over it.
pub(super) struct Ssh {
    node: NodeName,
    master: Master,
    asks: Asks,
    mux: Arc<Session>,
    target: SshTarget,
    turns: Arc<Semaphore>,
    severed: AtomicBool,
    calls: AtomicUsize,
    /// Whether the server has never refused a channel.
    has_room: AtomicBool,
    spare: Arc<Mutex<Option<Spare>>>,
    /// How many spare channels all connections may have.
    spares: Arc<Semaphore>,
}

impl Ssh {
    pub(super) fn new(
        node: NodeName,
        master: Master,
        target: SshTarget,
        asks: Asks,
        turns: usize,
        spares: Arc<Semaphore>,
    ) -> Self {
        Self {
            node,
            mux: Arc::new(Session::resume_mux(master.socket().into(), None)),
            master,
            asks,
            target,
            turns: Arc::new(Semaphore::new(turns)),
            severed: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            has_room: AtomicBool::new(true),
            spare: Arc::default(),
            spares,
        }
    }

    /// Asks the node of a connection that was taken up for the channel that its first call takes.
    pub(super) async fn responds(&self, patience: Duration) -> Response {
        match tokio::time::timeout(patience, open(&self.mux, line::WHOLE)).await {
            Err(_) => Response::Silent,
            Ok(Ok(Some(pipes))) => {
                let spare = Spare { pipes, _permit: None };
                self.spare.lock().unwrap_or_else(PoisonError::into_inner).replace(spare);
                Response::Open
            }
            Ok(_) => Response::Refused,
        }
    }

    /// The channel that was opened ahead of this call, and another one for the next.
    fn ready(&self) -> Option<Pipes> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let calls = self.calls.fetch_add(1, Ordering::Relaxed);
        if (calls == 0 || calls >= CALLS)
            && self.has_room.load(Ordering::Relaxed)
            && let Ok(permit) = Arc::clone(&self.spares).try_acquire_owned()
        {
            let (mux, slot) = (Arc::clone(&self.mux), Arc::clone(&self.spare));
            tokio::spawn(async move {
                // Where there is none a call opens its own.
                if let Ok(pipes) = open(&mux, line::WHOLE).await {
                    let spare = Spare { pipes: pipes?, _permit: Some(permit) };
                    slot.lock().unwrap_or_else(PoisonError::into_inner).replace(spare);
                }
                Some(())
            });
        }
        spare.and_then(Spare::ready)
    }

    /// A login of its own, whose questions are answered as those of the connection were.
    async fn terminal_login(&self, line: &str, deadline: Duration) -> Result<bool, String> {
        let login_of = Login { node: &self.node, target: &self.target, has_terminal: true };
        let askpass = self
            .asks
            .listen(self.master.warden(), &login_of)
            .map_err(|error| format!("ssh could not be given a way to ask: {error}"))?;
        let mut command = Command::from(child::command("ssh"));
        command.args(["-tt", "-S", "none", "-o", "ControlMaster=no"]);
        command.args(login(&self.target, askpass.as_ref().map(|askpass| askpass.reach))).arg(line);
        command.envs(environment(askpass.as_ref()));
        let Some(askpass) = askpass else { return with_terminal(command, "ssh", deadline, |_| {}).await };
        let stopped = async {
            while !askpass.has_stopped() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::select! {
            ended = with_terminal(command, "ssh", deadline, |id| askpass.belongs_to(id)) => ended,
            () = stopped => Err(denied::stopped(&self.target, &askpass.asked()).text),
        };
        if ended.is_err() && askpass.asked().gave_password() {
            // It is no connection that anybody waits for.
            let _ = askpass.conclude(Verdict::Refused);
        }
        ended
    }

    async fn channel(&self, line: &str) -> Result<Pipes, String> {
        let mut wait = Duration::from_millis(20);
        loop {
            if let Some(why) = self.gone() {
                return Err(why);
            }
            match open(&self.mux, line).await {
                Ok(pipes) => return pipes.ok_or_else(|| "a channel was opened without pipes".to_owned()),
                // The server has no room for another channel (MaxSessions): one of ours will end, and none is kept
                // that nobody uses. The caller's deadline bounds the wait; there is no second connection to fall
                // back to.
                Err(openssh::Error::SshMux(_)) if self.gone().is_none() => {
                    self.has_room.store(false, Ordering::Relaxed);
                    self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
                }
                Err(error) => return Err(self.gone().unwrap_or_else(|| chain(&error))),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(500));
        }
    }
}

/// Opens a channel; `None` when it has no pipes.
async fn open(mux: &Arc<Session>, line: &str) -> Result<Option<Pipes>, openssh::Error> {
    let mut command = Arc::clone(mux).arc_raw_command(line);
    command.stdin(openssh::Stdio::piped());
    command.stdout(openssh::Stdio::piped());
    command.stderr(openssh::Stdio::piped());
    command.spawn().await.map(pipes)
}

fn pipes(mut child: Child<Arc<Session>>) -> Option<Pipes> {
    let (stdin, stdout, stderr) = (child.stdin().take()?, child.stdout().take()?, child.stderr().take()?);
    Some(Pipes {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        hold: Box::new(Channel(child)),
    })
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Link for Ssh {
    fn turn(&self) -> BoxFuture<'_, Turn> {
        Box::pin(async { Arc::clone(&self.turns).acquire_owned().await.ok() })
    }

    fn open<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Pipes, String>> {
        Box::pin(async move {
            if line == line::WHOLE
                && self.gone().is_none()
                && let Some(pipes) = self.ready()
            {
                return Ok(pipes);
            }
            self.channel(line).await
        })
    }

    fn terminal<'a>(&'a self, line: &'a str, deadline: Duration) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            if let Some(why) = self.gone() {
                return Err(why);
            }
            // A login of its own: over the master it would be the master that reads the terminal, and that is
            // no process of the foreground, so it would never get a key (SIGTTIN).
            self.terminal_login(line, deadline).await
        })
    }

    fn gone(&self) -> Option<String> {
        if self.severed.load(Ordering::Acquire) {
            return Some("the ssh connection was silent or closed, and was ended".to_owned());
        }
        if !self.master.ended() {
            return None;
        }
        let said = self.master.said();
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        Some(last.map_or_else(|| "the ssh connection ended".to_owned(), ToOwned::to_owned))
    }

    fn sever(&self) {
        self.severed.store(true, Ordering::Release);
        self.master.kill();
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn leave(&self) {
        if !self.master.stays() {
            return self.sever();
        }
        self.severed.store(true, Ordering::Release);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Closes its channel when dropped.
struct Channel(#[expect(dead_code, reason = "held for its drop")] Child<Arc<Session>>);

impl Hold for Channel {
    fn release(self: Box<Self>) {}
}
