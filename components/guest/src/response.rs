//! Creates responses in the host's types, with as few calls to the host as possible.

use bytes::Bytes;
use futures::future::join;
use futures::stream::LocalBoxStream;
use http_body::Frame;
use http_body_util::StreamBody;
use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use spin_sdk::wasip3::http_compat::{BodyResult, BodyWriter};
use spin_sdk::wasip3::wit_bindgen::{FutureReader, StreamReader};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A header of every answer: it keeps browsers from guessing another type than `Content-Type`.
const NO_SNIFFING: &str = "x-content-type-options";

type Headers = Vec<(&'static str, Vec<u8>)>;

/// A response whose whole body is in memory. A spawned task sends the body once the host has the response.
///
/// # Errors
/// If the host refuses a header.
pub(crate) fn finished(
    status: StatusCode,
    headers: Headers,
    body: Bytes,
) -> Result<Response, ErrorCode> {
    let (mut writer, contents) = wit_stream::new();
    let (end, trailers) = wit_future::new(|| Ok(None));
    let response = response(status, headers, Some(contents), trailers)?;
    spawn(async move {
        let body = async {
            // If this fails, the client is gone, and the rest of the body with it.
            let _ = writer.write_all(body.into()).await;
            drop(writer);
        };
        // Both writes are awaited together: the host wakes the component once for each separate wait, but only once for
        // both together.
        let _ = join(body, end.write(Ok(None))).await;
    });
    Ok(response)
}

/// A response whose body is produced while it is sent. If the stream fails, the response breaks off.
///
/// # Errors
/// If the host refuses a header.
pub(crate) fn streamed(
    status: StatusCode,
    headers: Headers,
    frames: LocalBoxStream<'static, Result<Frame<Bytes>, BoxError>>,
) -> Result<Response, ErrorCode> {
    let (writer, contents, trailers) = BodyWriter::new();
    let response = response(status, headers, Some(contents), trailers)?;
    spawn(async move {
        // The stream logs its own failure, and the writer reports it to the host.
        let _ = writer.send_http_body(&mut StreamBody::new(frames)).await;
    });
    Ok(response)
}

/// A response without a body, whatever `Content-Length` says.
///
/// # Errors
/// If the host refuses a header.
pub(crate) fn without_body(status: StatusCode, headers: Headers) -> Result<Response, ErrorCode> {
    // An empty body would contradict `Content-Length`, which the host checks; so there is no body at all.
    let (end, trailers) = wit_future::new(|| Ok(None));
    drop(end);
    response(status, headers, None, trailers)
}

fn response(
    status: StatusCode,
    headers: Headers,
    contents: Option<StreamReader<u8>>,
    trailers: FutureReader<BodyResult>,
) -> Result<Response, ErrorCode> {
    let headers: Vec<_> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain([(NO_SNIFFING.into(), b"nosniff".into())])
        .collect();
    let fields = Fields::from_list(&headers)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (response, _sent) = Response::new(fields, contents, trailers);
    if status != StatusCode::OK {
        // Fails only for an invalid status code, and a `StatusCode` is always valid.
        let _ = response.set_status_code(status.as_u16());
    }
    Ok(response)
}
