//! Refusals over HTTP/2: an answer on the request's own stream, which leaves other streams alone.

use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response};
use store_server::problem::MEDIA_TYPE;

use super::Http2;
use crate::downstream::refusals::Refusal;
use crate::message::problem::Problem;
use crate::message::request_id::{REQUEST_ID, request_id};
use crate::request::direct::OwnFields;

impl Http2<'_> {
    /// Answers a request with the problem. The rest of the request is discarded.
    pub(super) fn answer(
        &self,
        request: &Parts,
        mut respond: SendResponse<Bytes>,
        problem: &Problem,
    ) {
        let since = Instant::now();
        let id = request_id(&request.headers);
        let head_only = request.method == Method::HEAD;
        let own = OwnFields {
            id: &id,
            trace: None,
        };
        let bytes_sent = send(&mut respond, problem, &own, head_only).unwrap_or(0);
        let id = id.to_str().unwrap_or("-");
        let target = request.uri.path_and_query();
        let authority = request.uri.authority().map(|authority| authority.as_str());
        let host = || request.headers.get(HOST)?.to_str().ok();
        self.refusals.note(
            &Refusal {
                method: request.method.as_str(),
                target: target.map_or("-", |target| target.as_str()),
                host: authority.or_else(host),
                status: problem.status().as_u16(),
                bytes_sent,
                since,
                ..Refusal::unread(id, self.client.address, "2")
            },
            problem.reason(),
        );
    }
}

/// Sends the problem as an answer, and returns the number of bytes in its body.
pub(super) fn send(
    respond: &mut SendResponse<Bytes>,
    problem: &Problem,
    own: &OwnFields<'_>,
    head_only: bool,
) -> Result<u64, h2::Error> {
    let body = problem.body(own.id.to_str().unwrap_or("-"));
    let mut answer = Response::builder()
        .status(problem.status())
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .header(CONTENT_LENGTH, body.len())
        .header(CACHE_CONTROL, "no-store")
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(REQUEST_ID, own.id);
    if let Some((name, value)) = own.trace {
        answer = answer.header(name, value);
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        answer = answer.header(RETRY_AFTER, seconds);
    }
    let answer = answer.body(()).unwrap_or_default();
    let mut sending = respond.send_response(answer, head_only)?;
    if head_only {
        return Ok(0);
    }
    let bytes = body.len() as u64;
    sending.send_data(body, true)?;
    Ok(bytes)
}
