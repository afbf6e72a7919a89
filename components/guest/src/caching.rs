//! What an answer says to caches: RFC 9111, with `stale-while-revalidate` and `stale-if-error` of RFC 5861.

use store_domain::freshness::Freshness;

/// Whoever keeps it all the same asks each time.
const NOT_KEPT: &str = "no-cache";

/// `Cache-Control`, for everybody. Nobody can tell a browser that a report changed, so it asks each time; most answers
/// are 304 then.
pub(crate) fn for_everybody(freshness: Freshness) -> String {
    let Freshness {
        fresh_seconds,
        stale_seconds,
    } = freshness;
    if freshness == Freshness::NONE {
        return NOT_KEPT.into();
    }
    format!("public, max-age=0, s-maxage={fresh_seconds}, stale-while-revalidate={stale_seconds}")
}

/// `CDN-Cache-Control` (RFC 9213), for the cache of whoever runs the store, which is told when a report changes. Without
/// `s-maxage`, as that forbids what `stale-while-revalidate` allows (RFC 9111, section 5.2.2.10). Always said: where a 304
/// did not, what was said with the kept answer would hold on.
pub(crate) fn for_our_own(freshness: Freshness) -> String {
    let Freshness {
        fresh_seconds,
        stale_seconds,
    } = freshness;
    if freshness == Freshness::NONE {
        return NOT_KEPT.into();
    }
    format!(
        "max-age={fresh_seconds}, stale-while-revalidate={stale_seconds}, stale-if-error={stale_seconds}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fresh_says_for_how_long() {
        let freshness = Freshness {
            fresh_seconds: 57,
            stale_seconds: 2,
        };
        assert_eq!(
            for_everybody(freshness),
            "public, max-age=0, s-maxage=57, stale-while-revalidate=2"
        );
        assert_eq!(
            for_our_own(freshness),
            "max-age=57, stale-while-revalidate=2, stale-if-error=2"
        );
    }

    #[test]
    fn what_is_not_is_asked_for_each_time() {
        assert_eq!(for_everybody(Freshness::NONE), "no-cache");
        assert_eq!(for_our_own(Freshness::NONE), "no-cache");
    }
}
