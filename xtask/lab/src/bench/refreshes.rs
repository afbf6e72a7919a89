//! Measures how long a refresh of the reports takes, from the host's own metrics.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testbed::Host;
use tokio::time::sleep;

use crate::measure::{mean, series};

/// The longest wait for a refresh; one is due each second.
const LIMIT: Duration = Duration::from_secs(60);

/// The mean duration of a few refreshes that each find one new order, in milliseconds. The host refreshes once a
/// second.
pub(super) async fn refresh_ms(host: &Host) -> Result<f64> {
    let mut refreshes = [0.0; 3];
    for refresh in &mut refreshes {
        *refresh = next(host).await?;
    }
    mean(refreshes).context("no refreshes")
}

/// Places an order and waits for the next refresh. Returns that refresh's duration.
async fn next(host: &Host) -> Result<f64> {
    let before = counted(host).await?;
    let body = r#"{"user_id":1,"items":[{"product_id":1,"quantity":1}]}"#;
    let order = reqwest::Client::new()
        .post(host.url("/orders"))
        .header("content-type", "application/json")
        .body(body);
    order.send().await.context("ordering")?.error_for_status()?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = counted(host).await?;
        if now.0 > before.0 {
            return Ok((now.1 - before.1) / (now.0 - before.0) * 1000.0);
        }
        ensure!(
            Instant::now() < deadline,
            "the reports were not refreshed in time"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

/// The number of refreshes so far, and their total seconds.
async fn counted(host: &Host) -> Result<(f64, f64)> {
    let text = reqwest::get(host.admin_url("/metrics")).await?;
    let text = text.text().await.context("reading the metrics")?;
    let value = |name: &str| {
        let found = series(&text, name).next();
        found
            .map(|(_, value)| value)
            .with_context(|| format!("the host counts no {name}"))
    };
    Ok((
        value("store_refresh_duration_seconds_count")?,
        value("store_refresh_duration_seconds_sum")?,
    ))
}
