//! Files that somebody else could have changed: refused, or with `--allow-insecure-files` used and noted down.
//!
//! Whoever can write to an inventory, a procedure or something that they name decides what runs on every node with
//! the operator's rights.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::refusal::Refusal;
use crate::config::Loaded;
use crate::model::host::Connection;
use crate::model::inventory::{Inventory, Node, SecretSource};
use crate::model::planner::{self, Located};
use crate::model::procedure::{Action, Procedure};
use crate::model::template::Vars;
use crate::transport::{Exposed, exposed};
use crate::ui::ink::{Line, Tone, paint, wrap};
use crate::ui::next::Next;
use crate::ui::{words, write};

/// How many of them are shown; a tree with more has one fault.
const SHOWN: usize = 8;

/// Looks at files; gives what is wrong with them, where that was allowed.
pub(super) fn look(context: &Context, files: &[PathBuf]) -> Result<BTreeSet<Exposed>, Refusal> {
    let found: BTreeSet<Exposed> = files.iter().flat_map(|file| exposed(file)).collect();
    if found.is_empty() || context.allow_insecure_files {
        return Ok(found);
    }
    Err(refusal(context, &found))
}

fn refusal(context: &Context, found: &BTreeSet<Exposed>) -> Refusal {
    let what = match found.len() {
        1 => "somebody else could have changed what this run rests on".to_owned(),
        count => format!(
            "somebody else could have changed what this run rests on, in {}",
            words::count(count, "place")
        ),
    };
    let mut refusal = Refusal::input(what);
    for one in found.iter().take(SHOWN) {
        refusal = refusal.evidence(sentence(one));
    }
    if found.len() > SHOWN {
        refusal = refusal.evidence(format!("and {} more", found.len() - SHOWN));
    }
    let open: Vec<String> = found
        .iter()
        .filter(|one| one.by_mode)
        .take(SHOWN)
        .map(|one| one.path.display().to_string())
        .collect();
    if open.len() < found.len().min(SHOWN) {
        refusal =
            refusal.help("what belongs to somebody else: copy it into a directory of your own, or chown it");
    }
    if !open.is_empty() {
        let words: Vec<&str> =
            ["chmod", "go-w", "--"].into_iter().chain(open.iter().map(String::as_str)).collect();
        refusal = refusal.next(Next::new(&words, "take that right away"));
    }
    refusal
        .help("--allow-insecure-files uses them all the same, and the journal and the report say so")
        .next(context.command(&["check", "--syntax-only"], "look again"))
        .standing("nothing was done")
}

/// Says what is used all the same.
pub(super) fn note(context: &Context, found: &BTreeSet<Exposed>) {
    let face = &context.style.err;
    let lines: Vec<Line> = found
        .iter()
        .flat_map(|one| wrap(face, Line::new(face).tone(Tone::Wait, "note: "), Tone::Text, &sentence(one)))
        .collect();
    write::to_stderr(&paint(face, &lines));
}

/// What the journal and the report say.
pub(super) fn sentence(one: &Exposed) -> String {
    let verb = if one.by_mode { ": " } else { " " };
    format!("{}{verb}{}", one.path.display(), one.why)
}

/// The files that inventory and procedure name and that decide what happens: how nodes are reached, what is copied
/// to them, which secret they are given: a link to another file of the operator's would send them that. ssh looks at keys itself; an artifact whose sum is written down may lie anywhere.
pub(super) fn named(loaded: &Loaded) -> Vec<PathBuf> {
    let Loaded { inventory, procedure, procedure_source, .. } = loaded;
    let mut files = BTreeSet::from([procedure_source.path().to_owned()]);
    for node in &inventory.nodes {
        if let Connection::Ssh(target) = &node.connection {
            files.extend(target.config_file.iter().chain(&target.known_hosts).cloned());
        }
    }
    files.extend(inventory.secrets.values().filter_map(|source| match source {
        SecretSource::File(file) => Some(file.clone()),
        _ => None,
    }));
    for artifact in procedure.artifacts.iter().filter(|artifact| artifact.source.sha256().is_none()) {
        // One whose name cannot be known yet is the planner's to refuse.
        if let Ok(Located::File { path, .. }) = planner::locate(artifact, inventory) {
            files.insert(path);
        }
    }
    let base = procedure_source.path().parent().unwrap_or(Path::new("/"));
    files.extend(put(inventory, procedure).into_iter().map(|file| base.join(file)));
    files.into_iter().collect()
}

/// Files of `put` steps, as far as their names can be known before the run; the step itself looks again.
fn put(inventory: &Inventory, procedure: &Procedure) -> BTreeSet<String> {
    let sources: Vec<_> = procedure
        .steps()
        .filter_map(|step| match &step.action {
            Action::Put(put) => Some(&put.source),
            _ => None,
        })
        .collect();
    if sources.is_empty() {
        return BTreeSet::new();
    }
    let vars = |node: &Node| {
        let mut vars = inventory.vars_of(node);
        vars.insert("ROLLGATE_CLUSTER".to_owned(), inventory.cluster.to_string());
        vars.insert("ROLLGATE_NODE".to_owned(), node.name.to_string());
        vars
    };
    let all: BTreeSet<Vars> = inventory.nodes.iter().map(vars).collect();
    sources.iter().flat_map(|source| all.iter().filter_map(|vars| source.render(vars).ok())).collect()
}
