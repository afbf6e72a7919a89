//! Requests: method, path and headers, each read when needed, and bodies within the limit.

use std::cell::{Cell, OnceCell};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use spin_sdk::http::Method;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request as WasiRequest};
use spin_sdk::wasip3::http_compat::IncomingRequestBody;
use store_domain::StoreError;

use crate::{Problem, json, path};

/// The longest body that is read, in bytes. The host has its own limit; this one also holds under plain Spin.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The longest request id that a problem repeats, in bytes.
const MAX_REQUEST_ID_LENGTH: usize = 128;

/// A request whose headers have arrived. Each property costs a call to the host, so it is read only when it is needed;
/// `spin_sdk::http::Request` would read all of them at once.
pub struct Request {
    method: Method,
    path: String,
    headers: OnceCell<Fields>,
    /// `None` once the body is read.
    request: Cell<Option<WasiRequest>>,
}

/// A method that the store knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD, which is routed as GET and loses its body at the end.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// Any other.
    Other,
}

impl Request {
    /// Takes a request over from the host.
    ///
    /// # Errors
    /// If HTTP does not allow the method.
    pub(crate) fn new(request: WasiRequest) -> Result<Self, ErrorCode> {
        let method = Method::try_from(request.get_method());
        let mut path = request.get_path_with_query().unwrap_or_default();
        path.truncate(path.find('?').unwrap_or(path.len()));
        Ok(Self {
            method: method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?,
            path: path::decode_unreserved(path),
            headers: OnceCell::new(),
            request: Cell::new(Some(request)),
        })
    }

    /// The request's method, as routes use it.
    pub fn verb(&self) -> Verb {
        verb(&self.method)
    }

    /// The path, without the query and without needless encoding.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The values of a header, one for each line.
    pub fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.headers().get(name)
    }

    /// The headers, read from the host once. Read them before the body, because reading the body consumes the host's
    /// request.
    fn headers(&self) -> &Fields {
        self.headers.get_or_init(|| {
            let request = self.request.take();
            let headers = request.as_ref().map(WasiRequest::get_headers);
            self.request.set(request);
            headers.unwrap_or_else(Fields::new)
        })
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The request's id as a URN, for a problem's `instance`. Our host always gives an id; under plain Spin a client
    /// may send one.
    pub(crate) fn instance(&self) -> Option<String> {
        let id = self.header("x-request-id").into_iter().next()?;
        let id = String::from_utf8(id).ok()?;
        (1..=MAX_REQUEST_ID_LENGTH)
            .contains(&id.len())
            .then(|| format!("urn:request:{}", encode_in_urn(&id)))
    }

    /// The bytes of the body, whose `Content-Type` must be JSON.
    ///
    /// # Errors
    /// 415 for another media type or coding, 413 over the limit, 400 if the body breaks off.
    pub async fn json_bytes(&self) -> Result<Bytes, Problem> {
        let media_type = self.header("content-type");
        if !media_type.first().is_some_and(|value| is_json(value)) {
            return Err(Problem::UnsupportedMediaType);
        }
        let codings = self.header("content-encoding");
        if !codings.iter().all(|value| is_identity(value)) {
            return Err(Problem::UnsupportedCoding);
        }
        let Some(request) = self.request.take() else {
            return Err(StoreError::Internal("the body was already read".into()).into());
        };
        let body = IncomingRequestBody::new(request);
        read_body(body.map_err(|error| broken_off(&error))?).await
    }

    /// The body, parsed as `T`.
    ///
    /// # Errors
    /// Those of [`Request::json_bytes`], and 400 if the body is not a `T`.
    pub async fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        Ok(json::parse(&self.json_bytes().await?)?)
    }
}

/// Encodes a request id as part of a URN (RFC 8141, section 2): every character with a special meaning is
/// percent-encoded.
fn encode_in_urn(id: &str) -> String {
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => encoded.push(byte.into()),
            plain if b"-._~!$&'()*+,;=:@/".contains(&plain) => encoded.push(plain.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Post,
        Method::DELETE => Verb::Delete,
        _ => Verb::Other,
    }
}

fn is_json(content_type: &[u8]) -> bool {
    content_type
        .split(|&byte| byte == b';')
        .next()
        .is_some_and(|media_type| {
            media_type
                .trim_ascii()
                .eq_ignore_ascii_case(b"application/json")
        })
}

/// Whether the content coding leaves the body as it is (RFC 9110, section 8.4).
fn is_identity(content_encoding: &[u8]) -> bool {
    let mut codings = content_encoding.split(|&byte| byte == b',');
    codings.all(|coding| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    })
}

/// Reads a body piece by piece, so that a body over the limit takes no more memory than the limit.
async fn read_body(
    body: impl Body<Data = Bytes, Error = ErrorCode> + Unpin,
) -> Result<Bytes, Problem> {
    let too_large = Problem::BodyTooLarge {
        limit: MAX_BODY_BYTES,
    };
    // The upper bound is the length announced by `Content-Length`.
    let announced = body.size_hint().upper();
    if announced.is_some_and(|length| length > MAX_BODY_BYTES as u64) {
        return Err(too_large);
    }
    let mut body = body;
    // As many bodies arrive in one instance as it serves requests. Without growing, each takes what it is long.
    let announced = announced.and_then(|length| usize::try_from(length).ok());
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken_off(&error))?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > MAX_BODY_BYTES {
            return Err(too_large);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// The problem of a body that could not be read to its end.
fn broken_off(error: &ErrorCode) -> Problem {
    match error {
        ErrorCode::HttpRequestBodySize(_) => Problem::BodyTooLarge {
            limit: MAX_BODY_BYTES,
        },
        _ => Problem::Store(StoreError::Malformed("the body broke off".into())),
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn read(pieces: Vec<Result<usize, ErrorCode>>) -> Result<usize, Problem> {
        let frames = pieces
            .into_iter()
            .map(|piece| piece.map(|length| Frame::data(Bytes::from(vec![b'x'; length]))));
        block_on(read_body(StreamBody::new(stream::iter(frames)))).map(|bytes| bytes.len())
    }

    #[test]
    fn a_request_id_is_encoded_in_a_urn() {
        for (id, encoded) in [
            ("0b6c7d2e-3c1f", "0b6c7d2e-3c1f"),
            ("a:b@c!", "a:b@c!"),
            ("a|b", "a%7Cb"),
            ("50%/\"<?#", "50%25/%22%3C%3F%23"),
        ] {
            assert_eq!(encode_in_urn(id), encoded);
        }
    }

    #[test]
    fn head_is_routed_as_get() {
        assert_eq!(verb(&Method::HEAD), Verb::Get);
        assert_eq!(verb(&Method::PUT), Verb::Other);
    }

    #[test]
    fn json_may_have_parameters_and_any_case() {
        for (value, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(value.as_bytes()), json, "{value}");
        }
    }

    #[test]
    fn only_identity_is_no_coding() {
        for (value, identity) in [
            ("identity", true),
            ("Identity, ", true),
            ("", true),
            ("gzip", false),
            ("identity, gzip", false),
            ("x-identity", false),
        ] {
            assert_eq!(is_identity(value.as_bytes()), identity, "{value}");
        }
    }

    #[test]
    fn a_body_up_to_the_limit_is_read() {
        assert_eq!(
            read(vec![Ok(MAX_BODY_BYTES - 1), Ok(1)]),
            Ok(MAX_BODY_BYTES)
        );
        assert_eq!(read(vec![]), Ok(0));
    }

    #[test]
    fn a_body_over_the_limit_is_too_large() {
        let too_large = Err(Problem::BodyTooLarge {
            limit: MAX_BODY_BYTES,
        });
        assert_eq!(read(vec![Ok(MAX_BODY_BYTES), Ok(1)]), too_large);
        assert_eq!(
            read(vec![Err(ErrorCode::HttpRequestBodySize(None))]),
            too_large
        );
    }

    #[test]
    fn a_body_that_breaks_off_is_malformed() {
        let broken = read(vec![Ok(1), Err(ErrorCode::ConnectionTerminated)]);
        assert!(matches!(
            broken,
            Err(Problem::Store(StoreError::Malformed(_)))
        ));
    }
}
