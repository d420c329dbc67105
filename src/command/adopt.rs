//! What the nodes keep of a run, when the machine that worked on it is gone: shown by `status --from-nodes`, and
//! taken over by `start --resume --adopt RUN`.

use std::sync::Arc;

use jiff::Timestamp;

use super::context::Context;
use super::files::Files;
use super::invocation::passwords_at_hand;
use super::refusal::Refusal;
use crate::engine::pool::Pool;
use crate::engine::takeover::{Gathered, Kept, UnderWay, gather, under_way};
use crate::engine::{Screen, Site};
use crate::exit::Exit;
use crate::journal::{ClusterDir, Journal as _, RunDir, proven};
use crate::model::event::{Event, RunId};
use crate::model::name::NodeName;
use crate::model::state::RunState;
use crate::transport::ReadOnlyConnector;
use crate::ui::ink::{Line, Tone};
use crate::ui::words;
use crate::ui::write;

/// A run as it can be rebuilt from nodes.
pub(super) struct Rebuilt {
    pub(super) state: RunState,
    /// The journal's text, proven.
    text: String,
    records: u64,
    /// Who had any of it.
    pub(super) from: Vec<NodeName>,
    /// Who did not answer.
    pub(super) silent: Vec<NodeName>,
    /// What was begun and has no end in the journal.
    pub(super) under_way: Vec<UnderWay>,
}

/// Rebuilds the latest run that the nodes of an inventory keep, or the one that is named.
pub(super) async fn rebuild(
    context: &Context,
    files: &Files,
    run: Option<&RunId>,
) -> Result<Rebuilt, Refusal> {
    let plan = Arc::new(files.plan().await?);
    let silent: Screen = Arc::new(|_| true);
    let secrets = passwords_at_hand(context, &plan);
    let connector = ReadOnlyConnector::new(Arc::new(context.dialer(&secrets)));
    let pool = Pool::new(connector, &plan, Context::state_dir()?.path(), &secrets, silent);
    let site = Site::new(Arc::clone(&plan), pool, secrets, None);
    let nodes: Vec<NodeName> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    let scratch = tempfile::Builder::new().prefix("rollgate-").tempdir().map_err(|error| {
        Refusal::new(Exit::Broken, format!("no private directory for what the nodes keep: {error}"))
    })?;
    let Gathered { runs, silent } = gather(&site, &nodes, scratch.path()).await;
    let mut known: Vec<Rebuilt> = runs.into_iter().filter_map(rebuilt).collect();
    known.sort_by_key(|rebuilt| (rebuilt.state.opened_at, rebuilt.state.latest_seq));
    let names: Vec<String> = known.iter().map(|rebuilt| rebuilt.state.run.to_string()).collect();
    let found = known.into_iter().rfind(|rebuilt| run.is_none_or(|run| rebuilt.state.run == *run));
    let Some(mut found) = found else {
        let what = run.map_or("no run".to_owned(), |run| format!("nothing of run {run}"));
        let mut refusal = match silent.first() {
            Some((node, failure)) => Refusal::new(Exit::Unreachable, failure.message.clone())
                .evidence(format!("the nodes that answer keep {what}; {node} does not")),
            None => Refusal::input(format!("the nodes keep {what}")),
        };
        if !names.is_empty() {
            refusal = refusal.help(format!("they keep: {}", names.join(", ")));
        }
        return Err(refusal
            .next(context.command(&["status"], "what this machine knows"))
            .standing("nothing was done"));
    };
    found.under_way = under_way(&site, &found.state).await;
    found.silent = silent.into_iter().map(|(node, _)| node).collect();
    Ok(found)
}

/// Folds what is kept of a run; `None` for one whose first record is nowhere whole.
fn rebuilt(kept: Kept) -> Option<Rebuilt> {
    let mut text = kept.journal();
    let (records, good) = proven(text.as_bytes());
    text.truncate(good);
    let state = RunState::replay(&records).ok()??;
    // The directory's name is the node's word; the record is the run's own.
    let from = kept.nodes.into_iter().collect();
    (state.key() == kept.key).then(|| Rebuilt {
        state,
        text,
        records: records.len() as u64,
        from,
        silent: Vec::new(),
        under_way: Vec::new(),
    })
}

/// Makes a run of the nodes' a run of this machine, to be gone on with.
pub(super) async fn adopt(
    context: &Context,
    files: &Files,
    cluster: &ClusterDir,
    run: &RunId,
) -> Result<RunDir, Refusal> {
    let rebuilt = rebuild(context, files, Some(run)).await?;
    let dir = cluster.adopt(run, &rebuilt.text)?;
    let (mut journal, _) = dir.open_journal()?;
    let base =
        files.loaded.procedure_source.path().parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let adopted =
        Event::Adopted { from: rebuilt.from.clone(), records: rebuilt.records, base, by: context.by.clone() };
    journal.append(&adopted, Timestamp::now())?;
    let face = &context.style.err;
    let text = provenance(&rebuilt);
    write::to_stderr(&format!("{}\n", Line::new(face).tone(Tone::Wait, "note: ").text(&text).paint(face)));
    Ok(dir)
}

/// What is under way, a line each.
pub(super) fn under_way_lines(rebuilt: &Rebuilt) -> Vec<String> {
    let line = |step: &UnderWay| {
        let undo = if step.undo { "the undo of " } else { "" };
        let stands = match &step.standing {
            Ok(standing) => words::standing(*standing),
            Err(failure) => failure.message.clone(),
        };
        format!("{undo}{}: {stands}", step.key)
    };
    rebuilt.under_way.iter().map(line).collect()
}

/// Where a rebuilt journal comes from, and what it cannot hold.
pub(super) fn provenance(rebuilt: &Rebuilt) -> String {
    let list = |nodes: &[NodeName]| words::list(&nodes.iter().map(NodeName::as_str).collect::<Vec<_>>());
    let mut text = format!(
        "the journal of run {} is rebuilt from {} on {}; what came after the last step that was begun is asked of the \
         nodes, or anew",
        rebuilt.state.run,
        words::count(usize::try_from(rebuilt.records).unwrap_or(usize::MAX), "record"),
        list(&rebuilt.from),
    );
    if !rebuilt.silent.is_empty() {
        text.push_str("; not asked: ");
        text.push_str(&list(&rebuilt.silent));
    }
    text
}
