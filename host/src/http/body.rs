//! Bodies of requests and answers: the rest of a refused request's body is discarded, and a long answer is cut off when
//! its client stops reading.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error;

use super::observed::GuestBody;

/// If a client is still sending when the host closes the connection, the system sends it a reset and the client may
/// never see the answer. So before it answers, the host reads and discards up to this many bytes, for up to
/// [`DISCARDED_FOR`].
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(2);

/// The length in bytes that `Content-Length` announces; `None` if there is no valid one.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads and discards what a client still sends, up to [`DISCARDED_BYTES`] and [`DISCARDED_FOR`].
pub(crate) async fn discard(mut body: impl Body<Data = Bytes> + Unpin) {
    let reading = async {
        let mut read = 0;
        while read < DISCARDED_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // The answer is sent whether or not the time was enough.
    _ = tokio::time::timeout(DISCARDED_FOR, reading).await;
}

/// The largest answer, in bytes, that fits into the system's socket buffers even if its client does not read.
const SMALL_BYTES: u64 = 64 * 1024;

/// Whether the body can be sent completely to a client that reads nothing.
pub(crate) fn is_small(body: &impl Body) -> bool {
    let upper = body.size_hint().upper();
    upper.is_some_and(|bytes| bytes <= SMALL_BYTES)
}

/// Reads the whole of a small body into memory. Over HTTP/2, a client may request an answer and leave it unread as long
/// as its connection lives. Reading the body at once frees what the answer holds of its component.
///
/// # Errors
/// Fails if the body breaks off before its end.
pub(crate) async fn gathered(mut body: GuestBody) -> Result<GatheredBody, Error> {
    let mut whole = GatheredBody::default();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if whole.data.is_empty() => whole.data = data,
            Ok(data) => {
                let mut both = BytesMut::from(std::mem::take(&mut whole.data));
                both.extend_from_slice(&data);
                whole.data = both.freeze();
            }
            Err(frame) => whole.trailers = frame.into_trailers().ok(),
        }
    }
    Ok(whole)
}

/// A complete body in memory, which holds nothing of its component.
#[derive(Default)]
pub(crate) struct GatheredBody {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl Body for GatheredBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let data = std::mem::take(&mut self.data);
        let frame = if data.is_empty() {
            self.trailers.take().map(Frame::trailers)
        } else {
            Some(Frame::data(data))
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.data.len() as u64)
    }
}

/// The number of frames that are buffered between a guest and a slow client.
const FRAMES_AHEAD: usize = 4;

/// Passes `body` on, and cuts it off if its client reads nothing for `limit`. The cut frees all that the answer holds,
/// such as its place at the component and the guest's connection to a database.
pub(crate) fn unstalled(mut body: GuestBody, limit: Duration) -> UnstalledBody {
    let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
    // This task ends when the body has been read, when the client is gone, or when `limit` is over.
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                // Without this branch, a client that leaves would go unnoticed until the guest sends its next frame.
                () = sender.closed() => return,
            };
            let Some(frame) = frame else { break };
            if sender.send_timeout(Some(frame), limit).await.is_err() {
                return;
            }
        }
        _ = sender.send_timeout(None, limit).await;
    });
    UnstalledBody(frames)
}

/// The receiver of the frames that the task of [`unstalled`] sends. The item `None` marks the end of the body. If the
/// channel closes without that item, the answer was cut off because its client read nothing.
pub(crate) struct UnstalledBody(mpsc::Receiver<Option<Result<Frame<Bytes>, Error>>>);

impl Body for UnstalledBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let next = ready!(self.0.poll_recv(cx));
        Poll::Ready(next.unwrap_or(Some(Err(Error::ConnectionWriteTimeout))))
    }
}
