//! Watches what `h2` sends, and answers requests that `h2` resets by itself: [`store_server::http2`] says why, and
//! which.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use store_server::http2::{BROKEN, OwnAnswer, Resets};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::downstream::refusals::{Refusal, Refusals};
use crate::downstream::wire::Wire;
use crate::message::problem::Problem;
use crate::message::request_id::new_id;
use crate::metrics::Reason;

/// A connection that counts and logs the refusals that `h2` sends.
pub(super) struct WatchedWire {
    wire: Box<Wire>,
    resets: Resets,
    refusals: Refusals,
    client: IpAddr,
}

impl WatchedWire {
    pub(super) fn new(wire: Box<Wire>, refusals: Refusals, client: IpAddr) -> Self {
        Self {
            wire,
            resets: Resets::default(),
            refusals,
            client,
        }
    }

    /// Follows bytes that were sent.
    fn follow(&mut self, bytes: &[u8]) {
        let (refusals, client) = (&self.refusals, self.client);
        self.resets.follow(bytes, |code| {
            let id = new_id();
            let id = id.to_str().unwrap_or("-");
            tracing::debug!(request = id, %client, code, "HTTP/2 was refused by the protocol");
            refusals.note(&Refusal::unread(id, client, "2"), Some(Reason::Http2));
        });
    }

    /// How many of the bytes may be sent now.
    fn sendable(&mut self, bytes: &[u8]) -> usize {
        let (refusals, client) = (&self.refusals, self.client);
        self.resets.sendable(bytes, || answer(refusals, client))
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let unsent = self.resets.unsent();
            if unsent.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(Pin::new(&mut *self.wire).poll_write(cx, &unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.resets.advance(sent);
        }
    }
}

/// The answer to a request that `h2` could not read. Counts and logs it.
fn answer(refusals: &Refusals, client: IpAddr) -> OwnAnswer {
    let problem = Problem::Malformed(BROKEN);
    let id = new_id();
    let id = id.to_str().unwrap_or("-");
    let (status, body) = (problem.status(), problem.body(id));
    let refused = Refusal {
        status: status.as_u16(),
        bytes_sent: body.len() as u64,
        ..Refusal::unread(id, client, "2")
    };
    refusals.note(&refused, Some(Reason::Http2));
    OwnAnswer {
        status,
        request_id: id.to_owned(),
        body,
    }
}

impl AsyncRead for WatchedWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        let read = Pin::new(&mut *self.wire).poll_read(cx, buffer);
        self.resets.read(&buffer.filled()[start..]);
        read
    }
}

impl AsyncWrite for WatchedWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sendable = self.sendable(bytes);
        ready!(self.poll_unsent(cx))?;
        let sent = ready!(Pin::new(&mut *self.wire).poll_write(cx, &bytes[..sendable]))?;
        self.follow(&bytes[..sent]);
        Poll::Ready(Ok(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // A reset is small and stands in the first slice, together with other frames without a payload of their own.
        let first = slices.iter().find(|slice| !slice.is_empty());
        let first = first.map_or(&[][..], |slice| &slice[..]);
        if self.sendable(first) < first.len() || self.resets.is_answering() {
            return self.poll_write(cx, first);
        }
        let sent = ready!(Pin::new(&mut *self.wire).poll_write_vectored(cx, slices))?;
        let mut left = sent;
        for slice in slices {
            let taken = left.min(slice.len());
            self.follow(&slice[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut *self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_shutdown(cx)
    }
}
