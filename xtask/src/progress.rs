//! Shows the progress of a cargo command. In a terminal cargo draws its own bar. Elsewhere it would be silent while a
//! crate compiles, so its bar is read and printed as a line every four seconds.

use std::io::IsTerminal;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{MissedTickBehavior, interval_at};

/// The time between two lines.
const INTERVAL: Duration = Duration::from_secs(4);

/// The width of cargo's bar: wide enough for the names of the crates that it compiles, which cargo cuts to fit.
const WIDTH: &str = "160";

/// What cargo prints for each crate. These lines are left out, because the bar's count says the same in less space.
const EACH_CRATE: [&str; 5] = [
    "Compiling",
    "Checking",
    "Documenting",
    "Downloaded",
    "Adding",
];

/// Runs the cargo command `command`, and shows its progress.
///
/// # Errors
/// If the command can't be started.
pub async fn run(mut command: Command) -> Result<ExitStatus> {
    if std::io::stderr().is_terminal() {
        return command.status().await.context("starting cargo");
    }
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", WIDTH)
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("starting cargo")?;
    if let Some(said) = child.stderr.take() {
        follow(said).await?;
    }
    child.wait().await.context("waiting for cargo")
}

async fn follow(mut said: impl AsyncRead + Unpin) -> Result<()> {
    let started = Instant::now();
    let mut ticks = interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lines = Lines::default();
    let mut bar = None;
    let mut bytes = [0; 4096];
    loop {
        tokio::select! {
            read = said.read(&mut bytes) => {
                let count = read.context("reading what cargo says")?;
                if count == 0 {
                    return Ok(());
                }
                for line in lines.add(&bytes[..count]) {
                    match Line::read(&line) {
                        Line::Bar(text) => bar = Some(text.to_owned()),
                        Line::EachCrate => {}
                        Line::Other(text) => {
                            // The bar is over when other output follows, for example that the tests run.
                            bar = None;
                            eprintln!("{text}");
                        }
                    }
                }
            }
            _ = ticks.tick() => {
                if let Some(bar) = &bar {
                    eprintln!("  {bar} ({} s so far)", started.elapsed().as_secs());
                }
            }
        }
    }
}

/// Cuts bytes that arrive in pieces into lines. A bar ends with a carriage return.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut complete = Vec::new();
        for &byte in bytes {
            if !matches!(byte, b'\n' | b'\r') {
                self.begun.push(byte);
                continue;
            }
            if !self.begun.is_empty() {
                complete.push(String::from_utf8_lossy(&self.begun).into_owned());
                self.begun.clear();
            }
        }
        complete
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// The progress: `123/412: wasmtime, cranelift-codegen`.
    Bar(&'a str),
    EachCrate,
    Other(&'a str),
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        // Cargo clears the rest of the line after a bar, and before the text that replaces it.
        let text = line
            .trim_start_matches("\u{1b}[K")
            .trim_end_matches("\u{1b}[K");
        let first = text.split_whitespace().next().unwrap_or_default();
        if let Some((_, after)) = text.split_once("] ")
            && text.contains('[')
            && after
                .split_once('/')
                .is_some_and(|(done, _)| done.trim().parse::<u32>().is_ok())
        {
            return Self::Bar(after.trim());
        }
        if EACH_CRATE.contains(&first) {
            return Self::EachCrate;
        }
        Self::Other(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_told_from_what_cargo_says() {
        let bar = "    Building [===>      ] 12/587: syn, libc(build)";
        assert_eq!(Line::read(bar), Line::Bar("12/587: syn, libc(build)"));
        assert_eq!(Line::read("   Compiling syn v2.0.1"), Line::EachCrate);
        let warning = "warning: unused [x] a/b";
        assert_eq!(Line::read(warning), Line::Other(warning));
        let finished = "\u{1b}[K    Finished `dev` profile in 3s";
        assert_eq!(
            Line::read(finished),
            Line::Other("    Finished `dev` profile in 3s")
        );
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut lines = Lines::default();
        assert!(lines.add(b"    Buil").is_empty());
        assert_eq!(lines.add(b"ding\r\nab\rc"), ["    Building", "ab"]);
        assert_eq!(lines.add(b"\n"), ["c"]);
    }
}
