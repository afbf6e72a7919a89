//! Shows that a step goes on, by a line every four seconds. In a terminal cargo draws its own bar. Elsewhere it would
//! be silent while a crate compiles, so its bar is read and becomes these lines.

use std::io::IsTerminal;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

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

/// Waits for `work`, and says every few seconds that the step `title` goes on, with what `detail` then knows of it.
pub async fn wait<T>(
    title: &str,
    detail: impl Fn() -> Option<String>,
    work: impl Future<Output = T>,
) -> T {
    wait_told(title, detail, work, INTERVAL, print).await
}

/// As [`wait`], with the time between two lines and the function that prints them.
async fn wait_told<T>(
    title: &str,
    detail: impl Fn() -> Option<String>,
    work: impl Future<Output = T>,
    interval: Duration,
    mut tell: impl FnMut(&str),
) -> T {
    let mut work = pin!(work);
    let started = Instant::now();
    let mut ticks = ticks(interval);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => {
                let mut line = so_far(title, started);
                if let Some(detail) = detail() {
                    line = format!("{line}: {detail}");
                }
                tell(&line);
            }
        }
    }
}

/// Runs the cargo command `command` as the step `title`, and shows its progress.
///
/// # Errors
/// If the command can't be started.
pub async fn run(title: &str, mut command: Command) -> Result<ExitStatus> {
    if std::io::stderr().is_terminal() {
        return command.status().await.context("starting cargo");
    }
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", WIDTH)
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("starting cargo")?;
    if let Some(said) = child.stderr.take() {
        follow(title, said, INTERVAL, print).await?;
    }
    child.wait().await.context("waiting for cargo")
}

/// Prints a line of a step. In a terminal, another step's bar may stand where it goes.
pub(crate) fn print(line: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("\r\u{1b}[K{line}");
    } else {
        eprintln!("{line}");
    }
}

/// Tells what cargo says until its end. In between, every `interval`, it tells cargo's bar, or the step's `title` while
/// there is none: before the first one, where cargo waits for another cargo, and while tests run.
async fn follow(
    title: &str,
    mut said: impl AsyncRead + Unpin,
    interval: Duration,
    mut tell: impl FnMut(&str),
) -> Result<()> {
    let started = Instant::now();
    let mut ticks = ticks(interval);
    let mut lines = Lines::default();
    let mut bar: Option<String> = None;
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
                            tell(text);
                        }
                    }
                }
            }
            _ = ticks.tick() => tell(&so_far(bar.as_deref().unwrap_or(title), started)),
        }
    }
}

fn ticks(interval: Duration) -> Interval {
    let mut ticks = interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The line of a step in progress.
fn so_far(what: &str, started: Instant) -> String {
    format!("  {what} ({} s so far)", started.elapsed().as_secs())
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
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::sync::oneshot;

    use super::*;

    /// Real time, but little of it. Tokio's paused clock is a feature of its own, for which tokio and all that uses it
    /// would be built a second time.
    const SHORT: Duration = Duration::from_millis(1);

    /// The next line that `fits`; the lines before it are dropped.
    async fn line(lines: &mut UnboundedReceiver<String>, fits: impl Fn(&str) -> bool) -> String {
        loop {
            let line = lines.recv().await.expect("it goes on");
            if fits(&line) {
                return line;
            }
        }
    }

    #[tokio::test]
    async fn a_step_says_that_it_goes_on_until_its_end() {
        let (tell, mut lines) = unbounded_channel();
        let (end, ended) = oneshot::channel();
        let tell = move |line: &str| _ = tell.send(line.to_owned());
        let detail = || Some("40 %, Installing redis-server".to_owned());
        let step = tokio::spawn(wait_told("install", detail, ended, SHORT, tell));
        for _ in 0..3 {
            let line = lines.recv().await.expect("it goes on");
            assert!(line.starts_with("  install ("), "{line}");
            assert!(line.contains(" s so far): 40 %, Installing"), "{line}");
        }
        end.send(7).expect("it is waited for");
        assert_eq!(step.await.expect("no panic"), Ok(7));
        while lines.recv().await.is_some() {}
    }

    #[tokio::test]
    async fn cargo_is_followed_from_before_its_first_bar_until_its_end() {
        let (mut cargo, said) = duplex(4096);
        let (tell, mut lines) = unbounded_channel();
        let tell = move |line: &str| _ = tell.send(line.to_owned());
        let step = tokio::spawn(follow("tests", said, SHORT, tell));
        let first = line(&mut lines, |_| true).await;
        assert!(first.starts_with("  tests ("), "{first}");

        let bar = b"   Compiling syn v2.0.1\n    Building [=>     ] 1/3: syn\r";
        cargo.write_all(bar).await.expect("it reads");
        let told = line(&mut lines, |line| !line.starts_with("  tests (")).await;
        assert!(told.starts_with("  1/3: syn ("), "{told}");
        assert!(told.ends_with(" s so far)"), "{told}");

        cargo.write_all(b"    Finished\n").await.expect("it reads");
        let told = line(&mut lines, |line| !line.starts_with("  1/3: syn (")).await;
        assert_eq!(told, "    Finished");
        let last = line(&mut lines, |_| true).await;
        assert!(last.starts_with("  tests ("), "{last}");

        drop(cargo);
        step.await.expect("no panic").expect("cargo ended");
        while lines.recv().await.is_some() {}
    }

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
