//! One request's way through pingora's phases, in their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, RANGE};
use http::{Method, StatusCode, Version};
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, NoCacheReason, RespCacheable};
use pingora_core::modules::http::HttpModules;
use pingora_core::modules::http::compression::ResponseCompressionBuilder;
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{BError, Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{
    FailToProxy, ProxyHttp, ProxyWarnLogContext, RangeType, Session, range_header_filter,
};

use super::access_log::AccessLog;
use super::admission::{admit, arrived, begin_upload};
use super::answer::{answer, fail, problem_of};
use super::arrival::{Arrival, wait_for_body};
use super::encoding;
use super::exchange::Exchange;
use super::hash_key::HashKey;
use super::session;
use super::tries::{Fault, TryFailure};
use crate::cache::{self, AnsweredRequest, STATUS};
use crate::message::forwarded;
use crate::message::hop;
use crate::message::plain::FILL;
use crate::message::problem::Problem;
use crate::message::request_id::REQUEST_ID;
use crate::message::target;
use crate::table::live::LiveTable;

/// Pingora's hooks.
pub(crate) struct Proxy {
    live: Arc<LiveTable>,
    access_log: Arc<AccessLog>,
    /// Numbers the connections that serve one request only, to keep them apart from the pool; see
    /// [`crate::config::Reuse`].
    lone: AtomicU64,
}

impl Proxy {
    /// A proxy that serves the configuration in force.
    pub(crate) fn new(live: Arc<LiveTable>, access_log: Arc<AccessLog>) -> Self {
        Self {
            live,
            access_log,
            lone: AtomicU64::new(0),
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(self.live.table_to_keep())
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        let compression = &self.live.table().config.compression;
        if compression.gzip > 0 || compression.brotli > 0 {
            modules.add_module(ResponseCompressionBuilder::enable(0));
        }
    }

    async fn early_request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let send_timeout = exchange.table.config.limits.send_timeout;
        session.set_write_timeout(Some(send_timeout));
        // A client of HTTP/1.0 would take an interim answer for the final one (RFC 9110, section 15.2).
        let is_old = session.req_header().version == Version::HTTP_10;
        session.as_downstream_mut().set_ignore_info_resp(is_old);
        // Must happen before pingora's module reads `Accept-Encoding`, which it does only if it may compress.
        encoding::prepare(session, &exchange.table.config.compression)
    }

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let verdict = match admit(&self.live, session, exchange) {
            Ok(()) => {
                let limit = exchange.table.config.limits.body_timeout;
                let arrival = wait_for_body(session, limit).await?;
                arrived(&self.live, exchange).and_then(|()| match arrival {
                    Arrival::Whole => Ok(()),
                    Arrival::Part => begin_upload(&self.live, exchange),
                })
            }
            refused => refused,
        };
        let Err(problem) = verdict else {
            return Ok(false);
        };
        problem.count(&self.live.metrics);
        answer(session, exchange, problem).await?;
        Ok(true)
    }

    fn request_cache_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<()> {
        let Some(group) = exchange.group() else {
            return Ok(());
        };
        if let (Some(cache), Some(settings)) = (group.cache, &group.settings.cache)
            && self.live.may_use_caches()
        {
            exchange.caching.usage = cache.enable(session, settings);
        }
        Ok(())
    }

    fn cache_key_callback(&self, session: &Session, exchange: &mut Exchange) -> Result<CacheKey> {
        let cache = exchange.cache().ok_or_else(|| {
            Error::explain(
                ErrorType::InternalError,
                "there is no cache to have a key for",
            )
        })?;
        let request = session.req_header();
        Ok(cache.key(request, &exchange.asked(request)))
    }

    fn cache_vary_filter(
        &self,
        kept: &CacheMeta,
        _exchange: &mut Exchange,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        cache::variance(kept, request)
    }

    fn should_serve_stale(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
        error: Option<&Error>,
    ) -> bool {
        // Without an error, the cache's own limits on stale answers decide, and they were checked before.
        let Some(error) = error else { return true };
        if let (ErrorType::HTTPStatus(status), ErrorSource::Upstream) =
            (error.etype(), error.esource())
        {
            // Pingora shows this answer to no other hook.
            exchange.answered(*status);
        }
        *error.esource() != ErrorSource::Downstream
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<RespCacheable> {
        let renewal = exchange.caching.renewal.take();
        if let (Some(group), Some(fetch)) = (exchange.group(), exchange.caching.fetch)
            && let (Some(cache), Some(settings)) = (group.cache, &group.settings.cache)
        {
            return cache.judge(session, response, renewal.as_deref(), fetch, settings);
        }
        Ok(RespCacheable::Uncacheable(NoCacheReason::InternalError))
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        _exchange: &mut Exchange,
    ) -> RangeType {
        if !session.req_header().headers.contains_key(RANGE) {
            return RangeType::None;
        }
        let range = range_header_filter(session.req_header(), response, None);
        if !matches!(range, RangeType::None) {
            encoding::off(session);
        }
        range
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        let Some(group) = exchange.group() else {
            return Err(fail(exchange, Problem::NoRoute));
        };
        let headers = &session.req_header().headers;
        let hash_on = &group.settings.hash_on;
        let key = HashKey::new(
            hash_on,
            |name| headers.get(name).map(|value| value.as_bytes()),
            exchange.origin.client,
        );
        let next = exchange.begin_try(key.as_ref()).await;
        let next = next.map_err(|problem| fail(exchange, problem))?;
        let Some(permit) = exchange.attempts.permit() else {
            return Err(fail(exchange, Problem::Internal));
        };
        let mut peer = Box::new(permit.upstream.peer.clone());
        peer.options.read_timeout = Some(next.read_timeout);
        if next.alone {
            peer.group_key = self.lone.fetch_add(1, Ordering::Relaxed) + 1;
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        Ok(peer)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if let (false, Some(permit)) = (reused, exchange.attempts.permit()) {
            permit.upstream.metrics.connects.inc();
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        request.remove_header(&FILL);
        if exchange.origin.is_background || request.method != session.req_header().method {
            request.insert_header(FILL, "?1")?;
        }
        exchange.attempts.is_sent = true;
        // A request of HTTP/1.0 may have no `Host`, but goes on as HTTP/1.1.
        if !request.headers.contains_key(HOST)
            && let Some(upstream) = exchange.attempts.tries.last()
        {
            request.insert_header(HOST, &*upstream.endpoint.address)?;
        }
        let origin = &exchange.origin;
        forwarded::tell(request, origin.peer, origin.https, exchange.trusts_peer())?;
        exchange.spans.tell(request)?;
        request.insert_header(REQUEST_ID, origin.request_id.clone())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let limits = &exchange.table.config.limits;
        let progress = &mut exchange.attempts.body;
        progress.sent_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        if progress.sent_bytes > limits.body_bytes {
            let limit_bytes = limits.body_bytes;
            return Err(fail(exchange, Problem::BodyTooLarge { limit_bytes }));
        }
        // A body that is sent to a second upstream has arrived before.
        if !progress.has_arrived && exchange.started.elapsed() > limits.body_timeout {
            return Err(fail(exchange, Problem::TooSlow));
        }
        progress.has_arrived |= end;
        if end {
            exchange.upload = None;
        }
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            // Pingora would write the empty part as a last chunk and then write another last chunk, which would spoil
            // the connection.
            *body = None;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        exchange.answered(response.status.as_u16());
        if response.status == StatusCode::NOT_MODIFIED && session.cache.enabled() {
            exchange.caching.renewal = Some(Box::new(response.clone()));
        }
        if let Some(cache) = exchange.group().and_then(|group| group.cache) {
            let request = session.req_header();
            let answered = AnsweredRequest {
                method: request.method.as_str(),
                target: request.uri.path_and_query().map(|target| target.as_str()),
                host: exchange.asked(request).host,
                status: response.status,
            };
            cache.answered(&answered, |name| {
                Some(response.headers.get(name)?.as_bytes())
            });
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(());
        }
        if response.status.is_informational() {
            hop::end_hop(response);
            response.remove_header(&CONNECTION);
            return Ok(());
        }
        exchange.ending.bodiless = session.req_header().method == Method::HEAD
            || matches!(
                response.status,
                StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
            );
        if encoding::is_fixed(response) {
            encoding::off(session);
        }
        if exchange.ending.bodiless {
            encoding::without_body(session, response);
        }
        hop::end_hop(response);
        if session.req_header().version == Version::HTTP_10 && hop::remove_chunks(response) {
            session.set_keepalive(None);
        }
        if let Some(outcome) = session::outcome(session, exchange) {
            response.append_header(STATUS, outcome.status(&session.cache))?;
        }
        if let Some((name, value)) = exchange.spans.line.take() {
            response.append_header(name, value)?;
        }
        response.insert_header(REQUEST_ID, exchange.origin.request_id.clone())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
        // An answer that fills the cache has a body even if the client gets none, and over HTTP/2 pingora would send
        // it.
        if exchange.ending.bodiless {
            *body = None;
        }
        exchange
            .time_left()
            .map_err(|problem| fail(exchange, problem))?;
        Ok(None)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        exchange: &mut Exchange,
        mut error: BError,
    ) -> BError {
        let again = match error.etype() {
            ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert => exchange.untrusted(),
            _ => exchange.unreachable(),
        };
        error.set_retry(again);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        exchange: &mut Exchange,
        reused: bool,
    ) -> BError {
        let mut error = error.more_context(format!("upstream {}", peer.address()));
        error.set_retry(false);
        if *error.esource() != ErrorSource::Upstream {
            return error;
        }
        let again = exchange.broke_off(TryFailure {
            fault: match error.etype() {
                ErrorType::ReadTimedout => Fault::Silent,
                ErrorType::WriteTimedout => Fault::Stuck,
                _ => Fault::Broke,
            },
            reused,
            untouched: session::final_status(session).is_none()
                && !session.as_ref().retry_buffer_truncated(),
        });
        error.set_retry(again);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let problem = exchange.ending.problem.clone();
        let problem = problem.or_else(|| problem_of(error));
        let error_code = problem
            .as_ref()
            .map_or(0, |problem| problem.status().as_u16());
        let request = session.req_header();
        let (method, path) = (request.method.as_str(), request.uri.path());
        exchange.log_failure(method, path, error, error_code);
        if let Some(problem) = problem
            && session::final_status(session).is_none()
        {
            exchange.ending.problem = None;
            problem.count(&self.live.metrics);
            _ = answer(session, exchange, problem).await;
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        let end = session::end(session, exchange, error);
        exchange.finish(end, &self.access_log, || session::seen(session));
        // Pingora does not release the lock of a background request that found a new answer in the cache.
        if let Some(background) = &mut session.subrequest_ctx {
            background.release_write_lock();
        }
        if session::is_uncounted_call(session, exchange) {
            let path = target::normal(session.req_header().uri.path().as_bytes());
            self.live.metrics.answered_from_cache(&path);
        }
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        // `fail_to_proxy` has logged the error.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        // Metrics count retries.
        true
    }
}
