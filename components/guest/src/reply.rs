//! Responses: complete ones with a `Content-Length`, and streamed ones.

use bytes::Bytes;
use futures::stream::{LocalBoxStream, Stream, StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use serde::Serialize;
use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::http::types::{ErrorCode, Response};
use store_domain::freshness::Freshness;

use crate::{Request, caching, conditional, response};

/// A response that has not been handed to the host yet.
pub struct Reply {
    status: StatusCode,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Body,
}

enum Body {
    Absent,
    Full(Bytes),
    Streamed(LocalBoxStream<'static, Result<Frame<Bytes>, response::BoxError>>),
}

impl Reply {
    /// A JSON response.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Only a map whose keys are not strings, or a `Serialize` that fails, could make this fail; the store has
        // neither.
        let mut body = serde_json::to_vec(value).expect("the store's answers are always JSON");
        // The body may stay in memory for long, until its client has read it.
        body.shrink_to_fit();
        Self::finished_json(status, body)
    }

    /// A response from JSON text.
    pub fn finished_json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![],
            body: Body::Full(body.into()),
        }
        .with_header("content-type", "application/json")
    }

    /// A JSON response with status 200. It is produced while it is sent, no faster than the client reads. If the stream
    /// fails, the response breaks off in a way that the client notices, and the cause is logged.
    pub fn streamed_json<E>(chunks: impl Stream<Item = Result<Bytes, E>> + 'static) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let frames = chunks
            .inspect_err(|error| crate::log(format_args!("response broken off: {error}")))
            .map(|chunk| chunk.map(Frame::data).map_err(Into::into));
        Self {
            status: StatusCode::OK,
            headers: vec![],
            body: Body::Streamed(frames.boxed_local()),
        }
        .with_header("content-type", "application/json")
    }

    /// The answer to a DELETE: 200 if something was deleted, 404 otherwise.
    pub fn deleted(deleted: bool) -> Self {
        #[derive(Serialize)]
        struct Deletion {
            deleted: bool,
        }
        let status = if deleted {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        Self::json(status, &Deletion { deleted })
    }

    /// Sets a header, and replaces an earlier value.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.remove_header(name);
        self.headers.push((name, value.into()));
        self
    }

    fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(set, _)| *set != name);
    }

    /// Adds the headers that tell caches how long they may keep the answer, and an entity tag for conditional requests.
    #[must_use]
    pub fn with_freshness(self, freshness: Freshness) -> Self {
        let tag = self.full_body().map(conditional::entity_tag);
        let words = caching::words(freshness);
        let reply = self
            .with_header("cache-control", words.for_everybody)
            .with_header("cdn-cache-control", words.for_our_own);
        match tag {
            Some(tag) => reply.with_header("etag", tag),
            None => reply,
        }
    }

    /// Becomes a 304 without a body if the client already has this answer; otherwise stays unchanged.
    #[must_use]
    pub fn unless_known(mut self, request: &Request) -> Self {
        let known = |tag| conditional::is_known(&request.header("if-none-match"), tag);
        if self.header("etag").is_some_and(known) {
            self.status = StatusCode::NOT_MODIFIED;
            self.remove_header("content-type");
            self.body = Body::Absent;
        }
        self
    }

    /// The response in the host's type.
    ///
    /// # Errors
    /// If the host refuses a header.
    pub(crate) fn into_response(mut self) -> Result<Response, ErrorCode> {
        self.set_content_length();
        match self.body {
            Body::Absent => response::without_body(self.status, self.headers),
            Body::Full(body) => response::finished(self.status, self.headers, body),
            Body::Streamed(frames) => response::streamed(self.status, self.headers, frames),
        }
    }

    /// The same response to HEAD: every header, `Content-Length` included, and no body.
    ///
    /// # Errors
    /// If the host refuses a header.
    pub(crate) fn into_head_response(mut self) -> Result<Response, ErrorCode> {
        self.set_content_length();
        response::without_body(self.status, self.headers)
    }

    /// Without this header the host would send the body in chunks.
    fn set_content_length(&mut self) {
        if let Some(body) = self.full_body() {
            let length = body.len().to_string();
            self.headers.push(("content-length", length.into()));
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(set, _)| *set == name)?;
        Some(value)
    }

    pub(crate) fn full_body(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Full(bytes) => Some(bytes),
            Body::Absent | Body::Streamed(_) => None,
        }
    }
}
