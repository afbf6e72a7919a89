//! The addresses of the servers that the configuration gives by name.
//!
//! [`Names`] remembers the last known addresses of each name, so that servers stay known when no name server answers,
//! and decides when a name is looked up again. `table` does the look-ups, and decides what follows from the answers.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use futures::future::join_all;
use parking_lot::Mutex;

pub(crate) use store_server::names::ResolvedServer;
use store_server::names::{Change, LookupError, NameState, Resolver, SystemFiles, list, look_up};

use crate::config::{Config, ServerLocation};
use crate::metrics::Metrics;

/// The state of all names of the configuration.
pub(crate) struct Names {
    /// Written by look-ups and reloads.
    known: Mutex<BTreeMap<ServerLocation, NameState>>,
    files: SystemFiles,
    metrics: Arc<Metrics>,
}

/// What operators are shown about one name.
pub(crate) struct NameSummary {
    pub(crate) addresses: usize,
    /// Why the last look-up found nothing, if it failed.
    pub(crate) trouble: Option<String>,
}

impl Names {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            files: SystemFiles::default(),
            metrics,
        })
    }

    /// Looks up all names of `config` at the same time. A failed look-up is logged, and the name keeps its addresses.
    pub(crate) async fn ask_for_all(&self, config: &Config) {
        let asked = names_of(config).map(|location| self.ask(location, &config.resolver));
        join_all(asked).await;
    }

    /// Looks up one name. Returns whether its addresses have changed.
    pub(crate) async fn ask(&self, location: &ServerLocation, settings: &Resolver) -> bool {
        let name = location.to_string();
        self.metrics.announce_name(&name);
        let found = look_up(&self.files, location, settings).await;
        let (change, result) = {
            let mut known = self.known.lock();
            let state = known.entry(location.clone()).or_default();
            let change = state.take_in(found, settings.min_interval, Instant::now());
            (change, state.trouble().map_or("ok", LookupError::label))
        };
        self.metrics.name_looked_up(&name, result);
        change.log(&name);
        matches!(change, Change::Addresses { .. })
    }

    /// The last known servers of a name; empty if the name was never found.
    pub(crate) fn found(&self, location: &ServerLocation) -> Vec<ResolvedServer> {
        let known = self.known.lock();
        known
            .get(location)
            .map_or_else(Vec::new, |known| known.found().to_vec())
    }

    /// What operators are shown about a name.
    pub(crate) fn summary(&self, location: &ServerLocation) -> NameSummary {
        let known = self.known.lock();
        let known = known.get(location);
        NameSummary {
            addresses: known.map_or(0, |known| known.found().len()),
            trouble: known.and_then(|known| Some(known.trouble()?.to_string())),
        }
    }

    /// Whether the name is to be looked up now.
    pub(crate) fn is_due(&self, location: &ServerLocation, now: Instant) -> bool {
        self.known
            .lock()
            .get(location)
            .is_none_or(|known| known.due_in(now).is_zero())
    }

    /// Forgets names that the configuration no longer has.
    pub(crate) fn keep_those_of(&self, config: &Config) {
        self.known.lock().retain(|location, _| {
            let stays = names_of(config).any(|name| name == location);
            if !stays {
                self.metrics.forget_name(&location.to_string());
            }
            stays
        });
    }
}

/// All names that must be looked up. A name that several entries have comes several times.
pub(crate) fn names_of(config: &Config) -> impl Iterator<Item = &ServerLocation> {
    config
        .upstreams
        .values()
        .flat_map(|group| &group.servers)
        .map(|server| &server.location)
        .filter(|location| !matches!(location, ServerLocation::Address(_)))
}

/// What the names of a configuration stand for now, as one line for each name.
pub(crate) async fn describe(config: &Config) -> String {
    let files = SystemFiles::default();
    let mut text = String::new();
    let locations: std::collections::BTreeSet<_> = names_of(config).collect();
    for location in locations {
        // Writing to a string never fails.
        _ = match look_up(&files, location, &config.resolver).await {
            Ok(answer) => writeln!(text, "# {location} is {}", list(&answer.found)),
            Err(trouble) => writeln!(text, "# {location} can't be looked up: {trouble}"),
        };
    }
    text
}
