//! Requests that are refused before pingora hears of them are counted and logged like all others.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::message::request_id::new_id;
use crate::metrics::Reason;
use crate::request::access_log::{AccessLog, Entry};
use crate::table::live::LiveTable;

/// Longest part of a refused target that goes into the log, in bytes.
const LONGEST_TARGET: usize = 1024;

/// Counts and logs refusals.
#[derive(Clone)]
pub(crate) struct Refusals {
    pub(crate) live: Arc<LiveTable>,
    pub(crate) access_log: Arc<AccessLog>,
}

/// A refused request, as far as its head could be read.
#[derive(Clone, Copy)]
pub(crate) struct Refusal<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) client: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) http_version: &'a str,
    /// Status of the answer; 0 if there was none.
    pub(crate) status: u16,
    pub(crate) bytes_sent: u64,
    pub(crate) since: Instant,
}

impl<'a> Refusal<'a> {
    /// A request whose head was not read.
    pub(crate) fn unread(request_id: &'a str, client: IpAddr, http_version: &'a str) -> Self {
        Self {
            request_id,
            client,
            method: "-",
            target: "-",
            host: None,
            http_version,
            status: 0,
            bytes_sent: 0,
            since: Instant::now(),
        }
    }

    /// Adds method and target from the first line of an HTTP/1 head. The line may be incomplete; what can't be read
    /// stays `-`.
    pub(crate) fn with_line(mut self, head: &'a [u8]) -> Self {
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let mut word = |longest: usize| {
            let word = words.next().filter(|word| !word.is_empty())?;
            let word = &word[..word.len().min(longest)];
            word.iter().all(u8::is_ascii_graphic).then_some(())?;
            std::str::from_utf8(word).ok()
        };
        self.method = word(32).unwrap_or("-");
        self.target = word(LONGEST_TARGET).unwrap_or("-");
        self
    }
}

impl Refusals {
    /// Logs a refusal, and counts it if it has a reason.
    pub(crate) fn note(&self, refused: &Refusal<'_>, reason: Option<Reason>) {
        if let Some(reason) = reason {
            self.live.metrics.refuse(reason);
        }
        if !self.access_log.enabled_for(refused.status) {
            return;
        }
        let duration = refused.since.elapsed();
        self.access_log.log(&Entry {
            time: SystemTime::now() - duration,
            request_id: refused.request_id,
            trace: None,
            client: refused.client,
            method: refused.method,
            path: refused.target,
            host: refused.host,
            http_version: refused.http_version,
            status: refused.status,
            bytes_sent: refused.bytes_sent,
            duration,
            group: None,
            upstream: None,
            tries: 0,
            cache: None,
            refused: reason.map(Reason::label),
            user_agent: None,
        });
    }

    /// Counts and logs the refusal of a client that has sent no head, or one that can't be read.
    pub(crate) fn note_unread(&self, client: IpAddr, http_version: &str, reason: Option<Reason>) {
        let id = new_id();
        let id = id.to_str().unwrap_or("-");
        self.note(&Refusal::unread(id, client, http_version), reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_told_as_can_be_read() {
        for (head, expected) in [
            ("GET /a\"b HTTP/1.1\r\nHost: a\r\n\r\n", ("GET", "/a\"b")),
            ("GET /half", ("GET", "/half")),
            ("GET ", ("GET", "-")),
            ("\u{1}\u{2} /x HTTP/1.1\r\n", ("-", "/x")),
            ("", ("-", "-")),
        ] {
            let unread = Refusal::unread("id", [192, 0, 2, 1].into(), "1.1");
            let told = unread.with_line(head.as_bytes());
            assert_eq!((told.method, told.target), expected, "{head:?}");
        }
    }
}
