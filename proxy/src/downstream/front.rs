//! Client connections: how many there may be, how long they may last, and which requests they may begin. Each head is
//! read and checked here in full before pingora parses it.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::{ALPN, GetSocketDigest, Ssl, Stream};
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::HttpProxy;
use pingora_timeout::timeout;

use super::farewell::Farewells;
use super::http1::Http1;
use super::http2::Http2;
use super::read_head::{Head, Wait, read_head, stopping};
use super::refusals::{Refusal, Refusals};
use super::shortcut::Shortcut;
use super::versions::{Versions, begins_http2, speaks_http2};
use super::wire::Wire;
use crate::clients::address_of;
use crate::clients::{ClientPlace, Kind};
use crate::config::Limits;
use crate::message::forwarded;
use crate::message::head;
use crate::message::plain::PlainRequest;
use crate::message::problem::Problem;
use crate::message::request_id::new_id;
use crate::request::access_log::AccessLog;
use crate::request::direct::{Direct, Persistence};
use crate::request::exchange::Peer;
use crate::request::hooks::Proxy;
use crate::table::live::LiveTable;

/// The service behind every listener.
pub(crate) struct Front {
    proxy: Arc<HttpProxy<Proxy>>,
    live: Arc<LiveTable>,
    refusals: Refusals,
    http2_without_tls: bool,
    shortcut: Shortcut,
    direct: Arc<Direct>,
    open: Arc<OpenConnections>,
    farewells: Farewells,
}

/// The refusal of a client that chose HTTP/2 and does not begin with its preface.
const NO_PREFACE: Problem =
    Problem::Malformed("the connection does not begin with HTTP/2's preface");

/// Counts client connections.
#[derive(Default)]
pub(crate) struct OpenConnections(AtomicUsize);

impl OpenConnections {
    /// How many connections are open now.
    pub(crate) fn count(&self) -> usize {
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

impl Front {
    /// `http2_without_tls`: whether clients may begin with HTTP/2's preface.
    pub(crate) fn new(
        live: Arc<LiveTable>,
        access_log: Arc<AccessLog>,
        pingora: Arc<ServerConf>,
        http2_without_tls: bool,
    ) -> Self {
        let shortcut = Shortcut {
            live: live.clone(),
            access_log: access_log.clone(),
        };
        let direct = Arc::new(Direct {
            live: live.clone(),
            access_log: access_log.clone(),
        });
        let mut proxy = HttpProxy::new(Proxy::new(live.clone(), access_log), pingora);
        proxy.handle_init_modules();
        // `front` refuses CONNECT before pingora sees it; pingora's own refusal would have another form.
        let mut options = HttpServerOptions::default();
        options.allow_connect_method_proxying = true;
        proxy.server_options = Some(options);
        Self {
            refusals: Refusals {
                live: live.clone(),
                access_log: shortcut.access_log.clone(),
            },
            proxy: Arc::new(proxy),
            live,
            http2_without_tls,
            shortcut,
            direct,
            open: Arc::default(),
            farewells: Farewells::default(),
        }
    }

    /// The count of client connections, which tells when a stopping proxy has nothing left to do.
    pub(crate) fn open_connections(&self) -> Arc<OpenConnections> {
        self.open.clone()
    }

    /// Takes a place for a client's connection. Trusted proxies get `None`, as one of them stands for many clients.
    ///
    /// # Errors
    /// The client has as many connections as it may.
    pub(crate) fn place(&self, client: IpAddr) -> Result<Option<ClientPlace>, Problem> {
        let table = self.live.table();
        if forwarded::is_trusted(client, &table.config.forwarded.trusted) {
            return Ok(None);
        }
        let limit = table.config.limits.connections_per_client;
        let place = self.live.clients.take(client, Kind::Connection, limit);
        place.ok_or(Problem::ClientConnections).map(Some)
    }

    /// Serves a connection with its place, or refuses it.
    pub(crate) async fn serve(
        &self,
        stream: Stream,
        place: Result<Option<ClientPlace>, Problem>,
        shutdown: &ShutdownWatch,
    ) {
        let opened = Instant::now();
        let limits = self.limits();
        let connection = Connection::open(self);
        let mut wire = Wire::new(stream);
        let client = client(&wire);
        let refused = match &place {
            Err(problem) => Some(problem.clone()),
            Ok(_) if self.open.count() > limits.connections => Some(Problem::TooManyConnections),
            Ok(_) => None,
        };
        let versions = self.versions(&wire, client);
        if let Some(problem) = refused {
            // Give the place back first: a refused connection must not keep out other ones.
            drop((connection, place));
            return Box::pin(self.turn_away(wire, problem, client, versions)).await;
        }
        if versions != Versions::Http1 {
            let begins = timeout(limits.header_timeout, begins_http2(&mut wire)).await;
            if matches!(begins, Ok(true)) {
                wire.pass_all();
                // In a box, so that an HTTP/1 connection does not hold the memory that HTTP/2 needs.
                return Box::pin(self.http2(client).serve(wire, shutdown)).await;
            }
            if versions == Versions::Http2 {
                // The client sent nothing, so there is no request to refuse.
                if !wire.held().is_empty() {
                    let problem = begins.map_or(Problem::TooSlow, |_| NO_PREFACE);
                    let reason = problem.reason();
                    self.refusals.note_unread(client.address, "2", reason);
                }
                return;
            }
        }
        // If the client has sent too little to tell the version by now, `serve_http1` refuses it as late.
        self.serve_http1(wire, client, opened, shutdown).await;
        drop((connection, place));
    }

    fn versions(&self, wire: &Wire, client: Peer) -> Versions {
        if wire.selected_alpn_proto() == Some(ALPN::H2) {
            Versions::Http2
        } else if self.http2_without_tls && !client.https {
            Versions::Both
        } else {
            Versions::Http1
        }
    }

    fn http2(&self, client: Peer) -> Http2<'_> {
        Http2 {
            proxy: &self.proxy,
            refusals: &self.refusals,
            direct: &self.direct,
            client,
        }
    }

    /// Tells the client that its connection is refused, unless too many refused connections are being answered already.
    async fn turn_away(
        &self,
        mut wire: Box<Wire>,
        problem: Problem,
        client: Peer,
        versions: Versions,
    ) {
        let Some(_farewell) = self.farewells.begin() else {
            let reason = problem.reason();
            return self.refusals.note_unread(client.address, "-", reason);
        };
        let _open = self.live.metrics.refused_connection();
        if speaks_http2(&mut wire, versions).await {
            self.http2(client).refuse(wire, problem).await;
        } else {
            self.refuse(wire, &problem, client).await;
        }
    }

    /// The log and count of refusals.
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Tells pingora to close its idle client connections, as the proxy stops.
    pub(crate) async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }

    fn limits(&self) -> Limits {
        self.live.table().config.limits.clone()
    }

    async fn serve_http1(
        &self,
        mut wire: Box<Wire>,
        client: Peer,
        opened: Instant,
        shutdown: &ShutdownWatch,
    ) {
        let mut settings: Option<HttpPersistentSettings> = None;
        let mut wait = Wait::ForFirst { opened };
        let mut stopping = pin!(stopping(shutdown.clone()));
        loop {
            let limits = self.limits();
            let (head_bytes, checked) =
                match read_head(&mut wire, &limits, wait, stopping.as_mut()).await {
                    Head::Whole(head_bytes, checked) => (head_bytes, checked),
                    Head::None => return,
                    Head::Refused(problem) => return self.refuse(wire, &problem, client).await,
                };
            let mut head = wire.begin(head_bytes, checked.body);
            if let Some(plain) = PlainRequest::read(&head, checked) {
                let closes = plain.closes || *shutdown.borrow();
                match self
                    .without_pingora(&plain, client, &mut wire, closes)
                    .await
                {
                    Some((Persistence::Continue, _)) if closes => return wire.close().await,
                    Some((Persistence::Continue, _)) => {
                        wait = Wait::ForNext;
                        continue;
                    }
                    Some((Persistence::Close, answer)) => return wire.close_with(&answer).await,
                    Some((Persistence::Abort, _)) => return,
                    None => {}
                }
            }
            if !checked.is_simple {
                head = head::simplified(&head);
            }
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

    /// Answers a plain request from memory or by an upstream; `None` if the request must take the long way. The bytes
    /// are those of the answer that are still to be sent.
    async fn without_pingora(
        &self,
        plain: &PlainRequest<'_>,
        client: Peer,
        wire: &mut Wire,
        closes: bool,
    ) -> Option<(Persistence, BytesMut)> {
        if !closes && let Some(answer) = self.shortcut.answer(plain, client) {
            let limit = self.live.table().config.limits.send_timeout;
            let next = match wire.send(&answer, limit).await {
                true => Persistence::Continue,
                false => Persistence::Abort,
            };
            return Some((next, BytesMut::new()));
        }
        let table = self.live.table_to_keep();
        let group = self.direct.group(&table, plain)?.clone();
        let mut http1 = Http1::new(wire, closes);
        let passed = self.direct.pass(table, &group, plain, client, &mut http1);
        // In a box, so that a connection that waits for a request does not hold the memory of one.
        let next = Box::pin(passed).await;
        Some((next, http1.into_unsent()))
    }

    /// Sends the proxy's own answer on a connection that pingora has not seen, and closes it.
    async fn refuse(&self, mut wire: Box<Wire>, problem: &Problem, client: Peer) {
        let since = Instant::now();
        let id = new_id();
        let id = id.to_str().unwrap_or("-");
        let (answer, body_bytes) = problem.raw(id, None);
        let head = wire.held().split();
        let refused = Refusal {
            status: problem.status().as_u16(),
            bytes_sent: body_bytes as u64,
            since,
            ..Refusal::unread(id, client.address, "1.1").with_line(&head)
        };
        self.refusals.note(&refused, problem.reason());
        wire.close_with(&answer).await;
    }
}

fn client(wire: &Wire) -> Peer {
    let digest = wire.get_socket_digest();
    let peer = digest.as_ref().and_then(|digest| digest.peer_addr());
    Peer {
        address: address_of(peer),
        https: wire.get_ssl_digest().is_some(),
    }
}
