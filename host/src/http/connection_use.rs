//! Whether a connection is used, and when an unused one ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Version;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// An HTTP/2 connection that is to end, and has no request, is closed after this time, even if its client has not
/// acknowledged the GOAWAY: a request may still be on its way.
const GOAWAY_GRACE: Duration = Duration::from_secs(1);

/// An HTTP/2 connection that is to end is closed this long after its last answer, which may still be on its way.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// The pause between two checks whether a connection that is to end is used.
const LOOK: Duration = Duration::from_millis(50);

/// Whether and how a connection is used.
#[derive(Default)]
pub(crate) struct ConnectionUse {
    /// Whether a request has come.
    began: AtomicBool,
    is_http_2: AtomicBool,
    /// Whether a head or a request has come, an answer has ended, or a part of one was sent by HTTP/2, since the last
    /// check.
    is_recent: AtomicBool,
    /// The number of unanswered requests. [`ActiveRequest`] changes it.
    requests: AtomicUsize,
}

/// One request on a connection, until its answer has ended.
pub(crate) struct ActiveRequest {
    connection: Arc<ConnectionUse>,
    /// When the request's head was there.
    pub(crate) began: Instant,
}

impl ConnectionUse {
    pub(super) fn enter(self: &Arc<Self>, version: Version) -> ActiveRequest {
        let is_http_2 = version == Version::HTTP_2;
        self.is_http_2.store(is_http_2, Ordering::Relaxed);
        self.began.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.touch();
        ActiveRequest {
            connection: self.clone(),
            began: Instant::now(),
        }
    }

    /// Records that the connection is in use.
    pub(crate) fn touch(&self) {
        self.is_recent.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has happened since the last call.
    fn is_idle(&self) -> bool {
        let is_recent = self.is_recent.swap(false, Ordering::Relaxed);
        !is_recent && self.requests.load(Ordering::Relaxed) == 0
    }

    /// Resolves when the connection is to end: when no request has come in time, or when shutdown begins.
    pub(super) async fn is_to_end(&self, idle_timeout: Duration, stopped: &CancellationToken) {
        while timeout(idle_timeout, stopped.cancelled()).await.is_err() {
            if self.is_idle() {
                return;
            }
        }
    }

    /// Resolves when a connection that is to end must be closed though hyper would leave it open: when nothing is left
    /// to be answered.
    pub(super) async fn is_over(&self) {
        let began = || self.began.load(Ordering::Relaxed);
        let (mut idle_since, mut grace) = (Instant::now(), GOAWAY_GRACE);
        while idle_since.elapsed() < grace {
            let is_http_2 = self.is_http_2.load(Ordering::Relaxed);
            // Hyper itself closes an HTTP/1.1 connection as soon as nothing is left to be answered.
            let is_left_to_hyper = began() && !is_http_2;
            // Over HTTP/2, an answer that has ended for us may still be sent.
            let is_sending = is_http_2 && self.is_recent.swap(false, Ordering::Relaxed);
            if self.requests.load(Ordering::Relaxed) > 0 || is_left_to_hyper || is_sending {
                (idle_since, grace) = (Instant::now(), ANSWER_GRACE);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.connection.touch();
        self.connection.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
