//! What a component's link leads to: a certain server, or the primary of a name.

use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use tokio::task::AbortHandle;

use super::link_target::{FailoverWatch, LinkTarget};
use super::near::NearCache;
use super::sentinel::Sentinels;
use crate::config::HostPort;
use crate::outbound::Backend;

/// How often Sentinels, or nodes of a cluster, are asked whether a link still leads to the primary. Without this, a
/// server that was cut off and replaced would go on answering hosts that still reach it.
pub(super) const LOOKS: Duration = Duration::from_secs(1);

/// What a component's link leads to.
pub(crate) enum Target {
    /// This address. Its host name is resolved for each connection.
    Server(HostPort),
    /// The primary that Sentinels watch under the host name of this address.
    Primary(HostPort, Arc<Sentinels>),
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
}

impl LinkTarget for Target {
    fn address(&self) -> HostPort {
        match self {
            Self::Server(address) | Self::Primary(address, _) => address.clone(),
        }
    }

    async fn find(&self) -> RedisResult<HostPort> {
        match self {
            Self::Server(address) => Ok(address.clone()),
            Self::Primary(address, sentinels) => sentinels.primary(&address.host).await,
        }
    }

    /// Has the Sentinels asked again and again.
    fn watch(
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
