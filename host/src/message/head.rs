//! Checks the heads of requests in the same way for all versions of HTTP, before they are acted upon. Completes the
//! scheme and the authority for components.

use http::header::{EXPECT, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri, Version};

use super::problem::Problem;

/// The most bytes of a head of HTTP/2, counted as [`size`] does. Longer heads of up to [`READ_BYTES`] are read, and
/// answered; hyper answers those that are even longer, with a bare 431.
const MOST_BYTES: usize = 16 * 1024;

/// The longest head of HTTP/2 that is read.
pub(crate) const READ_BYTES: u32 = 4 * MOST_BYTES as u32;

/// What a field counts for in addition to its name and value (RFC 9113, section 6.5.2).
const FIELD_BYTES: usize = 32;

/// Checks the head of a request, and adds scheme and authority to its target. HTTP/1.1 does not send the scheme, and
/// sends the authority only in `Host`.
///
/// # Errors
/// The head is malformed or asks for something that is not supported; the problem says what.
pub(crate) fn complete<B>(request: &mut Request<B>) -> Result<(), Problem> {
    let is_http_2 = request.version() == Version::HTTP_2;
    if is_http_2 && size(request) > MOST_BYTES {
        return Err(Problem::HeadTooLarge);
    }
    if is_http_2 && request.headers().values().any(has_space_around) {
        return Err(Problem::Malformed(
            "a header's value begins or ends with white space",
        ));
    }
    // The host is no forward proxy. Other methods are passed to components, which may refuse them.
    if request.method() == Method::CONNECT {
        return Err(Problem::MethodNotServed);
    }
    check_target(request.uri())?;
    let target = request.uri().path_and_query();
    // In HTTP/1.1, such a target is one of a whole URL, whose path may be empty (RFC 9112, section 3.2.2).
    if is_http_2 && target.is_some_and(|target| target.as_str().starts_with('?')) {
        return Err(Problem::Malformed("the target must begin with `/`"));
    }
    if request.uri().path() == "*" && request.method() != Method::OPTIONS {
        return Err(Problem::Malformed("the target `*` is for OPTIONS only"));
    }
    if let Some(expected) = request.headers().get(EXPECT)
        && !expected.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Problem::UnknownExpectation);
    }
    let authority = authority(request)?;
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme.get_or_insert(Scheme::HTTP);
    parts.authority = Some(authority);
    parts
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() =
        Uri::from_parts(parts).map_err(|_| Problem::Malformed("the target is malformed"))?;
    Ok(())
}

/// The size of a head in bytes, by the rule of RFC 9113, section 6.5.2. Method and scheme are short, and left out.
fn size<B>(request: &Request<B>) -> usize {
    let fields = request.headers().iter();
    let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + FIELD_BYTES);
    let target = request.uri();
    let authority = target.authority().map_or(0, |text| text.as_str().len());
    let path = target
        .path_and_query()
        .map_or(0, |text| text.as_str().len());
    fields.sum::<usize>() + authority + path
}

/// Checks that a target is one of an origin server, and that no character in it needs percent-encoding (RFC 9112,
/// section 3.2).
fn check_target(target: &Uri) -> Result<(), Problem> {
    match (target.scheme_str(), target.authority()) {
        (Some("http" | "https"), _) | (None, None) => {}
        (None, Some(_)) => return Err(Problem::Malformed("the target must begin with `/`")),
        (Some(_), _) => return Err(Problem::Malformed("the target's scheme is not HTTP's")),
    }
    let has = |text: &str, not: &[u8]| {
        let mut bytes = text.bytes();
        bytes.any(|byte| !byte.is_ascii_graphic() || not.contains(&byte))
    };
    if has(target.path(), b"<>`") || has(target.query().unwrap_or_default(), b"<>\"") {
        let reason = "the target has characters that must be percent-encoded";
        return Err(Problem::Malformed(reason));
    }
    Ok(())
}

/// Whether a value has white space at its ends. RFC 9113, section 8.2.1, calls such a field malformed. In HTTP/1.1 this
/// white space is not part of the value.
fn has_space_around(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let value = value.as_bytes();
    is_space(value.first()) || is_space(value.last())
}

/// The host and port that a request is for, from its target or else from `Host` (RFC 9112, section 3.2; RFC 9113,
/// section 8.3.1).
fn authority<B>(request: &Request<B>) -> Result<Authority, Problem> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Problem::Malformed("there is more than one Host"));
    }
    let host = host.map(read).transpose()?;
    let target = request.uri().authority();
    match (request.version(), target, host) {
        (Version::HTTP_11, _, None) => Err(Problem::Malformed("there is no Host")),
        (_, Some(target), Some(host)) if *target != host => {
            Err(Problem::Malformed("Host is not the target's authority"))
        }
        (_, Some(target), _) => checked(target.clone()),
        (_, None, Some(host)) => Ok(host),
        // HTTP/1.0 allows a request without `Host`.
        (Version::HTTP_10, None, None) => Ok(Authority::from_static("localhost")),
        (_, None, None) => Err(Problem::Malformed("there is no authority")),
    }
}

fn read(host: &HeaderValue) -> Result<Authority, Problem> {
    Authority::try_from(host.as_bytes())
        .map_err(|_| Problem::Malformed("Host is malformed"))
        .and_then(checked)
}

/// Checks an authority. User names in it are refused, because their only use is to deceive people. The port must be a
/// number, or be empty.
fn checked(authority: Authority) -> Result<Authority, Problem> {
    let text = authority.as_str();
    let host = authority.host();
    let port = text.strip_prefix(host).unwrap_or_default();
    let port = port.strip_prefix(':').unwrap_or(port);
    // This check is needed because `parse` also accepts a sign before the number.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = port.is_empty() || (is_number && port.parse::<u16>().is_ok());
    if host.is_empty() || text.contains('@') || !is_port {
        return Err(Problem::Malformed("the request's host is malformed"));
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("can be built")
    }

    #[test]
    fn a_component_is_told_scheme_and_authority() {
        let cases = [
            (
                Version::HTTP_11,
                "/x?y",
                &[("host", "shop:80")][..],
                "http://shop:80/x?y",
            ),
            (
                Version::HTTP_11,
                "http://shop/x",
                &[("host", "SHOP")],
                "http://shop/x",
            ),
            (
                Version::HTTP_11,
                "http://shop",
                &[("host", "shop")],
                "http://shop/",
            ),
            (
                Version::HTTP_11,
                "/x",
                &[("host", "[::1]:5000")],
                "http://[::1]:5000/x",
            ),
            (Version::HTTP_10, "/x", &[], "http://localhost/x"),
            (Version::HTTP_2, "http://shop/x", &[], "http://shop/x"),
            (
                Version::HTTP_2,
                "http://shop/x",
                &[("host", "Shop")],
                "http://shop/x",
            ),
            (Version::HTTP_2, "/x", &[("host", "shop")], "http://shop/x"),
        ];
        for (version, uri, headers, expected) in cases {
            let mut request = request(version, uri, headers);
            assert_eq!(complete(&mut request), Ok(()), "{version:?} {uri}");
            assert_eq!(request.uri(), expected);
        }
    }

    #[test]
    fn heads_that_make_no_sense_are_refused() {
        let injected = "a\", for=6.6.6.6;host=\"b";
        let cases = [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &[("host", "a"), ("host", "a")]),
            (Version::HTTP_11, "/", &[("host", "")]),
            (Version::HTTP_11, "/", &[("host", "a b")]),
            (Version::HTTP_11, "/", &[("host", "user@a")]),
            (Version::HTTP_11, "/", &[("host", "a:b")]),
            (Version::HTTP_11, "/", &[("host", "a:99999")]),
            (Version::HTTP_11, "/", &[("host", "a:+80")]),
            (Version::HTTP_10, "http://a/", &[("host", "b")]),
            (Version::HTTP_11, "http://a/", &[("host", "b")]),
            (Version::HTTP_11, "ftp://a/", &[("host", "a")]),
            (Version::HTTP_11, "a", &[("host", "a")]),
            (Version::HTTP_11, "/\u{e9}", &[("host", "a")]),
            (Version::HTTP_11, "/?\u{e9}", &[("host", "a")]),
            (Version::HTTP_2, "ftp://a/", &[]),
            (Version::HTTP_2, "http://a/\u{e9}", &[]),
            (Version::HTTP_11, "*", &[("host", "a")]),
            (Version::HTTP_2, "http://a?b", &[]),
            (Version::HTTP_2, "/", &[]),
            (Version::HTTP_2, "/", &[("host", injected)]),
            (Version::HTTP_2, "http://a/", &[("host", "b")]),
            (Version::HTTP_2, "*", &[("host", "a")]),
            (Version::HTTP_2, "http://a/", &[("x", "\tb")]),
            (Version::HTTP_2, "http://a/", &[("x", "b ")]),
        ];
        for (version, uri, headers) in cases {
            let refused = complete(&mut request(version, uri, headers));
            let is_malformed = matches!(refused, Err(Problem::Malformed(_)));
            assert!(is_malformed, "{version:?} {uri} {headers:?}: {refused:?}");
        }
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let headers = [("host", "a"), ("expect", "x")];
            let refused = complete(&mut request(version, "http://a/", &headers));
            assert_eq!(refused, Err(Problem::UnknownExpectation));
        }
    }

    #[test]
    fn a_head_of_http_2_has_a_size() {
        let field = "b".repeat(MOST_BYTES / 2);
        let large = |path: &str, count: usize| {
            let headers = vec![("x-a", &*field); count];
            complete(&mut request(
                Version::HTTP_2,
                &format!("http://a/{path}"),
                &headers,
            ))
        };
        assert_eq!(large("", 1), Ok(()));
        assert_eq!(large("", 2), Err(Problem::HeadTooLarge));
        assert_eq!(large(&field, 1), Err(Problem::HeadTooLarge));
    }

    #[test]
    fn space_around_a_value_is_no_part_of_it_before_http_2() {
        let headers = [("host", "a"), ("expect", "100-Continue"), ("x", " b")];
        assert_eq!(
            complete(&mut request(Version::HTTP_11, "/", &headers)),
            Ok(())
        );
    }
}
