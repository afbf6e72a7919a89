//! Responses: complete ones, which say their length, and streamed ones.

use bytes::Bytes;
use futures::stream::{LocalBoxStream, Stream, StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use http_body_util::StreamBody;
use serde::Serialize;
use spin_sdk::http::{HeaderMap, HeaderName, HeaderValue, IntoResponse as _, StatusCode};
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};
use store_domain::freshness::Freshness;

use crate::{Request, caching, conditional, finished};

const CACHE_CONTROL: HeaderName = HeaderName::from_static("cache-control");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const ETAG: HeaderName = HeaderName::from_static("etag");

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A response before it is handed to the host.
pub struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

enum Body {
    Absent,
    Full(Bytes),
    Streamed(LocalBoxStream<'static, Result<Frame<Bytes>, BoxError>>),
}

impl Reply {
    /// A JSON response.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Only maps with keys that are no strings, or a `Serialize` that fails, could break this; the store has neither.
        let body = serde_json::to_vec(value).expect("the store's answers are always JSON");
        Self::finished_json(status, body)
    }

    /// A JSON response that is already written.
    pub fn finished_json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Full(body.into()),
        }
        .with_header("content-type", "application/json")
    }

    /// A JSON response with status 200 that is written as it is sent, no faster than the client reads. If the stream
    /// fails, the response breaks off in a way that the client notices, and the log says why.
    pub fn streamed_json<E>(chunks: impl Stream<Item = Result<Bytes, E>> + 'static) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let frames = chunks
            .inspect_err(|error| crate::log(format_args!("response broken off: {error}")))
            .map(|chunk| chunk.map(Frame::data).map_err(Into::into));
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Body::Streamed(frames.boxed_local()),
        }
        .with_header("content-type", "application/json")
    }

    /// The answer to a DELETE: whether there was something to delete.
    pub fn deleted(deleted: bool) -> Self {
        #[derive(Serialize)]
        struct Deleted {
            deleted: bool,
        }
        let status = if deleted {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        Self::json(status, &Deleted { deleted })
    }

    /// Sets a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self
    }

    /// Says how long caches may keep it, and gives it a tag to ask about it by.
    #[must_use]
    pub fn with_freshness(mut self, freshness: Freshness) -> Self {
        self.headers
            .insert(CACHE_CONTROL, caching::for_everybody(freshness));
        self.headers
            .insert(CDN_CACHE_CONTROL, caching::for_our_own(freshness));
        if let Body::Full(body) = &self.body {
            self.headers.insert(ETAG, conditional::entity_tag(body));
        }
        self
    }

    /// 304 if whoever asks has it already, otherwise itself.
    #[must_use]
    pub fn unless_known(mut self, request: &Request) -> Self {
        let tag = self.headers.get(ETAG);
        if tag.is_some_and(|tag| conditional::is_known(request.headers(), tag)) {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove("content-type");
            self.body = Body::Absent;
        }
        self
    }

    /// The response as the host wants it.
    ///
    /// # Errors
    /// If the host refuses a header.
    pub(crate) fn into_response(mut self) -> Result<Response, ErrorCode> {
        self.set_content_length();
        let body = match self.body {
            Body::Absent => return self.into_head_response(),
            Body::Full(bytes) => return finished::response(self.status, self.headers, bytes),
            Body::Streamed(frames) => StreamBody::new(frames),
        };
        (self.status, self.headers, body).into_response()
    }

    /// The same response to HEAD: every header, `Content-Length` included, and no body.
    ///
    /// # Errors
    /// If the host refuses a header.
    pub(crate) fn into_head_response(mut self) -> Result<Response, ErrorCode> {
        self.set_content_length();
        let fields = Fields::try_from(self.headers)
            .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        // A body that was there but empty would contradict `Content-Length`, and the host checks that.
        let (writer, trailers) = spin_sdk::wasip3::wit_future::new(|| Ok(None));
        drop(writer);
        let (response, _sent) = Response::new(fields, None, trailers);
        // Fails only for what is no status code, and `StatusCode` always is one.
        let _ = response.set_status_code(self.status.as_u16());
        Ok(response)
    }

    /// Without it the host would send the body in chunks.
    fn set_content_length(&mut self) {
        if let Body::Full(bytes) = &self.body {
            self.headers.insert(
                HeaderName::from_static("content-length"),
                HeaderValue::from(bytes.len()),
            );
        }
    }
}

#[cfg(test)]
impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn full_body(&self) -> &[u8] {
        match &self.body {
            Body::Full(bytes) => bytes,
            Body::Absent | Body::Streamed(_) => panic!("there is no finished body"),
        }
    }
}
