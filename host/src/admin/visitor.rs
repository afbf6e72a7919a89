//! Who may speak to the admin listener: programs on this machine, and not the web pages that its users look at. A page
//! can give its own name the address of this machine, and then reads what a browser fetches for it.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use store_server::admin_name::is_known;

use super::reply::Rejection;
use crate::config::AdminAddress;

/// The names that the listener answers to.
pub(crate) enum Names {
    /// No browser reaches a Unix socket.
    Any,
    /// Addresses, `localhost`, and these.
    Known(Vec<String>),
}

impl Names {
    /// Those of the listener at `address`, with `more` that were configured.
    pub(crate) fn of(address: &AdminAddress, more: &[String]) -> Self {
        match address {
            AdminAddress::Unix(_) => Self::Any,
            AdminAddress::Tcp(_) => Self::Known(more.to_vec()),
        }
    }

    /// Lets a request through that is for one of the names.
    ///
    /// # Errors
    /// The request names another host, or none.
    pub(super) fn check(&self, version: Version, headers: &HeaderMap) -> Result<(), Rejection> {
        let Self::Known(known) = self else {
            return Ok(());
        };
        let Some(host) = headers.get(HOST) else {
            // Programs may speak HTTP/1.0, and browsers don't.
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

/// Lets a change through that no web page asks for. A page of the listener's own would have its host as its origin.
///
/// # Errors
/// The request was sent by a web page of another origin.
pub(super) fn check_origin(headers: &HeaderMap) -> Result<(), Rejection> {
    let Some(origin) = headers.get(ORIGIN) else {
        return Ok(());
    };
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let own = origin.as_bytes().strip_prefix(b"http://");
    if own.is_some() && own == host {
        return Ok(());
    }
    Err(Rejection::new(
        StatusCode::FORBIDDEN,
        "a web page elsewhere may change nothing here",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_names_that_no_page_can_take_are_answered() {
        let tcp: AdminAddress = "127.0.0.1:5100".parse().expect("an address");
        let names = Names::of(&tcp, &["host-a".into()]);
        let check = |host| names.check(Version::HTTP_11, &headers(HOST, host));
        for host in [
            "127.0.0.1:5100",
            "[::1]:5100",
            "10.1.2.3",
            "localhost",
            "Host-A:1",
        ] {
            assert!(check(host).is_ok(), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
            "a b",
        ] {
            assert!(check(host).is_err(), "{host}");
        }
        assert!(names.check(Version::HTTP_11, &HeaderMap::new()).is_err());
        assert!(names.check(Version::HTTP_10, &HeaderMap::new()).is_ok());
        let socket = Names::of(&AdminAddress::Unix("/run/a.sock".into()), &[]);
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
            assert!(check_origin(&own).is_err(), "{origin}");
        }
    }
}
