//! What a link must know of the server that it leads to.

use std::sync::Arc;

use redis::RedisResult;
use tokio::task::AbortHandle;

use super::near::NearCache;
use crate::config::HostPort;

/// What a link leads to. The links to Sentinels and to the servers of a cluster lead to one server each, a
/// [`HostPort`]. Only a component's own link may lead to a server that has to be found, by Sentinels, which are asked
/// over such links.
pub(crate) trait LinkTarget {
    /// The address as it was given.
    fn address(&self) -> HostPort;

    /// The server to connect to now.
    ///
    /// # Errors
    /// It is not known which server that is.
    fn find(&self) -> impl Future<Output = RedisResult<HostPort>> + Send;

    /// Watches whether `server` stays the one to connect to, if that can change. If another server takes its place, the
    /// task `driver` of the connection is ended and `near` forgets everything, so the next command goes to the other
    /// server.
    fn watch(
        &self,
        server: HostPort,
        driver: AbortHandle,
        near: Option<Arc<NearCache>>,
    ) -> Option<FailoverWatch>;
}

/// The task that ends a connection when its server is no longer the primary. The task ends when this is dropped.
pub(crate) struct FailoverWatch(pub(super) AbortHandle);

impl Drop for FailoverWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// This one server. Its host name is resolved for each connection.
impl LinkTarget for HostPort {
    fn address(&self) -> HostPort {
        self.clone()
    }

    async fn find(&self) -> RedisResult<HostPort> {
        Ok(self.clone())
    }

    fn watch(
        &self,
        _: HostPort,
        _: AbortHandle,
        _: Option<Arc<NearCache>>,
    ) -> Option<FailoverWatch> {
        None
    }
}
