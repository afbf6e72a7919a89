//! Runs Locust without its web page, as a child process that ends with us.

mod history;
mod outcome;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use serde::Serialize;
use testbed::{Process, Signal, start_program};
use tokio::time::sleep;

use self::history::History;
pub(crate) use self::history::{CurrentFigures, CurrentRoute};
#[cfg(test)]
pub(crate) use self::outcome::Failure;
pub(crate) use self::outcome::{Figures, Outcome};
use xtask::paths;
use xtask::python::Python;

/// How long users may take to finish their requests when the time is over: longer than a request may last.
const STOP_TIMEOUT_SECONDS: u64 = 45;

/// How long everything else may take in addition to the run time: starting, spawning, writing the results.
const GRACE: Duration = Duration::from_secs(60 + STOP_TIMEOUT_SECONDS);

const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What the users do: a file in `loadtest` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Profile {
    /// A third orders, a third each report, 1 to 3 s between requests
    Course,
    /// Reads alone, 1 to 3 s between requests
    ReadOnly,
    /// Orders that are read back and partly cancelled, among four times as many reads
    ReadWrite,
    /// Every route
    Browse,
    /// The course's mix without pauses
    Saturate,
    /// The course's load in ten equal steps, up to all users
    Steps,
    /// Orders of one product by everybody, 1 to 3 s between requests
    FlashSale,
}

impl Profile {
    /// The profile's locustfile.
    pub(crate) fn file(self) -> PathBuf {
        let name = match self {
            Self::Course => "locustfile",
            Self::ReadOnly => "read_only",
            Self::ReadWrite => "read_write",
            Self::Browse => "browse",
            Self::Saturate => "saturate",
            Self::Steps => "steps",
            Self::FlashSale => "flash_sale",
        };
        paths::root().join(format!("loadtest/{name}.py"))
    }
}

/// One run of Locust without its web page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// Base URL, without a slash at the end.
    pub(crate) url: &'a str,
    pub(crate) profile: Profile,
    pub(crate) users: u32,
    /// New users per second.
    pub(crate) spawn_rate: f64,
    /// The duration, from the first user on; the time in which users spawn is part of it.
    pub(crate) time: Duration,
    /// The seed; the same seed makes users request the same things.
    pub(crate) seed: u64,
    /// The folder for report.html, stats.csv, stats_history.csv, failures.csv, exceptions.csv, stats.json (in the
    /// format of Locust's --json-file, with each route's distribution), summary.json (the content of [`Outcome`]) and
    /// locust.log.
    pub(crate) folder: &'a Path,
}

impl Run<'_> {
    /// Runs Locust to its end. Ok even if requests failed: see [`Outcome`]. Dropping the future kills Locust.
    ///
    /// # Errors
    /// When Locust itself could not run.
    pub(crate) async fn start(&self, python: &Python) -> Result<Outcome> {
        self.launch(python)?.outcome(|_| {}).await
    }

    /// Starts Locust.
    ///
    /// # Errors
    /// When Locust can't be started, or the folder can't be written to.
    pub(crate) fn launch(&self, python: &Python) -> Result<LocustProcess> {
        fs::create_dir_all(self.folder)
            .with_context(|| format!("creating {}", self.folder.display()))?;
        let running = LocustProcess {
            folder: self.folder.to_owned(),
            history: History::new(self.folder.join("live_stats_history.csv")),
            deadline: Instant::now() + self.time + GRACE,
            process: start_program(
                "Locust",
                &python.program().display().to_string(),
                &self.arguments(),
                &self.folder.join("locust.log"),
            )?,
        };
        Ok(running)
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = self.settings();
        arguments.extend(["--headless", "--only-summary", "--csv-full-history"].map(str::to_owned));
        // We judge failed requests ourselves; any exit code but 0 is then a failure of Locust itself.
        arguments.extend(["--exit-code-on-error", "0", "--csv"].map(str::to_owned));
        arguments.push(self.folder.join("live").display().to_string());
        arguments
    }

    /// The arguments for Locust to serve its page with these settings filled in.
    pub(crate) fn page_arguments(&self, port: u16) -> Vec<String> {
        let mut arguments = self.settings();
        arguments.extend(["--web-host", "127.0.0.1", "--web-port"].map(str::to_owned));
        arguments.push(port.to_string());
        arguments
    }

    fn settings(&self) -> Vec<String> {
        let settings = [
            ("--locustfile", self.profile.file().display().to_string()),
            ("--host", self.url.to_owned()),
            ("--users", self.users.to_string()),
            ("--spawn-rate", self.spawn_rate.to_string()),
            ("--run-time", format!("{}s", self.time.as_secs())),
            ("--stop-timeout", STOP_TIMEOUT_SECONDS.to_string()),
            ("--seed", self.seed.to_string()),
            ("--results", self.folder.display().to_string()),
        ];
        let module = [("-m", "locust".to_owned())];
        let pairs = module.into_iter().chain(settings);
        pairs
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }
}

/// A running Locust. Dropping it kills Locust.
#[derive(Debug)]
pub(crate) struct LocustProcess {
    process: Process,
    folder: PathBuf,
    history: History,
    deadline: Instant,
}

impl LocustProcess {
    /// Asks Locust to end now: users finish their requests, and the results so far are kept.
    ///
    /// # Errors
    /// When the signal can't be sent.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.deadline = Instant::now() + GRACE;
        // If the profile has a load shape, SIGTERM would kill Locust without results.
        self.process.signal(Signal::SIGINT)
    }

    /// Waits for the end, and calls `show` with the figures of each second. May be called again after it was cancelled.
    ///
    /// # Errors
    /// When Locust itself failed.
    pub(crate) async fn outcome(
        &mut self,
        mut show: impl FnMut(&CurrentFigures),
    ) -> Result<Outcome> {
        let status = loop {
            let status = self.process.exit_status()?;
            while let Some(figures) = self.history.next()? {
                show(&figures);
            }
            if let Some(status) = status {
                break status;
            }
            if Instant::now() > self.deadline {
                self.process.kill();
                bail!("Locust did not end in time, and was killed: {}", self.log());
            }
            sleep(LOOK_INTERVAL).await;
        };
        if !status.success() {
            let failed = format!(
                "Locust failed ({status}), its log ends with:{}",
                self.process.log_tail()
            );
            return Err(anyhow!(failed).context(self.why_no_results()));
        }
        let kept = self.tidy();
        kept.and_then(|()| Outcome::read(&self.folder.join("summary.json")))
            .with_context(|| self.why_no_results())
    }

    /// Why there are no results. The most likely reason is a full disk, which leaves no room for a log message either.
    fn why_no_results(&self) -> String {
        let probe = self.folder.join("probe");
        let written = fs::write(&probe, [0; 1 << 16]);
        let _ = fs::remove_file(&probe);
        match written {
            Err(error) => format!(
                "nothing can be written to {}: {error}",
                self.folder.display()
            ),
            Ok(()) => format!("Locust left no results; {}", self.log()),
        }
    }

    fn log(&self) -> String {
        format!("see {}", self.process.log_path().display())
    }

    /// Keeps Locust's history, and removes its other intermediate files, whose content is in the final files.
    fn tidy(&self) -> Result<()> {
        let of = |name: &str| self.folder.join(name);
        fs::rename(of("live_stats_history.csv"), of("stats_history.csv"))
            .with_context(|| format!("keeping Locust's history; {}", self.log()))?;
        for name in ["stats", "failures", "exceptions"] {
            let file = of(&format!("live_{name}.csv"));
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
        Ok(())
    }
}
