//! The way to a node over ssh: channels of a master connection, without a process per command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openssh::{Child, Session};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::BoxFuture;
use super::answers::Verdict;
use super::askpass::Login;
use super::asks::Asks;
use super::child;
use super::denied;
use super::link::{Hold, Link, Pipes, Turn, with_terminal};
use super::master::{Master, environment, login};
use crate::model::host::SshTarget;
use crate::model::name::NodeName;

/// A master connection and the calls over it.
pub(super) struct Ssh {
    node: NodeName,
    master: Master,
    asks: Asks,
    mux: Arc<Session>,
    target: SshTarget,
    turns: Arc<Semaphore>,
    severed: AtomicBool,
}

impl Ssh {
    pub(super) fn new(node: NodeName, master: Master, target: SshTarget, asks: Asks, turns: usize) -> Self {
        let mux = Arc::new(Session::resume_mux(master.socket().into(), None));
        let turns = Arc::new(Semaphore::new(turns));
        Self { node, master, asks, mux, target, turns, severed: AtomicBool::new(false) }
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
            let mut command = Arc::clone(&self.mux).arc_raw_command(line);
            command.stdin(openssh::Stdio::piped());
            command.stdout(openssh::Stdio::piped());
            command.stderr(openssh::Stdio::piped());
            match command.spawn().await {
                Ok(child) => return pipes(child),
                // The server has no room for another channel (MaxSessions): one of ours will end. The
                // caller's deadline bounds the wait; there is no second connection to fall back to.
                Err(openssh::Error::SshMux(_)) if self.gone().is_none() => {}
                Err(error) => return Err(self.gone().unwrap_or_else(|| chain(&error))),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(500));
        }
    }
}

fn pipes(mut child: Child<Arc<Session>>) -> Result<Pipes, String> {
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin().take(), child.stdout().take(), child.stderr().take())
    else {
        return Err("a channel was opened without pipes".to_owned());
    };
    Ok(Pipes {
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
        Box::pin(self.channel(line))
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
    }
}

/// Closes its channel when dropped.
struct Channel(#[expect(dead_code, reason = "held for its drop")] Child<Arc<Session>>);

impl Hold for Channel {
    fn release(self: Box<Self>) {}
}
