//! Responses whose body is at hand, in as few calls to the host as there can be.

use bytes::Bytes;
use futures::future::join;
use spin_sdk::http::{HeaderMap, StatusCode};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

/// The response, which sends its body by itself once the host has it.
///
/// # Errors
/// If the host refuses a header.
pub(crate) fn response(
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ErrorCode> {
    let fields = Fields::try_from(headers)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(fields, Some(contents), trailers);
    if status != StatusCode::OK {
        // Fails only for what is no status code, and `StatusCode` always is one.
        let _ = response.set_status_code(status.as_u16());
    }
    spawn(async move {
        let body = async {
            // What is left belongs to a client that is gone.
            let _ = writer.write_all(body.into()).await;
            drop(writer);
        };
        // At once: the host wakes the component for each of two waits, and for two waits together only once.
        let _ = join(body, end.write(Ok(None))).await;
    });
    Ok(response)
}
