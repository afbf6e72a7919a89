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

use crate::message::RequestId;

/// The longest line, in bytes. A longer line is cut, so that a component that never writes a newline uses no more of
/// the host's memory.
const LONGEST_LINE: usize = 8 * 1024;

/// The stdout or stderr of one instance. Clones write to the same stream.
#[derive(Clone)]
pub(crate) struct GuestLog(Arc<Mutex<Inner>>);

struct Inner {
    component: String,
    stream: &'static str,
    /// The request that writes. Set only during one write; see [`crate::instance::wasi`].
    request: Option<RequestId>,
    /// The trace and span ids of that request.
    ids: Option<Ids>,
    line: Vec<u8>,
}

impl GuestLog {
    pub(crate) fn new(component: &str, stream: &'static str) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            component: component.to_owned(),
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
    fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            self.emit();
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() >= LONGEST_LINE {
            self.emit();
        }
    }

    fn emit(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let request = self.request.as_ref().map(RequestId::as_str);
        let trace_id = self.ids.map(|ids| tracing::field::display(ids.trace));
        let span_id = self.ids.map(|ids| tracing::field::display(ids.span));
        tracing::info!(target: "guest", component = self.component, request, trace_id, span_id, stream = self.stream, "{line}");
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.emit();
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

    #[test]
    fn bytes_are_gathered_into_lines() {
        let log = GuestLog::new("orders", "stderr");
        log.0.lock().write(b"one\ntw");
        assert_eq!(log.0.lock().line, b"tw");
        log.0.lock().write(b"o\n");
        assert!(log.0.lock().line.is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let log = GuestLog::new("orders", "stderr");
        log.0.lock().write(&vec![b'x'; LONGEST_LINE + 1]);
        assert!(log.0.lock().line.is_empty());
    }
}
