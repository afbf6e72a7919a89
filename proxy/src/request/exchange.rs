//! What is remembered about one request while pingora takes it through its phases.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Method, Version};
use pingora_error::Error;
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::access_log::{AccessLog, Entry};
use super::attempts::Attempts;
use crate::cache::{self, Cache, FetchStart, Outcome};
use crate::clients::Place;
use crate::message::problem::Problem;
use crate::metrics::{ERROR, Reason, class};
use crate::table::live::Table;
use crate::upstream::Group;

/// One request and its answer, by what each phase finds out.
pub(crate) struct Exchange {
    /// The configuration the request began with, and ends with.
    pub(crate) table: Arc<Table>,
    pub(crate) started: Instant,
    /// Found out first of all, whether the request is let in or not.
    pub(crate) origin: Origin,
    /// The request's place among its client's, once it has one.
    pub(crate) place: Option<Place>,
    /// Present once the request is let in.
    pub(crate) route: Option<Route>,
    pub(crate) caching: Caching,
    pub(crate) attempts: Attempts,
    pub(crate) ending: Ending,
}

/// Where a request comes from.
pub(crate) struct Origin {
    pub(crate) request_id: HeaderValue,
    /// The other end of the connection.
    pub(crate) peer: IpAddr,
    /// The client's address, as believed.
    pub(crate) client: IpAddr,
    pub(crate) https: bool,
    /// Nobody waits for this one: it fetches what is to be in the cache when the next client asks.
    pub(crate) is_background: bool,
}

/// Where a request goes to.
pub(crate) struct Route {
    pub(crate) group: Arc<Group>,
    /// Whether the request may reach an upstream twice.
    pub(crate) replayable: bool,
}

/// What the cache has to do with a request.
#[derive(Default)]
pub(crate) struct Caching {
    pub(crate) usage: cache::Use,
    /// When the upstream was asked for what may be kept.
    pub(crate) fetch: Option<FetchStart>,
    /// The 304 that confirmed a kept answer.
    pub(crate) renewal: Option<Box<ResponseHeader>>,
}

/// What is known of the client's answer.
#[derive(Default)]
pub(crate) struct Ending {
    /// Why the proxy answers itself.
    pub(crate) problem: Option<Problem>,
    /// Why the proxy turned the request away, if it did.
    pub(crate) refused: Option<Reason>,
    /// Whether the answer has no body, by the request's method or its own status.
    pub(crate) bodiless: bool,
}

impl Origin {
    /// The origin of a request that nothing is known about yet.
    fn unknown() -> Self {
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        Self {
            request_id: HeaderValue::from_static("-"),
            peer: nowhere,
            client: nowhere,
            https: false,
            is_background: false,
        }
    }
}

impl Exchange {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        let started = Instant::now();
        Self {
            table,
            started,
            origin: Origin::unknown(),
            place: None,
            route: None,
            caching: Caching::default(),
            attempts: Attempts::none(started),
            ending: Ending::default(),
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.origin.request_id.to_str().unwrap_or("-")
    }

    /// The group that the request is routed to.
    pub(crate) fn group(&self) -> Option<&Arc<Group>> {
        self.route.as_ref().map(|route| &route.group)
    }

    /// The cache that the request uses.
    pub(crate) fn cache(&self) -> Option<&'static Cache> {
        let cache = self.group()?.cache;
        cache.filter(|_| self.caching.usage == cache::Use::Full)
    }

    /// What the cache did; none where there is no cache.
    pub(crate) fn outcome(&self, session: &Session) -> Option<Outcome> {
        Outcome::of(&session.cache, self.caching.usage)
    }

    /// What is left of the time for the whole request.
    ///
    /// # Errors
    /// [`Problem::UpstreamTimedOut`] if nothing is left.
    pub(crate) fn time_left(&self) -> Result<Duration, Problem> {
        self.table
            .config
            .limits
            .request_timeout
            .checked_sub(self.started.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(Problem::UpstreamTimedOut)
    }

    /// Forgets what belongs to the try before.
    pub(crate) fn begin_try(&mut self) {
        self.attempts.end();
        self.attempts.body.sent_bytes = 0;
        self.ending.problem = None;
        self.caching.renewal = None;
        self.caching.fetch = self.cache().map(Cache::fetch_start);
    }

    /// The upstream began to answer.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(lease) = self.attempts.lease() {
            lease.upstream.metrics.requests[class(status)].inc();
        }
    }

    /// The try failed, and this is what the client is told if there is no other.
    pub(crate) fn broke(&mut self, problem: Problem) {
        if let (Some(group), Some(upstream)) = (self.group(), self.attempts.tries.last()) {
            upstream.metrics.requests[ERROR].inc();
            group.failed(upstream);
        }
        self.ending.problem = Some(problem);
    }

    /// Whether the request may reach an upstream twice.
    pub(crate) fn is_replayable(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.replayable)
    }

    /// A kept connection broke. Whether the upstream is asked again, on a new one.
    pub(crate) fn asks_afresh(&mut self) -> bool {
        self.is_replayable() && self.attempts.take_back_stale()
    }

    pub(crate) fn has_tries_left(&self) -> bool {
        self.attempts.tries.count() < self.table.config.retry.max_tries && self.time_left().is_ok()
    }

    /// Whether what may have reached an upstream may be sent to another. Takes one from the budget if so.
    pub(crate) fn may_replay(&self) -> bool {
        let Some(group) = self.group() else {
            return false;
        };
        if !self.is_replayable() || !self.has_tries_left() {
            return false;
        }
        let granted = group.budget.withdraw(Instant::now());
        if !granted {
            group.metrics.retry_budget_exhausted.inc();
        }
        granted
    }

    pub(crate) fn count_replay(&self, timed_out: bool) {
        if let Some(group) = self.group() {
            if timed_out {
                group.metrics.retries_timeout.inc();
            } else {
                group.metrics.retries_broken.inc();
            }
        }
    }

    /// Says once, where it is handled, why the proxy answers itself or breaks off.
    pub(crate) fn log_failure(&self, session: &Session, error: &Error, status: u16) {
        if (400..500).contains(&status) || status == 0 {
            tracing::debug!(request = self.id(), status, "{error}");
            return;
        }
        let request = session.req_header();
        tracing::warn!(
            request = self.id(),
            status,
            tries = self.attempts.tries.count(),
            "{} {} failed: {error}",
            request.method,
            request.uri.path()
        );
    }

    /// Counts and logs the request, and gives its place back.
    pub(crate) fn finish(
        &mut self,
        session: &Session,
        error: Option<&Error>,
        access_log: &AccessLog,
    ) {
        let status = final_status(session);
        let duration = self.started.elapsed();
        // An old answer may have been given in place of a failure.
        let (problem, lease) = (&self.ending.problem, self.attempts.lease());
        if let (None, None, Some(lease)) = (error, problem, lease) {
            lease.upstream.standing.succeeded();
        }
        self.attempts.end();
        let outcome = self.outcome(session);
        if let Some(group) = self.group() {
            if self.origin.is_background {
                return group.cache.into_iter().for_each(Cache::count_background);
            }
            group.metrics.requests[status.map_or(ERROR, class)].inc();
            group.metrics.duration.observe(duration.as_secs_f64());
            if let (Some(cache), Some(outcome)) = (group.cache, outcome) {
                cache.count(outcome);
            }
        }
        let status = status.unwrap_or(0);
        if access_log.enabled_for(status) {
            self.log(session, access_log, status, duration);
        }
    }

    /// Whether this is a call that no host has counted, as the cache answered it.
    pub(crate) fn is_uncounted_call(&self, session: &Session) -> bool {
        self.outcome(session).is_some_and(Outcome::is_from_cache)
            && !self.attempts.is_sent
            && !self.origin.is_background
            && session.req_header().method == Method::GET
    }

    fn log(&self, session: &Session, access_log: &AccessLog, status: u16, duration: Duration) {
        let request = session.req_header();
        let header = |name| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let tries = &self.attempts.tries;
        access_log.log(&Entry {
            time: SystemTime::now() - duration,
            request_id: self.id(),
            client: self.origin.client,
            method: request.method.as_str(),
            path: request
                .uri
                .path_and_query()
                .map_or("*", |path| path.as_str()),
            host: header(HOST).or(request.uri.host()),
            http_version: match request.version {
                Version::HTTP_10 => "1.0",
                Version::HTTP_2 => "2",
                _ => "1.1",
            },
            status,
            bytes_sent: session.body_bytes_sent() as u64,
            duration,
            group: self.group().map(|group| &*group.name),
            upstream: tries.last().map(|upstream| &*upstream.entry.address),
            tries: tries.count(),
            cache: self.outcome(session).map(Outcome::label),
            refused: self.ending.refused.map(Reason::label),
            user_agent: header(USER_AGENT),
        });
    }
}

/// The status of the answer that the client got; `100 Continue` and its kin are none.
pub(crate) fn final_status(session: &Session) -> Option<u16> {
    session
        .response_written()
        .filter(|answer| !answer.status.is_informational())
        .map(|answer| answer.status.as_u16())
}
