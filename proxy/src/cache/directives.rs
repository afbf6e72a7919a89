//! The directives of an answer to caches: `CDN-Cache-Control` (RFC 9213) if it is present and can be read, or else
//! `Cache-Control`.

use http::HeaderMap;
use http::header::CACHE_CONTROL;
use pingora_cache::cache_control::{
    CacheControl, DELTA_SECONDS_OVERFLOW_VALUE, DirectiveKey, DirectiveMap, DirectiveValue,
};
use sfv::{BareItem, ListEntry, Parser};

/// The header that the store writes for its own caches. If it is present, `Cache-Control` is meant for other caches.
pub(super) const TARGETED: &str = "cdn-cache-control";

/// Directives whose value is a number of seconds.
const SECONDS: [DirectiveKey; 4] = [
    DirectiveKey::MaxAge,
    DirectiveKey::SMaxAge,
    DirectiveKey::StaleWhileRevalidate,
    DirectiveKey::StaleIfError,
];

/// The directives that hold for this cache.
#[derive(Debug)]
pub(super) enum Directives {
    /// From `CDN-Cache-Control`. Nothing else counts then, not even `Expires`.
    Targeted(CacheControl),
    /// From `Cache-Control`, which is meant for all caches.
    General(CacheControl),
    /// The answer has none.
    Silent,
}

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if let Some(targeted) = targeted(headers) {
            return Self::Targeted(targeted);
        }
        CacheControl::from_headers_named(CACHE_CONTROL.as_str(), headers)
            .map_or(Self::Silent, Self::General)
    }

    pub(super) fn cache_control(&self) -> Option<&CacheControl> {
        match self {
            Self::Targeted(control) | Self::General(control) => Some(control),
            Self::Silent => None,
        }
    }

    /// Whether a directive is present, with or without a value. A directive that names fields counts as one for the
    /// whole answer.
    pub(super) fn has(&self, key: &DirectiveKey) -> bool {
        let directives = self.cache_control();
        directives.is_some_and(|control| control.has_directive(key))
    }
}

/// The targeted field as a dictionary (RFC 8941, section 3.2). A field that is empty or malformed, or has seconds of
/// another type than integer, counts as absent.
fn targeted(headers: &HeaderMap) -> Option<CacheControl> {
    let lines = headers.get_all(TARGETED).iter();
    let lines: Vec<&[u8]> = lines.map(|line| line.as_bytes()).collect();
    let dictionary = Parser::parse_dictionary(&lines.join(b",".as_slice())).ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut directives = DirectiveMap::new();
    for (name, member) in dictionary {
        let key = DirectiveKey::from_lowercase_owned(name);
        let value = match member {
            ListEntry::Item(item) => Some(item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        if SECONDS.contains(&key) {
            directives.insert(key, Some(seconds(value?)?));
        } else if value != Some(BareItem::Boolean(false)) {
            directives.insert(key, None);
        }
    }
    Some(CacheControl {
        directives,
        allow_float_seconds: false,
    })
}

fn seconds(value: BareItem) -> Option<DirectiveValue> {
    let seconds = u64::try_from(value.as_int()?).ok()?;
    let seconds = seconds.min(DELTA_SECONDS_OVERFLOW_VALUE.into());
    Some(DirectiveValue(seconds.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&'static str, &'static str)]) -> Directives {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().expect("a value"));
        }
        Directives::of(&headers)
    }

    fn max_age(control: &Directives) -> Option<u32> {
        control.cache_control()?.max_age().ok()?
    }

    #[test]
    fn what_is_said_to_us_goes_before_what_is_said_to_all() {
        let general = ("cache-control", "max-age=1");
        for (targeted, expected) in [
            ("max-age=7", 7),
            ("max-age=7, must-revalidate, x=\"y\"", 7),
            ("max-age=99999999999", DELTA_SECONDS_OVERFLOW_VALUE),
        ] {
            let control = of(&[general, (TARGETED, targeted)]);
            assert!(matches!(control, Directives::Targeted(_)), "{targeted}");
            assert_eq!(max_age(&control), Some(expected), "{targeted}");
        }
        let lines = [general, (TARGETED, "no-store"), (TARGETED, "private")];
        assert!(of(&lines).has(&DirectiveKey::NoStore));
        assert!(of(&lines).has(&DirectiveKey::Private));
    }

    #[test]
    fn a_targeted_field_that_is_no_dictionary_of_the_right_types_counts_for_nothing() {
        for targeted in [
            "",
            "max-age=10000, &&&&&",
            "max-age=\"10000\"",
            "max-age",
            "max-age=1.5",
            "max-age=-1",
            "max-age=(1 2)",
            "Max-Age=7",
        ] {
            let control = of(&[("cache-control", "no-store"), (TARGETED, targeted)]);
            assert!(control.has(&DirectiveKey::NoStore), "{targeted}");
            assert_eq!(max_age(&control), None, "{targeted}");
        }
        assert!(matches!(of(&[(TARGETED, "&")]), Directives::Silent));
        let silent = of(&[(TARGETED, "max-age=9, no-store=?0")]);
        assert!(!silent.has(&DirectiveKey::NoStore));
        let named = of(&[(TARGETED, "max-age=9, private=\"x-a\"")]);
        assert!(named.has(&DirectiveKey::Private));
    }
}
