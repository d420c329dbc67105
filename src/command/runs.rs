//! The runs of a cluster as this machine has recorded them.

use super::context::Context;
use super::refusal::Refusal;
use crate::exit::Exit;
use crate::journal::{ClusterDir, FileJournal, JournalError, RunDir};
use crate::model::event::{Record, RunEnd, RunId};
use crate::model::state::RunState;

/// A run that was recorded.
pub(super) struct Recorded {
    pub(super) dir: RunDir,
    pub(super) state: RunState,
    /// The records that it was folded from.
    pub(super) records: Vec<Record>,
    /// Why it may be shown and nothing may follow from it: its journal is damaged, or of a newer rollgate.
    pub(super) flaw: Option<JournalError>,
}

/// The latest run, or the one that is named; only read. A run that died before its first record was durable
/// never began, so the one before it is the latest.
pub(super) fn recorded(cluster: &ClusterDir, run: Option<&RunId>) -> Result<Option<Recorded>, Refusal> {
    let dirs = match run {
        Some(run) => vec![cluster.run(run)?],
        None => cluster.runs()?,
    };
    for dir in dirs.into_iter().rev() {
        let contents = dir.read_journal()?;
        let flaw = contents.flaw(&dir.journal_path());
        let state = RunState::replay(&contents.records).map_err(|illegal| {
            Refusal::new(Exit::Broken, format!("the journal of run {}: {illegal}", dir.id()))
        })?;
        match (state, flaw) {
            (Some(state), flaw) => {
                let records = contents.records;
                return Ok(Some(Recorded { dir, state, records, flaw }));
            }
            (None, Some(flaw)) => return Err(flaw.into()),
            (None, None) => {}
        }
    }
    Ok(None)
}

/// The latest run, or the one that is named, for whoever is about to act on it. Behind damage there may be anything, so where it stands is
/// not known, and neither going on with it nor beginning another follows.
pub(super) fn trusted(cluster: &ClusterDir, run: Option<&RunId>) -> Result<Option<Recorded>, Refusal> {
    match recorded(cluster, run)? {
        Some(Recorded { flaw: Some(flaw), .. }) => Err(Refusal::from(flaw).standing("nothing was done")),
        latest => Ok(latest),
    }
}

/// Opens a run to go on with it.
pub(super) fn reopen(dir: &RunDir) -> Result<(FileJournal, RunState), Refusal> {
    let (journal, contents) = dir.open_journal()?;
    let state = RunState::replay(&contents.records)
        .map_err(|illegal| Refusal::new(Exit::Broken, format!("the journal of run {}: {illegal}", dir.id())))?
        .ok_or_else(|| Refusal::new(Exit::Broken, format!("the journal of run {} is empty", dir.id())))?;
    Ok((journal, state))
}

/// The code that the end of an invocation stands for.
pub(super) fn exit_of(end: &RunEnd) -> Exit {
    match end {
        RunEnd::Staged | RunEnd::Finished | RunEnd::Unstaged | RunEnd::RolledBack => Exit::Done,
        RunEnd::Stopped(stop) => Exit::of(stop.halt),
    }
}

/// Why a run that is in the middle stands in the way.
pub(super) fn unfinished(context: &Context, state: &RunState) -> Refusal {
    let refusal =
        Refusal::new(Exit::Held, format!("run {} of {} is unfinished", state.run, state.plan.cluster))
            .evidence(format!(
                "{}, begun by {} on {}",
                state.status().word(),
                state.opened.by.user,
                state.opened.by.host
            ))
            .next(context.command(&["start", "--resume"], "go on with it"))
            .next(context.command(&["status"], "where it stands"))
            .next(context.command(&["unstage"], "end it: undo what is temporary, remove what was staged"));
    refusal.standing("nothing was done")
}
