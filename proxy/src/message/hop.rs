//! What ends with one hop (RFC 9110, section 7.6.1). Pingora ends it in requests; this does so in answers.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_http::ResponseHeader;

/// Standard fields for the next hop only. Pingora sets `Connection` itself.
const NEXT_HOP: [&str; 4] = [
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "upgrade",
];

/// Removes from an answer what its upstream meant for this proxy only.
pub(crate) fn end_hop(response: &mut ResponseHeader) {
    let named: Vec<HeaderName> = response
        .headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|option| option.trim().parse().ok())
        .filter(|name| *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING)
        .collect();
    for name in &named {
        response.remove_header(name);
    }
    for name in NEXT_HOP {
        response.remove_header(name);
    }
}

/// HTTP/1.0 has no chunks (RFC 9112, section 6.1). Says whether the answer was to come in some: its length is unknown
/// then, and it ends with the connection.
pub(crate) fn remove_chunks(response: &mut ResponseHeader) -> bool {
    response.remove_header(&TRANSFER_ENCODING).is_some()
}
