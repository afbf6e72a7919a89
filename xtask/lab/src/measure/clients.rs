//! A few clients in this process, for measurements that count rather than time.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::Instant;

/// Lets `clients` clients repeat `each` until `time` is over. Calls in progress are then finished. The first error ends
/// all clients.
pub(crate) async fn until(
    time: Duration,
    clients: usize,
    each: impl AsyncFn() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + time;
    let client = async || {
        while Instant::now() < deadline {
            each().await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..clients).map(|_| client())).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    #[tokio::test]
    async fn clients_go_on_until_one_fails() {
        let done = Cell::new(0);
        let each = async || {
            done.set(done.get() + 1);
            if done.get() == 5 {
                bail!("enough");
            }
            Ok(())
        };
        let ended = until(Duration::from_secs(3600), 2, each).await;
        assert_eq!(ended.expect_err("failed").to_string(), "enough");
        assert_eq!(done.get(), 5);
    }
}
