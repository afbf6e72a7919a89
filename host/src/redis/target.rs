//! Where a link leads: to a server, or to whichever server is the primary of a name.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::task::AbortHandle;

use super::near::NearCache;
use super::sentinel::Sentinels;
use crate::config::HostPort;
use crate::outbound::Backend;

/// How often Sentinels, or nodes of a cluster, are asked whether the primary is still the one that a link leads to. A server that was cut off
/// and replaced goes on answering those who still reach it.
pub(super) const LOOKS: Duration = Duration::from_secs(1);

/// Where a link leads.
pub(super) enum Target {
    /// To this address, looked up at each connection.
    Server(HostPort),
    /// To the primary that Sentinels watch under the host of the address.
    Primary(HostPort, Arc<Sentinels>),
}

/// The task that ends a connection when its server is the primary no longer. It ends when it is dropped.
pub(super) struct FailoverWatch(AbortHandle);

impl Drop for FailoverWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Target {
    /// Where `backend` leads, if there are Sentinels or not.
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
    /// No Sentinel knows.
    pub(super) async fn find(&self) -> RedisResult<HostPort> {
        match self {
            Self::Server(address) => Ok(address.clone()),
            Self::Primary(address, sentinels) => sentinels.primary(&address.host).await,
        }
    }

    /// Ends the connection to `server`, which `driver` drives, when another is the primary, and forgets what it kept near:
    /// the next command goes to the other.
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
                // If no Sentinel answers, there is nothing better than what is there.
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
