//! Reads and sends the bodies of HTTP/2, part by part.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Error, Reason, RecvStream, SendStream};

/// The next part of a request's body; `None` after the last. Skips empty frames, and reads trailers without passing
/// them on.
pub(super) async fn next_part(body: &mut RecvStream) -> Result<Option<Bytes>, Error> {
    while let Some(part) = body.data().await {
        let part = part?;
        // This fails only if the stream is over, and then there is no window left to open.
        _ = body.flow_control().release_capacity(part.len());
        if !part.is_empty() {
            return Ok(Some(part));
        }
    }
    body.trailers().await?;
    Ok(None)
}

/// Sends a part of an answer's body as the client opens its window, and adds the number of sent bytes to `sent`.
pub(super) async fn send_part(
    answer: &mut SendStream<Bytes>,
    mut part: Bytes,
    is_last: bool,
    sent: &mut usize,
) -> Result<(), Error> {
    while !part.is_empty() {
        answer.reserve_capacity(part.len());
        // `None` means that the client is gone.
        let room = poll_fn(|cx| answer.poll_capacity(cx)).await;
        let room = room.unwrap_or(Err(Reason::CANCEL.into()))?;
        let next = part.split_to(room.min(part.len()));
        *sent += next.len();
        let ends = is_last && part.is_empty();
        answer.send_data(next, ends)?;
        if ends {
            return Ok(());
        }
    }
    if is_last {
        answer.send_data(Bytes::new(), true)?;
    }
    Ok(())
}
