//! Steps that change something: scripts, reboots, files. The run's stop does not interrupt them.

mod boot;
mod files;
mod judge;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::artifacts::{self, STAGED};
use super::desk::Message;
use super::output::Output;
use super::scene::{self, failure};
use super::watching::{captured, keep, note};
use super::worker::{Assignment, Done};
use super::{asking, contact, gate, given};
use crate::model::condition::{Answer, Value};
use crate::model::event::{Decision, Failure, FailureKind, Inquiry, Outcome, Question, Report};
use crate::model::host::Become;
use crate::model::job::Standing;
use crate::model::name::NodeName;
use crate::model::procedure::{During, Run, Script, Step};
use crate::model::recovery::{self, Ruling};
use crate::model::template::{Template, Vars};
use crate::transport::{Facts, Job, JobEnd, JobRef, Limit, Secret, TransportError};
use boot::await_boot;
pub(super) use boot::{reboot, rejoin_reboot};
pub(super) use files::{get, put, upload_one};
pub(super) use judge::judge;

/// A script with everything around it.
struct Wanted<'a> {
    script: &'a Script,
    is_undo: bool,
    env: Option<&'a BTreeMap<crate::model::name::VarName, Template>>,
    stdin: Option<&'a Template>,
    cwd: Option<&'a Template>,
    deadline: Duration,
}

pub(super) async fn facts(at: &Assignment, on: &NodeName) -> Result<Facts, Failure> {
    let session = at.site.pool.session(on).await.map_err(|error| asking::unreachable(&error))?;
    Ok(session.facts().clone())
}

fn render(template: &Template, vars: &Vars) -> Result<String, Failure> {
    template.render(vars).map_err(|unset| failure(FailureKind::Input, unset.to_string()))
}

impl Wanted<'_> {
    /// Whether it may use what was staged.
    fn names_staged(&self) -> bool {
        let templates = self.env.into_iter().flat_map(BTreeMap::values).chain(self.stdin).chain(self.cwd);
        let texts = templates.map(Template::as_str).chain([self.script.body.as_str()]);
        texts.into_iter().any(|text| text.contains(STAGED))
    }
}

/// The undo of a step as a job, under a name of its own.
pub(super) async fn undo_job(
    at: &Assignment,
    on: &NodeName,
    step: &Step,
    script: &Script,
    name: JobRef,
) -> Result<Job, Failure> {
    let wanted = Wanted { script, is_undo: true, env: None, stdin: None, cwd: None, deadline: step.timeout };
    Ok(Job { at: name, ..prepare(at, on, wanted).await? })
}

/// The same of the one text that may have secrets in it.
fn render_secret(
    template: &Template,
    vars: &Vars,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Secret, Failure> {
    let value = |name: &str| match secrets.get(name) {
        Some(secret) => Some(secret.reveal()),
        None => vars.get(name).map(String::as_str),
    };
    let text = template.render_with(value).map_err(|unset| failure(FailureKind::Input, unset.to_string()))?;
    Ok(Secret::new(text))
}

async fn prepare(at: &Assignment, on: &NodeName, wanted: Wanted<'_>) -> Result<Job, Failure> {
    if wanted.names_staged() {
        artifacts::verify(&at.site, on).await?;
    }
    let facts = facts(at, on).await?;
    let body = &wanted.script.body;
    let mut secrets = scene::secrets(&at.site, &at.state, at.lane(), body).await?;
    let stdin = match wanted.stdin {
        None => None,
        Some(template) => {
            let named = scene::secrets(&at.site, &at.state, at.lane(), template.as_str()).await?;
            secrets.extend(named);
            Some(template)
        }
    };
    let mut vars = scene::vars(&at.site, &at.state, at.lane(), on, Some(&facts));
    scene::add_live_roles(&at.site, &at.state, body, &mut vars).await?;
    for (name, template) in wanted.env.into_iter().flatten() {
        let value = render(template, &vars)?;
        vars.insert(name.to_string(), value);
    }
    Ok(Job {
        at: job_of(at, wanted.is_undo)?,
        epoch: at.site.epochs().get(on).copied().unwrap_or_default(),
        copy: None,
        script: body.clone(),
        shell: wanted.script.shell,
        stdin: stdin.map(|stdin| render_secret(stdin, &vars, &secrets)).transpose()?,
        hidden: given::to(&at.site.plan, &at.state, at.site.secrets(), on),
        secrets,
        cwd: wanted.cwd.map(|cwd| render(cwd, &vars)).transpose()?,
        env: vars,
        become_with: rights(at, on, wanted.script),
        deadline: wanted.deadline,
    })
}

pub(super) fn rights(at: &Assignment, on: &NodeName, script: &Script) -> Become {
    script.become_with.unwrap_or_else(|| asking::become_on(&at.site, on))
}

/// The job that an attempt of a step, or of its undo, is on its node.
pub(super) fn job_of(at: &Assignment, is_undo: bool) -> Result<JobRef, Failure> {
    scene::job(&at.state, &at.key, is_undo, at.attempt)
        .ok_or_else(|| failure(FailureKind::Input, format!("`{}` is too long for a job's name", at.key)))
}

/// How long a step's script may take: where its node undoes it by itself it is over by then.
fn time_for(step: &Step) -> Duration {
    let until = step.restricts.as_ref().and_then(|restriction| restriction.revert_after);
    step.timeout.min(until.unwrap_or(Duration::MAX))
}

/// A script, with what is watched while it runs.
pub(super) async fn run(at: &mut Assignment, step: &Step, run: &Run) -> Done {
    let on = at.machine().clone();
    let wanted = Wanted {
        script: &run.script,
        is_undo: false,
        env: Some(&run.env),
        stdin: run.stdin.as_ref(),
        cwd: run.cwd.as_ref(),
        deadline: time_for(step),
    };
    let job = prepare(at, &on, wanted).await?;
    let output = Output::new(at);
    let ended = if run.interactive {
        interact(at, &on, &job).await?
    } else {
        let job = start(at, &on, job, &output);
        match &run.during {
            Some(during) => tokio::select! {
                ended = job => ended,
                never = watch(at, during) => match never {},
            },
            None => job.await,
        }
    };
    finish(at, step, run, ended, &output).await
}

/// Takes a script's end for what it means, and keeps what is to be kept of its output.
async fn finish(
    at: &Assignment,
    step: &Step,
    run: &Run,
    ended: Result<JobEnd, TransportError>,
    output: &Output,
) -> Done {
    // A step that boots its node is cut off by that; it is known how it ended when the node is back.
    let is_cut_off = match &ended {
        Ok(JobEnd::Unclear(Standing::Ended { rebooted, .. } | Standing::Lost { rebooted, .. })) => !rebooted,
        Err(TransportError::Lost { .. }) => true,
        _ => false,
    };
    if step.if_unknown.reboots && is_cut_off {
        await_boot(at, at.machine(), step.timeout).await?;
        return Err(Outcome::Unknown { why: "the node was booted while it ran".to_owned(), rebooted: true });
    }
    judge(at, &run.ok_codes, ended, output).await?;
    if let Some(capture) = &step.capture {
        let stdout = output.stdout().map_err(|why| {
            let what = format!("capture {}: its output is not whole: {why}", capture.name);
            failure(FailureKind::Script, what)
        })?;
        let read = |stdout: &str| capture.form.read(Answer { exit: 0, stdout, stderr: "" });
        let value: Value = read(&stdout).map_err(|why| {
            // It may quote the beginning of what was printed.
            let why = read(&at.site.mask(&stdout)).err().unwrap_or(why);
            failure(FailureKind::Script, format!("capture {}: {why}", capture.name))
        })?;
        let value = captured(capture, Some(&value))?;
        keep(at, capture, value).await?;
    }
    Ok(())
}

/// Finds out how a script ended that an earlier invocation started, and takes it for what it means.
pub(super) async fn rejoin(at: &Assignment, step: &Step, run: &Run) -> Done {
    if run.interactive {
        return Err(Outcome::Unknown {
            why: "it had the terminal of an invocation that is gone".to_owned(),
            rebooted: false,
        });
    }
    let output = Output::new(at);
    let ended = follow(at, &run.script, time_for(step), false, &output).await?;
    finish(at, step, run, ended, &output).await
}

/// The same for an undo.
pub(super) async fn rejoin_undo(at: &Assignment, step: &Step, script: &Script) -> Done {
    let output = Output::of_undo(at);
    let ended = follow(at, script, step.timeout, true, &output).await?;
    judge(at, &[0], ended, &output).await
}

/// Follows a job of an earlier invocation. Since the lock was taken anew, one that has not begun never will.
async fn follow(
    at: &Assignment,
    script: &Script,
    deadline: Duration,
    is_undo: bool,
    output: &Output,
) -> Result<Result<JobEnd, TransportError>, Outcome> {
    let on = at.machine().clone();
    // What it prints of a secret that an earlier invocation captured can be masked by whoever knows that. One that
    // cannot be read now keeps nobody from following the step.
    let _ = scene::secrets(&at.site, &at.state, at.lane(), &script.body).await;
    let limit = Limit { deadline, become_with: rights(at, &on, script) };
    let ended = contact::rejoin(at, &on, &job_of(at, is_undo)?, &limit, output).await;
    match ended {
        Ok(JobEnd::Unclear(standing)) if recovery::rule(standing) == Ruling::NeverBegan => {
            Err(Outcome::Interrupted)
        }
        // This machine carries no lock to know a run by; its own journal does, since the run is here.
        Ok(JobEnd::Unclear(Standing::Absent { .. })) if on.is_operator() && began_here(at) => {
            Err(Outcome::Interrupted)
        }
        ended => Ok(ended),
    }
}

/// Whether a step was begun since the run is this machine's.
fn began_here(at: &Assignment) -> bool {
    at.state.step(&at.key).is_some_and(|step| step.started_seq >= at.state.adopted_at)
}

/// Starts a script. The node gets the journal with it, up to the intent to do just this.
pub(super) async fn start(
    at: &Assignment,
    on: &NodeName,
    mut job: Job,
    output: &Output,
) -> Result<JobEnd, TransportError> {
    if on.is_operator()
        && let Err(failure) = contact::leave_word(at).await
    {
        return Err(TransportError::Refused { node: on.clone(), why: failure.message });
    }
    let excerpt = if on.is_operator() { Ok(None) } else { at.site.journal_for(on) };
    let excerpt = excerpt.unwrap_or_else(|error| {
        contact::say(at, on, contact::not_left(&error));
        None
    });
    job.copy = excerpt.as_ref().map(|excerpt| excerpt.copy.clone());
    let ended = contact::carry_out(at, on, &job, output).await;
    if let (Ok(_), Some(excerpt)) = (&ended, &excerpt) {
        at.site.left(on, excerpt);
    }
    ended
}

/// Asks the operator when a check stops holding; the step itself goes on. Ends with the step.
async fn watch(at: &Assignment, during: &During) -> std::convert::Infallible {
    let mut ticks = interval_at(Instant::now() + during.every, during.every);
    let (mut asked, mut last) = (false, Vec::new());
    loop {
        ticks.tick().await;
        let Ok(told) = asking::ask_all(&at.site, &at.state, at.lane(), &during.checks).await else {
            continue;
        };
        note(at, &told.readings, &mut last).await;
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
        let inquiry = Inquiry {
            question: Question::During { key: at.key.clone() },
            text: "A check stopped holding. The step itself is not interrupted; a no, or no answer until it \
                   ends, stops the run after it.\nGo on when it has ended?"
                .to_owned(),
            consequence: gate::consequence(at),
            typed: None,
            readings: told.readings.clone(),
            can_roll_back: false,
            is_unknown: false,
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
    if !at.state.request.attended || at.state.request.detached {
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
            Wanted { script, is_undo: true, env: None, stdin: None, cwd: None, deadline: step.timeout };
        let job = prepare(at, on, wanted).await?;
        let output = Output::of_undo(at);
        judge(at, &[0], start(at, on, job, &output).await, &output).await?;
    }
    Ok(())
}
