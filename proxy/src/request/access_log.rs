//! The access log: one JSON line for each request. A thread of its own writes the lines, so a slow disk loses lines and
//! delays no request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use prometheus::IntCounter;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use store_server::trace::Ids;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::config;

/// Lines that may wait for the disk: half a second's worth at 32,000 requests/s.
const LINES_WAITING: usize = 16 * 1024;

/// Decides which requests are logged, and hands their lines to the thread that writes.
pub(crate) struct AccessLog {
    writer: Option<Writer>,
    /// The sampled share of requests, as a fraction of 2^64; `None` means all.
    step: Option<u64>,
    /// Grows by `step` with each request; a request is logged when `phase` overflows.
    phase: AtomicU64,
    dropped: IntCounter,
    dropped_counted: AtomicUsize,
}

struct Writer {
    lines: NonBlocking,
    errors: ErrorCounter,
    reopen: Arc<AtomicBool>,
}

/// The fields of a request's line.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    /// When the request's head was complete.
    #[serde(serialize_with = "rfc3339")]
    pub(crate) time: SystemTime,
    /// The request's id, which the upstream's log has too.
    pub(crate) request_id: &'a str,
    /// The trace, and the span of this request, if there is a trace.
    #[serde(flatten, serialize_with = "trace_and_span")]
    pub(crate) trace: Option<Ids>,
    /// The client's address: that of the connection, or the one that a trusted proxy reports.
    pub(crate) client: IpAddr,
    /// The method.
    pub(crate) method: &'a str,
    /// Path and query as the client sent them.
    pub(crate) path: &'a str,
    /// The host that the client asked for.
    pub(crate) host: Option<&'a str>,
    /// `1.0`, `1.1` or `2`.
    pub(crate) http_version: &'a str,
    /// The answer's status; 0 if the client got no answer.
    pub(crate) status: u16,
    /// Bytes of the answer's body that were sent to the client.
    pub(crate) bytes_sent: u64,
    /// Time from the head to the end of the answer.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub(crate) duration: Duration,
    /// The group, if a route matched.
    pub(crate) group: Option<&'a str>,
    /// The upstream of the last try.
    pub(crate) upstream: Option<&'a str>,
    /// How many tries there were, one after the other.
    pub(crate) tries: usize,
    /// What the cache did, if one is involved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<&'a str>,
    /// Why the proxy refused the request, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<&'a str>,
    /// The client's `User-Agent`.
    pub(crate) user_agent: Option<&'a str>,
}

impl AccessLog {
    /// Starts the thread that writes, unless the log is off. Dropping the guard writes the lines that still wait. Lost
    /// lines are counted in `dropped`.
    ///
    /// # Errors
    /// The file can't be opened.
    pub(crate) fn start(
        settings: &config::AccessLog,
        dropped: IntCounter,
    ) -> io::Result<(Self, Option<WorkerGuard>)> {
        let (writer, guard) = match settings.path.as_deref() {
            None => (None, None),
            Some(path) => {
                let (writer, guard) = Writer::start(path)?;
                (Some(writer), Some(guard))
            }
        };
        let log = Self {
            writer,
            step: share_of_two_to_the_64(settings.sample),
            phase: AtomicU64::new(0),
            dropped,
            dropped_counted: AtomicUsize::new(0),
        };
        Ok((log, guard))
    }

    /// Whether a request with this status is to be logged. Call this once for each request, as each call moves the
    /// sample on.
    pub(crate) fn enabled_for(&self, status: u16) -> bool {
        if self.writer.is_none() {
            return false;
        }
        let Some(step) = self.step else { return true };
        let chosen = self
            .phase
            .fetch_add(step, Ordering::Relaxed)
            .checked_add(step)
            .is_none();
        chosen || status >= 500
    }

    /// Logs a request, or counts it as lost when the disk is too far behind.
    pub(crate) fn log(&self, entry: &Entry<'_>) {
        let Some(writer) = &self.writer else { return };
        let Ok(mut line) = serde_json::to_vec(entry) else {
            return;
        };
        line.push(b'\n');
        // Never fails: if the queue is full, the line is dropped and counted.
        _ = writer.lines.clone().write_all(&line);
        let dropped = writer.errors.dropped_lines();
        if dropped > self.dropped_counted.load(Ordering::Relaxed) {
            let before = self.dropped_counted.fetch_max(dropped, Ordering::Relaxed);
            self.dropped.inc_by(dropped.saturating_sub(before) as u64);
        }
    }

    /// Opens the file again before the next line is written, so that the old file can be moved away.
    pub(crate) fn reopen(&self) {
        if let Some(writer) = &self.writer {
            writer.reopen.store(true, Ordering::Relaxed);
        }
    }
}

impl Writer {
    fn start(path: &Path) -> io::Result<(Self, WorkerGuard)> {
        let reopen = Arc::new(AtomicBool::new(false));
        let builder = NonBlockingBuilder::default()
            .buffered_lines_limit(LINES_WAITING)
            .thread_name("access-log");
        let (lines, guard) = if path == Path::new("-") {
            builder.finish(io::stdout())
        } else {
            builder.finish(LogFile {
                file: append_to(path)?,
                path: path.to_owned(),
                reopen: reopen.clone(),
            })
        };
        let writer = Self {
            errors: lines.error_counter(),
            lines,
            reopen,
        };
        Ok((writer, guard))
    }
}

/// A file that can be moved away while it is written to.
struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Arc<AtomicBool>,
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.reopen.swap(false, Ordering::Relaxed) {
            match append_to(&self.path) {
                Ok(file) => self.file = file,
                Err(error) => {
                    tracing::error!(path = %self.path.display(), %error, "Access log can't be opened anew");
                }
            }
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens a file to append to. A new file can be read by its owner and group only, as it says who asked for what.
fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o640);
    options.open(path)
}

/// `share` as a fraction of 2^64; `None` if it is 1.
fn share_of_two_to_the_64(share: f64) -> Option<u64> {
    const TWO_TO_THE_64: f64 = 18_446_744_073_709_551_616.0;
    // Converting a float saturates, so no share leads to a panic.
    (share < 1.0).then_some((share * TWO_TO_THE_64) as u64)
}

fn rfc3339<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn trace_and_span<S: Serializer>(ids: &Option<Ids>, to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(None)?;
    if let Some(ids) = ids {
        map.serialize_entry("trace_id", &ids.trace.to_string())?;
        map.serialize_entry("span_id", &ids.span.to_string())?;
    }
    map.end()
}

fn milliseconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    // In whole microseconds; more digits would be noise.
    to.serialize_f64(duration.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn settings(path: Option<PathBuf>, sample: f64) -> config::AccessLog {
        config::AccessLog { path, sample }
    }

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "dropped").expect("a name")
    }

    fn entry() -> Entry<'static> {
        Entry {
            time: SystemTime::UNIX_EPOCH,
            request_id: "abc",
            trace: None,
            client: [192, 0, 2, 1].into(),
            method: "GET",
            path: "/orders/1?\"x\"",
            host: Some("store.example"),
            http_version: "1.1",
            status: 200,
            bytes_sent: 12,
            duration: Duration::from_micros(1234),
            group: Some("store"),
            upstream: Some("127.0.0.1:5000"),
            tries: 1,
            cache: None,
            refused: None,
            user_agent: None,
        }
    }

    #[test]
    fn a_line_is_a_json_object() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let moved = folder.path().join("access.log.1");
        let (log, guard) =
            AccessLog::start(&settings(Some(path.clone()), 1.0), counter()).expect("starts");
        log.log(&entry());
        while std::fs::metadata(&path).expect("there").len() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::fs::rename(&path, &moved).expect("moves");
        log.reopen();
        log.log(&entry());
        drop(guard);
        let read = |path| std::fs::read_to_string(path).expect("reads");
        assert_eq!(read(&moved), read(&path));
        let metadata = std::fs::metadata(&path).expect("there");
        assert_eq!(
            metadata.permissions().mode() & 0o027,
            0,
            "others read nothing"
        );
        assert_eq!(
            read(&moved),
            "{\"time\":\"1970-01-01T00:00:00.000Z\",\"request_id\":\"abc\",\"client\":\"192.0.2.1\",\
             \"method\":\"GET\",\"path\":\"/orders/1?\\\"x\\\"\",\"host\":\"store.example\",\"http_version\":\"1.1\",\
             \"status\":200,\"bytes_sent\":12,\"duration_ms\":1.234,\"group\":\"store\",\
             \"upstream\":\"127.0.0.1:5000\",\"tries\":1,\"user_agent\":null}\n"
        );
    }

    #[test]
    fn a_sample_is_exact_and_errors_are_always_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let sampled = |sample, status| {
            let path = folder.path().join("access.log");
            let (log, _guard) =
                AccessLog::start(&settings(Some(path), sample), counter()).expect("starts");
            (0..1000).filter(|_| log.enabled_for(status)).count()
        };
        assert_eq!(sampled(0.25, 200), 250);
        assert_eq!(sampled(0.0, 200), 0);
        assert_eq!(sampled(1.0, 200), 1000);
        assert_eq!(sampled(0.25, 503), 1000);
    }

    #[test]
    fn without_a_path_nothing_is_logged() {
        let (log, guard) = AccessLog::start(&settings(None, 1.0), counter()).expect("starts");
        assert!(guard.is_none());
        assert!(!log.enabled_for(503));
    }
}
