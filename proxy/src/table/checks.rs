//! Runs health checks, and lets ejected upstreams return.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::live::LiveTable;
use crate::upstream::check;

/// Time between two looks for due checks.
const TICK: Duration = Duration::from_millis(50);

/// Time between two removals of idle clients' request rates.
const FORGET_CLIENTS: Duration = Duration::from_secs(60);

/// Checks upstreams until the proxy stops.
pub(crate) struct HealthChecks {
    live: Arc<LiveTable>,
}

impl HealthChecks {
    /// Health checks of all upstreams of the configuration in force.
    pub(crate) fn new(live: Arc<LiveTable>) -> Self {
        Self { live }
    }
}

#[async_trait]
impl BackgroundService for HealthChecks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = Round::default();
        let mut forgot = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Requests in flight still need checks. The sender is dropped when these requests end.
                ended = shutdown.changed() => if ended.is_err() { return },
            }
            let now = Instant::now();
            round.go(&self.live, now);
            if now - forgot >= FORGET_CLIENTS {
                forgot = now;
                if let Some(rate) = &self.live.table().rate {
                    rate.forget_idle();
                }
            }
        }
    }
}

/// When each upstream is checked next, and the running checks. Dropping this ends them.
#[derive(Default)]
struct Round {
    due: HashMap<(String, String), Instant>,
    running: JoinSet<(String, String)>,
}

impl Round {
    fn go(&mut self, live: &LiveTable, now: Instant) {
        while self.running.try_join_next().is_some() {}
        let table = live.table_to_keep();
        let mut due = HashMap::new();
        for group in table.groups.values() {
            group.refresh(now);
            let Some(settings) = &group.settings.health else {
                continue;
            };
            for upstream in &group.upstreams {
                let id = (group.name.clone(), upstream.endpoint.address.clone());
                let at = self.due.get(&id).copied().unwrap_or(now);
                if at > now {
                    due.insert(id, at);
                    continue;
                }
                // The next check is due after this one's timeout, so it can't overtake it.
                due.insert(
                    id.clone(),
                    now + settings.interval.max(settings.timeout + TICK),
                );
                let (group, upstream) = (group.clone(), upstream.clone());
                self.running.spawn(async move {
                    check(&group, &upstream).await;
                    id
                });
            }
        }
        self.due = due;
    }
}
