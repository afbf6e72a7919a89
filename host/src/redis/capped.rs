//! A connection to Redis that limits the size of a reply. A text that is too large is refused as soon as Redis
//! announces its length, before it is read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The memory, in bytes, that a value takes beside its content, approximately.
const VALUE_BYTES: usize = 64;

/// The length in bytes of the longest line with a number: a type, a sign, nineteen digits, and the line end.
const NUMBER_BYTES: usize = 24;

/// A stream whose reads fail when a reply is too large.
pub(super) struct CappedStream<S> {
    stream: S,
    meter: Meter,
    /// True once a reply was too large.
    is_over: Arc<AtomicBool>,
}

impl<S> CappedStream<S> {
    /// Passes replies of up to `largest_bytes`. The returned flag becomes true when a reply is larger.
    pub(super) fn new(stream: S, largest_bytes: usize) -> (Self, Arc<AtomicBool>) {
        let is_over = Arc::<AtomicBool>::default();
        let capped = Self {
            stream,
            meter: Meter::new(largest_bytes),
            is_over: is_over.clone(),
        };
        (capped, is_over)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CappedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let fits = self.meter.take(&buffer.filled()[before..]);
        if !fits {
            self.is_over.store(true, Ordering::Release);
            return Poll::Ready(Err(io::Error::other("a reply is too large")));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CappedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Reads as much of the protocol as is needed to know where a reply ends and how much memory it takes
/// (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
#[derive(Debug)]
struct Meter {
    largest_bytes: usize,
    /// The memory, in bytes, of the reply that is being read: of the parts that were read, and of the texts that were
    /// announced.
    bytes: usize,
    /// The number of missing values of each list that has begun, the outermost list first.
    open: Vec<u64>,
    /// The start of the line that is being read.
    line: Vec<u8>,
    /// How many bytes of a text are still to come.
    text_left: usize,
}

impl Meter {
    fn new(largest_bytes: usize) -> Self {
        Self {
            largest_bytes,
            bytes: 0,
            open: Vec::new(),
            line: Vec::new(),
            text_left: 0,
        }
    }

    /// Counts the bytes that were read. Returns whether the reply is still within the limit.
    fn take(&mut self, mut read: &[u8]) -> bool {
        while !read.is_empty() {
            if self.text_left > 0 {
                let some = read.len().min(self.text_left);
                self.text_left -= some;
                read = &read[some..];
                if self.text_left == 0 {
                    self.end_value();
                }
                continue;
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let (part, rest) = read.split_at(end.map_or(read.len(), |end| end + 1));
            read = rest;
            self.bytes = self.bytes.saturating_add(part.len());
            let wanted = NUMBER_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(wanted)]);
            if self.bytes > self.largest_bytes {
                return false;
            }
            if end.is_some() {
                self.end_line();
            }
            if self.bytes > self.largest_bytes {
                return false;
            }
        }
        true
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.bytes = self.bytes.saturating_add(VALUE_BYTES);
        let number = || {
            let digits = std::str::from_utf8(line.get(1..)?).ok()?;
            digits.trim_end().parse::<u64>().ok()
        };
        // A negative number, which does not parse here, stands for a null value.
        match line.first() {
            Some(b'$' | b'=' | b'!') => match number() {
                Some(length) => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    self.bytes = self.bytes.saturating_add(length);
                    // The text is followed by a line end of two bytes.
                    self.text_left = length.saturating_add(2);
                }
                None => self.end_value(),
            },
            Some(b'*' | b'~' | b'>') => self.begin_list(number().unwrap_or(0)),
            Some(b'%') => self.begin_list(number().unwrap_or(0).saturating_mul(2)),
            // An attribute precedes the value that it belongs to, and is no value itself.
            Some(b'|') => {
                let count = number().unwrap_or(0).saturating_mul(2);
                if let Some(missing) = self.open.last_mut() {
                    *missing = missing.saturating_add(1);
                } else {
                    self.open.push(1);
                }
                self.begin_list(count);
            }
            _ => self.end_value(),
        }
    }

    fn begin_list(&mut self, count: u64) {
        match count {
            0 => self.end_value(),
            count => self.open.push(count),
        }
    }

    fn end_value(&mut self) {
        while let Some(missing) = self.open.last_mut() {
            *missing -= 1;
            if *missing > 0 {
                return;
            }
            self.open.pop();
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    /// Whether the replies are within the limit; the result must be the same if they are read at once and byte by byte.
    fn fits(replies: &[u8]) -> bool {
        let at_once = Meter::new(LIMIT).take(replies);
        let mut meter = Meter::new(LIMIT);
        let in_pieces = replies.chunks(1).all(|byte| meter.take(byte));
        assert_eq!(at_once, in_pieces, "{}", String::from_utf8_lossy(replies));
        at_once
    }

    #[test]
    fn each_reply_has_the_limit_for_itself() {
        let text = format!("$800\r\n{}\r\n", "x".repeat(800));
        let replies = [
            text.as_str(),
            "+OK\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            ":7\r\n",
            "_\r\n",
            "*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            "%1\r\n+a\r\n,1.5\r\n",
            ">2\r\n+invalidate\r\n_\r\n",
            "|1\r\n+a\r\n+b\r\n:1\r\n",
            text.as_str(),
            text.as_str(),
        ];
        assert!(fits(replies.concat().as_bytes()));
    }

    #[test]
    fn a_text_is_refused_when_it_is_announced() {
        assert!(!fits(b"$1001\r\n"));
        let half = format!("$500\r\n{}\r\n", "x".repeat(500));
        assert!(fits(half.as_bytes()));
        assert!(!fits(format!("*2\r\n{half}$500\r\n").as_bytes()));
        assert!(!fits(format!("+{}\r\n", "x".repeat(1000)).as_bytes()));
    }

    #[test]
    fn many_small_values_count_by_what_they_take_in_memory() {
        assert!(fits(format!("*10\r\n{}", ":1\r\n".repeat(10)).as_bytes()));
        assert!(!fits(format!("*20\r\n{}", ":1\r\n".repeat(20)).as_bytes()));
    }
}
