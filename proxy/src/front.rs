//! Client connections: how many, how long, and what they may begin. A head is read and checked here in full before
//! pingora parses it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ServerApp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::protocols::{ALPN, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use pingora_timeout::timeout;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::access_log::AccessLog;
use crate::chunks::{Chunks, Followed};
use crate::config::Limits;
use crate::head::{self, Body, HeadLimits};
use crate::live::Live;
use crate::problem::Problem;
use crate::proxy::Proxy;

/// How a client without TLS begins HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// First size of the buffer for a head; most fit.
const HEAD_BUFFER: usize = 4096;

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
    /// There is one, at the beginning of the buffer; it is so long, and its body ends so.
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
        let mut proxy = HttpProxy::new(Proxy::new(live.clone(), access_log), pingora);
        proxy.handle_init_modules();
        proxy.h2_options = Some(http2_options(&live.table().config.limits));
        proxy.server_options = Some(server_options(http2_without_tls, &live));
        Self {
            proxy: Arc::new(proxy),
            live,
            http2_without_tls,
            open: Arc::default(),
        }
    }

    /// The count of client connections, which tells when a stopping proxy has nothing left to do.
    pub fn open_connections(&self) -> Arc<OpenConnections> {
        self.open.clone()
    }

    async fn serve(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let limits = self.limits();
        let connection = Connection::open(self);
        if self.open.count() > limits.connections {
            self.live.metrics.refused.connections.inc();
            return refuse(stream, &Problem::TooManyConnections).await;
        }
        let http2 = stream.selected_alpn_proto() == Some(ALPN::H2)
            || (self.http2_without_tls && begins_http2(&mut stream, &limits).await);
        if http2 {
            self.proxy.process_new(stream, shutdown).await;
        } else {
            self.serve_http1(stream, shutdown).await;
        }
        drop(connection);
    }

    fn limits(&self) -> Limits {
        self.live.table().config.limits.clone()
    }

    async fn serve_http1(&self, mut stream: Stream, shutdown: &ShutdownWatch) {
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut buffer = BytesMut::new();
        let mut wait = Wait::ForFirst;
        let mut stopping = pin!(stopping(shutdown.clone()));
        loop {
            let limits = self.limits();
            let read = read_head(&mut stream, &mut buffer, &limits, wait, stopping.as_mut()).await;
            let (head_bytes, body) = match read {
                Head::Whole(head_bytes, body) => (head_bytes, body),
                Head::None => return,
                Head::Refused(problem) => return self.refuse_request(stream, &problem).await,
            };
            let next = take_next_request(&mut buffer, head_bytes, body);
            if body == Body::Chunked {
                let mut chunks = Chunks::default();
                if let Err(reason) = chunks.follow(&buffer[head_bytes..]) {
                    return self
                        .refuse_request(stream, &Problem::Malformed(reason))
                        .await;
                }
                stream = Followed::wrap(stream, chunks);
            }
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                Some(settings) => settings.apply_to_session(&mut session),
                None => session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1))),
            }
            session.set_pipelined_prefix(buffer);
            session.set_read_timeout(Some(limits.body_timeout));
            session.set_write_timeout(Some(limits.send_timeout));
            session.set_total_drain_timeout(Some(limits.body_timeout));
            let Some(reused) = self.proxy.process_new_http(session, shutdown).await else {
                return;
            };
            (stream, settings) = reused.consume();
            stream = Followed::unwrap(stream);
            buffer = next;
            wait = Wait::ForNext;
        }
    }

    async fn refuse_request(&self, stream: Stream, problem: &Problem) {
        self.count_refusal(problem);
        refuse(stream, problem).await;
    }

    fn count_refusal(&self, problem: &Problem) {
        let refused = &self.live.metrics.refused;
        match problem {
            Problem::HeadTooLarge(_) => refused.headers_too_large.inc(),
            Problem::TooSlow => refused.timeout.inc(),
            _ => refused.malformed.inc(),
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
    let mut options = H2Options::new();
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

async fn begins_http2(stream: &mut Stream, limits: &Limits) -> bool {
    let mut first = [0; HTTP2_PREFACE.len()];
    let peeked = timeout(limits.header_timeout, stream.try_peek(&mut first)).await;
    matches!(peeked, Ok(Ok(true))) && first == *HTTP2_PREFACE
}

/// How long a connection may wait for a head's first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// A new connection has the time of a head for all of it.
    ForFirst,
    /// One that was answered may be idle first.
    ForNext,
}

/// Splits off what belongs to a request after this one (RFC 9112, section 9.3.2), as far as that can be told before the
/// body is read.
fn take_next_request(buffer: &mut BytesMut, head_bytes: usize, body: Body) -> BytesMut {
    let Body::Length(length) = body else {
        return BytesMut::new();
    };
    let end =
        usize::try_from(length).map_or(usize::MAX, |length| head_bytes.saturating_add(length));
    if end < buffer.len() {
        buffer.split_off(end)
    } else {
        BytesMut::new()
    }
}

/// Reads until there is a whole head. What comes after it stays in the buffer.
async fn read_head(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limits: &Limits,
    wait: Wait,
    stopping: Pin<&mut impl Future<Output = ()>>,
) -> Head {
    let head_limits = HeadLimits {
        bytes: limits.header_bytes,
        lines: limits.header_count,
    };
    let began = Instant::now();
    if buffer.is_empty() && !read_first(stream, buffer, limits, wait, stopping).await {
        return Head::None;
    }
    let deadline = limits.header_timeout
        + match wait {
            Wait::ForFirst => Duration::ZERO,
            Wait::ForNext => began.elapsed(),
        };
    loop {
        match head::find(buffer, head_limits) {
            Ok(Some((start, end))) => {
                let checked = head::check(&buffer[start..end], head_limits);
                _ = buffer.split_to(start);
                return checked.map_or_else(Head::Refused, |body| Head::Whole(end - start, body));
            }
            Ok(None) => {}
            Err(problem) => return Head::Refused(problem),
        }
        let left = deadline.saturating_sub(began.elapsed());
        match timeout(left, stream.read_buf(buffer)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return Head::None,
            Err(_) => return Head::Refused(Problem::TooSlow),
        }
    }
}

/// Whether the client began to send.
async fn read_first(
    stream: &mut Stream,
    buffer: &mut BytesMut,
    limits: &Limits,
    wait: Wait,
    stopping: Pin<&mut impl Future<Output = ()>>,
) -> bool {
    let limit = match wait {
        Wait::ForFirst => limits.header_timeout,
        Wait::ForNext => limits.idle_timeout,
    };
    buffer.reserve(HEAD_BUFFER);
    let read = tokio::select! {
        biased;
        read = timeout(limit, stream.read_buf(buffer)) => read,
        () = stopping => timeout(LAST_REQUEST, stream.read_buf(buffer)).await,
    };
    matches!(read, Ok(Ok(1..)))
}

/// Answers for the proxy on a connection that pingora has not seen, and closes it.
async fn refuse(mut stream: Stream, problem: &Problem) {
    let answer = problem.raw(crate::request_id::new_id().to_str().unwrap_or("-"));
    let rest = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    _ = timeout(LINGER, rest).await;
}
