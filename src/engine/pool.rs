//! One connection per node, opened when first needed or ahead of need, and kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::Screen;
use super::secrets::Secrets;
use crate::model::event::{Notice, Report};
use crate::model::host::Connection;
use crate::model::name::{NodeName, VarName};
use crate::model::plan::Plan;
use crate::transport::{
    BoxFuture, Connector, Endpoint, Kind, ReadOnlyConnector, Reader, Session, TransportError,
};

/// Something that opens sessions of one sort: those that only read, or those that change.
pub trait Opens: Send + Sync {
    /// The sort.
    type Session: Reader + ?Sized;

    /// Opens one.
    fn open<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<Self::Session>, TransportError>>;
}

impl Opens for ReadOnlyConnector {
    type Session = dyn Reader;

    fn open<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Reader>, TransportError>> {
        self.connect(to)
    }
}

/// Opens sessions that change nodes.
pub struct Changing(pub Arc<dyn Connector>);

impl Opens for Changing {
    type Session = dyn Session;

    fn open<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>> {
        self.0.connect(to)
    }
}

struct Line<S: ?Sized> {
    endpoint: Endpoint,
    /// The secret without which it cannot be opened, and which could not be fetched.
    lacks: Option<VarName>,
    session: Mutex<Option<Arc<S>>>,
}

/// The connections of a run.
pub struct Pool<O: Opens> {
    opener: O,
    lines: BTreeMap<NodeName, Line<O::Session>>,
    screen: Screen,
}

impl<O: Opens> Pool<O> {
    /// Knows the nodes of a plan and the operator's own machine; connects to none of them yet.
    ///
    /// `state` is the operator's state directory: what is done on this machine has its records there. `secrets` have
    /// the passwords that gain rights on nodes.
    pub fn new(opener: O, plan: &Plan, state: &Path, secrets: &Secrets, screen: Screen) -> Self {
        let base = plan.sources.procedure.parent().map(std::path::Path::to_path_buf);
        let own = |name: &NodeName| Some(state.join("nodes").join(name.as_str()));
        let operator = Endpoint {
            name: NodeName::operator(),
            connection: Connection::Local,
            become_with: crate::model::host::Become::None,
            become_password: None,
            state_dir: own(&NodeName::operator()),
            cwd: base,
        };
        let nodes = plan.nodes.iter().map(|node| Endpoint {
            name: node.name.clone(),
            connection: node.connection.clone(),
            become_with: node.become_with,
            become_password: node.become_password.as_ref().and_then(|name| secrets.value(name)),
            state_dir: node
                .state_dir
                .clone()
                .or_else(|| own(&node.name).filter(|_| node.connection == Connection::Local)),
            cwd: None,
        });
        let line = |endpoint: Endpoint| {
            let password = plan.node(&endpoint.name).and_then(|node| node.become_password.clone());
            let lacks = password.filter(|_| endpoint.become_password.is_none());
            (endpoint.name.clone(), Line { endpoint, lacks, session: Mutex::new(None) })
        };
        let lines = nodes.chain([operator]).map(line).collect();
        Self { opener, lines, screen }
    }

    /// Says where the operator's own steps run, when that is not beside the plan's procedure.
    #[must_use]
    pub fn based_at(mut self, base: &Path) -> Self {
        if let Some(line) = self.lines.get_mut(&NodeName::operator()) {
            line.endpoint.cwd = Some(base.to_owned());
        }
        self
    }

    /// Takes over sessions that were opened before. One that has ended meanwhile is opened anew when it is needed.
    #[must_use]
    pub fn holding(mut self, sessions: BTreeMap<NodeName, Arc<O::Session>>) -> Self {
        for (node, session) in sessions {
            if let Some(line) = self.lines.get_mut(&node) {
                line.session.get_mut().replace(session);
            }
        }
        self
    }

    /// The session to a node, opened if there is none.
    pub async fn session(&self, node: &NodeName) -> Result<Arc<O::Session>, TransportError> {
        let line = self.lines.get(node).expect("steps name only nodes of the plan");
        let mut slot = line.session.lock().await;
        if let Some(session) = slot.as_ref() {
            return Ok(Arc::clone(session));
        }
        if let Some(name) = &line.lacks {
            let why = format!("its password for sudo is the secret `{name}`, which could not be fetched");
            return Err(TransportError::Refused { node: node.clone(), why });
        }
        self.notify(Notice::Connecting { node: node.clone() });
        let session = self.opener.open(&line.endpoint).await?;
        self.notify(Notice::Connected { node: node.clone() });
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Lets a connection go that turned out to be dead; the next call opens a new one.
    pub async fn forget(&self, node: &NodeName) {
        if let Some(line) = self.lines.get(node) {
            line.session.lock().await.take();
        }
    }

    /// Opens connections at the same time; answers with those that cannot be opened.
    pub async fn open_all(&self, nodes: &[NodeName]) -> Vec<(NodeName, TransportError)> {
        let tries = nodes.iter().map(|node| async move { (node.clone(), self.session(node).await.err()) });
        join_all(tries).await.into_iter().filter_map(|(node, error)| Some((node, error?))).collect()
    }

    /// Tries a call; when its connection turns out to have ended before anything began, tries once
    /// more on a new one.
    pub async fn with<T, F, R>(&self, node: &NodeName, call: F) -> Result<T, TransportError>
    where
        F: Fn(Arc<O::Session>) -> R,
        R: Future<Output = Result<T, TransportError>>,
    {
        match call(self.session(node).await?).await {
            Err(TransportError::Unreachable { why, .. }) if why.kind == Kind::Closed => {
                self.forget(node).await;
                call(self.session(node).await?).await
            }
            Err(error @ TransportError::Lost { .. }) => {
                self.forget(node).await;
                Err(error)
            }
            other => other,
        }
    }

    fn notify(&self, notice: Notice) {
        if !(self.screen)(Report::Notice(notice)) {
            tracing::debug!("the screen is gone");
        }
    }
}

impl Pool<Changing> {
    /// Another session to a node, with a login of its own, beside the one that there is.
    pub async fn another(&self, node: &NodeName) -> Result<Arc<dyn Session>, TransportError> {
        let line = self.lines.get(node).expect("steps name only nodes of the plan");
        self.opener.0.log_in(&line.endpoint).await
    }

    /// Ends every connection.
    pub async fn close(&self) {
        for line in self.lines.values() {
            if let Some(session) = line.session.lock().await.take() {
                session.close().await;
            }
        }
    }
}
