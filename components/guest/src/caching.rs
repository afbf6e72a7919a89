//! The caching headers of a response: RFC 9111, with `stale-while-revalidate` and `stale-if-error` of RFC 5861.

use std::cell::RefCell;

use store_domain::freshness::Freshness;

/// A cache must ask the store each time before it reuses the answer.
const NOT_KEPT: &str = "no-cache";

/// The values of the headers about caching.
#[derive(Debug, Clone)]
pub(crate) struct CacheHeaders {
    pub(crate) for_everybody: String,
    pub(crate) for_our_own: String,
}

/// The header values for this freshness. Freshness is in whole seconds, so most answers repeat the values of the last
/// one; these are kept.
pub(crate) fn words(freshness: Freshness) -> CacheHeaders {
    thread_local! {
        static LAST: RefCell<Option<(Freshness, CacheHeaders)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| match last {
        Some((said_of, words)) if *said_of == freshness => words.clone(),
        _ => {
            let words = CacheHeaders {
                for_everybody: for_everybody(freshness),
                for_our_own: for_our_own(freshness),
            };
            *last = Some((freshness, words.clone()));
            words
        }
    })
}

/// `Cache-Control`, for all caches. Browsers can't be told that a report changed, so they ask each time; most answers
/// are then 304.
fn for_everybody(freshness: Freshness) -> String {
    let Freshness {
        fresh_seconds,
        stale_seconds,
    } = freshness;
    if freshness == Freshness::NONE {
        return NOT_KEPT.into();
    }
    format!("public, max-age=0, s-maxage={fresh_seconds}, stale-while-revalidate={stale_seconds}")
}

/// `CDN-Cache-Control` (RFC 9213), for the operator's own cache, which is told when a report changes. There is no
/// `s-maxage`, because it forbids what `stale-while-revalidate` allows (RFC 9111, section 5.2.2.10). The header is
/// always present: if a 304 omitted it, the values stored with the cached answer would stay in force.
fn for_our_own(freshness: Freshness) -> String {
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
        let said = words(freshness);
        assert_eq!(
            said.for_everybody,
            "public, max-age=0, s-maxage=57, stale-while-revalidate=2"
        );
        assert_eq!(
            said.for_our_own,
            "max-age=57, stale-while-revalidate=2, stale-if-error=2"
        );
        assert_eq!(words(freshness).for_our_own, said.for_our_own);
        let older = Freshness {
            fresh_seconds: 56,
            ..freshness
        };
        assert!(words(older).for_our_own.starts_with("max-age=56,"));
    }

    #[test]
    fn what_is_not_is_asked_for_each_time() {
        let said = words(Freshness::NONE);
        assert_eq!(
            (said.for_everybody, said.for_our_own),
            (NOT_KEPT.into(), NOT_KEPT.into())
        );
    }
}
