//! The configuration in force. A reload replaces it whole; what is known about upstreams stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use store_server::trace::Tracing;

use super::routes::Routes;
use crate::answers::{GroupStatus, UpstreamStatus, word};
use crate::cache::Caches;
use crate::clients::{ClientRate, Clients};
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::upstream::{Group, Upstream};

/// Wait between two looks at whether a drained upstream is idle.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// So many looks in a row must find it idle before it is: a request that is just being given to it is not counted yet.
const IDLE_LOOKS: u32 = 3;

/// The configuration in force.
pub(crate) struct Live {
    table: ArcSwap<Table>,
    caches: Caches,
    /// What each client has open.
    pub(crate) clients: Arc<Clients>,
    /// Every metric.
    pub(crate) metrics: Arc<Metrics>,
    /// The traces.
    pub(crate) tracing: Tracing,
}

/// One configuration, ready for requests.
pub(crate) struct Table {
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) groups: BTreeMap<String, Arc<Group>>,
    pub(crate) rate: Option<Arc<ClientRate>>,
}

/// No upstream has this address.
#[derive(Debug, thiserror::Error)]
#[error("no upstream is `{0}`; `store-proxy status` lists them")]
pub(crate) struct NoSuchUpstream(String);

impl Live {
    /// Puts `config` in force.
    pub(crate) fn new(config: &Config, metrics: Arc<Metrics>, tracing: Tracing) -> Arc<Self> {
        let caches = Caches::default();
        let table = Table::new(config, None, &metrics, &caches);
        Arc::new(Self {
            table: ArcSwap::from_pointee(table),
            caches,
            clients: Arc::default(),
            metrics,
            tracing,
        })
    }

    /// Puts another `config` in force; requests in flight end with the one they began with.
    pub(crate) fn reload(&self, config: &Config) {
        let before = self.table.load_full();
        let table = Table::new(config, Some(&before), &self.metrics, &self.caches);
        for (group, upstream) in before.upstreams() {
            let stays = table
                .upstreams()
                .any(|(g, u)| g == group && u.entry.address == upstream.entry.address);
            if !stays {
                self.metrics.forget_upstream(group, &upstream.entry.address);
            }
        }
        self.table.store(Arc::new(table));
        // After the switch: from here on, only requests that began before it ask the old servers.
        let after = self.table();
        self.caches.purge(
            |group| match (before.groups.get(group), after.groups.get(group)) {
                (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
                _ => true,
            },
        );
    }

    /// Forgets the answers that all groups keep. Returns how many those were.
    pub(crate) fn purge(&self) -> usize {
        self.caches.purge(|_| true)
    }

    /// Stops answering from caches: this process ends, and nobody tells it of changes any more.
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

    /// The groups and upstreams as an operator sees them.
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
        });
        groups.collect()
    }

    /// Sends no more requests to the upstream and waits, at most for `limit`, until it has none in flight. Returns whether
    /// it has none.
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
                .filter(|u| u.entry.address == address)
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
        address: upstream.entry.address.clone(),
        weight: upstream.entry.weight,
        state: word(&upstream.standing.state(now)),
        in_flight: upstream.in_flight(),
        queued: upstream.waiting(),
        requests: upstream.standing.requests(),
    }
}

impl Table {
    fn new(config: &Config, before: Option<&Self>, metrics: &Metrics, caches: &Caches) -> Self {
        let groups: BTreeMap<_, _> = config
            .upstreams
            .iter()
            .map(|(name, settings)| {
                let before = before.and_then(|table| table.groups.get(name));
                let group = match before {
                    Some(group) if group.settings == *settings && group.retry == config.retry => {
                        group.clone()
                    }
                    _ => {
                        let mut group = group(name, settings, config, before, metrics);
                        let cache = settings.cache.as_ref();
                        group.cache = cache.map(|settings| caches.of(name, settings, metrics));
                        Arc::new(group)
                    }
                };
                (name.clone(), group)
            })
            .collect();
        Self {
            routes: Routes::new(&config.routes, |name| groups.get(name).cloned()),
            rate: rate(config, before),
            config: config.clone(),
            groups,
        }
    }

    fn upstreams(&self) -> impl Iterator<Item = (&str, &Arc<Upstream>)> {
        self.groups.values().flat_map(|group| {
            group
                .upstreams
                .iter()
                .map(|upstream| (&*group.name, upstream))
        })
    }
}

/// Makes a group; upstreams that were in it before keep their standing.
fn group(
    name: &str,
    settings: &config::Group,
    config: &Config,
    before: Option<&Arc<Group>>,
    metrics: &Metrics,
) -> Group {
    let upstreams = settings
        .servers
        .iter()
        .map(|entry| {
            let known = before
                .into_iter()
                .flat_map(|group| &group.upstreams)
                .find(|upstream| upstream.entry.address == entry.address);
            let standing = known.map(|u| u.standing.clone()).unwrap_or_default();
            if settings.health.is_none() {
                standing.is_not_checked();
            }
            Arc::new(Upstream::new(name, settings, entry, standing, metrics))
        })
        .collect();
    Group::new(name, settings, &config.retry, upstreams, metrics)
}

fn rate(config: &Config, before: Option<&Table>) -> Option<Arc<ClientRate>> {
    let settings = config.limits.rate.as_ref()?;
    match before {
        Some(table) if table.config.limits.rate.as_ref() == Some(settings) => table.rate.clone(),
        _ => ClientRate::new(settings).map(Arc::new),
    }
}
