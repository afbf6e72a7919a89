//! Refusals over HTTP/2: an answer on the request's own stream, which leaves other streams alone.

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use store_server::problem::MEDIA_TYPE;

use crate::message::problem::Problem;
use crate::message::request_id::REQUEST_ID;
use crate::request::direct::OwnFields;

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
