//! `cargo xtask load`: runs Locust against the store, shows current figures, checks limits and keeps the results.

mod folder;
mod limits;
mod preflight;
mod screen;
mod table;
mod ui;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use self::limits::Limits;
use self::screen::Screen;
use crate::locust::{Outcome, Profile, Run};
use xtask::python::Python;
use xtask::setup::{self, PROCESSES};
use xtask::stop_signals::{INTERRUPTED, StopSignals};

/// Put load on the store with Locust, and keep the results in `loadtest/results/<time>/`
///
/// Exits with 1 if a request failed or a limit was missed. loadtest/README.md explains the figures.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The store: its proxy, or one of its hosts
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = base_url)]
    url: String,
    /// What the users do
    #[arg(long, value_enum, default_value_t = Profile::Course)]
    profile: Profile,
    /// Number of users at the end
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// New users per second
    #[arg(long, value_name = "N", default_value_t = 2.0, value_parser = rate)]
    spawn_rate: f64,
    /// How long the load lasts, from the first user on
    #[arg(long, default_value = "120s", value_parser = run_time)]
    time: Duration,
    /// Seed of the requests: the same number makes users request the same things
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    limits: Limits,
    /// Keep the results in this new folder [default: loadtest/results/TIME]
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Start Locust's own web page instead, where you begin and watch the load
    #[arg(long)]
    ui: bool,
    /// Port of that page, on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 8089, requires = "ui")]
    ui_port: u16,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let mut signals = StopSignals::new()?;
    let ready = tokio::select! {
        ready = ready(&options) => ready?,
        () = signals.next() => return interrupted("before the load began"),
    };
    let folder = folder::make(options.results.as_deref())?;
    folder::write_settings(&folder, &options)?;
    let run = Run {
        url: &options.url,
        profile: options.profile,
        users: options.users,
        spawn_rate: options.spawn_rate,
        time: options.time,
        seed: options.seed,
        folder: &folder,
    };
    if options.ui {
        return ui::run(&run, &ready, options.ui_port, &mut signals).await;
    }
    measure(&run, &ready, &options.limits, &mut signals).await
}

/// Checks everything that can be wrong before anything is written.
async fn ready(options: &Options) -> Result<Python> {
    if options.ui {
        ui::check_free(options.ui_port)?;
    }
    preflight::check(&options.url).await?;
    setup::tools(&[PROCESSES]).await?;
    Python::locust().await
}

async fn measure(
    run: &Run<'_>,
    python: &Python,
    limits: &Limits,
    signals: &mut StopSignals,
) -> Result<ExitCode> {
    eprintln!("▸ {run}");
    let mut screen = Screen::new(run);
    let mut locust = run.launch(python)?;
    let finished = tokio::select! {
        outcome = locust.outcome(|figures| screen.show(figures)) => Some(outcome?),
        () = signals.next() => None,
    };
    if let Some(outcome) = finished {
        drop(screen);
        report(&outcome, run.folder);
        return Ok(limits.judge(&outcome));
    }
    locust.end()?;
    eprintln!("ending; results so far are kept (Ctrl-C again to stop at once)");
    tokio::select! {
        outcome = locust.outcome(|figures| screen.show(figures)) => {
            drop(screen);
            // Before its first request, Locust has no results to keep.
            if let Ok(outcome) = outcome {
                report(&outcome, run.folder);
            }
            interrupted("before its time was over")
        }
        () = signals.next() => interrupted("and nothing was kept"),
    }
}

fn report(outcome: &Outcome, folder: &Path) {
    println!("{}", table::of(outcome));
    println!("results   {}", folder.display());
    println!("report    {}\n", folder.join("report.html").display());
}

fn interrupted(when: &str) -> Result<ExitCode> {
    eprintln!("interrupted {when}");
    Ok(ExitCode::from(INTERRUPTED))
}

fn base_url(text: &str) -> Result<String> {
    let url = reqwest::Url::parse(text).context("expected http://host:port")?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none(),
        "expected http://host:port"
    );
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn rate(text: &str) -> Result<f64> {
    let rate: f64 = text.parse().context("expected a number")?;
    ensure!(rate > 0.0 && rate <= 10_000.0, "not above 0, up to 10000");
    Ok(rate)
}

fn run_time(text: &str) -> Result<Duration> {
    let time = humantime::parse_duration(text).context("expected a time like 120s or 2m")?;
    ensure!(
        time.as_secs() >= 1 && time.subsec_nanos() == 0,
        "whole seconds, at least one"
    );
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_its_last_slash() {
        assert_eq!(base_url("http://a:1/").expect("good"), "http://a:1");
        assert_eq!(base_url("https://a/b/").expect("good"), "https://a/b");
        for bad in ["a:8080", "ftp://a", "/orders", "http://a?b"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_and_rates_are_positive() {
        assert_eq!(run_time("2m").expect("good"), Duration::from_secs(120));
        assert!(run_time("0s").is_err() && run_time("1500ms").is_err() && run_time("x").is_err());
        assert!(rate("0").is_err() && rate("NaN").is_err() && rate("0.5").is_ok());
    }
}
