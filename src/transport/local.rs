//! The way to `connection: local`: commands run on this machine.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;
use tokio::sync::Semaphore;

use super::BoxFuture;
use super::child;
use super::link::{Hold, Link, Pipes, Turn, with_terminal};

/// This machine. It cannot be lost, only closed.
pub(super) struct Local {
    turns: Arc<Semaphore>,
    closed: AtomicBool,
}

impl Local {
    pub(super) fn new(turns: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), closed: AtomicBool::new(false) }
    }

    fn spawn(&self, line: &str) -> Result<Pipes, String> {
        if let Some(why) = self.gone() {
            return Err(why);
        }
        let mut command = child::command("sh");
        // A group of its own: the terminal's Ctrl-C is rollgate's to act upon, and a deadline reaches all.
        command.args(["-c", line]).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            Command::from(command).spawn().map_err(|error| format!("sh cannot be run here: {error}"))?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("sh was started without pipes".to_owned());
        };
        let ended = Arc::new(AtomicBool::new(false));
        let reaped = Arc::clone(&ended);
        tokio::spawn(async move {
            // How it ended is said by its last mark; this only leaves no zombie behind.
            let _ = child.wait().await;
            reaped.store(true, Ordering::Release);
        });
        Ok(Pipes {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            hold: Box::new(Group { leader, ended, released: false }),
        })
    }
}

impl Link for Local {
    fn turn(&self) -> BoxFuture<'_, Turn> {
        Box::pin(async { Arc::clone(&self.turns).acquire_owned().await.ok() })
    }

    fn open<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Pipes, String>> {
        Box::pin(async move { self.spawn(line) })
    }

    fn terminal<'a>(&'a self, line: &'a str, deadline: Duration) -> BoxFuture<'a, Result<bool, String>> {
        Box::pin(async move {
            let mut command = Command::from(child::command("sh"));
            command.args(["-c", line]);
            with_terminal(command, "sh", deadline, |_| {}).await
        })
    }

    fn gone(&self) -> Option<String> {
        self.closed.load(Ordering::Acquire).then(|| "the connection was closed".to_owned())
    }

    fn sever(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn leave(&self) {
        self.sever();
    }
}

/// A process group that nobody waits for any more is ended, unless its script ended by itself.
struct Group {
    leader: Option<Pid>,
    ended: Arc<AtomicBool>,
    released: bool,
}

impl Hold for Group {
    fn release(mut self: Box<Self>) {
        self.released = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader
            && !self.released
            && !self.ended.load(Ordering::Acquire)
        {
            // It may have ended in this moment.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
