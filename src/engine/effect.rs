//! Steps that change something: scripts, reboots, files. The run's stop does not interrupt them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep};

use super::asking;
use super::desk::{Desk, Message};
use super::scene::{self, failure};
use super::secrets::Secrets;
use super::watching::{captured, keep};
use super::worker::{Assignment, Done};
use crate::model::condition::{Answer, Value};
use crate::model::event::{Decision, Failure, FailureKind, Inquiry, Notice, Outcome, Question, Report};
use crate::model::name::NodeName;
use crate::model::plan::StepKey;
use crate::model::procedure::{During, Get, Put, Run, Script, Step};
use crate::model::template::{Template, Vars};
use crate::transport::{Facts, Job, JobEnd, JobId, OutputSink, Stream, TransportError, Upload, hash_file};

/// Lines of output that go into a failure.
const TAIL: usize = 20;
/// Bytes of standard output that a capture may have.
const MOST: usize = 1 << 20;

/// What becomes of a job's output: the transcript, the screen, the tail, the capture. All masked.
struct Output {
    key: StepKey,
    desk: Desk,
    secrets: Secrets,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    transcript: Option<(File, PathBuf)>,
    tail: VecDeque<String>,
    stdout: Vec<u8>,
}

impl Output {
    fn new(at: &Assignment) -> Self {
        let transcript = at.site.run_dir.as_ref().and_then(|run| {
            let path = run.transcript_path(&at.key, at.attempt);
            match run.open_transcript(&at.key, at.attempt) {
                Ok(file) => {
                    at.desk.notify(Notice::Transcript { key: at.key.clone(), path: path.clone() });
                    Some((file, path))
                }
                Err(error) => {
                    at.desk.notify(unkept(&at.key, &error));
                    None
                }
            }
        });
        Self {
            key: at.key.clone(),
            desk: at.desk.clone(),
            secrets: at.site.secrets(),
            kept: Mutex::new(Kept { transcript, ..Kept::default() }),
        }
    }

    fn tail(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).tail.iter().cloned().collect()
    }

    fn stdout(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept.stdout).into_owned()
    }
}

/// The step is worth more than its transcript: it goes on, and the operator knows what will be missing.
fn unkept(key: &StepKey, error: &impl Display) -> Notice {
    let text = format!("{error}; the output of this step is not kept from here on");
    Notice::Said { node: Some(key.node.clone()), text }
}

impl OutputSink for Output {
    fn line(&self, from: Stream, line: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if from == Stream::Out && kept.stdout.len() < MOST {
            kept.stdout.extend_from_slice(line);
        }
        let masked = self.secrets.mask_bytes(line);
        if let Some((transcript, path)) = &mut kept.transcript
            && let Err(error) = transcript.write_all(&masked)
        {
            let error = format!("cannot write {}: {error}", path.display());
            self.desk.notify(unkept(&self.key, &error));
            kept.transcript = None;
        }
        let text = masked.strip_suffix(b"\n").unwrap_or(&masked).to_vec();
        kept.tail.push_back(String::from_utf8_lossy(&text).into_owned());
        if kept.tail.len() > TAIL {
            kept.tail.pop_front();
        }
        self.desk.notify(Notice::Output { key: self.key.clone(), line: text });
    }
}

/// A script with everything around it.
struct Prepared {
    job: Job,
}

struct Wanted<'a> {
    script: &'a Script,
    suffix: &'static str,
    env: Option<&'a BTreeMap<crate::model::name::VarName, Template>>,
    stdin: Option<&'a Template>,
    cwd: Option<&'a Template>,
    deadline: Duration,
}

async fn facts(at: &Assignment, on: &NodeName) -> Result<Facts, Failure> {
    let session = at.site.pool.session(on).await.map_err(|error| asking::unreachable(&error))?;
    Ok(session.facts().clone())
}

fn render(template: &Template, vars: &Vars) -> Result<String, Failure> {
    template.render(vars).map_err(|unset| failure(FailureKind::Input, unset.to_string()))
}

async fn prepare(at: &Assignment, on: &NodeName, wanted: Wanted<'_>) -> Result<Prepared, Failure> {
    let facts = facts(at, on).await?;
    let body = &wanted.script.body;
    let mut vars = scene::vars(&at.site, &at.state, at.lane(), on, Some(&facts));
    scene::add_live_roles(&at.site, &at.state, body, &mut vars).await?;
    for (name, template) in wanted.env.into_iter().flatten() {
        let value = render(template, &vars)?;
        vars.insert(name.to_string(), value);
    }
    let id = format!("{}.{}.{}{}.{}", at.state.run, at.key.node, at.key.step, wanted.suffix, at.attempt);
    let id = JobId::parse(&id)
        .ok_or_else(|| failure(FailureKind::Input, format!("`{id}` is too long for a job's name")))?;
    Ok(Prepared {
        job: Job {
            id,
            script: body.clone(),
            shell: wanted.script.shell,
            secrets: scene::secrets(&at.site, &at.state, at.lane(), body).await?,
            stdin: wanted.stdin.map(|stdin| render(stdin, &vars)).transpose()?,
            cwd: wanted.cwd.map(|cwd| render(cwd, &vars)).transpose()?,
            env: vars,
            become_with: wanted.script.become_with.unwrap_or_else(|| asking::become_on(&at.site, on)),
            deadline: wanted.deadline,
        },
    })
}

/// A script, with what is watched while it runs.
pub(super) async fn run(at: &mut Assignment, step: &Step, run: &Run) -> Done {
    let on = at.machine().clone();
    let wanted = Wanted {
        script: &run.script,
        suffix: "",
        env: Some(&run.env),
        stdin: run.stdin.as_ref(),
        cwd: run.cwd.as_ref(),
        deadline: step.timeout,
    };
    if run.script.body.contains("ROLLGATE_STAGED") {
        super::artifacts::verify(&at.site, &on).await?;
    }
    let prepared = prepare(at, &on, wanted).await?;
    let output = Output::new(at);
    let ended = if run.interactive {
        interact(at, &on, &prepared.job).await?
    } else {
        let job = start(at, &on, &prepared.job, &output);
        match &run.during {
            Some(during) => tokio::select! {
                ended = job => ended,
                never = watch(at, during) => match never {},
            },
            None => job.await,
        }
    };
    judge(&run.ok_codes, ended, &output)?;
    if let Some(capture) = &step.capture {
        let stdout = output.stdout();
        let value = capture
            .form
            .read(Answer { exit: 0, stdout: &stdout, stderr: "" })
            .map_err(|why| failure(FailureKind::Script, format!("capture {}: {why}", capture.name)))?;
        let value: Value = value;
        let value = captured(capture, Some(&value))?;
        keep(at, capture, value).await;
    }
    Ok(())
}

async fn start(at: &Assignment, on: &NodeName, job: &Job, output: &Output) -> Result<JobEnd, TransportError> {
    at.site.pool.with(on, |session| async move { session.start(job, output).await }).await
}

/// What a job's end means. A loss of contact is unknown; a refusal before the start is a failure.
fn judge(ok_codes: &[i32], ended: Result<JobEnd, TransportError>, output: &Output) -> Done {
    let failed = |kind, message: String| {
        Err(Outcome::Failed(Failure { kind, message, tail: output.tail(), help: None }))
    };
    match ended {
        Ok(JobEnd::Exited { code }) if ok_codes.contains(&code) => Ok(()),
        Ok(JobEnd::Exited { code }) => {
            failed(FailureKind::Script, format!("it ended with exit status {code}"))
        }
        Ok(JobEnd::TimedOut { after, stopped: true }) => {
            failed(FailureKind::Timeout, format!("it took longer than {} s and was stopped", after.as_secs()))
        }
        Ok(JobEnd::TimedOut { after, stopped: false }) => {
            let why = format!("it took longer than {} s, and something of it may still run", after.as_secs());
            Err(Outcome::Unknown { why })
        }
        Err(error @ TransportError::Lost { .. }) => Err(Outcome::Unknown { why: error.to_string() }),
        Err(error) => {
            let mut failure = asking::unreachable(&error);
            failure.tail = output.tail();
            Err(failure.into())
        }
    }
}

/// Asks the operator when a check stops holding; the step itself goes on. Ends with the step.
async fn watch(at: &Assignment, during: &During) -> std::convert::Infallible {
    let mut ticks = interval_at(Instant::now() + during.every, during.every);
    let mut asked = false;
    loop {
        ticks.tick().await;
        let Ok(told) = asking::ask_all(&at.site, &at.state, at.lane(), &during.checks).await else {
            continue;
        };
        at.desk.notify(super::watching::watching(
            at,
            &told,
            (0, 0),
            during.every,
            Duration::ZERO,
            Duration::ZERO,
        ));
        if told.holds() {
            asked = false;
            continue;
        }
        if asked {
            continue;
        }
        asked = true;
        let words: Vec<String> =
            told.readings.iter().filter(|reading| !reading.verdict.holds()).map(asking::wording).collect();
        let inquiry = Inquiry {
            question: Question::During { key: at.key.clone() },
            text: format!("While it runs: {}. Go on when it is done?", words.join("; ")),
            consequence: "a no stops after this step; the step itself is not interrupted".to_owned(),
            typed: None,
            readings: told.readings.clone(),
            can_roll_back: false,
        };
        if let Ok((Decision::Yes, _)) = at.desk.ask(inquiry).await {
            tracing::info!(key = %at.key, "goes on though a check stopped holding");
        }
    }
}

/// Gives a script the operator's terminal.
async fn interact(
    at: &Assignment,
    on: &NodeName,
    job: &Job,
) -> Result<Result<JobEnd, TransportError>, Outcome> {
    if !at.state.request.attended {
        return Err(failure(FailureKind::NoAnswer, "it needs a terminal, and there is none").into());
    }
    let (free, is_free) = tokio::sync::oneshot::channel();
    at.desk.send(Message::NeedTerminal { key: at.key.clone(), free });
    if is_free.await.is_err() {
        return Err(failure(FailureKind::NoAnswer, "the terminal is gone").into());
    }
    let ended = at.site.pool.with(on, |session| async move { session.interact(job).await }).await;
    at.desk.report(Report::Restore(at.key.clone()));
    Ok(ended)
}

/// Undoes a step on every machine where it was done.
pub(super) async fn undo(at: &Assignment, step: &Step, script: &Script) -> Done {
    for on in &at.on {
        let wanted =
            Wanted { script, suffix: ".undo", env: None, stdin: None, cwd: None, deadline: step.timeout };
        let prepared = prepare(at, on, wanted).await?;
        let output = Output::new(at);
        judge(&[0], start(at, on, &prepared.job, &output).await, &output)?;
    }
    Ok(())
}

/// Runs the command, then waits for a new boot and a login.
pub(super) async fn reboot(at: &mut Assignment, step: &Step, script: &Script) -> Done {
    let on = at.machine().clone();
    let began = Instant::now();
    let before = facts(at, &on).await?.boot_id;
    let Some(before) = before else {
        let what = format!("{on} has no boot id, so a reboot could not be told from none");
        return Err(failure(FailureKind::Input, what).into());
    };
    let wanted = Wanted {
        script,
        suffix: "",
        env: None,
        stdin: None,
        cwd: None,
        deadline: step.timeout.min(Duration::from_mins(5)),
    };
    let prepared = prepare(at, &on, wanted).await?;
    let output = Output::new(at);
    match start(at, &on, &prepared.job, &output).await {
        // The node goes down under the command: whatever it reports is no news, the boot id is.
        Ok(_) | Err(TransportError::Lost { .. }) => {}
        Err(error) => return Err(asking::unreachable(&error).into()),
    }
    let mut last = "it has not gone down".to_owned();
    while began.elapsed() < step.timeout {
        at.site.pool.forget(&on).await;
        match at.site.pool.session(&on).await {
            Ok(session) if session.facts().boot_id.as_ref().is_some_and(|now| *now != before) => {
                return Ok(());
            }
            Ok(_) => "it answers, and has not been restarted".clone_into(&mut last),
            Err(error) => last = error.to_string(),
        }
        sleep(Duration::from_secs(2)).await;
    }
    let why = format!("no new boot of {on} within {} s: {last}", step.timeout.as_secs());
    Err(Outcome::Unknown { why })
}

/// A file to the node.
pub(super) async fn put(at: &mut Assignment, step: &Step, put: &Put) -> Done {
    let on = at.machine().clone();
    let facts = facts(at, &on).await?;
    let vars = scene::vars(&at.site, &at.state, at.lane(), &on, Some(&facts));
    let base = at.state.plan.sources.procedure.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let from = base.join(render(&put.source, &vars)?);
    let sum = hash_file(&from)
        .await
        .map_err(|error| failure(FailureKind::Local, format!("{}: {error}", from.display())))?;
    let upload = Upload {
        from,
        to: render(&put.to, &vars)?,
        mode: put.mode,
        become_with: asking::become_on(&at.site, &on),
        sum,
    };
    upload_one(at, &on, &upload, step.timeout).await?;
    Ok(())
}

/// One upload, with its progress on the screen.
pub(super) async fn upload_one(
    at: &Assignment,
    on: &NodeName,
    upload: &Upload,
    deadline: Duration,
) -> Result<(), Failure> {
    let (desk, key, total) = (at.desk.clone(), at.key.clone(), upload.sum.size);
    let progress = Arc::new(move |done| desk.notify(Notice::Copying { key: key.clone(), done, total }));
    at.site
        .pool
        .with(on, |session| {
            let progress = Arc::clone(&progress);
            async move { session.put(upload, progress.as_ref(), deadline).await }
        })
        .await
        .map_err(|error| asking::unreachable(&error))?;
    Ok(())
}

/// A file from the node, into the run's directory.
pub(super) async fn get(at: &mut Assignment, step: &Step, get: &Get) -> Done {
    let on = at.machine().clone();
    let facts = facts(at, &on).await?;
    let vars = scene::vars(&at.site, &at.state, at.lane(), &on, Some(&facts));
    let from = render(&get.from, &vars)?;
    let name = render(&get.to, &vars)?;
    let run = at.site.run_dir.as_ref().expect("a run that changes something has a directory");
    let to =
        run.fetched_path(at.lane(), &name).map_err(|error| failure(FailureKind::Local, error.to_string()))?;
    if to.exists() {
        return Err(Outcome::Skipped { why: format!("{} is there already", to.display()) });
    }
    let (from, to, deadline) = (&from, &to, step.timeout);
    at.site
        .pool
        .with(&on, |session| async move { session.get(from, to, deadline).await })
        .await
        .map_err(|error| asking::unreachable(&error))?;
    Ok(())
}
