//! The admin listener: metrics and status for all clients that reach it, changes for clients with the token
//! (`docs/ADMIN.md`). [`Admin`] lists its paths.
//!
//! `visitor` and `token` decide which clients are let in. This file answers GET requests, `changes` answers POST
//! requests, and `console` those of the console's page. Nothing here decides whether a change is made: `control` does,
//! and this room passes its answer on.

mod changes;
mod console;
mod listener;
mod query;
mod reply;
mod token;
mod upload;
mod visitor;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use store_server::admin_answer::refusal_id;
use store_server::console::{Console, ConsoleResource};
use store_server::listener::MOST_ADMIN_CONNECTIONS;
use store_server::metrics::Format;
use tokio::task::JoinSet;

pub(crate) use self::listener::AdminListener;
use self::listener::Connection;
use self::reply::{Rejection, Reply};
use self::token::Denial;
pub(crate) use self::token::Token;
pub(crate) use self::visitor::ServerNames;
use crate::control::{Control, Initiator, refused};
use crate::http::body::discard;
use crate::http::{Downstream, MOST_HEAD_BYTES, Refusals, Times};

/// The longest wait for a head that has begun, and for a client to read a part of its answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest wait for the next head, its beginning included.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// The error text for any other path.
const PATHS: &str = "the paths are /console, /metrics, /healthz, /status, /traces, /history, /events, /fleet, /reload, /refresh and /components/ID/swap, rollback, promote, abort, step, settle";

/// Answers the requests of all admin connections:
///
/// - `GET /metrics`: all metrics, in Prometheus's text format or as OpenMetrics.
/// - `GET /healthz`: `ok`, as long as the process answers.
/// - `GET /status`: the build, and each component's generations, as JSON.
/// - `GET /traces[?trace=ID]`: the requests that were kept as slow or failed, or the kept spans of one trace, as JSON.
/// - `GET /console`: the console's page; it reads `/history`, `/events`, `/fleet`, `/token` and `/fleet/NAME/…`.
/// - `POST /components/{id}/swap[?canary=PERCENT[&for=TIME]][&ephemeral=true]`: replaces the component by the one in
///   the body; `steps`, `step_for`, `mirror`, `sticky` and `when` make it a roll-out in steps.
/// - `POST /components/{id}/rollback[?generation=N]`: lets an earlier generation serve again.
/// - `POST /components/{id}/promote`, `POST /components/{id}/abort`: ends the trial of a canary, for it or against it.
/// - `POST /components/{id}/step`, `POST /components/{id}/settle`: messages of a command that leads a roll-out over
///   several hosts.
/// - `POST /reload`: reads the manifest, the variables and the files again.
/// - `POST /refresh`: rebuilds the reports.
pub(crate) struct Admin {
    pub(crate) control: Arc<Control>,
    pub(crate) console: Arc<Console>,
    pub(crate) token: Token,
    pub(crate) names: ServerNames,
    pub(crate) refusals: Arc<Refusals>,
}

/// Serves the admin interface until the returned set is dropped.
pub(crate) fn start(listener: AdminListener, admin: Arc<Admin>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        // Ended connections are removed, because some may have ended while this task was busy.
                        while connections.try_join_next().is_some() {}
                        if connections.len() < MOST_ADMIN_CONNECTIONS {
                            connections.spawn(admin.clone().serve(stream, peer));
                        } else {
                            admin.refusals.admin_connection(&peer);
                        }
                    }
                    Err(error) => {
                        // Usually the process is out of file descriptors, until other connections end.
                        tracing::warn!("Can't accept an admin connection: {error}");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    });
    tasks
}

/// The endpoint that the path of a request names.
enum Endpoint<'a> {
    Read,
    Console(ConsoleResource<'a>),
    Reload,
    Refresh,
    Change { id: &'a str, action: &'a str },
}

impl Admin {
    /// Answers all requests of one connection.
    async fn serve(self: Arc<Self>, stream: Box<dyn Connection>, peer: String) {
        let times = Times {
            receive: CLIENT_TIMEOUT,
            send: CLIENT_TIMEOUT,
        };
        // The other end of a Unix socket has no address.
        let address = peer.parse::<SocketAddr>().map(|peer| peer.ip());
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let refusals = self.refusals.clone();
        let stream = Downstream::new(stream, address, refusals, times, Arc::default());
        let service = service_fn(move |request| {
            let (admin, peer) = (self.clone(), Initiator(peer.clone()));
            async move { Ok::<_, Infallible>(admin.answer(request, peer).await) }
        });
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_buf_size(MOST_HEAD_BYTES)
            // [`Downstream`] replaces a refusal of hyper's own, which must come in one piece.
            .writev(false);
        _ = server.serve_connection(TokioIo::new(stream), service).await;
    }

    /// Answers a request. Counts and logs a refusal.
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Initiator) -> Reply {
        let reply = self.clone().reply(request, peer.clone()).await;
        if let Some(id) = refusal_id(&reply) {
            self.refusals.admin_request(&peer.0, reply.status(), id);
        }
        reply
    }

    async fn reply(self: Arc<Self>, request: Request<Incoming>, peer: Initiator) -> Reply {
        let path = request.uri().path().to_owned();
        match self.let_in(&path, &request, &peer) {
            Ok(Endpoint::Read) => self.read(&path, request.uri().query(), request.headers()),
            Ok(Endpoint::Console(place)) => self.at_console(place, request, peer).await,
            Ok(Endpoint::Reload) => self.reload(peer).await,
            Ok(Endpoint::Refresh) => self.refresh(peer).await,
            Ok(Endpoint::Change { id, action: "step" }) => {
                self.step(id.to_owned(), request, peer).await
            }
            Ok(Endpoint::Change { id, action }) => {
                self.change(id.to_owned(), action.to_owned(), request, peer)
                    .await
            }
            Err(problem) => {
                // The body is read, because a client that is still sending a component would not read the answer.
                discard(request.into_body()).await;
                problem.reply()
            }
        }
    }

    /// Finds the endpoint of a request, and checks that the client may use it.
    fn let_in<'a>(
        &self,
        path: &'a str,
        request: &Request<Incoming>,
        peer: &Initiator,
    ) -> Result<Endpoint<'a>, Rejection> {
        self.names.check(request.version(), request.headers())?;
        if let Some(place) = ConsoleResource::of(path) {
            self.let_in_console(place, request, peer)?;
            return Ok(Endpoint::Console(place));
        }
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (endpoint, action, component) = match *segments.as_slice() {
            ["metrics" | "healthz" | "status" | "traces"] => (Endpoint::Read, "read", None),
            ["reload"] => (Endpoint::Reload, "reload", None),
            ["refresh"] => (Endpoint::Refresh, "refresh", None),
            [
                "components",
                id,
                action @ ("swap" | "rollback" | "promote" | "abort" | "step" | "settle"),
            ] => (Endpoint::Change { id, action }, action, Some(id)),
            _ => return Err(Rejection::new(StatusCode::NOT_FOUND, PATHS)),
        };
        match (&endpoint, request.method()) {
            (Endpoint::Read, &Method::GET | &Method::HEAD) => Ok(endpoint),
            (Endpoint::Read, _) => Err(Rejection::method_not_allowed("GET, HEAD")),
            (_, &Method::POST) => {
                visitor::check_origin(request.headers())?;
                self.authorized(request)
                    .inspect_err(|reason| refused(peer, action, component, reason))
                    .map(|()| endpoint)
                    .map_err(|reason| Rejection::unauthorized(reason.to_string()))
            }
            _ => Err(Rejection::method_not_allowed("POST")),
        }
    }

    fn read(&self, path: &str, query: Option<&str>, headers: &HeaderMap) -> Reply {
        match path {
            "/metrics" => self.metrics(Format::accepted(headers)),
            "/status" => reply::json(&self.control.status()),
            "/traces" => {
                let mut arguments = query.into_iter().flat_map(|query| query.split('&'));
                let trace = arguments.find_map(|argument| argument.strip_prefix("trace="));
                reply::json(&self.control.tracing.tail(trace))
            }
            _ => reply::text("text/plain", "ok\n".to_owned()),
        }
    }

    fn metrics(&self, format: Format) -> Reply {
        match self.control.render_metrics(format) {
            Ok(text) => reply::text(format.media_type(), text),
            Err(error) => {
                Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).reply()
            }
        }
    }

    fn authorized(&self, request: &Request<Incoming>) -> Result<(), Denial> {
        let given = request.headers().get(AUTHORIZATION);
        self.token
            .check(given.and_then(|value| value.to_str().ok()))
    }
}
