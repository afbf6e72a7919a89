//! Counts every refusal, and logs it unless there are too many.

use std::net::IpAddr;
use std::sync::Arc;

use http::StatusCode;
use store_server::PerSecond;
use store_server::trace::Ids;

use crate::message::{Problem, problem};
use crate::metrics::Metrics;

/// The most lines that refusals log in a second. Without a limit, a client that sends nonsense as fast as it can would
/// fill the disk.
const LINES_PER_SECOND: u32 = 100;

/// Why a connection is refused or closed early, beside the reasons of [`problem::REASONS`].
pub(crate) mod connection {
    /// The client's bytes are not HTTP, or break its rules.
    pub(crate) const PROTOCOL: &str = "protocol";
    /// Hyper reset a request of HTTP/2, because it breaks the rules or because there are too many. Where there could be
    /// one, the client had an answer before.
    pub(crate) const RESET: &str = "http2_reset";
    /// The admin listener has the most connections that it may have.
    pub(crate) const ADMIN: &str = "admin_connections";
    /// The admin listener answers a request with a problem.
    pub(crate) const ADMIN_REQUEST: &str = "admin_request";
    pub(crate) const REASONS: [&str; 4] = [PROTOCOL, RESET, ADMIN, ADMIN_REQUEST];
}

/// Counts and logs refusals.
pub(crate) struct Refusals {
    metrics: Arc<Metrics>,
    lines: PerSecond,
}

impl Refusals {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        for reason in problem::REASONS.iter().chain(&connection::REASONS) {
            metrics.announce_refusal(reason);
        }
        Self {
            metrics,
            lines: PerSecond::new(LINES_PER_SECOND),
        }
    }

    /// Counts and logs a request that the host answers with a problem.
    pub(crate) fn request(
        &self,
        problem: Problem,
        request_id: &str,
        client: IpAddr,
        ids: Option<Ids>,
    ) {
        let reason = problem.reason();
        self.metrics.refused(reason);
        // These two have been logged with their cause.
        let is_logged = matches!(problem, Problem::TimedOut | Problem::ComponentFailed);
        if !is_logged && self.lines.may_pass() {
            let status = problem.status().as_u16();
            tracing::info!(
                %client,
                request = request_id,
                trace_id = ids.map(|ids| display(ids.trace)),
                span_id = ids.map(|ids| display(ids.span)),
                status,
                reason,
                "Refused a request"
            );
        }
    }

    /// Counts and logs an unreadable head, which is answered with `status`.
    pub(crate) fn head(&self, status: StatusCode, request_id: &str, client: IpAddr) {
        self.unread(connection::PROTOCOL, status, request_id, client);
    }

    /// Counts and logs a request of HTTP/2 that is answered with `status` before hyper resets it.
    pub(crate) fn broken(&self, status: StatusCode, request_id: &str, client: IpAddr) {
        self.unread(connection::RESET, status, request_id, client);
    }

    fn unread(&self, reason: &'static str, status: StatusCode, request_id: &str, client: IpAddr) {
        self.metrics.refused(reason);
        if self.lines.may_pass() {
            let status = status.as_u16();
            tracing::info!(%client, request = request_id, status, reason, "Refused a request");
        }
    }

    /// Counts and logs a request that hyper reset with `code` (RFC 9113, section 7), and that has no answer.
    pub(crate) fn reset(&self, code: u32, client: IpAddr) {
        let reason = connection::RESET;
        self.metrics.refused(reason);
        if self.lines.may_pass() {
            tracing::info!(%client, reason, code, "Reset a request");
        }
    }

    /// Counts and logs a connection that ends without an answer, for one of [`connection::REASONS`] or
    /// [`problem::REASONS`].
    pub(crate) fn connection(&self, reason: &'static str, client: IpAddr) {
        self.metrics.refused(reason);
        if self.lines.may_pass() {
            tracing::info!(%client, reason, "Closed a connection");
        }
    }

    /// Counts and logs a request that the admin listener answers with a problem.
    pub(crate) fn admin_request(&self, peer: &str, status: StatusCode, request_id: &str) {
        let reason = connection::ADMIN_REQUEST;
        self.metrics.refused(reason);
        if self.lines.may_pass() {
            let status = status.as_u16();
            tracing::info!(
                peer,
                request = request_id,
                status,
                reason,
                "Refused an operator's request"
            );
        }
    }

    /// Counts and logs a connection that the admin listener closes at once because it has too many.
    pub(crate) fn admin_connection(&self, peer: &str) {
        let reason = connection::ADMIN;
        self.metrics.refused(reason);
        if self.lines.may_pass() {
            tracing::warn!(
                peer,
                reason,
                "Closed an admin connection: there are too many"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_does_not_fill_the_log() {
        let refusals = Refusals::new(Metrics::new().expect("names are unique"));
        let began = std::time::Instant::now();
        let lines = (0..10_000).filter(|_| refusals.lines.may_pass()).count() as u64;
        let most: u64 = LINES_PER_SECOND.into();
        let seconds = began.elapsed().as_secs() + 2;
        assert!((most..=most * seconds).contains(&lines), "{lines}");
    }
}
