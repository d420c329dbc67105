//! What a dry run is given instead of a [`Connector`].

use std::sync::Arc;

use super::{BoxFuture, Connector, Endpoint, Reader, TransportError};

/// Opens sessions and hands out their reading half only.
///
/// The session inside cannot be had back: [`Reader`] is not [`std::any::Any`], and the connector is
/// private to this type.
///
/// ```compile_fail
/// # async fn dry_run(nodes: rollgate::transport::ReadOnlyConnector,
/// #     node: rollgate::transport::Endpoint, job: rollgate::transport::Job,
/// #     sink: &dyn rollgate::transport::OutputSink) {
/// let reader = nodes.connect(&node).await.unwrap();
/// reader.start(&job, sink).await; // no such method
/// # }
/// ```
pub struct ReadOnlyConnector(Arc<dyn Connector>);

impl ReadOnlyConnector {
    /// Takes the changing half of a connector away.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self(connector)
    }

    /// Connects as [`Connector::connect`] does, to read.
    pub fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Reader>, TransportError>> {
        Box::pin(async move {
            let session = self.0.connect(to).await?;
            Ok(session as Arc<dyn Reader>)
        })
    }
}
