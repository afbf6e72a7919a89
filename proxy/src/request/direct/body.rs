//! The body of an answer on its way: as it came, or in chunks of our own where its end is not known before.

use bytes::{Buf, BufMut, BytesMut};

use crate::message::answer_head::AnswerBody;
use crate::message::chunks::Chunks;

/// Ends a body in chunks.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is left of an answer's body.
pub(super) enum Rest {
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// How much of a body was moved.
pub(super) struct Progress {
    /// Bytes of the body, whatever its framing adds.
    pub(super) bytes: usize,
    /// Whether that was the end of it.
    pub(super) is_all: bool,
}

impl Progress {
    /// Of a body that is none.
    pub(super) const NOTHING: Self = Self {
        bytes: 0,
        is_all: true,
    };
}

impl Rest {
    /// All of the body; nothing if there is none.
    pub(super) fn new(body: AnswerBody) -> Option<Self> {
        match body {
            AnswerBody::None => None,
            AnswerBody::Length(length) => Some(Self::Length(length)),
            AnswerBody::Chunked => Some(Self::Chunked(Chunks::default())),
            AnswerBody::UntilClose => Some(Self::UntilClose),
        }
    }

    /// Moves what was read of the body to what is sent.
    pub(super) fn take(
        &mut self,
        read: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, &'static str> {
        let mut bytes = 0;
        let is_all = match self {
            Self::Length(left) => {
                bytes = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes as u64;
                let body = read.split_to(bytes);
                match out.is_empty() {
                    true => *out = body,
                    false => out.put_slice(&body),
                }
                *left == 0
            }
            Self::Chunked(chunks) => {
                let framed = chunks.decode(read, |data| {
                    bytes += data.len();
                    put_chunk(out, data);
                })?;
                read.advance(framed);
                if chunks.is_done() {
                    out.put_slice(LAST_CHUNK);
                }
                chunks.is_done()
            }
            Self::UntilClose => {
                bytes = read.len();
                if bytes > 0 {
                    put_chunk(out, read);
                    read.clear();
                }
                false
            }
        };
        Ok(Progress { bytes, is_all })
    }
}

fn put_chunk(out: &mut BytesMut, data: &[u8]) {
    out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent of a body that arrives in these parts, how many bytes of it are the body's, whether it ended, and
    /// what is left over.
    fn sent(body: AnswerBody, parts: &[&str]) -> (String, usize, bool, usize) {
        let mut rest = Rest::new(body).expect("a body");
        let (mut read, mut sent) = (BytesMut::new(), String::new());
        let (mut bytes, mut is_all) = (0, false);
        for part in parts {
            read.put_slice(part.as_bytes());
            let mut out = BytesMut::new();
            let taken = rest.take(&mut read, &mut out).expect("well formed");
            sent.push_str(std::str::from_utf8(&out).expect("text"));
            bytes += taken.bytes;
            is_all = taken.is_all;
        }
        (sent, bytes, is_all, read.len())
    }

    #[test]
    fn a_body_of_known_length_goes_on_as_it_came() {
        let hello = sent(AnswerBody::Length(5), &["he", "", "llo!"]);
        assert_eq!(hello, ("hello".to_owned(), 5, true, 1));
        let none = sent(AnswerBody::Length(0), &["!"]);
        assert_eq!(none, (String::new(), 0, true, 1));
        let part = sent(AnswerBody::Length(5), &["hell"]);
        assert_eq!(part, ("hell".to_owned(), 4, false, 0));
    }

    #[test]
    fn other_bodies_go_on_in_chunks() {
        let chunks = sent(
            AnswerBody::Chunked,
            &["3;x\r\nab", "c\r\n0\r\nA: b\r\n\r\n!"],
        );
        let expected = "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(chunks, (expected.to_owned(), 3, true, 1));
        let closed = sent(AnswerBody::UntilClose, &["0123456789abcdef", ""]);
        let expected = "10\r\n0123456789abcdef\r\n";
        assert_eq!(closed, (expected.to_owned(), 16, false, 0));
    }

    #[test]
    fn malformed_chunks_are_told() {
        let mut rest = Rest::new(AnswerBody::Chunked).expect("a body");
        let taken = rest.take(&mut BytesMut::from("x\r\n"), &mut BytesMut::new());
        assert!(taken.is_err());
    }
}
