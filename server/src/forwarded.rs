//! Finds the client for which earlier proxies sent a request, by the request's headers.

use std::net::IpAddr;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

pub use crate::elements::elements;

/// The header that most proxies write; `Forwarded` is newer.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client that trusted proxies name, or `None` if no client is named. Each proxy appends the address that it saw,
/// and anyone may have invented what comes before that. So the client is the first of the [`addresses`] that
/// `is_trusted` does not accept, or the last one if it accepts all.
pub fn client(headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut client = None;
    for before in addresses(headers) {
        client = Some(before);
        if !is_trusted(before) {
            break;
        }
    }
    client
}

/// The addresses that earlier proxies list, with the nearest first, up to an entry that is no address.
pub fn addresses(headers: &HeaderMap) -> impl Iterator<Item = IpAddr> {
    nodes(headers).into_iter().rev().map_while(|node| node)
}

/// The addresses that `X-Forwarded-For`, or else `Forwarded` (RFC 7239), lists, with the nearest last. An entry that is
/// no address is `None`.
fn nodes(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let nodes = headers.get_all(X_FORWARDED_FOR).iter().flat_map(|line| {
        // What can't be read is no address. An empty element doesn't count (RFC 9110, section 5.6.1.2).
        let nodes = line.to_str().unwrap_or("?").split(',').map(str::trim);
        nodes.filter(|node| !node.is_empty()).map(address)
    });
    let nodes: Vec<_> = nodes.collect();
    if !nodes.is_empty() {
        return nodes;
    }
    let lines = headers.get_all(FORWARDED).iter();
    lines
        .flat_map(|line| elements(line.as_bytes()).unwrap_or_else(|| vec![None]))
        .map(|node| address(&node?))
        .collect()
}

/// The address of a node, with or without a port. IPv6 addresses may be in brackets (RFC 7239, section 6) or, as some
/// proxies write them, without.
fn address(node: &str) -> Option<IpAddr> {
    let (ip, port) = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None if node.matches(':').count() == 1 => node.split_at(node.find(':')?),
        None => (node, ""),
    };
    // A port may be a name, to hide its number.
    let is_port = |port: &str| {
        port.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let port = if port.is_empty() {
        Some("")
    } else {
        port.strip_prefix(':')
    };
    let parsed: IpAddr = port.filter(|port| is_port(port)).and(ip.parse().ok())?;
    Some(parsed.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The client that proxies in 10.0.0.0/8 name.
    fn named(name: &'static str, value: &'static str) -> Option<String> {
        let value = HeaderValue::from_static(value);
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
        let client = client(&headers, |address| address.to_string().starts_with("10."));
        client.map(|client| client.to_string())
    }

    #[test]
    fn a_client_may_be_named_in_many_ways() {
        for (value, expected) in [
            ("203.0.113.1:40001", Some("203.0.113.1")),
            (
                "198.51.100.7, 203.0.113.1:40001, 10.0.0.2:80",
                Some("203.0.113.1"),
            ),
            ("10.0.0.3, 10.0.0.2", Some("10.0.0.3")),
            ("[2001:db8::1]:4000", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("::ffff:203.0.113.1", Some("203.0.113.1")),
            ("unknown, 10.0.0.2", Some("10.0.0.2")),
            (", 203.0.113.1,", Some("203.0.113.1")),
            ("203.0.113.1:x y", None),
            ("[2001:db8::1]4000", None),
            ("", None),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(named("x-forwarded-for", value), expected, "{value}");
        }
        for (value, expected) in [
            ("for=203.0.113.1", Some("203.0.113.1")),
            (
                "FOR=198.51.100.7, proto=https;For=\"203.0.113.1:40001\" ;by=_x",
                Some("203.0.113.1"),
            ),
            (
                "for=\"[2001:db8::1]:_port\",for=10.0.0.2",
                Some("2001:db8::1"),
            ),
            (", for=203.0.113.1;", Some("203.0.113.1")),
            ("for=198.51.100.7, for=unknown", None),
            ("for=198.51.100.7, for=_hidden", None),
            ("for=198.51.100.7, proto=http", None),
            ("for=\"198.51.100.7", None),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(named("forwarded", value), expected, "{value}");
        }
    }

    #[test]
    fn an_empty_header_hides_nothing_and_an_unreadable_one_does() {
        for (value, expected) in [
            (&b" "[..], Some(IpAddr::from([203, 0, 113, 1]))),
            (b"\xe9", None),
        ] {
            let before = HeaderValue::from_bytes(value).expect("a value");
            let headers = HeaderMap::from_iter([
                (X_FORWARDED_FOR, before),
                (FORWARDED, HeaderValue::from_static("for=203.0.113.1")),
            ]);
            assert_eq!(client(&headers, |_| false), expected, "{value:?}");
        }
    }
}
