//! How hyper serves connections.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

use super::heads;
use crate::message::head;

/// The longest wait for a request's head, so a client that sends it byte by byte can't hold a connection longer. Also
/// the pause between two pings, by which the host finds out whether an HTTP/2 client is still there.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The most requests that a client may have open on one HTTP/2 connection. Clients hold further requests back.
const MAX_STREAMS: u32 = 200;

/// Builds what serves connections, over HTTP/1.1 and HTTP/2.
pub(super) fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // [`Downstream`] has this time limit, because it can answer a late head.
        .header_read_timeout(None)
        .max_buf_size(heads::MOST_BYTES)
        // Most answers are small: copying head and body together costs less than a vectored write.
        .writev(false);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(head::READ_BYTES);
    http
}
