//! Artifacts on nodes: copied by `stage`, verified there, removed by `unstage`.

use std::time::Duration;

use tokio::time::Instant;

use super::effect::upload_one;
use super::pool::Opens;
use super::scene::{failure, staging_dir};
use super::site::Site;
use super::worker::{Assignment, Done};
use super::{asking, contact};
use crate::model::event::{Failure, FailureKind, Outcome};
use crate::model::name::NodeName;
use crate::model::plan::PlannedArtifact;
use crate::transport::{BoxFuture, FileSum, Reader, TransportError, Upload};

/// Artifacts are readable by whoever installs them.
const MODE: u32 = 0o644;

/// How long a node may read its artifacts through.
const HASHING: Duration = Duration::from_mins(5);

/// How long one of them may take to be copied.
const COPYING: Duration = Duration::from_hours(1);

/// The variable that says where they lie: who names it uses them.
pub(super) const STAGED: &str = "ROLLGATE_STAGED";

/// Where a node's artifacts lie, with their paths there; empty for a node that gets none.
async fn paths<O: Opens>(
    site: &Site<O>,
    node: &NodeName,
) -> Result<(String, Vec<(PlannedArtifact, String)>), TransportError> {
    let Some(set) = site.plan.staging_set(node) else { return Ok((String::new(), Vec::new())) };
    let session = site.pool.session(node).await?;
    let dir = staging_dir(&session.facts().root, site.plan.cluster.as_str(), &set);
    let files =
        site.plan.artifacts_of(node).map(|file| (file.clone(), format!("{dir}/{}", file.name))).collect();
    Ok((dir, files))
}

/// How a node is asked for the sums of its artifacts.
type Asked<'a> = BoxFuture<'a, Result<Vec<Option<FileSum>>, TransportError>>;

/// The artifacts that are not on the node as they should be, asked in one round trip in this way.
async fn missing_by<O: Opens>(
    site: &Site<O>,
    node: &NodeName,
    ask: impl for<'a> Fn(&'a O::Session, &'a [String]) -> Asked<'a>,
) -> Result<Vec<(PlannedArtifact, String)>, TransportError> {
    let (_, files) = paths(site, node).await?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = files.iter().map(|(_, path)| path.clone()).collect();
    let (names, ask) = (&names, &ask);
    let sums = site.pool.with(node, |session| async move { ask(&session, names).await }).await?;
    Ok(files
        .into_iter()
        .zip(sums)
        .filter(|((file, _), sum)| sum.as_ref().is_none_or(|sum| sum.sha256 != file.sha256))
        .map(|(file, _)| file)
        .collect())
}

/// What is to be copied, by what the node remembers of it.
pub(super) async fn missing<O: Opens>(
    site: &Site<O>,
    node: &NodeName,
) -> Result<Vec<(PlannedArtifact, String)>, Failure> {
    let missing = missing_by(site, node, |session, paths| session.recall(paths, HASHING)).await;
    missing.map_err(|error| asking::unreachable(&error))
}

/// Copies what is missing. Nothing missing is a no-op of one round trip.
pub(super) async fn stage(at: &mut Assignment) -> Done {
    let node = at.lane().clone();
    let ask = || missing_by(&at.site, &node, |session, paths| session.note(paths, HASHING));
    let again = "it is asked again when there is contact again";
    let missing = contact::insist(at, &node, again, Instant::now() + COPYING, ask)
        .await
        .map_err(|error| asking::unreachable(&error))?;
    if missing.is_empty() {
        let why = "everything is there already".to_owned();
        return Err(Outcome::Skipped { why });
    }
    for (file, path) in missing {
        let upload = Upload {
            from: file.source.clone(),
            sum: FileSum { size: file.size, sha256: file.sha256.clone() },
            to: path,
            mode: MODE,
            become_with: asking::become_on(&at.site, &node),
            noted: true,
        };
        upload_one(at, &node, &upload, COPYING).await?;
    }
    Ok(())
}

/// Right before anything uses them, a node's artifacts must be the ones that were staged: somebody may have swapped
/// them since, or a directory on the way to them. They are read through, whatever the node remembers.
pub(super) async fn verify<O: Opens>(site: &Site<O>, node: &NodeName) -> Result<(), Failure> {
    let missing = missing_by(site, node, |session, paths| session.hash(paths, HASHING)).await;
    match missing.map_err(|error| asking::unreachable(&error))?.first() {
        None => Ok(()),
        Some((file, path)) => Err(Failure {
            help: Some(format!("copy it again: rollgate stage -l {node}")),
            ..failure(FailureKind::Check, format!("{} is not what was staged: {path}", file.name))
        }),
    }
}

/// Removes what was staged.
pub(super) async fn unstage(at: &mut Assignment) -> Done {
    let node = at.lane().clone();
    let (dir, files) = paths(&at.site, &node).await.map_err(|error| asking::unreachable(&error))?;
    if files.is_empty() {
        return Err(Outcome::Skipped { why: "nothing was staged".to_owned() });
    }
    let dir = &dir;
    at.site
        .pool
        .with(&node, |session| async move { session.remove(dir, Duration::from_mins(1)).await })
        .await
        .map_err(|error| asking::unreachable(&error))?;
    Ok(())
}
