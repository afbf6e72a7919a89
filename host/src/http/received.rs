//! The body of a request, received completely before a component is asked. So a client that sends slowly holds nothing
//! of the component meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;
use wasmtime_wasi_http::Error;

use super::body::{announced_bytes, discard};
use crate::clients::{Charge, Client};
use crate::message::Problem;

/// The most bytes of a body that a component is given at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A complete body. It counts for its client until a component has taken it.
pub(crate) struct ReceivedBody {
    /// The rest of the body. `None` once a component has taken it.
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    charge: Option<Charge>,
}

/// The limits of one body.
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// Receives the body of a request. If `headers` announced a length, afterwards they hold it as a plain decimal number.
///
/// # Errors
/// The body is too large, too slow or breaks off, or too many bytes of this client or of all clients wait already.
pub(crate) async fn receive(
    headers: &mut HeaderMap,
    mut body: Incoming,
    limits: Limits,
    client: &Arc<Client>,
) -> Result<ReceivedBody, Problem> {
    let mut charge = client.charge();
    let announced = announced_bytes(headers);
    let too_large = Problem::BodyTooLarge {
        limit_bytes: limits.bytes,
    };
    let outcome = if announced.is_some_and(|bytes| bytes > limits.bytes) {
        Err(too_large)
    } else {
        let reading = read(&mut body, limits.bytes, &mut charge);
        let late = |_| Err(Problem::BodyTooSlow);
        timeout(limits.time, reading).await.unwrap_or_else(late)
    };
    let (data, trailers) = match outcome {
        Ok(whole) => whole,
        Err(problem) => {
            // The bytes that have arrived were dropped, so they no longer count.
            drop(charge);
            let may_go_on = !matches!(problem, Problem::BodyTooSlow | Problem::Malformed(_));
            if may_go_on {
                refuse(headers, body).await;
            }
            return Err(problem);
        }
    };
    if announced.is_some() {
        // `010` is a valid length too, but not every program reads it as ten.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
    }
    Ok(ReceivedBody {
        data: (!data.is_empty()).then_some(data),
        trailers,
        charge: Some(charge),
    })
}

/// Reads what a client goes on to send. Otherwise it would find its connection reset instead of an answer.
pub(crate) async fn refuse(headers: &HeaderMap, body: Incoming) {
    // A client with an `Expect` header sends nothing before it gets `100 Continue`, and reading the body would send
    // that.
    if !headers.contains_key(EXPECT) {
        discard(body).await;
    }
}

/// Reads the whole body. If it comes in one piece, as most do, it is not copied.
async fn read(
    body: &mut Incoming,
    limit_bytes: u64,
    charge: &mut Charge,
) -> Result<(Bytes, Option<HeaderMap>), Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut trailers = None;
    let mut total = 0;
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|_| Problem::Malformed("the body breaks off or is malformed"))?;
        match frame.into_data() {
            Ok(data) => {
                total += data.len() as u64;
                if total > limit_bytes {
                    return Err(Problem::BodyTooLarge { limit_bytes });
                }
                charge.add(data.len() as u64)?;
                if first.is_empty() && rest.is_empty() {
                    first = data;
                } else {
                    rest.extend_from_slice(&std::mem::take(&mut first));
                    rest.extend_from_slice(&data);
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let data = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    Ok((data, trailers))
}

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(left) = self.data.as_mut().filter(|left| left.len() > PIECE_BYTES) {
            return Poll::Ready(Some(Ok(Frame::data(left.split_to(PIECE_BYTES)))));
        }
        let data = self.data.take().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        // From here on the bytes belong to the instance, and count there.
        self.charge = None;
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
