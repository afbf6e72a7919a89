//! Picks the upstream of a request, and decides what follows when a try fails. Requests through pingora and direct ones
//! share these rules.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::cache::Cache;
use crate::config::Reuse;
use crate::message::problem::Problem;
use crate::metrics::{ERROR, class};

/// A try that may begin. Its upstream is that of the exchange's current attempt.
pub(crate) struct Try {
    /// Longest wait for a part of the answer.
    pub(crate) read_timeout: Duration,
    /// Whether the try needs a connection of its own, which is closed after it.
    pub(crate) alone: bool,
}

/// What went wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The upstream does not answer in time.
    Silent,
    /// The upstream does not take the request in time.
    Stuck,
    /// The upstream broke the connection off, or sent something that is no answer.
    Broke,
}

impl Fault {
    /// The fault's name in traces.
    fn word(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Stuck => "stuck",
            Self::Broke => "broke off",
        }
    }
}

/// How a try failed that had a connection.
#[derive(Clone, Copy)]
pub(crate) struct TryFailure {
    pub(crate) fault: Fault,
    /// Whether the connection had served another request before.
    pub(crate) reused: bool,
    /// Whether the client has got nothing yet, and the whole request can be sent again.
    pub(crate) untouched: bool,
}

impl Exchange {
    /// Picks an upstream for the next try, and waits for a permit there. `key` decides the request's place on a hash
    /// ring.
    ///
    /// # Errors
    /// There is no upstream or no permit, or the time for the request is over.
    pub(crate) async fn begin_try(&mut self, key: &[u8]) -> Result<Try, Problem> {
        let ended = self.attempts.end(&self.spans.attempt);
        self.spans.end_try(ended);
        self.attempts.body.sent_bytes = 0;
        self.ending.problem = None;
        self.caching.renewal = None;
        self.caching.fetch = self.cache().map(Cache::fetch_start);
        let left = self.time_left()?;
        let group = self.group().ok_or(Problem::NoRoute)?;
        let permit = group.permit(key, &self.attempts.tries).await?;
        let lone = group.settings.reuse == Reuse::Replayable && !self.is_replayable();
        let next = Try {
            read_timeout: group.settings.read_timeout.min(left),
            alone: lone || self.attempts.afresh,
        };
        let now = Instant::now();
        self.spans.begin_try(&permit.upstream, now);
        self.attempts.begin(permit, now);
        Ok(next)
    }

    /// Notes that the upstream began to answer.
    pub(crate) fn answered(&mut self, status: u16) {
        self.spans.answered(status);
        if let (Some(group), Some(permit)) = (self.group(), self.attempts.permit()) {
            permit.upstream.metrics.requests[class(status)].inc();
            group.answered(&permit.upstream, status);
        }
    }

    /// Notes that no connection could be made. Returns whether there is another try.
    pub(crate) fn unreachable(&mut self) -> bool {
        self.spans.failed("unreachable");
        self.has_no_connection(Problem::UpstreamUnreachable)
    }

    /// Notes that the TLS handshake with the upstream failed. Returns whether there is another try.
    pub(crate) fn untrusted(&mut self) -> bool {
        self.spans.failed("untrusted");
        if let Some(upstream) = self.attempts.tries.last() {
            upstream.metrics.tls_failures.inc();
        }
        self.has_no_connection(Problem::UpstreamUntrusted)
    }

    fn has_no_connection(&mut self, problem: Problem) -> bool {
        self.attempts.tries.note_unreachable();
        self.broke(problem);
        let again = self.has_tries_left();
        if let (true, Some(group)) = (again, self.group()) {
            group.metrics.retries_connect.inc();
        }
        again
    }

    /// Notes that the try failed at its upstream. Returns whether there is another try.
    pub(crate) fn broke_off(&mut self, how: TryFailure) -> bool {
        let timed_out = how.fault != Fault::Broke;
        self.spans.failed(how.fault.word());
        if how.fault == Fault::Silent && !self.attempts.body.has_arrived {
            // The upstream waits for the rest of the request, as the proxy does: the client is late.
            self.ending.problem = Some(Problem::TooSlow);
            return false;
        }
        if how.untouched && how.reused && !timed_out && self.asks_afresh() {
            return true;
        }
        self.broke(match timed_out {
            true => Problem::UpstreamTimedOut,
            false => Problem::UpstreamBroke,
        });
        let again = how.untouched && self.may_replay();
        if again {
            self.count_replay(timed_out);
        }
        again
    }

    /// Counts the failure of the try. `problem` is the answer to the client if there is no other try.
    fn broke(&mut self, problem: Problem) {
        if let (Some(group), Some(upstream)) = (self.group(), self.attempts.tries.last()) {
            upstream.metrics.requests[ERROR].inc();
            group.failed(upstream);
        }
        self.spans.note_failure();
        self.ending.problem = Some(problem);
    }

    /// Whether the request may reach an upstream twice.
    fn is_replayable(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.replayable)
    }

    /// Called when a kept connection broke. Returns whether the same upstream is asked again, on a new connection.
    fn asks_afresh(&mut self) -> bool {
        self.is_replayable() && self.attempts.take_back_stale()
    }

    fn has_tries_left(&self) -> bool {
        self.attempts.tries.count() < self.table.config.retry.max_tries && self.time_left().is_ok()
    }

    /// Whether a request that may have reached an upstream may be sent to another. If so, takes one retry from the
    /// budget.
    fn may_replay(&self) -> bool {
        let Some(group) = self.group() else {
            return false;
        };
        if !self.is_replayable() || !self.has_tries_left() {
            return false;
        }
        let granted = group.budget.withdraw(Instant::now());
        if !granted {
            group.metrics.retry_budget_exhausted.inc();
        }
        granted
    }

    fn count_replay(&self, timed_out: bool) {
        if let Some(group) = self.group() {
            if timed_out {
                group.metrics.retries_timeout.inc();
            } else {
                group.metrics.retries_broken.inc();
            }
        }
    }
}
