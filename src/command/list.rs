//! `rollgate status --list`: every run of the cluster that this machine has recorded. Only read.

use super::context::Context;
use super::refusal::Refusal;
use super::runs::exit_of;
use crate::exit::Exit;
use crate::journal::{ClusterDir, Holder, JournalError, RunDir};
use crate::model::event::RunEnd;
use crate::model::name::ClusterName;
use crate::model::pace;
use crate::model::state::RunState;
use crate::ui::document;
use crate::ui::ink::paint;
use crate::ui::moment::Moment;
use crate::ui::runs::{RunRow, document, human, plain};
use crate::ui::status::{Circumstances, StatusView};
use crate::ui::terminal::Format;

pub(super) fn run(context: &Context, name: &ClusterName, cluster: &ClusterDir) -> Result<Exit, Refusal> {
    let holder = cluster.holder()?;
    let runs = cluster.runs()?.into_iter().rev();
    let moment = Moment::current();
    let rows: Vec<RunRow> = runs.filter_map(|dir| row(context, &moment, &dir, holder.as_ref())).collect();
    let face = &context.style.out;
    let next = match rows.first() {
        None => context.command(&["stage"], "copy the new version; nothing restarts"),
        Some(_) => context.command(&["status"], "the latest in full"),
    };
    let text = match context.style.format {
        Format::Json => document::text(&document(&moment, name, &rows)),
        Format::Human => paint(face, &human(face, &moment, name, &rows, &[next])),
        Format::Plain => paint(face, &plain(&moment, &rows)),
    };
    super::print(&text)
}

/// A run's row; `None` for one that was killed before its first record and so never began. What is wrong with one
/// run says nothing about the others.
fn row(context: &Context, moment: &Moment, dir: &RunDir, holder: Option<&Holder>) -> Option<RunRow> {
    let id = dir.id().to_string();
    let unreadable = |why: String| {
        let flaw = Some(("unreadable", why));
        Some(RunRow { id: id.clone(), view: None, at_work: false, exit_code: None, flaw })
    };
    let contents = match dir.read_journal() {
        Ok(contents) => contents,
        Err(error) => return unreadable(error.to_string()),
    };
    let flaw = contents.flaw(&dir.journal_path()).map(|flaw| {
        let word = if matches!(flaw, JournalError::Newer { .. }) { "newer" } else { "damaged" };
        (word, flaw.to_string())
    });
    let state = match RunState::replay(&contents.records) {
        Ok(state) => state,
        Err(illegal) => return unreadable(format!("the journal of run {id}: {illegal}")),
    };
    if state.is_none() && flaw.is_none() {
        return None;
    }
    let at_work = state.as_ref().is_some_and(|state| {
        state.end.is_none() && holder.is_some_and(|holder| holder.run.as_ref() == Some(dir.id()))
    });
    let exit_code = match state.as_ref().and_then(|state| state.end.as_ref()) {
        Some(end @ RunEnd::Stopped(_)) => Some(exit_of(end).number()),
        _ => None,
    };
    let around = Circumstances {
        at_work,
        left: state.as_ref().and_then(|state| pace::left(state, moment.now)),
        directory: Some(dir.path().to_owned()),
        program: context.program(),
        exit_code,
        ..Circumstances::default()
    };
    let view = state.map(|state| StatusView::of_run(&state, &around));
    Some(RunRow { id, view, at_work, exit_code, flaw })
}
