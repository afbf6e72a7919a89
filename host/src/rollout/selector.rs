//! Which clients get which version: clients that keep to one version, and testers who get the new one.

use std::fmt;
use std::str::FromStr;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What identifies a client that keeps to one version: a header or a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Sticky {
    Header(HeaderName),
    Cookie(String),
}

impl FromStr for Sticky {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names neither a header nor a cookie; write header:NAME or cookie:NAME"
            )
        };
        let (kind, name) = text.split_once(':').ok_or_else(wrong)?;
        let name = name.trim();
        // The name of a cookie is a token like that of a header (RFC 6265, section 4.1.1), but its case matters.
        let token = HeaderName::from_str(name).map_err(|_| wrong())?;
        match kind.trim() {
            "header" => Ok(Self::Header(token)),
            "cookie" => Ok(Self::Cookie(name.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl Sticky {
    /// The value that identifies the client; `None` if the request has none.
    fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let value = match self {
            Self::Header(name) => headers.get(name)?.as_bytes(),
            Self::Cookie(name) => cookie(headers, name)?,
        };
        (!value.is_empty()).then_some(value)
    }
}

/// The value of a cookie. HTTP/2 may send each cookie in a header of its own.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Gives each client a point. The point is the same on every host and after a restart, but differs from one new version
/// to the next, so that no client is always among the first to get a new version.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    sticky: Sticky,
    salted: Sha256,
}

impl Key {
    /// `digest` is that of the new version.
    pub(crate) fn new(sticky: Sticky, digest: &str) -> Self {
        Self {
            sticky,
            salted: Sha256::new_with_prefix(digest),
        }
    }

    /// The client's point in the range of `u64`; `None` if the request does not identify the client.
    pub(crate) fn point(&self, headers: &HeaderMap) -> Option<u64> {
        let value = self.sticky.value(headers)?;
        let hash = self.salted.clone().chain_update(value).finalize();
        let first = hash.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*first))
    }
}

/// The header, with its value, that testers send to get the new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Tester {
    pub(crate) name: HeaderName,
    /// The value is ASCII, so that it can be written as it was read.
    value: HeaderValue,
}

impl FromStr for Tester {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no header with a value; write NAME:VALUE, as in x-tester:yes");
        let (name, value) = text.split_once(':').ok_or_else(wrong)?;
        let value = value.trim();
        if value.is_empty() {
            return Err(wrong());
        }
        if !value.is_ascii() {
            return Err(format!(
                "`{text}` has a value that is not ASCII; choose another"
            ));
        }
        Ok(Self {
            name: name.trim().parse().map_err(|_| wrong())?,
            value: value.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Tester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.name,
            self.value.to_str().unwrap_or_default()
        )
    }
}

impl Tester {
    /// Whether these headers are a tester's.
    pub(crate) fn is_in(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(&self.name)
            .iter()
            .any(|value| *value == self.value)
    }
}

store_server::written_as_text!(Sticky);
store_server::written_as_text!(Tester);

#[cfg(test)]
mod tests {
    use super::super::TrafficShare;
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    fn key(text: &str, digest: &str) -> Key {
        Key::new(text.parse().expect(text), digest)
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["header:x-client", "cookie:Session", "header:authorization"] {
            assert_eq!(text.parse::<Sticky>().expect(text).to_string(), text);
        }
        for wrong in [
            "",
            "header",
            "header:",
            "cookie:",
            "cookie:a b",
            "query:x",
            "header:ü",
        ] {
            let error = wrong.parse::<Sticky>().expect_err(wrong);
            assert!(
                error.contains("write header:NAME or cookie:NAME"),
                "{error}"
            );
        }
        assert_eq!(
            "X-Tester: yes"
                .parse::<Tester>()
                .expect("a header")
                .to_string(),
            "x-tester:yes"
        );
        for wrong in [
            "",
            "x-tester",
            "x-tester:",
            ":yes",
            "a b:yes",
            "x-tester:\n",
        ] {
            let error = wrong.parse::<Tester>().expect_err(wrong);
            assert!(error.contains("write NAME:VALUE"), "{error}");
        }
        let error = "x-tester:ü".parse::<Tester>().expect_err("it is lost");
        assert!(error.contains("is not ASCII"), "{error}");
    }

    #[test]
    fn a_client_is_known_by_its_header_or_its_cookie() {
        let by_cookie = key("cookie:id", "v");
        let one = by_cookie.point(&headers(&[("cookie", "a=1; id=ada; b=2")]));
        assert!(one.is_some());
        assert_eq!(
            one,
            by_cookie.point(&headers(&[("cookie", "a=1"), ("cookie", "id=ada")]))
        );
        assert_ne!(one, by_cookie.point(&headers(&[("cookie", "id=bob")])));
        for none in ["a=1", "id=", "xid=ada", "id", "ID=ada"] {
            assert_eq!(
                by_cookie.point(&headers(&[("cookie", none)])),
                None,
                "{none}"
            );
        }
        assert_eq!(
            one,
            key("header:x-id", "v").point(&headers(&[("x-id", "ada")]))
        );
        assert_ne!(
            one,
            key("cookie:id", "w").point(&headers(&[("cookie", "id=ada")]))
        );
        assert_eq!(by_cookie.point(&HeaderMap::new()), None);
    }

    /// Checked for ten thousand clients and any two shares: a client with the new version keeps it as the share grows.
    #[test]
    fn nobody_goes_back_as_the_share_grows() {
        let key = key("header:x-id", "a digest");
        let shares: Vec<TrafficShare> = (1..100)
            .map(|percent: u32| TrafficShare::from_percent(&percent.to_string()).expect("a share"))
            .collect();
        let mut first_tenth = 0;
        for client in 0..10_000 {
            let value = format!("client-{}", client * 7919);
            let point = key
                .point(&headers(&[("x-id", &value)]))
                .expect("it says who it is");
            let gets: Vec<bool> = shares.iter().map(|share| share.has(point)).collect();
            assert!(gets.is_sorted(), "{value} went back");
            first_tenth += u32::from(gets[9]);
        }
        assert!(
            (900..=1100).contains(&first_tenth),
            "{first_tenth} of 10000 in a share of 10 %"
        );
    }

    #[test]
    fn a_tester_sends_the_whole_value() {
        let tester: Tester = "x-tester:yes".parse().expect("a header");
        assert!(tester.is_in(&headers(&[("x-tester", "no"), ("x-tester", "yes")])));
        for other in ["no", "yes!", "YES"] {
            assert!(!tester.is_in(&headers(&[("x-tester", other)])), "{other}");
        }
        assert!(!tester.is_in(&HeaderMap::new()));
    }
}
