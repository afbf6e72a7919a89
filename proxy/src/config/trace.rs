//! What is traced, beside what the environment variables of OpenTelemetry say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store_server::duration;
use store_server::trace::{Accept, AnswerHeader, Settings};

/// Traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// Requests that take as long are slow.
    #[serde(with = "duration")]
    pub slow: Duration,
    /// Whether slow and failed requests are kept for `GET /traces` though no receiver is named.
    pub tail: bool,
    /// Whose `traceparent` is believed.
    pub accept: Accept,
    /// The header in which an answer names its trace.
    pub answer: AnswerHeader,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            slow: Duration::from_secs(1),
            tail: false,
            accept: Accept::default(),
            answer: AnswerHeader::default(),
        }
    }
}

impl Trace {
    /// As both servers have them.
    pub fn settings(&self) -> Settings {
        Settings {
            accept: self.accept,
            answer: self.answer,
            slow: self.slow,
            tail: self.tail,
        }
    }
}
