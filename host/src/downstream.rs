//! A client's connection as hyper sees it: it breaks when the client stops reading, and hyper's own refusals leave it
//! in the form of all others.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::problem;
use crate::refusals::Refusals;
use crate::request_id::RequestId;

/// A connection of a client's.
pub(crate) struct Downstream {
    stream: TcpStream,
    client: IpAddr,
    refusals: Arc<Refusals>,
    /// How long the client may leave unread what is sent.
    send_timeout: Duration,
    /// Runs since the system took nothing more.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is left of a refusal that is sent instead of hyper's.
    refusal: Option<Bytes>,
}

impl Downstream {
    pub(crate) fn new(
        stream: TcpStream,
        client: IpAddr,
        refusals: Arc<Refusals>,
        send_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            client,
            refusals,
            send_timeout,
            stalled: None,
            refusal: None,
        }
    }

    /// Gives what the system said of a write on, but not for ever that it takes nothing.
    fn unstalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.send_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unstalled(cx, written)
    }

    /// Sends a refusal of ours, and says that hyper's, of `length` bytes, was sent.
    fn refuse(
        &mut self,
        cx: &mut Context<'_>,
        status: StatusCode,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let mut left = match self.refusal.take() {
            Some(left) => left,
            None => {
                let id = RequestId::of(&HeaderMap::new());
                self.refusals.head(status, id.as_str(), self.client);
                refusal(status, id.as_str())
            }
        };
        while !left.is_empty() {
            match self.write(cx, &left) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => left.advance(written),
                unfinished => {
                    self.refusal = Some(left);
                    return unfinished;
                }
            }
        }
        Poll::Ready(Ok(length))
    }
}

/// A whole answer to a head that can't be read.
fn refusal(status: StatusCode, request_id: &str) -> Bytes {
    let detail = match status {
        StatusCode::URI_TOO_LONG => "the target is too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are too large",
        _ => "the request can't be read",
    };
    let body = problem::body(status, detail, request_id);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n{body}",
        problem::MEDIA_TYPE,
        body.len(),
    )
    .into()
}

/// How hyper answers a head that it can't read: nothing but this, and always the last thing on a connection.
const BARE: [&[u8]; 2] = [
    b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ",
    b"\r\ncontent-length: 0\r\nconnection: close\r\ndate: ",
];
const DATE_BYTES: usize = b"Sun, 06 Nov 1994 08:49:37 GMT".len();
const END: &[u8] = b" GMT\r\n\r\n";

/// Where such an answer begins in what is about to be sent, and its status. Answers of ours always have more headers.
fn bare_refusal(bytes: &[u8]) -> Option<(usize, StatusCode)> {
    if !bytes.ends_with(END) {
        return None;
    }
    let headers = bytes.len().checked_sub(DATE_BYTES + 4)?;
    let line_end = headers.checked_sub(BARE[0].len())?;
    if !BARE.contains(&&bytes[line_end..headers]) {
        return None;
    }
    let before = &bytes[..line_end];
    let start = before.windows(9).rposition(|part| part == b"HTTP/1.1 ")?;
    let status = StatusCode::from_bytes(before.get(start + 9..start + 12)?).ok()?;
    status.is_client_error().then_some((start, status))
}

impl AsyncRead for Downstream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Downstream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match bare_refusal(bytes) {
            Some((0, status)) => self.refuse(cx, status, bytes.len()),
            // What stands before it is an answer of ours.
            Some((start, _)) => self.write(cx, &bytes[..start]),
            None => self.write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.unstalled(cx, written)
    }

    /// HTTP/1.1 is written in one piece (see [`crate::serve`]), and HTTP/2 in several.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPERS: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    #[test]
    fn hyper_s_own_answer_is_told_from_ours() {
        let found = |text: &str| bare_refusal(text.as_bytes());
        let bad = StatusCode::BAD_REQUEST;
        assert_eq!(found(HYPERS), Some((0, bad)));
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(
            found(&format!("{before}{HYPERS}")),
            Some((before.len(), bad))
        );
        for other in [
            "",
            " GMT\r\n\r\n",
            &HYPERS.replace("400 Bad Request", "204 No Content"),
            &HYPERS.replace("content-length", "x-request-id: a\r\ncontent-length"),
            &format!("{HYPERS}x"),
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn a_refusal_says_how_long_it_is() {
        let text = refusal(StatusCode::BAD_REQUEST, "abc");
        let text = std::str::from_utf8(&text).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(body.contains("urn:request:abc"), "{body}");
    }
}
