//! The client's end of an exchange, whatever version of HTTP it speaks.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};

use crate::message::answer_head::AnswerHead;
use crate::message::problem::Problem;

/// What the proxy says itself in the head of an answer.
pub(crate) struct OwnFields<'a> {
    pub(crate) id: &'a HeaderValue,
    /// Names the trace, if answers are to.
    pub(crate) trace: Option<&'a (HeaderName, HeaderValue)>,
}

/// Where a request comes from and its answer goes to. What is put is sent by the next [`Client::flush`], and not before.
pub(crate) trait Client: Send {
    /// The version of HTTP, as the log names it.
    const HTTP_VERSION: &'static str;

    /// Adds the whole body of the request, of so many bytes, to `to`.
    ///
    /// # Errors
    /// The client left.
    fn read_body(
        &mut self,
        length: usize,
        to: &mut BytesMut,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Forgets what was put and not sent, as another upstream is asked.
    fn forget(&mut self);

    /// Puts the head of the answer, or of an informational one before it.
    ///
    /// # Errors
    /// It can't be said in the client's version of HTTP.
    fn put_head(&mut self, head: &AnswerHead<'_>, own: &OwnFields<'_>) -> Result<(), &'static str>;

    /// Puts the next part of the answer's body, as the upstream means it: without any framing. The last one may be empty.
    fn put_body(&mut self, part: BytesMut, is_last: bool);

    /// Puts an answer of the proxy's own, where no other has begun. Says how many bytes its body has.
    fn put_problem(&mut self, problem: &Problem, own: &OwnFields<'_>, head_only: bool) -> u64;

    /// Sends what was put. Whether the client took it in time.
    fn flush(&mut self, limit: Duration) -> impl Future<Output = bool> + Send;

    /// Ends once the client has left. May be dropped at any time.
    fn left(&mut self) -> impl Future<Output = ()> + Send;
}
