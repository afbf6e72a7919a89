//! What all instances of a component share: its settings, its limits, its pools.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use store_server::trace::Tracing;
use tokio::sync::Semaphore;

use super::probe::Probe;
use crate::config::Limits;
use crate::metrics::{Metrics, Refusal};
use crate::outbound::{AllowedHost, Backend, Kind};
use crate::{mysql, redis};

/// Between two log lines about the same trouble of the same component.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// What all instances of a component share, whatever their generation: two generations that are alive together have
/// one limit and one MySQL pool between them, from which each gets its own connections or such as were reset. A reload
/// makes another, and until the generations of before have drained both count.
pub(crate) struct Context {
    pub(crate) id: String,
    /// The id as traces share it.
    pub(crate) name: Arc<str>,
    pub(crate) variables: HashMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) allowed_hosts: Vec<AllowedHost>,
    pub(crate) limits: Limits,
    /// What a new generation must answer before it serves.
    pub(crate) probe: Probe,
    /// How often its refresh function is called, if it has one.
    pub(crate) refresh_interval: Duration,
    /// One permit for each request in flight.
    pub(crate) in_flight: Arc<Semaphore>,
    /// For requests like the probe when `in_flight` has none left.
    pub(crate) health_checks: Arc<Semaphore>,
    pub(crate) mysql: mysql::Pools,
    pub(crate) redis: redis::Terms,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tracing: Tracing,
    pub(crate) outages: LogThrottle,
    pub(crate) near_refusals: LogThrottle,
    pub(crate) refusals: LogThrottle,
}

impl Context {
    /// The backend at `address`, if the component may connect to it.
    ///
    /// # Errors
    /// The component may not connect there. The text says why, without the address's user and password.
    pub(crate) fn check_outbound(&self, address: &str, kind: Kind) -> Result<Backend, String> {
        let backend = self.allowed(address, kind);
        backend.inspect_err(|reason| self.note_refusal(Refusal::Address, reason))
    }

    /// Counts something that the component asked for and the host refuses, and logs it, but not once for each request.
    pub(crate) fn note_refusal(&self, refusal: Refusal, reason: &str) {
        self.metrics.refuse_outbound(&self.id, refusal);
        if self.refusals.is_to_be_logged() {
            tracing::warn!(component = self.id, "Refused `{}`: {reason}", self.id);
        }
    }

    fn allowed(&self, address: &str, kind: Kind) -> Result<Backend, String> {
        let backend = Backend::parse(address, kind)?;
        self.mysql.servers().check(&backend)?;
        if self.allowed_hosts.iter().any(|host| host.allows(&backend)) {
            return Ok(backend);
        }
        Err(format!(
            "{backend:?} is not among the allowed_outbound_hosts of `{}`",
            self.id
        ))
    }

    /// Logs that MySQL or Redis failed, but not once for each request.
    pub(crate) fn warn_of_outage(&self, error: &dyn Display) {
        if self.outages.is_to_be_logged() {
            tracing::warn!(component = self.id, "`{}`: {error}", self.id);
        }
    }

    /// Logs that Redis does not tell of changes, but not once for each request.
    pub(crate) fn warn_of_near_refusal(&self, error: &dyn Display) {
        if self.near_refusals.is_to_be_logged() {
            tracing::warn!(
                component = self.id,
                "`{}`: Redis values are not kept near: {error}",
                self.id
            );
        }
    }
}

/// Something that every request may meet, and that is logged now and then.
#[derive(Default)]
pub(crate) struct LogThrottle {
    logged_at: Mutex<Option<Instant>>,
}

impl LogThrottle {
    /// Whether to log it now; if so, not again for a while.
    pub(crate) fn is_to_be_logged(&self) -> bool {
        let mut logged_at = self.logged_at.lock();
        let is_due = logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
        if is_due {
            *logged_at = Some(Instant::now());
        }
        is_due
    }
}
