//! Settings of traces, besides the environment variables that OpenTelemetry defines.

use std::time::Duration;

use clap::Args;
use store_server::trace::{Accept, AnswerHeader, Settings};

use super::duration;

/// What is traced. Where traces are sent, and how many, the variables `OTEL_…` say (docs/OBSERVE.md).
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceSettings {
    /// Requests that take as long as this are slow: traces of these are sent beyond the sample, and the slowest kept
    #[arg(id = "trace-slow", long, default_value = "1s", value_parser = duration)]
    pub slow: Duration,

    /// Keep traces of slow and failed requests for `GET /traces` even if no receiver is named
    #[arg(id = "trace-tail", long)]
    pub tail: bool,

    /// Whose `traceparent` is believed: that of trusted proxies, of anyone, or of nobody
    #[arg(id = "trace-accept", long, value_enum, default_value_t = Accept::Trusted)]
    pub accept: Accept,

    /// The header in which an answer names its trace
    #[arg(id = "trace-answer", long, value_enum, default_value_t = AnswerHeader::None)]
    pub answer: AnswerHeader,
}

impl TraceSettings {
    /// These settings in the form that host and proxy share.
    pub fn settings(&self) -> Settings {
        Settings {
            accept: self.accept,
            answer: self.answer,
            slow: self.slow,
            tail: self.tail,
        }
    }
}
