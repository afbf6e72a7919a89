//! HTTP/2 connections (RFC 9113). The `h2` library speaks the protocol. Its streams take the direct way as a `client`, or
//! are handed to pingora as sessions of ours, so that requests are checked like those of HTTP/1.1 and refused in the same
//! words, and a body that does not come has a deadline.
//!
//! `head` checks what a stream begins with, `session` is a stream for pingora and `body` its parts, `refuse` answers
//! for the proxy; `watch` looks by `frames` at what the library sends. Nothing here picks an upstream, or speaks HTTP/2
//! to one.

mod body;
mod client;
mod frames;
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
use http::Request;
use http::header::CONTENT_LENGTH;
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
use crate::downstream::refusals::Refusals;
use crate::downstream::wire::Wire;
use crate::message::head::{Body, HeadForm, HeadLimits};
use crate::message::plain::PlainRequest;
use crate::message::problem::Problem;
use crate::request::direct::{Direct, Persistence};
use crate::request::exchange::Peer;
use crate::request::hooks::Proxy;

/// Requests at once on one connection.
const MOST_STREAMS: u32 = 100;

/// Streams of one connection that are reset for breaking the protocol, before the connection is closed.
const MOST_BROKEN: usize = 100;

/// How much larger a head may be than the limit before the library refuses it in its own words.
const HEAD_SLACK: usize = 4;

/// What serves one connection.
pub(crate) struct Http2<'a> {
    pub(crate) proxy: &'a Arc<HttpProxy<Proxy>>,
    pub(crate) refusals: &'a Refusals,
    pub(crate) direct: &'a Arc<Direct>,
    pub(crate) client: Peer,
}

type IncomingStream = (Request<RecvStream>, SendResponse<Bytes>);

/// A request on its way, with the head that pingora would get.
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
        // One clock for all requests, which is set again only when it has run out.
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
                    // The library has said why, and `watch` has seen it.
                    Some(Err(_)) | None => return,
                },
                () = clock.as_mut() => {
                    let left = quiet.saturating_sub(last_request.elapsed());
                    // One that is busy is looked at again after the same time. Each request holds the digest: what is left
                    // without any waits for a client that takes nothing more.
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
            // Never: what was checked can be written.
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        let passing = PendingRequest {
            head,
            body,
            respond,
        };
        let (proxy, direct, client) = (self.proxy.clone(), self.direct.clone(), self.client);
        let (shutdown, digest) = (shutdown.clone(), digest.clone());
        // On any of the threads: all requests of one client may come on one connection. In a box, as a task is moved about
        // before it runs.
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

    /// Refuses the connection: its first requests are answered with the problem, and it ends.
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
            // It asked for nothing, and is counted nevertheless.
            self.refusals
                .note_unread(self.client.address, "2", problem.reason());
        }
    }
}

/// Passes a request on the direct way, or gives it back.
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

/// The form of a head that says how long its body is, if that is known already: where none is announced and the stream has not
/// ended, one may come all the same, and be refused.
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
