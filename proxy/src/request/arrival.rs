//! Waits until a body has begun to come before an upstream is asked, so that a body that never comes holds no permit
//! there.

use std::time::Duration;

use http::Version;
use http::header::{CONTENT_LENGTH, EXPECT};
use pingora_error::{Error, ErrorType, Result};
use pingora_proxy::Session;
use pingora_timeout::timeout;

use crate::message::plain::SMALL_BODY;

/// Waits for the whole of a small body, or for the first part of one that is large or has no announced length. A client
/// that expects `100 Continue` gets it here, so the upstream is not asked for it; HTTP/1.0 has no such answer (RFC
/// 9110, section 10.1.1).
///
/// # Errors
/// The body does not come within `limit`, or the client left.
pub(crate) async fn wait_for_body(session: &mut Session, limit: Duration) -> Result<()> {
    let request = session.req_header_mut();
    let waits = request.remove_header(&EXPECT).is_some() && request.version != Version::HTTP_10;
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let session = session.as_mut();
    if session.is_body_empty() {
        return Ok(());
    }
    if waits {
        let told = session.write_continue_response().await;
        told.map_err(Error::into_down)?;
    }
    let is_small = length.is_some_and(|length| length <= SMALL_BODY);
    session.enable_retry_buffering();
    let arrived = async {
        while session.read_request_body().await?.is_some() && is_small {}
        Ok(())
    };
    match timeout(limit, arrived).await {
        Ok(arrived) => arrived.map_err(Error::into_down),
        Err(_) => {
            let late = Error::explain(ErrorType::ReadTimedout, "the body is late");
            Err(late.into_down())
        }
    }
}
