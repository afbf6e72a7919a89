//! Sends an operator's commands to a running proxy, over its admin listener.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store_server::Secret;
use store_server::listener::reachable;
use store_server::terminal::table;

use crate::answers::{Drain, NameStatus, Purge, Reload, Status, Undrain};

/// The admin listener of a proxy with the default settings.
const DEFAULT: &str = "http://127.0.0.1:8081";

/// Longest wait for an answer; that to a drain may take longer by the drain's own limit.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a process that hands over is asked again: for a moment both processes have the sockets.
const HANDING_OVER: Duration = Duration::from_secs(15);

/// Wait before it is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Sends requests to one proxy.
pub struct AdminClient {
    admin: String,
    token: Option<Secret>,
    client: Client,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers there, or the answer is not a proxy's.
    #[error("no proxy answers at {admin}: {reason}")]
    Unreachable {
        /// The URL that was tried.
        admin: String,
        /// What happened instead.
        reason: String,
    },
    /// The token can't be read.
    #[error("{0}")]
    Token(String),
    /// The proxy refused.
    #[error("{detail}")]
    Refused {
        /// Its HTTP status.
        status: StatusCode,
        /// Its reason, in its own words.
        detail: String,
    },
}

impl AdminClient {
    /// A client of the process at the URL `admin`, or else at the default one. Changes need a `token`.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(admin: Option<&str>, token: Option<Secret>) -> Result<Self, ClientError> {
        let admin = admin.unwrap_or(DEFAULT).trim_end_matches('/').to_owned();
        let client = Client::builder()
            // The environment's proxies are for the world outside.
            .no_proxy()
            // A new connection for each request: during an upgrade, an old one leads to the old process.
            .pool_max_idle_per_host(0)
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(|error| unreachable(&admin, &error))?;
        Ok(Self {
            admin,
            token,
            client,
        })
    }

    /// A client of the process with this admin listener.
    ///
    /// # Errors
    /// No HTTP client can be made.
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

    /// Takes an upstream out, and waits until it is idle, at most for `limit`.
    ///
    /// # Errors
    /// It is still busy then, there is no such upstream, or nobody answers.
    pub async fn drain(&self, upstream: &str, limit: Duration) -> Result<(), ClientError> {
        let timeout = humantime::format_duration(limit).to_string();
        let arguments = [("upstream", upstream), ("timeout", &timeout)];
        let limit = limit + ANSWER_LIMIT;
        self.change::<Drain>("/drain", &arguments, limit).await?;
        Ok(())
    }

    /// Lets a drained upstream have requests again.
    ///
    /// # Errors
    /// There is no such upstream, or nobody answers.
    pub async fn undrain(&self, upstream: &str) -> Result<(), ClientError> {
        let arguments = [("upstream", upstream)];
        self.change::<Undrain>("/undrain", &arguments, ANSWER_LIMIT)
            .await?;
        Ok(())
    }

    /// Makes the proxy forget the answers that it keeps; returns how many those were.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn purge(&self) -> Result<usize, ClientError> {
        let answer: Purge = self.change("/cache/purge", &[], ANSWER_LIMIT).await?;
        Ok(answer.purged)
    }

    /// What `GET /status` answers, word for word.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub async fn status_text(&self) -> Result<String, ClientError> {
        let request = self.request(Method::GET, "/status").timeout(ANSWER_LIMIT);
        let (status, text) = self.send(request).await?;
        if status != StatusCode::OK {
            return Err(refused(status, &text));
        }
        Ok(text)
    }

    /// What `GET /status` answers, as a table.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub async fn status_table(&self) -> Result<String, ClientError> {
        Ok(lines(&self.status().await?).join("\n"))
    }

    /// What `GET /status` answers.
    ///
    /// # Errors
    /// Nobody answers, or the answer is not a proxy's.
    pub(crate) async fn status(&self) -> Result<Status, ClientError> {
        let text = self.status_text().await?;
        serde_json::from_str(&text).map_err(|error| unreachable(&self.admin, &error))
    }

    async fn change<T: DeserializeOwned>(
        &self,
        path: &str,
        arguments: &[(&str, &str)],
        limit: Duration,
    ) -> Result<T, ClientError> {
        let began = Instant::now();
        loop {
            let request = self.request(Method::POST, path);
            let (status, text) = self.send(request.query(arguments).timeout(limit)).await?;
            match status {
                StatusCode::OK => {
                    return serde_json::from_str(&text)
                        .map_err(|error| unreachable(&self.admin, &error));
                }
                StatusCode::SERVICE_UNAVAILABLE if began.elapsed() < HANDING_OVER => {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                _ => return Err(refused(status, &text)),
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.admin));
        match &self.token {
            Some(Secret(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<(StatusCode, String), ClientError> {
        let failed = |error: reqwest::Error| unreachable(&self.admin, &error);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(failed)?))
    }
}

/// A line for the process, one for each upstream, and one for each name that can't be looked up.
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

fn unreachable(admin: &str, error: &dyn std::error::Error) -> ClientError {
    // The cause at the end of the chain says it best: what comes before repeats the address.
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    ClientError::Unreachable {
        admin: admin.to_owned(),
        reason: cause.to_string(),
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
