//! `rollgate check`: lints the files, then reaches every node. Changes nothing.

use std::sync::Arc;

use serde_json::json;

use super::context::Context;
use super::files::Files;
use super::invocation::{request, secrets};
use super::refusal::{Refusal, finding};
use super::start::imagined;
use crate::cli::Check;
use crate::config::{Loaded, Mistake};
use crate::engine::pool::Pool;
use crate::engine::{NodeSurvey, Screen, Site, survey};
use crate::exit::Exit;
use crate::model::event::Goal;
use crate::model::name::NodeName;
use crate::transport::ReadOnlyConnector;
use crate::ui::document::{self, ROLLGATE, VERSION};
use crate::ui::error;
use crate::ui::ink::{Line, Sign, Tone, paint, wrap};
use crate::ui::next::{self, Next};
use crate::ui::status::LockView;
use crate::ui::terminal::{Face, Format};
use crate::ui::words;
use crate::ui::write;

pub(super) fn run(context: &Context, flags: &Check) -> Result<Exit, Refusal> {
    // The files can be written elsewhere than where the tools are: in an editor, in CI.
    let files = if flags.syntax_only { Files::read(context)? } else { Files::load(context)? };
    let (mistakes, warnings) = files.findings();
    if let Some(mistakes) = mistakes {
        return Err(Refusal::from(mistakes).warnings(warnings));
    }
    let is_json = context.style.format == Format::Json;
    if !is_json {
        let face = &context.style.out;
        let mut lines = vec![heading(face, &files)];
        for warning in &warnings {
            lines.extend(error::rendered(face, &warning.warning(!face.unicode), &[]));
        }
        super::print(&paint(face, &lines))?;
    }
    let found = if flags.syntax_only { None } else { Some(Found::of(context, &files)?) };
    let exit = found.as_ref().map_or(Exit::Done, Found::exit);
    let next = match exit {
        Exit::Done => Vec::new(),
        _ => vec![context.command(&["check"], "look again, once that is put right")],
    };
    if is_json {
        super::print_document(&document(&files, &warnings, found.as_ref(), exit, &next))?;
    } else if let Some(found) = &found {
        super::print(&paint(&context.style.out, &found.lines(&context.style.out)))?;
    }
    if exit != Exit::Done {
        let err = &context.style.err;
        write::to_stderr(&paint(err, &next::lines(err, &next)));
    }
    Ok(exit)
}

fn heading(face: &Face, files: &Files) -> Line {
    let loaded = &files.loaded;
    let nodes = match loaded.inventory.nodes.len() {
        0 => "no nodes".to_owned(),
        nodes => words::count(nodes, "node"),
    };
    let phases = words::count(loaded.procedure.phases.len(), "phase");
    Line::of(face, &format!("{}: {nodes}, {phases}", loaded.inventory.cluster))
}

/// What the nodes said.
struct Found {
    answers: Vec<NodeSurvey>,
    lock: Option<LockView>,
}

impl Found {
    fn of(context: &Context, files: &Files) -> Result<Self, Refusal> {
        let answers = Context::runtime()?.block_on(reach(context, files))?;
        let lock = held(files, &answers)?;
        Ok(Self { answers, lock })
    }

    fn exit(&self) -> Exit {
        self.answers.iter().fold(Exit::Done, |exit, answer| match (&answer.unreachable, &answer.version) {
            (Some(_), _) => exit.worst(Exit::Unreachable),
            (None, Some(Err(_))) => exit.worst(Exit::CheckFailed),
            (None, _) => exit,
        })
    }

    fn lines(&self, face: &Face) -> Vec<Line> {
        let mut lines = Vec::new();
        for answer in &self.answers {
            let (sign, text) = words_of(answer);
            let line = Line::new(face)
                .tone(sign.tone(), sign.on(face))
                .text(" ")
                .tone(Tone::Strong, answer.node.as_str());
            lines.push(line.text("  ").text(&text).fit(face));
            if let Some(help) = answer.unreachable.as_ref().and_then(|failure| failure.help.as_ref()) {
                lines.extend(wrap(face, Line::of(face, "    "), Tone::Dim, help));
            }
        }
        if let Some(lock) = &self.lock {
            let text = format!("{} is {}", lock.node, lock.fence.sentence());
            lines.push(Line::new(face).tone(Tone::Wait, &text).fit(face));
        }
        lines
    }
}

/// The whole of it for a program. Files that cannot be used are an error and have its document.
fn document(
    files: &Files,
    warnings: &[Mistake],
    found: Option<&Found>,
    exit: Exit,
    next: &[Next],
) -> serde_json::Value {
    let Loaded { inventory, procedure, inventory_source, procedure_source } = &files.loaded;
    let node = |answer: &NodeSurvey| {
        let (version, unreadable) = match &answer.version {
            Some(Ok(version)) => (Some(version), None),
            Some(Err(failure)) => (None, Some(failure)),
            None => (None, None),
        };
        let failure = answer.unreachable.as_ref().or(unreadable);
        json!({
            "name": answer.node,
            "reachable": answer.unreachable.is_none(),
            "os": answer.os,
            "version": version,
            "staged": answer.staged,
            "error": failure.map(|failure| &failure.message),
            "help": failure.and_then(|failure| failure.help.as_ref()),
        })
    };
    json!({
        "format": "rollgate/check",
        "format_version": VERSION,
        "rollgate": ROLLGATE,
        "cluster": inventory.cluster,
        "inventory": { "path": inventory_source.path(), "sha256": inventory_source.sha256() },
        "procedure": { "path": procedure_source.path(), "sha256": procedure_source.sha256() },
        "phases": procedure.phases.len(),
        "exit_code": exit.number(),
        "findings": warnings.iter().map(|warning| finding("warning", warning)).collect::<Vec<_>>(),
        "nodes": found.map(|found| found.answers.iter().map(node).collect::<Vec<_>>()),
        "lock": found.and_then(|found| found.lock.as_ref()).map(LockView::document),
        "next": document::next(next),
    })
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
    let secrets = secrets(context, &plan)?;
    let pool = Pool::new(
        ReadOnlyConnector::new(Arc::new(context.dialer(&secrets).asking_anew())),
        &plan,
        Context::state_dir()?.path(),
        &secrets,
        silent,
    );
    let state = imagined(&plan, &request(context, Goal::Finished))?;
    let site = Site::new(Arc::clone(&plan), pool, secrets, None);
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
