//! Takes an answer's body out of its framing at the upstream.

use bytes::{Buf, BytesMut};
use store_server::chunks::Chunks;

use crate::message::answer_head::AnswerBody;

/// Most bytes for one read.
const LONG_READ: usize = 64 * 1024;

/// The part of an answer's body that is still to come.
pub(super) enum RemainingBody {
    None,
    Length(u64),
    Chunked(Chunks),
    UntilClose,
}

/// A part of a body, as it was taken out of its framing.
pub(super) struct Progress {
    pub(super) part: BytesMut,
    /// Whether `part` is the end of the body.
    pub(super) is_last: bool,
}

impl RemainingBody {
    /// The whole body of an answer with this framing.
    pub(super) fn new(body: AnswerBody) -> Self {
        match body {
            AnswerBody::None => Self::None,
            AnswerBody::Length(length) => Self::Length(length),
            AnswerBody::Chunked => Self::Chunked(Chunks::default()),
            AnswerBody::UntilClose => Self::UntilClose,
        }
    }

    /// How many bytes the next read should have room for.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Length(left) => usize::try_from(*left).unwrap_or(LONG_READ).min(LONG_READ),
            _ => LONG_READ,
        }
    }

    /// Takes the bytes of the body out of `read`.
    ///
    /// # Errors
    /// The framing of the body is malformed.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Progress, &'static str> {
        Ok(match self {
            Self::None => Progress {
                part: BytesMut::new(),
                is_last: true,
            },
            Self::Length(left) => {
                let bytes = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes as u64;
                Progress {
                    part: read.split_to(bytes),
                    is_last: *left == 0,
                }
            }
            Self::Chunked(chunks) => {
                let mut part = BytesMut::with_capacity(read.len());
                let framed = chunks.decode(read, |data| part.extend_from_slice(data))?;
                read.advance(framed);
                Progress {
                    part,
                    is_last: chunks.is_done(),
                }
            }
            Self::UntilClose => Progress {
                part: read.split(),
                is_last: false,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that is taken of a body that comes in these parts, whether the body ended, and how many bytes are left
    /// over.
    fn taken(body: AnswerBody, parts: &[&str]) -> (String, bool, usize) {
        let mut rest = RemainingBody::new(body);
        let (mut read, mut taken, mut is_last) = (BytesMut::new(), String::new(), false);
        for part in parts {
            read.extend_from_slice(part.as_bytes());
            let next = rest.take(&mut read).expect("well formed");
            taken.push_str(std::str::from_utf8(&next.part).expect("text"));
            is_last = next.is_last;
        }
        (taken, is_last, read.len())
    }

    #[test]
    fn a_body_ends_where_its_head_says() {
        let hello = taken(AnswerBody::Length(5), &["he", "", "llo!"]);
        assert_eq!(hello, ("hello".to_owned(), true, 1));
        let empty = taken(AnswerBody::Length(0), &["!"]);
        assert_eq!(empty, (String::new(), true, 1));
        let part = taken(AnswerBody::Length(5), &["hell"]);
        assert_eq!(part, ("hell".to_owned(), false, 0));
        let none = taken(AnswerBody::None, &["!"]);
        assert_eq!(none, (String::new(), true, 1));
    }

    #[test]
    fn other_bodies_end_with_their_chunks_or_their_connection() {
        let parts = ["3;x\r\nab", "c\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n!"];
        let chunks = taken(AnswerBody::Chunked, &parts);
        assert_eq!(chunks, ("abcd".to_owned(), true, 1));
        let closed = taken(AnswerBody::UntilClose, &["0123456789abcdef", ""]);
        assert_eq!(closed, ("0123456789abcdef".to_owned(), false, 0));
    }

    #[test]
    fn malformed_chunks_are_told() {
        let mut rest = RemainingBody::new(AnswerBody::Chunked);
        assert!(rest.take(&mut BytesMut::from("x\r\n")).is_err());
    }
}
