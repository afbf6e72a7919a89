//! What may be answered from the cache, what may be kept in it, and on which terms: RFC 9111, RFC 9213, RFC 5861.

use std::time::{Duration, SystemTime};

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, ETAG, IF_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, PRAGMA, RANGE, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use pingora_cache::CacheMeta;
use pingora_cache::cache_control::{CacheControl, DirectiveKey};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::Use;
use super::changes::Counts;
use super::directives::Directives;
use super::key;
use super::lifetime::{age, freshness};
use crate::config;
use crate::message::hop;
use crate::message::request_id::REQUEST_ID;

/// Statuses whose meaning for caches we know (RFC 9111, section 5.2.2.3).
const UNDERSTOOD: [u16; 14] = [
    200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
];

/// Whether the request may be answered from the cache.
pub(super) fn use_for(request: &RequestHeader, settings: &config::Cache) -> Use {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Use::None;
    }
    let headers = &request.headers;
    // Answers for one person (RFC 9111, section 3.5, and cookies), and conditions other than those that the cache checks.
    let beyond = [COOKIE, IF_MATCH, IF_UNMODIFIED_SINCE, TRANSFER_ENCODING];
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|l| l != "0");
    let bypasses = has_body
        || beyond.iter().any(|name| headers.contains_key(name))
        || (headers.contains_key(AUTHORIZATION) && !settings.authorized)
        || (headers.contains_key(RANGE) && !(settings.ranges && is_one_range(request)))
        || wants_news(headers);
    if bypasses { Use::Bypass } else { Use::Full }
}

/// Whether the request asks for one range of bytes, on no condition that only its server can judge. Several would cost
/// more than they are worth: each is sent with headers of its own.
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

/// Whether the text is `bytes=1-2`, `bytes=1-` or `bytes=-2`, in numbers that can be counted with (RFC 9110, section 14.1).
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

/// Whether the client asks for an answer from its origin (RFC 9111, sections 5.2.1 and 5.4).
fn wants_news(headers: &HeaderMap) -> bool {
    if headers.contains_key(CACHE_CONTROL) {
        let control = CacheControl::from_headers_named(CACHE_CONTROL.as_str(), headers);
        return control.is_none_or(|control| {
            control.no_cache() || control.no_store() || matches!(control.max_age(), Ok(Some(0)))
        });
    }
    headers.get(PRAGMA).is_some_and(|value| value == "no-cache")
}

/// How long an answer may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// When it was as new as it says.
    made: SystemTime,
    fresh_until: SystemTime,
    /// After that, while a request fetches another one.
    stale_while_revalidate: u32,
    /// After that, while no other is to be had.
    stale_if_error: u32,
}

/// The terms on which an answer to this request, sent at `asked`, may be kept; none if it may not.
pub(super) fn terms(
    request: &RequestHeader,
    answer: &ResponseHeader,
    asked: SystemTime,
    settings: &config::Cache,
) -> Option<Terms> {
    let headers = &answer.headers;
    let control = Directives::of(headers);
    if !may_keep(request, answer, &control, settings) {
        return None;
    }
    // Its age counts from when it was asked for, as it may have been made at once (RFC 9111, section 4.2.3).
    let made = asked.checked_sub(age(headers))?;
    let validated =
        settings.revalidate && (headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED));
    if control.has(&DirectiveKey::NoCache) {
        return validated.then(|| Terms::never_fresh(made));
    }
    let fresh = freshness(answer.status, headers, &control, asked, settings)?;
    let may_be_stale = ![
        DirectiveKey::SMaxAge,
        DirectiveKey::MustRevalidate,
        DirectiveKey::ProxyRevalidate,
    ]
    .iter()
    .any(|key| control.has(key));
    let stale = |seconds: Option<Result<Option<u32>>>| match seconds {
        Some(Ok(Some(seconds))) if may_be_stale => seconds,
        _ => 0,
    };
    let directives = control.cache_control();
    let terms = Terms {
        made,
        fresh_until: made + fresh,
        stale_while_revalidate: stale(directives.map(CacheControl::stale_while_revalidate)),
        stale_if_error: stale(directives.map(CacheControl::stale_if_error)),
    };
    (terms.used_until() > SystemTime::now() || validated).then_some(terms)
}

/// Whether caches that many share may keep the answer at all (RFC 9111, section 3).
fn may_keep(
    request: &RequestHeader,
    answer: &ResponseHeader,
    control: &Directives,
    settings: &config::Cache,
) -> bool {
    let headers = &answer.headers;
    let for_all = !request.headers.contains_key(AUTHORIZATION)
        || [
            DirectiveKey::Public,
            DirectiveKey::SMaxAge,
            DirectiveKey::MustRevalidate,
        ]
        .iter()
        .any(|key| control.has(key));
    let understood = UNDERSTOOD.contains(&answer.status.as_u16());
    // Nobody knows what a name that can't be read stands for; `*` stands for all.
    let is_for_some = key::varied(headers).any(|name| name.is_none_or(|name| name == "*"));
    keeps_status(answer.status, settings)
        && for_all
        && !headers.contains_key(SET_COOKIE)
        && !is_for_some
        && !control.has(&DirectiveKey::NoStore)
        && !control.has(&DirectiveKey::Private)
        && (understood || !control.has(&DirectiveKey::MustUnderstand))
}

/// Parts of answers, and answers about what a client has, are nobody else's.
fn keeps_status(status: StatusCode, settings: &config::Cache) -> bool {
    let only_here = [
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::PRECONDITION_FAILED,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ];
    let other = settings.other_statuses && !status.is_informational();
    status == StatusCode::OK || (other && !only_here.contains(&status))
}

impl Terms {
    /// Its server is asked each time before it is used.
    fn never_fresh(made: SystemTime) -> Self {
        Self {
            made,
            // Even in the moment in which it is kept.
            fresh_until: made.checked_sub(Duration::from_secs(1)).unwrap_or(made),
            stale_while_revalidate: 0,
            stale_if_error: 0,
        }
    }

    fn used_until(&self) -> SystemTime {
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        self.fresh_until + Duration::from_secs(stale.into())
    }

    /// What is kept beside the body.
    pub(super) fn meta(&self, answer: &ResponseHeader, counts: Counts) -> CacheMeta {
        let mut head = answer.clone();
        hop::end_hop(&mut head);
        head.remove_header(&REQUEST_ID);
        let mut meta = CacheMeta::new(
            self.fresh_until,
            SystemTime::now(),
            self.stale_while_revalidate,
            self.stale_if_error,
            head,
        );
        meta.set_epoch_override(self.made);
        meta.extensions_mut().insert(counts);
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(method: &str, headers: &[(&'static str, &'static str)]) -> Use {
        wish_with(method, headers, &config::Cache::default())
    }

    fn wish_with(
        method: &str,
        headers: &[(&'static str, &'static str)],
        settings: &config::Cache,
    ) -> Use {
        let mut request = RequestHeader::build(method, b"/", None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        use_for(&request, settings)
    }

    fn kept(headers: &[(&'static str, &'static str)]) -> Option<(u64, u32, u32)> {
        kept_with(200, headers, &[], &config::Cache::default())
    }

    fn kept_with(
        status: u16,
        headers: &[(&'static str, &'static str)],
        asked_with: &[(&'static str, &'static str)],
        settings: &config::Cache,
    ) -> Option<(u64, u32, u32)> {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        for (name, value) in asked_with {
            request.append_header(*name, *value).expect("a header");
        }
        let mut answer = ResponseHeader::build(status, None).expect("an answer");
        for (name, value) in headers {
            answer.append_header(*name, *value).expect("a header");
        }
        let now = SystemTime::now();
        let terms = terms(&request, &answer, now, settings)?;
        let left = terms.fresh_until.duration_since(now);
        let left = left.unwrap_or_default().as_secs();
        Some((left, terms.stale_while_revalidate, terms.stale_if_error))
    }

    #[test]
    fn reads_use_the_cache_unless_they_ask_for_more() {
        assert_eq!(wish("GET", &[]), Use::Full);
        assert_eq!(wish("HEAD", &[("cache-control", "max-age=5")]), Use::Full);
        assert_eq!(wish("GET", &[("if-none-match", "\"x\"")]), Use::Full);
        assert_eq!(wish("POST", &[]), Use::None);
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
        ] {
            assert_eq!(wish("GET", &[header]), Use::Bypass, "{header:?}");
        }
    }

    #[test]
    fn only_what_says_how_long_is_kept() {
        assert_eq!(kept(&[]), None);
        for never in [
            "no-store, max-age=9",
            "no-cache, max-age=9",
            "private, max-age=9",
            "private=\"x-a\", max-age=9",
            "no-cache=\"x-a\", max-age=9",
            "must-understand, no-store, max-age=9",
            "max-age=0",
            "max-age=soon",
            "public",
        ] {
            assert_eq!(kept(&[("cache-control", never)]), None, "{never}");
        }
        assert_eq!(kept(&[("cache-control", "max-age=9")]), Some((9, 0, 0)));
        assert_eq!(
            kept(&[("cache-control", "max-age=0, s-maxage=9")]),
            Some((9, 0, 0))
        );
        let plain = ("cache-control", "max-age=9");
        assert_eq!(kept(&[plain, ("set-cookie", "a=b")]), None);
        assert_eq!(kept(&[plain, ("vary", "accept, *")]), None);
        assert_eq!(kept(&[plain, ("vary", "accept")]), Some((9, 0, 0)));
        assert_eq!(kept(&[plain, ("vary", "accept, ,")]), Some((9, 0, 0)));
        for unreadable in [
            "accept language",
            "accept, \"a\"",
            "accept; a=b",
            "x-l\u{e4}nge",
        ] {
            assert_eq!(kept(&[plain, ("vary", unreadable)]), None, "{unreadable}");
        }
        assert_eq!(kept(&[plain, ("age", "4")]), Some((5, 0, 0)));
        assert_eq!(kept(&[plain, ("age", "9")]), None);
    }

    #[test]
    fn what_is_said_to_caches_of_our_own_goes_before() {
        let others = ("cache-control", "no-store");
        assert_eq!(
            kept(&[others, ("cdn-cache-control", "max-age=7")]),
            Some((7, 0, 0))
        );
        let others = ("cache-control", "max-age=9");
        assert_eq!(kept(&[others, ("cdn-cache-control", "no-store")]), None);
    }

    #[test]
    fn stale_answers_are_allowed_unless_another_word_forbids_them() {
        let stale = "stale-while-revalidate=2, stale-if-error=3";
        let with = |word: &str| {
            let value: &'static str = format!("{word}, {stale}").leak();
            kept(&[("cache-control", value)])
        };
        assert_eq!(with("max-age=9"), Some((9, 2, 3)));
        assert_eq!(with("max-age=0"), Some((0, 2, 3)));
        assert_eq!(with("s-maxage=9"), Some((9, 0, 0)));
        assert_eq!(with("max-age=9, must-revalidate"), Some((9, 0, 0)));
    }

    #[test]
    fn one_range_is_cut_from_what_is_kept_if_it_may_be() {
        let open = config::Cache::opened();
        for (expected, headers) in [
            (Use::Full, [("range", "bytes=0-1")].as_slice()),
            (Use::Full, &[("range", "Bytes=-2")]),
            (Use::Full, &[("range", "bytes=2-"), ("if-range", "\"x\"")]),
            (Use::Bypass, &[("range", "bytes=0-1,3-4")]),
            (
                Use::Bypass,
                &[("range", "bytes=0-1"), ("range", "bytes=3-4")],
            ),
            (Use::Bypass, &[("range", "lines=0-1")]),
            (Use::Bypass, &[("range", "bytes=")]),
            (Use::Bypass, &[("range", "bytes=-")]),
            (Use::Bypass, &[("range", "bytes=3-2")]),
            (Use::Bypass, &[("range", "bytes=+1-2")]),
            (Use::Bypass, &[("range", "bytes=99999999999999999999-5")]),
            (Use::Bypass, &[("range", "bytes=5-99999999999999999999")]),
            (
                Use::Bypass,
                &[("range", "bytes=2-"), ("if-range", "W/\"x\"")],
            ),
        ] {
            assert_eq!(wish_with("GET", headers, &open), expected, "{headers:?}");
            assert_eq!(wish("GET", headers), Use::Bypass, "{headers:?}");
        }
        let range = [("range", "bytes=0-1")];
        assert_eq!(wish_with("HEAD", &range, &open), Use::Bypass);
    }

    #[test]
    fn answers_to_known_users_are_for_all_only_if_they_say_so() {
        let (open, known) = (config::Cache::opened(), [("authorization", "Bearer x")]);
        assert_eq!(wish_with("GET", &known, &open), Use::Full);
        let kept = |control| {
            let headers = [("cache-control", control)];
            kept_with(200, &headers, &known, &open).is_some()
        };
        for open in [
            "public, max-age=9",
            "s-maxage=9",
            "max-age=9, must-revalidate",
        ] {
            assert!(kept(open), "{open}");
        }
        for closed in ["max-age=9", "private, s-maxage=9", "max-age=9, immutable"] {
            assert!(!kept(closed), "{closed}");
        }
        let cookie = [("cookie", "a=b")];
        assert_eq!(wish_with("GET", &cookie, &open), Use::Bypass);
    }

    #[test]
    fn other_statuses_are_kept_if_they_may_be() {
        let fresh = [("cache-control", "max-age=9")];
        let default = config::Cache::default();
        for status in [203, 204, 301, 302, 404, 410, 500, 503, 599] {
            assert_eq!(kept_with(status, &fresh, &[], &default), None, "{status}");
            let found = kept_with(status, &fresh, &[], &config::Cache::opened());
            assert_eq!(found, Some((9, 0, 0)), "{status}");
        }
        for status in [100, 103, 206, 304, 412, 416] {
            assert_eq!(
                kept_with(status, &fresh, &[], &config::Cache::opened()),
                None,
                "{status}"
            );
        }
        let said = [("cache-control", "max-age=9, must-understand")];
        assert_eq!(kept_with(599, &said, &[], &config::Cache::opened()), None);
        assert_eq!(
            kept_with(404, &said, &[], &config::Cache::opened()),
            Some((9, 0, 0))
        );
    }

    #[test]
    fn what_must_be_asked_about_each_time_is_kept_with_a_validator_if_it_may_be() {
        let no_cache = ("cache-control", "no-cache, max-age=9, stale-if-error=9");
        let tag = ("etag", "\"x\"");
        let default = config::Cache::default();
        assert_eq!(kept_with(200, &[no_cache, tag], &[], &default), None);
        assert_eq!(
            kept_with(200, &[no_cache], &[], &config::Cache::opened()),
            None
        );
        let found = kept_with(200, &[no_cache, tag], &[], &config::Cache::opened());
        assert_eq!(found, Some((0, 0, 0)));
        let old = [("cache-control", "max-age=0"), tag];
        assert_eq!(
            kept_with(200, &old, &[], &config::Cache::opened()),
            Some((0, 0, 0))
        );
        assert_eq!(kept_with(200, &old, &[], &default), None);
    }
}
