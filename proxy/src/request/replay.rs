//! Which requests may be sent again.

use http::HeaderName;

use crate::message::target;

/// Makes a `POST` repeatable at servers that honour the field: to a key they have seen, they repeat their earlier
/// answer.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether the request may reach an upstream twice: requests that change nothing, and POSTs with a key to a path of
/// `keyed_posts` or below one. `path` is without its query. `DELETE` and `PUT` are idempotent in what they do (RFC
/// 9110, section 9.2.2), but not in their answer: the second `DELETE` would find nothing left to delete.
pub(crate) fn may_be_replayed(
    method: &str,
    path: &str,
    has_key: impl FnOnce() -> bool,
    keyed_posts: &[String],
) -> bool {
    match method {
        "GET" | "HEAD" | "OPTIONS" => true,
        "POST" if has_key() => {
            let path = target::normal(path.as_bytes());
            let mut keyed = keyed_posts.iter().map(|keyed| keyed.trim_end_matches('/'));
            keyed.any(|keyed| target::begins_with(&path, keyed.as_bytes()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_twice_is_replayed() {
        let keyed = ["/orders".to_owned(), "/users/".to_owned()];
        let may = |method, path, has_key| may_be_replayed(method, path, || has_key, &keyed);
        for method in ["GET", "HEAD", "OPTIONS"] {
            assert!(may(method, "/orders/1", false), "{method}");
        }
        for method in ["POST", "PATCH", "DELETE", "PUT"] {
            assert!(!may(method, "/orders", false), "{method}");
        }
        for target in ["/orders", "/orders/", "/orders/1", "/%6frders", "/users"] {
            assert!(may("POST", target, true), "{target}");
        }
        for target in ["/products", "//orders", "/ordersheet", "/"] {
            assert!(!may("POST", target, true), "{target}");
        }
        for method in ["PATCH", "DELETE", "PUT"] {
            assert!(!may(method, "/orders", true), "{method}");
        }
    }
}
