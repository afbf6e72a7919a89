//! Answers to requests that the `h2` library resets. Both servers speak HTTP/2 by that library, and it tells nobody which
//! streams it resets, and why it gives up a connection. So the frames that it sends are read (`frames`). Before it
//! resets a request for breaking the protocol, the server answers the request in its own words, as RFC 9113, section
//! 8.1.1, allows.
//!
//! Without such an answer are: resets for another reason (the client's windows, a stream that is over, too many streams),
//! resets of requests whose answer has begun, those beyond the first 32 answers on a connection, those after the client
//! has made its table for compression smaller, and connections that are given up. Where the client's window is too
//! small for the body, the answer has none.

mod client_settings;
mod frames;

use bytes::{Buf, Bytes};
use http::StatusCode;

use self::client_settings::ClientSettings;
use self::frames::{Frames, RESET_BYTES};
use crate::problem::MEDIA_TYPE;

/// What the client of such a request is told.
pub const BROKEN: &str = "the request breaks the rules of HTTP/2";

/// The most answers that are inserted on one connection. `h2` does not know that they use up the client's window, which
/// is at least 64 KiB, so there must not be many.
const MOST_ANSWERS: usize = 32;

/// A server's answer to a request that the library could not read.
#[derive(Debug)]
pub struct OwnAnswer {
    /// Its status.
    pub status: StatusCode,
    /// The id that the request is given.
    pub request_id: String,
    /// Its body, a problem.
    pub body: Bytes,
}

impl OwnAnswer {
    /// The frames of this answer for a client whose stream takes `window` bytes.
    fn frames(&self, stream: u32, window: u32) -> Bytes {
        let fits = self.body.len() as u64 <= u64::from(window);
        // An empty frame that ends the stream needs no window (RFC 9113, section 6.9.1).
        let body = if fits { &self.body[..] } else { &[][..] };
        let length = body.len().to_string();
        let fields = [
            ("content-type", MEDIA_TYPE),
            ("content-length", &length),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("x-request-id", &self.request_id),
        ];
        // Without a body there is no type of it.
        let fields = &fields[usize::from(body.is_empty())..];
        frames::answer(stream, self.status.as_str(), fields, body).into()
    }
}

/// Follows what the library sends on one connection, from its first byte on.
#[derive(Default)]
pub struct Resets {
    frames: Frames,
    settings: ClientSettings,
    /// The part of the inserted answer that is not sent yet.
    unsent: Bytes,
    /// How many bytes of the reset that follows an inserted answer are still to be sent.
    reset_left: usize,
    answers: usize,
}

impl Resets {
    /// Follows bytes that the client sent, from the connection's first byte on.
    pub fn read(&mut self, bytes: &[u8]) {
        self.settings.follow(bytes);
    }

    /// How many of the bytes may be sent now, after the bytes of [`Resets::unsent`]. A reset of a request without an
    /// answer waits until the bytes before it are sent. Then `answer` makes the answer that is sent first.
    pub fn sendable(&mut self, bytes: &[u8], answer: impl FnOnce() -> OwnAnswer) -> usize {
        if self.reset_left > 0 {
            return bytes.len().min(self.reset_left);
        }
        if self.answers == MOST_ANSWERS || self.settings.has_shrunk_table {
            return bytes.len();
        }
        let rest_of_head = self.frames.rest_of_head();
        if rest_of_head > 0 {
            // Where the next frame begins is known once this one's head is complete.
            return bytes.len().min(rest_of_head);
        }
        match self.frames.unanswered_reset(bytes) {
            None => bytes.len(),
            Some((0, stream)) => {
                self.unsent = answer().frames(stream, self.settings.least_window);
                self.reset_left = RESET_BYTES;
                self.answers += 1;
                RESET_BYTES
            }
            Some((before, _)) => before,
        }
    }

    /// Whether an answer was inserted whose reset is not sent yet.
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.reset_left > 0
    }

    /// The bytes of an inserted answer that must be sent before anything else.
    #[must_use]
    pub fn unsent(&self) -> Bytes {
        self.unsent.clone()
    }

    /// Records that so many bytes of [`Resets::unsent`] were sent.
    pub fn advance(&mut self, bytes: usize) {
        self.unsent.advance(bytes);
    }

    /// Follows bytes of the library that were sent, and calls `blame` with the error code of each reset of a stream or
    /// connection that blames the client (RFC 9113, section 7) and for which no answer was inserted. Returns whether
    /// any of the bytes are of a body.
    pub fn follow(&mut self, bytes: &[u8], mut blame: impl FnMut(u32)) -> bool {
        // No more than that reset was sendable.
        let is_answered = self.is_answering();
        self.reset_left = self.reset_left.saturating_sub(bytes.len());
        self.frames.follow(bytes, |code| {
            if !is_answered {
                blame(code);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnAnswer {
        OwnAnswer {
            status: StatusCode::BAD_REQUEST,
            request_id: "id-1".into(),
            body: Bytes::from_static(b"{}"),
        }
    }

    const WINDOW: u32 = 65_535;

    #[test]
    fn a_client_gets_no_more_than_it_takes() {
        let (whole, bare) = (own().frames(1, 2), own().frames(1, 1));
        assert!(whole.ends_with(b"{}"));
        // The last frame is empty and ends the stream.
        assert!(bare.ends_with(&[0, 0, 0, 0, 1, 0, 0, 0, 1]));
        let mut resets = Resets::default();
        resets.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0");
        assert_eq!(resets.sendable(&reset(1, 1), own), reset(1, 1).len());
        assert!(resets.unsent().is_empty());
    }

    fn reset(stream: u8, code: u8) -> Vec<u8> {
        vec![0, 0, 4, 3, 0, 0, 0, 0, stream, 0, 0, 0, code]
    }

    /// What is sent if the connection takes so many bytes at a time, and the codes that are blamed.
    fn sent(library: &[u8], most: usize) -> (Vec<u8>, Vec<u32>) {
        let (mut resets, mut sent, mut blamed) = (Resets::default(), Vec::new(), Vec::new());
        let mut rest = library;
        while !rest.is_empty() {
            let sendable = resets.sendable(rest, own);
            while !resets.unsent().is_empty() {
                let unsent = resets.unsent();
                let part = &unsent[..unsent.len().min(most)];
                sent.extend_from_slice(part);
                resets.advance(part.len());
            }
            let (part, left) = rest.split_at(sendable.min(most));
            resets.follow(part, |code| blamed.push(code));
            sent.extend_from_slice(part);
            rest = left;
        }
        (sent, blamed)
    }

    #[test]
    fn an_answer_comes_before_the_reset_of_a_broken_request() {
        let settings = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        let library = [&settings[..], &reset(1, 1), &reset(3, 7), &reset(5, 1)].concat();
        let expected = [
            &settings[..],
            &own().frames(1, WINDOW),
            &reset(1, 1),
            &reset(3, 7),
            &own().frames(5, WINDOW),
            &reset(5, 1),
        ]
        .concat();
        for most in [1, 5, 13, 1000] {
            let (sent, blamed) = sent(&library, most);
            assert_eq!(sent, expected, "{most} bytes at a time");
            assert_eq!(blamed, [7], "{most} bytes at a time");
        }
    }

    #[test]
    fn so_many_are_answered_and_later_ones_are_bare() {
        let resets: Vec<u8> = (0..40).flat_map(|n| reset(2 * n + 1, 1)).collect();
        let (sent, blamed) = sent(&resets, 1000);
        let answers = MOST_ANSWERS * own().frames(1, WINDOW).len();
        assert_eq!(sent.len(), resets.len() + answers);
        assert_eq!(blamed, [1; 8]);
    }
}
