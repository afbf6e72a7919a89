//! What a link leads to: a certain server, or the primary of a name.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::task::AbortHandle;

use super::near::NearCache;
use super::sentinel::Sentinels;
use crate::config::HostPort;
use crate::outbound::Backend;

/// How often Sentinels, or nodes of a cluster, are asked whether a link still leads to the primary. Without this, a
/// server that was cut off and replaced would go on answering hosts that still reach it.
pub(super) const LOOKS: Duration = Duration::from_secs(1);

/// What a link leads to.
pub(super) enum Target {
    /// This address. Its host name is resolved for each connection.
    Server(HostPort),
    /// The primary that Sentinels watch under the host name of this address.
    Primary(HostPort, Arc<Sentinels>),
}

/// The task that ends a connection when its server is no longer the primary. The task ends when this is dropped.
pub(super) struct FailoverWatch(AbortHandle);

impl Drop for FailoverWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Target {
    /// The target of `backend`, with or without Sentinels.
    pub(super) fn of(backend: &Backend, sentinels: Option<Arc<Sentinels>>) -> Self {
        let address = backend.address();
        match sentinels {
            Some(sentinels) => Self::Primary(address, sentinels),
            None => Self::Server(address),
        }
    }

    /// The address as it was given.
    pub(super) fn address(&self) -> HostPort {
        match self {
            Self::Server(address) | Self::Primary(address, _) => address.clone(),
        }
    }

    /// The server to connect to now.
    ///
    /// # Errors
    /// No Sentinel knows the primary.
    pub(super) async fn find(&self) -> RedisResult<HostPort> {
        match self {
            Self::Server(address) => Ok(address.clone()),
            Self::Primary(address, sentinels) => sentinels.primary(&address.host).await,
        }
    }

    /// Watches whether `server` stays the primary. If another server takes its place, the task `driver` of the
    /// connection is ended and `near` forgets everything, so the next command goes to the new primary.
    pub(super) fn watch(
        &self,
        server: HostPort,
        driver: AbortHandle,
        near: Option<Arc<NearCache>>,
    ) -> Option<FailoverWatch> {
        let Self::Primary(address, sentinels) = self else {
            return None;
        };
        let (name, sentinels) = (address.host.clone(), sentinels.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOKS).await;
                // If no Sentinel answers, the connection stays.
                let Ok(primary) = sentinels.primary(&name).await else {
                    continue;
                };
                if primary != server {
                    tracing::info!("Redis `{name}` is at {primary} now, no longer at {server}");
                    driver.abort();
                    if let Some(near) = &near {
                        near.forget_all();
                    }
                    return;
                }
            }
        });
        Some(FailoverWatch(task.abort_handle()))
    }
}
