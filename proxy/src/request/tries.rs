//! Where a request goes to, and what becomes of it when a try fails: the same for all that pass, through pingora or not.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::cache::Cache;
use crate::config::Reuse;
use crate::message::problem::Problem;
use crate::metrics::{ERROR, class};

/// A try that may begin. The upstream is that of the last of the exchange's attempts.
pub(crate) struct Try {
    /// Longest wait for a part of the answer.
    pub(crate) read_timeout: Duration,
    /// Whether it needs a connection of its own, and leaves none.
    pub(crate) alone: bool,
}

/// What went wrong with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It does not answer.
    Silent,
    /// It does not take the request.
    Stuck,
    /// It broke off, or said what is no answer.
    Broke,
}

impl Fault {
    /// What a trace calls it.
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
    /// Whether the connection had served another request.
    pub(crate) reused: bool,
    /// Whether nothing has gone to the client yet, and all of the request can be sent again.
    pub(crate) untouched: bool,
}

impl Exchange {
    /// Picks an upstream for the next try, and waits for a slot there. `key` is what a request is hashed by.
    ///
    /// # Errors
    /// None can be had, or the time for the request is over.
    pub(crate) async fn begin_try(&mut self, key: &[u8]) -> Result<Try, Problem> {
        self.attempts.end(&self.spans.attempt);
        self.spans.end_try();
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
        self.spans.begin_try(&permit.upstream);
        self.attempts.begin(permit);
        Ok(next)
    }

    /// The upstream began to answer.
    pub(crate) fn answered(&mut self, status: u16) {
        self.spans.answered(status);
        if let (Some(group), Some(permit)) = (self.group(), self.attempts.permit()) {
            permit.upstream.metrics.requests[class(status)].inc();
            group.answered(&permit.upstream, status);
        }
    }

    /// No connection came about. Whether there is another try.
    pub(crate) fn unreachable(&mut self) -> bool {
        self.spans.failed("unreachable");
        self.has_no_connection(Problem::UpstreamUnreachable)
    }

    /// There is no trust between proxy and upstream. Whether there is another try.
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

    /// A try failed at its upstream. Whether there is another.
    pub(crate) fn broke_off(&mut self, how: TryFailure) -> bool {
        let timed_out = how.fault != Fault::Broke;
        self.spans.failed(how.fault.word());
        if how.fault == Fault::Silent && !self.attempts.body.has_arrived {
            // The upstream waits for the rest of the request, as we do.
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

    /// The try failed, and this is what the client is told if there is no other.
    fn broke(&mut self, problem: Problem) {
        if let (Some(group), Some(upstream)) = (self.group(), self.attempts.tries.last()) {
            upstream.metrics.requests[ERROR].inc();
            group.failed(upstream);
        }
        self.ending.problem = Some(problem);
    }

    /// Whether the request may reach an upstream twice.
    fn is_replayable(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.replayable)
    }

    /// A kept connection broke. Whether the upstream is asked again, on a new one.
    fn asks_afresh(&mut self) -> bool {
        self.is_replayable() && self.attempts.take_back_stale()
    }

    fn has_tries_left(&self) -> bool {
        self.attempts.tries.count() < self.table.config.retry.max_tries && self.time_left().is_ok()
    }

    /// Whether what may have reached an upstream may be sent to another. Takes one from the budget if so.
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
