//! A corpus of HTTP/2 connections as raw frames: what a server must serve, refuse or end (RFC 9113).
//!
//! Host and proxy are judged by the same cases. A case is everything a client sends on one connection; [`judge`] sends it
//! and says what is wrong with what came back. What the server did with the request behind its front is for the
//! caller to check.

mod connection;
mod exchange;
mod frames;
mod hpack;
mod messages;
mod streams;

pub use exchange::{Outcome, judge};
pub use frames::{
    END_HEADERS, END_STREAM, PREFACE, ReceivedFrame, frame, kind, reset, settings, window_update,
};
pub use hpack::{Field, block, fields};

/// The path of the requests that a server may serve.
pub const INTENDED: &str = "/in";

/// One connection.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it, and where the rule stands.
    pub name: &'static str,
    /// All that the client sends, its preface included.
    pub bytes: Vec<u8>,
    /// What must come of it.
    pub expect: Expect,
    /// The stream whose end is awaited.
    stream: u32,
}

/// What must come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The request is served.
    Served,
    /// The request is not served: it is answered with a problem, its stream is reset, or the connection ends.
    Refused,
    /// The request is answered with a problem of this status.
    Problem(u16),
    /// Either served or refused: the RFC leaves it open, or allows to ignore what is wrong.
    Either,
    /// The connection ends, by GOAWAY with an error or at once. Whether the request was served first doesn't matter.
    Ended,
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let mut cases = connection::cases();
    cases.extend(hpack::cases());
    cases.extend(streams::cases());
    cases.extend(messages::cases());
    cases
}

/// A case that begins well: preface and settings, then `frames`.
fn case(name: &'static str, expect: Expect, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    let mut bytes = [PREFACE, &settings(&[])].concat();
    bytes.extend(frames.into_iter().flatten());
    raw(name, expect, bytes)
}

/// A case of these bytes alone.
fn raw(name: &'static str, expect: Expect, bytes: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        bytes: bytes.into(),
        expect,
        stream: 1,
    }
}

/// The same, judged by what becomes of another stream than the first.
fn on_stream(stream: u32, mut case: Case) -> Case {
    case.stream = stream;
    case
}

/// A GET without a body, whole, on this stream.
fn get(stream: u32) -> Vec<u8> {
    let block = hpack::block(&hpack::request("GET", &[]));
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// The head of a POST whose body is still to come, on the first stream.
fn post_head() -> Vec<u8> {
    let block = hpack::block(&hpack::request("POST", &[]));
    frame(kind::HEADERS, END_HEADERS, 1, &block)
}

/// The last of a body on the first stream.
fn last_data(body: &[u8]) -> Vec<u8> {
    frame(kind::DATA, END_STREAM, 1, body)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::cases;

    #[test]
    fn there_are_enough_cases_and_no_two_have_the_same_name() {
        let cases = cases();
        let names: HashSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 60, "{}", cases.len());
    }
}
