//! Sends a case and reads the server's reaction.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout_at;

use super::frames::{END_STREAM, ReceivedFrame, kind};
use super::{Case, Expect};

/// How long to wait for a reaction that must come: longer than any time limit of a server that a case triggers.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened to a stream or its connection, whichever ended first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stream was answered. Holds the status if it is 200 or is given in a problem, and the body.
    Answered(Option<u16>, String),
    /// The stream was reset with this error code.
    Reset(u32),
    /// The connection was ended with this error code, or without a code.
    Ended(Option<u32>),
    /// Nothing arrived in time.
    Nothing,
}

/// Sends `case` on `connection`. Returns what happened to its request, and what is wrong with that, if anything.
/// `served` is the status of a request that the server serves.
pub async fn judge(
    case: &Case,
    connection: impl AsyncRead + AsyncWrite + Unpin,
    served: u16,
) -> (Outcome, Result<(), String>) {
    let outcome = outcome(case, connection).await;
    let is_served = matches!(&outcome, Outcome::Answered(status, _) if *status == Some(served));
    let is_refused = match &outcome {
        Outcome::Answered(status, _) => !is_served && status.is_none_or(|status| status >= 400),
        Outcome::Reset(_) | Outcome::Ended(_) => true,
        Outcome::Nothing => false,
    };
    let good = match case.expect {
        Expect::Served => is_served,
        Expect::Refused => is_refused,
        Expect::Problem(expected) => {
            matches!(&outcome, Outcome::Answered(Some(status), _) if *status == expected)
        }
        Expect::Either => is_served || is_refused,
        Expect::Ended => matches!(outcome, Outcome::Ended(_)),
    };
    let judged = if good {
        Ok(())
    } else {
        Err(format!(
            "{}: expected {:?}, got {outcome:?}",
            case.name, case.expect
        ))
    };
    (outcome, judged)
}

async fn outcome(case: &Case, connection: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let send = async {
        // A server that has given up doesn't read the rest.
        _ = writer.write_all(&case.bytes).await;
        _ = writer.flush().await;
        std::future::pending::<Outcome>().await
    };
    tokio::select! {
        never = send => never,
        outcome = read(case, &mut reader) => outcome,
    }
}

async fn read(case: &Case, reader: &mut (impl AsyncRead + Unpin)) -> Outcome {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut received = Vec::new();
    loop {
        if let Some(outcome) = so_far(case, &received) {
            return outcome;
        }
        match timeout_at(deadline, reader.read_buf(&mut received)).await {
            Ok(Ok(0) | Err(_)) => return Outcome::Ended(None),
            Ok(Ok(_)) => {}
            Err(_) => return Outcome::Nothing,
        }
    }
}

/// The outcome of the case according to these frames; `None` if more frames are needed.
fn so_far(case: &Case, bytes: &[u8]) -> Option<Outcome> {
    let mut answer = Answer::default();
    for frame in ReceivedFrame::all(bytes) {
        let is_ours = frame.stream == case.stream && case.expect != Expect::Ended;
        match frame.kind {
            kind::GOAWAY => {
                let code = code(frame.payload.get(4..8));
                // A GOAWAY without an error announces the end and lets running requests finish.
                if code != Some(0) {
                    return Some(Outcome::Ended(code));
                }
            }
            kind::RST_STREAM if is_ours => {
                return Some(Outcome::Reset(code(frame.payload.get(..4)).unwrap_or(0)));
            }
            kind::HEADERS | kind::DATA if is_ours => {
                if let Some(outcome) = answer.take(&frame) {
                    return Some(outcome);
                }
            }
            _ => {}
        }
    }
    None
}

/// An answer, as far as it has arrived.
#[derive(Default)]
struct Answer {
    is_200: bool,
    body: Vec<u8>,
}

impl Answer {
    fn take(&mut self, frame: &ReceivedFrame<'_>) -> Option<Outcome> {
        if frame.kind == kind::HEADERS {
            // `:status: 200` as an index into the static table (RFC 7541, appendix A); a change of the table's size may
            // come before it.
            self.is_200 |= frame.payload.iter().find(|byte| **byte >> 5 != 1) == Some(&0x88);
        } else {
            self.body.extend(frame.payload);
        }
        (frame.flags & END_STREAM != 0).then(|| {
            let body = String::from_utf8_lossy(&self.body).into_owned();
            let status = if self.is_200 {
                Some(200)
            } else {
                problem_status(&body)
            };
            Outcome::Answered(status, body)
        })
    }
}

/// The status in the body of a problem (RFC 9457), if the problem has all members that the store's problems have.
fn problem_status(body: &str) -> Option<u16> {
    let problem: serde_json::Value = serde_json::from_str(body).ok()?;
    let texts = ["type", "title", "detail", "instance", "error"];
    if !texts.iter().all(|member| problem[member].is_string()) {
        return None;
    }
    problem["status"].as_u64()?.try_into().ok()
}

fn code(bytes: Option<&[u8]>) -> Option<u32> {
    Some(u32::from_be_bytes(bytes?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frames::{END_HEADERS, frame};
    use crate::http2::{case, get};

    fn heard(expect: Expect, frames: &[Vec<u8>]) -> Option<Outcome> {
        so_far(&case("any", expect, [get(1)]), &frames.concat())
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let head = frame(kind::HEADERS, END_HEADERS, 1, &[0x88]);
        let body = frame(kind::DATA, END_STREAM, 1, b"hello");
        let answered = Outcome::Answered(Some(200), "hello".to_owned());
        assert_eq!(heard(Expect::Served, std::slice::from_ref(&head)), None);
        assert_eq!(heard(Expect::Served, &[head, body]), Some(answered));
    }

    #[test]
    fn a_goaway_without_an_error_is_no_end() {
        let goaway = |code: u8| frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, code]);
        assert_eq!(heard(Expect::Ended, &[goaway(0)]), None);
        let ended = Outcome::Ended(Some(1));
        assert_eq!(heard(Expect::Ended, &[goaway(0), goaway(1)]), Some(ended));
    }
}
