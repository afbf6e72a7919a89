//! Follows frames (RFC 9113, section 4.1): where they begin and end, and what those mean that a server sends.

use std::collections::VecDeque;

/// Bytes of a frame's head: length, type, flags and stream.
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const GO_AWAY: u8 = 7;

/// The request breaks the protocol (RFC 9113, sections 7 and 8.1.1).
const PROTOCOL_ERROR: u32 = 1;

/// Error codes that don't blame the client: no error, a mistake of the server, a stream that is no longer needed.
const HARMLESS: [u32; 3] = [0, 2, 8];

/// Most streams whose answers are remembered; more than can be open at once.
const REMEMBERED: usize = 1024;

/// The position within frames.
#[derive(Default)]
pub(super) struct Position {
    head: [u8; HEAD],
    /// How many bytes of the frame's head were seen.
    seen: usize,
    /// How many bytes of the frame's payload are still to come.
    left: usize,
}

/// What some bytes are of a frame.
pub(super) enum Part<'a> {
    /// A part of its head, of which more is to come.
    Head,
    /// The last part of its head.
    HeadEnd,
    /// A part of its payload, and how many bytes of the payload came before it.
    Payload(usize, &'a [u8]),
}

impl Position {
    /// Takes the bytes that are one part of a frame.
    pub(super) fn take<'a>(&mut self, bytes: &mut &'a [u8]) -> Part<'a> {
        let all: &'a [u8] = bytes;
        let part = if self.seen < HEAD {
            let taken = all.len().min(HEAD - self.seen);
            self.head[self.seen..self.seen + taken].copy_from_slice(&all[..taken]);
            self.seen += taken;
            *bytes = &all[taken..];
            if self.seen < HEAD {
                return Part::Head;
            }
            self.left = length(&self.head);
            Part::HeadEnd
        } else {
            let before = length(&self.head) - self.left;
            let (payload, rest) = all.split_at(all.len().min(self.left));
            self.left -= payload.len();
            *bytes = rest;
            Part::Payload(before, payload)
        };
        if self.left == 0 {
            self.seen = 0;
        }
        part
    }

    /// The type of the frame whose head came last.
    pub(super) fn kind(&self) -> u8 {
        self.head[3]
    }
}

/// Follows the frames that a server sends.
#[derive(Default)]
pub(super) struct Frames {
    position: Position,
    code: u32,
    /// Where the error code ends in the payload; `None` if the frame has none.
    code_ends: Option<usize>,
    /// Streams whose answer has begun.
    answered: VecDeque<u32>,
}

impl Frames {
    /// Follows sent bytes, and calls `blame` with the error code of each RST_STREAM and GOAWAY that blames the client.
    /// Returns whether any of the bytes are of a body.
    pub(super) fn follow(&mut self, mut bytes: &[u8], mut blame: impl FnMut(u32)) -> bool {
        let mut has_body = false;
        while !bytes.is_empty() {
            match self.position.take(&mut bytes) {
                Part::Head => {}
                Part::HeadEnd => self.begin_payload(),
                Part::Payload(before, payload) => {
                    has_body |= self.position.kind() == DATA;
                    self.follow_code(before, payload, &mut blame);
                }
            }
        }
        has_body
    }

    fn begin_payload(&mut self) {
        self.code = 0;
        self.code_ends = match self.position.kind() {
            RESET => Some(4),
            // The code follows the number of the last stream.
            GO_AWAY => Some(8),
            HEADERS => {
                self.remember(stream(&self.position.head));
                None
            }
            _ => None,
        };
    }

    fn follow_code(&mut self, before: usize, payload: &[u8], blame: &mut impl FnMut(u32)) {
        let Some(ends) = self.code_ends else { return };
        for (at, &byte) in payload.iter().enumerate() {
            if before + at < ends {
                self.code = self.code << 8 | u32::from(byte);
            }
            if before + at + 1 == ends && !HARMLESS.contains(&self.code) {
                blame(self.code);
            }
        }
    }

    fn remember(&mut self, stream: u32) {
        if self.answered.len() == REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(stream);
    }

    /// How many bytes of a frame's head are still to come, if it has begun.
    pub(super) fn rest_of_head(&self) -> usize {
        match self.position.seen {
            seen @ 1..HEAD => HEAD - seen,
            _ => 0,
        }
    }

    /// Finds a reset for a broken protocol (PROTOCOL_ERROR) in the bytes to be sent; returns its offset and its stream.
    /// A reset at the very beginning counts only if its stream has no answer yet. For a later reset that is not known
    /// yet, as frames before it may begin the answer.
    pub(super) fn unanswered_reset(&self, bytes: &[u8]) -> Option<(usize, u32)> {
        if self.rest_of_head() > 0 {
            return None;
        }
        let mut at = self.position.left;
        while let Some(frame) = bytes.get(at..at + HEAD) {
            let end = at + HEAD + length(frame);
            let code = PROTOCOL_ERROR.to_be_bytes();
            if frame[3] == RESET && bytes.get(at + HEAD..end) == Some(&code[..]) {
                let stream = stream(frame);
                if at > 0 || self.is_unanswered(stream) {
                    return Some((at, stream));
                }
            }
            at = end;
        }
        None
    }

    fn is_unanswered(&self, stream: u32) -> bool {
        let is_remembered = self.answered.len() < REMEMBERED
            || self.answered.front().is_some_and(|&oldest| oldest < stream);
        is_remembered && !self.answered.contains(&stream)
    }
}

/// Bytes of a whole RST_STREAM frame.
pub(super) const RESET_BYTES: usize = HEAD + 4;

fn length(head: &[u8]) -> usize {
    usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])
}

fn stream(head: &[u8]) -> u32 {
    u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]])
}

/// The frames of a whole answer on a stream. The head's fields enter no dynamic table, so that the connection's
/// compression is not disturbed (RFC 7541, section 6.2.2). The body's frame ends the stream.
pub(super) fn answer(stream: u32, status: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":status", status)].iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            // The length takes seven bits; no text here is longer.
            let text = &text.as_bytes()[..text.len().min(126)];
            block.push(text.len() as u8);
            block.extend_from_slice(text);
        }
    }
    [
        frame(HEADERS, 4, stream, &block),
        frame(DATA, 1, stream, body),
    ]
    .concat()
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length, &[kind, flags][..], &stream, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<u8> {
        [
            frame(4, 0, 0, &[]),
            frame(RESET, 0, 3, &[0, 0, 0, 1]),
            frame(0, 0, 1, &[RESET; 40]),
            frame(RESET, 0, 1, &[0, 0, 0, 8]),
            frame(GO_AWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]),
            frame(GO_AWAY, 0, 0, b"\0\0\0\x05\0\0\0\x0bwhy"),
            frame(RESET, 0, 1, &[0, 0, 0, 7]),
        ]
        .concat()
    }

    #[test]
    fn codes_that_blame_are_seen_however_the_bytes_come() {
        let frames = frames();
        for size in [1, 2, 7, 10, frames.len()] {
            let (mut followed, mut seen) = (Frames::default(), Vec::new());
            for part in frames.chunks(size) {
                followed.follow(part, |code| seen.push(code));
            }
            assert_eq!(seen, [1, 11, 7], "in pieces of {size}");
        }
    }

    #[test]
    fn the_bytes_of_bodies_are_told_from_others() {
        let bytes = [
            frame(4, 0, 0, &[0; 6]),
            frame(6, 0, 0, &[0; 8]),
            frame(DATA, 0, 1, b"body"),
        ];
        let mut followed = Frames::default();
        assert!(!followed.follow(&bytes[0], |_| {}));
        assert!(!followed.follow(&bytes[1], |_| {}));
        assert!(followed.follow(&bytes[2], |_| {}));
        assert!(!followed.follow(&bytes[0], |_| {}));
    }

    #[test]
    fn a_reset_of_a_request_without_an_answer_is_found() {
        let frames = frames();
        let mut followed = Frames::default();
        assert_eq!(followed.unanswered_reset(&frames), Some((9, 3)));
        assert_eq!(followed.unanswered_reset(&frames[9..]), Some((0, 3)));
        // In the middle of a head, and then of a payload.
        followed.follow(&frames[..4], |_| {});
        assert_eq!(followed.unanswered_reset(&frames[4..]), None);
        let data = 9 + RESET_BYTES + 9 + 20;
        followed.follow(&frames[4..data], |_| {});
        assert_eq!(followed.unanswered_reset(&frames[data..]), None);
        followed = Frames::default();
        followed.follow(&frame(HEADERS, 4, 3, b"x"), |_| {});
        assert_eq!(followed.unanswered_reset(&frames[9..]), None);
    }

    #[test]
    fn an_answer_is_two_frames() {
        let answer = answer(5, "400", &[("a", "b")], b"body");
        let expected = b"\0\0\x12\x01\x04\0\0\0\x05\0\x07:status\x03400\0\x01a\x01b\0\0\x04\0\x01\0\0\0\x05body";
        assert_eq!(answer, expected);
    }
}
