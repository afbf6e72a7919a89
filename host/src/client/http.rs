//! One call of an admin interface, over TCP or a Unix socket.

use std::time::Duration;

use ::http::header::{AUTHORIZATION, HOST};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use super::ClientError;
use crate::config::{AdminUrl, Secret};

/// A host on this machine or in this building answers in milliseconds; one that is gone may say nothing at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Far above any answer of an admin interface.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;

/// A request to one host.
pub(crate) struct Call<'a> {
    pub(super) method: Method,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends requests to hosts.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) token: Option<Secret>,
    /// Longest wait for a whole answer.
    pub(crate) timeout: Duration,
}

/// The part of a problem (RFC 9457) that is shown, with the step of a swap.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Reason {
    detail: Option<String>,
    step: Option<String>,
    cause: Option<String>,
}

impl<'a> Call<'a> {
    pub(crate) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

impl Caller {
    /// Sends `call` to the host at `admin`, and reads its answer.
    ///
    /// # Errors
    /// The host gives no answer, refuses, or sends an answer that can't be read.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        admin: &AdminUrl,
        call: Call<'_>,
    ) -> Result<T, ClientError> {
        let no_answer = |reason: String| ClientError::NoAnswer {
            admin: admin.clone(),
            reason,
            untouched: Vec::new(),
        };
        let request = self.request(admin, call).map_err(&no_answer)?;
        let (status, body) = tokio::time::timeout(self.timeout, send(admin, request))
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "no answer within {}; `store-host status` says whether it went on",
                    humantime::format_duration(self.timeout)
                ))
            })
            .map_err(&no_answer)?;
        if !status.is_success() {
            return Err(refused(admin, status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| no_answer(format!("its answer can't be read: {error}")))
    }

    fn request(&self, admin: &AdminUrl, call: Call<'_>) -> Result<Request<Full<Bytes>>, String> {
        let host = match admin {
            AdminUrl::Tcp(authority) => authority,
            AdminUrl::Unix(_) => "localhost",
        };
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .body(Full::new(call.body))
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = call.headers;
        let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        if let Some(Secret(token)) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| "the admin token has characters that can't be sent".to_owned())?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

async fn send(
    admin: &AdminUrl,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let cant_connect = |error| format!("can't connect: {error}");
    match admin {
        AdminUrl::Tcp(authority) => {
            let stream = connect(TcpStream::connect(authority)).await;
            exchange(stream.map_err(cant_connect)?, request).await
        }
        AdminUrl::Unix(path) => {
            let stream = connect(UnixStream::connect(path)).await;
            exchange(stream.map_err(cant_connect)?, request).await
        }
    }
}

async fn connect<S>(connecting: impl Future<Output = std::io::Result<S>>) -> std::io::Result<S> {
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Dropping the set ends the task.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| format!("the connection broke: {error}"))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER)
        .collect()
        .await
        .map_err(|error| format!("the answer broke off: {error}"))?;
    Ok((status, body.to_bytes()))
}

fn refused(admin: &AdminUrl, status: StatusCode, body: &[u8]) -> ClientError {
    let problem: Reason = serde_json::from_slice(body).unwrap_or_default();
    let no_detail = || status.canonical_reason().unwrap_or("no reason").to_owned();
    ClientError::Refused {
        admin: admin.clone(),
        status: status.as_u16(),
        step: problem.step.map(Into::into),
        cause: problem.cause.map(Into::into),
        detail: problem.detail.unwrap_or_else(no_detail),
        untouched: Vec::new(),
    }
}
