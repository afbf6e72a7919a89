//! Looks up names of upstreams again when their answers have expired.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::live::LiveTable;
use crate::config::ServerLocation;
use crate::names::names_of;

/// Time between two looks for due look-ups.
const TICK: Duration = Duration::from_millis(100);

/// Looks names up until the proxy stops.
pub(crate) struct NameLookups {
    live: Arc<LiveTable>,
}

impl NameLookups {
    /// Looks up all names of the configuration in force.
    pub(crate) fn new(live: Arc<LiveTable>) -> Self {
        Self { live }
    }
}

#[async_trait]
impl BackgroundService for NameLookups {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round::default();
        loop {
            tokio::select! {
                _ = ticks.tick() => round.go(&self.live, Instant::now()),
                // Requests in flight may still need look-ups. The sender is dropped when these requests end.
                ended = shutdown.changed() => if ended.is_err() { return },
            }
        }
    }
}

/// The running look-ups. Dropping this ends them.
#[derive(Default)]
struct Round {
    asked: HashSet<ServerLocation>,
    running: JoinSet<(ServerLocation, bool)>,
}

impl Round {
    fn go(&mut self, live: &Arc<LiveTable>, now: Instant) {
        let mut has_changed = false;
        while let Some(ended) = self.running.try_join_next() {
            match ended {
                Ok((location, changed)) => {
                    self.asked.remove(&location);
                    has_changed |= changed;
                }
                // A look-up that panicked does not say which name it was for, so any name may be asked again.
                Err(_) => self.asked.clear(),
            }
        }
        if has_changed {
            live.follow_names();
        }
        let table = live.table_to_keep();
        for location in names_of(&table.config) {
            if live.names.is_due(location, now) && self.asked.insert(location.clone()) {
                let (live, location) = (live.clone(), location.clone());
                let settings = table.config.resolver.clone();
                self.running.spawn(async move {
                    let changed = live.names.ask(&location, &settings).await;
                    (location, changed)
                });
            }
        }
    }
}
