//! Which clients the admin listener answers: programs, but not web pages in a browser on this machine. A page can point
//! its own domain name at the address of this machine (DNS rebinding), and would then read whatever the browser fetches
//! from the listener.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, StatusCode, Version};
use store_server::admin_name::{is_from_elsewhere, is_known};

use super::reply::Rejection;
use crate::config::AdminAddress;

/// The names under which the listener may be addressed.
pub(crate) enum ServerNames {
    /// Any name, for a Unix socket: browsers can't reach it.
    Any,
    /// IP addresses, `localhost`, and these names.
    Known(Vec<String>),
}

impl ServerNames {
    /// The names of the listener at `address`, with the configured names `more`.
    pub(crate) fn of(address: &AdminAddress, more: &[String]) -> Self {
        match address {
            AdminAddress::Unix(_) => Self::Any,
            AdminAddress::Tcp(_) => Self::Known(more.to_vec()),
        }
    }

    /// Checks that the `Host` of a request is one of the names.
    ///
    /// # Errors
    /// The request has another `Host`, or none.
    pub(super) fn check(&self, version: Version, headers: &HeaderMap) -> Result<(), Rejection> {
        let Self::Known(known) = self else {
            return Ok(());
        };
        let Some(host) = headers.get(HOST) else {
            // Programs may send HTTP/1.0 without `Host`, and browsers never do.
            return match version {
                Version::HTTP_10 => Ok(()),
                _ => Err(Rejection::new(StatusCode::BAD_REQUEST, "there is no Host")),
            };
        };
        let authority = Authority::try_from(host.as_bytes()).ok();
        let name = authority.as_ref().map_or("", |authority| authority.host());
        if is_known(name, known) {
            return Ok(());
        }
        Err(Rejection::new(
            StatusCode::MISDIRECTED_REQUEST,
            "Host must be an address, `localhost` or a name given with --admin-names",
        ))
    }
}

/// Checks that the request does not come from a web page of another origin. The console's page has the origin of this
/// listener.
///
/// # Errors
/// The request comes from a web page of another origin.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Rejection> {
    if !is_from_elsewhere(headers) {
        return Ok(());
    }
    Err(Rejection::new(
        StatusCode::FORBIDDEN,
        "web pages of other origins may not make changes",
    ))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ORIGIN;

    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_names_that_no_page_can_take_are_answered() {
        let tcp: AdminAddress = "127.0.0.1:5100".parse().expect("an address");
        let names = ServerNames::of(&tcp, &["host-a".into()]);
        let check = |host| {
            let checked = names.check(Version::HTTP_11, &headers(HOST, host));
            checked.map_err(|rejection| rejection.reply().status())
        };
        for host in [
            "127.0.0.1:5100",
            "[::1]:5100",
            "10.1.2.3",
            "localhost",
            "Host-A:1",
        ] {
            assert_eq!(check(host), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert_eq!(check(host), Err(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        let none = names.check(Version::HTTP_11, &HeaderMap::new());
        let none = none.expect_err("HTTP/1.1 asks for Host").reply();
        assert_eq!(none.status(), StatusCode::BAD_REQUEST);
        assert!(names.check(Version::HTTP_10, &HeaderMap::new()).is_ok());
        let socket = ServerNames::of(&AdminAddress::Unix("/run/a.sock".into()), &[]);
        assert!(
            socket
                .check(Version::HTTP_11, &headers(HOST, "any"))
                .is_ok()
        );
    }

    #[test]
    fn pages_elsewhere_change_nothing() {
        let mut own = headers(HOST, "127.0.0.1:5100");
        assert!(check_origin(&own).is_ok());
        own.insert(ORIGIN, HeaderValue::from_static("http://127.0.0.1:5100"));
        assert!(check_origin(&own).is_ok());
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:5100",
        ] {
            own.insert(ORIGIN, HeaderValue::from_static(origin));
            let refused = check_origin(&own).expect_err(origin).reply();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{origin}");
        }
    }
}
