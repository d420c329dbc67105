//! `rollgate start --dry-run`: what would run, what is done already, what cannot be known. It is given
//! connections that can only read, takes no lock, and writes nothing.

use std::sync::Arc;

use super::context::Context;
use super::invocation::secrets;
use super::refusal::Refusal;
use super::runs::trusted;
use super::start::imagined;
use super::window::prospect_of;
use crate::cli::Start;
use crate::engine::dry_run::forecast;
use crate::engine::pool::Pool;
use crate::engine::{Screen, Site};
use crate::exit::Exit;
use crate::journal::ClusterDir;
use crate::model::event::Request;
use crate::model::forecast::{Forecast, Outlook, TurnForecast};
use crate::model::name::NodeName;
use crate::model::plan::{Plan, Section};
use crate::transport::{Dialer, ReadOnlyConnector};
use crate::ui::escape;
use crate::ui::ink::paint;
use crate::ui::moment::Moment;
use crate::ui::narrate::Loudness;
use crate::ui::plan::{DryRun, Prospect, dry_run};
use crate::ui::terminal::Format;

pub(super) async fn run(
    context: &Context,
    flags: &Start,
    cluster: &ClusterDir,
    plan: Plan,
    request: Request,
) -> Result<Exit, Refusal> {
    let plan = Arc::new(plan);
    let silent: Screen = Arc::new(|_| true);
    let pool = Pool::new(
        ReadOnlyConnector::new(Arc::new(Dialer::new())),
        &plan,
        Context::state_dir()?.path(),
        silent,
    );
    let site = Site::new(Arc::clone(&plan), pool, secrets(context, &plan)?, None);
    let state = imagined(&plan, &request)?;
    let moment = Moment::current();
    let window = prospect_of(&state, moment.now)?;
    let found = forecast(&site, state)
        .await
        .map_err(|illegal| Refusal::new(Exit::Broken, format!("this is a defect of rollgate: {illegal}")))?;
    let mut refused: Vec<String> = found.refused.iter().map(|stop| stop.why.clone()).collect();
    let mut exit = match found.halt() {
        Some(halt) => Exit::of(halt),
        None if flags.detailed_exitcode && found.is_pending() => Exit::Pending,
        None => Exit::Done,
    };
    if let Some(latest) = trusted(cluster)?
        && latest.state.is_open()
        && latest.state.has_started()
    {
        refused.push(format!("run {} is unfinished; start would refuse until it is ended", latest.state.run));
        exit = exit.worst(Exit::Held);
    }
    if context.loudness == Loudness::Quiet && exit == Exit::Done {
        return Ok(exit);
    }
    let prospects = prospects(&found);
    let next = match exit {
        Exit::Done | Exit::Pending => vec![context.command(&["start"], "do it")],
        _ => vec![context.command(&["start", "--dry-run"], "look again")],
    };
    let report = DryRun {
        plan: &plan,
        prospects: &prospects,
        refused: &refused,
        window: window.as_ref(),
        exit_code: exit.number(),
        next: &next,
    };
    let object = window.as_ref().map(|window| window.object(&moment));
    let text = match context.style.format {
        Format::Json => {
            format!("{}\n", escape::json(&format!("{:#}", document(&plan, &found, object.as_ref(), exit))))
        }
        Format::Human | Format::Plain => {
            paint(&context.style.out, &dry_run(&context.style.out, &moment, &report))
        }
    };
    super::print(&text)?;
    Ok(exit)
}

/// A node's turns as one line of the report.
fn prospects(found: &Forecast) -> Vec<(NodeName, Prospect)> {
    let mut nodes: Vec<(NodeName, Prospect)> = Vec::new();
    for turn in &found.turns {
        let at = nodes.iter().position(|(node, _)| *node == turn.node).unwrap_or_else(|| {
            nodes.push((turn.node.clone(), Prospect::default()));
            nodes.len() - 1
        });
        add(&mut nodes[at].1, turn);
    }
    nodes
}

fn add(prospect: &mut Prospect, turn: &TurnForecast) {
    prospect.version = prospect.version.take().or_else(|| turn.version.clone());
    for step in &turn.steps {
        match (&step.outlook, step.section) {
            (Outlook::NotNeeded { why }, Section::Stage) => {
                prospect.staged = Some(true);
                prospect.done_already.push(format!("{}: {why}", step.label));
            }
            (Outlook::WouldRun, Section::Stage) => prospect.staged = Some(false),
            (Outlook::NotNeeded { why }, _) => prospect.done_already.push(format!("{}: {why}", step.label)),
            (Outlook::CannotKnow { why }, _) => prospect.unknown.push(format!("{}: {why}", step.label)),
            (Outlook::WouldAsk | Outlook::WouldWait(_), _) => {
                prospect.gates.push((step.label.clone(), step.readings.clone()));
            }
            (Outlook::Holds | Outlook::WouldStop(_), _) if !step.readings.is_empty() => {
                prospect.prechecks.extend(step.readings.clone());
            }
            (Outlook::WouldStop(failure), _) => prospect.error = Some(failure.message.clone()),
            (Outlook::WouldRun | Outlook::Holds, _) => {}
        }
    }
}

fn document(
    plan: &Plan,
    found: &Forecast,
    window: Option<&serde_json::Value>,
    exit: Exit,
) -> serde_json::Value {
    let steps = |turn: &TurnForecast| -> Vec<serde_json::Value> {
        turn.steps
            .iter()
            .map(|step| {
                let (outlook, why) = word(&step.outlook);
                serde_json::json!({
                    "key": step.key, "label": step.label, "section": step.section.to_string(),
                    "outlook": outlook, "why": why, "readings": step.readings,
                })
            })
            .collect()
    };
    let turns: Vec<serde_json::Value> = found
        .turns
        .iter()
        .map(|turn| {
            serde_json::json!({
                "phase": turn.phase, "node": turn.node, "version": turn.version, "steps": steps(turn),
            })
        })
        .collect();
    serde_json::json!({
        "format": "rollgate/dry-run", "format_version": "1.0", "rollgate": env!("CARGO_PKG_VERSION"),
        "cluster": plan.cluster, "to": plan.to, "window": window, "exit_code": exit.number(),
        "refused": found.refused.as_ref().map(|stop| &stop.why), "turns": turns,
    })
}

fn word(outlook: &Outlook) -> (&'static str, Option<&str>) {
    match outlook {
        Outlook::WouldRun => ("would_run", None),
        Outlook::NotNeeded { why } => ("not_needed", Some(why)),
        Outlook::Holds => ("holds", None),
        Outlook::WouldStop(failure) => ("would_stop", Some(&failure.message)),
        Outlook::WouldAsk => ("would_ask", None),
        Outlook::WouldWait(failure) => ("would_wait", Some(&failure.message)),
        Outlook::CannotKnow { why } => ("cannot_know", Some(why)),
    }
}
