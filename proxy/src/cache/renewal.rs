//! How a 304 updates the answer that it confirms (RFC 9111, sections 3.2 and 4.3.4).

use http::HeaderName;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use super::directives::TARGETED;
use super::outcome::STATUS;
use crate::message::hop;
use crate::message::request_id::REQUEST_ID;

/// Headers that a 304 does not update: those that describe the kept body or how it was found, and those that concern
/// one client or one connection only.
const UNCHANGED: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    HeaderName::from_static("content-md5"),
    CONTENT_RANGE,
    ETAG,
    SET_COOKIE,
    TRANSFER_ENCODING,
    VARY,
    STATUS,
    REQUEST_ID,
];

/// The kept head, updated with the fields of the 304.
///
/// # Errors
/// A header can't be written. This never happens, as all headers here have arrived in a message.
pub(super) fn renewed(kept: &ResponseHeader, said: &ResponseHeader) -> Result<ResponseHeader> {
    let mut head = kept.clone();
    let mut said = said.clone();
    hop::end_hop(&mut said);
    // The old `Age` counts from the old answer.
    head.remove_header(&AGE);
    // An old `CDN-Cache-Control` must not outlive a new `Cache-Control`.
    if said.headers.contains_key(CACHE_CONTROL) {
        head.remove_header(TARGETED);
    }
    for name in said.headers.keys() {
        if UNCHANGED.contains(name) {
            continue;
        }
        head.remove_header(name);
        for value in said.headers.get_all(name) {
            head.append_header(name, value)?;
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&'static str, &'static str)]) -> ResponseHeader {
        let mut head = ResponseHeader::build(200, None).expect("a head");
        for (name, value) in lines {
            head.append_header(*name, *value).expect("a header");
        }
        head
    }

    #[test]
    fn a_304_says_anew_what_does_not_describe_the_body() {
        let kept = head(&[
            ("date", "then"),
            ("age", "100"),
            ("content-length", "6"),
            ("etag", "\"one\""),
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-b", "3"),
            ("cdn-cache-control", "max-age=1"),
        ]);
        let said = head(&[
            ("date", "now"),
            ("content-length", "0"),
            ("etag", "\"other\""),
            ("x-a", "4"),
            ("connection", "close, x-c"),
            ("x-c", "5"),
            ("set-cookie", "a=b"),
            ("cache-control", "max-age=9"),
        ]);
        let renewed = renewed(&kept, &said).expect("headers");
        let mut found: Vec<_> = renewed
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        found.sort_unstable();
        let expected = [
            ("cache-control", "max-age=9"),
            ("content-length", "6"),
            ("date", "now"),
            ("etag", "\"one\""),
            ("x-a", "4"),
            ("x-b", "3"),
        ];
        assert_eq!(found, expected);
    }
}
