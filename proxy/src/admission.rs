//! Whether a request is let in, and what has to be known about it first.

use std::net::{IpAddr, SocketAddr};

use http::header::{CONTENT_LENGTH, HOST, UPGRADE};
use http::{Method, StatusCode, Version};
use pingora_http::RequestHeader;
use pingora_proxy::Session;

use crate::exchange::Exchange;
use crate::forwarded;
use crate::problem::Problem;
use crate::request_id::request_id;
use crate::retry::may_be_replayed;

/// Finds out about the request what the later phases need, and whether it is let in.
pub(crate) fn admit(session: &mut Session, exchange: &mut Exchange) -> Result<(), Problem> {
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
    exchange.is_background = session.subrequest_ctx.is_some();
    if let (Some(rate), false) = (&table.rate, exchange.is_background) {
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
        let status = StatusCode::NOT_IMPLEMENTED;
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

/// The client's address; `0.0.0.0` if it is not known.
pub(crate) fn address_of(
    client: Option<&pingora_core::protocols::l4::socket::SocketAddr>,
) -> IpAddr {
    match client.and_then(|client| client.as_inet()) {
        Some(address) => SocketAddr::ip(address).to_canonical(),
        None => IpAddr::from([0, 0, 0, 0]),
    }
}
