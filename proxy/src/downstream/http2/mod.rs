//! HTTP/2 connections (RFC 9113). The `h2` library speaks the protocol; its streams are handed to pingora as sessions of
//! ours, so that requests are checked like those of HTTP/1.1 and refused in the same words, and a body that does not
//! come has a deadline.

mod frames;
mod head;
mod refuse;
mod session;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use pingora_core::apps::HttpServerApp;
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Ssl};
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use pingora_timeout::{sleep, timeout};

use self::session::Session;
use self::watch::Watch;
use crate::config::Limits;
use crate::downstream::read_head::LAST_REQUEST;
use crate::downstream::refusals::Refusals;
use crate::downstream::wire::Wire;
use crate::message::head::HeadLimits;
use crate::message::problem::Problem;
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
    pub(crate) client: IpAddr,
}

type IncomingStream = (Request<RecvStream>, SendResponse<Bytes>);

impl Http2<'_> {
    /// Serves until the client leaves, is idle for too long, or the proxy stops.
    pub(crate) async fn serve(&self, wire: Box<Wire>, shutdown: &ShutdownWatch) {
        let limits = self.limits();
        let digest = Arc::new(digest(&wire));
        let Some(mut connection) = self.shake_hands(wire, &limits).await else {
            return;
        };
        let mut stop = shutdown.clone();
        let mut is_closing = false;
        loop {
            let quiet = if is_closing {
                LAST_REQUEST
            } else {
                limits.idle_timeout
            };
            tokio::select! {
                biased;
                // An error means that the server is gone, which is a stop as well.
                _ = stop.wait_for(|stop| *stop), if !is_closing => {
                    connection.graceful_shutdown();
                    is_closing = true;
                }
                accepted = connection.accept() => match accepted {
                    Some(Ok(accepted)) => self.begin(accepted, &digest, shutdown),
                    // The library has said why, and `watch` has seen it.
                    Some(Err(_)) | None => return,
                },
                // One that is busy is looked at again after the same time. Each session holds the digest: what is left without
                // any waits for a client that takes nothing more.
                () = sleep(quiet) => if connection.has_streams() && Arc::strong_count(&digest) > 1 {
                    continue;
                } else if is_closing {
                    return;
                } else {
                    connection.graceful_shutdown();
                    is_closing = true;
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        self.refusals.live.table().config.limits.clone()
    }

    async fn shake_hands(
        &self,
        wire: Box<Wire>,
        limits: &Limits,
    ) -> Option<Connection<Watch, Bytes>> {
        let mut options = Builder::new();
        let header_bytes = limits.header_bytes.saturating_mul(HEAD_SLACK);
        options
            .max_concurrent_streams(MOST_STREAMS)
            .max_local_error_reset_streams(Some(MOST_BROKEN))
            .max_header_list_size(header_bytes.try_into().unwrap_or(u32::MAX));
        let watch = Watch::new(wire, self.refusals.clone(), self.client);
        let handshake = timeout(limits.header_timeout, options.handshake(watch));
        handshake.await.ok()?.ok()
    }

    /// Hands a request to pingora, in a task of its own, or refuses it.
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
        let session = Session::new(head, body, respond, digest.clone(), limits.body_timeout);
        let session = ServerSession::new_custom(Box::new(session));
        let (proxy, shutdown) = (self.proxy.clone(), shutdown.clone());
        // On any of the threads: all requests of one client may come on one connection.
        pingora_runtime::current_handle().spawn(async move {
            proxy.process_new_http(session, &shutdown).await;
        });
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
                .note_unread(self.client, "2", problem.reason());
        }
    }
}

fn digest(wire: &Wire) -> Digest {
    Digest {
        ssl_digest: wire.get_ssl_digest(),
        timing_digest: wire.get_timing_digest(),
        proxy_digest: wire.get_proxy_digest(),
        socket_digest: wire.get_socket_digest(),
    }
}
