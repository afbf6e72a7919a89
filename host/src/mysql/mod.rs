//! `spin:mysql`: what is linked once (`host`), what lives per component ([`Pools`]), and what lives per instance
//! ([`Connection`]).
//!
//! `host` has the functions that components call. A `pool` lends a `connection` to its `server`, which lists each
//! connection as a `process`. A query's `hint` says what to do with it while there is no server to write to, and an
//! `answer_limit` how long it may take. Whether a connection must be cleaned after a `statement` follows from the
//! statement's text (`sql`), from what views and triggers do that are `hidden` in it, and from its `errors`, and is
//! kept in the `session`. `rows` reads a result into a `row_stream`, and `values` converts its values. `statement_span`
//! is what traces show of a statement. `servers` has the settings of all servers: their TLS, and which of them are
//! members of one `group`. `writer` checks with a `probe` whether writes are taken, and `fitness` judges what a server
//! says of itself. Nothing here knows a table of the store except the group's own: what SQL means is for components.

mod answer_limit;
mod connection;
mod errors;
mod fitness;
#[cfg(test)]
mod fuzz;
mod group;
mod hidden;
mod hint;
mod host;
mod pool;
mod probe;
mod process;
mod row_stream;
mod rows;
mod server;
mod servers;
mod session;
mod sql;
mod statement;
mod statement_span;
mod values;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use store_server::trace::Ids;
use tokio::sync::Mutex;

pub(crate) use errors::{is_about_tls, is_refusal, lacks_database};
pub(crate) use group::WriterRecords;
pub(crate) use host::add_to_linker;
pub(crate) use pool::Pool;
#[cfg(feature = "micro")]
pub(crate) use rows::first_rows;
pub(crate) use server::Server;
pub(crate) use servers::Servers;
pub(crate) use writer::Writer;

use connection::PooledConnection;

use crate::config::MysqlSettings;
use crate::metrics::Metrics;
use crate::outbound::{Backend, ByAddress};

/// The pools of one component, by address.
pub(crate) struct Pools {
    component: String,
    settings: MysqlSettings,
    servers: Arc<Servers>,
    memory_limit_bytes: usize,
    metrics: Arc<Metrics>,
    by_address: ByAddress<Pool>,
}

/// A component's handle on one connection of the pool. The connection returns to the pool once the component has
/// dropped this handle and read every result.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    pooled: Arc<Mutex<PooledConnection>>,
    /// Whether the address stands for a group of servers: only then does a query's hint mean anything.
    is_to_group: bool,
    /// The longest wait for an answer.
    statement_limit: Duration,
    /// The ids of the request for which the connection was opened.
    ids: Option<Ids>,
}

impl Pools {
    pub(crate) fn new(
        component: &str,
        settings: MysqlSettings,
        servers: Arc<Servers>,
        memory_limit_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            component: component.to_owned(),
            settings,
            servers,
            memory_limit_bytes,
            metrics,
            by_address: ByAddress::default(),
        }
    }

    /// The settings of the servers.
    pub(crate) fn servers(&self) -> &Arc<Servers> {
        &self.servers
    }

    /// The pool for `url`, if there is one.
    pub(crate) fn get(&self, url: &str) -> Option<Arc<Pool>> {
        self.by_address.get(url)
    }

    /// The pool for `url`, whose parsed form is `backend`. `None` if the component uses as many other pools as it may.
    pub(crate) fn get_or_make(&self, url: &str, backend: &Backend) -> Option<Arc<Pool>> {
        let make = || {
            let metrics = self.metrics.mysql_pool(&self.component);
            let server = self.servers.server(backend, self.memory_limit_bytes);
            Pool::new(server, self.settings.clone(), metrics)
        };
        self.by_address.get_or_open(url, make, Pool::is_unused)
    }
}
