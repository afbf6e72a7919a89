//! Client connections: how many, how long, and what they may begin. A head is read and checked here in full before
//! pingora parses it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Buf;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora_core::protocols::{ALPN, GetSocketDigest, Ssl, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use pingora_timeout::timeout;
use tokio::io::AsyncWriteExt;

use crate::access_log::AccessLog;
use crate::admission::address_of;
use crate::config::Limits;
use crate::head::{self, Body, HeadLimits};
use crate::live::Live;
use crate::problem::Problem;
use crate::proxy::Proxy;
use crate::shortcut::{Client, Shortcut};
use crate::wire::Wire;

/// How a client without TLS begins HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long an idle connection may still begin a request once the proxy stops. Closed at once, it could cross with one.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// After a refusal: how long the rest of the request is read, as closing before could destroy the answer (RFC 9112,
/// section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// The service behind every listener.
pub struct Front {
    proxy: Arc<HttpProxy<Proxy>>,
    live: Arc<Live>,
    http2_without_tls: bool,
    shortcut: Shortcut,
    open: Arc<OpenConnections>,
}

/// Counts client connections.
#[derive(Default)]
pub struct OpenConnections(AtomicUsize);

impl OpenConnections {
    /// Open at the moment.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// One client connection; counted until it is dropped.
struct Connection<'a>(&'a Front);

impl<'a> Connection<'a> {
    fn open(front: &'a Front) -> Self {
        front.open.0.fetch_add(1, Ordering::Relaxed);
        front.live.metrics.connections.inc();
        Self(front)
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.0.open.0.fetch_sub(1, Ordering::Relaxed);
        self.0.live.metrics.connections.dec();
    }
}

/// How the wait for a head ended.
enum Head {
    /// There is one, at the beginning of what is held; it is so long, and its body ends so.
    Whole(usize, Body),
    /// The client left, or stayed idle for too long.
    None,
    /// It is answered by the proxy.
    Refused(Problem),
}

impl Front {
    /// `http2_without_tls`: whether clients may begin with HTTP/2's preface.
    pub fn new(
        live: Arc<Live>,
        access_log: Arc<AccessLog>,
        pingora: Arc<ServerConf>,
        http2_without_tls: bool,
    ) -> Self {
        let shortcut = Shortcut {
            live: live.clone(),
            access_log: access_log.clone(),
        };
        let mut proxy = HttpProxy::new(Proxy::new(live.clone(), access_log), pingora);
        proxy.handle_init_modules();
        proxy.h2_options = Some(http2_options(&live.table().config.limits));
        proxy.server_options = Some(server_options(http2_without_tls, &live));
        Self {
            proxy: Arc::new(proxy),
            live,
            http2_without_tls,
            shortcut,
            open: Arc::default(),
        }
    }

    /// The count of client connections, which tells when a stopping proxy has nothing left to do.
    pub fn open_connections(&self) -> Arc<OpenConnections> {
        self.open.clone()
    }

    async fn serve(&self, stream: Stream, shutdown: &ShutdownWatch) {
        let limits = self.limits();
        let connection = Connection::open(self);
        let mut wire = Wire::new(stream);
        if self.open.count() > limits.connections {
            // What is refused does not fill the place of those that follow.
            drop(connection);
            let problem = Problem::TooManyConnections;
            problem.count(&self.live.metrics);
            return refuse(wire, &problem).await;
        }
        let http2 = wire.selected_alpn_proto() == Some(ALPN::H2);
        let may_be_http2 = http2 || (self.http2_without_tls && wire.get_ssl_digest().is_none());
        if may_be_http2 {
            // Pingora would wait for it without a limit.
            match timeout(limits.header_timeout, begins_http2(&mut wire)).await {
                Ok(true) => {
                    wire.pass_all();
                    self.proxy.process_new(wire, shutdown).await;
                    return;
                }
                Ok(false) if !http2 => {}
                _ => return Problem::TooSlow.count(&self.live.metrics),
            }
        }
        self.serve_http1(wire, shutdown).await;
        drop(connection);
    }

    fn limits(&self) -> Limits {
        self.live.table().config.limits.clone()
    }

    async fn serve_http1(&self, mut wire: Box<Wire>, shutdown: &ShutdownWatch) {
        let mut settings: Option<HttpPersistentSettings> = None;
        let client = client(&wire);
        let mut wait = Wait::ForFirst;
        let mut stopping = pin!(stopping(shutdown.clone()));
        loop {
            let limits = self.limits();
            let (head_bytes, body) =
                match read_head(&mut wire, &limits, wait, stopping.as_mut()).await {
                    Head::Whole(head_bytes, body) => (head_bytes, body),
                    Head::None => return,
                    Head::Refused(problem) => {
                        problem.count(&self.live.metrics);
                        return refuse(wire, &problem).await;
                    }
                };
            if body == Body::Length(0)
                && !*shutdown.borrow()
                && let Some(answer) = self.shortcut.answer(&wire.held()[..head_bytes], client)
            {
                wire.held().advance(head_bytes);
                if !send(&mut wire, &answer, limits.send_timeout).await {
                    return;
                }
                wait = Wait::ForNext;
                continue;
            }
            let head = wire.begin(head_bytes, body);
            let mut session = ServerSession::new_http1(wire);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1))),
            }
            session.set_pipelined_prefix(head);
            session.set_read_timeout(Some(limits.body_timeout));
            session.set_total_drain_timeout(Some(limits.body_timeout));
            let Some(reused) = self.proxy.process_new_http(session, shutdown).await else {
                return;
            };
            let stream;
            (stream, settings) = reused.consume();
            let Some(returned) = Wire::returned(stream) else {
                return;
            };
            wire = returned;
            wait = Wait::ForNext;
        }
    }
}

#[async_trait]
impl ServerApp for Front {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        self.serve(stream, shutdown).await;
        None
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

fn http2_options(limits: &Limits) -> H2Options {
    let mut options = default_h2_options();
    options.max_header_list_size(limits.header_bytes.try_into().unwrap_or(u32::MAX));
    options
}

fn server_options(http2_without_tls: bool, live: &Live) -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.h2c = http2_without_tls;
    options.h2_idle_timeout = Some(live.table().config.limits.idle_timeout);
    options
}

async fn stopping(mut shutdown: ShutdownWatch) {
    // An error means that the server is gone, which is a stop as well.
    _ = shutdown.wait_for(|stop| *stop).await;
}

/// Reads until the client's first bytes are HTTP/2's preface, or can't become it.
async fn begins_http2(wire: &mut Wire) -> bool {
    while wire.held().len() < HTTP2_PREFACE.len() {
        if !HTTP2_PREFACE.starts_with(wire.held()) || !matches!(wire.read_more().await, Ok(1..)) {
            return false;
        }
    }
    wire.held().starts_with(HTTP2_PREFACE)
}

/// How long a connection may wait for a head's first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A new connection has the time of a head for all of it.
    ForFirst,
    /// One that was answered may be idle first.
    ForNext,
}

/// Reads until there is a whole head. What comes after it is held for later.
async fn read_head(
    wire: &mut Wire,
    limits: &Limits,
    wait: Wait,
    mut stopping: Pin<&mut impl Future<Output = ()>>,
) -> Head {
    let head_limits = HeadLimits {
        bytes: limits.header_bytes,
        lines: limits.header_count,
    };
    let first_byte_in = match wait {
        Wait::ForFirst => limits.header_timeout,
        Wait::ForNext => limits.idle_timeout,
    };
    while !has_begun(wire) {
        if !read_first(wire, first_byte_in, stopping.as_mut()).await {
            return Head::None;
        }
    }
    let began = Instant::now();
    loop {
        match head::find(wire.held(), head_limits) {
            Ok(Some(end)) => {
                let checked = head::check(&wire.held()[..end], head_limits);
                return checked.map_or_else(Head::Refused, |body| Head::Whole(end, body));
            }
            Ok(None) => {}
            Err(problem) => return Head::Refused(problem),
        }
        let left = limits.header_timeout.saturating_sub(began.elapsed());
        match timeout(left, wire.read_more()).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Head::None,
            Err(_) => return Head::Refused(Problem::TooSlow),
        }
    }
}

/// Whether there is anything but empty lines, which some clients send after a body (RFC 9112, section 2.2).
fn has_begun(wire: &mut Wire) -> bool {
    let held = wire.held();
    let blank = held
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count();
    held.advance(blank);
    !held.is_empty()
}

/// Whether the client sent something.
async fn read_first(
    wire: &mut Wire,
    limit: Duration,
    stopping: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    let read = tokio::select! {
        biased;
        read = timeout(limit, wire.read_more()) => read,
        () = stopping => timeout(LAST_REQUEST, wire.read_more()).await,
    };
    matches!(read, Ok(Ok(1..)))
}

fn client(wire: &Wire) -> Client {
    let digest = wire.get_socket_digest();
    let peer = digest.as_ref().and_then(|digest| digest.peer_addr());
    Client {
        address: address_of(peer),
        https: wire.get_ssl_digest().is_some(),
    }
}

/// Whether the client took all of it in time.
async fn send(wire: &mut Wire, answer: &[u8], limit: Duration) -> bool {
    let sent = async {
        wire.write_all(answer).await?;
        wire.flush().await
    };
    matches!(timeout(limit, sent).await, Ok(Ok(())))
}

/// Answers for the proxy on a connection that pingora has not seen, and closes it.
async fn refuse(mut wire: Box<Wire>, problem: &Problem) {
    let answer = problem.raw(crate::request_id::new_id().to_str().unwrap_or("-"));
    let rest = async {
        wire.write_all(&answer).await?;
        AsyncWriteExt::shutdown(&mut wire).await?;
        while wire.read_more().await? > 0 {
            wire.held().clear();
        }
        std::io::Result::Ok(())
    };
    _ = timeout(LINGER, rest).await;
}
