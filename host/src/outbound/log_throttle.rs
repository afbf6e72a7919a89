//! Keeps a trouble that every request may meet from filling the log.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two log lines about the same trouble of the same component.
const LOG_PAUSE: Duration = Duration::from_secs(5);

/// Limits the log lines about trouble that every request may meet.
#[derive(Default)]
pub(crate) struct LogThrottle {
    logged_at: Mutex<Option<Instant>>,
}

impl LogThrottle {
    /// Whether to log now. After a `true`, the result is `false` for [`LOG_PAUSE`].
    pub(crate) fn is_to_be_logged(&self) -> bool {
        let mut logged_at = self.logged_at.lock();
        let is_due = logged_at.is_none_or(|at| at.elapsed() >= LOG_PAUSE);
        if is_due {
            *logged_at = Some(Instant::now());
        }
        is_due
    }
}
