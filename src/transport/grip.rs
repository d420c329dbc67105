//! A grip on an ssh master that is no child of this process: one that stays open went to the background when its login
//! was done, and one that was taken up is another rollgate's.
//!
//! It is a stream to the master's control socket on which nothing more is said. As long as it is open the master is
//! there, so its process number is nobody else's; it counts as a use, so the master's time does not run out in a long
//! step; and when this process ends, however it ends, the kernel closes it, and the time begins. The number is the one
//! that the master tells itself: the socket knows only the process that made it, which ended in the background's favour.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How long a master may take to say that it is there. It does so without asking the node.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a master may take to end when it is told to, before it is killed.
const TO_END: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Words of ssh's `PROTOCOL.mux`.
const HELLO: u32 = 0x0000_0001;
const VERSION: u32 = 4;
const ALIVE_CHECK: u32 = 0x1000_0004;
const ALIVE: u32 = 0x8000_0005;

/// More than any answer to these questions.
const LONGEST: u32 = 4096;

/// A master that is there until it has [ended](Grip::has_ended).
pub(super) struct Grip {
    stream: StdStream,
    pid: Pid,
}

impl Grip {
    /// Takes hold of the master that listens at a socket; the error says that there is none, or none that answers.
    pub(super) async fn take(socket: &Path) -> io::Result<Self> {
        tokio::time::timeout(PATIENCE, Self::greet(socket))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn greet(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket).await?;
        if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        say(&mut stream, &[HELLO, VERSION]).await?;
        if heard(&mut stream).await?[..2] != [HELLO, VERSION] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        say(&mut stream, &[ALIVE_CHECK, 1]).await?;
        let [ALIVE, 1, pid] = heard(&mut stream).await? else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { stream: stream.into_std()?, pid })
    }

    /// Whether the master has ended.
    pub(super) fn has_ended(&self) -> bool {
        // Nothing is asked any more, so nothing comes but the end.
        match (&self.stream).read(&mut [0; 16]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    /// Ends the master, frozen or not.
    pub(super) fn end(&self) {
        // Told to end, it ends the jump host's ssh first, which is in no group of ours.
        for signal in [Signal::TERM, Signal::KILL] {
            if self.has_ended() {
                return;
            }
            // It may have ended in this moment.
            let _ = kill_process(self.pid, signal);
            let _ = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], Some(&TO_END));
        }
    }
}

async fn say(stream: &mut UnixStream, words: &[u32]) -> io::Result<()> {
    let length = u32::try_from(4 * words.len()).map_err(io::Error::other)?;
    let bytes: Vec<u8> = [length].iter().chain(words).flat_map(|word| word.to_be_bytes()).collect();
    stream.write_all(&bytes).await
}

/// The first words of a message; 0 where it has fewer.
async fn heard(stream: &mut UnixStream) -> io::Result<[u32; 3]> {
    let length = stream.read_u32().await?;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut message).await?;
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(message.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Ok(words)
}
