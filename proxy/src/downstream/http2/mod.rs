//! HTTP/2 connections (RFC 9113). The `h2` library speaks the protocol. Its streams take the direct way as a `client`,
//! or go to pingora as sessions of our own type. So requests are checked like those of HTTP/1.1 and refused in the same
//! words, and a body that does not come has a deadline.
//!
//! `head` checks the head of each stream, `session` is a stream for pingora, `body` reads and sends the parts of
//! bodies, `refuse` sends the proxy's own answers. `watch` reads what `h2` sends. Nothing here picks an upstream, or
//! speaks HTTP/2 to one.

mod body;
mod client;
mod head;
mod refuse;
mod session;
mod watch;

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::{Method, Request};
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl};
use pingora_core::server::ShutdownWatch;
use pingora_http::RequestHeader;
use pingora_proxy::HttpProxy;
use pingora_timeout::{sleep, timeout};

use self::client::Http2Client;
use self::session::Session;
use self::watch::WatchedWire;
use crate::config::Limits;
use crate::downstream::read_head::{LAST_REQUEST, stopping};
use crate::downstream::refusals::{Refusal, Refusals};
use crate::downstream::wire::Wire;
use crate::message::head::{Body, HeadForm, HeadLimits};
use crate::message::plain::PlainRequest;
use crate::message::problem::Problem;
use crate::message::request_id::request_id;
use crate::request::direct::{Direct, OwnFields, Persistence};
use crate::request::exchange::Peer;
use crate::request::hooks::Proxy;

/// Most requests at once on one connection.
const MOST_STREAMS: u32 = 100;

/// Most streams of one connection that are reset for breaking the protocol before the connection is closed.
const MOST_BROKEN: usize = 100;

/// By which factor a head may exceed the limit before `h2` refuses it in its own words.
const HEAD_SLACK: usize = 4;

/// Serves one HTTP/2 connection.
pub(crate) struct Http2<'a> {
    pub(crate) proxy: &'a Arc<HttpProxy<Proxy>>,
    pub(crate) refusals: &'a Refusals,
    pub(crate) direct: &'a Arc<Direct>,
    pub(crate) client: Peer,
}

type IncomingStream = (Request<RecvStream>, SendResponse<Bytes>);

/// A request that has not been passed on, with the head that pingora would get.
struct PendingRequest {
    head: RequestHeader,
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

impl Http2<'_> {
    /// Serves until the client leaves, is idle for too long, or the proxy stops.
    pub(crate) async fn serve(&self, wire: Box<Wire>, shutdown: &ShutdownWatch) {
        let limits = self.limits();
        let digest = Arc::new(digest(&wire));
        let Some(mut connection) = self.shake_hands(wire, &limits).await else {
            return;
        };
        let mut stopping = pin!(stopping(shutdown.clone()));
        let (mut quiet, mut is_closing) = (limits.idle_timeout, false);
        // One timer for all requests. It is set again only when it has run out.
        let mut clock = pin!(sleep(quiet));
        let mut last_request = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stopping.as_mut(), if !is_closing => {}
                accepted = connection.accept() => match accepted {
                    Some(Ok(accepted)) => {
                        last_request = Instant::now();
                        self.begin(accepted, &digest, shutdown);
                        continue;
                    }
                    // `h2` has sent the reason, and `watch` has seen and logged it.
                    Some(Err(_)) | None => return,
                },
                () = clock.as_mut() => {
                    let left = quiet.saturating_sub(last_request.elapsed());
                    // A busy connection is looked at again after the same time. Each request holds the digest: streams
                    // without a request only wait for a client that reads nothing more.
                    let is_busy = connection.has_streams() && Arc::strong_count(&digest) > 1;
                    if !left.is_zero() || is_busy {
                        clock.set(sleep(if left.is_zero() { quiet } else { left }));
                        continue;
                    }
                    if is_closing {
                        return;
                    }
                }
            }
            connection.graceful_shutdown();
            (quiet, is_closing) = (LAST_REQUEST, true);
            last_request = Instant::now();
            clock.set(sleep(quiet));
        }
    }

    fn limits(&self) -> Limits {
        self.refusals.live.table().config.limits.clone()
    }

    async fn shake_hands(
        &self,
        wire: Box<Wire>,
        limits: &Limits,
    ) -> Option<Connection<WatchedWire, Bytes>> {
        let mut options = Builder::new();
        let header_bytes = limits.header_bytes.saturating_mul(HEAD_SLACK);
        options
            .max_concurrent_streams(MOST_STREAMS)
            .max_local_error_reset_streams(Some(MOST_BROKEN))
            .max_header_list_size(header_bytes.try_into().unwrap_or(u32::MAX));
        let watch = WatchedWire::new(wire, self.refusals.clone(), self.client.address);
        let handshake = timeout(limits.header_timeout, options.handshake(watch));
        handshake.await.ok()?.ok()
    }

    /// Passes a request in a task of its own, or refuses it.
    fn begin(&self, accepted: IncomingStream, digest: &Arc<Digest>, shutdown: &ShutdownWatch) {
        let (request, mut respond) = accepted;
        let limits = self.limits();
        let head_limits = HeadLimits {
            bytes: limits.header_bytes,
            lines: limits.header_count,
        };
        let (parts, body) = request.into_parts();
        if let Err(problem) = head::check(&parts, head_limits) {
            return self.answer(&parts, respond, &problem);
        }
        let Ok(head) = head::simplified(parts) else {
            // Never happens: a checked head can be written.
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        let passing = PendingRequest {
            head,
            body,
            respond,
        };
        let (proxy, direct, client) = (self.proxy.clone(), self.direct.clone(), self.client);
        let (shutdown, digest) = (shutdown.clone(), digest.clone());
        // On any thread, as all requests of one client may come on one connection. In a box, as the runtime moves a
        // task before it runs.
        pingora_runtime::current_handle().spawn(Box::pin(async move {
            let Some(passing) = pass(&direct, client, passing).await else {
                return;
            };
            let PendingRequest {
                head,
                body,
                respond,
            } = passing;
            let session = Session::new(head, body, respond, digest, limits.body_timeout);
            let session = ServerSession::new_custom(Box::new(session));
            proxy.process_new_http(session, &shutdown).await;
        }));
    }

    /// Refuses the connection: answers its first requests with the problem, and closes it.
    pub(crate) async fn refuse(&self, mut wire: Box<Wire>, problem: Problem) {
        let limits = self.limits();
        wire.pass_all();
        let mut is_told = false;
        let answered = async {
            let Some(mut connection) = self.shake_hands(wire, &limits).await else {
                return;
            };
            while let Some(Ok((request, respond))) = connection.accept().await {
                self.answer(&request.into_parts().0, respond, &problem);
                is_told = true;
                connection.graceful_shutdown();
            }
        };
        _ = timeout(LAST_REQUEST, answered).await;
        if !is_told {
            // The client made no request; the refusal is counted nevertheless.
            self.refusals
                .note_unread(self.client.address, "2", problem.reason());
        }
    }

    /// Answers a request with the problem. The rest of the request is discarded.
    fn answer(&self, request: &Parts, mut respond: SendResponse<Bytes>, problem: &Problem) {
        let since = Instant::now();
        let id = request_id(&request.headers);
        let head_only = request.method == Method::HEAD;
        let own = OwnFields {
            id: &id,
            trace: None,
        };
        let bytes_sent = refuse::send(&mut respond, problem, &own, head_only).unwrap_or(0);
        let id = id.to_str().unwrap_or("-");
        let target = request.uri.path_and_query();
        let authority = request.uri.authority().map(|authority| authority.as_str());
        let host = || request.headers.get(HOST)?.to_str().ok();
        self.refusals.note(
            &Refusal {
                method: request.method.as_str(),
                target: target.map_or("-", |target| target.as_str()),
                host: authority.or_else(host),
                status: problem.status().as_u16(),
                bytes_sent,
                since,
                ..Refusal::unread(id, self.client.address, "2")
            },
            problem.reason(),
        );
    }
}

/// Passes a request on the direct way. Returns it if it must take the long way.
async fn pass(direct: &Direct, client: Peer, passing: PendingRequest) -> Option<PendingRequest> {
    let Some(form) = form(&passing) else {
        return Some(passing);
    };
    let head = head::raw(&passing.head);
    let table = direct.live.table_to_keep();
    let plain = PlainRequest::read(&head, form);
    let Some((plain, group)) = plain.and_then(|plain| {
        let group = direct.group(&table, &plain)?.clone();
        Some((plain, group))
    }) else {
        return Some(passing);
    };
    let mut stream = Http2Client::new(passing.body, passing.respond);
    let passed = direct.pass(table, &group, &plain, client, &mut stream);
    if passed.await == Persistence::Abort {
        stream.abort();
    }
    None
}

/// The form of the head, if the length of the body is known. If no length is announced and the stream has not ended, a
/// body may still come: `None`.
fn form(passing: &PendingRequest) -> Option<HeadForm> {
    let length = match passing.head.headers.get(CONTENT_LENGTH) {
        Some(length) => crate::message::head::content_length(length.as_bytes()).ok()?,
        None => 0,
    };
    (length > 0 || passing.body.is_end_stream()).then_some(HeadForm {
        body: Body::Length(length),
        is_simple: true,
    })
}

fn digest(wire: &Wire) -> Digest {
    Digest {
        ssl_digest: wire.get_ssl_digest(),
        timing_digest: wire.get_timing_digest(),
        proxy_digest: wire.get_proxy_digest(),
        socket_digest: wire.get_socket_digest(),
    }
}
