//! One request to another member of the fleet, and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Method, Request, Response};

use super::member::Member;
use super::reply::{Reply, answer};
use crate::admin_client::{self, Limits, NoAnswer};
use crate::problem::MEDIA_TYPE;

/// Time limit for a connection. A member on this machine or in this building accepts at once.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Headers of a request that are passed on.
const PASSED_ON: [&str; 3] = ["authorization", "content-digest", "store-signature"];

/// The header with the time of a member's answer by the member's own clock, which the page compares with times in that
/// answer. `Date` can't carry it, as the program that passes the answer on has its own `Date`.
const MEMBER_DATE: HeaderName = HeaderName::from_static("member-date");

/// A request to a member.
pub(super) struct MemberRequest<'a> {
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
    /// Whether no connection to the member could be made, so that it got no request.
    pub(super) is_unreachable: bool,
}

impl MemberRequest<'_> {
    /// Sends the request to a member, and reads the whole answer within `limit`.
    ///
    /// # Errors
    /// There is no answer; the error says why.
    pub(super) async fn send(
        self,
        member: &Member,
        limit: Duration,
    ) -> Result<Response<Bytes>, Failure> {
        let limits = Limits {
            connect: CONNECT_LIMIT,
            answer: limit,
        };
        let request = self.request().map_err(|reason| Failure {
            reason,
            is_unreachable: false,
        })?;
        let answer = admin_client::send(&member.url.listener(), request, limits).await;
        answer.map_err(|failure| Failure {
            is_unreachable: matches!(failure, NoAnswer::NotConnected(_)),
            reason: match failure {
                NoAnswer::BrokeOff(error) => format!("the answer broke off: {error}"),
                NoAnswer::Late => format!("no answer within {} s", limit.as_secs()),
                failure => failure.cause(),
            },
        })
    }

    fn request(self) -> Result<Request<Bytes>, String> {
        let query = self.query.map(|query| format!("?{query}"));
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{}", self.path, query.unwrap_or_default()))
            .body(self.body)
            .map_err(|error| error.to_string())?;
        for name in PASSED_ON.map(HeaderName::from_static) {
            if let Some(value) = self.headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        Ok(request)
    }
}

/// A member's answer in the form of our own. Its media type is limited to data, whatever the member says.
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
