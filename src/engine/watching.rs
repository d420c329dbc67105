//! Steps that only read: checks, waits, soaks, invariants, versions. They give up at once when the run
//! stops, for they leave nothing behind.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::ahead;
use super::asking::{self, Told, masked, wording};
use super::pool::Opens;
use super::scene::{self, failure};
use super::site::Site;
use super::worker::{Assignment, Done};
use crate::model::condition::{Condition, Value, Verdict};
use crate::model::duration;
use crate::model::event::{Event, Failure, FailureKind, Notice, Outcome, Reading};
use crate::model::name::NodeName;
use crate::model::procedure::{Action, Capture, Check, CheckRef, Script, Soak, Step, Target, Wait};
use crate::model::state::RunState;
use crate::transport::{ProbeEnd, Secret};

/// How long a script may take that is no check and has no time of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// A check that fails its section when it does not hold.
pub(super) async fn check(at: &mut Assignment, step: &Step, check: &CheckRef) -> Done {
    let part = std::mem::take(&mut at.part);
    let mut told = stoppable(at, ahead::ask(at, part, check)).await??;
    if step.capture.as_ref().is_some_and(|capture| capture.secret) {
        told.hide();
    }
    if let Some(failure) = told.failure() {
        return Err(failure.into());
    }
    let Some(capture) = &step.capture else {
        note(at, &told.readings, &mut Vec::new()).await;
        return Ok(());
    };
    keep(at, capture, captured(capture, told.value())?).await?;
    Ok(())
}

/// Waits for something, unless the run stops first.
pub(super) async fn stoppable<T>(at: &Assignment, work: impl Future<Output = T>) -> Result<T, Outcome> {
    let mut stop = at.stop.clone();
    tokio::select! {
        done = work => Ok(done),
        _ = stop.wait_for(|stopping| *stopping) => Err(Outcome::Interrupted),
    }
}

/// Journals readings when something in them changed.
pub(super) async fn note(at: &Assignment, readings: &[Reading], last: &mut Vec<Reading>) {
    let same = last.len() == readings.len()
        && last
            .iter()
            .zip(readings)
            .all(|(a, b)| a.value == b.value && a.verdict == b.verdict && a.evidence == b.evidence);
    if !same && !readings.is_empty() {
        at.desk.commit(Event::ReadingTaken { key: at.key.clone(), readings: readings.to_vec() }).await;
        *last = readings.to_vec();
    }
}

/// A value as its capture wants it.
pub(super) fn captured(capture: &Capture, value: Option<&Value>) -> Result<String, Failure> {
    let wrong = |what: String| failure(FailureKind::Check, format!("capture {}: {what}", capture.name));
    let value = value.ok_or_else(|| wrong("there is no value".to_owned()))?;
    let text = value.to_text();
    let text = text.trim_end_matches('\n');
    let shown = |text: &str| if capture.secret { "***".to_owned() } else { format!("`{text}`") };
    if capture.exactly_one {
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        if lines != 1 {
            return Err(wrong(format!("exactly one line is wanted, and there are {lines}")));
        }
    }
    let text = capture.map.get(text.trim()).map_or(text, String::as_str);
    if capture.not_empty && text.trim().is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    if !capture.one_of.is_empty() && !capture.one_of.iter().any(|word| word == text.trim()) {
        return Err(wrong(format!("{} is none of {}", shown(text), capture.one_of.join(", "))));
    }
    if text.contains('\0') {
        return Err(wrong("it has a NUL character".to_owned()));
    }
    Ok(if capture.exactly_one { text.trim().to_owned() } else { text.to_owned() })
}

/// Keeps a captured value: in the journal, or when it is secret in memory alone.
pub(super) async fn keep(at: &Assignment, capture: &Capture, value: String) -> Result<(), Failure> {
    let kept = if capture.secret {
        at.site.secrets().keep(at.lane(), capture.name.as_str(), Secret::new(value));
        None
    } else if at.site.secrets().masking().finds(&value) {
        let what =
            format!("capture {}: a secret stands in the value, and what is captured is stored", capture.name);
        return Err(Failure {
            help: Some(
                "a `check` step can capture it with `secret: true`; then it is never stored".to_owned(),
            ),
            ..failure(FailureKind::Input, what)
        });
    } else {
        Some(value)
    };
    at.desk.commit(Event::Captured { key: at.key.clone(), name: capture.name.clone(), value: kept }).await;
    Ok(())
}

/// Reads a secret capture of an earlier invocation again, as it was read then: without it. A script that
/// has its name in it, be it in a path, would otherwise ask for itself for ever.
pub(super) async fn capture_again<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    name: &str,
) -> Result<String, Failure> {
    let step = site
        .plan
        .phases
        .iter()
        .flat_map(crate::model::plan::PlannedPhase::all_steps)
        .filter_map(|planned| planned.step())
        .find(|step| step.capture.as_ref().is_some_and(|capture| capture.name.as_str() == name));
    let (Some(capture), Some(Action::Check(reference))) =
        (step.and_then(|step| step.capture.as_ref()), step.map(|step| &step.action))
    else {
        let what = format!("secret {name} was captured by a step that cannot be repeated");
        return Err(failure(FailureKind::Input, what));
    };
    let mut then = state.clone();
    then.captures.entry(lane.clone()).or_default().remove(name);
    let mut told = asking::ask_all(site, &then, lane, std::slice::from_ref(reference)).await?;
    told.hide();
    match told.failure() {
        Some(failure) => Err(failure),
        None => captured(capture, told.value()),
    }
}

/// A check asked again until it holds steadily.
pub(super) async fn wait(at: &mut Assignment, step: &Step, wait: &Wait) -> Done {
    let mut since = Instant::now();
    let mut steady = 0;
    let mut last = Vec::new();
    let (mut shown, mut stages) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let told =
            stoppable(at, asking::ask_all(&at.site, &at.state, at.lane(), std::slice::from_ref(&wait.check)))
                .await??;
        note(at, &told.readings, &mut last).await;
        steady = if told.holds() { steady + 1 } else { 0 };
        let [stage, said] = stoppable(at, asides(at, wait)).await?;
        let known = stages.len();
        stages.extend(stage);
        if stages.len() > known {
            since = Instant::now();
        }
        at.desk.notify(watching(at, &told, (steady, wait.steady), wait.every, since.elapsed(), step.timeout));
        for line in said.into_iter().filter(|line| shown.insert(line.clone())) {
            let line = at.site.mask(&line).into_bytes();
            at.desk.notify(Notice::Output { key: at.key.clone(), line });
        }
        if steady >= wait.steady {
            return finish_wait(at, step, &told).await;
        }
        if let Some(hopeless) = never(at, wait, &told) {
            return Err(hopeless.into());
        }
        // The last look is when the time is over, also where it is asked less often than that.
        let left = step.timeout.saturating_sub(since.elapsed());
        if left.is_zero() {
            return Err(timed_out(&told, step.timeout).into());
        }
        stoppable(at, sleep(left.min(wait.every))).await?;
    }
}

async fn finish_wait(at: &Assignment, step: &Step, told: &Told) -> Done {
    if let Some(capture) = &step.capture {
        keep(at, capture, captured(capture, told.value())?).await?;
    }
    Ok(())
}

fn timed_out(told: &Told, limit: Duration) -> Failure {
    let reading = told.readings.iter().find(|reading| !reading.verdict.holds());
    let seen = reading.map_or_else(|| "it did not hold steadily".to_owned(), wording);
    Failure {
        kind: FailureKind::Timeout,
        message: format!("{seen}, even after {}", duration::written(limit)),
        tail: reading.map(|reading| reading.evidence.clone()).unwrap_or_default(),
        help: reading.and_then(|reading| reading.remedy.clone()),
    }
}

/// A word that means that it never will, or one that means nothing to the procedure.
fn never(at: &Assignment, wait: &Wait, told: &Told) -> Option<Failure> {
    told.readings.iter().zip(&told.values).filter(|(reading, _)| !reading.verdict.holds()).find_map(
        |(reading, read)| {
            let vars = scene::vars(&at.site, &at.state, at.lane(), &reading.node, None);
            let (value, read) = (reading.value.as_ref()?, read.as_ref()?);
            let says = |condition: &Condition| condition.verdict(read, &vars).holds();
            let (kind, meaning) = if wait.fail_when.as_ref().is_some_and(says) {
                (FailureKind::Check, "that means it never will hold")
            } else if wait.on_its_way.as_ref().is_some_and(|condition| !says(condition)) {
                (FailureKind::UnknownState, "the procedure knows no such state: it may be well or not")
            } else {
                return None;
            };
            Some(Failure {
                kind,
                message: format!("{} on {}: {value}, and {meaning}", reading.check, reading.node),
                tail: reading.evidence.clone(),
                help: reading.remedy.clone(),
            })
        },
    )
}

/// What the commands `per` and `show` of a wait print, a line each, asked in one round trip. One that fails has
/// nothing to tell.
async fn asides(at: &Assignment, wait: &Wait) -> [Vec<String>; 2] {
    let mut told = [Vec::new(), Vec::new()];
    let scripts = [&wait.per, &wait.show].into_iter().enumerate();
    let asked: Vec<(usize, &Script)> =
        scripts.filter_map(|(place, script)| Some((place, script.as_ref()?))).collect();
    if asked.is_empty() {
        return told;
    }
    let on = at.site.plan.check(&wait.check).on.clone();
    let Ok(on) = scene::place(&at.site, &at.state, at.lane(), &on).await else { return told };
    let scripts: Vec<&Script> = asked.iter().map(|(_, script)| *script).collect();
    let replies = asking::print(&at.site, &at.state, (at.lane(), &on), &scripts, PATIENCE).await;
    for ((place, _), reply) in asked.iter().zip(replies.unwrap_or_default()) {
        if matches!(reply.end, ProbeEnd::Exited { code: 0 }) {
            told[*place] = reply.stdout.text().lines().map(str::to_owned).collect();
        }
    }
    told
}

pub(super) fn watching(
    at: &Assignment,
    told: &Told,
    steady: (u32, u32),
    every: Duration,
    waited: Duration,
    limit: Duration,
) -> Notice {
    Notice::Watching { key: at.key.clone(), readings: told.readings.clone(), steady, every, waited, limit }
}

/// Checks must keep holding for a while.
pub(super) async fn soak(at: &mut Assignment, soak: &Soak) -> Done {
    let began = Instant::now();
    let mut last = Vec::new();
    loop {
        let told = stoppable(at, asking::ask_all(&at.site, &at.state, at.lane(), &soak.checks)).await??;
        note(at, &told.readings, &mut last).await;
        at.desk.notify(watching(at, &told, (0, 0), soak.every, began.elapsed(), soak.length));
        if let Some(mut failure) = told.failure() {
            let so_far = Duration::from_secs(began.elapsed().as_secs());
            failure.message = format!("{} ({} into the soak)", failure.message, duration::written(so_far));
            return Err(failure.into());
        }
        let left = soak.length.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        stoppable(at, sleep(left.min(soak.every))).await?;
    }
}

/// The machines of an invariant: those of its `on:`, else every node of the plan.
pub(super) async fn asked_by_invariant<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    check: &Check,
) -> Result<Vec<NodeName>, Failure> {
    match &check.on {
        Target::Itself => Ok(site.plan.everybody()),
        target => scene::places(site, state, &NodeName::operator(), target).await,
    }
}

/// Every other node must be as well as it was before the run: an old fault is tolerated, a new one is
/// not (scylladb #8275).
pub(super) async fn invariants(at: &mut Assignment) -> Done {
    let mut asks = Vec::new();
    let mut names = Vec::new();
    for name in &at.state.plan.invariants {
        let check = &at.state.plan.checks[name];
        for node in asked_by_invariant(&at.site, &at.state, check).await? {
            if node != *at.lane() {
                asks.push(asking::Ask { check, lane: node.clone(), on: node });
                names.push(name.clone());
            }
        }
    }
    let told = stoppable(at, asking::ask(&at.site, &at.state, &asks)).await?;
    note(at, &told.readings, &mut Vec::new()).await;
    for (name, reading) in names.iter().zip(&told.readings) {
        let before = at.state.baseline.get(&(name.clone(), reading.node.clone()));
        if reading.verdict.holds() || matches!(before, Some(Verdict::DoesNotHold { .. })) {
            continue;
        }
        let message = format!("invariant {}, and it held when the run started", wording(reading));
        let tail = reading.evidence.clone();
        return Err(Failure { kind: FailureKind::Check, message, tail, help: reading.remedy.clone() }.into());
    }
    Ok(())
}

/// Reads the installed version of nodes, all at the same time; what cannot be read is left out.
pub(super) async fn versions<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    nodes: &[NodeName],
) -> Vec<(NodeName, Result<String, Failure>)> {
    let Some(script) = &site.plan.version else { return Vec::new() };
    let reads = nodes.iter().map(|node| async move {
        let reply = asking::print(site, state, (node, node), &[script], PATIENCE).await;
        let version = match reply {
            Err(failure) => Err(failure),
            Ok(replies) => version_of(replies.first()).map(|version| site.mask(&version)),
        };
        (node.clone(), version.map_err(|failure| masked(site, failure)))
    });
    futures_util::future::join_all(reads).await
}

fn version_of(reply: Option<&crate::transport::ProbeReply>) -> Result<String, Failure> {
    let unreadable =
        |why: String| failure(FailureKind::Check, format!("the installed version is unreadable: {why}"));
    let reply = reply.ok_or_else(|| unreadable("no reply".to_owned()))?;
    let text = reply.stdout.text().trim().to_owned();
    match &reply.end {
        ProbeEnd::Exited { code: 0 } if !text.is_empty() && text.lines().count() == 1 => Ok(text),
        ProbeEnd::Exited { code: 0 } => {
            Err(unreadable(format!("one line is wanted, and there are {}", text.lines().count())))
        }
        other => Err(unreadable(format!("{other:?} {}", reply.stderr.text().trim()))),
    }
}

/// After a rollback the node runs what it ran before; asked for a minute, for services need to start.
pub(super) async fn version_restored(at: &mut Assignment) -> Done {
    let lane = at.lane().clone();
    let Some(wanted) = at.state.versions.get(&lane).map(|versions| versions.before.clone()) else {
        return Err(Outcome::Skipped { why: "the version before the run was never read".to_owned() });
    };
    let mut found = String::new();
    let tries = async {
        loop {
            match versions(&at.site, &at.state, std::slice::from_ref(&lane)).await.pop() {
                Some((_, Ok(version))) if version == wanted => return,
                Some((_, Ok(version))) => found = format!("it runs {version}"),
                Some((_, Err(failure))) => found = failure.message,
                None => return,
            }
            sleep(Duration::from_secs(2)).await;
        }
    };
    match stoppable(at, timeout(Duration::from_mins(1), tries)).await? {
        Ok(()) => {
            at.desk.commit(Event::VersionRead { node: lane, version: wanted }).await;
            Ok(())
        }
        Err(_) => Err(failure(FailureKind::Check, format!("{found}, and should run {wanted} again")).into()),
    }
}
