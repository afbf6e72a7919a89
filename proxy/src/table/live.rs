//! The configuration in force. A reload replaces the whole table; what is known about upstreams stays.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;

use store_server::trace::Tracing;

use super::build::{Builder, Table};
use crate::answers::{GroupStatus, NameStatus, UpstreamStatus, word};
use crate::cache::Caches;
use crate::clients::Clients;
use crate::config::{Config, ServerEntry, ServerLocation};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::upstream::Upstream;

/// Time between two looks at whether a drained upstream is idle.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// How many looks in a row must find an upstream idle. A single look could miss a request that is just being given to
/// the upstream, as that is not counted yet.
const IDLE_LOOKS: u32 = 3;

/// The configuration in force.
pub(crate) struct LiveTable {
    table: ArcSwap<Table>,
    /// Held by whoever replaces the table.
    turn: Mutex<()>,
    caches: Caches,
    /// The addresses of upstreams that the configuration gives by name.
    pub(crate) names: Arc<Names>,
    /// How many connections and requests each client has open.
    pub(crate) clients: Arc<Clients>,
    /// All metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Where the spans of requests go.
    pub(crate) tracing: Tracing,
}

/// An operator named an upstream that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("no upstream is `{0}`; `store-proxy status` lists them")]
pub(crate) struct NoSuchUpstream(String);

impl LiveTable {
    /// Puts `config` in force, with the known addresses of its names.
    pub(crate) fn new(
        config: &Config,
        names: Arc<Names>,
        metrics: Arc<Metrics>,
        tracing: Tracing,
    ) -> Arc<Self> {
        let caches = Caches::default();
        let builder = Builder {
            names: &names,
            metrics: &metrics,
            caches: &caches,
        };
        let table = builder.table(config, None);
        Arc::new(Self {
            table: ArcSwap::from_pointee(table),
            turn: Mutex::default(),
            caches,
            names,
            clients: Arc::default(),
            metrics,
            tracing,
        })
    }

    /// Puts another `config` in force. Requests in flight end with the configuration that they began with.
    pub(crate) fn reload(&self, config: &Config) {
        let (before, after) = self.replace(|_| config.clone());
        self.names.keep_those_of(config);
        // Purge after the switch: from then on, only requests that began before it ask the old servers.
        self.caches.purge(
            |group| match (before.groups.get(group), after.groups.get(group)) {
                (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
                _ => true,
            },
        );
    }

    /// Puts the present addresses of names in force. Requests in flight end with the addresses that they began with.
    pub(crate) fn follow_names(&self) {
        self.replace(|table| table.config.clone());
    }

    /// Replaces the table in force. Returns the old and the new table.
    fn replace(&self, config: impl FnOnce(&Table) -> Config) -> (Arc<Table>, Arc<Table>) {
        let _turn = self.turn.lock();
        let before = self.table.load_full();
        let builder = Builder {
            names: &self.names,
            metrics: &self.metrics,
            caches: &self.caches,
        };
        let after = Arc::new(builder.table(&config(&before), Some(&before)));
        self.forget_those_gone(&before, &after);
        self.table.store(after.clone());
        (before, after)
    }

    fn forget_those_gone(&self, before: &Table, after: &Table) {
        for (group, upstream) in before.upstreams() {
            let endpoint = &upstream.endpoint;
            let mut there = after
                .upstreams()
                .filter(|(g, u)| *g == group && u.endpoint.address == endpoint.address);
            let there = there.next().map(|(_, there)| &there.endpoint);
            if there.is_none() {
                self.metrics.forget_upstream(group, &endpoint.address);
            }
            if let Some(name) = &endpoint.name
                && there.is_none_or(|there| there.name != endpoint.name)
            {
                self.metrics
                    .forget_upstream_name(group, &endpoint.address, name);
            }
        }
    }

    /// Forgets the kept answers of all groups, and returns how many.
    pub(crate) fn purge(&self) -> usize {
        self.caches.purge(|_| true)
    }

    /// Stops answers from caches, because this process ends and is no longer told of changes.
    pub(crate) fn close_caches(&self) {
        self.caches.close();
    }

    /// Whether answers may come from a cache.
    pub(crate) fn may_use_caches(&self) -> bool {
        !self.caches.is_closed()
    }

    pub(crate) fn table(&self) -> Guard<Arc<Table>> {
        self.table.load()
    }

    pub(crate) fn table_to_keep(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// The socket addresses of all upstreams.
    pub(crate) fn sockets(&self) -> BTreeSet<SocketAddr> {
        let table = self.table();
        let upstreams = table.upstreams();
        upstreams
            .map(|(_, upstream)| upstream.endpoint.socket)
            .collect()
    }

    /// Groups and upstreams, for operators.
    pub(crate) fn status(&self) -> Vec<GroupStatus> {
        let now = Instant::now();
        let table = self.table();
        let groups = table.groups.values().map(|group| GroupStatus {
            name: group.name.clone(),
            policy: word(&group.settings.policy),
            upstreams: group
                .upstreams
                .iter()
                .map(|upstream| status(upstream, now))
                .collect(),
            names: self.names_of(&group.settings.servers),
        });
        groups.collect()
    }

    fn names_of(&self, servers: &[ServerEntry]) -> Vec<NameStatus> {
        let named = servers
            .iter()
            .filter(|server| !matches!(server.location, ServerLocation::Address(_)));
        let status = named.map(|server| {
            let known = self.names.summary(&server.location);
            NameStatus {
                name: server.written().to_owned(),
                addresses: known.addresses,
                trouble: known.trouble,
            }
        });
        status.collect()
    }

    /// Sends no more requests to the upstream with this address, or to all upstreams that a name stands for now, and
    /// waits up to `limit` until none has requests in flight or waiting. Returns whether that happened.
    ///
    /// # Errors
    /// There is no such upstream.
    pub(crate) async fn drain(
        &self,
        address: &str,
        limit: Duration,
    ) -> Result<bool, NoSuchUpstream> {
        let drained = self.set_draining(address, true)?;
        let is_idle = |upstream: &Arc<Upstream>| upstream.in_flight() + upstream.waiting() == 0;
        let idle = async {
            let mut looks = 0;
            while looks < IDLE_LOOKS {
                looks = if drained.iter().all(is_idle) {
                    looks + 1
                } else {
                    0
                };
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        Ok(tokio::time::timeout(limit, idle).await.is_ok())
    }

    /// Sends requests to a drained upstream again.
    ///
    /// # Errors
    /// There is no such upstream.
    pub(crate) fn undrain(&self, address: &str) -> Result<(), NoSuchUpstream> {
        self.set_draining(address, false).map(|_| ())
    }

    fn set_draining(
        &self,
        address: &str,
        draining: bool,
    ) -> Result<Vec<Arc<Upstream>>, NoSuchUpstream> {
        let table = self.table_to_keep();
        let now = Instant::now();
        let mut found = Vec::new();
        for group in table.groups.values() {
            for upstream in group
                .upstreams
                .iter()
                .filter(|u| u.endpoint.is_called(address))
            {
                upstream.standing.set_draining(draining);
                found.push(upstream.clone());
            }
            group.refresh(now);
        }
        if found.is_empty() {
            return Err(NoSuchUpstream(address.to_owned()));
        }
        Ok(found)
    }
}

fn status(upstream: &Upstream, now: Instant) -> UpstreamStatus {
    UpstreamStatus {
        address: upstream.endpoint.address.clone(),
        name: upstream.endpoint.name.clone(),
        weight: upstream.endpoint.weight,
        state: word(&upstream.standing.state(now)),
        in_flight: upstream.in_flight(),
        queued: upstream.waiting(),
        requests: upstream.standing.requests(),
        ejections: Some(upstream.metrics.ejections.get()),
    }
}
