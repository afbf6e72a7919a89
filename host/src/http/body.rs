//! Bodies: a request's is thrown away when it is too large, an answer's cut off when the client does not read it.

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

/// A client that is still sending when its connection is closed gets a reset and may never see the answer, so what it
/// sends is read and thrown away first: this much of it, for so long.
const DISCARDED_BYTES: usize = 16 * 1024 * 1024;
const DISCARDED_FOR: Duration = Duration::from_secs(2);

/// The length of a body that its sender has announced.
pub(crate) fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads what a client still sends, within reason.
pub(crate) async fn discard(mut body: impl Body<Data = Bytes> + Unpin) {
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

/// Whether a client that reads nothing still takes the body.
pub(crate) fn is_small(body: &impl Body) -> bool {
    let upper = body.size_hint().upper();
    upper.is_some_and(|bytes| bytes <= SMALL_BYTES)
}

/// The whole of a small body. Over HTTP/2 a client may ask for an answer and take none of it, as long as its connection
/// lives; what the answer holds of its component is let go here.
///
/// # Errors
/// The body breaks off before its end.
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

/// A body that holds nothing of its component.
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

/// Frames on the way between a guest and a slow client.
const FRAMES_AHEAD: usize = 4;

/// Cuts off a long answer that its client leaves unread for `limit`. That frees all that is held for it, such as its
/// place at the component and the guest's connection to a database.
pub(crate) fn unstalled(mut body: GuestBody, limit: Duration) -> UnstalledBody {
    let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
    // Ends with the body: when it is read, when the client is gone, or at the limit.
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                // The guest may be far from its next piece.
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

/// The body whose frames the task of [`unstalled`] sends. The item `None` is its end; a channel that closes without one
/// means that the answer was cut off.
pub(crate) struct UnstalledBody(mpsc::Receiver<Option<Result<Frame<Bytes>, Error>>>);

impl Body for UnstalledBody {
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
