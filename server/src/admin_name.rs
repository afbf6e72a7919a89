//! The host names that requests to an admin listener may be for.
//!
//! A web page can make its own name resolve to the address of a machine, and then read what a browser on that machine
//! fetches from there. It can't do that with an address or with `localhost`.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

/// Whether `host`, without a port, is an address, `localhost`, or one of the names that were configured.
#[must_use]
pub fn is_known(host: &str, configured: &[String]) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || configured
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
}

/// Whether a request was sent by a web page that the listener did not serve. Somebody on the same machine may have such
/// a page open.
#[must_use]
pub fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let origin = headers.get(ORIGIN);
    origin.is_some_and(|origin| !is_own_origin(origin.as_bytes(), host))
}

/// Whether this `Origin` is the listener's own, so that it served the page: origin and `Host` are the same.
fn is_own_origin(origin: &[u8], host: Option<&[u8]>) -> bool {
    let own = origin.strip_prefix(b"http://");
    own.is_some() && own == host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_listener_are_its_own() {
        let host = Some(&b"127.0.0.1:5100"[..]);
        assert!(is_own_origin(b"http://127.0.0.1:5100", host));
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:5100",
        ] {
            assert!(!is_own_origin(origin.as_bytes(), host), "{origin}");
        }
        assert!(!is_own_origin(b"http://127.0.0.1:5100", None));
    }

    #[test]
    fn programs_send_no_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:5100"));
        assert!(!is_from_elsewhere(&headers));
        headers.insert(ORIGIN, HeaderValue::from_static("http://127.0.0.1:5100"));
        assert!(!is_from_elsewhere(&headers));
        headers.insert(ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(is_from_elsewhere(&headers));
    }

    #[test]
    fn names_that_a_page_can_take_are_not_known() {
        let configured = ["Host-A".to_owned()];
        for host in ["127.0.0.1", "[::1]", "LOCALHOST", "host-a"] {
            assert!(is_known(host, &configured), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "[::1", "", "["] {
            assert!(!is_known(host, &configured), "{host}");
        }
    }
}
