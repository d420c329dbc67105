//! `start --dry-run -o json`: one document with the same facts. Fields are added with a minor version.

use serde_json::{Value as Json, json};

use crate::model::forecast::{Outlook, TurnForecast};

use super::super::document::{ROLLGATE, VERSION, next, reading};
use super::super::moment::Moment;
use super::problems::would_fetch;
use super::{Compared, DryRun, result};

/// Builds the document.
pub fn document(moment: &Moment, dry: &DryRun<'_>) -> Json {
    let (since, changes) = match dry.compared {
        Compared::Since { at, changes } => (Some(moment.iso(*at)), Some(changes)),
        Compared::First | Compared::Unknown(_) => (None, None),
    };
    let sources = &dry.plan.sources;
    let silent = dry.found.silent.iter().map(|(node, failure)| {
        json!({
            "node": node,
            "error": failure.message,
        })
    });
    json!({
        "format": "rollgate/dry-run",
        "format_version": VERSION,
        "rollgate": ROLLGATE,
        "read_at": moment.iso(moment.now),
        "host": dry.host,
        "cluster": dry.plan.cluster,
        "inventory": { "path": sources.inventory, "sha256": sources.inventory_sha256 },
        "procedure": { "path": sources.procedure, "sha256": sources.procedure_sha256 },
        "to": dry.plan.to,
        "exit_code": dry.exit_code,
        "result": result(dry),
        "refused": refused(dry),
        "unreachable": silent.collect::<Vec<_>>(),
        "problems": dry.problems.iter().map(|problem| json!({
            "kind": problem.kind.code(),
            "node": problem.node,
            "what": problem.what,
            "evidence": problem.evidence,
            "remedy": problem.remedy,
            "next": problem.next.as_ref().map(|next| &next.argv),
        })).collect::<Vec<_>>(),
        "window": dry.window.map(|window| window.object(moment)),
        "since": since,
        "changed": changes.map(|changes| changes.iter().map(|change| json!({
            "node": change.node,
            "what": change.what,
            "before": change.before,
            "after": change.after,
        })).collect::<Vec<_>>()),
        "notes": dry.notes,
        "turns": dry.found.turns.iter().map(|turn| turn_object(moment, turn)).collect::<Vec<_>>(),
        "next": next(dry.next),
    })
}

/// Why a run would not even begin.
fn refused(dry: &DryRun<'_>) -> Option<String> {
    let silent = || dry.found.silent.values().next().map(|failure| failure.message.clone());
    dry.found.refused.as_ref().map(|stop| stop.why.clone()).or_else(silent)
}

fn turn_object(moment: &Moment, turn: &TurnForecast) -> Json {
    json!({
        "phase": turn.phase,
        "node": turn.node,
        "version": turn.version,
        "staged": turn.staged(),
        "steps": turn.steps.iter().map(|step| {
            let (outlook, why) = word(&step.outlook);
            json!({
                "key": step.key,
                "label": step.label,
                "section": step.section.to_string(),
                "outlook": outlook,
                "why": why,
                "readings": step.readings.iter().map(|one| reading(moment, one)).collect::<Vec<_>>(),
            })
        }).collect::<Vec<_>>(),
    })
}

fn word(outlook: &Outlook) -> (&'static str, Option<String>) {
    let (word, why) = match outlook {
        Outlook::WouldRun => ("would_run", None),
        Outlook::WouldFetch { urls } => return ("would_run", Some(would_fetch(urls))),
        Outlook::NotNeeded { why } => ("not_needed", Some(why)),
        Outlook::Holds => ("holds", None),
        Outlook::WouldStop(failure) => ("would_stop", Some(&failure.message)),
        Outlook::WouldAsk => ("would_ask", None),
        Outlook::WouldWait(failure) => ("would_wait", Some(&failure.message)),
        Outlook::CannotKnow { why } => ("cannot_know", Some(why)),
    };
    (word, why.cloned())
}
