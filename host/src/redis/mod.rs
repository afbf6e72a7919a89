//! `spin:redis`: what is linked once (here), what lives per component ([`Connections`]), what lives per instance
//! ([`Connection`]).

#[cfg(test)]
mod fuzz;
mod host;
mod near;
mod values;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, IntoConnectionInfo, ProtocolVersion, PushInfo, RedisError};
use wasmtime::component::{HasSelf, Linker};

use self::near::Near;
use crate::bindings::spin::redis::redis as wit;
use crate::config::RedisSettings;
use crate::metrics::NearMetrics;
use crate::state::State;

/// Gives components `spin:redis`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// The connections of one component, by address: one each, which carries the commands of all requests at once and
/// reconnects by itself.
pub(crate) struct Connections {
    settings: RedisSettings,
    /// What the keys begin with whose values are kept near.
    near_prefixes: Vec<String>,
    near_metrics: NearMetrics,
    /// Written when a component names an address for the first time.
    by_url: Mutex<HashMap<String, Connection>>,
}

/// What a component holds: a handle on the one connection to an address.
#[derive(Clone)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    manager: ConnectionManager,
    /// Present when the component asks for values to be kept.
    near: Option<Arc<Near>>,
}

impl Connections {
    pub(crate) fn new(
        settings: RedisSettings,
        near_prefixes: Vec<String>,
        near_metrics: NearMetrics,
    ) -> Self {
        Self {
            settings,
            near_prefixes,
            near_metrics,
            by_url: Mutex::default(),
        }
    }

    /// The connection to `url`, if there is one.
    pub(crate) fn known(&self, url: &str) -> Option<Connection> {
        self.lock().get(url).cloned()
    }

    /// A connection to `url`. It connects when the first command is sent, so a server that is down shows there.
    pub(crate) fn connect(&self, url: &str) -> Result<Connection, RedisError> {
        let near = self.keeps_any_near().then(Arc::<Near>::default);
        let manager = manager(url, &self.settings, near.clone())?;
        let connection = Connection { manager, near };
        Ok(self
            .lock()
            .entry(url.to_owned())
            .or_insert(connection)
            .clone())
    }

    /// Whether the component asks for any value to be kept near.
    pub(crate) fn keeps_any_near(&self) -> bool {
        !self.near_prefixes.is_empty()
    }

    /// Whether the component asks for values of `key` to be kept near.
    fn keeps_near(&self, key: &[u8]) -> bool {
        let mut prefixes = self.near_prefixes.iter();
        prefixes.any(|prefix| key.starts_with(prefix.as_bytes()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Connection>> {
        self.by_url.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether Redis can't be reached, rather than refusing what it was asked.
pub(crate) fn is_outage(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Connects to `url` when the first command is sent, and again when the connection is lost. What Redis says unasked goes
/// to `near`.
pub(crate) fn manager(
    url: &str,
    settings: &RedisSettings,
    near: Option<Arc<Near>>,
) -> Result<ConnectionManager, RedisError> {
    let mut info = url.into_connection_info()?;
    let mut config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.response_timeout))
        // One try: a component that finds the cache down goes to MySQL, and the next command tries again.
        .set_number_of_retries(0);
    if let Some(near) = near {
        // In the version before, nothing is said unasked.
        let redis = info.redis_settings().clone();
        info = info.set_redis_settings(redis.set_protocol(ProtocolVersion::RESP3));
        config = config.set_push_sender(move |push: PushInfo| {
            near.heard(&push);
            Ok::<_, Infallible>(())
        });
    }
    ConnectionManager::new_lazy_with_config(Client::open(info)?, config)
}
