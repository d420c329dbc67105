//! How ssh's questions reach this process: ssh runs this program once more as its askpass, which passes the
//! question on over a private socket and prints the answer.
//!
//! Neither the question's answer nor anything it is made of is ever an argument, a variable of an environment or
//! a file. The socket stands in the warden's directory, which only this user can enter and whose name nobody can
//! guess, and the other side's user is asked of the kernel. What belongs to the node itself is told by who made the
//! question's process: the very ssh that this process started. A jump host's question comes from another ssh, which
//! that one has started, and never gets what is the node's.

mod question;

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::answers::{Answers, Challenge, NoAnswer, Reach, Verdict, Wanted};
use super::child;
use super::warden::Warden;
use crate::model::host::SshTarget;
use crate::model::name::{NodeName, VarName};
use question::Question;

/// The variable that makes this program an askpass. It holds the socket's path, which is no secret.
pub const ASKPASS: &str = "ROLLGATE_ASKPASS";

/// More than any prompt of ssh.
const LONGEST: usize = 1 << 16;

/// What stands before an answer, and what stands alone where there is none.
const ANSWER: u8 = b'+';
const NO_ANSWER: u8 = b'-';

/// Asks the rollgate that listens at a socket; `None` where it has no answer. `hint` is what ssh says in
/// `SSH_ASKPASS_PROMPT`.
pub fn relay(socket: &Path, prompt: &[u8], hint: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    // Only this process itself can tell: it lets nobody read its `/proc`, and on some machines there is none.
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let question = [parent.to_string().as_bytes(), b"\0", hint, b"\0", prompt].concat();
    stream.write_all(&u32::try_from(question.len()).ok()?.to_be_bytes()).ok()?;
    stream.write_all(&question).ok()?;
    // One that had to grow would leave the answer where it was before.
    let mut answer = Zeroizing::new(Vec::with_capacity(LONGEST));
    stream.take(LONGEST as u64).read_to_end(&mut answer).ok()?;
    (answer.first() == Some(&ANSWER)).then(|| {
        answer.remove(0);
        answer
    })
}

/// A question without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// What was wanted; `None` for a new password in the place of one that has expired.
    pub(super) wanted: Option<Wanted>,
    /// ssh's own words.
    pub(super) said: String,
    pub(super) why: NoAnswer,
}

/// What one login asked for and got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// What was answered.
    pub(super) given: Vec<Wanted>,
    /// Keys and the like that had to do without.
    pub(super) unanswered: Vec<Unanswered>,
    /// Why the login must not go on: ssh would send an empty answer, and the server count it.
    pub(super) stop: Option<Unanswered>,
}

impl Asked {
    /// Whether a password of the node was given.
    pub(super) fn gave_password(&self) -> bool {
        self.given.contains(&Wanted::Password)
    }

    /// Whether anything was given that a server judges.
    pub(super) fn gave_anything(&self) -> bool {
        self.given.iter().any(|wanted| !matches!(wanted, Wanted::Passphrase { .. }))
    }
}

/// Which login asks.
pub(super) struct Login<'a> {
    pub(super) node: &'a NodeName,
    pub(super) target: &'a SshTarget,
    pub(super) has_terminal: bool,
}

/// Listens for what one ssh asks. Dropped, it listens no more, and the login has ended as unclear.
pub(super) struct Askpass {
    socket: PathBuf,
    program: PathBuf,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
    has_concluded: bool,
    pub(super) reach: Reach,
}

struct Shared {
    answers: Arc<dyn Answers>,
    node: NodeName,
    password: Option<VarName>,
    has_terminal: bool,
    /// The process whose own questions are the node's.
    ssh: OnceLock<u32>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    asked: Asked,
    /// How long questions have stood, the one that stands now not counted.
    waited: Duration,
    since: Option<Instant>,
}

impl State {
    /// The question that stood is over.
    fn waited_until_now(&mut self) {
        self.waited += self.since.take().map(|since| since.elapsed()).unwrap_or_default();
    }
}

impl Askpass {
    /// Listens for a login; `None` where nothing that it asks could be answered. `program` plays askpass; without
    /// one it is this program.
    pub(super) fn listen(
        warden: &Warden,
        answers: &Arc<dyn Answers>,
        login: &Login<'_>,
        program: Option<&Path>,
    ) -> io::Result<Option<Self>> {
        let password = login.target.password.clone();
        let reach = answers.reach(password.as_ref());
        if reach == Reach::Nothing {
            return Ok(None);
        }
        let program = program.map_or_else(|| own_program(warden), |program| Ok(program.to_owned()))?;
        let socket = warden.socket();
        let listener = StdListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let shared = Arc::new(Shared {
            answers: Arc::clone(answers),
            node: login.node.clone(),
            password,
            has_terminal: login.has_terminal,
            ssh: OnceLock::new(),
            state: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let listening = tokio::spawn(async move {
            // ssh asks one question after the other, and a jump host's ssh comes first.
            while let Ok((stream, _)) = listener.accept().await {
                serving.serve(stream).await;
            }
        });
        Ok(Some(Self { socket, program, shared, listening, has_concluded: false, reach }))
    }

    /// What ssh finds in its environment.
    pub(super) fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("SSH_ASKPASS", self.program.clone()),
            ("SSH_ASKPASS_REQUIRE", "force".into()),
            (ASKPASS, self.socket.clone()),
        ]
    }

    /// Names the process whose own questions are the node's. To be said before it can have asked any.
    pub(super) fn belongs_to(&self, ssh: Option<u32>) {
        if let Some(ssh) = ssh {
            // A login has one ssh.
            let _ = self.shared.ssh.set(ssh);
        }
    }

    /// How long questions have stood: none of it is the node's time.
    pub(super) fn waited(&self) -> Duration {
        let state = self.shared.state();
        state.waited + state.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Whether the login must be ended.
    pub(super) fn has_stopped(&self) -> bool {
        self.shared.state().asked.stop.is_some()
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Asked {
        self.shared.state().asked.clone()
    }

    /// Says how the login ended; whether a password that was refused is offered again in a while.
    pub(super) fn conclude(mut self, verdict: Verdict) -> bool {
        self.has_concluded = true;
        self.shared.answers.ended(&self.shared.node, verdict)
    }
}

impl Drop for Askpass {
    fn drop(&mut self) {
        self.listening.abort();
        // It may have been removed with its directory.
        let _ = std::fs::remove_file(&self.socket);
        if !self.has_concluded {
            self.shared.answers.ended(&self.shared.node, Verdict::Unclear);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One question, from the process that ssh made for it.
    async fn serve(&self, mut stream: UnixStream) {
        let Ok(peer) = stream.peer_cred() else { return };
        if peer.uid() != rustix::process::geteuid().as_raw() {
            return;
        }
        let Some(Received { asker, hint, prompt }) = receive(&mut stream).await else { return };
        let is_the_nodes = self.ssh.get().is_some_and(|ssh| asker == *ssh);
        let reply = match Question::of(&prompt, &hint, is_the_nodes) {
            Question::Wanted { wanted: Wanted::Passphrase { .. }, .. } if !marks_what_servers_ask() => {
                no_answer()
            }
            Question::Never => no_answer(),
            Question::Notice => {
                self.answers.tell(&self.node, prompt.trim());
                self.state().since = Some(Instant::now());
                // ssh ends its askpass when it is no longer true.
                gone(&mut stream).await;
                self.state().waited_until_now();
                return;
            }
            Question::NewPassword => return self.stop(None, prompt, NoAnswer::Declined, stream).await,
            Question::Wanted { wanted, is_local } => match self.ask(&wanted, &prompt, &mut stream).await {
                None => return,
                Some(Ok(answer)) => answer,
                Some(Err(why)) if is_local => {
                    let unanswered = Unanswered { wanted: Some(wanted), said: prompt, why };
                    self.state().asked.unanswered.push(unanswered);
                    no_answer()
                }
                Some(Err(why)) => return self.stop(Some(wanted), prompt, why, stream).await,
            },
        };
        // Who no longer waits for it has ended.
        let _ = stream.write_all(&reply).await;
    }

    /// The reply; `None` when ssh has ended meanwhile.
    async fn ask(
        &self,
        wanted: &Wanted,
        prompt: &str,
        stream: &mut UnixStream,
    ) -> Option<Result<Zeroizing<Vec<u8>>, NoAnswer>> {
        let given = self.state().asked.given.iter().filter(|given| *given == wanted).count();
        let challenge = Challenge {
            node: self.node.clone(),
            password: self.password.clone(),
            wanted: wanted.clone(),
            said: prompt.to_owned(),
            given: u32::try_from(given).unwrap_or(u32::MAX),
            has_terminal: self.has_terminal,
        };
        self.state().since = Some(Instant::now());
        let answer = tokio::select! {
            answer = self.answers.answer(&challenge) => Some(answer),
            () = gone(stream) => None,
        };
        let mut state = self.state();
        state.waited_until_now();
        let secret = match answer? {
            Ok(secret) => secret,
            Err(why) => return Some(Err(why)),
        };
        state.asked.given.push(wanted.clone());
        let mut reply = Zeroizing::new(Vec::with_capacity(1 + secret.reveal().len()));
        reply.push(ANSWER);
        reply.extend_from_slice(secret.reveal().as_bytes());
        Some(Ok(reply))
    }

    /// Leaves ssh without an answer, for good: it would send an empty one. It is ended by who started it.
    async fn stop(&self, wanted: Option<Wanted>, said: String, why: NoAnswer, mut stream: UnixStream) {
        self.state().asked.stop = Some(Unanswered { wanted, said, why });
        gone(&mut stream).await;
    }
}

/// Whether ssh says of a question that it is a server's, as OpenSSH does from 8.5 on. Before, a server can ask as if it
/// were ssh itself that wants the passphrase of a key.
fn marks_what_servers_ask() -> bool {
    static MARKS: OnceLock<bool> = OnceLock::new();
    *MARKS.get_or_init(|| {
        let said = child::command("ssh").arg("-V").stdin(Stdio::null()).output();
        said.is_ok_and(|said| is_from_8_5_on(&String::from_utf8_lossy(&said.stderr)))
    })
}

/// Whether `ssh -V` says so: `OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.14`.
fn is_from_8_5_on(version: &str) -> bool {
    let number = version
        .strip_prefix("OpenSSH_")
        .and_then(|rest| rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next());
    let parts = number.and_then(|number| number.split_once('.'));
    let parts =
        parts.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    parts.is_some_and(|version| version >= (8, 5))
}

fn no_answer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(vec![NO_ANSWER])
}

/// A question as it arrives.
struct Received {
    /// The process that has made the one that asks.
    asker: u32,
    hint: String,
    prompt: String,
}

async fn receive(stream: &mut UnixStream) -> Option<Received> {
    let length = usize::try_from(stream.read_u32().await.ok()?).ok()?;
    if length > LONGEST {
        return None;
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await.ok()?;
    let mut parts =
        question.splitn(3, |byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned());
    let asker = parts.next()?.parse().ok()?;
    Some(Received { asker, hint: parts.next()?, prompt: parts.next()? })
}

/// Waits until the other side has ended.
async fn gone(stream: &mut UnixStream) {
    let mut more = [0; 64];
    while let Ok(1..) = stream.read(&mut more).await {}
}

/// This program's file. One that was replaced since is copied from what this process runs: nobody else may read
/// that in `/proc`.
fn own_program(warden: &Warden) -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    let facts = std::fs::metadata(running)?;
    let named = std::env::current_exe()?;
    let is_same =
        std::fs::metadata(&named).is_ok_and(|file| (file.dev(), file.ino()) == (facts.dev(), facts.ino()));
    if is_same { Ok(named) } else { warden.copy_of(running) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_ssh_is_told_from_a_newer_one() {
        for (version, marks) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.14 4 Jun 2024", true),
            ("OpenSSH_8.5p1", true),
            ("OpenSSH_10.0p2", true),
            ("OpenSSH_8.4p1 Debian-5", false),
            ("OpenSSH_7.9", false),
            ("PKIX-SSH 15.1", false),
            ("", false),
        ] {
            assert_eq!(is_from_8_5_on(version), marks, "{version}");
        }
    }
}
