//! Runs one target under libFuzzer.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use testbed::Progress;
use tokio::process::Command;
use tokio::time::interval;

use super::targets::Target;
use xtask::paths;

/// An input that takes longer than this is a finding.
const LONGEST_INPUT: Duration = Duration::from_secs(10);

/// An input that takes more memory than this is a finding. The largest target, the host's tests, takes 200 MiB without
/// input.
const MOST_MEMORY_MIB: u32 = 1024;

/// The longest input in bytes. Our own limits are larger, but longer inputs are slow.
const LONGEST_BYTES: u32 = 8192;

/// The wait between two reads of the log.
const TICK: Duration = Duration::from_millis(200);

/// How many lines of libFuzzer's log are shown for a finding.
const SHOWN_LINES: usize = 12;

/// The result of a target's run.
pub(super) struct TargetRun {
    /// The number of inputs that were tried, as libFuzzer writes it; empty if it ended without one.
    pub(super) inputs: String,
    /// How long the target was tried.
    pub(super) time: Duration,
    /// The description of what was found, if anything, with the path of its input.
    pub(super) finding: Option<String>,
}

/// The folders of a target.
struct Files {
    inputs: PathBuf,
    found: PathBuf,
    log: PathBuf,
}

/// Runs `target`, a test of `program`, for `time`.
pub(super) async fn target(target: &Target, program: &Path, time: Duration) -> Result<TargetRun> {
    let files = Files::of(target)?;
    let started = Instant::now();
    let step = Progress::detect().step(target.name, time.as_secs());
    let status = watched(command(target, program, time, &files)?, time, |seconds| {
        step.advance(seconds);
    })
    .await?;
    let time = started.elapsed();
    let log = fs::read_to_string(&files.log).unwrap_or_default();
    let inputs = executed(&log).to_owned();
    let is_done = status.success() && log.contains(DONE);
    if is_done {
        step.finish_with(&format!("{inputs} inputs"));
    }
    Ok(TargetRun {
        inputs,
        time,
        finding: (!is_done).then(|| report(&log, status, &files)),
    })
}

/// The text with which libFuzzer reports the end of its time.
const DONE: &str = "Done ";

impl Files {
    fn of(target: &Target) -> Result<Self> {
        let folder = paths::target().join("fuzz");
        let files = Self {
            inputs: folder.join("inputs").join(target.name),
            found: folder.join("found").join(target.name),
            log: folder.join(format!("{}.log", target.name)),
        };
        for folder in [&files.inputs, &files.found] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        Ok(files)
    }
}

fn command(target: &Target, program: &Path, time: Duration, files: &Files) -> Result<Command> {
    let seeds = paths::root().join("fuzz/seeds").join(target.name);
    // libFuzzer writes inputs that reach new code to the first folder, and only reads the second.
    let arguments = [
        files.inputs.display().to_string(),
        seeds.display().to_string(),
        format!("-artifact_prefix={}/", files.found.display()),
        format!("-max_total_time={}", time.as_secs()),
        format!("-timeout={}", LONGEST_INPUT.as_secs()),
        format!("-rss_limit_mb={MOST_MEMORY_MIB}"),
        format!("-max_len={LONGEST_BYTES}"),
    ];
    let log =
        File::create(&files.log).with_context(|| format!("creating {}", files.log.display()))?;
    let mut command = Command::new(program);
    command
        .args(["--exact", target.test, "--nocapture", "--test-threads=1"])
        .env("STORE_FUZZ_ARGUMENTS", arguments.join("\n"))
        .current_dir(paths::root())
        .stdout(log.try_clone().context("sharing a log")?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command)
}

/// Waits for the end of the run, and meanwhile advances the progress by the seconds that have passed.
async fn watched(
    mut command: Command,
    time: Duration,
    advance: impl Fn(usize),
) -> Result<ExitStatus> {
    let mut child = command.spawn().context("starting a test program")?;
    let started = Instant::now();
    let mut said = 0;
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            status = child.wait() => return status.context("waiting for a test program"),
            _ = ticks.tick() => {
                let seconds = started.elapsed().min(time).as_secs() as usize;
                advance(seconds - said);
                said = seconds;
            }
        }
    }
}

/// The number in libFuzzer's `Done 1234 runs in 60 second(s)`, or else in its last line like `#1234 NEW cov: 5`, which
/// it may have written a while before its end.
fn executed(log: &str) -> &str {
    let done = log.rfind(DONE).map(|at| &log[at + DONE.len()..]);
    let last = || log.lines().rev().find_map(|line| line.strip_prefix('#'));
    let count = done.or_else(last).unwrap_or_default();
    count.split_whitespace().next().unwrap_or_default()
}

fn report(log: &str, status: ExitStatus, files: &Files) -> String {
    // The test's own message comes before libFuzzer's report of the dying process.
    let cause: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.contains("panicked at") && !line.starts_with("=="))
        .take_while(|line| !line.starts_with("stack backtrace"))
        .take(SHOWN_LINES)
        .collect();
    let input = log
        .lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map_or("see the log", |(_, path)| path);
    format!(
        "{status}\n    {}\n    input: {input}\n    log: {}",
        cause.join("\n    "),
        files.log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::executed;

    #[test]
    fn libfuzzer_s_count_is_found() {
        let log = "#9 NEW cov: 3\nDone 1234567 runs in 61 second(s)\n";
        assert_eq!(executed(log), "1234567");
        let log = "#9\tNEW    cov: 3\n#64\tpulse  cov: 3\nthread 'main' panicked\n";
        assert_eq!(executed(log), "64");
        assert_eq!(executed(""), "");
    }
}
