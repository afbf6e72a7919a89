//! `cargo xtask lab`: runs the course's whole exercise, and reports the gain of each optimisation.

mod about;
mod counters;
mod folder;
mod locust_files;
mod measure;
mod model;
mod options;
mod order_cost;
mod report;
mod sampling;
mod saturate;
mod servers;
mod settings;
mod stage;
#[cfg(test)]
mod testing;
mod usage;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::Progress;
use testbed::seed::Dataset;

use self::about::{About, Programs};
use self::folder::{Folder, Run};
use self::measure::Bench;
use self::model::StageResult;
pub(crate) use self::options::Options;
use self::servers::TestedPrograms;
use self::settings::{Settings, fingerprint};
use self::stage::Stage;
use crate::measure::Loaders;
use xtask::build::{HOST_PACKAGE, PROXY_PACKAGE};
use xtask::python::Python;
use xtask::setup::{self, COMPILING, MARIADB, PROCESSES, REDIS};
use xtask::stop_signals::{INTERRUPTED, StopSignals};
use xtask::{build, paths};

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut signals = StopSignals::new()?;
    let results = options.results();
    tokio::select! {
        done = replay(options) => done.map(|()| ExitCode::SUCCESS),
        () = signals.next() => {
            // Dropping the future has ended all servers that it owned.
            eprintln!(
                "interrupted; finished stages are in {}, and the same command goes on from there",
                results.display()
            );
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

async fn replay(options: Options) -> Result<()> {
    setup::tools(&[COMPILING, PROCESSES, MARIADB, REDIS]).await?;
    let settings = options.settings();
    let loaders = settings.saturate.then(Loaders::default);
    let python = Python::locust().await?;
    let under_test = programs(&options).await?;
    let settings = Settings {
        programs: fingerprint(&under_test.host, &under_test.proxy)?,
        ..settings
    };
    let programs = Programs {
        host: &under_test.host,
        proxy: &under_test.proxy,
        python: &python.program(),
    };
    let run = Run {
        settings,
        about: About::this_machine(&programs).await,
    };
    let folder = Folder::open(&options.results(), &run, options.fresh)?;
    let bench = Bench {
        settings: &run.settings,
        programs: &under_test,
        python: &python,
        loaders,
        dataset: Dataset::random(run.settings.size(), run.settings.seed),
        folder: &folder,
    };
    let skipped = measure_all(&bench, &options.stages()).await?;
    let step = Progress::detect().step("report", 0);
    let page = report(&folder, skipped)?;
    step.finish();
    println!("{}", page.display());
    Ok(())
}

/// The host and the proxy as they are shipped, unless the user gives others.
async fn programs(options: &Options) -> Result<TestedPrograms> {
    if options.quick {
        // The caller that tests the lab has built these.
        return Ok(TestedPrograms {
            host: options
                .host
                .clone()
                .unwrap_or_else(|| paths::program(HOST_PACKAGE)),
            proxy: options
                .proxy
                .clone()
                .unwrap_or_else(|| paths::program(PROXY_PACKAGE)),
        });
    }
    setup::wasm_target().await?;
    build::components().await?;
    let host = match &options.host {
        Some(host) => host.clone(),
        None => build::dist_host().await?,
    };
    let proxy = match &options.proxy {
        Some(proxy) => proxy.clone(),
        None => build::dist_proxy().await?,
    };
    Ok(TestedPrograms { host, proxy })
}

/// Measures the unfinished stages. Returns the stages that can't be measured, with the reasons.
async fn measure_all(bench: &Bench<'_>, stages: &[Stage]) -> Result<Vec<(Stage, String)>> {
    let mut skipped = Vec::new();
    let mut to_do = Vec::new();
    for stage in stages.iter().copied() {
        if let Some(reason) = bench.programs.lacks(stage).await {
            eprintln!("– {}: {reason}", stage.name());
            skipped.push((stage, reason.to_owned()));
        } else if bench.folder.finished(stage)?.is_some() {
            eprintln!("✓ {}: finished by an earlier run", stage.name());
        } else {
            to_do.push(stage);
        }
    }
    let total = to_do.len();
    for (done, stage) in to_do.into_iter().enumerate() {
        eprintln!("▸ {} ({} of {total})", stage.name(), done + 1);
        let began = Instant::now();
        let whole = bench.about() * u32::try_from(total - done)?;
        let left = || minutes(whole.saturating_sub(began.elapsed()));
        let result = bench.measure(stage, left).await;
        let result = result.with_context(|| format!("stage {}", stage.name()))?;
        bench.folder.keep(&result)?;
    }
    Ok(skipped)
}

/// Writes the report about all stages in the folder, whichever run measured them. Returns the path of the page.
fn report(folder: &Folder, skipped: Vec<(Stage, String)>) -> Result<std::path::PathBuf> {
    let run = folder.run()?;
    let mut stages: Vec<StageResult> = Vec::new();
    for stage in std::iter::once(Stage::Reference).chain(Stage::ALL) {
        stages.extend(folder.finished(stage)?);
    }
    let report = report::Report {
        run: &run,
        stages: &stages,
        skipped: &skipped,
    };
    report.write(folder)
}

/// `18 min left`, for the title of a step.
fn minutes(left: Duration) -> String {
    match left.as_secs() {
        0..60 => "<1 min left".into(),
        seconds => format!("{} min left", seconds.div_ceil(60)),
    }
}
