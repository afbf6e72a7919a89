//! Writes log lines to stderr from threads of their own, so that no request waits for a full pipe.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::recent::{self, AUDIT};

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. Dropping the guards writes the lines that still wait.
///
/// # Errors
/// `filter` is not in the form that `--log` describes. The error shows `example`.
pub fn start(format: LogFormat, filter: &str, example: &str) -> Result<[WorkerGuard; 2], String> {
    let all_but_audit = but_audit(filter, "off", example)?;
    let with_audit = but_audit(filter, "info", example)?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    // Audit lines are never dropped: if the pipe is full, the code that makes a change waits.
    let all = NonBlockingBuilder::default().lossy(false);
    let (audit_writer, audit_guard) = all.finish(std::io::stderr());
    let usual = layer(format, writer).with_filter(all_but_audit);
    let audit = Targets::new().with_target(AUDIT, LevelFilter::INFO);
    tracing_subscriber::registry()
        .with(usual)
        .with(layer(format, audit_writer).with_filter(audit))
        .with(recent::layer().with_filter(with_audit))
        .init();
    Ok([guard, audit_guard])
}

/// The filter with the audit log at `level`, whatever `filter` says about it.
fn but_audit(filter: &str, level: &str, example: &str) -> Result<EnvFilter, String> {
    let parsed: EnvFilter = filter.parse().map_err(|error| {
        format!("--log: `{filter}` is malformed: {error}; write for example `info` or `{example}`")
    })?;
    let audit = format!("{AUDIT}={level}").parse();
    let audit = audit.map_err(|error| format!("the audit log: {error}"))?;
    Ok(parsed.add_directive(audit))
}

fn layer<S>(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => layer.boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}
