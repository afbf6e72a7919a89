//! Sends an operator's commands to the admin listener of a running proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store_server::admin_client::{Limits, send};
use store_server::listener::reachable;
use store_server::terminal::table;
use store_server::token::authorization;
use store_server::{AdminUrl, Secret};
use url::form_urlencoded;

use crate::answers::{Drain, NameStatus, Purge, Reload, Status, Undrain};

/// The admin listener of a proxy with the default settings.
const DEFAULT: &str = "http://127.0.0.1:8081";

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Longest wait for an answer. The answer to a drain may take longer, by the drain's own limit.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a command is repeated while a process hands over: for a moment both processes have the sockets.
const HANDING_OVER: Duration = Duration::from_secs(15);

/// Time between two repetitions.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Sends requests to the admin listener of one proxy.
pub struct AdminClient {
    /// The URL as the operator wrote it.
    admin: String,
    url: AdminUrl,
    token: Option<Secret>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What `--admin` names is no URL of a proxy's admin listener, so nobody was asked.
    #[error("--admin {admin}: write it as {}", DEFAULT)]
    NoUrl {
        /// The text that was given.
        admin: String,
    },
    /// Nobody answers at the URL, or the answer is not a proxy's.
    #[error("no proxy answers at {admin}: {reason}")]
    Unreachable {
        /// The URL that was tried.
        admin: String,
        /// Why there is no answer.
        reason: String,
    },
    /// The file with the token can't be read.
    #[error("{0}")]
    Token(String),
    /// The proxy refused the command.
    #[error("{detail}")]
    Refused {
        /// HTTP status of the answer.
        status: StatusCode,
        /// The proxy's reason.
        detail: String,
    },
}

impl AdminClient {
    /// A client of the process at the URL `admin`, or at the default URL. Changes need a `token`.
    ///
    /// # Errors
    /// `admin` is no URL of a proxy's admin listener, which is reached over TCP.
    pub fn new(admin: Option<&str>, token: Option<Secret>) -> Result<Self, ClientError> {
        let admin = admin.unwrap_or(DEFAULT).trim_end_matches('/').to_owned();
        match admin.parse() {
            Ok(url @ AdminUrl::Tcp(_)) => Ok(Self { admin, url, token }),
            Ok(AdminUrl::Unix(_)) | Err(_) => Err(ClientError::NoUrl { admin }),
        }
    }

    /// A client of the process whose admin listener is at this address.
    ///
    /// # Errors
    /// Never happens: every address gives a valid URL.
    pub fn at(listener: SocketAddr, token: Option<Secret>) -> Result<Self, ClientError> {
        Self::new(Some(&format!("http://{}", reachable(listener))), token)
    }

    /// Makes the proxy read its settings again. Returns the sections that changed but need an upgrade.
    ///
    /// # Errors
    /// The settings are wrong, or nobody answers.
    pub async fn reload(&self) -> Result<Vec<String>, ClientError> {
        let answer: Reload = self.change("/reload", &[], ANSWER_LIMIT).await?;
        Ok(answer.needs_upgrade)
    }

    /// Drains an upstream: it gets no more requests. Waits up to `limit` until it is idle.
    ///
    /// # Errors
    /// The upstream is still busy after `limit`, there is no such upstream, or nobody answers.
    pub async fn drain(&self, upstream: &str, limit: Duration) -> Result<(), ClientError> {
        let timeout = humantime::format_duration(limit).to_string();
        let arguments = [("upstream", upstream), ("timeout", &timeout)];
        let limit = limit + ANSWER_LIMIT;
        self.change::<Drain>("/drain", &arguments, limit).await?;
        Ok(())
    }

    /// Sends requests to a drained upstream again.
    ///
    /// # Errors
    /// There is no such upstream, or nobody answers.
    pub async fn undrain(&self, upstream: &str) -> Result<(), ClientError> {
        let arguments = [("upstream", upstream)];
        self.change::<Undrain>("/undrain", &arguments, ANSWER_LIMIT)
            .await?;
        Ok(())
    }

    /// Makes the proxy forget its kept answers, and returns how many there were.
    ///
    /// # Errors
    /// The proxy refuses, or nobody answers.
    pub async fn purge(&self) -> Result<usize, ClientError> {
        let answer: Purge = self.change("/cache/purge", &[], ANSWER_LIMIT).await?;
        Ok(answer.purged)
    }

    /// The text that `GET /status` answers, unchanged.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub async fn status_text(&self) -> Result<String, ClientError> {
        let (status, text) = self.ask(Method::GET, "/status", ANSWER_LIMIT).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &text));
        }
        Ok(text)
    }

    /// The answer to `GET /status` as a table.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub async fn status_table(&self) -> Result<String, ClientError> {
        Ok(lines(&self.status().await?).join("\n"))
    }

    /// The answer to `GET /status`.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub(crate) async fn status(&self) -> Result<Status, ClientError> {
        let text = self.status_text().await?;
        serde_json::from_str(&text).map_err(|error| unreachable(&self.admin, error.to_string()))
    }

    async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        arguments: &[(&str, &str)],
        limit: Duration,
    ) -> Result<T, ClientError> {
        let began = Instant::now();
        let target = target(path, arguments);
        loop {
            let (status, text) = self.ask(Method::POST, &target, limit).await?;
            match status {
                StatusCode::OK => {
                    return serde_json::from_str(&text)
                        .map_err(|error| unreachable(&self.admin, error.to_string()));
                }
                StatusCode::SERVICE_UNAVAILABLE if began.elapsed() < HANDING_OVER => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                _ => return Err(refused(status, &text)),
            }
        }
    }

    /// Sends a request for `target`, which is a path with or without a query, and reads the answer.
    async fn ask(
        &self,
        method: Method,
        target: &str,
        limit: Duration,
    ) -> Result<(StatusCode, String), ClientError> {
        let failed = |reason: String| unreachable(&self.admin, reason);
        let mut request = Request::builder().method(method).uri(target);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, authorization(token).map_err(failed)?);
        }
        let request = request.body(Bytes::new());
        let request = request.map_err(|error| failed(error.to_string()))?;
        let limits = Limits {
            connect: CONNECT_LIMIT,
            answer: limit,
        };
        let answer = send(&self.url, request, limits).await;
        let answer = answer.map_err(|failure| failed(failure.cause()))?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        Ok((answer.status(), text))
    }
}

fn target(path: &str, arguments: &[(&str, &str)]) -> String {
    if arguments.is_empty() {
        return path.to_owned();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    format!("{path}?{}", query.extend_pairs(arguments).finish())
}

/// One line for the process, a table with a line for each upstream, and a line for each name that can't be looked up.
fn lines(status: &Status) -> Vec<String> {
    let heading = [
        "GROUP",
        "POLICY",
        "UPSTREAM",
        "NAME",
        "WEIGHT",
        "STATE",
        "IN FLIGHT",
        "QUEUED",
        "REQUESTS",
    ];
    let rows = status.groups.iter().flat_map(|group| {
        group.upstreams.iter().map(|upstream| {
            [
                group.name.clone(),
                group.policy.clone(),
                upstream.address.clone(),
                upstream.name.clone().unwrap_or_else(|| "-".into()),
                upstream.weight.to_string(),
                upstream.state.clone(),
                upstream.in_flight.to_string(),
                upstream.queued.to_string(),
                upstream.requests.to_string(),
            ]
        })
    });
    let rows: Vec<_> = std::iter::once(heading.map(str::to_owned))
        .chain(rows)
        .collect();
    let build = status.build.as_ref().map(|build| format!(", {build}"));
    let process = format!("process {}{}", status.pid, build.unwrap_or_default());
    let names = status.groups.iter().flat_map(|group| {
        let in_trouble = |name: &NameStatus| {
            let (trouble, name, known) = (name.trouble.as_ref()?, &name.name, name.addresses);
            let group = &group.name;
            Some(format!(
                "{group}: `{name}` can't be looked up: {trouble} (addresses known: {known})"
            ))
        };
        group.names.iter().filter_map(in_trouble)
    });
    std::iter::once(process)
        .chain(table(&rows))
        .chain(names)
        .collect()
}

fn unreachable(admin: &str, reason: String) -> ClientError {
    ClientError::Unreachable {
        admin: admin.to_owned(),
        reason,
    }
}

fn refused(status: StatusCode, text: &str) -> ClientError {
    let problem: Option<Value> = serde_json::from_str(text).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem["detail"].as_str());
    ClientError::Refused {
        status,
        detail: detail.map_or_else(|| format!("answered {status}"), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_in_the_query() {
        assert_eq!(target("/reload", &[]), "/reload");
        let arguments = [("upstream", "[::1]:5000"), ("timeout", "1m 30s")];
        assert_eq!(
            target("/drain", &arguments),
            "/drain?upstream=%5B%3A%3A1%5D%3A5000&timeout=1m+30s"
        );
    }

    #[test]
    fn what_is_no_listener_s_url_is_refused() {
        for url in [
            "127.0.0.1:8081",
            "https://127.0.0.1:8081",
            "http://127.0.0.1:8081/status",
            "unix:/run/store-proxy.sock",
        ] {
            let refused = AdminClient::new(Some(url), None).err().expect(url);
            let expected = format!("--admin {url}: write it as http://127.0.0.1:8081");
            assert_eq!(refused.to_string(), expected);
        }
        assert!(AdminClient::new(Some("http://[::1]:8081/"), None).is_ok());
    }

    #[test]
    fn a_status_becomes_a_table() {
        let status: Status = serde_json::from_str(
            r#"{"version": "1.2.3", "commit": "abc", "profile": "dist", "pid": 7,
                "groups": [{"name": "store", "policy": "round_robin", "upstreams": [
                {"address": "127.0.0.1:5000", "weight": 1, "state": "up", "in_flight": 2, "queued": 0, "requests": 1234},
                {"address": "10.0.0.7:1", "name": "b:1", "weight": 10, "state": "draining", "in_flight": 0, "queued": 0,
                 "requests": 5}],
                "names": [{"name": "a:1", "addresses": 2}, {"name": "b:1", "addresses": 1, "trouble": "no such name"}]}]}"#,
        )
        .expect("parses");
        let expected = [
            "process 7, 1.2.3 (commit abc, profile dist)",
            "GROUP  POLICY       UPSTREAM        NAME  WEIGHT  STATE     IN FLIGHT  QUEUED  REQUESTS",
            "store  round_robin  127.0.0.1:5000  -     1       up        2          0       1234",
            "store  round_robin  10.0.0.7:1      b:1   10      draining  0          0       5",
            "store: `b:1` can't be looked up: no such name (addresses known: 1)",
        ];
        assert_eq!(lines(&status), expected);
    }
}
