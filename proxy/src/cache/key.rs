//! The key of a request: requests with equal keys get the same answer (RFC 9111, sections 2 and 4.1).

use http::header::VARY;
use http::{HeaderMap, HeaderName};
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, VarianceBuilder};
use pingora_http::RequestHeader;

use super::selecting;
use crate::message::forwarded::RequestAuthority;
use crate::message::target;

/// The key holds the number of purges, scheme and host as the server is told, path and query. The method is not part of
/// it: the answer to a GET also serves HEAD.
pub(super) fn of(request: &RequestHeader, asked: &RequestAuthority<'_>, purges: u64) -> CacheKey {
    let target = request
        .uri
        .path_and_query()
        .map_or(b"*".as_slice(), |target| target.as_str().as_bytes());
    CacheKey::new(
        primary(asked.host, target, asked.https, purges),
        String::new(),
    )
}

/// The bytes of a key, the same for all spellings of a host and a target. No part after the first, whose length is
/// fixed, can contain a line feed.
pub(super) fn primary(host: &[u8], target: &[u8], https: bool, purges: u64) -> Vec<u8> {
    let purges = purges.to_be_bytes();
    let target = target::normal(target);
    let scheme: &[u8] = if https { b"https" } else { b"http" };
    let length = purges.len() + scheme.len() + host.len() + target.len() + 2;
    let mut primary = Vec::with_capacity(length);
    primary.extend_from_slice(&purges);
    primary.extend_from_slice(scheme);
    primary.push(b'\n');
    let (name, port) = host.split_at(end_of_name(host));
    let name = name.strip_suffix(b".").unwrap_or(name);
    primary.extend(name.iter().chain(port).map(u8::to_ascii_lowercase));
    primary.push(b'\n');
    primary.extend_from_slice(&target);
    primary
}

/// Where the host's name ends, which is where the port begins, if there is one.
fn end_of_name(host: &[u8]) -> usize {
    let last = memchr::memrchr(b':', host);
    last.filter(|_| !host.ends_with(b"]")).unwrap_or(host.len())
}

/// Tells the answers of one key apart: a hash of the request's headers that `Vary` names.
pub(crate) fn variance(kept: &CacheMeta, request: &RequestHeader) -> Option<HashBinary> {
    let mut builder = VarianceBuilder::new();
    // An answer whose `Vary` can't be read is not kept, so `flatten` drops nothing here.
    for name in varied(kept.headers()).flatten() {
        let value = selecting::normal(&name, &request.headers);
        builder.add_owned_name_value(name.as_str().to_owned(), value);
    }
    builder.finalize()
}

/// The names that `Vary` lists (RFC 9110, sections 5.6.1 and 12.5.5). An invalid name is `None`.
pub(super) fn varied(answer: &HeaderMap) -> impl Iterator<Item = Option<HeaderName>> {
    let lines = answer.get_all(VARY).iter();
    let names = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    let names = names
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty());
    names.map(|name| HeaderName::from_bytes(name).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, host: &str) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).expect("a request");
        request.insert_header("host", host).expect("a header");
        request
    }

    #[test]
    fn host_path_and_query_tell_requests_apart() {
        let after = |purges, target, host, https| {
            let request = request(target, host);
            let key = of(
                &request,
                &RequestAuthority::of(&request, https, false),
                purges,
            );
            key.primary_key().to_vec()
        };
        let of = |target, host, https| after(0, target, host, https);
        let one = of("/a?b=1", "shop", false);
        for (target, host) in [
            ("/a?b=1", "SHOP"),
            ("/%61?%62=1", "shop"),
            ("/a?b=1", "shop."),
        ] {
            assert_eq!(one, of(target, host, false), "{host}{target}");
        }
        assert_eq!(of("/a", "shop:81", false), of("/a", "shop.:81", false));
        assert_ne!(one, after(1, "/a?b=1", "shop", false));
        for other in [
            of("/a?b=2", "shop", false),
            of("/a", "shop", false),
            of("//a?b=1", "shop", false),
            of("/b/../a?b=1", "shop", false),
            of("/a?b=1", "shop:81", false),
            of("/a?b=1", "shop", true),
        ] {
            assert_ne!(one, other);
        }
    }
}
