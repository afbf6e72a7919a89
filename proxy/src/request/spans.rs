//! The trace of a request and of its tries.

use std::time::Instant;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora_http::RequestHeader;
use store_server::trace::{
    Ids, Kind, Span, TRACEPARENT, TRACESTATE, Tracing, known_method, method_in_name, traceparent,
};

use crate::upstream::Upstream;

/// The spans of one request. All are empty if tracing is off.
#[derive(Default)]
pub(crate) struct RequestSpans {
    /// The whole request.
    pub(crate) root: Span,
    /// The field that names the trace in the answer, if answers name it.
    pub(crate) line: Option<(HeaderName, HeaderValue)>,
    method: &'static str,
    /// The current try.
    pub(crate) attempt: Span,
    /// Why the last try failed, which is why there is another.
    retry: Option<&'static str>,
    tries: i64,
}

/// The facts about a request that its trace names.
pub(crate) struct RequestFacts<'a> {
    pub(crate) began: Instant,
    pub(crate) method: &'a Method,
    /// The version of HTTP.
    pub(crate) version: &'static str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) is_trusted: bool,
    pub(crate) https: bool,
}

impl RequestSpans {
    /// The spans of a request that has just come.
    pub(crate) fn begin(tracing: &Tracing, asked: &RequestFacts<'_>) -> Self {
        if !tracing.is_on() {
            return Self::default();
        }
        let method = known_method(asked.method);
        let name = method_in_name(method);
        let mut root = tracing.request(name, asked.began, asked.headers, asked.is_trusted);
        root.ask(method, asked.method, scheme(asked.https), asked.version);
        Self {
            line: tracing.answer_line(root.ids()),
            root,
            method,
            ..Self::default()
        }
    }

    /// Begins a try at `upstream`, as of `began`.
    pub(crate) fn begin_try(&mut self, upstream: &Upstream, began: Instant) {
        if !self.root.is_on() {
            return;
        }
        let name = method_in_name(self.method);
        let place = self.root.inside();
        let mut attempt = place.span_at(name, Kind::Client, began);
        attempt.share(&upstream.description);
        attempt.set("http.request.method", self.method);
        if self.tries > 0 {
            attempt.set("http.request.resend_count", self.tries);
        }
        if let Some(why) = self.retry.take() {
            attempt.set("store.retry.reason", why);
        }
        self.tries += 1;
        self.attempt = attempt;
    }

    /// Notes that the upstream began to answer.
    pub(crate) fn answered(&mut self, status: u16) {
        self.attempt.answer(status);
        if status >= 500 {
            self.note_failure();
        }
    }

    /// Notes that the upstream has failed the request, which another one may answer. A host that keeps its part of the
    /// trace does so because it was slow or failed: then the proxy keeps its own, too.
    pub(crate) fn note_failure(&self) {
        self.root.inside().note_failure();
    }

    /// Notes that the try failed.
    pub(crate) fn failed(&mut self, why: &'static str) {
        self.attempt.fail(why);
        self.retry = Some(why);
    }

    /// Ends the try, as of `ended` or now.
    pub(crate) fn end_try(&mut self, ended: Option<Instant>) {
        let attempt = std::mem::take(&mut self.attempt);
        match ended {
            Some(ended) => attempt.end_at(ended),
            None => drop(attempt),
        }
    }

    /// Ends the trace, as of `ended`.
    pub(crate) fn end(&mut self, ended: Instant) {
        std::mem::take(&mut self.root).end_at(ended);
    }

    /// Writes the fields that tell the upstream of its try. If tracing is off, the client's fields go on unchanged.
    pub(crate) fn tell(&self, request: &mut RequestHeader) -> pingora_error::Result<()> {
        let Some(ids) = self.attempt.ids() else {
            return Ok(());
        };
        request.insert_header(TRACEPARENT, traceparent(ids))?;
        match self.root.inside().state() {
            Some(state) => request.insert_header(TRACESTATE, state.clone()),
            None => {
                request.remove_header(&TRACESTATE);
                Ok(())
            }
        }
    }
}

/// The scheme of a client's connection.
pub(crate) fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// Writes the line that names the trace in an answer, if answers name it.
pub(crate) fn put_answer_line(head: &mut BytesMut, tracing: &Tracing, root: Option<Ids>) {
    if let Some((name, value)) = tracing.answer_line(root) {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
}
