//! A client's connection, as hyper reads and writes it. It ends the connection if the client stops reading, hides
//! from hyper the requests that hyper would wrongly accept, and replaces hyper's own refusals by problem+json, or puts
//! it before them: [`store_server::http2`] says where HTTP/2 leaves no room for that.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use store_server::http2::{BROKEN, OwnAnswer, Resets};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::connection_use::ConnectionUse;
use super::heads::Heads;
use super::refusals::Refusals;
use crate::message::{Problem, RequestId, problem};

/// The bytes that hyper reads in place of a request that it must not see. They can't be the beginning of a head. So
/// hyper first answers the requests before them and then writes a bare 400, which [`Downstream::refuse`] replaces by
/// the right refusal.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// How long a client may take.
pub(crate) struct Times {
    /// To send a head, from its first byte to its last.
    pub(crate) receive: Duration,
    /// To read any part of what was sent to it.
    pub(crate) send: Duration,
}

/// A client's connection with its checks.
pub(crate) struct Downstream<S> {
    stream: S,
    client: IpAddr,
    refusals: Arc<Refusals>,
    times: Times,
    used: Arc<ConnectionUse>,
    heads: Heads,
    /// The timer of a head that has begun and is incomplete.
    late: Option<Pin<Box<Sleep>>>,
    /// What is wrong with the bytes that the client sent, if anything. From then on hyper reads [`SPOILT`] instead.
    fault: Option<Problem>,
    /// The part of [`SPOILT`] that hyper has not read yet.
    spoilt: &'static [u8],
    resets: Resets,
    /// The timer that runs while the system accepts no more bytes for this client.
    stalled: Option<Pin<Box<Sleep>>>,
    /// The unsent part of the refusal that replaces hyper's.
    refusal: Option<Bytes>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Downstream<S> {
    pub(crate) fn new(
        stream: S,
        client: IpAddr,
        refusals: Arc<Refusals>,
        times: Times,
        used: Arc<ConnectionUse>,
    ) -> Self {
        Self {
            stream,
            client,
            refusals,
            times,
            used,
            heads: Heads::default(),
            late: None,
            fault: None,
            spoilt: SPOILT,
            resets: Resets::default(),
            stalled: None,
            refusal: None,
        }
    }

    /// Returns the result of a write. If the system has accepted nothing for as long as a client may read nothing,
    /// returns an error, which ends the connection.
    fn unstalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let limit = self.times.send;
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

    /// Writes frames of HTTP/2. Before hyper resets a request that it could not read, writes an answer to the request.
    fn write_frames(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sendable = self.sendable(bytes);
        ready!(self.write_unsent(cx))?;
        let sent = ready!(self.write(cx, &bytes[..sendable]))?;
        self.follow(&bytes[..sent]);
        Poll::Ready(Ok(sent))
    }

    /// How many of the bytes may be written now.
    fn sendable(&mut self, bytes: &[u8]) -> usize {
        let (refusals, client) = (&self.refusals, self.client);
        self.resets.sendable(bytes, || broken(refusals, client))
    }

    fn write_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let unsent = self.resets.unsent();
            if unsent.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(self.write(cx, &unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.resets.advance(sent);
        }
    }

    fn follow(&mut self, sent: &[u8]) {
        let (refusals, client) = (&self.refusals, self.client);
        let has_body = self
            .resets
            .follow(sent, |code| refusals.reset(code, client));
        if has_body {
            // The library takes an answer before its client reads it. What is sent in answer to a client's ping is no
            // use of the connection.
            self.used.touch();
        }
    }

    /// Checks the bytes that were read into `buf` from `start` on.
    fn look(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let whole = self.heads.whole();
        let looked = self.heads.follow(&buf.filled()[start..]);
        if self.heads.whole() > whole || !self.heads.is_within_one() {
            self.late = None;
        }
        if let Err(fault) = looked {
            buf.set_filled(start + fault.before);
            if self.heads.is_within_body() {
                // Within a body, hyper reads no [`SPOILT`] bytes, only the end of input: the body breaks off here.
                self.spoilt = &[];
            }
            self.spoil(buf, Problem::Malformed(fault.detail));
        }
    }

    fn spoil(&mut self, buf: &mut ReadBuf<'_>, fault: Problem) {
        self.fault = Some(fault);
        self.give_spoilt(buf);
    }

    /// Gives hyper the [`SPOILT`] bytes and after them nothing, which hyper takes for the client's end of input.
    fn give_spoilt(&mut self, buf: &mut ReadBuf<'_>) {
        let fits = self.spoilt.len().min(buf.remaining());
        let (given, left) = self.spoilt.split_at(fits);
        buf.put_slice(given);
        self.spoilt = left;
    }

    /// Resolves when the head that has begun is late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let late = self.late.get_or_insert_with(|| {
            self.used.touch();
            Box::pin(sleep(self.times.receive))
        });
        late.as_mut().poll(cx)
    }

    /// Sends our refusal, and then reports to hyper that its own refusal, of `length` bytes, was written.
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
                let id = id.as_str();
                if let Some(fault) = self.fault {
                    self.refusals.request(fault, id, self.client, None);
                    refusal(fault.status(), &fault.detail(), id)
                } else {
                    self.refusals.head(status, id, self.client);
                    refusal(status, unread(status), id)
                }
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

/// The answer to a request of HTTP/2 that hyper could not read. Counts and logs it.
fn broken(refusals: &Refusals, client: IpAddr) -> OwnAnswer {
    let id = RequestId::of(&HeaderMap::new());
    let status = Problem::Malformed(BROKEN).status();
    refusals.broken(status, id.as_str(), client);
    OwnAnswer {
        status,
        request_id: id.as_str().to_owned(),
        body: problem::body(status, BROKEN, id.as_str()).into(),
    }
}

/// The reason, for the client, why hyper could not read a head. `status` is the one that hyper answers with.
fn unread(status: StatusCode) -> &'static str {
    match status {
        StatusCode::URI_TOO_LONG => "the target is too long",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "the headers are too large",
        _ => "the request can't be read",
    }
}

/// The complete HTTP/1.1 answer to a refused head.
fn refusal(status: StatusCode, detail: &str, request_id: &str) -> Bytes {
    let body = problem::body(status, detail, request_id);
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {}\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n{body}",
        problem::MEDIA_TYPE,
        body.len(),
    )
    .into()
}

/// The headers of hyper's answer to a head that it can't read. Hyper sends no others with it, and nothing after it on
/// the connection.
const BARE: [&[u8]; 2] = [
    b"\r\nconnection: close\r\ncontent-length: 0\r\ndate: ",
    b"\r\ncontent-length: 0\r\nconnection: close\r\ndate: ",
];
const DATE_BYTES: usize = b"Sun, 06 Nov 1994 08:49:37 GMT".len();
const END: &[u8] = b" GMT\r\n\r\n";

/// Where hyper's own refusal begins in the bytes that are about to be sent, and its status. Answers of ours always have
/// more headers.
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Downstream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.fault.is_some() {
            this.give_spoilt(buf);
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.resets.read(&buf.filled()[start..]);
        if read.is_pending() && this.heads.is_within_one() {
            ready!(this.poll_late(cx));
            this.spoil(buf, Problem::HeadTooSlow);
            return Poll::Ready(Ok(()));
        }
        this.look(buf, start);
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Downstream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match bare_refusal(bytes) {
            Some((0, status)) => self.refuse(cx, status, bytes.len()),
            // The bytes before the refusal are the end of an answer of ours.
            Some((start, _)) => self.write(cx, &bytes[..start]),
            None if self.heads.is_http_2() => self.write_frames(cx, bytes),
            None => self.write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_http_2 = self.heads.is_http_2();
        if is_http_2 {
            // A reset is small and stands in the first part, together with other frames without a payload of their own.
            let first = parts.iter().find(|part| !part.is_empty());
            let first = first.map_or(&[][..], |part| &part[..]);
            if self.sendable(first) < first.len() || self.resets.is_answering() {
                return self.write_frames(cx, first);
            }
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        if let (true, Poll::Ready(Ok(count))) = (is_http_2, &written) {
            let mut left = *count;
            for part in parts {
                let sent = &part[..part.len().min(left)];
                self.follow(sent);
                left -= sent.len();
            }
        }
        self.unstalled(cx, written)
    }

    /// Hyper sends HTTP/1.1 in one piece (see `hyper_settings`) and HTTP/2 in several.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_unsent(cx))?;
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
        let text = refusal(StatusCode::BAD_REQUEST, "what", "abc");
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
