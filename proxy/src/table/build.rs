//! Makes a table from a configuration and the known addresses of its names, and reuses the unchanged parts of the table
//! before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::routes::Routes;
use crate::cache::Caches;
use crate::clients::ClientRate;
use crate::config::{self, Config, Policy, ServerEntry, ServerLocation};
use crate::metrics::Metrics;
use crate::names::Names;
use crate::upstream::{Endpoint, Group, Standing, Upstream};

/// One configuration, ready for requests.
pub(crate) struct Table {
    pub(crate) config: Config,
    pub(crate) routes: Routes,
    pub(crate) groups: BTreeMap<String, Arc<Group>>,
    pub(crate) rate: Option<Arc<ClientRate>>,
}

/// The parts that tables are made of, beside a configuration.
pub(super) struct Builder<'a> {
    pub(super) names: &'a Names,
    pub(super) metrics: &'a Metrics,
    pub(super) caches: &'a Caches,
}

impl Table {
    pub(super) fn upstreams(&self) -> impl Iterator<Item = (&str, &Arc<Upstream>)> {
        self.groups.values().flat_map(|group| {
            group
                .upstreams
                .iter()
                .map(|upstream| (&*group.name, upstream))
        })
    }
}

impl Builder<'_> {
    /// The table for `config`. Groups and upstreams that are the same as in the table `before` are reused.
    pub(super) fn table(&self, config: &Config, before: Option<&Table>) -> Table {
        let groups: BTreeMap<_, _> = config
            .upstreams
            .iter()
            .map(|(name, settings)| {
                let before = before.and_then(|table| table.groups.get(name));
                (name.clone(), self.group(name, settings, config, before))
            })
            .collect();
        Table {
            routes: Routes::new(&config.routes, |name| groups.get(name).cloned()),
            rate: rate(config, before),
            config: config.clone(),
            groups,
        }
    }

    fn group(
        &self,
        name: &str,
        settings: &config::Group,
        config: &Config,
        before: Option<&Arc<Group>>,
    ) -> Arc<Group> {
        let endpoints = self.endpoints(settings);
        let as_before =
            before.filter(|group| group.settings == *settings && group.retry == config.retry);
        if let Some(group) = as_before {
            let there = group.upstreams.iter().map(|upstream| &upstream.endpoint);
            if there.eq(endpoints.iter().map(|(endpoint, _)| endpoint)) {
                return group.clone();
            }
        }
        let upstreams = endpoints
            .into_iter()
            .map(|(endpoint, entry)| {
                let stays = as_before.into_iter().flat_map(|group| &group.upstreams);
                let stays = stays.into_iter().find(|there| there.endpoint == endpoint);
                stays.cloned().unwrap_or_else(|| {
                    let standing = standing(settings, &endpoint, before);
                    let metrics = self.metrics;
                    Arc::new(Upstream::new(
                        name, settings, entry, endpoint, standing, metrics,
                    ))
                })
            })
            .collect();
        if let Some(group) = as_before {
            return Arc::new(group.with(upstreams));
        }
        let mut group = Group::new(name, settings, &config.retry, upstreams, self.metrics);
        let cache = settings.cache.as_ref();
        group.cache = cache.map(|settings| self.caches.of(name, settings, self.metrics));
        Arc::new(group)
    }

    /// All upstreams of a group, each address once, with the entries of the file that they come from.
    fn endpoints<'e>(&self, settings: &'e config::Group) -> Vec<(Endpoint, &'e ServerEntry)> {
        let mut endpoints: Vec<(Endpoint, &ServerEntry)> = Vec::new();
        for entry in &settings.servers {
            for endpoint in self.endpoints_of(entry, settings.policy) {
                let is_new = |(there, _): &(Endpoint, _)| there.socket != endpoint.socket;
                if endpoints.iter().all(is_new) {
                    endpoints.push((endpoint, entry));
                }
            }
        }
        endpoints
    }

    fn endpoints_of(&self, entry: &ServerEntry, policy: Policy) -> Vec<Endpoint> {
        if let ServerLocation::Address(socket) = entry.location {
            return vec![Endpoint {
                socket,
                address: entry.written().to_owned(),
                name: None,
                host: socket.ip().to_string(),
                weight: entry.weight,
            }];
        }
        let takes_weights = policy != Policy::RoundRobin;
        let found = self.names.found(&entry.location).into_iter();
        let endpoints = found.map(|found| Endpoint {
            socket: found.address,
            address: found.address.to_string(),
            name: Some(entry.written().to_owned()),
            host: found.host,
            weight: found
                .weight
                .filter(|_| takes_weights)
                .unwrap_or(entry.weight),
        });
        endpoints.collect()
    }
}

/// The standing that the same upstream had before. A new upstream that was found by a name must first pass a health
/// check.
fn standing(
    settings: &config::Group,
    endpoint: &Endpoint,
    before: Option<&Arc<Group>>,
) -> Arc<Standing> {
    let mut there = before.into_iter().flat_map(|group| &group.upstreams);
    let there = there.find(|upstream| upstream.endpoint.address == endpoint.address);
    match (there, &settings.health) {
        (Some(there), health) => {
            let standing = there.standing.clone();
            standing.set_checked(health.is_some());
            standing
        }
        (None, Some(health)) if endpoint.name.is_some() => Arc::new(Standing::unproven(health)),
        (None, _) => Arc::default(),
    }
}

fn rate(config: &Config, before: Option<&Table>) -> Option<Arc<ClientRate>> {
    let settings = config.limits.rate.as_ref()?;
    match before {
        Some(table) if table.config.limits.rate.as_ref() == Some(settings) => table.rate.clone(),
        _ => ClientRate::new(settings).map(Arc::new),
    }
}
