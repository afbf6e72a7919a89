//! The required tests of http-cache-tests that the proxy fails on purpose, and why. docs/CONFORMANCE.md explains them
//! to users.

const COOKIES: &str = "answers with Set-Cookie are for one client and never kept";
const DATE: &str = "pingora dates answers anew; `Age` says how old they are";
const AGE: &str =
    "the release predates RFC 9111: of several the first counts, and what is no number is ignored";
const SURROGATE: &str =
    "`Surrogate-Control` is not regarded; its standard is `CDN-Cache-Control` (RFC 9213)";
const CLOSED: &str =
    "where the server hangs up we say 502, which the release takes for a kept answer";

/// Reasons by test id.
const ALWAYS: [(&str, &str); 4] = [
    ("headers-store-Set-Cookie", COOKIES),
    ("304-etag-update-response-Set-Cookie", COOKIES),
    ("other-date-update", DATE),
    ("other-date-update-expires", DATE),
];

/// Tests that fail in npm's release only: the suite's repository has changed them to expect our behaviour, or has
/// removed them.
const OF_THE_RELEASE: [(&str, &str); 17] = [
    ("age-parse-nonnumeric", AGE),
    ("age-parse-negative", AGE),
    ("age-parse-float", AGE),
    ("age-parse-prefix-twoline", AGE),
    ("age-parse-dup-0", AGE),
    ("age-parse-dup-0-twoline", AGE),
    ("age-parse-dup-old", AGE),
    ("age-parse-parameter", AGE),
    ("age-parse-numeric-parameter", AGE),
    ("stale-close-must-revalidate", CLOSED),
    ("stale-close-proxy-revalidate", CLOSED),
    ("stale-close-no-cache", CLOSED),
    ("stale-close-s-maxage=2", CLOSED),
    ("surrogate-max-age-0-expires", SURROGATE),
    ("surrogate-max-age-long-cc-max-age", SURROGATE),
    ("surrogate-no-store-cc-fresh", SURROGATE),
    ("surrogate-fresh-cc-nostore", SURROGATE),
];

/// The edition of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Edition {
    /// npm's version 0.4.5.
    Release,
    /// The version in the suite's repository.
    Repository,
}

/// Why the test with this id fails, if that is our choice.
pub(super) fn reason(id: &str, edition: Edition) -> Option<&'static str> {
    let more = match edition {
        Edition::Release => OF_THE_RELEASE.as_slice(),
        Edition::Repository => &[],
    };
    let mut choices = ALWAYS.iter().chain(more);
    let found = choices.find(|(choice, _)| *choice == id);
    found.map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_release_alone_asks_for_is_no_choice_elsewhere() {
        assert!(reason("age-parse-float", Edition::Release).is_some());
        assert!(reason("age-parse-float", Edition::Repository).is_none());
        assert!(reason("other-date-update", Edition::Repository).is_some());
        assert!(reason("freshness-max-age", Edition::Release).is_none());
    }
}
