//! One request to another member, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::member::Member;
use super::{Reply, answer};
use crate::problem::MEDIA_TYPE;

/// A member on this machine or in this building connects at once.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Far above any answer of an admin listener.
const LARGEST_ANSWER: usize = 16 << 20;

/// Headers of a request that are passed on.
const PASSED_ON: [&str; 3] = ["authorization", "content-digest", "store-signature"];

/// When a member answered, by its own clock, with which the times in its answer are to be compared. `Date` can't say it: the
/// program that passes the answer on has its own there.
const MEMBER_DATE: HeaderName = HeaderName::from_static("member-date");

/// Sends requests to members.
#[derive(Clone)]
pub(super) struct Sender(Client<HttpConnector, Full<Bytes>>);

/// A request to a member.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Whether the member could not be connected to: it got nothing, and answers nobody.
    pub(super) is_unreachable: bool,
}

impl Sender {
    pub(super) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        // A connection is for one request: a process that was replaced at its address would else be asked again.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Self(client)
    }

    /// Sends a request, and reads the whole answer within `limit`.
    ///
    /// # Errors
    /// There is no answer; what happened instead.
    pub(super) async fn send(
        &self,
        member: &Member,
        asked: Asked<'_>,
        limit: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        let request = request(member, asked).map_err(Failure::of_exchange)?;
        let exchange = async {
            let answer = self.0.request(request).await;
            let answer = answer.map_err(|error| Failure {
                is_unreachable: error.is_connect(),
                reason: root(&error),
            })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let broke_off = |error| Failure::of_exchange(format!("the answer broke off: {error}"));
            let body = body.map_err(broke_off)?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = format!("no answer within {} s", limit.as_secs());
        let late = || Err(Failure::of_exchange(late));
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| late())
    }
}

impl Failure {
    /// A failure of one exchange. The member may well answer another.
    fn of_exchange(reason: String) -> Self {
        Self {
            reason,
            is_unreachable: false,
        }
    }
}

fn request(member: &Member, asked: Asked<'_>) -> Result<Request<Full<Bytes>>, String> {
    let query = asked.query.map(|query| format!("?{query}"));
    let (authority, query) = (member.url.authority(), query.unwrap_or_default());
    let uri = format!("http://{authority}{}{query}", asked.path);
    let uri: Uri = uri.parse().map_err(|error| format!("{error}"))?;
    let mut request = Request::new(Full::new(asked.body));
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = uri;
    for name in PASSED_ON.map(HeaderName::from_static) {
        if let Some(value) = asked.headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    Ok(request)
}

/// The innermost cause, which says what the system says.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// A member's answer as one of ours. Whatever it says of itself, it is data.
pub(super) fn as_own(answered: Response<Bytes>) -> Reply {
    let (head, body) = answered.into_parts();
    let media_type = head.headers.get(CONTENT_TYPE);
    let media_type = media_type.map_or("", |value| value.to_str().unwrap_or_default());
    let known = [MEDIA_TYPE, "application/json", "text/plain"];
    let known = known
        .into_iter()
        .find(|known| media_type.starts_with(known));
    let mut reply = answer(known.unwrap_or("application/octet-stream"), body);
    *reply.status_mut() = head.status;
    for (theirs, ours) in [(RETRY_AFTER, RETRY_AFTER), (DATE, MEMBER_DATE)] {
        if let Some(value) = head.headers.get(theirs) {
            reply.headers_mut().insert(ours, value.clone());
        }
    }
    reply
}
