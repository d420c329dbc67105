//! Who comes to the door of a run with an answer: who it is, what he says, how the loop receives it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::journal::{Door, RunDir};
use crate::model::event::{Approval, Reception};

/// How long a caller may take to say what he wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that he may say, in bytes.
const LONGEST: u64 = 64 * 1024;

/// An answer for the loop.
pub struct Call {
    pub(super) approval: Approval,
    pub(super) reply: oneshot::Sender<Reception>,
}

/// The door with somebody at it. Dropped, it is closed.
pub struct Callers {
    _door: Door,
    porter: JoinHandle<()>,
}

impl Callers {
    /// Opens the door of a run, and gives what is said there. The caller holds the cluster's lock.
    pub fn admit(run: &RunDir) -> io::Result<(Self, mpsc::UnboundedReceiver<Call>)> {
        let door = run.open_door().map_err(io::Error::other)?;
        let listener = door.listener().and_then(UnixListener::from_std)?;
        let (to_loop, calls) = mpsc::unbounded_channel();
        let porter = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(attend(stream, to_loop.clone()))),
                    Err(error) => {
                        tracing::debug!(%error, "nobody can come in");
                        tokio::time::sleep(PATIENCE).await;
                    }
                }
            }
        });
        Ok((Self { _door: door, porter }, calls))
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.porter.abort();
    }
}

async fn attend(stream: UnixStream, to_loop: mpsc::UnboundedSender<Call>) {
    if let Err(error) = hear(stream, to_loop).await {
        tracing::debug!(%error, "a caller was not heard");
    }
}

/// Hears one caller: the same user or root, one line, one line back.
async fn hear(stream: UnixStream, to_loop: mpsc::UnboundedSender<Call>) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if peer.uid() != rustix::process::geteuid().as_raw() && peer.uid() != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is another user"));
    }
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new(from.take(LONGEST)).read_line(&mut line)).await??;
    let mut approval: Approval = serde_json::from_str(&line)?;
    if let Some(pid) = peer.pid().and_then(|pid| u32::try_from(pid).ok()) {
        approval.by.pid = pid;
    }
    let (reply, received) = oneshot::channel();
    // When the loop has ended nobody waits any more.
    let _ = to_loop.send(Call { approval, reply });
    let reception = received.await.unwrap_or(Reception::Late);
    to.write_all(format!("{}\n", serde_json::to_string(&reception)?).as_bytes()).await
}
