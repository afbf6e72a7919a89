//! `spin:mysql`: what is linked once (here), what lives per component ([`Pools`]), what lives per instance
//! ([`Connection`]).
//!
//! `host` has the calls that components make. A `pool` lends a `connection` of its `server`; a `statement` on it is judged
//! by its text (`sql`), by its `errors` and by what its `session` remembers; `rows` reads its result into a `row_stream`,
//! and `values` converts what is in it. `statement_span` is what a trace says of it. A `writer` is asked whether it takes writes. Nothing here knows a table of the
//! store: what SQL means is for components.

mod connection;
mod errors;
#[cfg(test)]
mod fuzz;
mod host;
mod pool;
mod row_stream;
mod rows;
mod server;
mod session;
mod sql;
mod statement;
mod statement_span;
mod values;
mod writer;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::component::{HasSelf, Linker};

#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub use host::Connection;
pub(crate) use pool::Pool;
#[cfg(feature = "micro")]
pub(crate) use rows::first_rows;
pub(crate) use writer::Writer;

use crate::config::MysqlSettings;
use crate::instance::State;
use crate::instance::bindings::spin::mysql::mysql;
use crate::metrics::Metrics;
use crate::outbound::Backend;

/// Gives components `spin:mysql`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    mysql::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Most addresses that one component may have pools for: as many databases and users as one would name in a manifest.
const MOST_POOLS: usize = 8;

/// The pools of one component, by address.
pub(crate) struct Pools {
    component: String,
    settings: MysqlSettings,
    memory_limit_bytes: usize,
    metrics: Arc<Metrics>,
    by_url: Mutex<ByUrl>,
}

/// Written by whoever opens a connection.
#[derive(Default)]
struct ByUrl {
    pools: HashMap<String, Entry>,
    /// How often any was asked for.
    asked: u64,
}

struct Entry {
    pool: Arc<Pool>,
    /// When it was asked for last, by that count.
    asked: u64,
}

impl Pools {
    pub(crate) fn new(
        component: &str,
        settings: MysqlSettings,
        memory_limit_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            component: component.to_owned(),
            settings,
            memory_limit_bytes,
            metrics,
            by_url: Mutex::default(),
        }
    }

    /// The pool for `url`, if there is one.
    pub(crate) fn known(&self, url: &str) -> Option<Arc<Pool>> {
        self.by_url.lock().known(url)
    }

    /// A pool for `url`, which is `backend`, in the place of the one that was not used for the longest time if there are
    /// as many as there may be. `None` if all of those are in use.
    pub(crate) fn make(&self, url: &str, backend: &Backend) -> Option<Arc<Pool>> {
        let mut by_url = self.by_url.lock();
        if let Some(pool) = by_url.known(url) {
            return Some(pool);
        }
        if by_url.pools.len() >= MOST_POOLS {
            by_url.forget_one()?;
        }
        let metrics = self.metrics.mysql_pool(&self.component);
        let settings = self.settings.clone();
        let pool = Pool::new(backend, settings, self.memory_limit_bytes, metrics);
        let entry = Entry {
            pool: pool.clone(),
            asked: by_url.asked,
        };
        by_url.pools.insert(url.to_owned(), entry);
        Some(pool)
    }
}

impl ByUrl {
    fn known(&mut self, url: &str) -> Option<Arc<Pool>> {
        self.asked += 1;
        let entry = self.pools.get_mut(url)?;
        entry.asked = self.asked;
        Some(entry.pool.clone())
    }

    /// Closes the pool that was asked for the longest time ago, of those that nobody uses.
    fn forget_one(&mut self) -> Option<()> {
        let unused = self.pools.iter().filter(|(_, entry)| {
            // Whoever has it in hand will use it.
            Arc::strong_count(&entry.pool) == 1 && entry.pool.is_unused()
        });
        let (url, _) = unused.min_by_key(|(_, entry)| entry.asked)?;
        let url = url.clone();
        self.pools.remove(&url);
        Some(())
    }
}
