//! The host's admin API, as far as the swap test needs it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, StatusCode};
use serde_json::Value;
use testbed::Host;
use tokio::time::{Instant, sleep};

use super::plan::Swap;
use super::swaps::SwapAttempt;
use crate::measure::{median, series};

/// Longer than any swap, drain or trial here takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// The wait between two checks of the host.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the memory is read. The median counts, because one reading may coincide with a compilation.
const LOOKS: usize = 15;

/// A client of one host's admin API.
pub(super) struct Admin {
    client: Client,
    base: String,
    token: &'static str,
}

/// How many generations had to be freed, and how many were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GenerationCount {
    pub(super) expected: u64,
    pub(super) counted: u64,
}

impl Admin {
    pub(super) fn new(host: &Host, token: &'static str) -> Result<Self> {
        let client = Client::builder().timeout(PATIENCE).build();
        Ok(Self {
            client: client.context("making an HTTP client")?,
            base: host.admin_url(""),
            token,
        })
    }

    /// Uploads a version, and swaps to it.
    pub(super) async fn swap(&self, swap: &Swap) -> Result<(StatusCode, Value)> {
        let path = format!("/components/{}/swap{}", swap.component, swap.query());
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .bearer_auth(self.token)
            .body(swap.bytes()?);
        let response = request.send().await.with_context(|| path.clone())?;
        let status = response.status();
        Ok((status, response.json().await.context(path)?))
    }

    /// Rolls a component back to its previous version. Returns the time until the answer, in milliseconds.
    pub(super) async fn rollback(&self, component: &str) -> Result<f64> {
        let path = format!("/components/{component}/rollback");
        let request = self.client.post(format!("{}{path}", self.base));
        let started = Instant::now();
        let response = request.bearer_auth(self.token).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        response.with_context(|| path)?;
        Ok(started.elapsed().as_secs_f64() * 1000.0)
    }

    /// Waits for the end of a component's trial, and returns how the trial ended.
    pub(super) async fn verdict(&self, component: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.component(component).await?;
            let generations = status["generations"].as_array();
            let trying =
                generations.is_some_and(|all| all.iter().any(|one| one["state"] == "canary"));
            if !trying {
                let result = status["last"]["result"].as_str();
                return Ok(result.unwrap_or("no result").to_owned());
            }
            if Instant::now() >= deadline {
                bail!("the trial of `{component}` has no end: {status}");
            }
            sleep(PAUSE).await;
        }
    }

    /// The resident memory in bytes.
    pub(super) async fn memory(&self) -> Result<u64> {
        self.sum("process_resident_memory_bytes").await
    }

    /// The median of several readings of the resident memory, once nothing drains any more.
    pub(super) async fn settled_memory(&self) -> Result<u64> {
        self.wait_for_drains().await?;
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            looks.push(self.memory().await? as f64);
            sleep(PAUSE).await;
        }
        Ok(median(looks).unwrap_or_default() as u64)
    }

    /// Compares the number of freed generations with the number that was replaced, withdrawn, refused by a probe, or
    /// rolled back.
    pub(super) async fn freed<'a>(
        &self,
        tried: impl Iterator<Item = &'a SwapAttempt>,
        rollbacks: usize,
    ) -> Result<GenerationCount> {
        let made = tried.filter(|tried| tried.made_a_generation()).count();
        let expected = (made + rollbacks) as u64;
        self.wait_for_drains().await?;
        let counted = self.sum("store_component_generations_freed_total").await?;
        Ok(GenerationCount { expected, counted })
    }

    async fn wait_for_drains(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.draining().await? > 0 {
            if Instant::now() >= deadline {
                bail!("a replaced generation drains for more than {PATIENCE:?}");
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn draining(&self) -> Result<u64> {
        let status = self.get("/status").await?;
        let status: Value = serde_json::from_str(&status).context("reading /status")?;
        let components = status["components"].as_array().into_iter().flatten();
        let generations = components.filter_map(|component| component["generations"].as_array());
        let draining = generations
            .flatten()
            .filter(|one| one["state"] == "draining");
        Ok(draining.count() as u64)
    }

    async fn component(&self, id: &str) -> Result<Value> {
        let status = self.get("/status").await?;
        let status: Value = serde_json::from_str(&status).context("reading /status")?;
        let mut components = status["components"].as_array().into_iter().flatten();
        let found = components.find(|component| component["component"] == id);
        found
            .cloned()
            .with_context(|| format!("`{id}` has no status"))
    }

    /// The sum of a metric's series.
    async fn sum(&self, name: &str) -> Result<u64> {
        let text = self.get("/metrics").await?;
        let values = series(&text, name).map(|(_, value)| value);
        Ok(values.sum::<f64>() as u64)
    }

    async fn get(&self, path: &str) -> Result<String> {
        let response = self.client.get(format!("{}{path}", self.base)).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        let text = response.with_context(|| path.to_owned())?.text().await;
        text.with_context(|| path.to_owned())
    }
}
