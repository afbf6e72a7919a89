//! What pingora's session knows of a request and its answer.

use http::Method;
use http::header::{HOST, USER_AGENT};
use pingora_error::Error;
use pingora_proxy::Session;
use store_server::trace::http_version;

use super::exchange::{Exchange, ExchangeEnd, WireFacts};
use crate::cache::Outcome;

/// How the exchange ended. `error` is pingora's, if there was one.
pub(crate) fn end(session: &Session, exchange: &Exchange, error: Option<&Error>) -> ExchangeEnd {
    ExchangeEnd {
        status: final_status(session),
        failed: error.is_some(),
        outcome: outcome(session, exchange),
    }
}

/// What the cache did; `None` if no cache is involved.
pub(crate) fn outcome(session: &Session, exchange: &Exchange) -> Option<Outcome> {
    Outcome::of(&session.cache, exchange.caching.usage)
}

/// The status of the answer that the client got. Informational answers such as `100 Continue` don't count.
pub(crate) fn final_status(session: &Session) -> Option<u16> {
    session
        .response_written()
        .filter(|answer| !answer.status.is_informational())
        .map(|answer| answer.status.as_u16())
}

/// Whether the cache answered a GET, so that no host has counted it.
pub(crate) fn is_uncounted_call(session: &Session, exchange: &Exchange) -> bool {
    outcome(session, exchange).is_some_and(Outcome::is_from_cache)
        && !exchange.attempts.is_sent
        && !exchange.origin.is_background
        && session.req_header().method == Method::GET
}

/// The request's facts for the access log.
pub(crate) fn seen(session: &Session) -> WireFacts<'_> {
    let request = session.req_header();
    let header = |name| {
        let value = request.headers.get(name);
        value.and_then(|value| value.to_str().ok())
    };
    let target = request.uri.path_and_query();
    WireFacts {
        method: request.method.as_str(),
        path: target.map_or("*", |target| target.as_str()),
        host: header(HOST).or(request.uri.host()),
        http_version: http_version(request.version),
        user_agent: header(USER_AGENT),
        bytes_sent: session.body_bytes_sent() as u64,
    }
}
