//! One request's way through pingora's phases, in their order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, UPGRADE};
use http::{Method, Version};
use pingora_core::modules::http::HttpModules;
use pingora_core::modules::http::compression::{ResponseCompression, ResponseCompressionBuilder};
use pingora_core::protocols::Digest;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use pingora_error::{BError, Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};

use crate::access_log::AccessLog;
use crate::config::{HashOn, Reuse};
use crate::exchange::Exchange;
use crate::forwarded;
use crate::live::Live;
use crate::problem::Problem;
use crate::request_id::{REQUEST_ID, request_id};
use crate::retry::may_be_replayed;

/// Pingora's hooks.
pub(crate) struct Proxy {
    live: Arc<Live>,
    access_log: Arc<AccessLog>,
    /// Keeps connections for one request apart from those in the pool; see [`Reuse::Replayable`].
    lone: AtomicU64,
}

impl Proxy {
    /// Serves the configuration in force.
    pub(crate) fn new(live: Arc<Live>, access_log: Arc<AccessLog>) -> Self {
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

    async fn request_filter(&self, session: &mut Session, exchange: &mut Exchange) -> Result<bool> {
        let verdict = admit(session, exchange);
        match verdict {
            Ok(()) => {
                compress(session, exchange);
                Ok(false)
            }
            Err(problem) => {
                self.count_refusal(&problem);
                answer(session, exchange, problem).await?;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> Result<Box<HttpPeer>> {
        // The last try's, if this is another one.
        exchange.lease = None;
        let left = exchange
            .time_left()
            .map_err(|problem| fail(exchange, problem))?;
        let Some(group) = exchange.group.clone() else {
            return Err(fail(exchange, Problem::NoRoute));
        };
        let key = hash_key(session, exchange, &group.settings.hash_on);
        let lease = match group.lease(key.as_ref(), &exchange.tried).await {
            Ok(lease) => lease,
            Err(problem) => return Err(fail(exchange, problem)),
        };
        let mut peer = Box::new(lease.upstream.peer.clone());
        let read = group.settings.read_timeout;
        if left < read {
            peer.options.read_timeout = Some(left);
        }
        if group.settings.reuse == Reuse::Replayable && !exchange.replayable {
            peer.group_key = self.lone.fetch_add(1, Ordering::Relaxed) + 1;
            peer.options.idle_timeout = Some(Duration::ZERO);
        }
        exchange.tried.add(&lease.upstream);
        exchange.tried_at = Instant::now();
        exchange.lease = Some(lease);
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
        if let (false, Some(lease)) = (reused, &exchange.lease) {
            lease.upstream.metrics.connects.inc();
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let trusted =
            forwarded::is_trusted(exchange.peer, &exchange.table.config.forwarded.trusted);
        forwarded::tell(request, exchange.peer, exchange.https, trusted)?;
        request.insert_header(REQUEST_ID, exchange.request_id.clone())
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<()> {
        let limits = &exchange.table.config.limits;
        exchange.body_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        if exchange.body_bytes > limits.body_bytes {
            let limit_bytes = limits.body_bytes;
            self.live.metrics.refused.body_too_large.inc();
            return Err(fail(exchange, Problem::BodyTooLarge { limit_bytes }));
        }
        if exchange.started.elapsed() > limits.body_timeout {
            self.live.metrics.refused.timeout.inc();
            return Err(fail(exchange, Problem::TooSlow));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        exchange.answered(response.status);
        response.insert_header(REQUEST_ID, exchange.request_id.clone())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> Result<Option<Duration>> {
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
        exchange.broke(Problem::UpstreamUnreachable);
        let again = exchange.has_tries_left();
        if let (true, Some(group)) = (again, &exchange.group) {
            group.metrics.retries_connect.inc();
        }
        error.set_retry(again);
        error
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: BError,
        exchange: &mut Exchange,
        _reused: bool,
    ) -> BError {
        let mut error = error.more_context(format!("upstream {}", peer.address()));
        error.set_retry(false);
        if *error.esource() != ErrorSource::Upstream {
            return error;
        }
        let timed_out = matches!(
            error.etype(),
            ErrorType::ReadTimedout | ErrorType::WriteTimedout
        );
        exchange.broke(if timed_out {
            Problem::UpstreamTimedOut
        } else {
            Problem::UpstreamBroke
        });
        let untouched =
            session.response_written().is_none() && !session.as_ref().retry_buffer_truncated();
        if untouched && exchange.may_replay() {
            exchange.count_replay(timed_out);
            error.set_retry(true);
        }
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let problem = exchange.problem.take().or_else(|| problem_of(error));
        let error_code = problem
            .as_ref()
            .map_or(0, |problem| problem.status().as_u16());
        exchange.log_failure(session, error, error_code);
        if let Some(problem) = problem
            && session.response_written().is_none()
        {
            self.count_refusal(&problem);
            _ = answer(session, exchange, problem).await;
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(
        &self,
        session: &mut Session,
        _error: Option<&Error>,
        exchange: &mut Exchange,
    ) {
        exchange.finish(session, &self.access_log);
    }

    fn suppress_error_log(&self, _: &Session, _: &Exchange, _: &Error) -> bool {
        // Logged once, by `fail_to_proxy`.
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Exchange,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        // Retries are counted.
        true
    }
}

impl Proxy {
    fn count_refusal(&self, problem: &Problem) {
        let metrics = &self.live.metrics;
        match problem {
            Problem::TooOften { .. } => metrics.rate_limited.inc(),
            Problem::Malformed(_) => metrics.refused.malformed.inc(),
            Problem::HeadTooLarge(_) => metrics.refused.headers_too_large.inc(),
            Problem::BodyTooLarge { .. } => metrics.refused.body_too_large.inc(),
            _ => {}
        }
    }
}

/// Finds out about the request what the later phases need, and whether it is let in.
fn admit(session: &mut Session, exchange: &mut Exchange) -> Result<(), Problem> {
    exchange.peer = address_of(session.client_addr());
    exchange.https = session
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    // No upgrade is forwarded, so pingora need not expect one (RFC 9110, section 7.8).
    session.req_header_mut().remove_header(&UPGRADE);
    let table = exchange.table.clone();
    let limits = &table.config.limits;
    let request = session.req_header();
    exchange.request_id = request_id(&request.headers);
    exchange.client = forwarded::client_address(
        exchange.peer,
        &request.headers,
        &table.config.forwarded.trusted,
    );
    if request.version == Version::HTTP_2 {
        check_http2(request, limits.header_count)?;
    }
    if let Some(rate) = &table.rate {
        rate.take(exchange.client)
            .map_err(|retry_after| Problem::TooOften { retry_after })?;
    }
    let announced = request.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_bytes) {
        let limit_bytes = limits.body_bytes;
        return Err(Problem::BodyTooLarge { limit_bytes });
    }
    let group = table
        .routes
        .find(host(request), request.uri.path())
        .ok_or(Problem::NoRoute)?;
    group.budget.request(exchange.started);
    exchange.replayable = may_be_replayed(&request.method, &request.headers);
    exchange.group = Some(group.clone());
    Ok(())
}

/// HTTP/1 heads were checked before pingora saw them; HTTP/2 has its own framing, which leaves these.
fn check_http2(request: &RequestHeader, header_count: usize) -> Result<(), Problem> {
    if request.headers.len() > header_count {
        return Err(Problem::HeadTooLarge(
            "the request has too many header lines",
        ));
    }
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        let status = http::StatusCode::NOT_IMPLEMENTED;
        return Err(Problem::NotServed(status, "this method is not served"));
    }
    Ok(())
}

fn host(request: &RequestHeader) -> &str {
    let authority = request.uri.authority().map(http::uri::Authority::as_str);
    authority
        .or_else(|| request.headers.get(HOST)?.to_str().ok())
        .unwrap_or_default()
}

fn address_of(client: Option<&pingora_core::protocols::l4::socket::SocketAddr>) -> IpAddr {
    match client.and_then(|client| client.as_inet()) {
        Some(address) => SocketAddr::ip(address).to_canonical(),
        None => IpAddr::from([0, 0, 0, 0]),
    }
}

/// What the request's place on a hash ring is made of.
fn hash_key(session: &Session, exchange: &Exchange, on: &HashOn) -> HashKey {
    let value = match on {
        HashOn::Header(name) => session.req_header().headers.get(name),
        HashOn::ClientAddress => None,
    };
    match value {
        Some(value) => HashKey::Header(value.clone()),
        None => HashKey::Address(match exchange.client {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }),
    }
}

enum HashKey {
    Header(http::HeaderValue),
    Address([u8; 16]),
}

impl AsRef<[u8]> for HashKey {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Header(value) => value.as_bytes(),
            Self::Address(octets) => octets,
        }
    }
}

fn compress(session: &mut Session, exchange: &Exchange) {
    let levels = &exchange.table.config.compression;
    let Some(compression) = session
        .downstream_modules_ctx
        .get_mut::<ResponseCompression>()
    else {
        return;
    };
    use pingora_core::protocols::http::compression::Algorithm;
    compression.adjust_algorithm_level(Algorithm::Gzip, levels.gzip);
    compression.adjust_algorithm_level(Algorithm::Brotli, levels.brotli);
}

/// Ends the phase with a problem that `fail_to_proxy` will answer.
fn fail(exchange: &mut Exchange, problem: Problem) -> BError {
    let error = Error::new_in(ErrorType::HTTPStatus(problem.status().as_u16()));
    exchange.problem = Some(problem);
    error
}

/// What an error means that comes from pingora; nothing, if there is no client left to tell.
fn problem_of(error: &Error) -> Option<Problem> {
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Problem::TooSlow),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Problem::Malformed("the request is malformed")),
        (ErrorSource::Upstream, _) => Some(Problem::UpstreamBroke),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Problem::Internal),
    }
}

/// Answers for the proxy. The connection is closed after it, as the rest of the request may still be on its way.
async fn answer(session: &mut Session, exchange: &mut Exchange, problem: Problem) -> Result<()> {
    let body = problem.body(exchange.id());
    let mut response = ResponseHeader::build(problem.status(), Some(5))?;
    response.insert_header(CONTENT_TYPE, "application/problem+json")?;
    response.insert_header(CONTENT_LENGTH, body.len())?;
    response.insert_header(REQUEST_ID, exchange.request_id.clone())?;
    if let Some(seconds) = problem.retry_after_seconds() {
        response.insert_header(RETRY_AFTER, seconds)?;
    }
    session.set_keepalive(None);
    let head_only = session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(response), head_only)
        .await?;
    if !head_only {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
