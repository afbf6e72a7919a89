//! Decides whether a request is let in, and finds out the facts that this depends on.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, UPGRADE};
use ipnet::IpNet;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use store_server::trace::http_version;

use super::exchange::{Exchange, Origin, Route, Upload};
use super::replay::{IDEMPOTENCY_KEY, may_be_replayed};
use crate::clients::{ClientPlace, Kind, address_of};
use crate::message::problem::Problem;
use crate::table::live::LiveTable;
use crate::upstream::Group;

/// The facts of a request that decide whether it is let in.
pub(crate) struct AdmissionRequest<'a> {
    /// Whether the whole request has come.
    pub(crate) is_whole: bool,
    /// Length of the body in bytes, if the head announces it.
    pub(crate) announced: Option<u64>,
    /// The route's group; `None` without a route.
    pub(crate) group: Option<&'a Arc<Group>>,
    /// Whether the request may reach an upstream twice.
    pub(crate) replayable: bool,
}

/// Lets a request in, if it may be, and counts it. Its origin must be known.
///
/// # Errors
/// The problem that the client is answered with.
pub(crate) fn let_in(
    live: &LiveTable,
    exchange: &mut Exchange,
    asked: &AdmissionRequest<'_>,
) -> Result<(), Problem> {
    if !exchange.origin.is_background {
        take_place(live, exchange, asked.is_whole)?;
    }
    let limit_bytes = exchange.table.config.limits.body_bytes;
    if asked.announced.is_some_and(|length| length > limit_bytes) {
        return Err(Problem::BodyTooLarge { limit_bytes });
    }
    let group = asked.group.ok_or(Problem::NoRoute)?;
    group.budget.request(exchange.started);
    exchange.route = Some(Route {
        group: group.clone(),
        replayable: asked.replayable,
    });
    Ok(())
}

/// Finds out the facts about a request that later phases need, and lets it in if it may be.
///
/// # Errors
/// The problem that the client is answered with.
pub(crate) fn admit(
    live: &LiveTable,
    session: &mut Session,
    exchange: &mut Exchange,
) -> Result<(), Problem> {
    // No upgrade is forwarded (RFC 9110, section 7.8), so pingora must not expect one.
    session.req_header_mut().remove_header(&UPGRADE);
    let table = exchange.table.clone();
    exchange.origin = origin(session, &table.config.forwarded.trusted);
    let is_whole = session.as_mut().is_body_empty();
    let request = session.req_header();
    let version = http_version(request.version);
    exchange.trace(&live.tracing, &request.method, version, &request.headers);
    let announced = request.headers.get(CONTENT_LENGTH);
    let (method, path) = (request.method.as_str(), request.uri.path());
    let has_key = || request.headers.contains_key(IDEMPOTENCY_KEY);
    let asked = AdmissionRequest {
        is_whole,
        announced: announced.and_then(|length| length.to_str().ok()?.parse().ok()),
        group: table.routes.find(host(request), path),
        replayable: may_be_replayed(method, path, has_key, &table.config.retry.keyed_posts),
    };
    let_in(live, exchange, &asked)
}

fn origin(session: &Session, trusted: &[IpNet]) -> Origin {
    let peer = address_of(session.client_addr());
    let https = session
        .digest()
        .is_some_and(|digest| digest.ssl_digest.is_some());
    Origin {
        is_background: session.subrequest_ctx.is_some(),
        ..Origin::new(peer, https, &session.req_header().headers, trusted)
    }
}

/// Takes the client's share: of requests over time, and of requests at once.
fn take_place(live: &LiveTable, exchange: &mut Exchange, is_whole: bool) -> Result<(), Problem> {
    if let Some(rate) = &exchange.table.rate {
        rate.take(exchange.origin.client)
            .map_err(|retry_after| Problem::TooOften { retry_after })?;
    }
    let kind = match is_whole {
        true => Kind::Request,
        false => Kind::Arriving,
    };
    exchange.place = Some(take(live, exchange, kind)?);
    Ok(())
}

/// Moves a request from its client's share of arriving requests to that of requests in flight, once as much of its body
/// has come as the proxy waits for.
///
/// # Errors
/// The client has as many requests in flight as it may.
pub(crate) fn arrived(live: &LiveTable, exchange: &mut Exchange) -> Result<(), Problem> {
    match &exchange.place {
        Some(place) if place.is_arriving() => {
            exchange.place = Some(take(live, exchange, Kind::Request)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Takes the places of a request whose body is still coming, and which goes to an upstream all the same, as it is too
/// large to be waited for. There are few of them, for each client and for each group: who sends slowly can keep only
/// others who send large bodies from an upstream.
///
/// # Errors
/// The client has, or all clients have, as many such requests as they may.
pub(crate) fn begin_upload(live: &LiveTable, exchange: &mut Exchange) -> Result<(), Problem> {
    let group = exchange.group().ok_or(Problem::NoRoute)?;
    let of_client = take(live, exchange, Kind::Upload)?;
    let of_group = group.upload().ok_or(Problem::Overloaded)?;
    exchange.upload = Some(Upload {
        _of_client: of_client,
        _of_group: of_group,
    });
    Ok(())
}

/// How many requests of a client may be arriving for each one that it may have in flight. A head alone costs little,
/// and a client that sends only heads must not keep out others of the same address.
const ARRIVING: usize = 8;

/// How many requests a client may have in flight for each one that it may have there whose body is still coming. Such a
/// request holds its permit of an upstream for as long as its client likes, up to `limits.body_timeout`.
const IN_FLIGHT_PER_UPLOAD: usize = 8;

fn take(live: &LiveTable, exchange: &Exchange, kind: Kind) -> Result<ClientPlace, Problem> {
    let limit = exchange.table.config.limits.requests_per_client;
    let limit = match kind {
        Kind::Arriving => limit.saturating_mul(ARRIVING),
        Kind::Upload => (limit / IN_FLIGHT_PER_UPLOAD).max(1),
        Kind::Request | Kind::Connection => limit,
    };
    let place = live.clients.take(exchange.origin.client, kind, limit);
    place.ok_or(Problem::ClientRequests)
}

/// The request's `Host`; empty if there is none. If the target had an authority, it was moved there.
fn host(request: &RequestHeader) -> &str {
    let host = request.headers.get(HOST);
    host.and_then(|host| host.to_str().ok()).unwrap_or_default()
}
