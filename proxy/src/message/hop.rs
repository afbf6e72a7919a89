//! Fields that end with one hop (RFC 9110, section 7.6.1). Pingora removes them from the requests that it sends; this
//! code removes them from answers.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_http::ResponseHeader;

/// Standard fields of answers for the next hop only. `Connection` is not in the list, as the writer of an answer sets
/// its own.
const NEXT_HOP: [&str; 4] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "upgrade",
];

/// The fields that an answer's `Connection` lines name, except for those that frame its body.
pub(crate) fn named<'a>(
    connection: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a str> {
    let frames_body = |name: &str| {
        [CONTENT_LENGTH, TRANSFER_ENCODING]
            .iter()
            .any(|framing| name.eq_ignore_ascii_case(framing.as_str()))
    };
    connection
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(move |name| !frames_body(name))
}

/// Whether the name alone says that an answer's field is for the next hop. `Connection` is handled elsewhere.
pub(crate) fn is_for_next_hop(name: &[u8]) -> bool {
    NEXT_HOP
        .iter()
        .any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
}

/// Removes the fields that an upstream meant for this proxy only.
pub(crate) fn end_hop(response: &mut ResponseHeader) {
    let lines = response.headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = named(lines.map(|value| value.as_bytes()))
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in &named {
        response.remove_header(name);
    }
    for name in NEXT_HOP {
        response.remove_header(name);
    }
}

/// Removes `Transfer-Encoding`, as HTTP/1.0 has no chunks (RFC 9112, section 6.1). Returns whether the field was there:
/// then the length of the body is unknown, and the body ends with the connection.
pub(crate) fn remove_chunks(response: &mut ResponseHeader) -> bool {
    response.remove_header(&TRANSFER_ENCODING).is_some()
}
