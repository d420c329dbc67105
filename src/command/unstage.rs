//! `rollgate unstage`: stops a run at its next safe point, undoes what is temporary, removes what was
//! staged. On a node that is upgraded already it does nothing more.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::context::{Context, terms};
use super::files::Files;
use super::invocation::{Begin, Given, execute, request};
use super::refusal::Refusal;
use super::runs::trusted;
use super::start::typed;
use crate::cli::Unstage;
use crate::exit::Exit;
use crate::journal::{ClusterDir, ClusterLock, Holder, JournalError};
use crate::model::event::{Goal, RunEnd};

pub(super) fn run(context: &Context, flags: &Unstage) -> Result<Exit, Refusal> {
    let files = Files::load(context)?;
    let name = files.loaded.inventory.cluster.clone();
    let cluster = Context::state_dir()?.cluster(&name);
    Context::runtime()?.block_on(async {
        let Some(latest) =
            trusted(&cluster, None)?.filter(|latest| latest.state.end != Some(RunEnd::Unstaged))
        else {
            context.say(&format!("{name}: nothing is staged"));
            return Ok(Exit::Done);
        };
        if !flags.yes {
            consent(context, name.as_str(), &latest.state.run.to_string()).await?;
        }
        let mut lock = take_over(context, &cluster).await?;
        let mut request = request(context, Goal::Unstaged);
        request.insecure_files.clone_from(&files.insecure);
        request.lock = terms(&cluster, &flags.lock)?;
        execute(context, &cluster, &mut lock, Begin::Go(latest.dir), request, Given::default()).await
    })
}

async fn consent(context: &Context, cluster: &str, run: &str) -> Result<(), Refusal> {
    if !context.style.interactive {
        return Err(Refusal::new(Exit::NoAnswer, "it must be confirmed, and there is no terminal")
            .next(context.command(&["unstage", "--yes"], "agree to it without one"))
            .standing("nothing was done"));
    }
    context.say(&format!(
        "Run {run} of {cluster} ends: what is temporary is undone, what was staged is removed."
    ));
    context.say("Nodes that are upgraded stay upgraded.");
    typed(context, cluster, "Type the cluster's name to do it, anything else to leave: ").await
}

/// The lock; where a run of this machine holds it, that run is asked to stop and waited for.
async fn take_over(context: &Context, cluster: &ClusterDir) -> Result<ClusterLock, Refusal> {
    let mine = || context.holder(None, "unstage");
    let holder = match cluster.lock(mine()) {
        Ok(lock) => return Ok(lock),
        Err(JournalError::Held { holder: Some(holder), .. }) if holder.by.host == context.by.host => *holder,
        Err(error) => return Err(error.into()),
    };
    ask_to_stop(&holder)?;
    context.say(&format!("{} is stopping at its next safe point: {holder}", holder.doing));
    let mut waited = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
            _ = tokio::signal::ctrl_c() => {
                return Err(Refusal::new(Exit::Stopped, "the run was asked to stop, and nothing was removed")
                    .next(context.command(&["status"], "where it stands")));
            }
        }
        match cluster.lock(mine()) {
            Ok(lock) => return Ok(lock),
            Err(JournalError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        waited += Duration::from_millis(200);
        if waited.as_millis().is_multiple_of(60_000) {
            context.say(&format!("still waiting for pid {} to stop", holder.by.pid));
        }
    }
}

fn ask_to_stop(holder: &Holder) -> Result<(), Refusal> {
    let pid = i32::try_from(holder.by.pid).ok().and_then(Pid::from_raw);
    let asked = pid.map(|pid| kill_process(pid, Signal::TERM));
    match asked {
        // Gone in this moment: then its lock is free.
        Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
        Some(Err(error)) => {
            Err(Refusal::new(Exit::Held, format!("{holder} cannot be asked to stop: {error}"))
                .help("end it yourself with Ctrl-C, then unstage again"))
        }
        None => Err(Refusal::new(Exit::Held, format!("{holder} has no process to ask"))),
    }
}
