//! `status -o json`: one document. Numbers are numbers, absent is null, words are `lower_snake`; fields are
//! added with a minor version and changed with a major one.

use serde_json::{Value as Json, json};

use crate::model::duration::between;
use crate::model::event::{Halt, Reading};
use crate::model::history::{NodeHistory, Then};

use super::super::document::{self, ROLLGATE, VERSION};
use super::super::moment::Moment;
use super::{LockView, NodeView, RunView, Stand, StatusView};

/// Builds the document.
pub fn document(moment: &Moment, view: &StatusView, exit_code: Option<u8>) -> Json {
    let working = view.nodes.iter().find(|node| matches!(node.stand, Stand::Working | Stand::Gate));
    let run = view.run.as_ref();
    json!({
        "format": "rollgate/status",
        "format_version": VERSION,
        "rollgate": ROLLGATE,
        "read_at": moment.iso(moment.now),
        "source": if view.from_nodes { "nodes" } else { "journal" },
        "offline": view.offline,
        "at_work": view.at_work,
        "notes": view.notes,
        "cluster": view.cluster,
        "inventory": { "path": view.sources.inventory, "sha256": view.sources.inventory_sha256 },
        "procedure": { "path": view.sources.procedure, "sha256": view.sources.procedure_sha256 },
        "from": view.from,
        "to": view.to,
        "status": run.map_or("none".to_owned(), |run| snake(run.status)),
        "final_state": run.filter(|run| run.ended).map(|run| snake(run.status)),
        "transcript": run.and_then(|run| run.directory.as_ref()),
        "working_node": working.map(|node| &node.name),
        "working_state": working.map(|node| node.stand.code()),
        "run": run.map(|run| run_object(moment, view, run, exit_code)),
        "window": view.window.as_ref().map(|window| window.object(moment)),
        "lock": view.lock.as_ref().map(LockView::document),
        "nodes": view.nodes.iter().map(|node| node_object(moment, view, node)).collect::<Vec<_>>(),
        "next": document::next(&view.next),
    })
}

fn snake(word: &str) -> String {
    word.replace('-', "_")
}

/// A run as an object, in `status` and in the list of runs.
pub fn run_object(moment: &Moment, view: &StatusView, run: &RunView, exit_code: Option<u8>) -> Json {
    let count = |stands: &[Stand]| view.nodes.iter().filter(|node| stands.contains(&node.stand)).count();
    json!({
        "id": run.id,
        "kind": run.kind,
        "state": snake(run.status),
        "change": run.change,
        "by": { "user": run.by.user, "host": run.by.host, "pid": run.by.pid },
        "args": run.args,
        "started_at": moment.iso(run.started_at),
        "ended_at": run.ended.then(|| moment.iso(run.latest_at)),
        "seconds": between(run.started_at, if run.ended { run.latest_at } else { moment.now }).as_secs_f64(),
        "seconds_left": run.left.filter(|left| left.whole).map(|left| left.time.as_secs()),
        "directory": run.directory,
        "counts": {
            "total": view.nodes.len(),
            "done": count(&[Stand::Done]),
            "failed": count(&[Stand::Failed, Stand::Unknown]),
            "skipped": count(&[Stand::Skipped]),
            "rolled_back": count(&[Stand::RolledBack]),
            "pending": count(&[Stand::ToDo, Stand::Working, Stand::Gate, Stand::Stopped]),
        },
        "stop": run.stop.as_ref().map(|stop| json!({
            "exit_code": exit_code,
            "reason": reason(stop.halt),
            "node": stop.key.as_ref().map(|key| &key.node),
            "step": stop.key.as_ref().map(|key| &key.step),
            "message": stop.why,
        })),
        "questions": run.questions.iter().map(|question| json!({
            "number": question.number,
            "node": question.node,
            "step": question.title,
            "since": moment.iso(question.since),
            "next": question.ways.iter().map(|way| &way.argv).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "broke": run.broke.iter().map(|broken| json!({
            "holder": broken.holder,
            "reason": broken.reason,
        })).collect::<Vec<_>>(),
        "outside_window": run.outside.iter().map(|outside| json!({
            "why": outside.why,
            "reason": outside.reason,
            "by": { "user": outside.by.user, "host": outside.by.host, "pid": outside.by.pid },
        })).collect::<Vec<_>>(),
        "armed": run.armed.iter().map(|armed| armed.document(moment)).collect::<Vec<_>>(),
        "outstanding": run.outstanding,
        "giving_up": run.aborting,
    })
}

fn node_object(moment: &Moment, view: &StatusView, node: &NodeView) -> Json {
    let gates = view
        .run
        .iter()
        .filter_map(|run| run.waiting_at.as_ref())
        .filter(|(_, at, _)| *at == node.name)
        .flat_map(|(title, _, readings)| {
            readings.iter().map(|reading| reading_object(moment, title, reading))
        });
    json!({
        "name": node.name,
        "host": node.host,
        "groups": node.groups,
        "roles": node.roles,
        "reachable": node.observed.reachable,
        "version": node.version,
        "staged": node.staged,
        "state": node.stand.code(),
        "since": node.since.map(|since| moment.iso(since)),
        "phases": node.parts.iter().map(|(part, time)| json!({
            "phase": part,
            "seconds": time.as_secs_f64(),
        })).collect::<Vec<_>>(),
        "gates": gates.collect::<Vec<_>>(),
        "history": history_object(&node.history),
        "detail": (!node.detail.is_empty()).then_some(&node.detail),
        "error": node.observed.error,
    })
}

/// A reading of a gate, for programs.
pub(in crate::ui) fn reading_object(moment: &Moment, title: &str, reading: &Reading) -> Json {
    let mut gate = document::reading(moment, reading);
    gate["step"] = json!(title);
    gate
}

fn history_object(history: &NodeHistory) -> Json {
    json!({
        "stops": history.stops,
        "stopped_seconds": history.stood.as_secs_f64(),
        "failures": history.failures.iter().map(|failure| json!({
            "step": failure.key.step,
            "times": failure.times,
            "repeated_by": failure.then.iter().filter_map(|then| match then {
                Then::RepeatedBy(who) => Some(who),
                Then::Repeated | Then::TakenAsDoneBy(_) => None,
            }).collect::<Vec<_>>(),
            "taken_as_done_by": failure.then.iter().find_map(|then| match then {
                Then::TakenAsDoneBy(who) => Some(who),
                Then::Repeated | Then::RepeatedBy(_) => None,
            }),
        })).collect::<Vec<_>>(),
    })
}

/// The stable word for a class of stops.
fn reason(halt: Halt) -> &'static str {
    match halt {
        Halt::LimitReached => "limit_reached",
        Halt::Local => "local",
        Halt::Input => "input",
        Halt::GateClosed => "gate_timeout",
        Halt::WindowClosed => "window_closed",
        Halt::NoAnswer => "no_answer",
        Halt::CheckFailed => "check_failed",
        Halt::Unreachable => "unreachable",
        Halt::Held => "held",
        Halt::DrainFailed => "drain_failed",
        Halt::Interrupted => "interrupted",
        Halt::UndoFailed => "undo_failed",
        Halt::UpgradeFailed => "upgrade_failed",
        Halt::VerifyFailed => "verify_failed",
        Halt::Unknown => "unknown",
        Halt::RollbackFailed => "rollback_failed",
        Halt::Killed => "killed",
    }
}
