//! How long a cache may show an answer that was made from a report.

use std::time::{Duration, Instant};

use xxhash_rust::xxh64::xxh64;

use crate::cache::report_lifetime;

/// How much older than the refresh interval a shown report may be, while a cache fetches the next one.
pub const SLACK: Duration = Duration::from_secs(2);

/// How long an answer may be reused, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// For this long the answer counts as fresh: until the next refresh is due, rounded up, and at least one second, so
    /// that a cache asks at most once a second.
    pub fresh_seconds: u64,
    /// For this much longer a cache may show the answer while it fetches a new one. The sum of both fields is rounded
    /// down.
    pub stale_seconds: u64,
}

impl Freshness {
    /// For an answer that must not be reused: it was made for one request, or the next refresh is overdue.
    pub const NONE: Self = Self {
        fresh_seconds: 0,
        stale_seconds: 0,
    };

    /// For a report whose key has the lifetime `left`. The key got its full lifetime when the report was correct.
    pub fn of_report(left: Duration, interval: Duration) -> Self {
        let age = report_lifetime(interval).saturating_sub(left);
        let until_next = interval.saturating_sub(age);
        let rounded_up = until_next.as_secs() + u64::from(until_next.subsec_nanos() > 0);
        let shown_seconds = (interval + SLACK).saturating_sub(age).as_secs();
        let fresh_seconds = rounded_up.max(1).min(shown_seconds);
        Self {
            fresh_seconds,
            stale_seconds: shown_seconds - fresh_seconds,
        }
    }
}

/// A hash that tells bodies apart: XXH64, because it needs only 64-bit arithmetic, which WebAssembly has.
pub fn fingerprint(body: &[u8]) -> u64 {
    xxh64(body, 0)
}

/// The remaining lifetime of a report, noted when its body was read. A later reader that reads only the body, and finds
/// it unchanged, computes the lifetime that is left from this.
#[derive(Debug, Clone, Copy)]
pub struct ReportDate {
    fingerprint: u64,
    left: Duration,
    read_at: Instant,
}

impl ReportDate {
    /// How long the note is valid. Then body and lifetime are read again, because a refresh extends the lifetime of a
    /// report that is still correct, and the body does not show that.
    pub const GOOD_FOR: Duration = Duration::from_secs(1);

    /// Notes the remaining lifetime of a report. Body and lifetime were read together, after `read_at`.
    pub fn new(body: &[u8], left: Duration, read_at: Instant) -> Self {
        Self {
            fingerprint: fingerprint(body),
            left,
            read_at,
        }
    }

    /// The remaining lifetime of the report that now has this body, or `None` if the lifetime must be read again.
    pub fn left(&self, body: &[u8], now: Instant) -> Option<Duration> {
        let age = now.saturating_duration_since(self.read_at);
        let is_known = age < Self::GOOD_FOR && self.fingerprint == fingerprint(body);
        is_known.then(|| self.left.saturating_sub(age))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at_age(seconds: f64) -> (u64, u64) {
        let left = 2.0 * MINUTE.as_secs_f64() - seconds;
        let freshness = Freshness::of_report(Duration::from_secs_f64(left), MINUTE);
        (freshness.fresh_seconds, freshness.stale_seconds)
    }

    #[test]
    fn a_report_is_fresh_until_the_next_refresh_and_shown_two_seconds_longer() {
        for (age, expected) in [
            (0.0, (60, 2)),
            (0.001, (60, 1)),
            (59.5, (1, 1)),
            (60.0, (1, 1)),
            (60.5, (1, 0)),
            (61.5, (0, 0)),
            (120.0, (0, 0)),
        ] {
            assert_eq!(at_age(age), expected, "at {age} s");
        }
    }

    #[test]
    fn it_is_never_shown_beyond_the_interval_and_two_seconds() {
        for tenths in 0..1200 {
            let age = f64::from(tenths) / 10.0;
            let (fresh, stale) = at_age(age);
            let shown = (fresh + stale) as f64;
            assert!(shown == 0.0 || age + shown <= 62.0, "at {age} s: {shown} s");
        }
    }

    /// The test vector of the reference implementation for an empty input.
    #[test]
    fn the_fingerprint_is_xxh64() {
        assert_eq!(fingerprint(b""), 0xef46_db37_51d8_e999);
    }

    #[test]
    fn a_dated_report_grows_older_until_it_is_read_anew_or_changes() {
        let read_at = Instant::now();
        let dated = ReportDate::new(b"[1]", MINUTE, read_at);
        let later = Duration::from_millis(400);
        assert_eq!(dated.left(b"[1]", read_at + later), Some(MINUTE - later));
        assert_eq!(dated.left(b"[2]", read_at + later), None);
        assert_eq!(dated.left(b"[1]", read_at + ReportDate::GOOD_FOR), None);
        let expiring = ReportDate::new(b"[1]", Duration::from_millis(1), read_at);
        assert_eq!(expiring.left(b"[1]", read_at + later), Some(Duration::ZERO));
    }

    /// The interval was longer, or shorter, when the key was written.
    #[test]
    fn after_the_interval_changed_no_more_is_promised_than_it_allows() {
        let longer = Freshness::of_report(Duration::from_secs(7200), MINUTE);
        assert_eq!((longer.fresh_seconds, longer.stale_seconds), (60, 2));
        let shorter = Freshness::of_report(Duration::from_secs(20), MINUTE);
        assert_eq!(shorter, Freshness::NONE);
    }
}
