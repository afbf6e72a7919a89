//! Responses as the host takes them, in as few calls to it as there can be.

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

/// Set on every answer: keeps browsers from taking it for anything but what its `Content-Type` says.
const NO_SNIFFING: &str = "x-content-type-options";

type Headers = Vec<(&'static str, Vec<u8>)>;

/// A response whose body is at hand and sends itself once the host has the response.
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
            // What is left belongs to a client that is gone.
            let _ = writer.write_all(body.into()).await;
            drop(writer);
        };
        // At once: the host wakes the component for each of two waits, and for two waits together only once.
        let _ = join(body, end.write(Ok(None))).await;
    });
    Ok(response)
}

/// A response whose body is written as it is sent. If the stream fails, the response breaks off.
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
        // What failed is logged by the stream, and told to the host by the writer.
        let _ = writer.send_http_body(&mut StreamBody::new(frames)).await;
    });
    Ok(response)
}

/// A response without a body, whatever `Content-Length` says.
///
/// # Errors
/// If the host refuses a header.
pub(crate) fn without_body(status: StatusCode, headers: Headers) -> Result<Response, ErrorCode> {
    // A body that was there but empty would contradict `Content-Length`, and the host checks that.
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
        // Fails only for what is no status code, and `StatusCode` always is one.
        let _ = response.set_status_code(status.as_u16());
    }
    Ok(response)
}
