//! What ends with one hop (RFC 9110, section 7.6.1). Pingora ends it in requests; this does so in answers.

use http::HeaderName;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

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

/// HTTP/1.0 has no chunks (RFC 9112, section 6.1): an answer of unknown length ends with the connection.
pub(crate) fn without_chunks(session: &mut Session, response: &mut ResponseHeader) {
    if response.remove_header(&TRANSFER_ENCODING).is_some() {
        session.set_keepalive(None);
    }
}
