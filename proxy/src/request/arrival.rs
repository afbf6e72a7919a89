//! Waits for a body before an upstream is asked, so that a body that comes slowly, or never, holds no permit there.

use std::time::Duration;

use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use pingora_timeout::timeout;

use crate::message::plain::{PIECE, SMALL_BODY};

/// How much of a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Whole,
    /// As much as pingora keeps, or nearly.
    Part,
}

/// Waits for the whole body if it is small, whether or not its length is announced. Of a larger one, waits for as much
/// as pingora keeps to send it again: what is read beyond that would be lost. A client that expects `100 Continue` gets
/// it here, so the upstream is not asked for it; HTTP/1.0 has no such answer (RFC 9110, section 10.1.1).
///
/// So exchanges in both directions at once do not pass below 48 KiB: a client that sends a little, and waits for the
/// answer before it goes on, is late here and gets 408.
///
/// # Errors
/// That much does not come within `limit`, or the client left.
pub(crate) async fn wait_for_body(session: &mut Session, limit: Duration) -> Result<Arrival> {
    let request = session.req_header_mut();
    let waits = request.remove_header(&EXPECT).is_some() && request.version != Version::HTTP_10;
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let session = session.as_mut();
    if session.is_body_empty() {
        return Ok(Arrival::Whole);
    }
    if waits {
        let told = session.write_continue_response().await;
        told.map_err(Error::into_down)?;
    }
    let is_small = length.is_some_and(|length| length <= SMALL_BODY);
    session.enable_retry_buffering();
    let arrived = async {
        let mut bytes = 0;
        while is_small || bytes + PIECE <= SMALL_BODY as usize {
            let Some(part) = session.read_request_body().await? else {
                return Ok(Arrival::Whole);
            };
            bytes += part.len();
        }
        Ok(match session.is_body_done() {
            true => Arrival::Whole,
            false => Arrival::Part,
        })
    };
    match timeout(limit, arrived).await {
        Ok(arrived) => arrived.map_err(Error::into_down),
        Err(_) => {
            let late = Error::explain(ErrorType::ReadTimedout, "the body is late");
            Err(late.into_down())
        }
    }
}
