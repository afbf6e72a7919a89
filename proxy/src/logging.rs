//! Log lines on stderr, written by a thread of their own: nothing that serves waits for a full pipe.

use clap::ValueEnum;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging until the guard is dropped, which writes what is left.
///
/// # Errors
/// `filter` is malformed.
pub fn start(format: LogFormat, filter: &str) -> Result<WorkerGuard, String> {
    let filter: EnvFilter = filter.parse().map_err(|error| {
        format!("--log: `{filter}` is malformed: {error}; write for example `info` or `store_proxy=debug`")
    })?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(guard)
}
