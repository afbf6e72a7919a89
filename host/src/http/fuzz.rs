//! A fuzz target: what a client sends over HTTP/1.1, as it is checked here and as hyper reads it.

use http::uri::PathAndQuery;
use http::{Request, Version};
use httparse::Status;
use store_server::chunks::Chunks;

use super::heads::Heads;
use crate::message::head::complete;

/// The most fields that hyper reads of a head.
const MOST_FIELDS: usize = 100;

/// However the bytes are cut into pieces, they pass or are refused for the same reason. If they pass, httparse, which
/// hyper uses, finds no head in them that was not checked, and the next head is looked for where hyper ends the body.
#[test]
fn heads() {
    store_fuzz::target("host-head", |input| {
        let Some((&size, bytes)) = input.split_first() else {
            return;
        };
        let at_once = judged(bytes, bytes.len());
        assert_eq!(judged(bytes, size.into()), at_once);
        if at_once.is_ok() {
            follow_hyper(bytes);
        }
    });
}

/// What [`Heads`] knows after bytes that come in pieces of `size`, or why it refuses them.
fn judged(bytes: &[u8], size: usize) -> Result<String, &'static str> {
    let mut heads = Heads::default();
    for piece in bytes.chunks(size.max(1)) {
        heads.follow(piece).map_err(|fault| fault.detail)?;
    }
    Ok(format!("{heads:?}"))
}

/// Reads bytes that passed as hyper does, head by head, and checks that [`Heads`] is always in the same place.
fn follow_hyper(mut bytes: &[u8]) {
    let mut heads = Heads::default();
    for count in 1.. {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(read) = request.parse(bytes) else {
            // Hyper refuses this head, and reads nothing after it.
            return;
        };
        let Status::Complete(length) = read else {
            pass(&mut heads, bytes);
            return assert_eq!(heads.whole(), count - 1);
        };
        let (head, rest) = bytes.split_at(length);
        pass(&mut heads, head);
        let body = Body::of(&request, rest);
        let is_whole = body.is_none_or(|body| body.is_whole);
        assert_eq!(
            (heads.whole(), heads.is_within_body()),
            (count, body.is_some())
        );
        check_completed(&request);
        let (body, next) = rest.split_at(body.map_or(0, |body| body.length));
        pass(&mut heads, body);
        assert_eq!(
            (heads.whole(), heads.is_within_body(), heads.is_within_one()),
            (count, !is_whole, false)
        );
        if !is_whole {
            return;
        }
        bytes = next;
    }
}

fn pass(heads: &mut Heads, bytes: &[u8]) {
    heads.follow(bytes).expect("it passed in other pieces");
}

/// The part of a request's body that has come.
#[derive(Clone, Copy)]
struct Body {
    length: usize,
    is_whole: bool,
}

impl Body {
    /// `None` if the request has none. `rest` is what follows the head.
    fn of(request: &httparse::Request<'_, '_>, rest: &[u8]) -> Option<Self> {
        let value = |name: &str| {
            let mut fields = request.headers.iter();
            let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value.trim_ascii())
        };
        if value("transfer-encoding").is_some() {
            let mut chunks = Chunks::default();
            let length = chunks.follow(rest).expect("it passed with its head");
            return Some(Self {
                length,
                is_whole: chunks.is_done(),
            });
        }
        let length = std::str::from_utf8(value("content-length")?).expect("digits");
        let length: u64 = length.parse().expect("a number");
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        (length > 0).then(|| Self {
            length: length.min(rest.len()),
            is_whole: length <= rest.len(),
        })
    }
}

/// Checks that a request keeps the target that its client sent, and is the same if it is completed twice.
fn check_completed(read: &httparse::Request<'_, '_>) {
    let target = read.path.unwrap_or_default();
    let version = match read.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut request = Request::builder()
        .method(read.method.unwrap_or_default())
        .uri(target)
        .version(version);
    for field in read.headers.iter() {
        request = request.header(field.name, field.value);
    }
    // Hyper refuses what can't be built.
    let Ok(mut request) = request.body(()) else {
        return;
    };
    if complete(&mut request).is_err() {
        return;
    }
    let uri = request.uri().clone();
    assert!(uri.scheme().is_some() && uri.authority().is_some(), "{uri}");
    if target.starts_with('/') {
        assert_eq!(uri.path_and_query().map(PathAndQuery::as_str), Some(target));
    }
    assert_eq!(complete(&mut request), Ok(()));
    assert_eq!(*request.uri(), uri);
}
