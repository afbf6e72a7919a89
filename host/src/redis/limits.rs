//! The limits of a link.

use std::time::Duration;

use prometheus::IntCounter;

/// The time and size limits of one link.
#[derive(Clone)]
pub(crate) struct LinkLimits {
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) largest_reply_bytes: usize,
    /// Whether a server is stopped in which a script does not end that has written data.
    pub(super) shutdown_if_stuck: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    impl LinkLimits {
        /// Limits for links that a test does not use.
        pub(in crate::redis) fn plain() -> Self {
            Self {
                connect_timeout: Duration::from_secs(1),
                response_timeout: Duration::from_secs(1),
                largest_reply_bytes: 1 << 16,
                shutdown_if_stuck: false,
                scripts_ended: None,
            }
        }
    }
}
