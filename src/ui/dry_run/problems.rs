//! What would stop a run, or is yet to be done: each with its evidence, what may help, and what to type then.

use crate::model::condition::Verdict;
use crate::model::event::{Failure, Reading, RunId};
use crate::model::forecast::{Forecast, Outlook, StepForecast, TurnForecast};
use crate::model::name::NodeName;
use crate::model::plan::{Plan, Section, Work};
use crate::model::url::Url;

use super::super::gate;
use super::super::next::Next;
use super::super::status::LockView;
use super::super::words;

/// Nodes that are named one by one.
const NAMED: usize = 8;

/// Classes of problems, the most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A guard, a role: there would be no run.
    Refused,
    /// Another run is in the middle.
    Unfinished,
    /// Somebody else has the lock of a node.
    Held,
    /// A node does not answer.
    Unreachable,
    /// A check does not hold or cannot be read.
    Check,
    /// A gate is closed now.
    Gate,
    /// Something is not staged yet.
    NotStaged,
}

impl Kind {
    /// The word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unfinished => "unfinished_run",
            Self::Held => "held",
            Self::Unreachable => "unreachable",
            Self::Check => "check",
            Self::Gate => "gate",
            Self::NotStaged => "not_staged",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its class.
    pub kind: Kind,
    /// The node; absent where it is about the cluster.
    pub node: Option<NodeName>,
    /// What is wrong, in words.
    pub what: String,
    /// Rows that show it.
    pub evidence: Vec<String>,
    /// What may help.
    pub remedy: Option<String>,
    /// What to type then.
    pub next: Option<Next>,
}

/// Everything that a dry run found wrong, the most serious first. `program` is how this one was called, as in
/// [`super::super::after::next`]; `unfinished` is a run of this machine that is in the way, `lock` one of somebody
/// else.
pub fn problems(
    plan: &Plan,
    found: &Forecast,
    unfinished: Option<&RunId>,
    lock: Option<&LockView>,
    program: &[&str],
) -> Vec<Problem> {
    let on_cluster = |kind: Kind, what: String| Problem {
        kind,
        node: None,
        what,
        evidence: Vec::new(),
        remedy: None,
        next: None,
    };
    let command = |words: &[&str]| Some(Next::new(&[program, words].concat(), ""));
    let mut all: Vec<Problem> = Vec::new();
    all.extend(found.refused.iter().map(|stop| on_cluster(Kind::Refused, stop.why.clone())));
    all.extend(unfinished.map(|run| Problem {
        next: command(&["status"]),
        ..on_cluster(
            Kind::Unfinished,
            format!("run {run} is unfinished; start would refuse until it is ended"),
        )
    }));
    all.extend(lock.map(|lock| Problem {
        node: Some(lock.node.clone()),
        next: command(&["status"]),
        ..on_cluster(Kind::Held, format!("is {}; start would refuse", lock.fence.sentence()))
    }));
    for (node, failure) in &found.silent {
        let problem = of_failure(Kind::Unreachable, node, failure);
        all.push(Problem { next: command(&["check"]), ..problem });
    }
    for turn in &found.turns {
        for step in &turn.steps {
            for mut problem in of_step(plan, turn, step) {
                // An invariant is asked in everybody's turn; once told it is known.
                let is_known = |known: &Problem| known.what == problem.what;
                if is_invariant(plan, step) && all.iter().any(is_known) {
                    continue;
                }
                if !turn.node.is_operator() && problem.kind == Kind::Check {
                    problem.next = command(&["start", "--dry-run", "-l", turn.node.as_str()]);
                }
                all.push(problem);
            }
        }
    }
    let unstaged: Vec<&str> = found
        .turns
        .iter()
        .filter(|turn| turn.staged() == Some(false))
        .map(|turn| turn.node.as_str())
        .collect();
    if !unstaged.is_empty() {
        let verb = if unstaged.len() == 1 { "is" } else { "are" };
        let what = format!("{} {verb} not staged", words::list_some(&unstaged, NAMED));
        let evidence = fetches(found);
        all.push(Problem { evidence, next: command(&["stage"]), ..on_cluster(Kind::NotStaged, what) });
    }
    all.sort_by_key(|problem| problem.kind);
    all
}

/// What nodes would fetch themselves, nodes that fetch the same in one row.
fn fetches(found: &Forecast) -> Vec<String> {
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for turn in &found.turns {
        for step in &turn.steps {
            let Outlook::WouldFetch { urls } = &step.outlook else { continue };
            let what = would_fetch(urls);
            match rows.iter_mut().find(|(known, _)| *known == what) {
                Some((_, nodes)) => nodes.push(turn.node.as_str()),
                None => rows.push((what, vec![turn.node.as_str()])),
            }
        }
    }
    rows.into_iter().map(|(what, nodes)| format!("{} {what}", words::list_some(&nodes, NAMED))).collect()
}

/// What a node would fetch itself, in words.
pub(super) fn would_fetch(urls: &[Url]) -> String {
    let urls: Vec<&str> = urls.iter().map(Url::as_str).collect();
    format!("would fetch {}", urls.join(" and "))
}

fn is_invariant(plan: &Plan, step: &StepForecast) -> bool {
    plan.find(&step.key.step).is_some_and(|(_, planned)| planned.work == Work::Invariants)
}

fn of_step(plan: &Plan, turn: &TurnForecast, step: &StepForecast) -> Vec<Problem> {
    let failing = || step.readings.iter().filter(|reading| !matches!(reading.verdict, Verdict::Holds));
    match &step.outlook {
        Outlook::WouldStop(failure) if is_invariant(plan, step) => {
            let problem = of_failure(Kind::Check, &turn.node, failure);
            vec![Problem { what: format!("invariant {}", problem.what), ..problem }]
        }
        Outlook::WouldStop(_) if failing().next().is_some() => {
            let word = if step.section == Section::Precheck { "pre-check" } else { "check" };
            failing().map(|reading| of_reading(Kind::Check, turn, word, step, reading)).collect()
        }
        Outlook::WouldStop(failure) => {
            let problem = of_failure(Kind::Check, &turn.node, failure);
            vec![Problem { what: format!("{}: {}", step.label, problem.what), ..problem }]
        }
        Outlook::WouldWait(_) => {
            failing().map(|reading| of_reading(Kind::Gate, turn, "gate", step, reading)).collect()
        }
        _ => Vec::new(),
    }
}

fn of_reading(
    kind: Kind,
    turn: &TurnForecast,
    word: &str,
    step: &StepForecast,
    reading: &Reading,
) -> Problem {
    let said = gate::one_line(std::slice::from_ref(reading), &turn.node);
    // A gate or check that is called like what it reads is named once.
    let said = said.strip_prefix(&format!("{} ", step.label)).unwrap_or(&said);
    let unit = reading.unit.as_ref().filter(|_| matches!(reading.verdict, Verdict::DoesNotHold { .. }));
    let unit = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    Problem {
        kind,
        node: Some(turn.node.clone()),
        what: format!("{word} \"{}\": {said}{unit}", step.label),
        evidence: reading.evidence.clone(),
        remedy: reading.remedy.clone(),
        next: None,
    }
}

fn of_failure(kind: Kind, node: &NodeName, failure: &Failure) -> Problem {
    Problem {
        kind,
        node: Some(node.clone()),
        what: failure.message.clone(),
        evidence: failure.tail.clone(),
        remedy: failure.help.clone(),
        next: None,
    }
}
