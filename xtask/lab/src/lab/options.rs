//! The command line of `cargo xtask lab`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::settings::Settings;
use super::stage::Stage;
use xtask::paths;

/// The load of the course.
const USERS: u32 = 150;
const SPAWN_RATE: f64 = 2.0;
const TIME: Duration = Duration::from_secs(120);

/// A short load that shows that everything works, and measures nothing.
const QUICK_USERS: u32 = 12;
const QUICK_SPAWN_RATE: f64 = 6.0;
const QUICK_TIME: Duration = Duration::from_secs(5);

/// Replay the course: eight stages under the same load, a flash sale, and one report of the gain of each optimisation
///
/// Each stage gets its own MariaDB and Redis with the course's data, its hosts and its proxy on free ports, a short
/// warm-up, Locust's course load, and a search for the highest rate of requests whose 99th percentile stays under
/// 100 ms. Builds host and proxy in their release profile (`dist`) first, which takes minutes the first time; a full
/// run takes half an hour. The same command completes a run that was interrupted. docs/LAB.md explains the report.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measure only these stages (by name or number); repeatable, or separated by commas
    #[arg(long, value_enum, value_name = "STAGES", value_delimiter = ',')]
    pub(super) only: Vec<Stage>,
    /// Number of users at the end [default: 150]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: Option<u32>,
    /// New users per second [default: 2]
    #[arg(long, value_name = "RATE", value_parser = positive)]
    spawn_rate: Option<f64>,
    /// How long the load of each stage lasts, from the first user on: 120s, 2m [default: 120s]
    #[arg(long, value_parser = duration)]
    time: Option<Duration>,
    /// Seed of the data and of the requests: the same number gives the same of both
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Use little data, a short load and programs that are built for tests: shows that the lab works, and measures
    /// nothing
    #[arg(long)]
    pub(super) quick: bool,
    /// Leave out the search for the highest rate
    #[arg(long)]
    no_saturate: bool,
    /// First measure this other implementation of the same API: http://host:port
    #[arg(long, value_name = "URL", value_parser = base_url)]
    reference: Option<String>,
    /// Test this `store-host` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    pub(super) host: Option<PathBuf>,
    /// Test this `store-proxy` instead of building one
    #[arg(long, value_name = "PROGRAM")]
    pub(super) proxy: Option<PathBuf>,
    /// Folder of the results and the report; finished stages in it that have the same settings are kept
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Remove the results in that folder first
    #[arg(long)]
    pub(super) fresh: bool,
}

impl Options {
    /// Everything that the results depend on, except the programs.
    pub(super) fn settings(&self) -> Settings {
        let (users, spawn_rate, time) = if self.quick {
            (QUICK_USERS, QUICK_SPAWN_RATE, QUICK_TIME)
        } else {
            (USERS, SPAWN_RATE, TIME)
        };
        Settings {
            users: self.users.unwrap_or(users),
            spawn_rate: self.spawn_rate.unwrap_or(spawn_rate),
            seconds: self.time.unwrap_or(time).as_secs(),
            seed: self.seed,
            quick: self.quick,
            saturate: !self.no_saturate,
            reference: self.reference.clone(),
            programs: String::new(),
        }
    }

    /// The selected stages, in the course's order.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let mut stages = if self.only.is_empty() {
            Stage::ALL.to_vec()
        } else {
            self.only.clone()
        };
        // One of the two flash-sale stages alone could not be compared.
        if stages.iter().any(|stage| stage.is_flash_sale()) {
            stages.extend(Stage::FLASH_SALE);
        }
        if self.reference.is_some() {
            stages.push(Stage::Reference);
        }
        stages.sort_unstable();
        stages.dedup();
        stages
    }

    /// The folder of results.
    pub(super) fn results(&self) -> PathBuf {
        let usual = || paths::root().join("loadtest/results/lab");
        self.results.clone().unwrap_or_else(usual)
    }
}

fn positive(text: &str) -> Result<f64> {
    let number: f64 = text.parse()?;
    ensure!(number.is_finite() && number > 0.0, "it must be more than 0");
    Ok(number)
}

/// Parses `120s`, `2m`, or seconds without a unit.
fn duration(text: &str) -> Result<Duration> {
    let time = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text)?,
    };
    let whole = time.subsec_nanos() == 0;
    let day = Duration::from_secs(24 * 60 * 60);
    ensure!(
        whole && !time.is_zero() && time <= day,
        "whole seconds, from 1s to 24h"
    );
    Ok(time)
}

fn base_url(text: &str) -> Result<String> {
    let url = reqwest::Url::parse(text)?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "expected http://host:port"
    );
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_unit() {
        let seconds = |text| duration(text).ok().map(|time| time.as_secs());
        assert_eq!(seconds("90"), Some(90));
        assert_eq!(seconds("2m"), Some(120));
        for wrong in ["0", "1500ms", "25h", "soon", "-3"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_reference_is_a_url_and_loses_its_last_slash() {
        let url = base_url("http://127.0.0.1:5000/").expect("a URL");
        assert_eq!(url, "http://127.0.0.1:5000");
        assert!(base_url("127.0.0.1:5000").is_err());
        assert!(base_url("ftp://there").is_err());
    }
}
