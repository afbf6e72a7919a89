//! Finds the first difference between two answers to one request. The result has no values of either answer, only
//! names, numbers and places.
//!
//! `json` finds the place where two JSON values differ. Nothing here sends a request, or keeps an answer.

mod json;

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, StatusCode};

/// Headers that are not compared: they differ between any two answers, or follow from the body.
static IGNORED: [HeaderName; 10] = [
    AGE,
    CONNECTION,
    CONTENT_LENGTH,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    SET_COOKIE,
    TRANSFER_ENCODING,
    HeaderName::from_static("x-request-id"),
];

/// Headers whose directives are compared without their numbers, because these count down the remaining lifetime of an
/// answer.
static COUNTING_DOWN: [HeaderName; 2] =
    [CACHE_CONTROL, HeaderName::from_static("cdn-cache-control")];

/// One of the two answers that are compared.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `None` if the whole body is not known: it was too long, or the request was HEAD.
    pub(crate) body: Option<Bytes>,
}

/// The part in which two answers differ. The metrics list the kinds in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DifferenceKind {
    Status,
    Header,
    Body,
}

/// A difference between two answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) seen: DifferenceKind,
    pub(crate) what: String,
}

impl Difference {
    /// The first difference between two answers: in the status, or else in the relevant headers, or else in the body.
    pub(crate) fn between(stable: &Side, new: &Side) -> Option<Self> {
        let found = |seen, what| Some(Self { seen, what });
        if stable.status != new.status {
            let (old, new) = (stable.status.as_u16(), new.status.as_u16());
            return found(DifferenceKind::Status, format!("status {old}, now {new}"));
        }
        if let Some(name) = header(&stable.headers, &new.headers) {
            return found(DifferenceKind::Header, format!("header {name}"));
        }
        let (Some(old), Some(body)) = (&stable.body, &new.body) else {
            return None;
        };
        if old == body {
            return None;
        }
        if !is_json(&stable.headers) {
            return found(DifferenceKind::Body, plain(old, body));
        }
        match (serde_json::from_slice(old), serde_json::from_slice(body)) {
            (Ok(old), Ok(new)) => {
                let is_problem = stable.status.is_client_error() || stable.status.is_server_error();
                let place = json::place(&old, &new, is_problem)?;
                found(DifferenceKind::Body, format!("body at {place}/"))
            }
            _ => found(
                DifferenceKind::Body,
                "body: one of the two is not JSON".into(),
            ),
        }
    }
}

/// The name of the first relevant header that differs.
fn header(old: &HeaderMap, new: &HeaderMap) -> Option<HeaderName> {
    let names: BTreeSet<&str> = old
        .keys()
        .chain(new.keys())
        .map(HeaderName::as_str)
        .collect();
    let differs = |name: &&str| {
        if IGNORED.iter().any(|ignored| ignored == name) {
            return false;
        }
        if COUNTING_DOWN.iter().any(|counting| counting == name) {
            return directives(old, name) != directives(new, name);
        }
        old.get_all(*name).iter().ne(new.get_all(*name).iter())
    };
    let name = names.into_iter().find(differs)?;
    HeaderName::try_from(name).ok()
}

/// The names of a header's directives.
fn directives(headers: &HeaderMap, name: &str) -> BTreeSet<String> {
    let fields = headers.get_all(name).iter();
    let texts = fields.filter_map(|field| field.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(|directive| directive.split('=').next().unwrap_or_default())
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let essence = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    essence == "application/json" || essence.ends_with("+json")
}

fn plain(old: &[u8], new: &[u8]) -> String {
    let same = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    format!(
        "body from byte {same}, {} bytes, now {}",
        old.len(),
        new.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Side {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().expect("a value"));
        }
        Side {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: all,
            body: Some(Bytes::from_static(body.as_bytes())),
        }
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[test]
    fn the_status_is_looked_at_first() {
        let found = Difference::between(&side(200, &[], "a"), &side(503, &[JSON], "b"));
        let found = found.expect("they differ");
        assert_eq!(
            (found.seen, found.what.as_str()),
            (DifferenceKind::Status, "status 200, now 503")
        );
    }

    #[test]
    fn headers_that_differ_always_do_not_matter() {
        let old = [
            ("date", "Mon"),
            ("age", "1"),
            ("etag", "\"a\""),
            ("x-request-id", "1"),
            ("cache-control", "max-age=3, public"),
            ("set-cookie", "a"),
            ("content-length", "2"),
        ];
        let new = [
            ("date", "Tue"),
            ("etag", "\"b\""),
            ("x-request-id", "2"),
            ("cache-control", "Public, max-age=2"),
            ("set-cookie", "b"),
        ];
        assert_eq!(
            Difference::between(&side(200, &old, "x"), &side(200, &new, "x")),
            None
        );
        for (old, new, name) in [
            (("vary", "a"), ("vary", "b"), "vary"),
            (
                ("content-type", "a/b"),
                ("content-type", "a/c"),
                "content-type",
            ),
            (
                ("cache-control", "max-age=1"),
                ("cache-control", "no-store"),
                "cache-control",
            ),
            (("location", "/a"), ("x-other", "/a"), "location"),
        ] {
            let found = Difference::between(&side(200, &[old], "x"), &side(200, &[new], "x"));
            assert_eq!(found.expect(name).what, format!("header {name}"));
        }
    }

    #[test]
    fn the_request_in_a_problem_is_not_the_answer_s() {
        const PROBLEM: (&str, &str) = ("content-type", "application/problem+json");
        let of = |body| side(404, &[PROBLEM], body);
        let old = of(r#"{"detail":"no","instance":"urn:request:1"}"#);
        assert_eq!(
            Difference::between(&old, &of(r#"{"detail":"no","instance":"urn:request:2"}"#)),
            None
        );
        assert!(
            Difference::between(
                &old,
                &of(r#"{"detail":"never","instance":"urn:request:1"}"#)
            )
            .is_some()
        );
    }

    #[test]
    fn json_bodies_say_where_they_differ() {
        let of = |body| side(200, &[JSON], body);
        for (old, new, what) in [
            (r#"{"a":[1]}"#, r#"{"a":[2]}"#, "body at /a/0/"),
            ("{", "{}", "body: one of the two is not JSON"),
        ] {
            let found = Difference::between(&of(old), &of(new));
            assert_eq!(found.expect(what).what, what);
        }
        assert_eq!(Difference::between(&of("[ 1 ]"), &of("[1]")), None);
    }

    #[test]
    fn other_bodies_are_compared_byte_by_byte() {
        let found = Difference::between(&side(200, &[], "original"), &side(200, &[], "or so"));
        assert_eq!(
            found.expect("they differ").what,
            "body from byte 2, 8 bytes, now 5"
        );
        let mut long = side(200, &[], "original");
        long.body = None;
        assert_eq!(Difference::between(&long, &side(200, &[], "other")), None);
    }
}
