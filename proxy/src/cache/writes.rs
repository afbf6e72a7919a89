//! Which answers a request that wrote something makes wrong (RFC 9111, section 4.4).

use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::Authority;
use http::{HeaderName, StatusCode, Uri};

use super::key;

/// A request of any method, and how it was answered.
pub(crate) struct AnsweredRequest<'a> {
    pub(crate) method: &'a str,
    /// Path and query, if the target has them.
    pub(crate) target: Option<&'a str>,
    /// The host as the server is told.
    pub(crate) host: &'a [u8],
    pub(crate) status: StatusCode,
}

impl AnsweredRequest<'_> {
    /// Whether the request may have changed something.
    pub(super) fn has_changed(&self) -> bool {
        let safe = matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
        !safe && (self.status.is_success() || self.status.is_redirection())
    }

    /// The keys of all that the request may have changed: its target, and the URIs on the same host that the answer's
    /// fields name. Keys of both schemes are included, as both lead to the same servers.
    pub(super) fn keys<'f>(
        &self,
        field: impl Fn(&HeaderName) -> Option<&'f [u8]>,
        purges: u64,
    ) -> Vec<Vec<u8>> {
        let named = [LOCATION, CONTENT_LOCATION].map(|name| target_in(field(&name)?, self.host));
        let named = named.iter().filter_map(Option::as_deref);
        let mut targets: Vec<&str> = self.target.into_iter().chain(named).collect();
        targets.dedup();
        let keys = targets.into_iter().flat_map(|target| {
            [false, true].map(|https| key::primary(self.host, target.as_bytes(), https, purges))
        });
        keys.collect()
    }
}

/// Path and query of a URI, if it is on this host. A URI that is relative to a folder is ignored.
fn target_in(uri: &[u8], host: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(uri).ok()?;
    let text = text.split('#').next().unwrap_or_default();
    if text.starts_with('/') && !text.starts_with("//") {
        return Some(text.to_owned());
    }
    let uri: Uri = text.parse().ok()?;
    let same = |authority: &Authority| authority.as_str().as_bytes().eq_ignore_ascii_case(host);
    uri.authority().filter(|authority| same(authority))?;
    Some(uri.path_and_query()?.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(method: &str, status: StatusCode) -> AnsweredRequest<'_> {
        AnsweredRequest {
            method,
            target: Some("/orders?a=b"),
            host: b"Shop:81",
            status,
        }
    }

    fn named(location: &str) -> Vec<String> {
        let field = |name: &HeaderName| (name == LOCATION).then_some(location.as_bytes());
        let keys = answered("POST", StatusCode::CREATED).keys(field, 0);
        let keys = keys.iter().map(|key| String::from_utf8_lossy(&key[8..]));
        keys.filter_map(|key| Some(key.strip_prefix("http\nshop:81\n")?.to_owned()))
            .collect()
    }

    #[test]
    fn unsafe_methods_change_what_they_are_answered_well_for() {
        let has_changed = |method, status| answered(method, status).has_changed();
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            assert!(has_changed(method, StatusCode::NO_CONTENT), "{method}");
            assert!(has_changed(method, StatusCode::SEE_OTHER), "{method}");
            assert!(!has_changed(method, StatusCode::CONFLICT), "{method}");
            assert!(!has_changed(method, StatusCode::BAD_GATEWAY), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(!has_changed(method, StatusCode::OK), "{method}");
        }
    }

    #[test]
    fn what_the_answer_names_on_the_same_host_has_changed_too() {
        for same in [
            "/orders/7",
            "http://shop:81/orders/7#x",
            "HTTPS://SHOP:81/orders/7",
        ] {
            assert_eq!(named(same), ["/orders?a=b", "/orders/7"], "{same}");
        }
        for other in [
            "http://shop/orders/7",
            "http://evil.example:81/orders/7",
            "//evil.example/orders/7",
            "7",
            "",
            "http://",
        ] {
            assert_eq!(named(other), ["/orders?a=b"], "{other}");
        }
    }
}
