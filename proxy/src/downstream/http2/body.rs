//! Bodies of HTTP/2, part by part.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Error, Reason, RecvStream, SendStream};

/// The next part of a request's body. Empty frames say nothing, and what ends the stream is no part of the body; trailers
/// end here.
pub(super) async fn next_part(body: &mut RecvStream) -> Result<Option<Bytes>, Error> {
    while let Some(part) = body.data().await {
        let part = part?;
        // Of a stream that is over there is no window left to open.
        _ = body.flow_control().release_capacity(part.len());
        if !part.is_empty() {
            return Ok(Some(part));
        }
    }
    body.trailers().await?;
    Ok(None)
}

/// Sends a part of an answer's body, as the client makes room for it, and adds to `sent` how many bytes went.
pub(super) async fn send_part(
    answer: &mut SendStream<Bytes>,
    mut part: Bytes,
    is_last: bool,
    sent: &mut usize,
) -> Result<(), Error> {
    while !part.is_empty() {
        answer.reserve_capacity(part.len());
        // Without room to come the client is gone.
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
