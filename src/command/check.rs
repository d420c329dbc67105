//! `rollgate check`: lints the files, then reaches every node. Changes nothing.

use std::sync::Arc;

use super::context::Context;
use super::files::Files;
use super::invocation::{request, secrets};
use super::refusal::Refusal;
use super::start::imagined;
use crate::cli::Check;
use crate::engine::pool::Pool;
use crate::engine::{NodeSurvey, Screen, Site, survey};
use crate::exit::Exit;
use crate::model::event::Goal;
use crate::model::name::NodeName;
use crate::transport::{Dialer, ReadOnlyConnector};
use crate::ui::error;
use crate::ui::ink::{Line, Sign, Tone, paint};
use crate::ui::next;
use crate::ui::status::LockView;
use crate::ui::words;
use crate::ui::write;

pub(super) fn run(context: &Context, flags: &Check) -> Result<Exit, Refusal> {
    // The files can be looked at where the programs of the procedure are not.
    let files = if flags.syntax_only { Files::read(context)? } else { Files::load(context)? };
    let warnings = files.lint()?;
    let loaded = &files.loaded;
    let face = &context.style.out;
    let nodes = loaded.inventory.nodes.len();
    let mut lines = vec![Line::of(
        face,
        &format!(
            "{}: {}, {}",
            loaded.inventory.cluster,
            words::count(nodes, "node"),
            words::count(loaded.procedure.phases.len(), "phase"),
        ),
    )];
    super::print(&paint(face, &lines))?;
    for warning in &warnings {
        let lines = error::rendered(face, &warning.warning(!face.unicode), &[]);
        super::print(&paint(face, &lines))?;
    }
    if flags.syntax_only {
        return Ok(Exit::Done);
    }
    lines.clear();
    let answers = Context::runtime()?.block_on(reach(context, &files))?;
    let mut exit = Exit::Done;
    for answer in &answers {
        let (sign, text) = words_of(answer);
        if sign == Sign::Failed {
            exit =
                exit.worst(if answer.unreachable.is_some() { Exit::Unreachable } else { Exit::CheckFailed });
        }
        let line = Line::new(face)
            .tone(sign.tone(), sign.on(face))
            .text(" ")
            .tone(Tone::Strong, answer.node.as_str());
        lines.push(line.text("  ").text(&text).fit(face));
        if let Some(help) = answer.unreachable.as_ref().and_then(|failure| failure.help.as_ref()) {
            lines.push(Line::of(face, "    ").tone(Tone::Dim, help).fit(face));
        }
    }
    if let Some(lock) = held(&files, &answers)? {
        let text = format!("{} is {}", lock.node, lock.fence.sentence());
        lines.push(Line::new(face).tone(Tone::Wait, &text).fit(face));
    }
    super::print(&paint(face, &lines))?;
    if exit != Exit::Done {
        let err = &context.style.err;
        let again = context.command(&["check"], "look again, once that is put right");
        write::to_stderr(&paint(err, &next::lines(err, &[again])));
    }
    Ok(exit)
}

/// The lock that would keep a run of this machine out.
fn held(files: &Files, answers: &[NodeSurvey]) -> Result<Option<LockView>, Refusal> {
    let seat = Context::state_dir()?.cluster(&files.loaded.inventory.cluster).known_seat()?;
    let locks = answers.iter().filter_map(|answer| Some((&answer.node, answer.lock.as_ref()?)));
    Ok(LockView::of(locks, seat.as_deref()).filter(|lock| !lock.ours))
}

async fn reach(context: &Context, files: &Files) -> Result<Vec<NodeSurvey>, Refusal> {
    let plan = Arc::new(files.plan().await?);
    let silent: Screen = Arc::new(|_| true);
    let pool = Pool::new(
        ReadOnlyConnector::new(Arc::new(Dialer::new())),
        &plan,
        Context::state_dir()?.path(),
        silent,
    );
    let state = imagined(&plan, &request(context, Goal::Finished))?;
    let site = Site::new(Arc::clone(&plan), pool, secrets(context, &plan)?, None);
    let nodes: Vec<NodeName> = plan.nodes.iter().map(|node| node.name.clone()).collect();
    Ok(survey(&site, &state, &nodes).await)
}

fn words_of(answer: &NodeSurvey) -> (Sign, String) {
    if let Some(failure) = &answer.unreachable {
        return (Sign::Failed, failure.message.clone());
    }
    let os = answer.os.clone().unwrap_or_else(|| "reachable".to_owned());
    match &answer.version {
        None => (Sign::Done, os),
        Some(Ok(version)) => (Sign::Done, format!("{os}, runs {version}")),
        Some(Err(failure)) => (Sign::Failed, failure.message.clone()),
    }
}
