//! Keeps the sessions that a look at the nodes has opened, for the run that follows it: connecting is the dear part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{BoxFuture, Connector, Endpoint, Session, TransportError};
use crate::model::name::NodeName;

/// Connects as another connector does, and keeps what it opened.
pub struct Keeping {
    connector: Arc<dyn Connector>,
    opened: Mutex<BTreeMap<NodeName, Arc<dyn Session>>>,
}

impl Keeping {
    /// Has nothing open yet.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, opened: Mutex::default() }
    }

    /// Hands over what was opened.
    pub fn take(&self) -> BTreeMap<NodeName, Arc<dyn Session>> {
        std::mem::take(&mut self.opened.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connector for Keeping {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>> {
        Box::pin(async move {
            let session = self.connector.connect(to).await?;
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.insert(to.name.clone(), Arc::clone(&session));
            Ok(session)
        })
    }

    fn log_in<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>> {
        self.connector.log_in(to)
    }
}
