//! What a node's session needs from the way to the node: somewhere to run a fixed command line.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::Command;

use super::BoxFuture;

/// A way to a node that is open.
pub(super) trait Link: Send + Sync {
    /// Waits until another call may be made: a server takes only so many at once.
    fn turn(&self) -> BoxFuture<'_, Turn>;

    /// Runs a command line with pipes for its input and output. The error says why nothing was run.
    fn open<'a>(&'a self, line: &'a str) -> BoxFuture<'a, Result<Pipes, String>>;

    /// Runs a command line with this process's terminal until it ends, for `deadline` at most; `false`
    /// when it had to be ended. The error says why nothing was run.
    fn terminal<'a>(&'a self, line: &'a str, deadline: Duration) -> BoxFuture<'a, Result<bool, String>>;

    /// Why the link is known to be gone; `None` while it may be good.
    fn gone(&self) -> Option<String>;

    /// Ends the link for good.
    fn sever(&self);

    /// Is done with the link, for good. One that stays open for others does; any other is ended.
    fn leave(&self);
}

/// Runs a command that has the terminal until it ends, for `deadline` at most. `begun` hears its process id.
pub(super) async fn with_terminal(
    mut command: Command,
    program: &str,
    deadline: Duration,
    begun: impl FnOnce(Option<u32>),
) -> Result<bool, String> {
    let spawned = command.kill_on_drop(true).spawn();
    let mut child = spawned.map_err(|error| format!("{program} cannot be run here: {error}"))?;
    begun(child.id());
    if tokio::time::timeout(deadline, child.wait()).await.is_ok() {
        return Ok(true);
    }
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // Asked first: ssh puts the terminal back as it was.
        let _ = kill_process(id, Signal::TERM);
        let _ = tokio::time::timeout(Duration::from_secs(2), child.wait()).await;
    }
    Ok(false)
}

/// Leave to make a call, given back when dropped.
pub(super) type Turn = Option<tokio::sync::OwnedSemaphorePermit>;

/// A command that runs.
pub(super) struct Pipes {
    pub(super) stdin: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) stdout: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) stderr: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) hold: Box<dyn Hold>,
}

/// Keeps a command running: dropped, its channel is closed.
pub(super) trait Hold: Send {
    /// The call is over by its own account: whatever the script left in the background stays.
    fn release(self: Box<Self>);
}
