//! Reads the head of an upstream's answer in place: how its body ends, and which fields go on to the client.

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use bytes::{BufMut, BytesMut};

use super::hop;

/// Most header lines of an answer; pingora accepts as many.
pub(super) const MOST_LINES: usize = 256;

/// Most bytes of an answer's head; pingora accepts as many.
const LONGEST: usize = 1024 * 1024;

/// The head of an answer, which borrows the bytes that were read.
pub(crate) struct AnswerHead<'a> {
    pub(crate) status: u16,
    /// Length of the head in bytes.
    pub(crate) length: usize,
    pub(crate) body: AnswerBody,
    /// Whether the upstream's connection may be used again, once the body is read.
    pub(crate) keeps_connection: bool,
    /// Whether `Connection` names other fields.
    names_fields: bool,
    reason: &'a str,
    fields: Vec<(&'a [u8], &'a [u8])>,
}

/// How an answer's body ends (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerBody {
    /// There is no body, whatever the fields say.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// Bytes that are no answer, or that two readers could understand differently.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer's head is malformed: {0}")]
pub(crate) struct MalformedAnswer(&'static str);

/// Reads the head at the beginning of `bytes`; `None` if it is not complete. `to_head` says that the request was a
/// HEAD, whose answer has no body.
///
/// This is as lenient as pingora, because the operator chooses the upstreams: lines may end with LF alone, and a folded
/// line counts as one line.
///
/// # Errors
/// The bytes are no head, the head is too long, or it does not say how the body ends.
pub(crate) fn read(bytes: &[u8], to_head: bool) -> Result<Option<AnswerHead<'_>>, MalformedAnswer> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_LINES];
    let mut parsed = httparse::Response::new(&mut []);
    let mut parser = httparse::ParserConfig::default();
    parser.allow_spaces_after_header_name_in_responses(true);
    parser.allow_obsolete_multiline_headers_in_responses(true);
    let length = match parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() > LONGEST => {
            return Err(MalformedAnswer("it is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(MalformedAnswer("it is not HTTP")),
    };
    let status = parsed.code.unwrap_or_default();
    let is_1_1 = parsed.version == Some(1);
    if !(100..=999).contains(&status) {
        return Err(MalformedAnswer("it has no status"));
    }
    let mut framing = Framing::default();
    let mut read = Vec::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let (name, value) = (field.name.as_bytes(), field.value);
        framing.field(name, value)?;
        read.push((name, value));
    }
    let bodiless = to_head || matches!(status, 100..=199 | 204 | 304);
    let body = if bodiless {
        AnswerBody::None
    } else {
        framing.body()?
    };
    // RFC 9112, sections 6.1 and 9.3, say whether the connection persists.
    let keeps_connection = match is_1_1 {
        true => !framing.closes,
        false => framing.stays && !framing.closes && framing.codings == 0,
    };
    Ok(Some(AnswerHead {
        status,
        length,
        body,
        keeps_connection: keeps_connection && body != AnswerBody::UntilClose,
        names_fields: framing.names_fields,
        reason: parsed.reason.unwrap_or_default(),
        fields: read,
    }))
}

/// Collects the fields that decide how the body ends, and whether the connection may be used again.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    codings: usize,
    is_chunked: bool,
    closes: bool,
    stays: bool,
    names_fields: bool,
}

impl Framing {
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), MalformedAnswer> {
        match name.len() {
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    let closes = option.eq_ignore_ascii_case(b"close");
                    let stays = option.eq_ignore_ascii_case(b"keep-alive");
                    self.closes |= closes;
                    self.stays |= stays;
                    self.names_fields |= !closes && !stays;
                }
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.length(value)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.codings += 1;
                self.is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
        Ok(())
    }

    /// A number may be repeated, if all copies are equal (RFC 9110, section 8.6).
    fn length(&mut self, value: &[u8]) -> Result<(), MalformedAnswer> {
        for length in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let length = match length {
                [] => None,
                digits => super::head::content_length(digits).ok(),
            };
            let length = length.ok_or(MalformedAnswer("its length is no number"))?;
            if *self.length.get_or_insert(length) != length {
                return Err(MalformedAnswer("it has two lengths"));
            }
        }
        Ok(())
    }

    fn body(&self) -> Result<AnswerBody, MalformedAnswer> {
        match (self.codings, self.length) {
            (0, Some(length)) => Ok(AnswerBody::Length(length)),
            (0, None) => Ok(AnswerBody::UntilClose),
            // If there are both, the chunks count and the length does not.
            (1, _) if self.is_chunked => Ok(AnswerBody::Chunked),
            // The proxy has not announced that it understands other codings (RFC 9112, section 7.4).
            _ => Err(MalformedAnswer("its transfer coding is unknown")),
        }
    }
}

impl AnswerHead<'_> {
    /// Whether the head is informational, so that another head follows.
    pub(crate) fn is_informational(&self) -> bool {
        self.status < 200
    }

    /// Writes the head for the client, without its last empty line, so that more fields can be added. Leaves out the
    /// fields that end with this hop, and those that `replaced` selects, which the caller writes anew.
    pub(crate) fn write(&self, to: &mut BytesMut, replaced: impl Fn(&[u8]) -> bool) {
        to.put_slice(b"HTTP/1.1 ");
        let status = self.status;
        to.put_slice(
            &[status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8),
        );
        to.put_slice(b" ");
        to.put_slice(self.reason.as_bytes());
        to.put_slice(b"\r\n");
        for (name, value) in self.fields_that_go_on() {
            if !replaced(name) {
                to.put_slice(name);
                to.put_slice(b": ");
                put_value(to, value);
                to.put_slice(b"\r\n");
            }
        }
        if matches!(self.body, AnswerBody::Chunked | AnswerBody::UntilClose) {
            to.put_slice(b"Transfer-Encoding: chunked\r\n");
        }
    }

    /// Names and values of the fields that go on to the client, unchanged. A value may be folded, see [`put_value`].
    pub(crate) fn fields_that_go_on(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut has_length = false;
        let goes_on = move |(name, _): &(&[u8], &[u8])| self.goes_on(name, &mut has_length);
        self.fields.iter().copied().filter(goes_on)
    }

    fn goes_on(&self, name: &[u8], has_length: &mut bool) -> bool {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            10 if is(b"connection") => false,
            14 if is(b"content-length") => {
                let first = !std::mem::replace(has_length, true);
                first && matches!(self.body, AnswerBody::Length(_) | AnswerBody::None)
            }
            // Without a body, the coding says what a GET would bring.
            17 if is(b"transfer-encoding") => self.body == AnswerBody::None && self.status == 200,
            7 | 10 | 16 | 18 if hop::is_for_next_hop(name) => false,
            _ => !(self.names_fields && self.is_named(name)),
        }
    }

    /// Whether a `Connection` line names the field.
    fn is_named(&self, name: &[u8]) -> bool {
        let lines = self.fields.iter();
        let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
        hop::named(lines.map(|(_, value)| *value))
            .any(|named| name.eq_ignore_ascii_case(named.as_bytes()))
    }

    /// Number of header lines.
    pub(crate) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is a field of this name.
    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.field(name).is_some()
    }

    /// The value of the first field of this name.
    pub(crate) fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }
}

/// Writes a value in one line, even if it is folded (RFC 9112, section 5.2).
pub(crate) fn put_value(to: &mut BytesMut, value: &[u8]) {
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return to.put_slice(value);
    }
    for &byte in value {
        to.put_u8(if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            byte
        });
    }
}
