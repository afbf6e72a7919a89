//! What a request that wrote something makes wrong: RFC 9111, section 4.4.

use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::Authority;
use http::{HeaderName, Method, StatusCode, Uri};
use pingora_http::{RequestHeader, ResponseHeader};

use super::key;

/// Whether such a request may have changed something, if it was answered so.
pub(super) fn has_changed(method: &Method, status: StatusCode) -> bool {
    let safe = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    );
    !safe && (status.is_success() || status.is_redirection())
}

/// The keys of what has changed: the target, and what the answer names on the same host. Behind both of our schemes are
/// the same servers, so both are meant.
pub(super) fn keys(
    request: &RequestHeader,
    host: &[u8],
    answer: &ResponseHeader,
    purges: u64,
) -> Vec<Vec<u8>> {
    let target = request.uri.path_and_query().map(|target| target.as_str());
    let named = [LOCATION, CONTENT_LOCATION].map(|name| target_in(answer, &name, host));
    let named = named.iter().filter_map(Option::as_deref);
    let mut targets: Vec<&str> = target.into_iter().chain(named).collect();
    targets.dedup();
    let keys = targets.into_iter().flat_map(|target| {
        [false, true].map(|https| key::primary(host, target.as_bytes(), https, purges))
    });
    keys.collect()
}

/// Path and query of the URI in this header, if it is on this host. One that is relative to a folder is left alone.
fn target_in(answer: &ResponseHeader, name: &HeaderName, host: &[u8]) -> Option<String> {
    let text = answer.headers.get(name)?.to_str().ok()?;
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

    fn named(location: &str) -> Vec<String> {
        let request = RequestHeader::build("POST", b"/orders?a=b", None).expect("a request");
        let mut answer = ResponseHeader::build(201, None).expect("an answer");
        answer
            .insert_header("location", location)
            .expect("a header");
        let keys = keys(&request, b"Shop:81", &answer, 0);
        let keys = keys.iter().map(|key| String::from_utf8_lossy(&key[8..]));
        keys.filter_map(|key| Some(key.strip_prefix("http\nshop:81\n")?.to_owned()))
            .collect()
    }

    #[test]
    fn unsafe_methods_change_what_they_are_answered_well_for() {
        let search = Method::from_bytes(b"M-SEARCH").expect("a method");
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            search,
        ] {
            assert!(has_changed(&method, StatusCode::NO_CONTENT), "{method}");
            assert!(has_changed(&method, StatusCode::SEE_OTHER), "{method}");
            assert!(!has_changed(&method, StatusCode::CONFLICT), "{method}");
            assert!(!has_changed(&method, StatusCode::BAD_GATEWAY), "{method}");
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(!has_changed(&method, StatusCode::OK), "{method}");
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
