//! One call of a host's admin interface, and the meaning of its answer.

use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, Method, Request, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use store_server::admin_client::{Limits, NoAnswer, send};
use store_server::token::authorization;

use super::ClientError;
use crate::config::{AdminUrl, Secret};

/// The longest time for a connection. A host in the same network connects in milliseconds; one that is gone may never
/// answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request to one host.
pub(crate) struct Call<'a> {
    pub(super) method: Method,
    /// The path and query.
    pub(super) path: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Sends requests to hosts.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) token: Option<Secret>,
    /// The longest wait for a complete answer.
    pub(crate) timeout: Duration,
}

/// The members of a problem (RFC 9457) that are shown, with the step of a swap.
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
        let request = self.request(call).map_err(&no_answer)?;
        let limits = Limits {
            connect: CONNECT_TIMEOUT,
            answer: self.timeout,
        };
        let answer = send(admin, request, limits).await;
        let answer = answer.map_err(|failure| no_answer(self.reason(failure)))?;
        if !answer.status().is_success() {
            return Err(refused(admin, answer.status(), answer.body()));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| no_answer(format!("its answer can't be read: {error}")))
    }

    fn request(&self, call: Call<'_>) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .body(call.body)
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = call.headers;
        if let Some(token) = &self.token {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, authorization(token)?);
        }
        Ok(request)
    }

    fn reason(&self, failure: NoAnswer) -> String {
        match failure {
            NoAnswer::NotConnected(error) => format!("can't connect: {error}"),
            NoAnswer::Broken(error) => format!("the connection broke: {error}"),
            NoAnswer::BrokeOff(error) => format!("the answer broke off: {error}"),
            NoAnswer::Late => format!(
                "no answer within {}; `store-host status` says whether it went on",
                humantime::format_duration(self.timeout)
            ),
        }
    }
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
