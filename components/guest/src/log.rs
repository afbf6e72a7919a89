//! The component's log: plain lines. The host adds the component and the request id to each.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one line. Never log credentials, names, e-mail addresses or bodies.
pub fn log(line: impl Display) {
    eprintln!("{line}");
}

/// Like [`log`], but at most one line per second in this instance, for what would otherwise repeat with each request,
/// such as Redis being down. Writing to standard error blocks the whole instance.
pub fn log_sparsely(line: impl Display) {
    /// The second in which the last line was written. Any request of the instance writes it, only here.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if LAST.swap(now, Ordering::Relaxed) != now {
        log(line);
    }
}
