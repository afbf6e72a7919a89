//! The link or links from one address of a component to Redis.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisResult, Value};
use store_server::trace::SharedDescription;

use super::cluster::Cluster;
use super::link::Link;
use super::near::NearCache;
use super::pins::{Pin, Pins};
use super::settings::LinkSettings;
use super::target::Target;
use crate::clients::Asker;
use crate::outbound::Backend;

/// One link to a server, or the links to the primaries of a Redis Cluster.
pub(crate) enum Links {
    One(Box<Link<Target>>),
    Cluster(Box<Cluster>),
}

impl Links {
    /// Makes what the settings demand for `backend`. It connects when the first command is sent, so an unreachable
    /// server causes an error only then. Redis's pushes go to `near`.
    ///
    /// # Errors
    /// TLS can't be set up with the certificates of the settings; the error is one line.
    pub(crate) fn new(
        backend: &Backend,
        settings: LinkSettings,
        near: Option<Arc<NearCache>>,
    ) -> Result<Self, String> {
        match settings.names_cluster() {
            false => link(backend, settings, near).map(|link| Self::One(Box::new(link))),
            true => Cluster::new(backend, settings, near)
                .map(|cluster| Self::Cluster(Box::new(cluster))),
        }
    }

    /// Sends a command for `asker`, over a handle with these pins, and waits for the reply.
    ///
    /// # Errors
    /// Redis answers with an error, or not at all, or another connection has answered the handle before.
    pub(super) async fn run(&self, command: &Cmd, asker: Asker, pins: &Pins) -> RedisResult<Value> {
        match self {
            Self::One(link) => link.run(command, asker, pins.of_all_keys()).await,
            // Boxed, because the future of a single link is large enough.
            Self::Cluster(cluster) => Box::pin(cluster.run(command, asker, pins)).await,
        }
    }

    /// Sends a command of the host itself.
    ///
    /// # Errors
    /// Redis answers with an error, or not at all.
    pub(crate) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        Box::pin(self.run(command, None, &Pins::default())).await
    }

    /// Asks the server for a sign of life; in a Redis Cluster, each primary.
    ///
    /// # Errors
    /// A server answers with an error, or not at all.
    pub(crate) async fn ping(&self) -> RedisResult<()> {
        match self {
            Self::One(link) => {
                let ping = redis::cmd("PING");
                link.run(&ping, None, Pin::default()).await.map(drop)
            }
            Self::Cluster(cluster) => Box::pin(cluster.ping()).await,
        }
    }

    /// Asks for the value of `key`, to keep it near.
    ///
    /// # Errors
    /// As for [`NearCache::ask`].
    pub(super) async fn ask_near(
        &self,
        near: &NearCache,
        key: &str,
        asker: Asker,
        pins: &Pins,
    ) -> RedisResult<Option<Vec<u8>>> {
        match self {
            Self::One(link) => link.ask_near(near, key, asker, pins.of_all_keys()).await,
            Self::Cluster(cluster) => Box::pin(cluster.ask_near(near, key, asker, pins)).await,
        }
    }

    pub(super) fn near(&self) -> Option<&Arc<NearCache>> {
        match self {
            Self::One(link) => link.near(),
            Self::Cluster(cluster) => cluster.near(),
        }
    }

    pub(super) fn response_timeout(&self) -> Duration {
        match self {
            Self::One(link) => link.response_timeout(),
            Self::Cluster(cluster) => cluster.response_timeout(),
        }
    }

    /// What spans say of the server or cluster.
    pub(super) fn description(&self) -> &SharedDescription {
        match self {
            Self::One(link) => &link.description,
            Self::Cluster(cluster) => &cluster.description,
        }
    }
}

/// The link to one server, or to the primary that Sentinels find.
fn link(
    backend: &Backend,
    settings: LinkSettings,
    near: Option<Arc<NearCache>>,
) -> Result<Link<Target>, String> {
    let tls = backend.redis_tls(&settings.tls)?;
    let target = Target::of(backend, settings.sentinels);
    let mut link = Link::over(tls, target, backend.redis_info(), settings.limits, near);
    link.description = backend.description();
    Ok(link)
}
