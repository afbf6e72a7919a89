//! Turns what a component writes to stdout and stderr into log lines that name the component and the request it works
//! for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use store_server::trace::Ids;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::context::Context as ComponentContext;
use super::log_limit::LogLimit;
use crate::message::RequestId;

/// The longest line, in bytes. A longer line becomes several, so that the host never holds more of what a component
/// writes, whether it writes no newline or very much at once.
const LONGEST_LINE: usize = 8 * 1024;

/// The stdout or stderr of one instance. Clones write to the same stream.
#[derive(Clone)]
pub(crate) struct GuestLog(Arc<Mutex<Inner>>);

struct Inner {
    component: Arc<str>,
    limit: Arc<LogLimit>,
    stream: &'static str,
    /// The request that writes. Set only during one write; see [`crate::instance::wasi`].
    request: Option<RequestId>,
    /// The trace and span ids of that request.
    ids: Option<Ids>,
    /// The line that is not complete.
    line: Vec<u8>,
}

impl GuestLog {
    pub(crate) fn new(component: &ComponentContext, stream: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            component: component.name.clone(),
            limit: component.log_limit.clone(),
            stream,
            request: None,
            ids: None,
            line: Vec::new(),
        })))
    }

    /// Sets the request that the next writes belong to, and its trace and span ids.
    pub(crate) fn set_request(&self, request: Option<RequestId>, ids: Option<Ids>) {
        let mut inner = self.0.lock();
        (inner.request, inner.ids) = (request, ids);
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) {
        let mut line = std::mem::take(&mut self.line);
        split(&mut line, bytes, |line| self.emit(line));
        self.line = line;
    }

    /// Logs a line, unless the component has written too many.
    fn emit(&self, line: &[u8]) {
        let component = &*self.component;
        let Some(dropped) = self.limit.pass(line.len()) else {
            return;
        };
        if dropped > 0 {
            tracing::warn!(
                component,
                dropped,
                "Dropped {dropped} lines of component `{component}`"
            );
        }
        let line = String::from_utf8_lossy(line);
        let request = self.request.as_ref().map(RequestId::as_str);
        let trace_id = self.ids.map(|ids| tracing::field::display(ids.trace));
        let span_id = self.ids.map(|ids| tracing::field::display(ids.span));
        tracing::info!(target: "guest", component, request, trace_id, span_id, stream = self.stream, "{line}");
    }
}

/// Adds `bytes` to the incomplete `line`, and gives each line that is complete, or as long as it may be, to `emit`.
fn split(line: &mut Vec<u8>, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
    while !bytes.is_empty() {
        let room = LONGEST_LINE - line.len();
        // The newline may follow the last byte for which there is room.
        let end = bytes.iter().take(room + 1).position(|byte| *byte == b'\n');
        let (part, rest) = match end {
            Some(end) => (&bytes[..end], &bytes[end + 1..]),
            None => bytes.split_at(room.min(bytes.len())),
        };
        line.extend_from_slice(part);
        bytes = rest;
        if end.is_some() || !bytes.is_empty() {
            emit(line.as_slice());
            line.clear();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit(&self.line);
        }
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

// Neither kind of stream ever waits: a WASI 0.2 call that waits blocks all requests of its instance.
#[wasmtime_wasi::async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.lock().write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LONGEST_LINE)
    }
}

impl AsyncWrite for GuestLog {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.0.lock().write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that these writes make, and what is left of an incomplete one.
    fn lines(writes: &[&[u8]]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        for bytes in writes {
            split(&mut line, bytes, |line| lines.push(line.to_owned()));
        }
        (lines, line)
    }

    #[test]
    fn bytes_are_gathered_into_lines() {
        let (whole, left) = lines(&[b"one\ntw", b"o\n", b"\nthr"]);
        assert_eq!(whole, [&b"one"[..], b"two", b""]);
        assert_eq!(left, b"thr");
    }

    #[test]
    fn a_long_line_becomes_several() {
        let long = vec![b'x'; 2 * LONGEST_LINE + 1];
        let lengths = |end: &[u8]| {
            let bytes = [&long[..], end].concat();
            let at_once = lines(&[&bytes[..]]);
            let pieces: Vec<&[u8]> = bytes.chunks(1000).collect();
            assert_eq!(lines(&pieces), at_once);
            let (whole, left) = at_once;
            let whole: Vec<usize> = whole.iter().map(Vec::len).collect();
            (whole, left.len())
        };
        assert_eq!(lengths(b""), (vec![LONGEST_LINE; 2], 1));
        assert_eq!(lengths(b"\n"), (vec![LONGEST_LINE, LONGEST_LINE, 1], 0));
    }

    #[test]
    fn a_line_of_the_longest_length_stays_one() {
        let bytes = [&vec![b'x'; LONGEST_LINE][..], b"\n"].concat();
        let (whole, left) = lines(&[&bytes[..]]);
        assert_eq!(whole, [&bytes[..LONGEST_LINE]]);
        assert!(left.is_empty());
    }
}
