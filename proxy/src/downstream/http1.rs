//! A client that speaks HTTP/1.1, for the direct way: answers are bytes, and a body of unknown length goes out in
//! chunks that the proxy makes.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, BytesMut};

use super::wire::Wire;
use crate::message::answer_head::{AnswerBody, AnswerHead};
use crate::message::head::put_field;
use crate::message::problem::Problem;
use crate::message::request_id::REQUEST_ID;
use crate::request::direct::{Client, OwnFields};

/// Room in bytes for the head of an answer and a small body after it.
const HEAD: usize = 1024;

/// The chunk that ends a body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The client of one request.
pub(super) struct Http1<'a> {
    wire: &'a mut Wire,
    /// Whether the connection is closed after the answer. The answer's `Connection` field says so.
    closes: bool,
    is_chunked: bool,
    /// The bytes that were put and not sent.
    out: BytesMut,
}

impl<'a> Http1<'a> {
    pub(super) fn new(wire: &'a mut Wire, closes: bool) -> Self {
        Self {
            wire,
            closes,
            is_chunked: false,
            out: BytesMut::new(),
        }
    }

    /// The bytes that were put and not sent.
    pub(super) fn into_unsent(self) -> BytesMut {
        self.out
    }
}

impl Client for Http1<'_> {
    const HTTP_VERSION: &'static str = "1.1";

    async fn read_body(&mut self, length: usize, to: &mut BytesMut) -> io::Result<()> {
        let held = self.wire.held_at_least(length).await?;
        to.put_slice(&held.split_to(length));
        Ok(())
    }

    fn forget(&mut self) {
        self.out.clear();
    }

    fn put_head(&mut self, head: &AnswerHead<'_>, own: &OwnFields<'_>) -> Result<(), &'static str> {
        let out = &mut self.out;
        if head.is_informational() {
            head.write(out, |_| false);
            out.put_slice(b"\r\n");
            return Ok(());
        }
        out.reserve(head.length + HEAD);
        head.write(out, |name| {
            name.eq_ignore_ascii_case(REQUEST_ID.as_str().as_bytes())
        });
        if !head.has(b"date") {
            // A server adds `Date` if it is missing (RFC 9110, section 6.6.1).
            let date = httpdate::fmt_http_date(SystemTime::now());
            out.put_slice(b"Date: ");
            out.put_slice(date.as_bytes());
            out.put_slice(b"\r\n");
        }
        put_field(out, &REQUEST_ID, own.id);
        if let Some((name, value)) = own.trace {
            put_field(out, name, value);
        }
        out.put_slice(match self.closes {
            true => b"Connection: close\r\n\r\n",
            false => b"Connection: keep-alive\r\n\r\n",
        });
        self.is_chunked = matches!(head.body, AnswerBody::Chunked | AnswerBody::UntilClose);
        Ok(())
    }

    fn put_body(&mut self, part: BytesMut, is_last: bool) {
        let out = &mut self.out;
        if !self.is_chunked {
            match out.is_empty() {
                true => *out = part,
                false => out.put_slice(&part),
            }
            return;
        }
        if !part.is_empty() {
            out.put_slice(format!("{:x}\r\n", part.len()).as_bytes());
            out.put_slice(&part);
            out.put_slice(b"\r\n");
        }
        if is_last {
            out.put_slice(LAST_CHUNK);
        }
    }

    fn put_problem(&mut self, problem: &Problem, own: &OwnFields<'_>, head_only: bool) -> u64 {
        let id = own.id.to_str().unwrap_or("-");
        let (mut answer, body_bytes) = problem.raw(id, own.trace);
        let body_bytes = if head_only {
            answer.truncate(answer.len() - body_bytes);
            0
        } else {
            body_bytes
        };
        self.out = BytesMut::from(&answer[..]);
        body_bytes as u64
    }

    async fn flush(&mut self, limit: Duration) -> bool {
        if self.out.is_empty() {
            return true;
        }
        let sent = self.wire.send(&self.out, limit).await;
        // `out` may share its memory with the buffer that reads from the upstream. Once `out` lets go of that memory,
        // the next read can use it again.
        self.out = BytesMut::new();
        sent
    }

    async fn left(&mut self) {
        self.wire.left().await;
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::message::answer_head;

    /// The bytes that a client gets for an answer with this head and these parts of a body.
    async fn sent(head: &str, closes: bool, parts: &[&str]) -> String {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut wire = Wire::new(Box::new(near));
        let mut client = Http1::new(&mut wire, closes);
        let head = answer_head::read(head.as_bytes(), false);
        let head = head.expect("good").expect("whole");
        let own = OwnFields {
            id: &HeaderValue::from_static("i"),
            trace: None,
        };
        client.put_head(&head, &own).expect("put");
        for (number, part) in parts.iter().enumerate() {
            client.put_body(BytesMut::from(*part), number + 1 == parts.len());
            assert!(client.flush(Duration::from_secs(5)).await);
        }
        drop(wire);
        let mut said = String::new();
        far.read_to_string(&mut said).await.expect("text");
        said
    }

    #[tokio::test]
    async fn a_body_of_known_length_goes_on_as_it_came() {
        let head = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 4\r\n\r\n";
        let said = sent(head, true, &["he", "y!"]).await;
        let expected = "HTTP/1.1 200 OK\r\nDate: d\r\nContent-Length: 4\r\n\
                        x-request-id: i\r\nConnection: close\r\n\r\nhey!";
        assert_eq!(said, expected);
    }

    #[tokio::test]
    async fn other_bodies_go_on_in_chunks() {
        let head = "HTTP/1.1 200 OK\r\nDate: d\r\n\r\n";
        let said = sent(head, false, &["0123456789abcdef", "!", ""]).await;
        let expected = "HTTP/1.1 200 OK\r\nDate: d\r\nTransfer-Encoding: chunked\r\n\
                        x-request-id: i\r\nConnection: keep-alive\r\n\r\n\
                        10\r\n0123456789abcdef\r\n1\r\n!\r\n0\r\n\r\n";
        assert_eq!(said, expected);
    }
}
