//! Checks the store before the load: whether it answers, and whether it has the data that the users will request.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, StatusCode};

/// A store that takes longer than this for one row has a problem even without load.
const LIMIT: Duration = Duration::from_secs(10);

/// The first and the last of the ids that the locustfiles request.
const KNOWN: [(&str, &str); 5] = [
    ("user 1", "/users/1"),
    ("user 1000", "/users/1000"),
    ("product 1", "/products/1"),
    ("product 10000", "/products/10000"),
    ("order 1", "/orders/1"),
];

/// Checks that the load would measure more than errors. An error says what to do.
pub(super) async fn check(url: &str) -> Result<()> {
    let client = Client::builder().timeout(LIMIT).no_proxy().build()?;
    let health = get(&client, url, "/health-check").await.with_context(|| {
        format!("no store at {url}: start one with `cargo xtask up`, or give another --url")
    })?;
    ensure!(
        health == StatusCode::OK,
        "{url} answers {health} to GET /health-check: is it the store's proxy, and does a host run behind it?"
    );
    for (thing, path) in KNOWN {
        match get(&client, url, path)
            .await
            .with_context(|| format!("GET {url}{path}"))?
        {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => bail!(
                "the store at {url} has no {thing}, so orders would fail: fill it with `cargo xtask seed lab` (--force replaces what is there)"
            ),
            status => {
                bail!("GET {url}{path} answers {status}: do the store's database and Redis run?")
            }
        }
    }
    Ok(())
}

async fn get(client: &Client, url: &str, path: &str) -> Result<StatusCode> {
    let response = client.get(format!("{url}{path}")).send().await?;
    Ok(response.status())
}
