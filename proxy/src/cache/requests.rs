//! Decides which requests may be answered from the cache (RFC 9111, sections 3.5 and 5.2.1, and RFC 9110, section 14).

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, COOKIE, IF_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, PRAGMA, RANGE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, Method};
use pingora_cache::cache_control::CacheControl;
use pingora_http::RequestHeader;

use crate::config;
use crate::message::{hop, plain};

/// How one request uses the cache of its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CacheUse {
    /// The group has no cache, or the request's method can't be answered from one.
    #[default]
    None,
    /// The request asks for something that the cache could not give.
    Bypass,
    /// The answer may come from the cache, and may be kept there.
    Full,
}

/// Whether the request may be answered from the cache.
pub(super) fn use_for(request: &RequestHeader, settings: &config::Cache) -> CacheUse {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return CacheUse::None;
    }
    let headers = &request.headers;
    // Requests for one person (cookies; RFC 9111, section 3.5, says the same of `Authorization`), with conditions that
    // the cache does not check, or with a body.
    let beyond = [COOKIE, IF_MATCH, IF_UNMODIFIED_SINCE, TRANSFER_ENCODING];
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|l| l != "0");
    let bypasses = has_body
        || beyond.iter().any(|name| headers.contains_key(name))
        || (headers.contains_key(AUTHORIZATION) && !settings.authorized)
        || (headers.contains_key(RANGE) && !(settings.ranges && is_one_range(request)))
        || wants_news(headers)
        || keeps_fields_back(headers);
    if bypasses {
        CacheUse::Bypass
    } else {
        CacheUse::Full
    }
}

/// Whether the request asks for one range of bytes, without a condition that only its server can judge. Several ranges
/// would cost more than they are worth: each is sent with headers of its own.
fn is_one_range(request: &RequestHeader) -> bool {
    let only = |name: &HeaderName| {
        let mut lines = request.headers.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none())
    };
    let one = only(&RANGE).is_some_and(|range| is_one_range_of_bytes(range.as_bytes()));
    // A weak tag never confirms that two bodies have the same bytes (RFC 9110, section 13.1.5).
    let strong = only(&IF_RANGE).is_some_and(|condition| !condition.as_bytes().starts_with(b"W/"));
    request.method == Method::GET && one && (strong || !request.headers.contains_key(IF_RANGE))
}

/// Whether the text is `bytes=1-2`, `bytes=1-` or `bytes=-2`, with numbers that fit into 32 bits (RFC 9110, section
/// 14.1).
fn is_one_range_of_bytes(range: &[u8]) -> bool {
    let parse = || {
        let (unit, spec) = range.split_at_checked(6)?;
        let (first, last) = std::str::from_utf8(spec).ok()?.split_once('-')?;
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().ok())
        };
        let in_order = match (number(first)?, number(last)?) {
            (Some(first), Some(last)) => first <= last,
            (Some(_), None) => last.is_empty(),
            (None, Some(_)) => first.is_empty(),
            (None, None) => false,
        };
        Some(unit.eq_ignore_ascii_case(b"bytes=") && in_order)
    };
    parse().unwrap_or(false)
}

/// Whether `Connection` names fields that would otherwise go on to the server (RFC 9110, section 7.6.1). The server
/// does not see them, so its answer does not fit requests that have them.
fn keeps_fields_back(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter();
    let mut named = hop::named(lines.map(|line| line.as_bytes()));
    named
        .any(|name| !name.is_empty() && !name.eq_ignore_ascii_case("close") && plain::goes_on(name))
}

/// Whether the client asks for an answer from the origin (RFC 9111, sections 5.2.1 and 5.4).
fn wants_news(headers: &HeaderMap) -> bool {
    if headers.contains_key(CACHE_CONTROL) {
        let control = CacheControl::from_headers_named(CACHE_CONTROL.as_str(), headers);
        return control.is_none_or(|control| {
            control.no_cache() || control.no_store() || matches!(control.max_age(), Ok(Some(0)))
        });
    }
    headers.get(PRAGMA).is_some_and(|value| value == "no-cache")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(method: &str, headers: &[(&'static str, &'static str)]) -> CacheUse {
        wish_with(method, headers, &config::Cache::default())
    }

    fn wish_with(
        method: &str,
        headers: &[(&'static str, &'static str)],
        settings: &config::Cache,
    ) -> CacheUse {
        let mut request = RequestHeader::build(method, b"/", None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        use_for(&request, settings)
    }

    #[test]
    fn reads_use_the_cache_unless_they_ask_for_more() {
        assert_eq!(wish("GET", &[]), CacheUse::Full);
        assert_eq!(
            wish("HEAD", &[("cache-control", "max-age=5")]),
            CacheUse::Full
        );
        assert_eq!(wish("GET", &[("if-none-match", "\"x\"")]), CacheUse::Full);
        assert_eq!(wish("POST", &[]), CacheUse::None);
        for header in [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("range", "bytes=0-1"),
            ("if-match", "\"x\""),
            ("content-length", "3"),
            ("cache-control", "no-cache"),
            ("cache-control", "no-store"),
            ("cache-control", "max-age=0"),
            ("pragma", "no-cache"),
            ("connection", "close, Accept-Language"),
        ] {
            assert_eq!(wish("GET", &[header]), CacheUse::Bypass, "{header:?}");
        }
        for hop in ["close", "Keep-Alive, TE", "Upgrade, HTTP2-Settings"] {
            assert_eq!(wish("GET", &[("connection", hop)]), CacheUse::Full, "{hop}");
        }
    }

    #[test]
    fn one_range_is_cut_from_what_is_kept_if_it_may_be() {
        let open = config::Cache::opened();
        for (expected, headers) in [
            (CacheUse::Full, [("range", "bytes=0-1")].as_slice()),
            (CacheUse::Full, &[("range", "Bytes=-2")]),
            (
                CacheUse::Full,
                &[("range", "bytes=2-"), ("if-range", "\"x\"")],
            ),
            (CacheUse::Bypass, &[("range", "bytes=0-1,3-4")]),
            (
                CacheUse::Bypass,
                &[("range", "bytes=0-1"), ("range", "bytes=3-4")],
            ),
            (CacheUse::Bypass, &[("range", "lines=0-1")]),
            (CacheUse::Bypass, &[("range", "bytes=")]),
            (CacheUse::Bypass, &[("range", "bytes=-")]),
            (CacheUse::Bypass, &[("range", "bytes=3-2")]),
            (CacheUse::Bypass, &[("range", "bytes=+1-2")]),
            (
                CacheUse::Bypass,
                &[("range", "bytes=99999999999999999999-5")],
            ),
            (
                CacheUse::Bypass,
                &[("range", "bytes=5-99999999999999999999")],
            ),
            (
                CacheUse::Bypass,
                &[("range", "bytes=2-"), ("if-range", "W/\"x\"")],
            ),
        ] {
            assert_eq!(wish_with("GET", headers, &open), expected, "{headers:?}");
            assert_eq!(wish("GET", headers), CacheUse::Bypass, "{headers:?}");
        }
        let range = [("range", "bytes=0-1")];
        assert_eq!(wish_with("HEAD", &range, &open), CacheUse::Bypass);
    }

    #[test]
    fn known_users_use_the_cache_if_they_may_and_cookies_never() {
        let open = config::Cache::opened();
        let known = [("authorization", "Bearer x")];
        assert_eq!(wish_with("GET", &known, &open), CacheUse::Full);
        let cookie = [("cookie", "a=b")];
        assert_eq!(wish_with("GET", &cookie, &open), CacheUse::Bypass);
    }
}
