//! What the nodes say of themselves now, for `status` and `check`. Reads, and nothing else.

use super::artifacts;
use super::asking;
use super::pool::Opens;
use super::site::Site;
use super::watching::versions;
use crate::model::event::Failure;
use crate::model::fence::Fence;
use crate::model::name::NodeName;
use crate::model::state::RunState;
use crate::transport::Reader;

/// One node's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSurvey {
    /// The node.
    pub node: NodeName,
    /// Why it could not be reached.
    pub unreachable: Option<Failure>,
    /// Its installed version, or why that is unreadable; `None` where the procedure does not say how.
    pub version: Option<Result<String, Failure>>,
    /// Whether everything that is to be staged is there; `None` where nothing is.
    pub staged: Option<bool>,
    /// The system's name for itself.
    pub os: Option<String>,
    /// The node's lock; `None` where there never was one, or it cannot be read.
    pub lock: Option<Fence>,
}

/// Asks nodes, all at the same time.
pub async fn survey<O: Opens>(site: &Site<O>, state: &RunState, nodes: &[NodeName]) -> Vec<NodeSurvey> {
    let asked = nodes.iter().map(|node| async move {
        let session = match site.pool.session(node).await {
            Ok(session) => session,
            Err(error) => {
                return NodeSurvey {
                    node: node.clone(),
                    unreachable: Some(asking::masked(site, asking::unreachable(&error))),
                    version: None,
                    staged: None,
                    os: None,
                    lock: None,
                };
            }
        };
        let one = std::slice::from_ref(node);
        let (version, missing, lock) = tokio::join!(
            versions(site, state, one),
            artifacts::missing(site, node),
            session.fence(&site.plan.cluster),
        );
        let staged = site.plan.staging_set(node).map(|_| missing.is_ok_and(|missing| missing.is_empty()));
        NodeSurvey {
            node: node.clone(),
            unreachable: None,
            version: version.into_iter().next().map(|(_, version)| version),
            staged,
            os: session.facts().os.clone(),
            lock: lock.unwrap_or_default(),
        }
    });
    futures_util::future::join_all(asked).await
}
