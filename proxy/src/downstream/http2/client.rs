//! A client that speaks HTTP/2, for the direct way: one stream.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{DATE, TRANSFER_ENCODING};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_timeout::timeout;

use super::body::{next_part, send_part};
use super::refuse;
use crate::message::answer_head::{AnswerHead, put_value};
use crate::message::problem::Problem;
use crate::message::request_id::REQUEST_ID;
use crate::request::direct::{Client, OwnFields};

/// The client of one request.
pub(super) struct Http2Client {
    body: RecvStream,
    respond: SendResponse<Bytes>,
    /// Present once the answer's head was sent.
    answer: Option<SendStream<Bytes>>,
    /// The answer's head that was put and not sent.
    head: Option<Response<()>>,
    part: BytesMut,
    /// Whether `part` is the end of the answer.
    is_last: bool,
}

impl Http2Client {
    pub(super) fn new(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        Self {
            body,
            respond,
            answer: None,
            head: None,
            part: BytesMut::new(),
            is_last: false,
        }
    }

    /// Resets the stream, so that the client knows that its answer is incomplete.
    pub(super) fn abort(&mut self) {
        self.respond.send_reset(Reason::INTERNAL_ERROR);
    }

    async fn send(&mut self) -> Result<(), h2::Error> {
        let part = std::mem::take(&mut self.part).freeze();
        if let Some(head) = self.head.take() {
            let ends = self.is_last && part.is_empty();
            self.answer = Some(self.respond.send_response(head, ends)?);
            if ends {
                return Ok(());
            }
        }
        match &mut self.answer {
            Some(answer) if self.is_last || !part.is_empty() => {
                send_part(answer, part, self.is_last, &mut 0).await
            }
            _ => Ok(()),
        }
    }
}

impl Client for Http2Client {
    const HTTP_VERSION: &'static str = "2";

    async fn read_body(&mut self, length: usize, to: &mut BytesMut) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let part = next_part(&mut self.body).await.map_err(io::Error::other)?;
            // `h2` makes sure that the body has as many bytes as were announced.
            let part = part.ok_or(io::ErrorKind::UnexpectedEof)?;
            to.extend_from_slice(&part);
            left = left.saturating_sub(part.len());
        }
        Ok(())
    }

    fn forget(&mut self) {
        (self.head, self.part, self.is_last) = (None, BytesMut::new(), false);
    }

    fn put_head(&mut self, head: &AnswerHead<'_>, own: &OwnFields<'_>) -> Result<(), &'static str> {
        if head.is_informational() {
            // No client waits for `100 Continue`: the body has come before an upstream is asked.
            return Ok(());
        }
        let mut answer = Response::new(());
        *answer.status_mut() =
            StatusCode::from_u16(head.status).map_err(|_| "its status is invalid")?;
        let fields = answer.headers_mut();
        fields.reserve(head.fields() + 2);
        for (name, value) in head.fields_that_go_on() {
            let name = HeaderName::from_bytes(name).map_err(|_| "a field's name is invalid")?;
            if name != TRANSFER_ENCODING && name != REQUEST_ID {
                fields.append(name, field_value(value)?);
            }
        }
        if !fields.contains_key(DATE) {
            fields.insert(DATE, get_cached_date());
        }
        fields.insert(REQUEST_ID, own.id.clone());
        if let Some((name, value)) = own.trace {
            fields.append(name, value.clone());
        }
        self.head = Some(answer);
        Ok(())
    }

    fn put_body(&mut self, part: BytesMut, is_last: bool) {
        match self.part.is_empty() {
            true => self.part = part,
            false => self.part.extend_from_slice(&part),
        }
        self.is_last = is_last;
    }

    fn put_problem(&mut self, problem: &Problem, own: &OwnFields<'_>, head_only: bool) -> u64 {
        // An error means that the client is gone.
        refuse::send(&mut self.respond, problem, own, head_only).unwrap_or(0)
    }

    async fn flush(&mut self, limit: Duration) -> bool {
        matches!(timeout(limit, self.send()).await, Ok(Ok(())))
    }

    async fn left(&mut self) {
        // A reset and an error both mean that the client is gone.
        _ = match &mut self.answer {
            Some(answer) => poll_fn(|cx| answer.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
    }
}

/// Reads a field's value. A folded value becomes one line.
fn field_value(value: &[u8]) -> Result<HeaderValue, &'static str> {
    let value = HeaderValue::from_bytes(value).or_else(|_| {
        let mut line = BytesMut::with_capacity(value.len());
        put_value(&mut line, value);
        HeaderValue::from_bytes(&line)
    });
    value.map_err(|_| "a field's value is invalid")
}
