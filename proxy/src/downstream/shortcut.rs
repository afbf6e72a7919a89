//! The plainest requests for what is kept in memory, answered before pingora hears of them, at a fraction of the cost.
//! Whatever is less plain goes the whole way, to the same answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::{BufMut, BytesMut};

use crate::cache::Outcome;
use crate::message::head::{self, split_field};
use crate::message::request_id::{REQUEST_ID, new_id};
use crate::message::target;
use crate::metrics::class;
use crate::request::access_log::{AccessLog, Entry};
use crate::table::live::Live;

/// Headers that change nothing about an answer that is kept whole and does not vary.
const HARMLESS: [&[u8]; 12] = [
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"user-agent",
    b"referer",
    b"origin",
    b"dnt",
    b"sec-fetch-dest",
    b"sec-fetch-mode",
    b"sec-fetch-site",
    b"priority",
    b"upgrade-insecure-requests",
];

/// What is needed to answer such requests.
pub(crate) struct Shortcut {
    pub(crate) live: Arc<Live>,
    pub(crate) access_log: Arc<AccessLog>,
}

/// The other end of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    pub(crate) https: bool,
}

/// A GET with nothing but harmless headers.
#[derive(Debug, PartialEq, Eq)]
struct PlainRequest<'a> {
    target: &'a str,
    host: &'a str,
    user_agent: Option<&'a str>,
}

impl Shortcut {
    /// The whole answer to a request with this head, which was checked, and no body; none if it goes the whole way.
    /// Counts and logs what it answers.
    pub(crate) fn answer(&self, head: &[u8], client: Client) -> Option<BytesMut> {
        let began = Instant::now();
        let table = self.live.table();
        let compression = &table.config.compression;
        if table.rate.is_some() || compression.gzip > 0 || compression.brotli > 0 {
            return None;
        }
        let plain = plain(head)?;
        let path = plain.target.split('?').next().unwrap_or_default();
        let group = table.routes.find(plain.host, path)?;
        let cache = group.cache.filter(|_| self.live.may_use_caches())?;
        let kept = cache.find_whole(plain.host, plain.target, client.https)?;
        let now = SystemTime::now();
        let ttl = kept.fresh_until.duration_since(now).ok()?.as_secs();
        let age = now.duration_since(kept.made).unwrap_or_default().as_secs();

        let request_id = new_id();
        let mut answer = BytesMut::with_capacity(kept.head.len() + kept.body.len() + 160);
        answer.put_slice(&kept.head);
        answer.put_slice(
            format!("Age: {age}\r\nCache-Status: store-proxy; hit; ttl={ttl}\r\n").as_bytes(),
        );
        answer.put_slice(REQUEST_ID.as_str().as_bytes());
        answer.put_slice(b": ");
        answer.put_slice(request_id.as_bytes());
        answer.put_slice(b"\r\n\r\n");
        answer.put_slice(&kept.body);

        group.budget.request(began);
        group.metrics.requests[class(200)].inc();
        group
            .metrics
            .duration
            .observe(began.elapsed().as_secs_f64());
        cache.count(Outcome::Hit);
        let path = target::normal(path.as_bytes());
        self.live.metrics.answered_from_cache(&path);
        if self.access_log.enabled_for(200) {
            self.access_log.log(&Entry {
                time: now,
                request_id: request_id.to_str().unwrap_or("-"),
                client: client.address,
                method: "GET",
                path: plain.target,
                host: Some(plain.host),
                http_version: "1.1",
                status: 200,
                bytes_sent: kept.body.len() as u64,
                duration: began.elapsed(),
                group: Some(&group.name),
                upstream: None,
                tries: 0,
                cache: Some(Outcome::Hit.label()),
                refused: None,
                user_agent: plain.user_agent,
            });
        }
        Some(answer)
    }
}

/// The parts of such a head.
fn plain(head: &[u8]) -> Option<PlainRequest<'_>> {
    let mut lines = head::lines(head);
    let target = lines.next()?.strip_prefix(b"GET ")?;
    let target = target.strip_suffix(b" HTTP/1.1")?;
    if !target.starts_with(b"/") {
        return None;
    }
    let (mut host, mut user_agent) = (None, None);
    for line in lines {
        let (name, value) = split_field(line).ok()?;
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"host") {
            host = Some(value);
        } else if is(b"user-agent") {
            user_agent = std::str::from_utf8(value).ok();
        } else if is(b"connection") {
            if !value.eq_ignore_ascii_case(b"keep-alive") {
                return None;
            }
        } else if !HARMLESS.iter().any(|harmless| is(harmless)) {
            return None;
        }
    }
    Some(PlainRequest {
        target: std::str::from_utf8(target).ok()?,
        host: std::str::from_utf8(host?).ok()?,
        user_agent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plainest_requests_are_answered_here() {
        let head =
            b"GET /a?b HTTP/1.1\r\nHost: shop\r\nUser-Agent: x\r\nConnection: keep-alive\r\n\r\n";
        let expected = PlainRequest {
            target: "/a?b",
            host: "shop",
            user_agent: Some("x"),
        };
        assert_eq!(plain(head), Some(expected));
        for line in [
            "Cookie: a=b",
            "Authorization: x",
            "If-None-Match: *",
            "Cache-Control: no-cache",
            "Connection: close",
            "Range: bytes=0-1",
            "X-Request-Id: mine",
            "X-Forwarded-For: 1.2.3.4",
            "Anything: else",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: shop\r\n{line}\r\n\r\n");
            assert_eq!(plain(head.as_bytes()), None, "{line}");
        }
        for line in [
            "HEAD / HTTP/1.1",
            "POST / HTTP/1.1",
            "GET / HTTP/1.0",
            "GET http://a/ HTTP/1.1",
        ] {
            let head = format!("{line}\r\nHost: shop\r\n\r\n");
            assert_eq!(plain(head.as_bytes()), None, "{line}");
        }
    }
}
