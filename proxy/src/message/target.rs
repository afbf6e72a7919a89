//! A request's target and host in one form, for routes and cache keys. Upstreams get both unchanged.

use std::borrow::Cow;

/// Longest target that can be parsed, because `http::Uri` counts positions in 16 bits.
pub(crate) const LONGEST: usize = u16::MAX as usize - 1;

/// The target with its percent-encodings in one form: decoded where possible, and capital digits elsewhere (RFC 3986,
/// sections 6.2.2.1 and 6.2.2.2). Empty segments and dots stay, as the servers behind may distinguish them.
pub(crate) fn normal(target: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', target).is_none() {
        return Cow::Borrowed(target);
    }
    let mut normal = Vec::with_capacity(target.len());
    let mut rest = target;
    while let [first, after @ ..] = rest {
        let encoded = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let Some((high, low)) = encoded else {
            normal.push(*first);
            rest = after;
            continue;
        };
        match high << 4 | low {
            byte if is_unreserved(byte) => normal.push(byte),
            _ => normal.extend([
                b'%',
                rest[1].to_ascii_uppercase(),
                rest[2].to_ascii_uppercase(),
            ]),
        }
        rest = &rest[3..];
    }
    Cow::Owned(normal)
}

/// The host without its port, and without the dot at the end of a fully qualified name (RFC 1034, section 3.1).
pub(crate) fn host_name(host: &str) -> &str {
    let name = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether the path equals the prefix or is below it.
pub(crate) fn begins_with(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

/// Whether a byte need not be percent-encoded (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Whether all bytes may stand in a target of path and query, by the rules of pingora and of the servers behind. A
/// target with characters that must be percent-encoded is refused here, in the proxy's own words (RFC 9112, section
/// 3.2).
pub(crate) fn is_readable(target: &[u8]) -> bool {
    let query = memchr::memchr(b'?', target).unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    let readable = |byte: u8, not: &[u8]| byte.is_ascii_graphic() && !not.contains(&byte);
    path.iter().all(|&byte| readable(byte, b"#<>`"))
        && query.iter().all(|&byte| readable(byte, b"#<>\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_come_in_one_form() {
        for (given, expected) in [
            ("/orders/7", "/orders/7"),
            ("/%6Frders/%37?%61=%7e", "/orders/7?a=~"),
            ("/a%2fb%C3%a9", "/a%2Fb%C3%A9"),
            ("//a/./../b//", "//a/./../b//"),
            ("/%zz%4", "/%zz%4"),
            ("/%252e", "/%252e"),
        ] {
            assert_eq!(*normal(given.as_bytes()), *expected.as_bytes(), "{given}");
        }
    }

    #[test]
    fn a_host_is_its_name() {
        for (given, expected) in [
            ("shop", "shop"),
            ("shop:8080", "shop"),
            ("shop.example.", "shop.example"),
            ("shop.example.:8080", "shop.example"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host_name(given), expected);
        }
    }

    /// Pingora would refuse a target that it can't parse with an answer of its own.
    #[test]
    fn what_is_readable_can_be_parsed() {
        for byte in 0..=u8::MAX {
            for before in ["/a", "/a?b="] {
                let target = [before.as_bytes(), &[byte], b"c"].concat();
                let parsed = pingora_http::RequestHeader::build("GET", &target, None);
                assert!(parsed.is_ok() || !is_readable(&target), "{before}{byte:#x}");
            }
        }
        assert!(is_readable(b"/a|b^c{d}[e]?f=`|{g}"));
        for target in ["/a\"b?c=\"", "/<", "/?>", "/`", "/a b", "/a#b"] {
            assert!(!is_readable(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(begins_with(b"/orders/7", b"/orders"));
        assert!(begins_with(b"/orders", b"/orders"));
        assert!(begins_with(b"*", b""));
        assert!(!begins_with(b"/ordersheet", b"/orders"));
        assert!(!begins_with(b"//orders/7", b"/orders"));
    }
}
