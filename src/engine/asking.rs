//! Checks put to nodes: all that go to the same node in one round trip, all nodes at the same time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::artifacts::{self, STAGED};
use super::pool::Opens;
use super::scene;
use super::site::Site;
use crate::model::condition::{Answer, ENDED_BADLY, Form, Value, Verdict};
use crate::model::duration;
use crate::model::event::{Failure, FailureKind, Reading};
use crate::model::host::{Become, Shell};
use crate::model::mask::{Mask, STARS};
use crate::model::name::NodeName;
use crate::model::procedure::{Check, CheckRef, Script};
use crate::model::state::RunState;
use crate::model::template::Vars;
use crate::transport::{Captured, Facts, Probe, ProbeEnd, ProbeReply, Reader, TransportError};

/// Rows of evidence that are kept of a reading.
const ROWS: usize = 20;

/// One check to one machine.
pub(super) struct Ask<'a> {
    pub(super) check: &'a Check,
    pub(super) lane: NodeName,
    pub(super) on: NodeName,
}

impl Ask<'_> {
    /// For whom it is asked, and whom.
    fn place(&self) -> (&NodeName, &NodeName) {
        (&self.lane, &self.on)
    }
}

/// What came back.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// One reading per question, in their order.
    pub(super) readings: Vec<Reading>,
    /// What was read, as it is: a reading is masked.
    pub(super) values: Vec<Option<Value>>,
    /// The first machine that could not be asked at all.
    pub(super) unreachable: Option<Failure>,
}

impl Told {
    /// Whether everything holds.
    pub(super) fn holds(&self) -> bool {
        self.readings.iter().all(|reading| reading.verdict.holds())
    }

    /// What the first check read, as it is.
    pub(super) fn value(&self) -> Option<&Value> {
        self.values.first()?.as_ref()
    }

    /// Of a value that is to be kept secret nothing is shown, whether it is as it should be or not.
    pub(super) fn hide(&mut self) {
        for reading in &mut self.readings {
            reading.value = reading.value.take().map(|_| Value::Text(STARS.to_owned()));
            reading.evidence.clear();
            // An exit status is followed by what was said last, and a wrong form by what was read.
            if let Verdict::Unreadable { why } = &mut reading.verdict {
                if why.contains('`') {
                    "it is not of the form that the check says".clone_into(why);
                } else if why.starts_with(ENDED_BADLY)
                    && let Some(said) = why.find(':')
                {
                    why.truncate(said);
                }
            }
        }
    }

    /// The failure of a check step: of the first reading that does not hold.
    pub(super) fn failure(&self) -> Option<Failure> {
        let reading = self.readings.iter().find(|reading| !reading.verdict.holds())?;
        if let Some(failure) = &self.unreachable {
            return Some(failure.clone());
        }
        Some(Failure {
            kind: FailureKind::Check,
            message: wording(reading),
            tail: reading.evidence.clone(),
            help: reading.remedy.clone(),
        })
    }
}

/// A reading in words: `queue-empty: 4812 messages, needs <= 0`.
pub(super) fn wording(reading: &Reading) -> String {
    let unit = reading.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let value = reading.value.as_ref().map(|value| {
        let text = value.to_string();
        if text.chars().count() > 60 { text.chars().take(57).chain("...".chars()).collect() } else { text }
    });
    match (&reading.verdict, value) {
        (Verdict::Unreadable { why }, _) => {
            format!("{} on {}: unreadable: {why}", reading.check, reading.node)
        }
        (Verdict::Holds, value) => {
            format!("{} on {}: {}{unit}", reading.check, reading.node, value.unwrap_or_default())
        }
        (Verdict::DoesNotHold { why }, value) => {
            format!("{} on {}: {}{unit}, {why}", reading.check, reading.node, value.unwrap_or_default())
        }
    }
}

/// Puts the questions of checks to the machines they name, for a lane.
pub(super) async fn ask_all<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    lane: &NodeName,
    checks: &[CheckRef],
) -> Result<Told, Failure> {
    let mut asks = Vec::new();
    for reference in checks {
        let check = site.plan.check(reference);
        for on in scene::places(site, state, lane, &check.on).await? {
            asks.push(Ask { check, lane: lane.clone(), on });
        }
    }
    Ok(ask(site, state, &asks).await)
}

/// Puts questions to machines. Boxed, for a question may need a role, and a role is a question.
pub(super) fn ask<'a, O: Opens>(
    site: &'a Site<O>,
    state: &'a RunState,
    asks: &'a [Ask<'a>],
) -> std::pin::Pin<Box<dyn Future<Output = Told> + Send + 'a>> {
    Box::pin(async move {
        let mut by_machine: BTreeMap<&NodeName, Vec<usize>> = BTreeMap::new();
        for (number, question) in asks.iter().enumerate() {
            by_machine.entry(&question.on).or_default().push(number);
        }
        let answers = by_machine.into_iter().map(|(on, numbers)| async move {
            let batch: Vec<&Ask<'_>> = numbers.iter().map(|number| &asks[*number]).collect();
            (numbers, ask_machine(site, state, on, &batch).await)
        });
        let mut told = Told::default();
        let mut readings: Vec<Option<Read>> = asks.iter().map(|_| None).collect();
        for (numbers, answer) in join_all(answers).await {
            let batch: Vec<&Ask<'_>> = numbers.iter().map(|number| &asks[*number]).collect();
            let found = settle(site, &batch, answer, &mut told.unreachable);
            for (number, reading) in numbers.into_iter().zip(found) {
                readings[number] = Some(reading);
            }
        }
        (told.readings, told.values) =
            readings.into_iter().flatten().map(|read| (read.reading, read.value)).unzip();
        told
    })
}

/// The readings of a machine, also where it could not be asked.
fn settle<O: Opens>(
    site: &Site<O>,
    asks: &[&Ask<'_>],
    answer: Result<Vec<Read>, Failure>,
    unreachable: &mut Option<Failure>,
) -> Vec<Read> {
    let failure = match answer {
        Ok(found) => return found,
        Err(failure) => masked(site, failure),
    };
    let unreadable = |question: &&Ask<'_>| {
        let why = failure.message.clone();
        Read { reading: blank(question, Verdict::Unreadable { why }), value: None }
    };
    let readings = asks.iter().map(unreadable).collect();
    if failure.kind == FailureKind::Unreachable {
        unreachable.get_or_insert(failure);
    }
    readings
}

/// What a check says to a reply that came in somebody else's call, or why none came.
pub(super) async fn told_by<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    question: &Ask<'_>,
    reply: Result<(Vars, ProbeReply, Timestamp), TransportError>,
) -> Told {
    let batch = &[question];
    let answer = match reply {
        Ok((vars, reply, at)) => judge(site, state, batch, &[vars], &[reply]).await.map(|mut reads| {
            for read in &mut reads {
                read.reading.at = at;
            }
            reads
        }),
        Err(error) => Err(unreachable(&error)),
    };
    let mut told = Told::default();
    let reads = settle(site, batch, answer, &mut told.unreachable);
    (told.readings, told.values) = reads.into_iter().map(|read| (read.reading, read.value)).unzip();
    told
}

fn blank(question: &Ask<'_>, verdict: Verdict) -> Reading {
    Reading {
        check: question.check.label.clone(),
        node: question.on.clone(),
        value: None,
        verdict,
        needs: String::new(),
        unit: question.check.unit.clone(),
        evidence: Vec::new(),
        remedy: None,
        at: Timestamp::now(),
    }
}

async fn ask_machine<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    on: &NodeName,
    asks: &[&Ask<'_>],
) -> Result<Vec<Read>, Failure> {
    let facts = site.pool.session(on).await.map_err(|error| unreachable(&error))?.facts().clone();
    let mut batch = Vec::new();
    let mut surroundings = Vec::new();
    for question in asks {
        let (probe, vars) = prepared(site, state, question, &facts).await?;
        batch.push(probe);
        surroundings.push(vars);
    }
    let limits: Vec<Duration> = asks.iter().map(|question| question.check.timeout).collect();
    let replies = send_in_turn(site, on, &batch, &limits).await?;
    judge(site, state, asks, &surroundings, &replies).await
}

/// What checks of one machine say to its replies.
async fn judge<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    asks: &[&Ask<'_>],
    surroundings: &[Vars],
    replies: &[ProbeReply],
) -> Result<Vec<Read>, Failure> {
    let mask = site.secrets().masking();
    let mut reads: Vec<Read> = asks
        .iter()
        .zip(surroundings)
        .zip(replies)
        .map(|((question, vars), reply)| read(&mask, question, vars, reply))
        .collect();
    add_evidence(site, state, asks, surroundings, &mut reads).await?;
    for read in &mut reads {
        read.reading.mask(&mask);
    }
    Ok(reads)
}

/// A reading, and what was read as it is: a capture keeps it, and a word that means the end is looked for in it.
struct Read {
    reading: Reading,
    value: Option<Value>,
}

/// A failure as it may be shown and stored.
pub(super) fn masked<O: Opens>(site: &Site<O>, mut failure: Failure) -> Failure {
    failure.mask(&site.secrets().masking());
    failure
}

/// A check as it is sent to a machine, with the variables that it sees there.
pub(super) async fn prepared<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    question: &Ask<'_>,
    facts: &Facts,
) -> Result<(Probe, Vars), Failure> {
    let (place, script) = (question.place(), &question.check.script);
    let vars = surrounding(site, state, place, script, facts).await?;
    Ok((probe(site, state, place, script, &vars).await?, vars))
}

/// The variables of a script that is only read with, and the roles of this moment that it names.
async fn surrounding<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    (lane, on): (&NodeName, &NodeName),
    script: &Script,
    facts: &Facts,
) -> Result<Vars, Failure> {
    let mut vars = scene::vars(site, state, lane, on, Some(facts));
    scene::add_live_roles(site, state, &script.body, &mut vars).await?;
    Ok(vars)
}

async fn probe<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    (lane, on): (&NodeName, &NodeName),
    script: &Script,
    vars: &Vars,
) -> Result<Probe, Failure> {
    if script.body.contains(STAGED) {
        artifacts::verify(site, on).await?;
    }
    let become_with = script.become_with.unwrap_or_else(|| become_on(site, on));
    Ok(Probe {
        secrets: scene::secrets(site, state, lane, &script.body).await?,
        script: script.body.clone(),
        shell: script.shell,
        env: vars.clone(),
        become_with,
    })
}

/// What scripts that are no checks print on a machine, for a lane, in one round trip.
pub(super) async fn print<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    (lane, on): (&NodeName, &NodeName),
    scripts: &[&Script],
    deadline: Duration,
) -> Result<Vec<ProbeReply>, Failure> {
    let facts = site.pool.session(on).await.map_err(|error| unreachable(&error))?.facts().clone();
    let mut batch = Vec::new();
    for script in scripts {
        let vars = surrounding(site, state, (lane, on), script, &facts).await?;
        batch.push(probe(site, state, (lane, on), script, &vars).await?);
    }
    send(site, on, &batch, deadline).await
}

/// How commands gain rights on a machine, where the script does not say.
pub(super) fn become_on<O: Opens>(site: &Site<O>, on: &NodeName) -> Become {
    site.plan.node(on).map_or(Become::None, |node| node.become_with)
}

async fn send<O: Opens>(
    site: &Site<O>,
    on: &NodeName,
    batch: &[Probe],
    deadline: Duration,
) -> Result<Vec<ProbeReply>, Failure> {
    site.pool
        .with(on, |session| async move { session.probe(batch, deadline).await })
        .await
        .map_err(|error| unreachable(&error))
}

/// The same with a time for each: what hangs costs its own, and whatever stands behind it is not run.
async fn send_in_turn<O: Opens>(
    site: &Site<O>,
    on: &NodeName,
    batch: &[Probe],
    limits: &[Duration],
) -> Result<Vec<ProbeReply>, Failure> {
    let heard = Mutex::new(Vec::new());
    let told = |_, reply| heard.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
    let told = &told;
    site.pool
        .with(on, |session| async move { session.probe_in_turn(batch, limits, told).await })
        .await
        .map_err(|error| unreachable(&error))?;
    let mut replies = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
    replies.resize_with(batch.len(), || ProbeReply {
        end: ProbeEnd::not_reached(),
        stdout: Captured::default(),
        stderr: Captured::default(),
        took: Duration::ZERO,
    });
    Ok(replies)
}

/// An error of the connection as the failure of whatever needed it.
pub(super) fn unreachable(error: &TransportError) -> Failure {
    let kind = match error {
        TransportError::Unreachable { .. } | TransportError::Lost { .. } => FailureKind::Unreachable,
        TransportError::Refused { .. } => FailureKind::Input,
        TransportError::Copy { .. } => FailureKind::Script,
        TransportError::Lock { .. } => FailureKind::Check,
        TransportError::Here { .. } => FailureKind::Local,
    };
    let next = error.next().map(|next| format!("; try: {next}")).unwrap_or_default();
    let help = error.help().map(|help| format!("{help}{next}"));
    Failure { kind, message: error.to_string(), tail: Vec::new(), help }
}

fn read(mask: &Mask, question: &Ask<'_>, vars: &Vars, reply: &ProbeReply) -> Read {
    let check = question.check;
    let mut reading = blank(question, Verdict::Holds);
    reading.needs = check.condition.wording(vars);
    let (stdout, stderr) = (reply.stdout.text(), reply.stderr.text());
    match &reply.end {
        ProbeEnd::Exited { code } => {
            let answer = Answer { exit: *code, stdout: &stdout, stderr: &stderr };
            let (value, verdict) = check.condition.judge(answer, vars);
            reading.value = value;
            reading.verdict = verdict;
            if let Verdict::Unreadable { why } = &mut reading.verdict {
                // It may quote the beginning of what was read, and the beginning of a secret is masked by nobody.
                let (stdout, stderr) = (mask.text(&stdout), mask.text(&stderr));
                let told =
                    check.condition.judge(Answer { exit: *code, stdout: &stdout, stderr: &stderr }, vars).1;
                told.why().unwrap_or("a secret stands in the answer").clone_into(why);
            }
        }
        ProbeEnd::TimedOut => {
            let why = format!("no answer within {}", duration::written(check.timeout));
            reading.verdict = Verdict::Unreadable { why };
        }
        ProbeEnd::Died => {
            reading.verdict = Verdict::Unreadable { why: "its shell was killed".to_owned() };
        }
        ProbeEnd::NotRun { why } => reading.verdict = Verdict::Unreadable { why: why.clone() },
    }
    if let Some(Value::Lines(lines)) = &reading.value {
        // Masked before their columns are taken, for a secret may have several.
        let lines: Vec<String> = lines.iter().map(|line| mask.text(line)).collect();
        reading.evidence = rows(&lines, &check.columns);
    }
    if !reading.verdict.holds() {
        reading.remedy = check.remedy.as_ref().map(|remedy| remedy.render_known(vars));
        if check.condition.form == Form::Exit && reading.evidence.is_empty() {
            let said: Vec<String> = stdout.lines().chain(stderr.lines()).map(str::to_owned).collect();
            reading.evidence = last(&said);
        }
    }
    Read { value: reading.value.clone(), reading }
}

fn last(lines: &[String]) -> Vec<String> {
    lines[lines.len().saturating_sub(ROWS)..].to_vec()
}

/// The lines of a value, or only their named columns.
fn rows(lines: &[String], columns: &[Option<String>]) -> Vec<String> {
    let shown: Vec<usize> =
        columns.iter().enumerate().filter(|(_, name)| name.is_some()).map(|(at, _)| at).collect();
    let rows: Vec<String> = lines
        .iter()
        .take(ROWS)
        .map(|line| {
            if shown.is_empty() {
                return line.clone();
            }
            let cells: Vec<&str> = line.split_whitespace().collect();
            shown.iter().filter_map(|at| cells.get(*at).copied()).collect::<Vec<_>>().join("  ")
        })
        .collect();
    rows
}

/// What does not hold is shown with its evidence, asked of the same machine in one more round trip.
async fn add_evidence<O: Opens>(
    site: &Site<O>,
    state: &RunState,
    asks: &[&Ask<'_>],
    surroundings: &[Vars],
    reads: &mut [Read],
) -> Result<(), Failure> {
    let mut batch = Vec::new();
    let mut wanted = Vec::new();
    for (number, question) in asks.iter().enumerate() {
        if let Some(body) = &question.check.evidence
            && !reads[number].reading.verdict.holds()
        {
            let script = Script {
                body: body.clone(),
                shell: Shell::Sh,
                become_with: question.check.script.become_with,
            };
            batch.push(probe(site, state, question.place(), &script, &surroundings[number]).await?);
            wanted.push(number);
        }
    }
    let Some(on) = asks.first().map(|question| &question.on).filter(|_| !batch.is_empty()) else {
        return Ok(());
    };
    let replies = send(site, on, &batch, Duration::from_secs(30)).await?;
    for (number, reply) in wanted.into_iter().zip(replies) {
        let text = reply.stdout.text();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        reads[number].reading.evidence.extend(last(&lines));
    }
    Ok(())
}
