//! What may be answered from the cache, what may be kept in it, and for how long: RFC 9111, RFC 9213, RFC 5861.

use std::time::{Duration, SystemTime};

use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, IF_MATCH, IF_UNMODIFIED_SINCE,
    PRAGMA, RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, Method, StatusCode};
use pingora_cache::CacheMeta;
use pingora_cache::cache_control::{CacheControl, DirectiveKey};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::Use;
use super::store::Purges;
use crate::hop;
use crate::request_id::REQUEST_ID;

/// What the store says to caches of its own (RFC 9213). Where it is, `Cache-Control` is meant for others.
const TARGETED: &str = "cdn-cache-control";

/// Longest freshness that is believed, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Whether the request may be answered from the cache.
pub(super) fn use_for(request: &RequestHeader) -> Use {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Use::None;
    }
    let headers = &request.headers;
    // Answers for one person (RFC 9111, section 3.5, and cookies), parts of answers, and conditions other than those
    // that the cache checks.
    let beyond = [
        AUTHORIZATION,
        COOKIE,
        RANGE,
        IF_MATCH,
        IF_UNMODIFIED_SINCE,
        TRANSFER_ENCODING,
    ];
    let has_body = headers.get(CONTENT_LENGTH).is_some_and(|l| l != "0");
    if has_body || beyond.iter().any(|name| headers.contains_key(name)) || wants_news(headers) {
        return Use::Bypass;
    }
    Use::Full
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
    fresh: Duration,
    /// After that, while a request fetches another one.
    stale_while_revalidate: u32,
    /// After that, while no other is to be had.
    stale_if_error: u32,
}

/// The terms on which an answer, asked for at `asked`, may be kept; none if it may not.
pub(super) fn terms(answer: &ResponseHeader, asked: SystemTime) -> Option<Terms> {
    let headers = &answer.headers;
    let varies_by_all = headers
        .get_all(VARY)
        .iter()
        .any(|vary| vary.as_bytes().contains(&b'*'));
    if answer.status != StatusCode::OK || headers.contains_key(SET_COOKIE) || varies_by_all {
        return None;
    }
    let control = CacheControl::from_headers_named(TARGETED, headers)
        .or_else(|| CacheControl::from_headers_named(CACHE_CONTROL.as_str(), headers))?;
    if control.no_store() || control.no_cache() || control.private() {
        return None;
    }
    let shared = control.s_maxage().ok()?;
    let seconds = shared.or(control.max_age().ok()?)?;
    let may_be_stale = !control.has_directive(&DirectiveKey::SMaxAge)
        && !control.must_revalidate()
        && !control.proxy_revalidate();
    let stale = |seconds: Result<Option<u32>>| match seconds {
        Ok(Some(seconds)) if may_be_stale => seconds,
        _ => 0,
    };
    let terms = Terms {
        // Its age counts from when it was asked for, as it may have been made at once (RFC 9111, section 4.2.3).
        made: asked.checked_sub(age(headers))?,
        fresh: Duration::from_secs(seconds.into()).min(LONGEST),
        stale_while_revalidate: stale(control.stale_while_revalidate()),
        stale_if_error: stale(control.stale_if_error()),
    };
    let used_until = terms.made + terms.fresh + Duration::from_secs(terms.longest_stale().into());
    (used_until > SystemTime::now()).then_some(terms)
}

/// Lets what a 304 says to all caches hold for us too, where it says nothing to us: merged into the kept answer, that
/// answer's own word to us would come first.
///
/// # Errors
/// None that a header which has arrived could cause.
pub(crate) fn complete_renewal(answer: &mut ResponseHeader) -> Result<()> {
    if answer.headers.contains_key(TARGETED) {
        return Ok(());
    }
    let lines = answer.headers.get_all(CACHE_CONTROL).iter();
    for line in lines.cloned().collect::<Vec<_>>() {
        answer.append_header(TARGETED, line)?;
    }
    Ok(())
}

fn age(headers: &HeaderMap) -> Duration {
    let age = headers
        .get(AGE)
        .and_then(|age| age.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(age.unwrap_or(0)).min(LONGEST)
}

impl Terms {
    fn longest_stale(&self) -> u32 {
        self.stale_while_revalidate.max(self.stale_if_error)
    }

    /// What is kept beside the body.
    pub(super) fn meta(&self, answer: &ResponseHeader, purges: u64) -> CacheMeta {
        let mut head = answer.clone();
        hop::end_hop(&mut head);
        head.remove_header(&REQUEST_ID);
        let mut meta = CacheMeta::new(
            self.made + self.fresh,
            SystemTime::now(),
            self.stale_while_revalidate,
            self.stale_if_error,
            head,
        );
        meta.set_epoch_override(self.made);
        meta.extensions_mut().insert(Purges(purges));
        meta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(method: &str, headers: &[(&'static str, &'static str)]) -> Use {
        let mut request = RequestHeader::build(method, b"/", None).expect("a request");
        for (name, value) in headers {
            request.append_header(*name, *value).expect("a header");
        }
        use_for(&request)
    }

    fn kept(headers: &[(&'static str, &'static str)]) -> Option<(u64, u32, u32)> {
        let mut answer = ResponseHeader::build(200, None).expect("an answer");
        for (name, value) in headers {
            answer.append_header(*name, *value).expect("a header");
        }
        let now = SystemTime::now();
        let terms = terms(&answer, now)?;
        let left = (terms.made + terms.fresh).duration_since(now);
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
}
