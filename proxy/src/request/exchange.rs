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
use crate::cache::{self, Cache, FetchStart, Outcome};
use crate::clients::Place;
use crate::message::problem::Problem;
use crate::metrics::{ERROR, Reason, class};
use crate::table::live::Table;
use crate::upstream::Lease;
use crate::upstream::{Group, Tries};

/// A kept connection that the upstream had closed breaks within a round trip.
const STALE_SHOWS: Duration = Duration::from_millis(250);

/// One request and its answer.
pub(crate) struct Exchange {
    /// The configuration the request began with, and ends with.
    pub(crate) table: Arc<Table>,
    pub(crate) started: Instant,
    pub(crate) request_id: HeaderValue,
    /// The other end of the connection.
    pub(crate) peer: IpAddr,
    /// The client's address, as believed.
    pub(crate) client: IpAddr,
    pub(crate) https: bool,
    /// The request's place among its client's.
    pub(crate) place: Option<Place>,
    pub(crate) group: Option<Arc<Group>>,
    pub(crate) tried: Tries,
    /// When the last try began.
    pub(crate) tried_at: Instant,
    /// Where the request is now.
    pub(crate) lease: Option<Lease>,
    pub(crate) replayable: bool,
    /// The next try gets a new connection, as an old one turned out to be closed.
    pub(crate) afresh: bool,
    /// Bytes of the body that this try has sent on.
    pub(crate) body_bytes: u64,
    /// Whether the client has sent all of it.
    pub(crate) body_arrived: bool,
    /// Why the proxy answers itself.
    pub(crate) problem: Option<Problem>,
    /// Why the proxy turned the request away, if it did.
    pub(crate) refused: Option<Reason>,
    /// Nobody waits for this one: it fetches what is to be in the cache when the next client asks.
    pub(crate) is_background: bool,
    pub(crate) caching: cache::Use,
    /// When the upstream was asked for what may be kept.
    pub(crate) asked: Option<FetchStart>,
    /// The 304 that confirmed a kept answer.
    pub(crate) renewal: Option<Box<ResponseHeader>>,
    /// Whether the client's answer has no body, by the request's method or its own status.
    pub(crate) bodiless: bool,
    /// Whether an upstream was sent the request, and so has counted it.
    pub(crate) is_sent: bool,
}

impl Exchange {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        let nowhere = IpAddr::from([0, 0, 0, 0]);
        let started = Instant::now();
        Self {
            table,
            started,
            request_id: HeaderValue::from_static("-"),
            peer: nowhere,
            client: nowhere,
            https: false,
            place: None,
            group: None,
            tried: Tries::default(),
            tried_at: started,
            lease: None,
            replayable: false,
            afresh: false,
            body_bytes: 0,
            body_arrived: false,
            problem: None,
            refused: None,
            is_background: false,
            caching: cache::Use::None,
            asked: None,
            renewal: None,
            bodiless: false,
            is_sent: false,
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or("-")
    }

    /// The cache that the request uses.
    pub(crate) fn cache(&self) -> Option<&'static Cache> {
        let group = self.group.as_ref()?;
        group.cache.filter(|_| self.caching == cache::Use::Full)
    }

    /// What is left of the time for the whole request.
    ///
    /// # Errors
    /// Nothing.
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
        self.end_try();
        self.problem = None;
        self.renewal = None;
        self.body_bytes = 0;
    }

    fn end_try(&mut self) {
        if let Some(lease) = self.lease.take() {
            let seconds = self.tried_at.elapsed().as_secs_f64();
            lease.upstream.metrics.duration.observe(seconds);
        }
    }

    /// The upstream began to answer.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(lease) = &self.lease {
            lease.upstream.metrics.requests[class(status)].inc();
        }
    }

    /// The try failed, and this is what the client is told if there is no other.
    pub(crate) fn broke(&mut self, problem: Problem) {
        if let (Some(group), Some(upstream)) = (&self.group, self.tried.last()) {
            upstream.metrics.requests[ERROR].inc();
            group.failed(upstream);
        }
        self.problem = Some(problem);
    }

    /// A kept connection turned out to be closed. That is no fault of the upstream and costs no try: it is asked again, on
    /// a new one, if that can't do a thing twice and was not done before. One that broke later had begun to work.
    pub(crate) fn asks_afresh(&mut self) -> bool {
        if !self.replayable || self.afresh || self.tried_at.elapsed() > STALE_SHOWS {
            return false;
        }
        self.tried.take_back();
        self.is_sent = false;
        self.afresh = true;
        true
    }

    pub(crate) fn has_tries_left(&self) -> bool {
        self.tried.count() < self.table.config.retry.max_tries && self.time_left().is_ok()
    }

    /// Whether what may have reached an upstream may be sent to another. Takes one from the budget if so.
    pub(crate) fn may_replay(&self) -> bool {
        let Some(group) = &self.group else {
            return false;
        };
        if !self.replayable || !self.has_tries_left() {
            return false;
        }
        let granted = group.budget.withdraw(Instant::now());
        if !granted {
            group.metrics.retry_budget_exhausted.inc();
        }
        granted
    }

    pub(crate) fn count_replay(&self, timed_out: bool) {
        if let Some(group) = &self.group {
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
            tries = self.tried.count(),
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
        if let (None, None, Some(lease)) = (error, &self.problem, &self.lease) {
            lease.upstream.standing.succeeded();
        }
        self.end_try();
        let outcome = Outcome::of(&session.cache, self.caching);
        if let Some(group) = &self.group {
            if self.is_background {
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
        let outcome = Outcome::of(&session.cache, self.caching);
        outcome.is_some_and(Outcome::is_from_cache)
            && !self.is_sent
            && !self.is_background
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
        access_log.log(&Entry {
            time: SystemTime::now() - duration,
            request_id: self.id(),
            client: self.client,
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
            group: self.group.as_ref().map(|group| &*group.name),
            upstream: self.tried.last().map(|upstream| &*upstream.entry.address),
            tries: self.tried.count(),
            cache: Outcome::of(&session.cache, self.caching).map(Outcome::label),
            refused: self.refused.map(Reason::label),
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
