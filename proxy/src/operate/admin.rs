//! The requests that the admin listener answers:
//!
//! - `GET /metrics`: all metrics, in Prometheus's text format or as OpenMetrics.
//! - `GET /healthz`: `ok`, as long as the process answers.
//! - `GET /status`: version, commit, profile, process id, groups and their upstreams, as JSON.
//! - `GET /traces[?trace=ID]`: the slowest and the failed requests of the last minutes, or the kept trees of one trace,
//!   as JSON.
//! - `POST /reload`: reads the file again; names the sections that need an upgrade.
//! - `POST /drain?upstream=A[&timeout=T]`: gives upstream A no more requests, and waits until it has none left.
//! - `POST /undrain?upstream=A`: gives upstream A requests again.
//! - `POST /cache/purge`: forgets all kept answers; says how many there were.
//!
//! For the console (see `console`):
//!
//! - `GET /console`, `GET /console/FILE`: the page and its files.
//! - `GET /history[?after=POSITION]`: the samples of the last fifteen minutes, as JSON.
//! - `GET /events`: the last lines of the audit log and the last warnings, as JSON.
//! - `GET /fleet`: this program and the other members of its fleet, as JSON.
//! - `POST /token`: whether the admin token that came with the request is right.
//! - `GET` or `POST /fleet/NAME/PATH`: passes a request on to the admin listener of member NAME.
//!
//! A POST needs the admin token, and is refused if it comes from a web page that this listener did not serve. A request
//! that is passed on needs the token of its member.

use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;
use store_server::PerSecond;
use store_server::admin_answer::refusal_id;
use store_server::admin_name::{is_from_elsewhere, is_known};
use store_server::build::Build;
use store_server::console::{Console, ConsoleResource};
use store_server::metrics::Format;
use store_server::recent::AUDIT;

use super::admin_error::{AdminError, Answer, json, text};
use super::reload::Reloader;
use super::take_up::program;
use super::token::Token;
use super::upgrade::is_listened_on;
use crate::answers::{Drain, Purge, Reload, Status, Undrain};
use crate::config::parse_duration;
use crate::message::target::host_name;
use crate::metrics::Reason;
use crate::table::live::LiveTable;

/// How long a drain waits if its request gives no limit.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Answers the admin listener's requests.
pub(crate) struct Admin {
    pub(crate) live: Arc<LiveTable>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) token: Token,
    pub(crate) console: Arc<Console>,
    /// Host names that requests may be for, besides `localhost` and addresses.
    pub(crate) names: Vec<String>,
    /// Once this is set, changes are refused, as they are for the new process.
    pub(crate) handing_over: Arc<AtomicBool>,
    /// Where a new process waits for the sockets. By then it has already asked which upstreams are drained.
    pub(crate) upgrade_socket: PathBuf,
    /// Limits the log lines of refused requests.
    pub(crate) refusal_lines: PerSecond,
}

/// The resource that a request's path names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Resource {
    Metrics,
    Health,
    Status,
    Traces,
    Reload,
    Drain,
    Undrain,
    Purge,
}

impl Admin {
    async fn answer(&self, session: &mut ServerSession) -> Result<Answer, AdminError> {
        let head = session.req_header();
        self.check_host(&head.headers)?;
        let path = head.uri.path().to_owned();
        if let Some(place) = ConsoleResource::of(&path) {
            return self.at_console(place, session).await;
        }
        let resource = Resource::of(&path).ok_or(AdminError::NotFound)?;
        if !resource.methods().contains(&head.method) {
            return Err(AdminError::Method(resource.allow()));
        }
        let query = head.uri.query().unwrap_or_default();
        let peer = peer(session);
        if resource.changes() {
            let checked = self.check_may_change(&head.headers);
            checked.inspect_err(|why| {
                tracing::warn!(target: AUDIT, peer, action = path, result = "refused", "{path} refused: {why}");
            })?;
        }
        match resource {
            Resource::Metrics => self.metrics(Format::accepted(&head.headers)),
            Resource::Health => Ok(text("text/plain", "ok\n".into())),
            Resource::Status => self.status(),
            Resource::Traces => {
                let trace = argument(query, "trace");
                json(&self.live.tracing.tail(trace.as_deref()))
            }
            Resource::Reload => self.reload(&peer).await,
            Resource::Drain => self.drain(query, &peer).await,
            Resource::Undrain => self.undrain(query, &peer),
            Resource::Purge => self.purge(),
        }
    }

    /// Counts and logs a request that is answered with a problem.
    pub(super) fn note_refusal(&self, peer: &str, status: StatusCode, request_id: &str) {
        self.live.metrics.refuse(Reason::AdminRequest);
        if self.refusal_lines.may_pass() {
            let status = status.as_u16();
            tracing::info!(
                peer,
                request = request_id,
                status,
                "Refused an operator's request"
            );
        }
    }

    /// Refuses requests for unknown host names. A web page can make its own name resolve to this machine and then read
    /// answers, but it can't do so with an address in place of a name.
    fn check_host(&self, headers: &HeaderMap) -> Result<(), AdminError> {
        let mut hosts = headers.get_all(HOST).iter();
        let is_ours = |host: &HeaderValue| {
            let name = host_name(host.to_str().unwrap_or_default());
            is_known(name, &self.names)
        };
        if hosts.all(is_ours) {
            Ok(())
        } else {
            Err(AdminError::WrongHost)
        }
    }

    pub(super) fn check_may_change(&self, headers: &HeaderMap) -> Result<(), AdminError> {
        check_origin(headers)?;
        match headers.get(AUTHORIZATION) {
            None => return Err(AdminError::NoToken),
            Some(given) if !self.token.is_in(given.as_bytes()) => {
                return Err(AdminError::WrongToken);
            }
            Some(_) => {}
        }
        if self.is_handing_over() {
            return Err(AdminError::HandingOver);
        }
        Ok(())
    }

    /// Whether changes are for the new process.
    pub(super) fn is_handing_over(&self) -> bool {
        self.handing_over.load(Ordering::Relaxed) || is_listened_on(&self.upgrade_socket)
    }

    fn metrics(&self, format: Format) -> Result<Answer, AdminError> {
        let metrics = self.live.metrics.render(format);
        let metrics = metrics.map_err(|error| AdminError::Internal(error.to_string()))?;
        Ok(text(format.media_type(), metrics))
    }

    fn status(&self) -> Result<Answer, AdminError> {
        json(&Status {
            build: Some(Build::this()),
            pid: process::id(),
            program: program(),
            groups: self.live.status(),
        })
    }

    async fn reload(&self, peer: &str) -> Result<Answer, AdminError> {
        let outcome = self.reloader.reload().await;
        let result = if outcome.is_ok() {
            "reloaded"
        } else {
            "refused"
        };
        tracing::info!(target: AUDIT, peer, action = "reload", result, "The settings: {result}");
        let not_taken_up = outcome?;
        json(&Reload {
            reloaded: true,
            needs_upgrade: not_taken_up.into_iter().map(str::to_owned).collect(),
        })
    }

    async fn drain(&self, query: &str, peer: &str) -> Result<Answer, AdminError> {
        let upstream = argument(query, "upstream").ok_or(AdminError::NoUpstreamNamed)?;
        let limit = match argument(query, "timeout") {
            Some(limit) => parse_duration(&limit).map_err(AdminError::Timeout)?,
            None => DRAIN_TIMEOUT,
        };
        if !self.live.drain(&upstream, limit).await? {
            tracing::warn!(target: AUDIT, peer, action = "drain", upstream, result = "not idle", "`{upstream}` is drained, but was not idle in time");
            return Err(AdminError::NotIdle(upstream));
        }
        tracing::info!(target: AUDIT, peer, action = "drain", upstream, result = "drained", "`{upstream}` is drained");
        let state = "drained".to_owned();
        json(&Drain { upstream, state })
    }

    fn undrain(&self, query: &str, peer: &str) -> Result<Answer, AdminError> {
        let upstream = argument(query, "upstream").ok_or(AdminError::NoUpstreamNamed)?;
        self.live.undrain(&upstream)?;
        tracing::info!(target: AUDIT, peer, action = "undrain", upstream, result = "back", "`{upstream}` is back from draining");
        json(&Undrain { upstream })
    }

    fn purge(&self) -> Result<Answer, AdminError> {
        let purged = self.live.purge();
        tracing::debug!(purged, "The cache is purged");
        json(&Purge { purged })
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Answer {
        let mut answer = self
            .answer(session)
            .await
            .unwrap_or_else(|refusal| refusal.answer());
        if let Some(id) = refusal_id(&answer) {
            self.note_refusal(&peer(session), answer.status(), id);
        }
        let (status, length) = (answer.status(), HeaderValue::from(answer.body().len()));
        let headers = answer.headers_mut();
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(CONTENT_LENGTH, length);
        }
        if self.handing_over.load(Ordering::Relaxed) {
            // The next request on this connection would be for the new process.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            session.set_keepalive(None);
        }
        if session.req_header().method == Method::HEAD {
            answer.body_mut().clear();
        }
        answer
    }
}

impl Resource {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/metrics" => Self::Metrics,
            "/healthz" => Self::Health,
            "/status" => Self::Status,
            "/traces" => Self::Traces,
            "/reload" => Self::Reload,
            "/drain" => Self::Drain,
            "/undrain" => Self::Undrain,
            "/cache/purge" => Self::Purge,
            _ => return None,
        })
    }

    fn changes(self) -> bool {
        matches!(
            self,
            Self::Reload | Self::Drain | Self::Undrain | Self::Purge
        )
    }

    fn methods(self) -> &'static [Method] {
        if self.changes() {
            &[Method::POST]
        } else {
            &[Method::GET, Method::HEAD]
        }
    }

    fn allow(self) -> &'static str {
        if self.changes() { "POST" } else { "GET, HEAD" }
    }
}

/// Refuses requests of web pages that this listener did not serve. It served the console itself.
///
/// # Errors
/// The request comes from such a page.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), AdminError> {
    match is_from_elsewhere(headers) {
        true => Err(AdminError::FromBrowser),
        false => Ok(()),
    }
}

/// The sender's address, for the audit log.
pub(super) fn peer(session: &ServerSession) -> String {
    let address = session.client_addr();
    address.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// The value of a query's argument.
fn argument(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}
