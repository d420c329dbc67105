//! Steps that boot their node: the command, then a new boot, then a login.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::judge::judge;
use super::{Output, Wanted, follow, job_of, prepare, start};
use crate::engine::contact;
use crate::engine::worker::{Assignment, Done};
use crate::model::duration;
use crate::model::event::Outcome;
use crate::model::job::Standing;
use crate::model::name::NodeName;
use crate::model::procedure::{Script, Step};
use crate::transport::{JobEnd, TransportError};

/// Runs the command, then waits for a new boot and a login.
pub(in crate::engine) async fn reboot(at: &mut Assignment, step: &Step, script: &Script) -> Done {
    let on = at.machine().clone();
    let began = Instant::now();
    let deadline = step.timeout.min(Duration::from_mins(5));
    let wanted = Wanted { script, is_undo: false, env: None, stdin: None, cwd: None, deadline };
    let job = prepare(at, &on, wanted).await?;
    let output = Output::new(at);
    match start(at, &on, job, &output).await {
        Ok(JobEnd::Exited { code: 0 } | JobEnd::Unclear(Standing::Ended { .. } | Standing::Lost { .. }))
        // The node went down under the command: its own record will tell.
        | Err(TransportError::Lost { .. }) => {}
        ended => judge(at, &[0], ended, &output).await?,
    }
    await_boot(at, &on, step.timeout.saturating_sub(began.elapsed())).await
}

/// Waits for the new boot that a command of an earlier invocation was to bring about.
pub(in crate::engine) async fn rejoin_reboot(at: &Assignment, step: &Step, script: &Script) -> Done {
    let output = Output::new(at);
    match follow(at, script, step.timeout.min(Duration::from_mins(5)), false, &output).await? {
        Ok(JobEnd::Exited { code: 0 } | JobEnd::Unclear(Standing::Ended { .. } | Standing::Lost { .. }))
        | Err(TransportError::Lost { .. }) => {}
        ended => judge(at, &[0], ended, &output).await?,
    }
    let on = at.machine().clone();
    await_boot(at, &on, step.timeout).await
}

/// Waits until a node says that it was booted since the job began there.
pub(super) async fn await_boot(at: &Assignment, on: &NodeName, patience: Duration) -> Done {
    let began = Instant::now();
    let job = &job_of(at, false)?;
    let mut last;
    loop {
        // What was connected to the boot before says nothing of the next.
        at.site.pool.forget(on).await;
        last = match at.site.pool.with(on, |session| async move { session.standing(job).await }).await {
            Ok(Standing::Ended { rebooted: true, .. } | Standing::Lost { rebooted: true, .. }) => {
                return Ok(());
            }
            Ok(_) => "it answers, and has not been restarted".to_owned(),
            // It may be another machine, and waiting makes it no better.
            Err(error) if !contact::comes_back(&error) => {
                return Err(Outcome::Unknown { why: error.to_string(), rebooted: false });
            }
            Err(error) => error.to_string(),
        };
        if began.elapsed() >= patience {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let why = format!("no new boot of {on} within {}: {last}", duration::written(patience));
    Err(Outcome::Unknown { why, rebooted: false })
}
