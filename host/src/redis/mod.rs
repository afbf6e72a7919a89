//! `spin:redis`: what is linked once (here), what lives per component ([`Connections`]), what lives per instance
//! ([`Connection`]).

mod host;
mod values;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisError};
use wasmtime::component::{HasSelf, Linker};

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use host::Connection;

use crate::bindings::spin::redis::redis as wit;
use crate::config::RedisSettings;
use crate::state::State;

/// Gives components `spin:redis`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// The connections of one component, by address: one each, which carries the commands of all requests at once and
/// reconnects by itself.
pub(crate) struct Connections {
    settings: RedisSettings,
    /// Written when a component names an address for the first time.
    by_url: Mutex<HashMap<String, ConnectionManager>>,
}

impl Connections {
    pub(crate) fn new(settings: RedisSettings) -> Self {
        Self {
            settings,
            by_url: Mutex::default(),
        }
    }

    /// The connection to `url`, if there is one.
    pub(crate) fn known(&self, url: &str) -> Option<ConnectionManager> {
        self.lock().get(url).cloned()
    }

    /// A connection to `url`. It connects when the first command is sent, so a server that is down shows there.
    pub(crate) fn connect(&self, url: &str) -> Result<ConnectionManager, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout))
            // One try: a component that finds the cache down goes to MySQL, and the next command tries again.
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?;
        Ok(self
            .lock()
            .entry(url.to_owned())
            .or_insert(connection)
            .clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, ConnectionManager>> {
        self.by_url.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
