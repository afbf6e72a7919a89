//! A client connection as pingora sees it: one request at a time. Bytes that a client sends after a request stay here
//! until the next request begins, so that every head is checked, whenever it arrives.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    Stream, TimingDigest, UniqueID, UniqueIDType,
};
use pingora_timeout::timeout;
use store_server::chunks::Chunks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::message::head::Body;
use crate::message::plain::PIECE;

/// Bytes of room for one read; most heads fit.
const READ: usize = PIECE;

thread_local! {
    /// The buffer that connections of this thread read into. A connection that waits for its client holds no buffer
    /// meanwhile.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// How long the rest of a request is read after the connection's last answer. Closing at once could destroy the answer
/// (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(1);

/// Most bytes that a client may send ahead; further bytes wait in the buffers of the operating system.
const AHEAD: usize = 64 * 1024;

/// A connection, and the bytes that were read from it.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    held: BytesMut,
    rest: UnreadBody,
}

/// The part of the request's body that pingora may still read.
#[derive(Debug)]
enum UnreadBody {
    /// A body with this many bytes left.
    Length(u64),
    /// A body in chunks whose last chunk has not come.
    Chunked(Chunks),
    /// Everything that comes: HTTP/2 has its own framing.
    All,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Box<Self> {
        Box::new(Self {
            stream,
            held: BytesMut::new(),
            rest: UnreadBody::Length(0),
        })
    }

    /// Takes the connection back from pingora; `None` if the stream is not a [`Wire`].
    pub(crate) fn returned(stream: Stream) -> Option<Box<Self>> {
        stream.into_any().downcast().ok()
    }

    /// The bytes that were read and not handed on.
    pub(crate) fn held(&mut self) -> &mut BytesMut {
        &mut self.held
    }

    /// Reads more bytes and returns how many; 0 once the client has closed its side.
    pub(crate) async fn read_more(&mut self) -> io::Result<usize> {
        poll_fn(|cx| self.poll_more(cx)).await
    }

    /// The bytes that were read and not handed on, once there are at least `bytes` of them.
    ///
    /// # Errors
    /// The client left before that.
    pub(crate) async fn held_at_least(&mut self, bytes: usize) -> io::Result<&mut BytesMut> {
        while self.held.len() < bytes {
            if self.read_more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(&mut self.held)
    }

    /// Sends `bytes`. Returns whether the client took all of them within `limit`.
    pub(crate) async fn send(&mut self, bytes: &[u8], limit: Duration) -> bool {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        matches!(timeout(limit, sent).await, Ok(Ok(())))
    }

    /// Ends once the client has left. The future may be dropped at any time.
    pub(crate) async fn left(&mut self) {
        while self.held.len() < AHEAD {
            if !matches!(self.read_more().await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Takes out a head of `head_bytes` bytes. Pingora may then read the `body` that follows the head.
    pub(crate) fn begin(&mut self, head_bytes: usize, body: Body) -> BytesMut {
        self.rest = match body {
            Body::Length(length) => UnreadBody::Length(length),
            Body::Chunked => UnreadBody::Chunked(Chunks::default()),
        };
        self.held.split_to(head_bytes)
    }

    /// Closes the connection after an answer. First reads and discards what the client has sent meanwhile: unread bytes
    /// would destroy the answer on its way (RFC 9112, section 9.6).
    pub(crate) async fn close(self: Box<Self>) {
        self.close_with(b"").await;
    }

    /// Sends `answer`, and closes the connection.
    pub(crate) async fn close_with(mut self: Box<Self>, answer: &[u8]) {
        let rest = async {
            self.write_all(answer).await?;
            AsyncWriteExt::shutdown(&mut self).await?;
            while self.read_more().await? > 0 {
                self.held.clear();
            }
            io::Result::Ok(())
        };
        _ = timeout(LINGER, rest).await;
    }

    /// Lets pingora read everything, without regard to HTTP/1 framing.
    pub(crate) fn pass_all(&mut self) {
        self.rest = UnreadBody::All;
    }

    /// Copies the part of the request that was already read into `buffer`, and returns how many bytes that were.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<usize> {
        // No more at a time, however much was sent ahead: `request/arrival.rs` relies on it.
        let most = self.held.len().min(buffer.remaining()).min(READ);
        let given = match &mut self.rest {
            UnreadBody::Length(left) => {
                let given = most.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= given as u64;
                given
            }
            UnreadBody::Chunked(chunks) => chunks
                .follow(&self.held[..most])
                .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?,
            UnreadBody::All => most,
        };
        buffer.put_slice(&self.held[..given]);
        self.held.advance(given);
        Ok(given)
    }

    fn is_at_end(&self) -> bool {
        match &self.rest {
            UnreadBody::Length(left) => *left == 0,
            UnreadBody::Chunked(chunks) => chunks.is_done(),
            UnreadBody::All => false,
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let held = &mut self.held;
        READ_BUFFER.with_borrow_mut(|buffer| {
            let mut read = ReadBuf::new(buffer);
            let polled = stream.poll_read(cx, &mut read);
            if polled.is_pending() && held.is_empty() {
                // It may take a while until the client sends something: give the buffer back.
                *held = BytesMut::new();
            }
            ready!(polled)?;
            held.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.hand_over(buffer)? > 0 || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // After the end of the body, reading goes on, to notice when the client leaves.
            if self.is_at_end() && self.held.len() >= AHEAD {
                return Poll::Pending;
            }
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Wire {
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Wire {
    async fn shutdown(&mut self) {
        Shutdown::shutdown(&mut *self.stream).await;
    }
}

#[async_trait]
impl Peek for Wire {
    async fn try_peek(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let enough = self.held.len() >= buffer.len();
        if enough {
            buffer.copy_from_slice(&self.held[..buffer.len()]);
        }
        Ok(enough)
    }
}

impl UniqueID for Wire {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Wire {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Wire {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Wire {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }
}

impl GetSocketDigest for Wire {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }
}
