//! The tries of one request: which upstreams it was sent to, and the state of the last try.

use std::time::{Duration, Instant};

use store_server::trace::Span;

use crate::upstream::{Permit, Tries};

/// If the upstream had closed a kept connection before a request was sent on it, that shows within a round trip, and so
/// within this time. A connection that breaks later had carried the request.
const STALE_SHOWS: Duration = Duration::from_millis(250);

/// All tries of one request.
pub(crate) struct Attempts {
    /// The upstreams asked so far.
    pub(crate) tries: Tries,
    /// When the last try began.
    began: Instant,
    /// The permit of the current try at its upstream.
    permit: Option<Permit>,
    /// Whether the next try gets a new connection, because the upstream had closed the old one.
    pub(crate) afresh: bool,
    /// Whether the request was sent to an upstream, which then has counted it.
    pub(crate) is_sent: bool,
    pub(crate) body: BodyProgress,
}

/// How much of the request's body has been sent on.
#[derive(Default)]
pub(crate) struct BodyProgress {
    /// Bytes that the last try has sent to its upstream.
    pub(crate) sent_bytes: u64,
    /// Whether the client has sent the whole body.
    pub(crate) has_arrived: bool,
}

impl Attempts {
    /// The attempts of a request that came in at `now` and was not sent to any upstream.
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

    /// Begins a try at the upstream of `permit`, as of `now`.
    pub(crate) fn begin(&mut self, permit: Permit, now: Instant) {
        self.tries.add(&permit.upstream);
        self.began = now;
        self.permit = Some(permit);
    }

    /// Ends the current try, if there is one, and gives back its permit. `span` is the try's span in the request's trace.
    /// Returns when the try ended.
    pub(crate) fn end(&mut self, span: &Span) -> Option<Instant> {
        let permit = self.permit.take()?;
        let now = Instant::now();
        span.measure(&permit.upstream.metrics.duration, now - self.began);
        Some(now)
    }

    /// The permit of the current try.
    pub(crate) fn permit(&self) -> Option<&Permit> {
        self.permit.as_ref()
    }

    /// Takes back the last try if it may be made again on a new connection, because the upstream had closed the old
    /// one, and returns whether it may. Such a try is no fault of the upstream and does not count, but this is done
    /// only once for each request.
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
