//! The tries of one request: which upstreams it was sent to, and how far the last try has come.

use std::time::{Duration, Instant};

use store_server::trace::Span;

use crate::upstream::{Permit, Tries};

/// If the upstream had closed a kept connection before a request was sent on it, that shows within a round trip, and so
/// within this time. A connection that breaks later had begun to work.
const STALE_SHOWS: Duration = Duration::from_millis(250);

/// All tries of one request.
pub(crate) struct Attempts {
    /// The upstreams asked so far.
    pub(crate) tries: Tries,
    /// When the last try began.
    began: Instant,
    /// The slot of the try that is under way.
    permit: Option<Permit>,
    /// Whether the next try gets a new connection, as an old one turned out to be closed.
    pub(crate) afresh: bool,
    /// Whether an upstream was sent the request, and so has counted it.
    pub(crate) is_sent: bool,
    pub(crate) body: BodyProgress,
}

/// How much of the request's body has passed.
#[derive(Default)]
pub(crate) struct BodyProgress {
    /// Bytes that the last try has sent on.
    pub(crate) sent_bytes: u64,
    /// Whether the client has sent all of it.
    pub(crate) has_arrived: bool,
}

impl Attempts {
    /// The attempts of a request that came in at `now` and was sent nowhere yet.
    pub(crate) fn none(now: Instant) -> Self {
        Self {
            tries: Tries::default(),
            began: now,
            permit: None,
            afresh: false,
            is_sent: false,
            body: BodyProgress::default(),
        }
    }

    /// A try at the upstream of this permit begins.
    pub(crate) fn begin(&mut self, permit: Permit) {
        self.tries.add(&permit.upstream);
        self.began = Instant::now();
        self.permit = Some(permit);
    }

    /// Gives back the slot of the try that is under way, if one is. `span` is what the trace has of it.
    pub(crate) fn end(&mut self, span: &Span) {
        if let Some(permit) = self.permit.take() {
            span.measure(&permit.upstream.metrics.duration, self.began.elapsed());
        }
    }

    /// Where the request is now.
    pub(crate) fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// Whether the last try may be made again on a new connection, as its old one turned out to be closed. That is no
    /// fault of the upstream and costs no try, but it is done once for a request.
    pub(crate) fn take_back_stale(&mut self) -> bool {
        if self.afresh || self.began.elapsed() > STALE_SHOWS {
            return false;
        }
        self.tries.take_back();
        self.is_sent = false;
        self.afresh = true;
        true
    }
}
