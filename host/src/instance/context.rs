//! What all instances of a component share: settings, limits, pools.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use store_server::trace::{Ids, Tracing};
use tokio::sync::Semaphore;

use super::log_limit::LogLimit;
use super::probe::Probe;
use crate::config::Limits;
use crate::metrics::{Metrics, Refusal};
use crate::outbound::{AllowedHost, Backend, Kind, LogThrottle};
use crate::{mysql, redis};

/// What all instances of a component share, in all its generations. Two live generations share one limit and one MySQL
/// pool, from which each gets connections of its own or connections that were reset. A reload makes a new context;
/// until the generations of the old one have drained, the limits and pools of both exist.
pub(crate) struct Context {
    pub(crate) id: String,
    /// The id in the form that traces share.
    pub(crate) name: Arc<str>,
    pub(crate) variables: HashMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) allowed_hosts: Vec<AllowedHost>,
    pub(crate) limits: Limits,
    pub(crate) log_limit: Arc<LogLimit>,
    /// The request that a new generation must answer before it serves.
    pub(crate) probe: Probe,
    /// The interval of calls to the component's refresh function, if it has one.
    pub(crate) refresh_interval: Duration,
    /// One permit for each request in flight.
    pub(crate) in_flight: Arc<Semaphore>,
    /// Permits for health checks that come when `in_flight` has none left.
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
    /// The backend at `address`, if the component may connect to it. `ids` are those of the request for which it asks.
    ///
    /// # Errors
    /// The component may not connect there. The error says why, without the user and password in the address.
    pub(crate) fn check_outbound(
        &self,
        address: &str,
        kind: Kind,
        ids: Option<Ids>,
    ) -> Result<Backend, String> {
        let backend = self.allowed(address, kind);
        backend.inspect_err(|reason| self.note_refusal(Refusal::Address, reason, ids))
    }

    /// Counts a call of the component that the host refuses, and logs it as often as a [`LogThrottle`] allows. `ids`
    /// are those of the request for which the component calls.
    pub(crate) fn note_refusal(&self, refusal: Refusal, reason: &str, ids: Option<Ids>) {
        self.metrics.refuse_outbound(&self.id, refusal);
        self.warn(
            &self.refusals,
            ids,
            format_args!("Refused `{}`: {reason}", self.id),
        );
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

    /// Logs that MySQL or Redis failed the request with these `ids`, as often as a [`LogThrottle`] allows.
    pub(crate) fn warn_of_outage(&self, error: &dyn Display, ids: Option<Ids>) {
        self.warn(&self.outages, ids, format_args!("`{}`: {error}", self.id));
    }

    /// Logs that Redis does not report changes of values, as often as a [`LogThrottle`] allows. `ids` are those of the
    /// request that asked for a value.
    pub(crate) fn warn_of_near_refusal(&self, error: &dyn Display, ids: Option<Ids>) {
        let id = &self.id;
        self.warn(
            &self.near_refusals,
            ids,
            format_args!("`{id}`: Redis values are not cached in the host's memory: {error}"),
        );
    }

    /// Logs a trouble of the request with these `ids`, as often as `throttle` allows.
    fn warn(&self, throttle: &LogThrottle, ids: Option<Ids>, trouble: fmt::Arguments<'_>) {
        if throttle.is_to_be_logged() {
            tracing::warn!(
                component = self.id,
                trace_id = ids.map(|ids| display(ids.trace)),
                span_id = ids.map(|ids| display(ids.span)),
                "{trouble}"
            );
        }
    }
}
