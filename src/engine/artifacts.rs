//! Artifacts on nodes: copied by `stage` or fetched by the nodes themselves, verified there, removed by `unstage`.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::effect::{facts, job_of, judge, start, upload_one};
use super::output::Output;
use super::pool::Opens;
use super::scene::{self, failure, staging_dir};
use super::site::Site;
use super::worker::{Assignment, Done};
use super::{asking, contact, given};
use crate::model::event::{Failure, FailureKind, Outcome};
use crate::model::host::Shell;
use crate::model::name::NodeName;
use crate::model::plan::{Origin, PlannedArtifact};
use crate::transport::{
    BoxFuture, Download, FileSum, Job, JobEnd, Reader, TransportError, Upload, WRONG_SUM, download_script,
};

/// Artifacts are readable by whoever installs them.
const MODE: u32 = 0o644;

/// How long a node may read its artifacts through.
const HASHING: Duration = Duration::from_mins(5);

/// How long one of them may take to be copied, or all of a node to be fetched by it.
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

/// What is to be copied or fetched, by what the node remembers of it.
pub(super) async fn missing<O: Opens>(
    site: &Site<O>,
    node: &NodeName,
) -> Result<Vec<(PlannedArtifact, String)>, Failure> {
    let missing = missing_by(site, node, |session, paths| session.recall(paths, HASHING)).await;
    missing.map_err(|error| asking::unreachable(&error))
}

/// Copies what is missing, and has the node fetch what it fetches itself. Nothing missing is a no-op of one round trip.
pub(super) async fn stage(at: &mut Assignment) -> Done {
    let node = at.lane().clone();
    let missing = noted(at, &node).await?;
    if missing.is_empty() {
        let why = "everything is there already".to_owned();
        return Err(Outcome::Skipped { why });
    }
    let mut fetched = Vec::new();
    for (file, path) in missing {
        match &file.origin {
            Origin::File { source, size } => {
                let upload = Upload {
                    from: source.clone(),
                    sum: FileSum { size: *size, sha256: file.sha256.clone() },
                    to: path,
                    mode: MODE,
                    become_with: asking::become_on(&at.site, &node),
                    noted: true,
                };
                upload_one(at, &node, &upload, COPYING).await?;
            }
            Origin::Url { url } => fetched.push(Download {
                url: url.to_string(),
                sha256: file.sha256.clone(),
                to: path,
                mode: MODE,
            }),
        }
    }
    if fetched.is_empty() { Ok(()) } else { fetch(at, &node, &fetched).await }
}

/// What is missing, by what the node remembers; it notes what it had to read through.
async fn noted(at: &Assignment, node: &NodeName) -> Result<Vec<(PlannedArtifact, String)>, Failure> {
    let ask = || missing_by(&at.site, node, |session, paths| session.note(paths, HASHING));
    let again = "it is asked again when there is contact again";
    let missing = contact::insist(at, node, again, Instant::now() + COPYING, ask).await;
    missing.map_err(|error| asking::unreachable(&error))
}

/// Has the node fetch files, as a job that outlives every connection. That it ends well is its word alone: the node is
/// asked for the sums as after any copy.
async fn fetch(at: &Assignment, node: &NodeName, files: &[Download]) -> Done {
    let output = Output::new(at);
    let job = fetching(at, node, files).await?;
    match start(at, node, job, &output).await {
        Ok(JobEnd::Exited { code: 0 }) => {}
        Ok(JobEnd::Exited { code }) => return Err(not_fetched(code, &output).into()),
        ended => {
            return match judge(at, &[], ended, &output).await {
                Err(Outcome::Failed(failed)) if failed.kind == FailureKind::Timeout => {
                    let help =
                        format!("what has arrived is kept, and goes on from there: rollgate stage -l {node}");
                    Err(Failure { help: Some(help), ..failed }.into())
                }
                // Nothing stands under its name unverified: there is nothing to be settled, it is done again.
                Err(Outcome::Unknown { why, .. }) => {
                    Err(Failure { tail: output.tail(), ..failure(FailureKind::Unreachable, why) }.into())
                }
                done => done,
            };
        }
    }
    let missing = noted(at, node).await?;
    match missing.iter().find(|(_, path)| files.iter().any(|file| file.to == *path)) {
        None => Ok(()),
        Some((file, path)) => {
            let what =
                format!("{path} is not what was fetched from {}, though its job ended well", file.origin);
            let help = format!("see who else writes there, then: rollgate stage -l {node}");
            Err(Failure { help: Some(help), ..failure(FailureKind::Check, what) }.into())
        }
    }
}

async fn fetching(at: &Assignment, node: &NodeName, files: &[Download]) -> Result<Job, Failure> {
    let facts = facts(at, node).await?;
    Ok(Job {
        at: job_of(at, false)?,
        epoch: at.site.epochs().get(node).copied().unwrap_or_default(),
        copy: None,
        script: download_script(&facts.root, files),
        shell: Shell::Sh,
        // A node's variables may name the proxy that it needs.
        env: scene::vars(&at.site, &at.state, at.lane(), node, Some(&facts)),
        secrets: BTreeMap::new(),
        hidden: given::to(&at.site.plan, &at.state, at.site.secrets(), node),
        stdin: None,
        cwd: None,
        become_with: asking::become_on(&at.site, node),
        deadline: COPYING,
    })
}

/// What the job said last is why; what curl or wget said stands before it.
fn not_fetched(code: i32, output: &Output) -> Failure {
    let mut tail = output.tail();
    let said = tail.pop().unwrap_or_else(|| format!("what the node fetches ended with exit status {code}"));
    let (kind, help) = match code {
        WRONG_SUM => (
            FailureKind::Check,
            Some(
                "either the server has another file, or `sha256` in the procedure is not its sum".to_owned(),
            ),
        ),
        _ => (FailureKind::Script, None),
    };
    Failure { tail, help, ..failure(kind, said) }
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
