//! One HTTP/2 stream as pingora's session. Pingora's own HTTP/2 session has no deadline for a body, and sends data
//! after an answer that must not have any.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, DATE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::HttpTask;
use pingora_core::protocols::http::body_buffer::FixedBuffer;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::date::get_cached_date;
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_error::{Error, ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_timeout::timeout;

use super::body::{next_part, send_part};
use super::head;

/// Most bytes of a body that are kept for another try; pingora keeps as many of an HTTP/1.1 body.
const KEPT_BODY: usize = 64 * 1024;

/// Fields that concern one HTTP/1.1 connection and must not be sent over HTTP/2 (RFC 9113, section 8.2.2).
const OF_CONNECTIONS: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

type Messages = Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>;

/// One request and its answer.
pub(super) struct Session {
    request: RequestHeader,
    body: RecvStream,
    /// Whether the whole body was read.
    is_read: bool,
    body_read: usize,
    body_due: Instant,
    kept: Option<FixedBuffer>,
    respond: SendResponse<Bytes>,
    /// Present once the answer's head was sent.
    answer: Option<SendStream<Bytes>>,
    written: Option<Box<ResponseHeader>>,
    /// Whether the whole answer was sent.
    is_over: bool,
    body_sent: usize,
    write_timeout: Option<Duration>,
    digest: Arc<Digest>,
}

impl Session {
    /// A session for a request with this head, whose whole body must come within `body_timeout`.
    pub(super) fn new(
        request: RequestHeader,
        body: RecvStream,
        respond: SendResponse<Bytes>,
        digest: Arc<Digest>,
        body_timeout: Duration,
    ) -> Self {
        Self {
            request,
            is_read: body.is_end_stream(),
            body,
            body_read: 0,
            body_due: Instant::now() + body_timeout,
            kept: None,
            respond,
            answer: None,
            written: None,
            is_over: false,
            body_sent: 0,
            write_timeout: None,
            digest,
        }
    }

    /// The next part of the body that is not empty; `None` after the last.
    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.is_read {
            return Ok(None);
        }
        let left = self.body_due.saturating_duration_since(Instant::now());
        let next = timeout(left, next_part(&mut self.body)).await;
        let next = next.or_err(ErrorType::ReadTimedout, "the body is late")?;
        let Some(part) = next.or_err(ErrorType::ReadError, "reading the body")? else {
            self.is_read = true;
            return Ok(None);
        };
        self.is_read = self.body.is_end_stream();
        self.body_read += part.len();
        if let Some(kept) = &mut self.kept {
            kept.write_to_buffer(&part);
        }
        Ok(Some(part))
    }

    /// Waits until the client resets the stream or leaves, and returns that as an error.
    async fn abandoned(&mut self) -> Box<Error> {
        let reason = match &mut self.answer {
            Some(answer) => poll_fn(|cx| answer.poll_reset(cx)).await,
            None => poll_fn(|cx| self.respond.poll_reset(cx)).await,
        };
        match reason {
            Ok(reason) => Error::explain(
                ErrorType::ConnectionClosed,
                format!("the client reset the stream: {reason}"),
            ),
            Err(error) => Error::because(ErrorType::ConnectionClosed, "the client left", error),
        }
    }

    fn send_head(&mut self, mut head: Box<ResponseHeader>, end: bool) -> Result<()> {
        if self.is_over || self.written.is_some() {
            return Ok(());
        }
        if head.status.is_informational() {
            return self.send_informational(head.status);
        }
        for name in &OF_CONNECTIONS {
            head.remove_header(name);
        }
        if !head.headers.contains_key(DATE) {
            head.insert_header(DATE, get_cached_date())?;
        }
        let end = end || has_no_body(&self.request.method, head.status);
        let answer = Response::from_parts(head.as_owned_parts(), ());
        let sending = self.respond.send_response(answer, end);
        self.answer = Some(sending.or_err(ErrorType::WriteError, "sending the answer's head")?);
        self.written = Some(head);
        self.is_over = end;
        Ok(())
    }

    /// Passes on `100 Continue`, as clients may wait for it before they send a body, and no other informational answer.
    fn send_informational(&mut self, status: StatusCode) -> Result<()> {
        if status != StatusCode::CONTINUE {
            return Ok(());
        }
        let mut go_on = Response::new(());
        *go_on.status_mut() = status;
        let sent = self.respond.send_informational(go_on);
        sent.or_err(ErrorType::WriteError, "telling the client to go on")
    }

    async fn send_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.is_over {
            // The answer to a HEAD, or one without a body, is over already: drop data that would belong to a GET.
            return Ok(());
        }
        let Some(answer) = &mut self.answer else {
            return Error::e_explain(ErrorType::WriteError, "a body before its head");
        };
        // One deadline for the whole part: a client may open its window by a byte at a time.
        let sending = send_part(answer, data, end, &mut self.body_sent);
        let sent = match self.write_timeout {
            Some(limit) => timeout(limit, sending)
                .await
                .or_err(ErrorType::WriteTimedout, "the answer is not read")?,
            None => sending.await,
        };
        sent.or_err(ErrorType::WriteError, "sending the answer's body")?;
        self.is_over |= end;
        Ok(())
    }

    /// Ends the answer, if it has begun and is not over.
    fn end(&mut self) -> Result<()> {
        if let (false, Some(answer)) = (self.is_over, &mut self.answer) {
            answer
                .send_data(Bytes::new(), true)
                .or_err(ErrorType::WriteError, "ending the answer")?;
            self.is_over = true;
        }
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if let (false, Some(answer)) = (self.is_over, &mut self.answer) {
            answer
                .send_trailers(trailers)
                .or_err(ErrorType::WriteError, "sending trailers")?;
            self.is_over = true;
        }
        Ok(())
    }

    /// Does one of pingora's tasks. Returns whether the answer is over.
    ///
    /// # Errors
    /// An error of the upstream is returned unchanged; an error of the client is marked as one of the downstream.
    async fn do_task(&mut self, task: HttpTask) -> Result<bool> {
        let done = match task {
            HttpTask::Header(head, end) => self.send_head(head, end).map(|()| end),
            HttpTask::Body(Some(data), end) => self.send_body(data, false).await.map(|()| end),
            HttpTask::Body(None, end) => Ok(end),
            HttpTask::Trailer(Some(trailers)) => self.send_trailers(*trailers).map(|()| true),
            HttpTask::Trailer(None) | HttpTask::Done => Ok(true),
            HttpTask::Failed(error) => return Err(error),
            HttpTask::UpgradedBody(..) => {
                Error::e_explain(ErrorType::InternalError, "HTTP/2 has no upgrades")
            }
        };
        done.map_err(Error::into_down)
    }
}

/// Whether an answer has no body (RFC 9110, section 6.4.1).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[async_trait]
impl CustomSession for Session {
    fn req_header(&self) -> &RequestHeader {
        &self.request
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        &mut self.request
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        while self.read().await?.is_some() {}
        Ok(())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.send_head(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.send_head(Box::new(head.clone()), end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.send_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.send_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_over = false;
        for task in tasks {
            is_over |= self.do_task(task).await?;
        }
        if is_over {
            self.end().map_err(Error::into_down)?;
        }
        Ok(is_over)
    }

    // `new` sets one deadline for the whole body.
    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, limit: Option<Duration>) {
        self.write_timeout = limit;
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.write_timeout
    }

    fn set_total_drain_timeout(&mut self, _: Option<Duration>) {}

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        None
    }

    fn request_summary(&self) -> String {
        format!("{} {}", self.request.method, self.request.uri)
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.written.as_deref()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        if !self.is_over {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    fn is_body_done(&mut self) -> bool {
        self.is_read
    }

    async fn finish(&mut self) -> Result<()> {
        self.end()
    }

    fn is_body_empty(&mut self) -> bool {
        self.is_read && self.body_read == 0
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.is_read {
            return Err(self.abandoned().await);
        }
        self.read().await
    }

    fn body_bytes_sent(&self) -> usize {
        self.body_sent
    }

    fn body_bytes_read(&self) -> usize {
        self.body_read
    }

    fn digest(&self) -> Option<&Digest> {
        Some(&self.digest)
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        Arc::get_mut(&mut self.digest)
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.peer_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.digest.socket_digest.as_ref()?.local_addr()
    }

    /// Pingora makes its background requests from this head.
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        head::raw(&self.request).freeze()
    }

    fn enable_retry_buffering(&mut self) {
        self.kept.get_or_insert_with(|| FixedBuffer::new(KEPT_BODY));
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.kept.as_ref().is_some_and(FixedBuffer::is_truncated)
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        let kept = self.kept.as_ref().filter(|kept| !kept.is_truncated())?;
        kept.get_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    // Custom messages beside request and answer: HTTP/2 has none.
    fn take_custom_message_reader(&mut self) -> Option<Messages> {
        None
    }

    fn restore_custom_message_reader(&mut self, _: Messages) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
