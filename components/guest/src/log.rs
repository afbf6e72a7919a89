//! The component's log: plain lines, which the host prints with component and request id.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one line. Never log credentials, names, e-mail addresses or bodies.
pub fn log(line: impl Display) {
    eprintln!("{line}");
}

/// Like [`log`], but once a second at most in this instance: for what would repeat with each request, such as Redis
/// being down. Standard error holds the whole instance while it is written.
pub fn log_sparsely(line: impl Display) {
    /// The second of the last line. Written here only, by any request of the instance.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if LAST.swap(now, Ordering::Relaxed) != now {
        log(line);
    }
}
