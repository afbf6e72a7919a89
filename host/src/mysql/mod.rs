//! `spin:mysql`: what is linked once (here), what lives per component ([`Pools`]), what lives per instance
//! ([`Connection`]).

#[cfg(test)]
mod fuzz;
mod host;
mod pool;
mod rows;
mod session;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mysql_async::{Opts, UrlError};
use wasmtime::component::{HasSelf, Linker};

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use host::Connection;
pub(crate) use pool::Pool;
#[cfg(feature = "micro")]
pub(crate) use rows::first_rows;

use crate::bindings::spin::mysql::mysql;
use crate::config::MysqlSettings;
use crate::metrics::Metrics;
use crate::state::State;

/// Gives components `spin:mysql`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    mysql::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// The pools of one component, by address.
pub(crate) struct Pools {
    component: String,
    settings: MysqlSettings,
    metrics: Arc<Metrics>,
    /// Written when a component names an address for the first time.
    by_url: Mutex<HashMap<String, Arc<Pool>>>,
}

impl Pools {
    pub(crate) fn new(component: &str, settings: MysqlSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            component: component.to_owned(),
            settings,
            metrics,
            by_url: Mutex::default(),
        }
    }

    /// The pool for `url`, made when it is asked for first.
    pub(crate) fn get(&self, url: &str) -> Result<Arc<Pool>, UrlError> {
        let mut pools = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(url) {
            return Ok(pool.clone());
        }
        let metrics = self.metrics.mysql_pool(&self.component);
        let pool = Pool::new(Opts::from_url(url)?, self.settings.clone(), metrics);
        pools.insert(url.to_owned(), pool.clone());
        Ok(pool)
    }
}
