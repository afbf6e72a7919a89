//! Health checks, and the return of upstreams that were left out for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use pingora_error::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::config;
use crate::group::Group;
use crate::live::Live;
use crate::upstream::Upstream;

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(50);

/// Between two looks at which clients' rates can be forgotten.
const FORGET_CLIENTS: Duration = Duration::from_secs(60);

/// Checks upstreams until the proxy stops.
pub struct HealthChecks {
    live: Arc<Live>,
}

impl HealthChecks {
    /// For all upstreams of the configuration in force.
    pub fn new(live: Arc<Live>) -> Self {
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
                // Requests in flight still need them, but not for long, and the sender's end is the end.
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

/// When each upstream is checked next, and the checks that are under way. They end when this is dropped.
#[derive(Default)]
struct Round {
    due: HashMap<(String, String), Instant>,
    running: JoinSet<(String, String)>,
}

impl Round {
    fn go(&mut self, live: &Live, now: Instant) {
        while self.running.try_join_next().is_some() {}
        let table = live.table_to_keep();
        let mut due = HashMap::new();
        for group in table.groups.values() {
            group.refresh(now);
            let Some(settings) = &group.settings.health else {
                continue;
            };
            for upstream in &group.upstreams {
                let id = (group.name.clone(), upstream.entry.address.clone());
                let at = self.due.get(&id).copied().unwrap_or(now);
                if at > now {
                    due.insert(id, at);
                    continue;
                }
                // The time for a check is bounded, so that the next one never overtakes it.
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

async fn check(group: &Group, upstream: &Upstream) {
    let Some(settings) = &group.settings.health else {
        return;
    };
    let outcome = tokio::time::timeout(settings.timeout, ask(group, upstream))
        .await
        .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "no answer in time"));
    if !upstream.standing.checked(outcome.is_ok(), settings) {
        return;
    }
    let address = &upstream.entry.address;
    match outcome {
        Ok(()) => tracing::info!(group = group.name, upstream = address, "`{address}` is up"),
        Err(error) => tracing::warn!(
            group = group.name,
            upstream = address,
            "`{address}` is down: {}",
            reason(&error)
        ),
    }
    group.refresh(Instant::now());
}

async fn ask(group: &Group, upstream: &Upstream) -> pingora_error::Result<()> {
    let Some(checker) = &group.checker else {
        return Ok(());
    };
    let target = Backend::new(&upstream.entry.resolved.to_string())?;
    checker.check(&target).await
}

fn reason(error: &Error) -> String {
    format!("{}: {}", error.etype().as_str(), error.reason_str())
}

/// The check of a group's upstreams. Each is a new connection: one that is kept alive can hide that no new ones are
/// accepted.
pub(crate) fn checker(settings: &config::Health) -> pingora_error::Result<HttpHealthCheck> {
    let expected = settings.status;
    let mut check = HttpHealthCheck::new("localhost", false);
    check.peer_template.options.connection_timeout = Some(settings.timeout);
    check.peer_template.options.read_timeout = Some(settings.timeout);
    check.req.set_raw_path(settings.path.as_bytes())?;
    check.req.insert_header("user-agent", "store-proxy")?;
    check.validator = Some(Box::new(move |answer| {
        let status = answer.status.as_u16();
        if status == expected {
            return Ok(());
        }
        let reason = format!("answered {status} instead of {expected}");
        Error::e_explain(ErrorType::HTTPStatus(status), reason)
    }));
    Ok(check)
}
