//! Where a chunked body ends (RFC 9112, section 7.1), told as strictly as the proxy tells it: hyper forgives what other
//! servers may read differently, and the next head begins where this one says.

/// Longest line between chunks, and longest trailer line, in bytes.
const LONGEST_LINE: usize = 1024;

/// Follows the framing of one chunked body.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    place: Place,
    /// The line with a size or a trailer, as far as it has come.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In the line with a chunk's size.
    #[default]
    Size,
    /// In a chunk, with so many bytes to come.
    Data(u64),
    /// In the CR LF after a chunk, with so many bytes to come.
    AfterData(u8),
    /// In the lines after the last chunk.
    Trailers,
    End,
}

impl Chunks {
    /// Whether the last chunk and all trailers were there.
    pub(crate) fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// Takes in the next bytes, and says how many of them are the body's.
    ///
    /// # Errors
    /// The bytes are not what must come next.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        let mut at = 0;
        while at < bytes.len() && self.place != Place::End {
            let byte = bytes[at];
            let mut taken = 1;
            self.place = match self.place {
                Place::Data(left) => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    taken = most.min(bytes.len() - at);
                    match left - taken as u64 {
                        0 => Place::AfterData(2),
                        left => Place::Data(left),
                    }
                }
                Place::AfterData(2) if byte == b'\r' => Place::AfterData(1),
                Place::AfterData(1) if byte == b'\n' => Place::Size,
                Place::AfterData(_) => return Err("a chunk is longer than its size"),
                place => self.line_byte(place, byte)?,
            };
            at += taken;
        }
        Ok(at)
    }

    /// One more byte of a line, and what comes after it.
    fn line_byte(&mut self, place: Place, byte: u8) -> Result<Place, &'static str> {
        if self.line.len() == LONGEST_LINE {
            return Err("a line of the chunked body is too long");
        }
        self.line.push(byte);
        if byte != b'\n' {
            return Ok(place);
        }
        let line = std::mem::take(&mut self.line);
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or("lines must end with CR LF")?;
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        if line.iter().any(is_control) {
            return Err("a line of the chunked body has control characters");
        }
        match place {
            Place::Size => size(line),
            _ if line.is_empty() => Ok(Place::End),
            _ => Ok(place),
        }
    }
}

/// What the line of a chunk's size leads to: hexadecimal digits, and perhaps extensions, which nobody reads.
fn size(line: &[u8]) -> Result<Place, &'static str> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let number = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|text| u64::from_str_radix(text, 16).ok());
    match number {
        Some(0) => Ok(Place::Trailers),
        Some(size) => Ok(Place::Data(size)),
        None => Err("a chunk's size must be a hexadecimal number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece and byte by byte, which must come to the same.
    fn follow(body: &str) -> Result<(usize, Place), &'static str> {
        let mut whole = Chunks::default();
        let taken = whole.follow(body.as_bytes());
        let mut pieces = Chunks::default();
        let by_byte = body
            .bytes()
            .try_fold(0, |sum, byte| Ok(sum + pieces.follow(&[byte])?));
        assert_eq!(taken, by_byte, "{body:?}");
        taken.map(|taken| (taken, whole.place))
    }

    #[test]
    fn a_well_formed_body_comes_to_an_end() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00a;name=\"value\"\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n",
        ] {
            assert_eq!(follow(body), Ok((body.len(), Place::End)));
            let more = format!("{body}GET /");
            assert_eq!(follow(&more), Ok((body.len(), Place::End)));
        }
        assert_eq!(follow("5\r\nhel"), Ok((6, Place::Data(2))));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "0".repeat(LONGEST_LINE + 1);
        for body in [
            "\r\n\r\n",
            "0x5\r\nhello\r\n",
            "-5\r\n",
            "+5\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0\r\n",
            "5;a\nb\r\n",
            "5;a\0\r\n",
            "10000000000000000\r\n",
            "0\r\nx: a\rb\r\n\r\n",
            &long,
        ] {
            assert!(follow(body).is_err(), "{body:?}");
        }
    }
}
