//! Reads the frames that `h2` sends. Nothing else shows which streams `h2` resets by itself, and why it gives up a
//! connection. Before `h2` resets a request for breaking the protocol, the proxy answers it in its own words, as RFC
//! 9113 allows (section 8.1.1).

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use store_server::problem::MEDIA_TYPE;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, Frames, RESET_BYTES};
use crate::downstream::refusals::{Refusal, Refusals};
use crate::downstream::wire::Wire;
use crate::message::problem::Problem;
use crate::message::request_id::new_id;
use crate::metrics::Reason;

/// The answer to a request that `h2` could not read.
const BROKEN: Problem = Problem::Malformed("the request breaks the rules of HTTP/2");

/// Most answers that are inserted on one connection. `h2` does not know that they use up the client's window, which is
/// at least 64 KiB, so there must not be many.
const MOST_ANSWERS: usize = 32;

/// A connection that counts and logs the refusals that `h2` sends.
pub(super) struct WatchedWire {
    wire: Box<Wire>,
    frames: Frames,
    /// The inserted answer that is not sent yet.
    unsent: Bytes,
    /// The stream of that answer: its reset comes next, and is already counted.
    answered: Option<u32>,
    answers: usize,
    refusals: Refusals,
    client: IpAddr,
}

impl WatchedWire {
    pub(super) fn new(wire: Box<Wire>, refusals: Refusals, client: IpAddr) -> Self {
        Self {
            wire,
            frames: Frames::default(),
            unsent: Bytes::new(),
            answered: None,
            answers: 0,
            refusals,
            client,
        }
    }

    /// Follows bytes that were sent.
    fn follow(&mut self, bytes: &[u8]) {
        let (refusals, client, answered) = (&self.refusals, self.client, &mut self.answered);
        self.frames.follow(bytes, |code| {
            if answered.take().is_some() {
                return;
            }
            let id = new_id();
            let id = id.to_str().unwrap_or("-");
            tracing::debug!(request = id, %client, code, "HTTP/2 was refused by the protocol");
            refusals.note(&Refusal::unread(id, client, "2"), Some(Reason::Http2));
        });
    }

    /// How many of the bytes may be sent now. A reset of a request without an answer waits until the bytes before it
    /// are sent, and then until an answer to the request is sent.
    fn sendable(&mut self, bytes: &[u8]) -> usize {
        if self.answered.is_some() {
            return bytes.len().min(RESET_BYTES);
        }
        if self.answers == MOST_ANSWERS {
            return bytes.len();
        }
        match self.frames.unanswered_reset(bytes) {
            None => bytes.len(),
            Some((0, stream)) => {
                self.answer(stream);
                RESET_BYTES
            }
            Some((before, _)) => before,
        }
    }

    fn answer(&mut self, stream: u32) {
        let id = new_id();
        let id = id.to_str().unwrap_or("-");
        let body = BROKEN.body(id);
        let status = BROKEN.status();
        let length = body.len().to_string();
        let fields = [
            ("content-type", MEDIA_TYPE),
            ("content-length", &length),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-request-id", id),
        ];
        self.unsent = frames::answer(stream, status.as_str(), &fields, &body).into();
        self.answered = Some(stream);
        self.answers += 1;
        let refused = Refusal {
            status: status.as_u16(),
            bytes_sent: body.len() as u64,
            ..Refusal::unread(id, self.client, "2")
        };
        self.refusals.note(&refused, Some(Reason::Http2));
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut *self.wire).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for WatchedWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_read(cx, buffer)
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
        if self.sendable(first) < first.len() || self.answered.is_some() {
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
