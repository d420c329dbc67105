//! `rollgate start`: shows the plan, has it confirmed, executes it; `--dry-run` reads everything and
//! changes nothing; `--resume` goes on.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use super::adopt::adopt;
use super::context::Context;
use super::detach::carry_out;
use super::files::Files;
use super::invocation::{Begin, Known, request, secrets};
use super::refusal::{Refusal, suggested};
use super::runs::{Recorded, recorded, trusted, unfinished};
use super::stage::is_same;
use super::window;
use crate::cli::{Consent, Start};
use crate::engine::pool::Pool;
use crate::engine::secrets::Secrets;
use crate::engine::{Screen, Site, survey};
use crate::exit::Exit;
use crate::journal::ClusterDir;
use crate::model::event::{Decided, Event, Goal, Record, Request, RunEnd, RunId, subject};
use crate::model::name::{NodeName, StepName};
use crate::model::plan::Plan;
use crate::model::state::RunState;
use crate::model::window::Window;
use crate::transport::{Keeping, ReadOnlyConnector};
use crate::ui::ink::{Line, Tone, paint, wrap};
use crate::ui::moment::Moment;
use crate::ui::plan::{self, Prospect};
use crate::ui::prompt::{self, Call};
use crate::ui::write;

/// What `--override` calls the window.
const WINDOW: &str = "window";

pub(super) fn run(context: &Context, flags: &Start) -> Result<Exit, Refusal> {
    let files = Files::load(context)?;
    files.lint_for_use(context)?;
    let limit = files.limit(&flags.limit.limit)?;
    if let Some(node) = &flags.pause_after {
        files.node(node)?;
    }
    known_gates(&files, flags)?;
    confirmed(context, files.loaded.inventory.cluster.as_str(), flags.consent.confirm.as_deref())?;
    Context::runtime()?.block_on(async {
        let cluster = Context::state_dir()?.cluster(&files.loaded.inventory.cluster);
        let mut request = wanted(context, flags, limit);
        request.insecure_files.clone_from(&files.insecure);
        if flags.dry_run {
            let plan = files.plan().await?;
            request.earlier = window::earlier(&cluster, &plan);
            return super::dry_run::run(context, flags, &cluster, plan, request).await;
        }
        let (lock, terms) = context.lock(&cluster, "start", &flags.lock).await?;
        let latest = match &flags.adopt {
            Some(run) => {
                let dir = adopt(context, &files, &cluster, run).await?;
                recorded(&cluster, Some(dir.id()))?
            }
            None => trusted(&cluster, None)?,
        };
        // What was taken over stays so, whatever keeps the run from going on.
        let adopted = |refusal: Refusal| match &flags.adopt {
            Some(run) => refusal.standing(format!("run {run} is this machine's now; nothing else was done")),
            None => refusal,
        };
        let (begin, plan) = match choose(context, flags, &files, latest).await.map_err(adopted)? {
            Chosen::Nothing(why) => {
                context.say(&why);
                return Ok(Exit::Done);
            }
            Chosen::Begin(begin, plan) => (begin, plan),
        };
        let mut request = match &begin {
            Begin::Go(dir) => going_on(&cluster, dir.id(), request)?,
            Begin::New(_) => request,
        };
        request.earlier = window::earlier(&cluster, &plan);
        let state = window::about_to_begin(&cluster, &begin, &plan, &request)?;
        window::refuse_outside(context, &state, flags.adopt.is_some()).map_err(adopted)?;
        let known = if flags.resume { None } else { Some(ask(context, &state, &flags.consent).await?) };
        request.lock = terms;
        carry_out(context, &cluster, lock, begin, request, flags.detach, known).await
    })
}

/// `--confirm` names another cluster: a slip that must not go unnoticed.
pub(super) fn confirmed(context: &Context, cluster: &str, confirm: Option<&str>) -> Result<(), Refusal> {
    match confirm {
        Some(name) if name != cluster => {
            Err(Refusal::input(format!("--confirm says `{name}`, and the cluster is `{cluster}`"))
                .help("it must be the cluster's name; perhaps -i names another inventory than you mean")
                .next(context.command(&["status"], "which cluster this is"))
                .standing("nothing was done"))
        }
        _ => Ok(()),
    }
}

/// `--override` for a gate that does not exist would be an answer that nobody gave.
fn known_gates(files: &Files, flags: &Start) -> Result<(), Refusal> {
    let gates: Vec<&str> = files.loaded.procedure.gates().map(StepName::as_str).collect();
    let has_window = !files.loaded.inventory.windows.is_empty();
    for asked in &flags.overrides {
        let is_gate = gates.contains(&asked.gate.as_str());
        let is_window = asked.gate.as_str() == WINDOW;
        if is_window && is_gate {
            return Err(Refusal::input(
                "--override window means the time window, and a gate is called so, too",
            )
            .help("give the gate another name")
            .standing("nothing was done"));
        }
        if !is_gate && !(is_window && (has_window || flags.resume)) {
            return Err(Refusal::input(format!("no gate is called `{}`", asked.gate))
                .help(suggested(asked.gate.as_str(), "gates and manual steps", &gates))
                .standing("nothing was done"));
        }
    }
    Ok(())
}

fn wanted(context: &Context, flags: &Start, limit: Option<Vec<NodeName>>) -> Request {
    let mut request = request(context, Goal::Finished);
    request.yes = flags.consent.yes;
    request.confirm.clone_from(&flags.consent.confirm);
    request.change.clone_from(&flags.consent.change);
    for asked in &flags.overrides {
        if asked.gate.as_str() == WINDOW {
            request.outside_window = Some(asked.reason.clone());
        } else {
            request.overrides.insert(asked.gate.clone(), asked.reason.clone());
        }
    }
    request.limit = limit;
    request.pause_after.clone_from(&flags.pause_after);
    request.gate_timeout = flags.gate_timeout;
    request.decisions.clone_from(&flags.decisions);
    request
}

enum Chosen {
    Begin(Begin, Arc<Plan>),
    Nothing(String),
}

/// Which run this is about.
async fn choose(
    context: &Context,
    flags: &Start,
    files: &Files,
    latest: Option<Recorded>,
) -> Result<Chosen, Refusal> {
    let Some(latest) = latest else {
        if flags.resume {
            return Err(nothing_to_resume(context));
        }
        let plan = files.plan().await?;
        return Ok(Chosen::Begin(Begin::New(Box::new(plan.clone())), Arc::new(plan)));
    };
    let run = latest.state.run.clone();
    if !latest.state.is_open() {
        if flags.resume && latest.state.end == Some(RunEnd::Finished) {
            return Ok(Chosen::Nothing(format!("run {run} is finished: nothing to do")));
        }
        if flags.resume {
            return Err(nothing_to_resume(context));
        }
        let plan = files.plan().await?;
        if latest.state.end == Some(RunEnd::Finished) && is_same(&plan, &latest.state) {
            let again = "after rollgate unstage, start does it again";
            return Ok(Chosen::Nothing(format!(
                "run {run} did just this and is finished: nothing to do ({again})"
            )));
        }
        return Ok(Chosen::Begin(Begin::New(Box::new(plan.clone())), Arc::new(plan)));
    }
    if flags.resume {
        decidable(context, flags, &latest.state)?;
        warn_if_changed(context, files, &latest.state);
        let plan = Arc::clone(&latest.state.plan);
        return Ok(Chosen::Begin(Begin::Go(latest.dir), plan));
    }
    if latest.state.has_started() {
        return Err(unfinished(context, &latest.state));
    }
    let plan = files.plan().await?;
    if !is_same(&plan, &latest.state) {
        return Err(Refusal::input(format!("the plan changed since run {run} was staged"))
            .evidence(difference(&plan, &latest.state.plan))
            .help("what was staged is what runs; stage again to freeze the new plan")
            .next(context.command(&["stage"], "freeze the new plan"))
            .standing("nothing was done"));
    }
    Ok(Chosen::Begin(Begin::Go(latest.dir), Arc::new(plan)))
}

/// A decision is about something that began and whose end nobody saw, and there is one for each.
fn decidable(context: &Context, flags: &Start, state: &RunState) -> Result<(), Refusal> {
    let open = state.undecided();
    let names: Vec<String> = open.iter().map(|(key, undo)| subject(key, *undo)).collect();
    for (place, decided) in flags.decisions.iter().enumerate() {
        let name = subject(&decided.key, decided.undo);
        if !open.contains(&(decided.key.clone(), decided.undo)) {
            let help = if names.is_empty() {
                format!("the end of every step of run {} is known", state.run)
            } else {
                format!("steps whose end nobody saw: {}", names.join(", "))
            };
            return Err(Refusal::input(format!("there is nothing to decide about `{name}`"))
                .help(help)
                .next(context.command(&["status"], "where everything stands"))
                .standing("nothing was done"));
        }
        let is_same = |other: &Decided| subject(&other.key, other.undo) == name;
        if flags.decisions[..place].iter().any(is_same) {
            return Err(Refusal::input(format!("--decide says two things of `{name}`"))
                .help("one --decide for each step")
                .next(context.command(&["status"], "where everything stands"))
                .standing("nothing was done"));
        }
    }
    Ok(())
}

fn nothing_to_resume(context: &Context) -> Refusal {
    Refusal::input("there is no unfinished run to go on with")
        .next(context.command(&["start"], "begin one"))
        .standing("nothing was done")
}

/// A resumed run executes the plan that was confirmed; edits since then do not reach it.
fn warn_if_changed(context: &Context, files: &Files, state: &RunState) {
    let loaded = &files.loaded;
    let sources = &state.plan.sources;
    let changed: Vec<String> = [
        (loaded.inventory_source.path(), loaded.inventory_source.sha256(), &sources.inventory_sha256),
        (loaded.procedure_source.path(), loaded.procedure_source.sha256(), &sources.procedure_sha256),
    ]
    .into_iter()
    .filter(|(_, now, then)| *now != then.as_str())
    .map(|(path, _, _)| path.display().to_string())
    .collect();
    if !changed.is_empty() {
        let face = &context.style.err;
        let text = format!(
            "{} changed since; run {} goes on with the plan as it was confirmed",
            changed.join(" and "),
            state.run
        );
        write::to_stderr(&format!(
            "{}\n",
            Line::new(face).tone(Tone::Wait, "note: ").text(&text).paint(face)
        ));
    }
}

/// What is not the same, in a few words.
fn difference(now: &Plan, then: &Plan) -> String {
    let mut parts = Vec::new();
    if now.sources.inventory_sha256 != then.sources.inventory_sha256 {
        parts.push(format!("{} was edited", now.sources.inventory.display()));
    }
    if now.sources.procedure_sha256 != then.sources.procedure_sha256 {
        parts.push(format!("{} was edited", now.sources.procedure.display()));
    }
    if parts.is_empty() {
        parts.extend(moved(&now.windows, &then.windows));
    }
    for artifact in &now.artifacts {
        if !then.artifacts.contains(artifact) {
            parts.push(format!("{} is another file", artifact.origin));
        }
    }
    if parts.is_empty() {
        "this rollgate makes another plan of the same files".to_owned()
    } else {
        parts.join("; ")
    }
}

/// A window without a zone means the clocks of the machine where the plan is made.
fn moved(now: &[Window], then: &[Window]) -> Option<String> {
    let (here, there) = now.iter().zip(then).find(|(here, there)| here.zone != there.zone)?;
    let name = |window: &Window| window.zone.clone().unwrap_or_else(|| "a zone without a name".to_owned());
    Some(format!(
        "the window is meant in {} here and in {} where it was staged: name one with `zone:`",
        name(here),
        name(there)
    ))
}

/// A run that goes on keeps what it was told before and is not told anew.
fn going_on(cluster: &ClusterDir, run: &RunId, mut request: Request) -> Result<Request, Refusal> {
    let Some(latest) = recorded(cluster, Some(run))? else { return Ok(request) };
    if request.change.is_none() {
        request.change.clone_from(&latest.state.opened.change);
    }
    // `start --resume` goes on with whatever was under way, a rollback too.
    if let Goal::RolledBack(turns) = &latest.state.request.goal
        && latest.state.end != Some(RunEnd::RolledBack)
    {
        request.goal = Goal::RolledBack(turns.clone());
    }
    Ok(request)
}

/// Shows the plan and has the cluster's name typed. No answer is a no. Gives what it took to read the nodes.
async fn ask(context: &Context, state: &RunState, consent: &Consent) -> Result<Known, Refusal> {
    let plan = &state.plan;
    let cluster = plan.cluster.to_string();
    if consent.confirm.is_none() && !context.style.interactive {
        return Err(Refusal::new(Exit::NoAnswer, "the plan must be confirmed, and there is no terminal")
            .help(format!("--confirm {cluster} agrees to it without one"))
            .next(context.command(&["start", "--yes", "--confirm", &cluster], "and pass gates as they open"))
            .next(context.command(&["start", "--dry-run"], "look first"))
            .standing("nothing was done"));
    }
    let secrets = secrets(context, plan)?;
    let connector = Arc::new(Keeping::new(Arc::new(context.dialer(&secrets))));
    let reading = ReadOnlyConnector::new(Arc::clone(&connector) as _);
    let prospects = prospects(reading, state, secrets.clone()).await?;
    let face = &context.style.err;
    let moment = Moment::current();
    let window = window::prospect_of(state, moment.now)?;
    let shown = plan::lines(face, &moment, plan, &prospects, window.as_ref());
    context.announce(consent.confirm.is_some(), &paint(face, &shown));
    if let Some((node, prospect)) = prospects.iter().find(|(_, prospect)| prospect.error.is_some()) {
        let why = prospect.error.clone().unwrap_or_default();
        return Err(Refusal::new(Exit::Unreachable, why)
            .next(context.command(&["check"], &format!("look at {node} and the others")))
            .standing("nothing was done"));
    }
    if consent.confirm.is_none() {
        typed(context, &cluster, "Type the cluster's name to begin, anything else to leave: ").await?;
    }
    Ok(Known { secrets, sessions: connector.take() })
}

/// Has a name typed; Ctrl-C, Enter, the end of input and every other word leave.
pub(super) async fn typed(context: &Context, name: &str, question: &str) -> Result<(), Refusal> {
    let left = || {
        Refusal::new(Exit::NoAnswer, "the answer was no")
            .next(context.command(&["start", "--dry-run"], "look at everything without changing anything"))
            .standing("nothing was done")
    };
    let broken = |error: std::io::Error| Refusal::new(Exit::Broken, format!("the terminal: {error}"));
    let face = &context.style.err;
    let (call, called) = Call::pair().map_err(broken)?;
    let terminal = prompt::stdin().map_err(broken)?;
    // Caught before the question stands there, so that a quick Ctrl-C is an answer and no sudden death.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let unanswered = prompt::forget_type_ahead(&terminal);
    let question = paint(face, &wrap(face, Line::new(face), Tone::Strong, question.trim_end()));
    write::to_stderr(&format!("\n{} ", question.trim_end()));
    let reading =
        tokio::task::spawn_blocking(move || prompt::read_line(&terminal, unanswered, &called, None));
    tokio::select! {
        read = reading => match read {
            Ok(Ok(answer)) if answer.is_name(name) => Ok(()),
            _ => Err(left()),
        },
        _ = interrupt.recv() => {
            drop(call);
            write::to_stderr("\n");
            Err(left())
        }
    }
}

/// What is known of the nodes before anything is touched: versions and what is staged.
async fn prospects(
    connector: ReadOnlyConnector,
    state: &RunState,
    secrets: Secrets,
) -> Result<Vec<(NodeName, Prospect)>, Refusal> {
    let (plan, request) = (&state.plan, &state.request);
    let silent: Screen = Arc::new(|_| true);
    let pool = Pool::new(connector, plan, Context::state_dir()?.path(), &secrets, silent);
    let site = Site::new(Arc::clone(plan), pool, secrets, None);
    let nodes: Vec<NodeName> = plan
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .filter(|node| request.limit.as_ref().is_none_or(|limit| limit.contains(node)))
        .filter(|node| plan.phases.iter().any(|phase| phase.nodes.contains(node)))
        .collect();
    let answers = survey(&site, state, &nodes).await;
    Ok(answers
        .into_iter()
        .map(|answer| {
            let prospect = Prospect {
                version: answer.version.and_then(Result::ok),
                staged: answer.staged,
                error: answer.unreachable.map(|failure| failure.message),
                last_time: request.earlier.of(&answer.node),
                ..Prospect::default()
            };
            (answer.node, prospect)
        })
        .collect())
}

/// The state of a run that exists in memory only, for everything that reads before there is one.
pub(super) fn imagined(plan: &Arc<Plan>, request: &Request) -> Result<RunState, Refusal> {
    let opened = Event::RunOpened {
        run: RunId("dry-run".to_owned()),
        token: String::new(),
        plan: Box::new(plan.as_ref().clone()),
        request: request.clone(),
    };
    RunState::open(&Record { seq: 0, at: Timestamp::now(), event: opened })
        .map_err(|illegal| Refusal::new(Exit::Broken, illegal.to_string()))
}
