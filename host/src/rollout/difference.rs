//! What two answers to one request differ in. Of what they say, nothing is kept: names, numbers and places only.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, EXPIRES,
    LAST_MODIFIED, SET_COOKIE, TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

/// Headers that differ between any two answers, or that follow from the body.
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

/// Headers whose directives are compared without their numbers: they count down the time that an answer has left.
static COUNTING_DOWN: [HeaderName; 2] =
    [CACHE_CONTROL, HeaderName::from_static("cdn-cache-control")];

/// The member of a problem (RFC 9457) that names the request.
const INSTANCE: &str = "instance";

/// Deeper than any answer that people read.
const DEEPEST: usize = 32;

/// Longest name of a member that is shown.
const LONGEST_NAME: usize = 32;

/// An answer as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// None if it is not known whole: too long, or that of a HEAD.
    pub(crate) body: Option<Bytes>,
}

/// In what two answers differ. In this order the metrics have it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Status,
    Header,
    Body,
}

/// A difference, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) seen: Seen,
    pub(crate) what: String,
}

impl Difference {
    /// The first thing that tells two answers apart: the status, else the headers that matter, else the body.
    pub(crate) fn between(stable: &Side, new: &Side) -> Option<Self> {
        let found = |seen, what| Some(Self { seen, what });
        if stable.status != new.status {
            let (old, new) = (stable.status.as_u16(), new.status.as_u16());
            return found(Seen::Status, format!("status {old}, now {new}"));
        }
        if let Some(name) = header(&stable.headers, &new.headers) {
            return found(Seen::Header, format!("header {name}"));
        }
        let (Some(old), Some(body)) = (&stable.body, &new.body) else {
            return None;
        };
        if old == body {
            return None;
        }
        if !is_json(&stable.headers) {
            return found(Seen::Body, plain(old, body));
        }
        match (serde_json::from_slice(old), serde_json::from_slice(body)) {
            (Ok(old), Ok(new)) => {
                let is_problem = stable.status.is_client_error() || stable.status.is_server_error();
                let mut path = String::new();
                let differs = json(&old, &new, &mut path, is_problem);
                differs.then(|| Self {
                    seen: Seen::Body,
                    what: format!("body at {path}/"),
                })
            }
            _ => found(Seen::Body, "body: one of the two is not JSON".into()),
        }
    }
}

/// The name of a header that matters and differs.
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

/// The names of a field's directives.
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

/// Whether two values differ. `path` is then where they do, from the outermost inwards.
fn json(old: &Value, new: &Value, path: &mut String, is_problem: bool) -> bool {
    let depth = path.matches('/').count();
    if depth > DEEPEST {
        return old != new;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            names.into_iter().any(|name| {
                let is_ignored = is_problem && depth == 0 && name == INSTANCE;
                !is_ignored
                    && inside(path, shown(name), |path| {
                        match (old.get(name), new.get(name)) {
                            (Some(old), Some(new)) => json(old, new, path, is_problem),
                            _ => true,
                        }
                    })
            })
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() != new.len()
                || old.iter().zip(new).enumerate().any(|(index, (old, new))| {
                    inside(path, &index.to_string(), |path| {
                        json(old, new, path, is_problem)
                    })
                })
        }
        (Value::Number(old), Value::Number(new)) => old != new && old.as_f64() != new.as_f64(),
        _ => old != new,
    }
}

/// Goes one level down, and comes back if nothing differs there.
fn inside(path: &mut String, name: &str, differs: impl FnOnce(&mut String) -> bool) -> bool {
    let length = path.len();
    // Writing to a string never fails.
    _ = write!(path, "/{name}");
    let differs = differs(path);
    if !differs {
        path.truncate(length);
    }
    differs
}

/// A member's name if it is one that a programmer chose; an e-mail address, for one, is not.
fn shown(name: &str) -> &str {
    let is_word = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if name.len() <= LONGEST_NAME && !name.is_empty() && name.bytes().all(is_word) {
        name
    } else {
        "*"
    }
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

    fn of_json(old: &'static str, new: &'static str) -> Option<String> {
        let found = Difference::between(&side(200, &[JSON], old), &side(200, &[JSON], new));
        found.map(|found| found.what)
    }

    #[test]
    fn the_status_is_looked_at_first() {
        let found = Difference::between(&side(200, &[], "a"), &side(503, &[JSON], "b"));
        let found = found.expect("they differ");
        assert_eq!(
            (found.seen, found.what.as_str()),
            (Seen::Status, "status 200, now 503")
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
    fn json_is_compared_as_values() {
        assert_eq!(
            of_json(r#"{"a":1,"b":[2.0]}"#, r#"{ "b": [2], "a": 1 }"#),
            None
        );
        for (old, new, place) in [
            (r#"{"a":1}"#, r#"{"a":2}"#, "body at /a/"),
            (
                r#"{"a":[{"b":1},{"b":2}]}"#,
                r#"{"a":[{"b":1},{"b":3}]}"#,
                "body at /a/1/b/",
            ),
            (r#"{"a":[1]}"#, r#"{"a":[1,2]}"#, "body at /a/"),
            (r#"{"a":null}"#, "{}", "body at /a/"),
            ("1", "\"1\"", "body at /"),
            (
                r#"{"ada@example.com":1}"#,
                r#"{"ada@example.com":2}"#,
                "body at /*/",
            ),
            ("{", "{}", "body: one of the two is not JSON"),
        ] {
            assert_eq!(of_json(old, new).as_deref(), Some(place));
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100), "]".repeat(100));
        let (old, new) = (deep("1"), deep("2"));
        assert!(of_json(old.leak(), new.leak()).is_some());
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
