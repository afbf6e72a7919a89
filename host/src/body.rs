//! Bodies: a request's is cut off at its limit, an answer's when the client does not read it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use wasmtime_wasi_http::{Error, WasiBody};

/// A client that is still sending when its connection is closed gets a reset and may never see the answer, so what it
/// sends is read and thrown away first: this much of it, for so long.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(2);

/// The length of a body that its sender has announced.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Where a body that passed its limit is left, for [`discard`].
#[derive(Clone, Default)]
pub(crate) struct Excess(Arc<Mutex<Option<Incoming>>>);

impl Excess {
    /// The body, if it passed its limit.
    pub(crate) fn take(&self) -> Option<Incoming> {
        self.slot().take()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Incoming>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that fails once it has given more than its limit.
pub(crate) struct LimitedBody {
    /// Gone once the limit is passed.
    body: Option<Incoming>,
    left_bytes: u64,
    excess: Excess,
}

impl LimitedBody {
    pub(crate) fn new(body: Incoming, limit_bytes: u64, excess: Excess) -> Self {
        Self {
            body: Some(body),
            left_bytes: limit_bytes,
            excess,
        }
    }
}

impl Body for LimitedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
        };
        let Some(frame) = ready!(Pin::new(body).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Error::Hyper)?;
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.left_bytes.checked_sub(bytes) {
            Some(left_bytes) => {
                self.left_bytes = left_bytes;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                *self.excess.slot() = self.body.take();
                Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_some_and(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::new, Body::size_hint)
    }
}

/// Reads what a client still sends, within reason.
pub(crate) async fn discard(mut body: Incoming) {
    let reading = async {
        let mut read = 0;
        while read < DISCARDED_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Either way the answer follows.
    _ = tokio::time::timeout(DISCARDED_FOR, reading).await;
}

/// An answer's body of this many bytes or fewer fits into the system's buffers, whether the client reads or not.
const SMALL_BYTES: u64 = 64 * 1024;

/// Frames on the way between a guest and a slow client.
const FRAMES_AHEAD: usize = 4;

/// Ends a long answer that its client leaves unread for `limit`, which frees what the guest holds for it: its database
/// connection, for one.
pub(crate) fn unstalled(mut body: WasiBody, limit: Duration) -> WasiBody {
    if body
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes <= SMALL_BYTES)
    {
        return body;
    }
    let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
    // Ends with the body: when it is read, when the client is gone, or at the limit.
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            if sender.send_timeout(Some(frame), limit).await.is_err() {
                return;
            }
        }
        _ = sender.send_timeout(None, limit).await;
    });
    Forwarded(frames).boxed_unsync()
}

/// Frames from the task above; its `None` is the body's end, and its silence is not.
struct Forwarded(mpsc::Receiver<Option<Result<Frame<Bytes>, Error>>>);

impl Body for Forwarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = ready!(self.0.poll_recv(cx));
        Poll::Ready(next.unwrap_or(Some(Err(Error::ConnectionTerminated))))
    }
}
