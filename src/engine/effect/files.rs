//! Steps that copy a file to the node, or from it.

use std::sync::Arc;
use std::time::Duration;

use super::{facts, render};
use crate::engine::asking;
use crate::engine::scene::{self, failure};
use crate::engine::worker::{Assignment, Done};
use crate::model::event::{Failure, FailureKind, Notice, Outcome};
use crate::model::name::NodeName;
use crate::model::procedure::{Get, Put, Step};
use crate::transport::{Upload, exposed, hash_file};

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

/// One upload, with its progress on the screen.
pub(in crate::engine) async fn upload_one(
    at: &Assignment,
    on: &NodeName,
    upload: &Upload,
    deadline: Duration,
) -> Result<(), Failure> {
    let (desk, key, total) = (at.desk.clone(), at.key.clone(), upload.sum.size);
    let progress = Arc::new(move |done| desk.notify(Notice::Copying { key: key.clone(), done, total }));
    at.site
        .pool
        .with(on, |session| {
            let progress = Arc::clone(&progress);
            async move { session.put(upload, progress.as_ref(), deadline).await }
        })
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
