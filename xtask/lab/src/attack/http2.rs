//! HTTP/2 as raw frames, so that attackers can send any of them.

use std::collections::HashMap;

use serde_json::Value;
use testbed::http2::{
    END_HEADERS, END_STREAM, Field, PREFACE, ReceivedFrame, block, frame, kind, settings,
    window_update,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::scene::{Attempt, Scene};

/// The connection's window for answers. Large, because no library reads the answers and enlarges the window again.
const ROOM: u32 = 1 << 30;

/// The values of `:status` in the static table (RFC 7541, appendix A), from index 8 on.
const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];

/// Opens a connection on which no request has been sent yet.
pub(super) async fn connect(
    scene: &Scene,
    values: &[(u16, u32)],
) -> std::io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let (reader, mut writer) = scene.connect().await?.into_split();
    let begin = [PREFACE, &settings(values), &window_update(0, ROOM)].concat();
    writer.write_all(&begin).await?;
    Ok((reader, writer))
}

/// A head in one frame, whose body is still to come.
pub(super) fn head(stream: u32, fields: &[Field]) -> Vec<u8> {
    frame(kind::HEADERS, END_HEADERS, stream, &block(fields))
}

/// A request without a body, in one frame.
pub(super) fn whole(stream: u32, fields: &[Field]) -> Vec<u8> {
    frame(
        kind::HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &block(fields),
    )
}

/// Reads until each of these streams has ended, or the connection has.
pub(super) async fn hear(mut reader: OwnedReadHalf, mut attempts: HashMap<u32, Attempt<'_>>) {
    let mut received = Vec::new();
    let mut answers = HashMap::new();
    let mut goaway = None;
    while !attempts.is_empty() {
        let mut rest = &received[..];
        while let Some((frame, after)) = ReceivedFrame::first(rest) {
            rest = after;
            if frame.kind == kind::GOAWAY {
                goaway = goaway.or_else(|| error(frame.payload.get(4..8)?));
            }
            if let Some(said) = answer(&frame, &mut answers)
                && let Some(attempt) = attempts.remove(&frame.stream)
            {
                attempt.told(&said);
            }
        }
        let read = received.len() - rest.len();
        received.drain(..read);
        if !matches!(reader.read_buf(&mut received).await, Ok(1..)) {
            break;
        }
    }
    for attempt in attempts.into_values() {
        attempt.told(if goaway.is_some() { "GOAWAY" } else { "closed" });
    }
}

/// The answer on one stream, as far as it has arrived.
#[derive(Default)]
struct Answer {
    /// The first head, HPACK-encoded.
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Answer {
    /// The status in the body of a problem, or else the status in the head.
    fn status(&self) -> String {
        let problem = serde_json::from_slice::<Value>(&self.body).ok();
        if let Some(status) = problem.and_then(|problem| problem["status"].as_u64()) {
            return status.to_string();
        }
        // Changes of the table's size may come before the status.
        let first = self.head.iter().find(|byte| **byte >> 5 != 1);
        let index = first.and_then(|byte| byte.checked_sub(0x88));
        let known = index.and_then(|index| STATUSES.get(usize::from(index)));
        (*known.unwrap_or(&"another status")).to_owned()
    }
}

/// The outcome of the frame's stream, if the frame ends that stream.
fn answer(frame: &ReceivedFrame<'_>, answers: &mut HashMap<u32, Answer>) -> Option<String> {
    match frame.kind {
        kind::RST_STREAM => return Some("reset".to_owned()),
        kind::HEADERS => {
            let answer = answers.entry(frame.stream).or_default();
            if answer.head.is_empty() {
                answer.head.extend(frame.payload);
            }
        }
        kind::DATA => {
            let answer = answers.entry(frame.stream).or_default();
            answer.body.extend(frame.payload);
        }
        _ => return None,
    }
    if frame.flags & END_STREAM == 0 {
        return None;
    }
    Some(answers.remove(&frame.stream)?.status())
}

/// The error code, or `None` if the code means no error.
fn error(code: &[u8]) -> Option<u32> {
    let code = u32::from_be_bytes(code.try_into().ok()?);
    (code != 0).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_problems_or_the_heads() {
        let status = |head: &[u8], body: &[u8]| {
            let (head, body) = (head.to_vec(), body.to_vec());
            Answer { head, body }.status()
        };
        assert_eq!(status(b"\x88", b"ok"), "200");
        assert_eq!(status(b"\x20\x8d", b""), "404");
        // A head may contain any byte, for example a brace.
        assert_eq!(status(b"\x48\x82\x7b", b"{\"status\":429}"), "429");
        assert_eq!(status(b"\x48\x82", b""), "another status");
    }

    #[test]
    fn an_answer_ends_with_its_stream() {
        let mut answers = HashMap::new();
        let head = frame(kind::HEADERS, END_HEADERS, 1, &[0x8c]);
        let body = frame(kind::DATA, END_STREAM, 1, b"{\"status\":400}");
        let mut said = |bytes: &[u8]| {
            let (frame, _) = ReceivedFrame::first(bytes).expect("a frame");
            answer(&frame, &mut answers)
        };
        assert_eq!(said(&head), None);
        assert_eq!(said(&body), Some("400".to_owned()));
        let reset = testbed::http2::reset(3);
        assert_eq!(said(&reset), Some("reset".to_owned()));
    }
}
