//! For whom a proxy sends a request.

use std::net::{IpAddr, SocketAddr};

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The last address in `X-Forwarded-For`, or without it in `Forwarded` (RFC 7239), that is no trusted proxy's own: each
/// proxy adds whom it saw at the end, and what stands before that may be anyone's invention.
pub(crate) fn client(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let (name, read): (_, fn(&str) -> Option<IpAddr>) = if headers.contains_key(X_FORWARDED_FOR) {
        (X_FORWARDED_FOR, address)
    } else {
        (FORWARDED, forwarded_for)
    };
    let mut known = None;
    for line in headers.get_all(name).iter().rev() {
        for element in line.to_str().unwrap_or_default().rsplit(',') {
            let Some(address) = read(element.trim()) else {
                return known;
            };
            known = Some(address);
            if !is_trusted(address) {
                return known;
            }
        }
    }
    known
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut parameters = element
        .split(';')
        .filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(value.trim().trim_matches('"'))
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// As a proxy says it.
    fn said(name: &'static str, value: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static(value);
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn the_last_address_that_is_no_proxy_s_counts() {
        let cases = [
            (
                "x-forwarded-for",
                "203.0.113.9, 198.51.100.7, 127.0.0.1",
                "198.51.100.7",
            ),
            ("x-forwarded-for", "203.0.113.1:40001", "203.0.113.1"),
            ("x-forwarded-for", "[2001:db8::1]:4000", "2001:db8::1"),
            ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            ("x-forwarded-for", "unknown, 127.0.0.1", "127.0.0.1"),
            ("forwarded", "for=203.0.113.1;proto=http", "203.0.113.1"),
            (
                "forwarded",
                "For=\"[2001:db8::1]:80\", for=127.0.0.1",
                "2001:db8::1",
            ),
        ];
        for (name, value, expected) in cases {
            let found = client(&said(name, value), |address| address.is_loopback());
            assert_eq!(found, expected.parse().ok(), "{name}: {value}");
        }
        for nothing in ["unknown", "", "for", "for=_hidden"] {
            assert_eq!(client(&said("forwarded", nothing), |_| false), None);
        }
    }
}
