//! Plain requests on their direct way to an upstream, past pingora, at a fraction of the cost. All that is decided about
//! them is decided by what pingora's hooks call too: `admission`, `tries` and `exchange`. Here bytes are moved: a request's
//! head and an answer go on as they came, but for the lines that must differ.

mod body;
mod relay;
mod request_head;

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use self::relay::{Failure, Relay};
use self::request_head::RequestHead;
use super::access_log::AccessLog;
use super::admission::{Demand, let_in};
use super::exchange::{End, Exchange, Origin, Peer, WireFacts};
use super::hash_key::HashKey;
use super::tries::Break;
use crate::message::forwarded;
use crate::message::plain::PlainRequest;
use crate::message::problem::Problem;
use crate::table::live::{Live, Table};
use crate::upstream::Group;

/// What is needed to pass such requests.
pub(crate) struct Direct {
    pub(crate) live: Arc<Live>,
    pub(crate) access_log: Arc<AccessLog>,
}

/// The client's end of an exchange.
pub(crate) trait Downstream: Send {
    /// Whether the client took all of it in time.
    fn send(&mut self, bytes: &[u8], limit: Duration) -> impl Future<Output = bool> + Send;

    /// Ends once the client has left. May be dropped at any time.
    fn left(&mut self) -> impl Future<Output = ()> + Send;
}

/// Whether the client's connection persists after the answer (RFC 9112, section 9.3).
pub(crate) enum Persistence {
    /// It may carry another request.
    Continue,
    /// It is closed.
    Close,
    /// It is closed after this answer of the proxy's own.
    CloseWith(Vec<u8>),
}

/// Why a request got no whole answer of an upstream.
enum Abort {
    /// The proxy answers itself, if it still can.
    Problem(Problem),
    ClientLeft,
}

impl Direct {
    /// The group that the request goes to; none if it goes the whole way.
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
        (group.cache.is_none() && group.settings.is_plain()).then_some(group)
    }

    /// Passes the request to an upstream of this group and the answer to the client.
    pub(crate) async fn pass(
        &self,
        table: Arc<Table>,
        group: &Arc<Group>,
        request: &PlainRequest<'_>,
        peer: Peer,
        client: &mut impl Downstream,
    ) -> Persistence {
        let mut exchange = Exchange::new(table);
        let trusted = &exchange.table.config.forwarded.trusted;
        let is_trusted = forwarded::is_trusted(peer.address, trusted);
        exchange.origin = Origin::new(peer.address, peer.https, &request.origin, trusted);
        let method = match request.is_head {
            true => Method::HEAD,
            false => Method::GET,
        };
        exchange.trace(&self.live.tracing, &method, &request.origin);
        exchange.attempts.body.has_arrived = true;
        let asked = Demand {
            is_whole: true,
            announced: None,
            group: Some(group),
            replayable: true,
        };
        let mut head = RequestHead::new(request, &exchange, is_trusted);
        let mut relay = Relay::new(request.is_head, exchange.traced.line.take());
        let ended = match let_in(&self.live, &mut exchange, &asked) {
            Ok(()) => try_all(&mut exchange, group, request, &mut head, &mut relay, client).await,
            Err(problem) => Err(Abort::Problem(problem)),
        };
        let status = relay.status();
        let next = match &ended {
            Ok(()) => Persistence::Continue,
            Err(Abort::Problem(problem)) if status.is_none() => {
                problem.count(&self.live.metrics);
                exchange.ending.refused = problem.reason();
                let (mut answer, body_bytes) = problem.raw(exchange.id());
                if request.is_head {
                    answer.truncate(answer.len() - body_bytes);
                } else {
                    relay.bytes_sent = body_bytes as u64;
                }
                Persistence::CloseWith(answer)
            }
            Err(_) => Persistence::Close,
        };
        let told = match &ended {
            Err(Abort::Problem(problem)) => status.or(Some(problem.status().as_u16())),
            _ => status,
        };
        let end = End {
            status: told,
            failed: ended.is_err(),
            outcome: None,
        };
        exchange.finish(end, &self.access_log, || WireFacts {
            method: request.method(),
            path: request.target,
            host: Some(request.host),
            http_version: "1.1",
            user_agent: request.user_agent,
            bytes_sent: relay.bytes_sent,
        });
        next
    }
}

/// Tries as often as it may be.
async fn try_all(
    exchange: &mut Exchange,
    group: &Group,
    request: &PlainRequest<'_>,
    head: &mut RequestHead,
    relay: &mut Relay,
    client: &mut impl Downstream,
) -> Result<(), Abort> {
    let hash_on = &group.settings.hash_on;
    let key = HashKey::new(hash_on, |name| request.field(name), exchange.origin.client);
    loop {
        let next = match exchange.begin_try(key.as_ref()).await {
            Ok(next) => next,
            Err(problem) => {
                let status = problem.status().as_u16();
                let why = problem.detail();
                exchange.log_failure(request.method(), request.path(), &why, status);
                return Err(Abort::Problem(problem));
            }
        };
        head.name_try(&exchange.traced);
        let failure = match relay.exchange(exchange, &next, head.bytes(), client).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let again = match &failure {
            Failure::ClientLeft => {
                exchange.log_failure(request.method(), request.path(), &failure, 0);
                return Err(Abort::ClientLeft);
            }
            Failure::Unreachable(_) => exchange.unreachable(),
            Failure::OutOfTime => {
                exchange.ending.problem = Some(Problem::UpstreamTimedOut);
                false
            }
            Failure::Upstream { fault, reused, .. } => exchange.broke_off(Break {
                fault: *fault,
                reused: *reused,
                untouched: relay.status().is_none(),
            }),
        };
        if !again {
            let problem = exchange.ending.problem.clone();
            let problem = problem.unwrap_or(Problem::Internal);
            let status = problem.status().as_u16();
            exchange.log_failure(request.method(), request.path(), &failure, status);
            return Err(Abort::Problem(problem));
        }
    }
}
