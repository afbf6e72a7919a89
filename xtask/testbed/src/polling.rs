//! Waits until something becomes true, with a deadline and never by a fixed sleep.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Short beside a server's start, long beside the cost of one check.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `attempt` until it returns a value.
///
/// # Errors
/// The first error of `attempt`, or an error that names `what` once `limit` has passed.
pub(crate) async fn poll_until<T, A, F>(limit: Duration, what: &str, mut attempt: A) -> Result<T>
where
    // Not `AsyncFnMut`: its future can't be declared `Send`, so no spawned task could wait here.
    A: FnMut() -> F,
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt().await? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", limit.as_secs_f32());
        }
        sleep(POLL_INTERVAL).await;
    }
}
