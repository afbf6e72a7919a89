//! Measures one stage, from its start to its result.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use reqwest::Client;
use serde_json::json;
use testbed::Progress;
use testbed::seed::Dataset;
use tokio::time::{Instant, sleep, timeout};

use super::counters;
use super::folder::Folder;
use super::locust_files;
use super::model::{Load, Sample, Saturation, StageResult};
use super::order_cost;
use super::sampling::Sampler;
use super::saturate::{self, Plan, Shooter};
use super::servers::{Servers, TestedPrograms};
use super::settings::Settings;
use super::stage::Stage;
use super::usage::UsageMeter;
use crate::locust::{Profile, Run};
use crate::measure::{Loaders, until};
use xtask::python::Python;

/// How long reports may take to be made after a host's start.
const REPORTS_LIMIT: Duration = Duration::from_secs(120);

/// The warm-up before a measurement, in which pools are filled and statements prepared.
const WARM_UP: Duration = Duration::from_secs(4);

/// The number of clients in the warm-up.
const CLIENTS: usize = 4;

/// How long orders of one kind are placed to measure their cost.
const LOOK: Duration = Duration::from_secs(4);

/// The paths of the two reports.
const REPORTS: [&str; 2] = [
    "/orders/reports/highest-spenders",
    "/orders/reports/best-sellers",
];

/// What all stages of a run share.
pub(super) struct Bench<'a> {
    pub(super) settings: &'a Settings,
    pub(super) programs: &'a TestedPrograms,
    pub(super) python: &'a Python,
    /// The load generators for the search for the highest rate, unless that is left out.
    pub(super) loaders: Option<Loaders>,
    pub(super) dataset: Dataset,
    pub(super) folder: &'a Folder,
}

impl Bench<'_> {
    /// Measures a stage. `left` gives the text about the remaining time after this many seconds of the stage.
    pub(super) async fn measure(
        &self,
        stage: Stage,
        left: impl Fn() -> String,
    ) -> Result<StageResult> {
        let step = Progress::detect().step(&format!("start, {}", left()), 0);
        let mut servers = match stage {
            Stage::Reference => None,
            _ => Some(Servers::start(stage, &self.dataset, self.programs).await?),
        };
        let url = self.url(servers.as_ref());
        reports_in_place(&url).await?;
        step.finish_with(&url);
        let locust = self.folder.locust(stage)?;
        let step = Progress::detect().step("warm-up", 0);
        warm_up(&url, self.warm_up_time()).await?;
        step.finish();

        let processes = servers.as_ref().map(Servers::processes).unwrap_or_default();
        let hosts = servers.as_ref().map(Servers::metrics).unwrap_or_default();
        let before = counters::count(&hosts).await?;
        let run = Run {
            url: &url,
            profile: match stage.is_flash_sale() {
                true => Profile::FlashSale,
                false => Profile::Course,
            },
            users: self.settings.users,
            spawn_rate: self.settings.spawn_rate,
            time: self.settings.time(),
            seed: self.settings.seed,
            folder: &locust,
        };
        let mut sampler =
            Sampler::new(processes.clone(), servers.as_ref().map(|s| &s.store)).await?;
        let (load, samples) = self.load(&run, &mut sampler, &left).await?;
        let after = counters::count(&hosts).await?;
        if let Some(servers) = &servers {
            servers.check_running()?;
        }
        let saturation = match &self.loaders {
            Some(loaders) => {
                let watch = UsageMeter::new(processes)?;
                Some(self.saturate(loaders, stage, &url, watch, &left).await?)
            }
            None => None,
        };
        let order_costs = match &mut servers {
            Some(servers) if !stage.baskets().is_empty() => {
                let step = Progress::detect().step(&format!("orders, {}", left()), 0);
                let costs =
                    order_cost::look_into(servers, stage.baskets(), self.look_plan()).await?;
                step.finish_with("looked into, statement by statement");
                costs
            }
            _ => Vec::new(),
        };
        Ok(StageResult {
            stage,
            finished_at: now(),
            url: servers.is_none().then_some(url),
            load,
            samples,
            counters: servers
                .is_some()
                .then(|| counters::between(&before, &after)),
            saturation,
            order_costs,
        })
    }

    async fn load(
        &self,
        run: &Run<'_>,
        sampler: &mut Sampler,
        left: &impl Fn() -> String,
    ) -> Result<(Load, Vec<Sample>)> {
        let step = Progress::detect().step(&format!("load, {}", left()), self.settings.seconds);
        let mut samples = Vec::new();
        let outcome = tokio::select! {
            outcome = run.start(self.python) => outcome?,
            failed = sampler.run(&mut samples, || step.advance(1)) => bail!(
                "the load was given up: {:#}",
                failed.err().context("the sampler ended by itself")?
            ),
        };
        let load = locust_files::read(run.folder, outcome)?;
        // Locust takes a moment to start, and the report uses Locust's clock.
        for sample in &mut samples {
            sample.second -= load.began_at;
        }
        samples.retain(|sample| sample.second > 0.0);
        step.finish_with(&format!(
            "{} requests, {} failed",
            load.total.requests, load.total.failures
        ));
        Ok((load, samples))
    }

    async fn saturate(
        &self,
        loaders: &Loaders,
        stage: Stage,
        url: &str,
        mut watch: UsageMeter,
        left: &impl Fn() -> String,
    ) -> Result<Saturation> {
        let step = Progress::detect().step(&format!("search, {}", left()), 0);
        let (size, seed) = (self.settings.size(), self.settings.seed);
        let shooter = match stage.is_flash_sale() {
            true => Shooter::of_a_flash_sale(loaders, url, &size, seed),
            false => Shooter::of_the_course(loaders, url, &size, seed),
        };
        let found = saturate::search(&shooter, self.plan(), &mut watch).await?;
        step.finish_with(&match found.best() {
            Some(best) => format!("{} requests/s", best.rate),
            None => "none is good".to_owned(),
        });
        Ok(found)
    }

    /// Roughly how long a stage takes.
    pub(super) fn about(&self) -> Duration {
        let saturate = if self.settings.saturate {
            self.plan().about()
        } else {
            Duration::ZERO
        };
        let start = Duration::from_secs(if self.settings.quick { 6 } else { 20 });
        // Four of the ten stages measure the cost of orders, one of them for four kinds of orders.
        let looks = self.look_plan().time * 2;
        start + self.warm_up_time() + self.settings.time() + saturate + looks
    }

    fn look_plan(&self) -> order_cost::Plan {
        order_cost::Plan {
            size: self.settings.size(),
            seed: self.settings.seed,
            time: match self.settings.quick {
                true => Duration::from_secs(1),
                false => LOOK,
            },
        }
    }

    fn plan(&self) -> Plan {
        if self.settings.quick {
            Plan::QUICK
        } else {
            Plan::FULL
        }
    }

    fn warm_up_time(&self) -> Duration {
        if self.settings.quick {
            Duration::from_millis(500)
        } else {
            WARM_UP
        }
    }

    fn url(&self, servers: Option<&Servers>) -> String {
        match servers {
            Some(servers) => servers.url(),
            None => self.settings.reference.clone().unwrap_or_default(),
        }
    }
}

/// Waits until both reports are available.
async fn reports_in_place(base: &str) -> Result<()> {
    let client = Client::builder().timeout(REPORTS_LIMIT).build();
    let client = client.context("making an HTTP client")?;
    let deadline = Instant::now() + REPORTS_LIMIT;
    for path in REPORTS {
        loop {
            let url = format!("{base}{path}");
            let answer = client
                .get(&url)
                .send()
                .await
                .with_context(|| format!("asking {url}"))?;
            if answer.status().is_success() {
                break;
            }
            if Instant::now() >= deadline {
                bail!("{url} still answers {}", answer.status());
            }
            sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// Sends requests with a few clients, each one request after the other, and ignores the answers.
async fn warm_up(base: &str, time: Duration) -> Result<()> {
    let client = Client::builder().timeout(REPORTS_LIMIT).build();
    let client = client.context("making an HTTP client")?;
    let order = json!({"user_id": 1, "items": [{"product_id": 1, "quantity": 1}]});
    let each = async || {
        let post = client.post(format!("{base}/orders")).json(&order);
        post.send().await.context("warming up")?;
        for path in REPORTS {
            let get = client.get(format!("{base}{path}"));
            get.send().await.context("warming up")?;
        }
        Ok(())
    };
    // A slow stage is cut off in the middle of its answers; it is warm by then.
    match timeout(time * 2, until(time, CLIENTS, each)).await {
        Ok(failed @ Err(_)) => failed,
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
