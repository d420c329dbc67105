//! One call: sends a program, hears what it says, and knows how the call itself ended.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frame::{Mark, Nonce, Piece, Scanner};
use super::job::{Secret, Stream};
use super::line;
use super::link::{Hold, Link, Pipes};
use super::script::{self, Body, Program, Unfit};
use crate::model::host::{Become, Shell};

/// Said in place of a program that comes back as it was sent.
const REPEATS: &str = "it repeats what it is sent instead of running it";

/// How long the node is given to show that it is there.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// What is sent.
pub(super) struct Call<'a> {
    pub(super) line: &'a str,
    pub(super) program: Program,
    pub(super) nonce: &'a Nonce,
    /// The call is over when the script of this index has ended on both streams.
    pub(super) last: usize,
    /// A file to send after the program, from the offset that the program names.
    pub(super) feed: Option<Feed<'a>>,
    pub(super) deadline: Duration,
    /// A node that says nothing for so long has fallen silent; `None` where that is its right.
    pub(super) pulse: Option<Duration>,
}

/// A file that follows a program.
pub(super) struct Feed<'a> {
    pub(super) file: tokio::fs::File,
    pub(super) progress: &'a (dyn Fn(u64) + Sync),
}

/// What is heard: the output of a script, and marks.
pub(super) enum Heard<'a> {
    Output { stream: Stream, bytes: &'a [u8] },
    Mark { stream: Stream, mark: Mark },
}

/// How a call ended.
pub(super) enum Ended {
    /// The last script has said how it ended.
    Whole,
    /// The time was over, and the node answers: the script hangs. It may
    /// begin yet if the program was sent and no mark has come.
    Late { sent: bool, hold: Option<Box<dyn Hold>> },
    /// Nothing more comes, and the node answers: its shell was killed, or is none. `noise` is what
    /// came before anything of ours.
    Died { noise: String },
}

/// The call has no end that anyone could know.
#[derive(Debug)]
pub(super) struct Broken {
    /// Whether the program reached the node, or may have.
    pub(super) sent: bool,
    /// What was seen.
    pub(super) why: String,
}

/// Why a call came to no reply.
#[derive(Debug)]
pub(super) enum Snag {
    /// It cannot be asked.
    Unfit(Unfit),
    /// This machine failed.
    Here(io::Error),
    /// The connection.
    Broken(Broken),
}

impl From<Unfit> for Snag {
    fn from(unfit: Unfit) -> Self {
        Self::Unfit(unfit)
    }
}

impl From<io::Error> for Snag {
    fn from(error: io::Error) -> Self {
        Self::Here(error)
    }
}

impl From<Broken> for Snag {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// Makes a call. A link that turns out to be silent is severed.
pub(super) async fn converse(
    link: &dyn Link,
    call: Call<'_>,
    on: &mut (dyn FnMut(Heard<'_>) + Send),
) -> Result<Ended, Broken> {
    converse_in_turn(link, call, &[], on).await
}

/// The same where each script has a time of its own, in these limits: it counts from its beginning.
pub(super) async fn converse_in_turn(
    link: &dyn Link,
    call: Call<'_>,
    limits: &[Duration],
    on: &mut (dyn FnMut(Heard<'_>) + Send),
) -> Result<Ended, Broken> {
    let turn = link.turn().await;
    let ended = talk(link, call, limits, on).await;
    drop(turn);
    let (sent, ended) = match ended {
        Ok(Talk::Whole) => return Ok(Ended::Whole),
        Ok(Talk::Late { sent, hold }) => (sent, Ended::Late { sent, hold }),
        Ok(Talk::Silent { sent, noise }) => (sent, Ended::Died { noise }),
        Ok(Talk::Mute { sent }) => {
            let why = link.gone().unwrap_or_else(|| "the connection is silent".to_owned());
            if !answers(link).await {
                link.sever();
            }
            return Err(Broken { sent, why });
        }
        Err(why) => return Err(Broken { sent: false, why }),
    };
    if let Some(why) = link.gone() {
        return Err(Broken { sent, why });
    }
    if !answers(link).await {
        let why = link.gone().unwrap_or_else(|| "the connection is silent".to_owned());
        link.sever();
        return Err(Broken { sent, why });
    }
    Ok(ended)
}

enum Talk {
    Whole,
    /// Nothing was heard for as long as the call allows.
    Mute {
        sent: bool,
    },
    Late {
        sent: bool,
        hold: Option<Box<dyn Hold>>,
    },
    Silent {
        sent: bool,
        noise: String,
    },
}

async fn talk(
    link: &dyn Link,
    call: Call<'_>,
    limits: &[Duration],
    on: &mut (dyn FnMut(Heard<'_>) + Send),
) -> Result<Talk, String> {
    let began = Instant::now();
    let until = began + call.deadline;
    let opened = tokio::time::timeout_at(until, link.open(call.line)).await;
    let Ok(opened) = opened else { return Ok(Talk::Late { sent: false, hold: None }) };
    let Pipes { stdin, mut stdout, mut stderr, hold } = opened?;
    let (offset, at_offset) = oneshot::channel();
    let mut offset = Some(offset);
    let mut hearing = Hearing::new(call.nonce, call.last);
    let sent = AtomicBool::new(false);
    let mut sending = Box::pin(send(stdin, &call.program, &sent, call.feed, at_offset));
    let mut done = false;
    let (mut out, mut err) = (vec![0_u8; 1 << 16], vec![0_u8; 1 << 14]);
    let (mut out_open, mut err_open) = (true, true);
    let alarm = tokio::time::sleep_until(until);
    let quiet = call.pulse.unwrap_or(Duration::from_hours(24 * 365));
    let silence = tokio::time::sleep(quiet);
    tokio::pin!(alarm, silence);
    while (out_open || err_open) && !hearing.over() {
        tokio::select! {
            () = &mut alarm => {
                return Ok(Talk::Late { sent: sent.load(Ordering::Relaxed), hold: Some(hold) });
            }
            () = &mut silence => return Ok(Talk::Mute { sent: sent.load(Ordering::Relaxed) }),
            result = &mut sending, if !done => {
                // A broken pipe is the node's decision not to read on; what it says of it follows.
                let _ = result;
                done = true;
            }
            read = read(&mut *stdout, &mut out), if out_open => {
                out_open = read > 0;
                hearing.take(Stream::Out, &out[..read], on, &mut offset);
            }
            read = read(&mut *stderr, &mut err), if err_open => {
                err_open = read > 0;
                hearing.take(Stream::Err, &err[..read], on, &mut offset);
            }
        }
        silence.as_mut().reset(Instant::now() + quiet);
        if let Some(age) = hearing.age.take() {
            // The deadline counts from when the job began, not from when it was asked for again.
            alarm.as_mut().reset((Instant::now() + call.deadline.saturating_sub(age)).min(until));
        }
        if let Some(limit) = hearing.begun.take().and_then(|index| limits.get(index)) {
            alarm.as_mut().reset(Instant::now() + *limit);
        }
    }
    if hearing.over() {
        hold.release();
        return Ok(Talk::Whole);
    }
    let sent = sent.load(Ordering::Relaxed);
    let noise = String::from_utf8_lossy(&hearing.noise).trim().to_owned();
    // Secrets stand in what it is sent.
    let repeats = noise.contains(call.nonce.prefix());
    Ok(Talk::Silent { sent, noise: if repeats { REPEATS.to_owned() } else { noise } })
}

/// Reads what is there; an error is an end like any other, since only marks are believed.
async fn read(from: &mut (dyn AsyncRead + Send + Unpin), into: &mut [u8]) -> usize {
    from.read(into).await.unwrap_or(0)
}

async fn send(
    mut to: Box<dyn tokio::io::AsyncWrite + Send + Unpin>,
    program: &[u8],
    sent: &AtomicBool,
    feed: Option<Feed<'_>>,
    at_offset: oneshot::Receiver<u64>,
) -> io::Result<()> {
    to.write_all(program).await?;
    to.flush().await?;
    sent.store(true, Ordering::Relaxed);
    let Some(mut feed) = feed else { return to.shutdown().await };
    // The program that needs nothing ends without naming an offset.
    let Ok(mut at) = at_offset.await else { return Ok(()) };
    feed.file.seek(io::SeekFrom::Start(at)).await?;
    (feed.progress)(at);
    let mut chunk = vec![0_u8; 1 << 17];
    loop {
        let read = feed.file.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
        at += read as u64;
        (feed.progress)(at);
    }
}

/// What was heard so far on both streams.
pub(super) struct Hearing {
    out: Scanner,
    err: Scanner,
    inside: [bool; 2],
    ended: [bool; 2],
    last: usize,
    /// What came before anything of ours, the beginning of it.
    pub(super) noise: Vec<u8>,
    /// How long ago what is followed began, as just heard.
    pub(super) age: Option<Duration>,
    /// The script behind another one that began, as just heard.
    begun: Option<usize>,
    latest: usize,
}

impl Hearing {
    pub(super) fn new(nonce: &Nonce, last: usize) -> Self {
        Self {
            out: Scanner::new(nonce),
            err: Scanner::new(nonce),
            inside: [false; 2],
            ended: [false; 2],
            last,
            noise: Vec::new(),
            age: None,
            begun: None,
            latest: 0,
        }
    }

    /// Whether the last script has ended on both streams.
    pub(super) fn over(&self) -> bool {
        self.ended == [true; 2]
    }

    /// Takes what came on one of them; nothing is its end.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        bytes: &[u8],
        on: &mut (dyn FnMut(Heard<'_>) + Send),
        offset: &mut Option<oneshot::Sender<u64>>,
    ) {
        let at = usize::from(stream == Stream::Err);
        let (inside, ended) = (&mut self.inside[at], &mut self.ended[at]);
        let (last, noise, age) = (self.last, &mut self.noise, &mut self.age);
        let (begun, latest) = (&mut self.begun, &mut self.latest);
        let mut piece = |piece: Piece<'_>| match piece {
            Piece::Bytes(bytes) if *inside => on(Heard::Output { stream, bytes }),
            Piece::Bytes(bytes) => noise.extend_from_slice(&bytes[..bytes.len().min(1024 - noise.len())]),
            Piece::Mark(mark) => {
                match mark {
                    Mark::Begin { index, .. } => {
                        *inside = true;
                        // It is said on both streams.
                        if index > *latest {
                            (*begun, *latest) = (Some(index), index);
                        }
                    }
                    Mark::End { index, .. } => {
                        *inside = false;
                        *ended |= index == last;
                    }
                    Mark::Offset { at } => {
                        if let Some(offset) = offset.take() {
                            // Nobody waits for it when nothing is fed.
                            let _ = offset.send(at);
                        }
                    }
                    Mark::Age { seconds } => *age = Some(Duration::from_secs(seconds)),
                    Mark::Running { .. } | Mark::Pulse | Mark::Stands(_) | Mark::Decided(_) => {}
                }
                on(Heard::Mark { stream, mark });
            }
        };
        let scanner = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        if bytes.is_empty() {
            scanner.finish(&mut piece);
        } else {
            scanner.push(bytes, &mut piece);
        }
    }
}

/// Whether the node is there now: it opened a new channel, and what was run in that came to an end.
///
/// A channel opened after another one fell silent proves that the silence was the shell's own. That a
/// login without a shell ends the second channel as it ended the first does not matter.
pub(super) async fn answers(link: &dyn Link) -> bool {
    let talk = quick(link, ":", Become::None, None, SIGN_OF_LIFE).await;
    matches!(talk, Some((Talk::Whole | Talk::Silent { .. }, _))) && link.gone().is_none()
}

/// Ends a process group on the node: TERM, a second, KILL. Whether nothing of it runs any more.
///
/// A script may have left its group, or run under rights that the login lacks: then it lives on.
pub(super) async fn stop_group(
    link: &dyn Link,
    group: i32,
    become_with: Become,
    password: Option<&Secret>,
) -> bool {
    if group <= 1 {
        return false;
    }
    let script = format!(
        // A dead process that nobody has waited for yet still answers to kill -0.
        "rg_alive() {{
  kill -0 -{group} 2>/dev/null || return 1
  list=$(ps -A -o pgid= -o stat= 2>/dev/null) || return 0
  printf '%s\\n' \"$list\" | (
    while read -r group state; do
      case $group.$state in ({group}.Z*) ;; ({group}.*) exit 0 ;; esac
    done
    exit 1
  )
}}
kill -TERM -{group} 2>/dev/null || :
n=0
while rg_alive; do
  n=$((n + 1))
  case $n in
    (10) kill -KILL -{group} 2>/dev/null || : ;;
    (15) exit 1 ;;
  esac
  sleep 0.1 2>/dev/null || sleep 1
done"
    );
    let talk = quick(link, &script, become_with, password, Duration::from_secs(20)).await;
    matches!(talk, Some((Talk::Whole, Some(0))))
}

/// Runs a small script without waiting for a turn; how the call ended, and its exit code. `None` when
/// nothing could be run.
async fn quick(
    link: &dyn Link,
    script: &str,
    become_with: Become,
    password: Option<&Secret>,
    deadline: Duration,
) -> Option<(Talk, Option<i32>)> {
    let nonce = Nonce::draw().ok()?;
    let (env, secrets) = (BTreeMap::new(), BTreeMap::new());
    let body = Body {
        script,
        shell: Shell::Sh,
        env: &env,
        secrets: &secrets,
        stdin: script::Input::Nothing,
        cwd: None,
        become_with,
    };
    let program = script::program_of(&[body], &nonce, None, false, password).ok()?;
    let call = Call { line: line::WHOLE, program, nonce: &nonce, last: 0, feed: None, deadline, pulse: None };
    let mut exit = None;
    let mut on = |heard: Heard<'_>| {
        if let Heard::Mark { mark: Mark::End { code, .. }, .. } = heard {
            exit = Some(code);
        }
    };
    let talk = talk(link, call, &[], &mut on).await.ok()?;
    Some((talk, exit))
}
