//! How old an answer is, and how long it is fresh (RFC 9111, sections 4.2 and 5).

use std::time::{Duration, SystemTime};

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED, PRAGMA};
use http::{HeaderMap, HeaderName, StatusCode};
use httpdate::parse_http_date;
use pingora_cache::cache_control::DirectiveKey;

use super::directives::Directives;
use crate::config;

/// Longest age and freshness that are accepted, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Statuses that are fresh for a while even if their answer does not say so (RFC 9110, section 15.1), except for 206,
/// which is never kept.
const FRESH_UNSAID: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// How old the answer was when it came, by `Age`. If there are several values, the first counts; a value that is not a
/// number counts as 0 (RFC 9111, section 5.1).
pub(super) fn age(headers: &HeaderMap) -> Duration {
    let first = headers.get(AGE).and_then(|age| {
        let first = age.to_str().ok()?.split(',').next()?.trim();
        let digits = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
        // A number that does not fit means a very old answer.
        digits.then(|| first.parse().unwrap_or(u64::MAX))
    });
    Duration::from_secs(first.unwrap_or(0)).min(LONGEST)
}

/// How long the answer, asked for at `asked`, is fresh, counted from when it was made. `None` if nothing valid says so.
pub(super) fn freshness(
    status: StatusCode,
    headers: &HeaderMap,
    control: &Directives,
    asked: SystemTime,
    settings: &config::Cache,
) -> Option<Duration> {
    if let Some(directives) = control.cache_control() {
        let shared = directives.s_maxage().ok()?;
        if let Some(seconds) = shared.or(directives.max_age().ok()?) {
            return Some(Duration::from_secs(seconds.into()).min(LONGEST));
        }
    }
    if matches!(control, Directives::Targeted(_)) {
        return None;
    }
    let dated = date(headers, &DATE).unwrap_or(asked);
    if headers.contains_key(EXPIRES) {
        return settings.expires.then(|| expires(headers, dated));
    }
    let may_guess = FRESH_UNSAID.contains(&status.as_u16()) || control.has(&DirectiveKey::Public);
    if settings.heuristic_percent == 0 || !may_guess || headers.contains_key(PRAGMA) {
        return None;
    }
    let unchanged = dated.duration_since(date(headers, &LAST_MODIFIED)?).ok()?;
    let guess = unchanged.min(LONGEST) * settings.heuristic_percent / 100;
    Some(guess.min(settings.heuristic_max))
}

/// The time from the answer's date to the moment in `Expires`. An invalid date, or more than one, counts as past (RFC
/// 9111, section 5.3).
fn expires(headers: &HeaderMap, dated: SystemTime) -> Duration {
    let until = date(headers, &EXPIRES).and_then(|until| until.duration_since(dated).ok());
    until.unwrap_or_default().min(LONGEST)
}

/// The date in a header that is present once. Its words may be in any case, as some old servers send them.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let text = line.to_str().ok()?;
    parse_http_date(text)
        .or_else(|_| parse_http_date(&usual_case(text)))
        .ok()
}

/// Puts the words of a date in their usual case, as in `Thu, 18 Aug 2050 02:01:18 GMT`: a capital first, and the zone
/// in capitals.
fn usual_case(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_alphabetic());
    let words = words.map(|word| {
        if word.eq_ignore_ascii_case("gmt") {
            return word.to_ascii_uppercase();
        }
        let mut word = word.to_ascii_lowercase();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn open() -> config::Cache {
        config::Cache {
            expires: true,
            heuristic_percent: 10,
            heuristic_max: Duration::from_secs(DAY),
            ..Default::default()
        }
    }

    fn fresh(
        status: u16,
        lines: &[(&'static str, &'static str)],
        settings: &config::Cache,
    ) -> Option<u64> {
        let headers = headers(lines);
        let status = StatusCode::from_u16(status).expect("a status");
        let control = Directives::of(&headers);
        let now = SystemTime::now();
        freshness(status, &headers, &control, now, settings).map(|fresh| fresh.as_secs())
    }

    const DATED: (&str, &str) = ("date", "Thu, 18 Aug 2050 02:00:00 GMT");

    #[test]
    fn the_first_of_several_ages_counts() {
        for (value, expected) in [
            ("7", 7),
            ("7200, 0", 7200),
            ("0, 7200", 0),
            ("abc", 0),
            ("-7", 0),
            ("7.0", 0),
            ("7;a=b", 0),
            ("+7", 0),
            ("", 0),
            ("99999999999999999999999", LONGEST.as_secs()),
        ] {
            assert_eq!(
                age(&headers(&[("age", value)])).as_secs(),
                expected,
                "{value}"
            );
        }
        let two = headers(&[("age", "7"), ("age", "0")]);
        assert_eq!(age(&two).as_secs(), 7);
    }

    #[test]
    fn expires_counts_from_the_date_if_it_may() {
        let until = ("expires", "Thu, 18 Aug 2050 02:01:00 GMT");
        assert_eq!(fresh(200, &[DATED, until], &open()), Some(60));
        assert_eq!(fresh(200, &[DATED, until], &config::Cache::default()), None);
        let said = ("cache-control", "max-age=5");
        assert_eq!(fresh(200, &[DATED, until, said], &open()), Some(5));
        let to_us = ("cdn-cache-control", "must-revalidate");
        assert_eq!(fresh(200, &[DATED, until, to_us], &open()), None);
        for (value, expected) in [
            ("thu, 18 AUG 2050 02:01:00 gmt", 60),
            ("Thursday, 18-Aug-50 02:01:00 GMT", 60),
            ("Thu Aug 18 02:01:00 2050", 60),
            ("Thu, 18 Aug 2050 01:59:59 GMT", 0),
            ("0", 0),
            ("Thu, 18 Aug 2050 02:01:00 UTC", 0),
            ("Thu, 18  Aug 2050 02:01:00 GMT", 0),
            ("Thu 18 Aug 2050 02:01:00 GMT", 0),
            ("Thu, 18 Aug 50 02:01:00 GMT", 0),
            ("Thu, 18-Aug-2050 02:01:00 GMT", 0),
            ("Thu, 18 Aug 2050 02.01.00 GMT", 0),
            ("Thu, 18 Aug 2050 2:01:00 GMT", 0),
            ("\u{e9}", 0),
        ] {
            let found = fresh(200, &[DATED, ("expires", value)], &open());
            assert_eq!(found, Some(expected), "{value}");
        }
        assert_eq!(fresh(200, &[DATED, until, until], &open()), Some(0));
    }

    #[test]
    fn a_guess_is_a_share_of_the_time_without_change() {
        let changed = ("last-modified", "Wed, 17 Aug 2050 02:00:00 GMT");
        let both = [DATED, changed];
        assert_eq!(fresh(200, &both, &open()), Some(DAY / 10));
        assert_eq!(fresh(404, &both, &open()), Some(DAY / 10));
        assert_eq!(fresh(200, &both, &config::Cache::default()), None);
        assert_eq!(fresh(403, &both, &open()), None);
        let public = [DATED, changed, ("cache-control", "public")];
        assert_eq!(fresh(403, &public, &open()), Some(DAY / 10));
        assert_eq!(fresh(200, &[DATED], &open()), None);
        let future = ("last-modified", "Fri, 19 Aug 2050 02:00:00 GMT");
        assert_eq!(fresh(200, &[DATED, future], &open()), None);
        let long_ago = ("last-modified", "Wed, 17 Aug 1994 02:00:00 GMT");
        assert_eq!(fresh(200, &[DATED, long_ago], &open()), Some(DAY));
    }
}
