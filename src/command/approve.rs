//! `rollgate approve`: answers a question of the run at work, from any process of the same user on its machine.
//!
//! The run itself takes the answer, by its own rules; what came of it is read from the journal.

mod choice;
mod outcome;

use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Duration;

use serde_json::json;

use super::context::Context;
use super::files::Files;
use super::refusal::Refusal;
use super::runs::{Recorded, trusted};
use super::start::confirmed;
use crate::cli::Approve;
use crate::exit::Exit;
use crate::journal::RunDir;
use crate::model::event::{Approval, Decision, Event, Reception};
use crate::model::state::{Pending, RunState};
use crate::ui::approve::title_of;
use crate::ui::document::{self, ROLLGATE, VERSION};
use crate::ui::escape;
use crate::ui::gate::{self, Watch};
use crate::ui::ink::{Line, Tone, paint};
use crate::ui::next::{self, Next};
use crate::ui::run;
use crate::ui::terminal::Format;
use crate::ui::write;
use outcome::{CameOf, follow};

/// How long the run may take to say whether an answer counts.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(context: &Context, flags: &Approve) -> Result<Exit, Refusal> {
    let files = Files::read(context)?;
    let name = files.loaded.inventory.cluster.clone();
    confirmed(context, name.as_str(), flags.confirm.as_deref())?;
    if let Some(node) = &flags.node {
        files.node(node)?;
    }
    let cluster = Context::state_dir()?.cluster(&name);
    // The run at work need not be the latest: one that was adopted may be older.
    let at_work = cluster.holder()?.and_then(|holder| holder.run);
    let latest = match &at_work {
        Some(run) => trusted(&cluster, Some(run))?.filter(|latest| latest.state.end.is_none()),
        None => None,
    };
    let Some(latest) = latest else {
        return Err(Refusal::input(format!("nothing waits for an answer: no run of {name} is at work here"))
            .next(context.command(&["status"], "where it stands"))
            .standing("nothing was done"));
    };
    let pending = choice::choose(context, &latest.state, flags)?;
    let decision = choice::decide(context, &latest.state, &pending, flags)?;
    if decision == Decision::Yes && flags.reason.is_some() {
        let face = &context.style.err;
        let text = format!("{} takes a plain yes: no reason is recorded", title_of(&latest.state, &pending));
        write::to_stderr(&format!(
            "{}\n",
            Line::new(face).tone(Tone::Wait, "note: ").text(&text).paint(face)
        ));
    }
    if decision != Decision::No {
        show(context, &latest.state, &pending);
    }
    let approval = Approval {
        number: pending.number,
        key: pending.question.key().clone(),
        decision,
        typed: flags.confirm.clone(),
        by: context.by.clone(),
    };
    match send(&latest.dir, &approval)? {
        Some(Reception::Taken { after }) => {
            let came_of = follow(&cluster, &latest.dir, &approval, after)?;
            tell(context, &latest.state, &pending, &came_of)
        }
        Some(Reception::Unfit { why }) => Err(Refusal::input(format!("that is no answer to it: {why}"))
            .next(context.command(&["status"], "what is asked, and how it is answered"))
            .standing("it waits on")),
        Some(Reception::Late) | None => Err(late(context, &latest, &approval)),
    }
}

/// What the answer is about, as it was read last.
fn show(context: &Context, state: &RunState, pending: &Pending) {
    let key = pending.question.key();
    let face = &context.style.err;
    let mut watch = Watch::default();
    watch.read(&state.readings_of(key));
    write::to_stderr(&paint(face, &gate::reading_lines(face, &watch, &key.node)));
}

/// Takes the answer to the run; `None` when nobody is there any more.
fn send(dir: &RunDir, approval: &Approval) -> Result<Option<Reception>, Refusal> {
    let Some(mut stream) = dir.knock()? else { return Ok(None) };
    let text = serde_json::to_string(approval).expect("an answer is made of plain data");
    let mut line = String::new();
    let spoken = stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| writeln!(stream, "{text}"))
        .and_then(|()| BufReader::new(&stream).read_line(&mut line));
    let broken = |why: String| {
        Refusal::new(Exit::Broken, format!("the run did not say whether the answer counts: {why}"))
            .standing("the journal tells")
    };
    match spoken {
        Ok(0) => Ok(None),
        Ok(_) => serde_json::from_str(&line).map(Some).map_err(|error| broken(error.to_string())),
        Err(error) => Err(broken(error.to_string())),
    }
}

/// Somebody else was faster, or the gate closed, or the run went on.
fn late(context: &Context, latest: &Recorded, approval: &Approval) -> Refusal {
    let title = run::title_of(&latest.state, &approval.key);
    let refusal = Refusal::input(format!("{title} no longer waits for this answer"));
    let records = latest.dir.read_journal().map(|contents| contents.records).unwrap_or_default();
    let answered = records.iter().rev().find_map(|record| match &record.event {
        Event::Answered { question, by, .. } if *question.key() == approval.key => Some(by.clone()),
        _ => None,
    });
    let refusal = match answered {
        Some(by) => refusal.evidence(format!("{} on {} has answered it", by.user, by.host)),
        None => refusal.help("it closed again, or was asked anew, or the run has stopped"),
    };
    refusal.next(context.command(&["status"], "what waits now")).standing("nothing was done")
}

/// Says what came of it, and ends with the code that goes with that.
fn tell(context: &Context, state: &RunState, asked: &Pending, came_of: &CameOf) -> Result<Exit, Refusal> {
    let (title, key) = (title_of(state, asked), asked.question.key());
    let place = if key.node.is_operator() { title } else { format!("{}: {title}", key.node) };
    let sentence = came_of.sentence(asked, state.stop.is_some());
    let nexts: Vec<Next> = match came_of {
        CameOf::Passed | CameOf::Taken => Vec::new(),
        CameOf::ClosedAgain => vec![context.command(&["status", "--watch"], "look on until it opens")],
        _ => vec![context.command(&["status"], "where it stands, and what can be done")],
    };
    if context.style.format == Format::Json {
        let document = json!({
            "format": "rollgate/approval",
            "format_version": VERSION,
            "rollgate": ROLLGATE,
            "cluster": state.plan.cluster,
            "run": state.run,
            "node": key.node,
            "step": key.step,
            "outcome": came_of.word(),
            "text": sentence,
            "next": document::next(&nexts),
        });
        super::print(&document::text(&document))?;
    } else {
        let sentence = format!("{place} {sentence}");
        super::print(&format!("{}\n", escape::line(sentence.as_bytes(), context.style.out.unicode)))?;
        let face = &context.style.err;
        write::to_stderr(&paint(face, &next::lines(face, &nexts)));
    }
    Ok(came_of.exit())
}
