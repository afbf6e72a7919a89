//! The limits of a link.

use std::time::Duration;

use prometheus::IntCounter;

/// The time and size limits of one link.
#[derive(Clone)]
pub(crate) struct LinkLimits {
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) largest_reply_bytes: usize,
    /// Counts the component's scripts that had to be ended. `None` for the links of a check.
    pub(super) scripts_ended: Option<IntCounter>,
}

impl LinkLimits {
    /// The same limits for servers that are only asked which server to use, with this limit for their answers. They
    /// have as much time to answer as a server has to accept a connection, because the caller that connects waits for
    /// them.
    pub(super) fn for_questions(&self, largest_reply_bytes: usize) -> Self {
        Self {
            response_timeout: self.connect_timeout,
            largest_reply_bytes,
            scripts_ended: None,
            ..self.clone()
        }
    }
}
