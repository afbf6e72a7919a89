use super::*;

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
    for of_the_proxy in ["X-Forwarded-Proto", "accept, forwarded", "te"] {
        assert_eq!(kept(&[plain, ("vary", of_the_proxy)]), None);
    }
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
fn answers_to_known_users_are_for_all_only_if_they_say_so() {
    let (open, known) = (config::Cache::opened(), [("authorization", "Bearer x")]);
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
