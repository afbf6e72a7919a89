//! Lines of an HTTP/1.1 head (RFC 9112, sections 2.2 and 5), read more strictly than hyper and pingora do: heads that
//! two servers could read differently are how requests are smuggled (section 11.2).

/// The error for a line that ends without CR.
pub const BARE_LINE_END: &str = "lines must end with CR LF";

/// Whether a line in `bytes[start..]` ends without CR.
#[must_use]
pub fn has_bare_line_end(bytes: &[u8], start: usize) -> bool {
    memchr::memchr_iter(b'\n', &bytes[start..])
        .map(|at| start + at)
        .any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// Splits a line into a name and a value. Accepts no space before the colon, no folding and no control characters.
///
/// # Errors
/// The line is no field; the text says why.
#[inline]
pub fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err("a header line must not begin with a space");
    }
    let colon = memchr::memchr(b':', line).ok_or("a header line has no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|&byte| crate::is_token(byte)) {
        return Err("a header name is not a token");
    }
    if has_control(value) {
        return Err("a header value has control characters");
    }
    Ok((name, value.trim_ascii()))
}

/// Whether a line has control characters other than tabs.
#[inline]
pub(crate) fn has_control(line: &[u8]) -> bool {
    // The loop does not stop at the first hit, so the compiler can check many bytes in one step.
    line.iter().fold(false, |found, &byte| {
        found | (byte.is_ascii_control() & (byte != b'\t'))
    })
}

/// Reads a Content-Length: one plain number, without a sign. A list is refused, even of equal numbers.
///
/// # Errors
/// The value is anything else.
pub fn content_length(value: &[u8]) -> Result<u64, &'static str> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or("Content-Length must be one plain number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_token_and_a_value() {
        assert_eq!(split(b"X-A: b c "), Ok((&b"X-A"[..], &b"b c"[..])));
        assert_eq!(split(b"X-A:"), Ok((&b"X-A"[..], &b""[..])));
        for (line, reason) in [
            (" folded: x", "a header line must not begin with a space"),
            ("no colon", "a header line has no colon"),
            ("X : y", "a header name is not a token"),
            (": y", "a header name is not a token"),
            ("X: a\0b", "a header value has control characters"),
            ("X: a\rb", "a header value has control characters"),
        ] {
            assert_eq!(split(line.as_bytes()), Err(reason), "{line:?}");
        }
    }

    #[test]
    fn a_length_is_one_plain_number() {
        assert_eq!(content_length(b"003"), Ok(3));
        for wrong in ["", "+5", "-5", "5, 5", "0x5", "99999999999999999999"] {
            let reason = content_length(wrong.as_bytes()).expect_err(wrong);
            assert_eq!(reason, "Content-Length must be one plain number");
        }
    }

    #[test]
    fn every_line_ends_with_both() {
        assert!(!has_bare_line_end(b"a\r\nb\r\n", 0));
        assert!(has_bare_line_end(b"a\r\nb\n", 0));
        assert!(!has_bare_line_end(b"a\nb\r\n", 2));
        assert!(has_bare_line_end(b"\n", 0));
    }
}
