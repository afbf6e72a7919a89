//! The direct way of plain requests to an upstream, past pingora, at a fraction of the cost. `admission`, `tries` and
//! `exchange` make all decisions, as they do for pingora's hooks; the code here moves bytes. A request and its answer
//! go on as they came, except for the lines that must differ. A `client` speaks with the client in its version of HTTP.
//!
//! `message` is the request as the upstream gets it, `relay` makes one try, and `body` takes an answer's body out of
//! its framing. Nothing here compresses an answer, or looks for it in a cache.

mod body;
mod client;
mod message;
mod relay;

use std::sync::Arc;

use http::Method;
use pingora_timeout::timeout;

pub(crate) use self::client::{Client, OwnFields};
use self::message::Message;
use self::relay::{Failure, Relay};
use super::access_log::AccessLog;
use super::admission::{AdmissionRequest, arrived, let_in};
use super::exchange::{Exchange, ExchangeEnd, Origin, Peer, WireFacts};
use super::hash_key::HashKey;
use super::replay::{IDEMPOTENCY_KEY, may_be_replayed};
use super::tries::TryFailure;
use crate::message::forwarded;
use crate::message::plain::PlainRequest;
use crate::message::problem::Problem;
use crate::table::Table;
use crate::table::live::LiveTable;
use crate::upstream::Group;

/// Passes plain requests.
pub(crate) struct Direct {
    pub(crate) live: Arc<LiveTable>,
    pub(crate) access_log: Arc<AccessLog>,
}

/// Whether the client's connection persists after the answer (RFC 9112, section 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// The connection may carry another request.
    Continue,
    /// The connection is closed after the answer that was put, which is the proxy's own.
    Close,
    /// The connection is broken off, as the answer that has begun can't be completed.
    Abort,
}

/// Why a request got no whole answer from an upstream.
enum Abort {
    /// The proxy answers with this problem, if no answer has begun.
    Problem(Problem),
    ClientLeft,
}

impl Direct {
    /// The group that the request goes to; `None` if the request must take the long way.
    pub(crate) fn group<'a>(
        &self,
        table: &'a Table,
        request: &PlainRequest<'_>,
    ) -> Option<&'a Arc<Group>> {
        let compression = &table.config.compression;
        if compression.gzip > 0 || compression.brotli > 0 {
            return None;
        }
        let group = table.routes.find(request.host, request.path())?;
        let is_for_cache = group.cache.is_some() && matches!(request.method, "GET" | "HEAD");
        (!is_for_cache && group.settings.is_plain()).then_some(group)
    }

    /// Passes the request to an upstream of `group`, and the answer to the client.
    pub(crate) async fn pass<C: Client>(
        &self,
        table: Arc<Table>,
        group: &Arc<Group>,
        request: &PlainRequest<'_>,
        peer: Peer,
        client: &mut C,
    ) -> Persistence {
        let mut exchange = Exchange::new(table);
        let mut relay = Relay::new(request);
        let passed = self.let_pass(&mut exchange, group, request, peer, client, &mut relay);
        let ended = passed.await;
        let status = relay.status();
        let next = match &ended {
            Ok(()) => Persistence::Continue,
            Err(Abort::Problem(problem)) if status.is_none() => {
                problem.count(&self.live.metrics);
                exchange.ending.problem = None;
                exchange.ending.refused = problem.reason();
                let own = OwnFields {
                    id: &exchange.origin.request_id,
                    trace: relay.trace.as_ref(),
                };
                relay.bytes_sent = client.put_problem(problem, &own, request.is_head());
                Persistence::Close
            }
            Err(_) => Persistence::Abort,
        };
        let told = match &ended {
            Err(Abort::Problem(problem)) => status.or(Some(problem.status().as_u16())),
            _ => status,
        };
        let end = ExchangeEnd {
            status: told,
            failed: ended.is_err(),
            outcome: None,
        };
        exchange.finish(end, &self.access_log, || WireFacts {
            method: request.method,
            path: request.target,
            host: Some(request.host),
            http_version: C::HTTP_VERSION,
            user_agent: request.user_agent,
            bytes_sent: relay.bytes_sent,
        });
        next
    }

    /// Lets the request in, waits for its body, and tries upstreams.
    async fn let_pass<C: Client>(
        &self,
        exchange: &mut Exchange,
        group: &Arc<Group>,
        request: &PlainRequest<'_>,
        peer: Peer,
        client: &mut C,
        relay: &mut Relay<'_>,
    ) -> Result<(), Abort> {
        let table = exchange.table.clone();
        let trusted = &table.config.forwarded.trusted;
        exchange.origin = Origin::new(peer.address, peer.https, &request.origin, trusted);
        let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
        let tracing = &self.live.tracing;
        exchange.trace(tracing, &method, C::HTTP_VERSION, &request.origin);
        relay.trace = exchange.spans.line.take();
        let has_key = || request.field(&IDEMPOTENCY_KEY).is_some();
        let keyed_posts = &table.config.retry.keyed_posts;
        let asked = AdmissionRequest {
            is_whole: request.body_bytes == 0,
            announced: Some(request.body_bytes as u64),
            group: Some(group),
            replayable: may_be_replayed(request.method, request.path(), has_key, keyed_posts),
        };
        let_in(&self.live, exchange, &asked).map_err(Abort::Problem)?;
        let is_trusted = forwarded::is_trusted(peer.address, trusted);
        let mut message = Message::new(request, exchange, is_trusted);
        if request.body_bytes > 0 {
            let limit = table.config.limits.body_timeout;
            let body = client.read_body(request.body_bytes, message.body());
            match timeout(limit, body).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Abort::ClientLeft),
                Err(_) => return Err(Abort::Problem(Problem::TooSlow)),
            }
            arrived(&self.live, exchange).map_err(Abort::Problem)?;
        }
        exchange.attempts.body.has_arrived = true;
        try_all(exchange, group, request, &mut message, relay, client).await
    }
}

/// Tries upstreams until one answers, the client leaves, or no further try is allowed.
async fn try_all(
    exchange: &mut Exchange,
    group: &Group,
    request: &PlainRequest<'_>,
    message: &mut Message,
    relay: &mut Relay<'_>,
    client: &mut impl Client,
) -> Result<(), Abort> {
    let hash_on = &group.settings.hash_on;
    let key = HashKey::new(hash_on, |name| request.field(name), exchange.origin.client);
    loop {
        let next = match exchange.begin_try(key.as_ref()).await {
            Ok(next) => next,
            Err(problem) => {
                let status = problem.status().as_u16();
                let why = problem.detail();
                exchange.log_failure(request.method, request.path(), &why, status);
                return Err(Abort::Problem(problem));
            }
        };
        message.name_try(&exchange.spans);
        let failure = match relay
            .exchange(exchange, &next, message.bytes(), client)
            .await
        {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let again = match &failure {
            Failure::ClientLeft => {
                exchange.log_failure(request.method, request.path(), &failure, 0);
                return Err(Abort::ClientLeft);
            }
            Failure::Unreachable(_) => exchange.unreachable(),
            Failure::OutOfTime => {
                exchange.ending.problem = Some(Problem::UpstreamTimedOut);
                false
            }
            Failure::Upstream { fault, reused, .. } => exchange.broke_off(TryFailure {
                fault: *fault,
                reused: *reused,
                untouched: relay.status().is_none(),
            }),
        };
        if !again {
            let problem = exchange.ending.problem.clone();
            let problem = problem.unwrap_or(Problem::Internal);
            let status = problem.status().as_u16();
            exchange.log_failure(request.method, request.path(), &failure, status);
            return Err(Abort::Problem(problem));
        }
    }
}
