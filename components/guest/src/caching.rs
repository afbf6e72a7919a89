//! What an answer says to caches: RFC 9111, with `stale-while-revalidate` and `stale-if-error` of RFC 5861.

use std::cell::RefCell;

use store_domain::freshness::Freshness;

/// Whoever keeps the answer must ask the store each time before it is used.
const NOT_KEPT: &str = "no-cache";

/// The values of the headers about caching.
#[derive(Debug, Clone)]
pub(crate) struct CacheHeaders {
    pub(crate) for_everybody: String,
    pub(crate) for_our_own: String,
}

/// What to say of an answer this fresh. It is in whole seconds, so most answers say what the last one said.
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

/// `Cache-Control`, for everybody. Nobody can tell a browser that a report changed, so it asks each time; most answers
/// are 304 then.
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

/// `CDN-Cache-Control` (RFC 9213), for the cache of whoever runs the store, which is told when a report changes. Without
/// `s-maxage`, as that forbids what `stale-while-revalidate` allows (RFC 9111, section 5.2.2.10). Always said: where a 304
/// did not, what was said with the kept answer would hold on.
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
