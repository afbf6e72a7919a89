//! The client's end of an exchange, for any version of HTTP.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};

use crate::message::answer_head::AnswerHead;
use crate::message::problem::Problem;

/// The fields that the proxy adds to the head of an answer.
pub(crate) struct OwnFields<'a> {
    pub(crate) id: &'a HeaderValue,
    /// The field that names the trace, if answers name it.
    pub(crate) trace: Option<&'a (HeaderName, HeaderValue)>,
}

/// Where a request comes from and its answer goes to. The `put_` functions only collect: [`Client::flush`] sends.
pub(crate) trait Client: Send {
    /// The version of HTTP, as the access log names it.
    const HTTP_VERSION: &'static str;

    /// Appends the whole body of the request, `length` bytes, to `to`.
    ///
    /// # Errors
    /// The client left.
    fn read_body(
        &mut self,
        length: usize,
        to: &mut BytesMut,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Discards what was put and not sent, because another upstream is asked.
    fn forget(&mut self);

    /// Puts the head of the answer, or of an informational answer before it.
    ///
    /// # Errors
    /// The client's version of HTTP has no way to write the head.
    fn put_head(&mut self, head: &AnswerHead<'_>, own: &OwnFields<'_>) -> Result<(), &'static str>;

    /// Puts the next part of the answer's body, without framing. The last part may be empty.
    fn put_body(&mut self, part: BytesMut, is_last: bool);

    /// Puts the proxy's own answer, if no other answer has begun. Returns the number of bytes in its body.
    fn put_problem(&mut self, problem: &Problem, own: &OwnFields<'_>, head_only: bool) -> u64;

    /// Sends what was put. Returns whether the client took it within `limit`.
    fn flush(&mut self, limit: Duration) -> impl Future<Output = bool> + Send;

    /// Ends once the client has left. The future may be dropped at any time.
    fn left(&mut self) -> impl Future<Output = ()> + Send;
}
