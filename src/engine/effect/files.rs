//! Steps that copy a file to the node, or from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::{facts, render};
use crate::engine::scene::{self, failure};
use crate::engine::worker::{Assignment, Done};
use crate::engine::{asking, contact};
use crate::model::event::{Failure, FailureKind, Notice, Outcome};
use crate::model::name::NodeName;
use crate::model::procedure::{Get, Put, Step};
use crate::model::words;
use crate::transport::{Session, Upload, exposed, hash_file};

/// A file to the node.
pub(in crate::engine) async fn put(at: &mut Assignment, step: &Step, put: &Put) -> Done {
    let on = at.machine().clone();
    let facts = facts(at, &on).await?;
    let mut vars = scene::vars(&at.site, &at.state, at.lane(), &on, Some(&facts));
    for text in [&put.source, &put.to] {
        scene::add_live_roles(&at.site, &at.state, text.as_str(), &mut vars).await?;
    }
    let from = at.state.base.join(render(&put.source, &vars)?);
    // What a capture names could not be looked at before the run.
    if at.state.request.insecure_files.is_none()
        && let Some(found) = exposed(&from).first()
    {
        let message = format!("{}: {}", found.path.display(), found.why);
        let help = Some("--allow-insecure-files uses it all the same, and the journal says so".to_owned());
        return Err(Failure { help, ..failure(FailureKind::Local, message) }.into());
    }
    let sum = hash_file(&from)
        .await
        .map_err(|error| failure(FailureKind::Local, format!("{}: {error}", from.display())))?;
    let upload = Upload {
        from,
        to: render(&put.to, &vars)?,
        mode: put.mode,
        become_with: asking::become_on(&at.site, &on),
        noted: false,
        sum,
    };
    upload_one(at, &on, &upload, step.timeout).await?;
    Ok(())
}

/// One upload, with its progress on the screen. It goes on where it was when contact is lost on the way.
pub(in crate::engine) async fn upload_one(
    at: &Assignment,
    on: &NodeName,
    upload: &Upload,
    deadline: Duration,
) -> Result<(), Failure> {
    let (desk, key, total) = (at.desk.clone(), at.key.clone(), upload.sum.size);
    let node = on.clone();
    let has_been_lost = Arc::new(AtomicBool::new(false));
    let lost = Arc::clone(&has_been_lost);
    let progress = Arc::new(move |done| {
        if lost.swap(false, Ordering::Relaxed) {
            let text =
                format!("contact again; {} of {} are there already", words::size(done), words::size(total));
            desk.notify(Notice::Said { node: Some(node.clone()), text });
        }
        desk.notify(Notice::Copying { key: key.clone(), done, total });
    });
    let until = Instant::now() + deadline;
    let copy = || async {
        let left = until.saturating_duration_since(Instant::now());
        let put = |session: Arc<dyn Session>| {
            let progress = Arc::clone(&progress);
            async move { session.put(upload, progress.as_ref(), left).await }
        };
        let copied = at.site.pool.with(on, put).await;
        has_been_lost.store(copied.is_err(), Ordering::Relaxed);
        copied
    };
    contact::insist(at, on, "the copy goes on where it was when there is contact again", until, copy)
        .await
        .map_err(|error| asking::unreachable(&error))?;
    Ok(())
}

/// A file from the node, into the run's directory.
pub(in crate::engine) async fn get(at: &mut Assignment, step: &Step, get: &Get) -> Done {
    let on = at.machine().clone();
    let facts = facts(at, &on).await?;
    let mut vars = scene::vars(&at.site, &at.state, at.lane(), &on, Some(&facts));
    for text in [&get.from, &get.to] {
        scene::add_live_roles(&at.site, &at.state, text.as_str(), &mut vars).await?;
    }
    let from = render(&get.from, &vars)?;
    let name = render(&get.to, &vars)?;
    let run = at.site.run_dir.as_ref().expect("a run that changes something has a directory");
    let to =
        run.fetched_path(at.lane(), &name).map_err(|error| failure(FailureKind::Local, error.to_string()))?;
    if to.exists() {
        return Err(Outcome::Skipped { why: format!("{} is there already", to.display()) });
    }
    let (from, to, deadline) = (&from, &to, step.timeout);
    at.site
        .pool
        .with(&on, |session| async move { session.get(from, to, deadline).await })
        .await
        .map_err(|error| asking::unreachable(&error))?;
    Ok(())
}
