//! What the proxy remembers about one request, from its head to its line in the access log.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Method};
use ipnet::IpNet;
use pingora_http::{RequestHeader, ResponseHeader};
use store_server::trace::Tracing;
use tokio::sync::OwnedSemaphorePermit;

use super::access_log::{AccessLog, Entry};
use super::attempts::Attempts;
use super::spans::{self, RequestSpans};
use crate::cache::{self, Cache, FetchStart, Outcome};
use crate::clients::ClientPlace;
use crate::message::forwarded::{self, RequestAuthority};
use crate::message::problem::Problem;
use crate::message::request_id::request_id;
use crate::metrics::{ERROR, Reason, class};
use crate::table::Table;
use crate::upstream::Group;

/// One request and its answer, grouped by the phase that finds each fact out.
pub(crate) struct Exchange {
    /// The configuration that was in force when the request began. It stays the same until the request ends.
    pub(crate) table: Arc<Table>,
    pub(crate) started: Instant,
    /// Found out first, whether the request is let in or not.
    pub(crate) origin: Origin,
    /// The request's place in its client's share, once it has one.
    pub(crate) place: Option<ClientPlace>,
    /// Present while the request is in flight and its body is still coming.
    pub(crate) upload: Option<Upload>,
    /// Present once the request is let in.
    pub(crate) route: Option<Route>,
    pub(crate) caching: Caching,
    pub(crate) attempts: Attempts,
    pub(crate) ending: AnswerFacts,
    pub(crate) spans: RequestSpans,
}

/// The other end of a client's connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    pub(crate) https: bool,
}

/// Where a request comes from.
pub(crate) struct Origin {
    pub(crate) request_id: HeaderValue,
    /// Address of the other end of the connection.
    pub(crate) peer: IpAddr,
    /// The client's address: `peer`, or the one that a trusted proxy reports.
    pub(crate) client: IpAddr,
    pub(crate) https: bool,
    /// Whether no client waits for the answer: the request renews what the cache keeps for the next client.
    pub(crate) is_background: bool,
}

/// The places of a request in flight whose body is still coming.
pub(crate) struct Upload {
    pub(crate) _of_client: ClientPlace,
    pub(crate) _of_group: OwnedSemaphorePermit,
}

/// Where a request goes to.
pub(crate) struct Route {
    pub(crate) group: Arc<Group>,
    /// Whether the request may reach an upstream twice.
    pub(crate) replayable: bool,
}

/// What the cache does with a request.
#[derive(Default)]
pub(crate) struct Caching {
    pub(crate) usage: cache::CacheUse,
    /// When the upstream was asked for an answer that the cache may keep.
    pub(crate) fetch: Option<FetchStart>,
    /// The 304 answer that confirmed a kept answer.
    pub(crate) renewal: Option<Box<ResponseHeader>>,
}

/// What is known of the client's answer.
#[derive(Default)]
pub(crate) struct AnswerFacts {
    /// The problem that the proxy is to answer with. `None` again once it has. If an upstream's answer has begun, that
    /// is cut short instead.
    pub(crate) problem: Option<Problem>,
    /// Why the proxy refused the request, if it did.
    pub(crate) refused: Option<Reason>,
    /// Whether the answer has no body, because of the request's method or the answer's status.
    pub(crate) bodiless: bool,
}

/// How an exchange ended.
pub(crate) struct ExchangeEnd {
    /// Status of the answer, if the client got one.
    pub(crate) status: Option<u16>,
    /// Whether the answer was cut short, or was the proxy's own.
    pub(crate) failed: bool,
    /// What the cache did; `None` if no cache is involved.
    pub(crate) outcome: Option<Outcome>,
}

/// The facts of the access log about a request and its answer on the wire.
pub(crate) struct WireFacts<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) http_version: &'a str,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) bytes_sent: u64,
}

impl Origin {
    /// The origin of a request from `peer`. `headers` must have the request's fields on its id and its client, and may
    /// have others.
    pub(crate) fn new(peer: IpAddr, https: bool, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        Self {
            request_id: request_id(headers),
            peer,
            client: forwarded::client_address(peer, headers, trusted),
            https,
            is_background: false,
        }
    }

    /// The origin of a request before anything is known about it.
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
            upload: None,
            route: None,
            caching: Caching::default(),
            attempts: Attempts::none(started),
            ending: AnswerFacts::default(),
            spans: RequestSpans::default(),
        }
    }

    /// Begins the trace of a request with this method and these headers, over this version of HTTP. Its origin must be
    /// known.
    pub(crate) fn trace(
        &mut self,
        tracing: &Tracing,
        method: &Method,
        version: &'static str,
        headers: &HeaderMap,
    ) {
        let origin = &self.origin;
        let trusted = &self.table.config.forwarded.trusted;
        self.spans = RequestSpans::begin(
            tracing,
            &spans::RequestFacts {
                began: self.started,
                method,
                version,
                headers,
                is_trusted: forwarded::is_trusted(origin.peer, trusted),
                https: origin.https,
            },
        );
        if origin.is_background {
            self.spans.root.set("store.background", true);
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
        cache.filter(|_| self.caching.usage == cache::CacheUse::Full)
    }

    /// The time that is left for the whole request.
    ///
    /// # Errors
    /// [`Problem::UpstreamTimedOut`] if no time is left.
    pub(crate) fn time_left(&self) -> Result<Duration, Problem> {
        self.table
            .config
            .limits
            .request_timeout
            .checked_sub(self.started.elapsed())
            .filter(|left| !left.is_zero())
            .ok_or(Problem::UpstreamTimedOut)
    }

    /// Whether the other end of the connection is trusted in what it says about clients.
    pub(crate) fn trusts_peer(&self) -> bool {
        forwarded::is_trusted(self.origin.peer, &self.table.config.forwarded.trusted)
    }

    /// Host and scheme that the client sent the request to.
    pub(crate) fn asked<'a>(&self, request: &'a RequestHeader) -> RequestAuthority<'a> {
        RequestAuthority::of(request, self.origin.https, self.trusts_peer())
    }

    /// Logs why the proxy answers itself or breaks off. Called once for each failure, where it is handled.
    pub(crate) fn log_failure(
        &self,
        method: &str,
        path: &str,
        error: &dyn std::fmt::Display,
        status: u16,
    ) {
        let ids = self.spans.root.ids();
        if (400..500).contains(&status) || status == 0 {
            tracing::debug!(
                request = self.id(),
                trace_id = ids.map(|ids| display(ids.trace)),
                span_id = ids.map(|ids| display(ids.span)),
                status,
                "{error}"
            );
            return;
        }
        tracing::warn!(
            request = self.id(),
            trace_id = ids.map(|ids| display(ids.trace)),
            span_id = ids.map(|ids| display(ids.span)),
            status,
            tries = self.attempts.tries.count(),
            "{method} {path} failed: {error}"
        );
    }

    /// Counts and logs the request, and ends its try and its trace.
    pub(crate) fn finish<'a>(
        &mut self,
        end: ExchangeEnd,
        access_log: &AccessLog,
        seen: impl FnOnce() -> WireFacts<'a>,
    ) {
        // Not if the cache gave a stale answer in place of a failure: that is no success of the upstream.
        let (problem, permit) = (&self.ending.problem, self.attempts.permit());
        if let (false, None, Some(permit)) = (end.failed, problem, permit) {
            permit.upstream.standing.succeeded();
        }
        let ended = self.attempts.end(&self.spans.attempt);
        self.spans.end_try(ended);
        let duration = ended.unwrap_or_else(Instant::now) - self.started;
        self.describe_end(&end);
        if let Some(group) = self.group() {
            if self.origin.is_background {
                return group.cache.into_iter().for_each(Cache::count_background);
            }
            group.metrics.requests[end.status.map_or(ERROR, class)].inc();
            let root = &self.spans.root;
            root.measure(&group.metrics.duration, duration);
            if let (Some(cache), Some(outcome)) = (group.cache, end.outcome) {
                cache.count(outcome);
            }
        }
        let status = end.status.unwrap_or(0);
        if access_log.enabled_for(status) {
            self.log(access_log, &seen(), &end, duration);
        }
        self.spans.end(self.started + duration);
    }

    /// Writes into the trace how the request ended.
    fn describe_end(&mut self, end: &ExchangeEnd) {
        if !self.spans.root.is_on() {
            return;
        }
        let group = self.group().map(|group| group.name.clone());
        let root = &mut self.spans.root;
        if let Some(group) = group {
            root.about(group.clone());
            root.set("store.group", group);
        }
        if let Some(outcome) = end.outcome {
            root.set("store.cache", outcome.label());
        }
        if let Some(reason) = self.ending.refused {
            root.set("store.refused", reason.label());
        }
        match end.status {
            Some(status) => root.answer(status),
            None => root.set("store.client_left", true),
        }
        if end.failed && self.ending.problem.is_some() && end.status.is_none_or(|s| s < 500) {
            root.fail("cut short");
        }
    }

    fn log(
        &self,
        access_log: &AccessLog,
        seen: &WireFacts<'_>,
        end: &ExchangeEnd,
        duration: Duration,
    ) {
        let tries = &self.attempts.tries;
        access_log.log(&Entry {
            time: SystemTime::now() - duration,
            request_id: self.id(),
            trace: self.spans.root.ids(),
            client: self.origin.client,
            method: seen.method,
            path: seen.path,
            host: seen.host,
            http_version: seen.http_version,
            status: end.status.unwrap_or(0),
            bytes_sent: seen.bytes_sent,
            duration,
            group: self.group().map(|group| &*group.name),
            upstream: tries.last().map(|upstream| &*upstream.endpoint.address),
            tries: tries.count(),
            cache: end.outcome.map(Outcome::label),
            refused: self.ending.refused.map(Reason::label),
            user_agent: seen.user_agent,
        });
    }
}
