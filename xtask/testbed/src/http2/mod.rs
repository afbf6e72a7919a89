//! A corpus of HTTP/2 connections as raw frames: what a server must serve, refuse or end (RFC 9113).
//!
//! Host and proxy are judged by the same cases. A case is everything that a client sends on one connection; [`judge`]
//! sends it and says what is wrong with the server's reaction. What the server did behind its front, the caller has to
//! check.

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
pub use hpack::{Field, block, fields, request_for};

/// The path of the requests that a server may serve.
pub const INTENDED: &str = "/in";

/// One connection.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about the case, with the section of the RFC.
    pub name: &'static str,
    /// All bytes that the client sends, including the preface.
    pub bytes: Vec<u8>,
    /// How the server must react.
    pub expect: Expect,
    /// The stream whose end [`judge`] waits for.
    stream: u32,
}

/// How the server must react to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The request is served.
    Served,
    /// The request is not served: it is answered with a problem, its stream is reset, or the connection ends.
    Refused,
    /// The request is answered with a problem of this status.
    Problem(u16),
    /// The request is served or refused: the RFC leaves it open, or allows servers to ignore the error.
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

/// A case whose request is served.
fn served(name: &'static str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    case(name, Expect::Served, frames)
}

/// A case whose request is refused.
fn refused(name: &'static str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    case(name, Expect::Refused, frames)
}

/// A case whose request is served or refused.
fn either(name: &'static str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    case(name, Expect::Either, frames)
}

/// A case whose connection ends.
fn ended(name: &'static str, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    case(name, Expect::Ended, frames)
}

/// A case that begins correctly: preface and settings, then `frames`.
fn case(name: &'static str, expect: Expect, frames: impl IntoIterator<Item = Vec<u8>>) -> Case {
    let mut bytes = [PREFACE, &settings(&[])].concat();
    bytes.extend(frames.into_iter().flatten());
    raw(name, expect, bytes)
}

/// A case of exactly these bytes.
fn raw(name: &'static str, expect: Expect, bytes: Vec<u8>) -> Case {
    Case {
        name,
        bytes,
        expect,
        stream: 1,
    }
}

impl Case {
    /// Changes the stream by which the case is judged.
    fn on_stream(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }
}

/// A complete GET without a body, on this stream.
fn get(stream: u32) -> Vec<u8> {
    let block = hpack::block(&hpack::request("GET", &[]));
    frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// The head of a POST on the first stream; its body is still to come.
fn post_head() -> Vec<u8> {
    let block = hpack::block(&hpack::request("POST", &[]));
    frame(kind::HEADERS, END_HEADERS, 1, &block)
}

/// A part of a body on the first stream, which goes on.
fn more_data(body: &[u8]) -> Vec<u8> {
    frame(kind::DATA, 0, 1, body)
}

/// The last part of a body on the first stream.
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
