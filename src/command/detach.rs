//! `--detach`: what is asked is asked here, then the run goes on in a process of its own session, which the end of
//! this terminal does not reach.
//!
//! The two processes speak through pipes alone: the plan that was agreed to and the secrets go one way, that the
//! nodes are locked comes back. Until then the new process says on this terminal why it cannot begin.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::context::Context;
use super::invocation::{Begin, Given, Known, execute, secrets};
use super::refusal::Refusal;
use super::runs::{Recorded, trusted};
use crate::cli::Detach;
use crate::engine::Signals;
use crate::engine::secrets::Secrets;
use crate::exit::Exit;
use crate::journal::{ClusterDir, ClusterLock, RunDir};
use crate::model::event::{Request, RunId};
use crate::model::plan::{Plan, PlannedPhase, PlannedStep};
use crate::model::procedure::Action;
use crate::transport::{Secret, child};
use crate::ui::document::{self, ROLLGATE, VERSION};
use crate::ui::ink::{Line, Tone, paint, wrap};
use crate::ui::narrate::Loudness;
use crate::ui::next::{self, Next};
use crate::ui::terminal::Format;
use crate::ui::words;
use crate::ui::write;

/// What the new process is called, for itself and for `ps`.
const BACKGROUND: &str = "rollgate-detached";

/// More than all secrets of a run have, however many there are.
const MOST_SECRETS: usize = 1 << 28;

/// Whether this is the new process.
pub(super) fn is_background() -> bool {
    std::env::args_os().next().is_some_and(|name| name == BACKGROUND)
}

/// What the new process is given.
#[derive(Serialize, Deserialize)]
struct HandOver {
    /// A new run's plan.
    plan: Option<Box<Plan>>,
    /// The run that goes on.
    run: Option<RunId>,
    request: Request,
    /// The run that goes on, of a new one the latest before it, and its latest record, as they were when it was
    /// agreed to.
    seen: Option<(RunId, u64)>,
    cluster: String,
}

/// What it says when it is at work.
#[derive(Serialize, Deserialize)]
struct AtWork {
    run: RunId,
    directory: String,
    log: String,
}

fn seen(latest: Option<&Recorded>) -> Option<(RunId, u64)> {
    latest.map(|latest| (latest.state.run.clone(), latest.state.latest_seq))
}

fn broken(what: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(Exit::Broken, format!("{what}: {why}")).standing("nothing was done")
}

/// Executes an invocation here, or has it go on without this terminal.
pub(super) async fn carry_out(
    context: &Context,
    cluster: &ClusterDir,
    mut lock: ClusterLock,
    begin: Begin,
    request: Request,
    flags: Detach,
    known: Option<Known>,
) -> Result<Exit, Refusal> {
    if flags.detach {
        // No connection can be handed to another process.
        let secrets = known.map(|known| known.secrets);
        return hand_over(context, cluster, lock, begin, request, secrets).await;
    }
    let given = Given { known, detached: false };
    execute(context, cluster, &mut lock, begin, request, given).await
}

/// Has a run go on without this terminal, and waits until it does or says why not.
async fn hand_over(
    context: &Context,
    cluster: &ClusterDir,
    lock: ClusterLock,
    begin: Begin,
    mut request: Request,
    known: Option<Secrets>,
) -> Result<Exit, Refusal> {
    let latest = trusted(cluster, begin.goes_on())?;
    let (plan, run, name) = match begin {
        Begin::New(plan) => (Some(plan.clone()), None, plan.cluster.to_string()),
        Begin::Go(dir) => (None, Some(dir.id().clone()), request_cluster(latest.as_ref())),
    };
    let secrets = match (known, &plan, &latest) {
        (Some(known), ..) => known,
        (None, Some(plan), _) => secrets(context, plan)?,
        (None, None, Some(latest)) => secrets(context, &latest.state.plan)?,
        (None, None, None) => Secrets::default(),
    };
    let executed = plan.as_deref().or_else(|| latest.as_ref().map(|latest| latest.state.plan.as_ref()));
    warn_of_terminals(context, executed);
    (request.attended, request.detached) = (true, true);
    let given = HandOver { plan, run, request, seen: seen(latest.as_ref()), cluster: name };
    let text = serde_json::to_vec(&given).map_err(|error| broken("the run cannot be handed over", error))?;
    // Fetched here, where there is a terminal to ask at.
    let secrets = packed(&secrets);
    // The new process takes it; whoever is faster makes it say so.
    drop(lock);
    let mut child = spawn()?;
    let pid = child.id().unwrap_or_default();
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended already says why itself.
        let _ = stdin.write_all(&(secrets.len() as u64).to_le_bytes()).await;
        let _ = stdin.write_all(&secrets).await;
        let _ = stdin.write_all(&text).await;
    }
    drop(secrets);
    match await_work(&mut child).await? {
        Ok(at_work) => announce(context, &at_work, pid),
        Err(status) => {
            status.code().and_then(|code| Exit::from_number(u8::try_from(code).ok()?)).ok_or_else(|| {
                Refusal::new(Exit::Broken, format!("the background process ended with {status}"))
                    .next(context.command(&["status"], "where it stands"))
            })
        }
    }
}

/// A step that talks to a terminal finds none in the background.
fn warn_of_terminals(context: &Context, plan: Option<&Plan>) {
    let steps = plan.into_iter().flat_map(|plan| &plan.phases).flat_map(PlannedPhase::all_steps);
    let wants = |step: &&PlannedStep| matches!(step.step().map(|step| &step.action), Some(Action::Run(run)) if run.interactive);
    let labels: Vec<&str> = steps.filter(wants).map(|step| step.label.as_str()).collect();
    if !labels.is_empty() {
        let text = format!(
            "{} needs a terminal: where the run comes to it, it stops, and start --resume at a terminal goes on",
            words::list(&labels)
        );
        let face = &context.style.err;
        let lines = wrap(face, Line::new(face).tone(Tone::Wait, "note: "), Tone::Text, &text);
        write::to_stderr(&paint(face, &lines));
    }
}

fn request_cluster(latest: Option<&Recorded>) -> String {
    latest.map(|latest| latest.state.plan.cluster.to_string()).unwrap_or_default()
}

/// This program once more, with the same command line.
fn spawn() -> Result<Child, Refusal> {
    Command::from(child::command("/proc/self/exe"))
        .arg0(BACKGROUND)
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| broken("the background process cannot be started", error))
}

/// Waits until the new process is at work, or has ended. A signal to stop here stops it there: nobody has been told
/// that it goes on.
async fn await_work(child: &mut Child) -> Result<Result<AtWork, ExitStatus>, Refusal> {
    let failed = |error: std::io::Error| broken("the background process", error);
    let stdout = child.stdout.take().ok_or_else(|| broken("the background process", "it has no output"))?;
    let mut lines = BufReader::new(stdout).lines();
    let mut signals = Signals::catch(true).map_err(failed)?;
    let line = loop {
        tokio::select! {
            line = lines.next_line() => break line.map_err(failed)?,
            _ = signals.next() => {
                let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
                if let Some(pid) = pid {
                    // It may have ended in this moment.
                    let _ = kill_process(pid, Signal::TERM);
                }
            }
        }
    };
    match line.as_deref().and_then(|line| serde_json::from_str(line).ok()) {
        Some(at_work) => Ok(Ok(at_work)),
        None => Ok(Err(child.wait().await.map_err(failed)?)),
    }
}

/// Says where it goes on, and what can be done from here.
fn announce(context: &Context, at_work: &AtWork, pid: u32) -> Result<Exit, Refusal> {
    let pid = pid.to_string();
    let nexts = [
        context.command(&["status", "--watch"], "look on"),
        context.command(&["approve"], "answer the question that waits"),
        Next::new(&["kill", "-TERM", &pid], "stop it at the next safe point"),
    ];
    if context.style.format == Format::Json {
        let document = json!({
            "format": "rollgate/detached",
            "format_version": VERSION,
            "rollgate": ROLLGATE,
            "run": at_work.run,
            "pid": pid.parse::<u32>().ok(),
            "directory": at_work.directory,
            "log": at_work.log,
            "next": document::next(&nexts),
        });
        super::print(&document::text(&document))?;
        return Ok(Exit::Done);
    }
    let face = &context.style.err;
    let said = format!("run {} goes on in the background, as process {pid}", at_work.run);
    let mut lines = vec![Line::new(face).tone(Tone::Good, &said).fit(face)];
    if context.loudness > Loudness::Quiet {
        lines.push(Line::of(face, "what it says: ").text(&at_work.log));
        lines.extend(next::lines(face, &nexts));
    }
    write::to_stderr(&paint(face, &lines));
    Ok(Exit::Done)
}

/// The new process: takes the run from its standard input and works on it.
pub(super) fn take_over(context: &Context) -> Result<Exit, Refusal> {
    let (given, secrets) = receive()?;
    // A new session has no terminal, so none can be closed over it.
    rustix::process::setsid().map_err(|error| broken("there is no session of its own to be had", error))?;
    Context::runtime()?.block_on(async {
        let name = crate::model::name::ClusterName::parse(&given.cluster)
            .map_err(|error| broken("the run was not handed over", error))?;
        let cluster = Context::state_dir()?.cluster(&name);
        let doing = context.args.first().map_or("start", String::as_str).to_owned();
        let mut lock = cluster.lock(context.holder(None, &doing)).map_err(|error| {
            Refusal::from(error)
                .next(context.command(&["status", "--watch"], "look on"))
                .standing("nothing was done")
        })?;
        let latest = trusted(&cluster, given.run.as_ref())?;
        if seen(latest.as_ref()) != given.seen {
            return Err(Refusal::new(Exit::Held, "somebody else worked on it since it was agreed to")
                .next(context.command(&["status"], "where it stands"))
                .standing("nothing was done"));
        }
        let begin = match (given.plan, &given.run) {
            (Some(plan), _) => Begin::New(plan),
            (None, Some(run)) => Begin::Go(cluster.run(run)?),
            (None, None) => return Err(broken("the run was not handed over", "there is none")),
        };
        let mut request = given.request;
        request.by = context.by.clone();
        let known = Known { secrets, sessions: BTreeMap::new() };
        let known = Given { known: Some(known), detached: true };
        execute(context, &cluster, &mut lock, begin, request, known).await
    })
}

fn receive() -> Result<(HandOver, Secrets), Refusal> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let what = format!("{BACKGROUND} is what rollgate --detach calls itself, and nobody else");
        return Err(Refusal::input(what).standing("nothing was done"));
    }
    let failed = |error: std::io::Error| broken("the run was not handed over", error);
    // The library's own buffer would keep what it read.
    let mut pipe = File::from(stdin.as_fd().try_clone_to_owned().map_err(failed)?);
    let mut length = [0; 8];
    pipe.read_exact(&mut length).map_err(failed)?;
    let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX).min(MOST_SECRETS);
    let mut secrets = Zeroizing::new(vec![0; length]);
    pipe.read_exact(&mut secrets).map_err(failed)?;
    let mut text = Vec::new();
    pipe.read_to_end(&mut text).map_err(failed)?;
    let given =
        serde_json::from_slice(&text).map_err(|error| broken("the run was not handed over", error))?;
    Ok((given, unpacked(&secrets)))
}

/// Secrets as they go through the pipe: a name and a value in turn, each ended by a NUL, which neither has. No
/// library reads them, for none overwrites what it read.
fn packed(secrets: &Secrets) -> Zeroizing<Vec<u8>> {
    let values = secrets.values();
    let room = values.iter().map(|(name, value)| name.len() + value.reveal().len() + 2).sum();
    let mut packed = Zeroizing::new(Vec::with_capacity(room));
    for part in values.iter().flat_map(|(name, value)| [name.as_str(), value.reveal()]) {
        packed.extend_from_slice(part.as_bytes());
        packed.push(0);
    }
    packed
}

fn unpacked(packed: &[u8]) -> Secrets {
    let mut parts = packed.split(|byte| *byte == 0).filter_map(|part| std::str::from_utf8(part).ok());
    let mut values = BTreeMap::new();
    while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
        values.insert(name.to_owned(), Secret::new(value.to_owned()));
    }
    Secrets::of_values(values)
}

/// The way from the terminal to the log, taken once.
pub(super) struct Leaving {
    log: File,
    at_work: AtWork,
}

impl Leaving {
    /// Prepares it, while there is still somebody who would see that it fails.
    pub(super) fn of(run: &RunDir) -> Result<Self, Refusal> {
        let at_work = AtWork {
            run: run.id().clone(),
            directory: run.path().display().to_string(),
            log: run.detached_log_path().display().to_string(),
        };
        Ok(Self { log: run.open_detached_log()?, at_work })
    }

    /// Says that the run is at work, then lets go of the terminal. From here on everything goes to the log.
    pub(super) fn leave(&self) {
        let line = serde_json::to_string(&self.at_work).expect("it is made of plain data");
        // Whoever waited may be gone, and the run goes on all the same.
        let _ = writeln!(write::stdout(), "{line}");
        let nothing = File::open("/dev/null");
        let moved = rustix::stdio::dup2_stdout(&self.log)
            .and_then(|()| rustix::stdio::dup2_stderr(&self.log))
            .and_then(|()| nothing.as_ref().map_or(Ok(()), rustix::stdio::dup2_stdin));
        if let Err(error) = moved {
            tracing::debug!(%error, "the terminal is not let go of");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_arrive_as_they_were() {
        let all = [("key", "-----BEGIN\nline two\n"), ("name", "p\u{e4}'\"\\ss"), ("z", "x")];
        let values = all.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())));
        let secrets = Secrets::of_values(BTreeMap::from(values));
        assert_eq!(unpacked(&packed(&secrets)).values(), secrets.values());
        assert!(unpacked(&packed(&Secrets::default())).values().is_empty());
    }
}
