//! The way to a node over ssh: channels of a master connection, without a process per command.
//!
//! Opening a channel takes two round trips and starting a shell in it a few milliseconds. Beside the call that greets a
//! node, a channel is opened in which a shell waits for the program of the next call, for there always is one; and as
//! soon as calls keep coming, beside each of them. Then a call takes one round trip, and what it waits for is its script.

use std::io::Cursor;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
const CALLS: usize = 3;
/// How many channels are kept ready then: over a distance opening one takes longer than a call.
const DEPTH: usize = 2;

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
    stock: Arc<Mutex<Stock>>,
    /// How many spare channels all connections may have.
    spares: Arc<Semaphore>,
}

/// The channels that are kept ready.
#[derive(Default)]
struct Stock {
    ready: Vec<Spare>,
    /// How many are being opened.
    coming: usize,
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
            stock: Arc::default(),
            spares,
        }
    }

    /// Asks the node of a connection that was taken up for the channel that its first call takes.
    pub(super) async fn responds(&self, patience: Duration) -> Response {
        match tokio::time::timeout(patience, open(&self.mux, line::WHOLE)).await {
            Err(_) => Response::Silent,
            Ok(Ok(Some(pipes))) => {
                self.stock().ready.push(Spare { pipes, _permit: None });
                Response::Open
            }
            Ok(_) => Response::Refused,
        }
    }

    /// The socket by which it can be taken up when this process has ended, where it stays open.
    pub(super) fn stays_at(&self) -> Option<&Path> {
        self.master.stays().then(|| self.master.socket())
    }

    /// Its node need not be greeted: the call that comes first is one of those that follow.
    pub(super) fn skip_greeting(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel that was opened ahead of this call, and others for the next ones.
    fn ready(&self) -> Option<Pipes> {
        let ready = std::iter::from_fn(|| self.stock().ready.pop()).find_map(Spare::ready);
        let wanted = match self.calls.fetch_add(1, Ordering::Relaxed) {
            0 => 1,
            CALLS.. => DEPTH,
            _ => 0,
        };
        while self.has_room.load(Ordering::Relaxed) {
            let mut stock = self.stock();
            if stock.ready.len() + stock.coming >= wanted {
                break;
            }
            let Ok(permit) = Arc::clone(&self.spares).try_acquire_owned() else { break };
            stock.coming += 1;
            let (mux, stock) = (Arc::clone(&self.mux), Arc::clone(&self.stock));
            tokio::spawn(async move {
                // Where there is none a call opens its own.
                let opened = open(&mux, line::WHOLE).await.ok().flatten();
                let mut stock = stock.lock().unwrap_or_else(PoisonError::into_inner);
                stock.coming -= 1;
                stock.ready.extend(opened.map(|pipes| Spare { pipes, _permit: Some(permit) }));
            });
        }
        ready
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
                    self.stock().ready.clear();
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
        self.stock().ready.clear();
    }

    fn leave(&self) {
        if !self.master.stays() {
            return self.sever();
        }
        self.severed.store(true, Ordering::Release);
        self.stock().ready.clear();
    }
}

/// Closes its channel when dropped.
struct Channel(#[expect(dead_code, reason = "held for its drop")] Child<Arc<Session>>);

impl Hold for Channel {
    fn release(self: Box<Self>) {}
}
