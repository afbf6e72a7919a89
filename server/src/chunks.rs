//! Finds the end of a chunked body (RFC 9112, section 7.1). Bodies are checked here before hyper and pingora read them,
//! as these accept framing that other servers may read differently. The next request's head begins where the body ends
//! by these rules.

use crate::field;

/// Longest line between chunks, and longest trailer line, in bytes.
const LONGEST_LINE: usize = 1024;

/// Most bytes of all trailers and chunk extensions together; nothing here reads them.
const LONGEST_EXTRAS: usize = 16 * 1024;

/// Follows the framing of one chunked body.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    line: Vec<u8>,
    /// Bytes of extensions and trailers that were seen.
    extra_bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the line with a chunk's size.
    #[default]
    Size,
    /// In a chunk, with this many bytes still to come.
    Data(u64),
    /// In the CR LF after a chunk, with this many of its bytes seen.
    AfterData(usize),
    /// In the lines after the last chunk.
    Trailers,
    /// After the body.
    End,
}

impl Chunks {
    /// Whether the last chunk and all trailers have come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Reads the next bytes, and returns how many of them belong to the body.
    ///
    /// # Errors
    /// The bytes break the framing; the text says how.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, &'static str> {
        self.decode(bytes, |_| {})
    }

    /// Like [`Chunks::follow`], and passes the content of the chunks to `data`, piece by piece; no piece is empty.
    ///
    /// # Errors
    /// The bytes break the framing; the text says how.
    pub fn decode(
        &mut self,
        mut bytes: &[u8],
        mut data: impl FnMut(&[u8]),
    ) -> Result<usize, &'static str> {
        let given = bytes.len();
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::End => break,
                State::Data(left) => {
                    let taken = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    data(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    self.state = match left - taken as u64 {
                        0 => State::AfterData(0),
                        left => State::Data(left),
                    };
                    continue;
                }
                State::AfterData(seen) => {
                    if first != b"\r\n"[seen] {
                        return Err("a chunk is longer than its size");
                    }
                    self.state = if seen == 0 {
                        State::AfterData(1)
                    } else {
                        State::Size
                    };
                }
                State::Size | State::Trailers => {
                    self.line.push(first);
                    if first == b'\n' {
                        self.end_line()?;
                    } else if self.line.len() > LONGEST_LINE {
                        return Err("a line of the chunked body is too long");
                    }
                }
            }
            bytes = rest;
        }
        Ok(given - bytes.len())
    }

    fn end_line(&mut self) -> Result<(), &'static str> {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r\n").ok_or(field::BARE_LINE_END)?;
        if field::has_control(line) {
            return Err("a line of the chunked body has control characters");
        }
        let extra_from = match self.state {
            State::Size => line
                .iter()
                .position(|&byte| byte == b';')
                .unwrap_or(line.len()),
            _ => 0,
        };
        self.extra_bytes += line.len() - extra_from;
        if self.extra_bytes > LONGEST_EXTRAS {
            return Err("chunk extensions and trailers are too long");
        }
        if self.state == State::Size {
            self.state = match size(&line[..extra_from])? {
                0 => State::Trailers,
                size => State::Data(size),
            };
        } else if line.is_empty() {
            self.state = State::End;
        } else {
            field::split(line)?;
        }
        Ok(())
    }
}

/// Reads a chunk's size, which has hexadecimal digits only.
fn size(digits: &[u8]) -> Result<u64, &'static str> {
    let wrong = "a chunk's size must be a hexadecimal number";
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| wrong)?;
    u64::from_str_radix(digits, 16).map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(body: &[u8]) -> Result<State, &'static str> {
        // Once in one piece and once byte by byte, with the same result.
        let mut whole = Chunks::default();
        let verdict = whole.follow(body);
        let mut pieces = Chunks::default();
        let by_byte = body
            .iter()
            .try_fold(0, |sum, &byte| Ok(sum + pieces.follow(&[byte])?));
        assert_eq!(verdict, by_byte);
        verdict.map(|_| whole.state)
    }

    #[test]
    fn well_formed_bodies_come_to_an_end() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "00a;name=\"value\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1",
        ] {
            assert_eq!(follow(body.as_bytes()), Ok(State::End), "{body:?}");
        }
        assert_eq!(follow(b"5\r\nhel"), Ok(State::Data(2)));
        assert_eq!(Chunks::default().follow(b"0\r\n\r\nGET /"), Ok(5));
    }

    #[test]
    fn what_chunks_bring_is_handed_over() {
        let body = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\nrest";
        for size in [1, 3, body.len()] {
            let (mut chunks, mut brought) = (Chunks::default(), Vec::new());
            for piece in body.chunks(size) {
                let taken = chunks.decode(piece, |data| brought.extend_from_slice(data));
                assert!(taken.is_ok());
            }
            assert_eq!(
                (brought.as_slice(), chunks.is_done()),
                (&b"hello!"[..], true)
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-5\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\0\r\nhello\r\n",
            "10000000000000000\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n folded: x\r\n\r\n",
        ] {
            assert!(follow(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
