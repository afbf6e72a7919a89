//! A strict check of HTTP/1.1 heads, before hyper's lenient one. Requests are smuggled through heads that two servers
//! read differently (RFC 9112, section 11.2). Hyper hides such differences: it drops a `Content-Length` beside a
//! `Transfer-Encoding`, and the part of a target after `#`. What hyper does not hide is checked in
//! [`crate::message::head`].

use memchr::memmem;
use store_server::chunks::Chunks;
use store_server::field::{BARE_LINE_END, content_length, has_bare_line_end};

/// The longest head, in bytes: one and a half times the longest target that is understood. It is also the size of
/// hyper's read buffer, so hyper refuses longer heads. The copy of a head that is kept here is no longer.
pub(crate) const MOST_BYTES: usize = 96 * 1024;

/// The request line of HTTP/2's connection preface (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";

/// Follows the bytes that a client sends, from one head to the next.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    place: StreamPosition,
    /// The received part of an incomplete head.
    part: Vec<u8>,
    /// The number of complete heads so far.
    whole: u64,
}

#[derive(Debug, Default)]
enum StreamPosition {
    /// In a head, or before the next one.
    #[default]
    Head,
    /// In a body that has this many bytes left.
    Body(u64),
    Chunks(Chunks),
    /// In HTTP/2, which has no such heads and is not checked here.
    Http2,
}

/// Where and why a request is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The number of valid bytes before the fault, counted from the first byte of the last [`Heads::follow`].
    pub(crate) before: usize,
    /// What is wrong, in words for the client.
    pub(crate) detail: &'static str,
}

impl Heads {
    /// Whether a head has begun and is incomplete.
    pub(crate) fn is_within_one(&self) -> bool {
        // A lone CR may be the first half of an empty line, which begins no head.
        !matches!(self.part.as_slice(), [] | b"\r")
    }

    pub(crate) fn whole(&self) -> u64 {
        self.whole
    }

    pub(crate) fn is_within_body(&self) -> bool {
        matches!(
            self.place,
            StreamPosition::Body(_) | StreamPosition::Chunks(_)
        )
    }

    pub(crate) fn is_http_2(&self) -> bool {
        matches!(self.place, StreamPosition::Http2)
    }

    /// Checks the next bytes.
    ///
    /// # Errors
    /// The bytes hold something that hyper must not see.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let fault = |detail| Fault { before: at, detail };
            let taken = match &mut self.place {
                StreamPosition::Head => self.follow_head(rest).map_err(fault)?,
                StreamPosition::Body(left) => {
                    let taken = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    taken
                }
                StreamPosition::Chunks(chunks) => chunks.follow(rest).map_err(fault)?,
                StreamPosition::Http2 => rest.len(),
            };
            let is_over = match &self.place {
                StreamPosition::Body(left) => *left == 0,
                StreamPosition::Chunks(chunks) => chunks.is_done(),
                StreamPosition::Head | StreamPosition::Http2 => false,
            };
            if is_over {
                self.place = StreamPosition::Head;
            }
            at += taken;
        }
        Ok(())
    }

    /// Checks bytes within a head, and returns how many of them belong to it.
    fn follow_head(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let known = self.part.len();
        // Most heads come in one piece and need no copy.
        let all = if known == 0 {
            bytes
        } else {
            self.part.extend_from_slice(bytes);
            &self.part
        };
        let empty = empty_lines(all);
        let new = known.saturating_sub(3).max(empty);
        let Some(end) = memmem::find(&all[new..], b"\r\n\r\n") else {
            if has_bare_line_end(all, new) {
                // A bare line end is always refused, so there is no need to wait for the rest of the head.
                return Err(BARE_LINE_END);
            }
            if known == 0 {
                self.part.extend_from_slice(&bytes[empty..]);
            } else {
                self.part.drain(..empty);
            }
            self.part.truncate(MOST_BYTES);
            return Ok(bytes.len());
        };
        let end = new + end + 4;
        let place = check(&all[empty..end], self.whole == 0)?;
        self.place = place;
        self.whole += 1;
        self.part.clear();
        Ok(end - known)
    }
}

/// The length in bytes of the empty lines before a head. They are ignored (RFC 9112, section 2.2).
fn empty_lines(bytes: &[u8]) -> usize {
    let lines = bytes.chunks_exact(2).take_while(|line| *line == b"\r\n");
    lines.count() * 2
}

/// Checks a complete head, its final empty line included, and returns what follows it.
fn check(head: &[u8], is_first: bool) -> Result<StreamPosition, &'static str> {
    if has_bare_line_end(head, 0) {
        return Err(BARE_LINE_END);
    }
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let request = lines.next().unwrap_or_default();
    if is_first && request == HTTP_2 {
        return Ok(StreamPosition::Http2);
    }
    let target = request.split(|&byte| byte == b' ').nth(1);
    if target.is_some_and(|target| target.contains(&b'#')) {
        return Err("the target must not have a fragment");
    }
    let (mut length, mut coding) = (None, None);
    for line in lines {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let given = if name.eq_ignore_ascii_case(b"content-length") {
            length.replace(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            coding.replace(value)
        } else {
            None
        };
        if given.is_some() {
            return Err("the body's length is given more than once");
        }
    }
    match (length, coding) {
        (None, None) => Ok(StreamPosition::Head),
        (Some(_), Some(_)) => Err("Content-Length and Transfer-Encoding exclude each other"),
        (Some(length), None) => Ok(match content_length(length)? {
            0 => StreamPosition::Head,
            length => StreamPosition::Body(length),
        }),
        // Any other coding would be ignored, and the coded bytes be taken for the body (RFC 9112, section 6.1).
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(StreamPosition::Chunks(Chunks::default()))
        }
        (None, Some(_)) => Err("no transfer coding but `chunked` is understood"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fault of `bytes`, if any. It must be the same whether they come in one piece or byte by byte.
    fn judge(bytes: &str) -> Result<Heads, &'static str> {
        let mut whole = Heads::default();
        let verdict = whole.follow(bytes.as_bytes()).map_err(|fault| fault.detail);
        let mut pieces = Heads::default();
        let by_byte = bytes
            .bytes()
            .try_for_each(|byte| pieces.follow(&[byte]).map_err(|fault| fault.detail));
        assert_eq!(verdict, by_byte, "{bytes:?}");
        if verdict.is_ok() {
            assert_eq!(whole.whole, pieces.whole, "{bytes:?}");
            assert_eq!(whole.part, pieces.part, "{bytes:?}");
        }
        verdict.map(|()| whole)
    }

    const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn the_next_head_is_found_after_any_body() {
        for before in [
            "",
            "\r\n\r\n",
            PLAIN,
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length:  003 \r\n\r\n#\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n4\r\na\n\n#\r\n0\r\nx: y\r\n\r\n",
        ] {
            let heads = judge(&format!("{before}{PLAIN}GET /x")).expect(before);
            let expected = 1 + u64::from(before.len() > 4);
            assert_eq!((heads.whole, &heads.part[..]), (expected, &b"GET /x"[..]));
            let wrong = format!("{before}GET /#a HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(judge(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn empty_lines_begin_no_head_however_they_come() {
        let mut heads = Heads::default();
        for part in ["\r", "\n", "\r\n\r", "\n"] {
            heads.follow(part.as_bytes()).expect("they are ignored");
            assert!(!heads.is_within_one(), "{part:?}");
        }
        heads.follow(b"\r\nG").expect("a head begins");
        assert!(heads.is_within_one());
    }

    #[test]
    fn what_hyper_would_hide_is_refused() {
        let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
        for wrong in [
            head("Content-Length: 5\r\nTransfer-Encoding: chunked"),
            head("Transfer-Encoding: chunked\r\nContent-Length: 5"),
            head("Content-Length: 5\r\nContent-Length: 5"),
            head("Content-Length: 5, 5"),
            head("Content-Length: +5"),
            head("Transfer-Encoding: gzip, chunked"),
            head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            head("X: a\nY: b"),
            "GET / HTTP/1.1\nHost: a\n\n".into(),
            "GET / HTTP/1.1\r\nHost: a\n\r\n".into(),
            "\nGET / HTTP/1.1\r\n".into(),
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\n".into(),
        ] {
            assert!(judge(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_before_a_fault_passes() {
        let mut heads = Heads::default();
        let wrong = format!("{PLAIN}GET /#a HTTP/1.1\r\n\r\n");
        let fault = heads.follow(wrong.as_bytes()).expect_err("a fragment");
        assert_eq!(fault.before, PLAIN.len());
    }

    #[test]
    fn http_2_is_left_alone_and_begins_a_connection() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\n\n#";
        let heads = judge(preface).expect("HTTP/2");
        assert!(heads.is_http_2() && !heads.is_within_one());
        let late = judge(&format!("{PLAIN}{preface}"));
        assert!(!late.is_ok_and(|heads| heads.is_http_2()));
    }
}
