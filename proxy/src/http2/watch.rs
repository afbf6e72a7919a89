//! Looks on at the frames that go out. What the library resets by itself, and why it gives up a connection, shows
//! nowhere else.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::metrics::Reason;
use crate::refusal::{Refusals, Refused};
use crate::request_id::new_id;
use crate::wire::Wire;

/// Length, type, flags and stream (RFC 9113, section 4.1).
const HEAD: usize = 9;

const RESET: u8 = 3;
const GO_AWAY: u8 = 7;

/// Codes that blame nobody: no error, a mistake of ours, a stream that is no longer needed (RFC 9113, section 7).
const HARMLESS: [u32; 3] = [0, 2, 8];

/// A connection whose refusals are counted and logged.
pub(super) struct Watch {
    wire: Box<Wire>,
    frames: Frames,
    refusals: Refusals,
    client: IpAddr,
}

impl Watch {
    pub(super) fn new(wire: Box<Wire>, refusals: Refusals, client: IpAddr) -> Self {
        Self {
            wire,
            frames: Frames::default(),
            refusals,
            client,
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let (refusals, client) = (&self.refusals, self.client);
        self.frames.follow(bytes, |code| {
            let id = new_id();
            let id = id.to_str().unwrap_or("-");
            tracing::debug!(request = id, %client, code, "HTTP/2 was refused by the protocol");
            refusals.note(&Refused::unread(id, client, "2"), Some(Reason::Http2));
        });
    }
}

/// Where in the frames going out one is.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that were seen.
    seen: usize,
    /// Bytes of the payload to come.
    left: usize,
    /// The last four bytes of the payload so far that may be a code.
    code: u32,
    /// Where the code ends in the payload, if the frame has one.
    code_ends: Option<usize>,
}

impl Frames {
    /// Tells the code of each reset and each end of the connection that blames the client.
    fn follow(&mut self, mut bytes: &[u8], mut blame: impl FnMut(u32)) {
        while !bytes.is_empty() {
            if self.seen < HEAD {
                let taken = bytes.len().min(HEAD - self.seen);
                self.head[self.seen..self.seen + taken].copy_from_slice(&bytes[..taken]);
                self.seen += taken;
                bytes = &bytes[taken..];
                if self.seen == HEAD {
                    self.begin_payload();
                }
                continue;
            }
            let taken = bytes.len().min(self.left);
            if let Some(ends) = self.code_ends {
                for (at, &byte) in bytes[..taken].iter().enumerate() {
                    let place = self.length() - self.left + at;
                    if place < ends {
                        self.code = self.code << 8 | u32::from(byte);
                    }
                    if place + 1 == ends && !HARMLESS.contains(&self.code) {
                        blame(self.code);
                    }
                }
            }
            self.left -= taken;
            bytes = &bytes[taken..];
            if self.left == 0 {
                self.seen = 0;
            }
        }
    }

    fn length(&self) -> usize {
        let [a, b, c, ..] = self.head.map(usize::from);
        a << 16 | b << 8 | c
    }

    fn begin_payload(&mut self) {
        self.left = self.length();
        self.code = 0;
        self.code_ends = match self.head[3] {
            RESET => Some(4),
            // After the last stream's number.
            GO_AWAY => Some(8),
            _ => None,
        };
        if self.left == 0 {
            self.seen = 0;
        }
    }
}

impl AsyncRead for Watch {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watch {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.wire).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = &written {
            self.look(&bytes[..*written]);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.wire).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(written)) = &written {
            let mut left = *written;
            for slice in slices {
                let taken = left.min(slice.len());
                self.look(&slice[..taken]);
                left -= taken;
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u8;
        [&[0, 0, length, kind, 0, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn codes_that_blame_are_seen_however_the_bytes_come() {
        let frames = [
            frame(4, &[]),
            frame(RESET, &[0, 0, 0, 1]),
            frame(0, &[RESET; 40]),
            frame(RESET, &[0, 0, 0, 8]),
            frame(GO_AWAY, &[0, 0, 0, 0, 0, 0, 0, 0]),
            frame(GO_AWAY, b"\0\0\0\x05\0\0\0\x0bwhy"),
            frame(RESET, &[0, 0, 0, 7]),
        ]
        .concat();
        for size in [1, 2, 7, 10, frames.len()] {
            let (mut watched, mut seen) = (Frames::default(), Vec::new());
            for part in frames.chunks(size) {
                watched.follow(part, |code| seen.push(code));
            }
            assert_eq!(seen, [1, 11, 7], "in pieces of {size}");
        }
    }
}
