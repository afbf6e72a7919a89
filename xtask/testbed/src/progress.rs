//! Shows the progress of long work: bars in a terminal, plain lines elsewhere, nothing in tests.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Shorter steps show no bar, only their line at the end.
const TICK: Duration = Duration::from_millis(100);

/// The time between two lines of one step.
const INTERVAL: Duration = Duration::from_secs(4);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A moving bar, replaced by a line when its step ends.
    Bars,
    /// A line every few seconds, and one when a step ends.
    Lines,
    /// Nothing.
    Silent,
}

impl Progress {
    /// Bars if stderr is a terminal, else lines.
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars
        } else {
            Self::Lines
        }
    }

    /// Begins a step of `total` pieces of work, or of unknown length when `total` is 0.
    pub fn step(self, title: &str, total: u64) -> Step {
        self.step_told(title, total, INTERVAL, |line| eprintln!("{line}"))
    }

    /// As [`Progress::step`], with the interval between lines and the function that prints them.
    fn step_told(
        self,
        title: &str,
        total: u64,
        interval: Duration,
        tell: impl Fn(String) + Send + 'static,
    ) -> Step {
        let started = Instant::now();
        let bar = match self {
            Self::Bars => visible_bar(title, total),
            Self::Lines | Self::Silent => ProgressBar::hidden(),
        };
        let lines = (self == Self::Lines).then(|| {
            let (title, bar) = (title.to_owned(), bar.clone());
            Ticks::begin(interval, move || {
                let seconds = started.elapsed().as_secs();
                tell(so_far(&title, bar.position(), total, seconds));
            })
        });
        Step {
            title: title.to_owned(),
            total,
            started,
            mode: self,
            bar,
            lines,
        }
    }
}

/// A step in progress. If it is dropped without [`Step::finish`], it prints no line: the error or report that follows
/// says what happened.
#[derive(Debug)]
pub struct Step {
    title: String,
    total: u64,
    started: Instant,
    mode: Progress,
    bar: ProgressBar,
    /// Present if the step shows lines.
    lines: Option<Ticks>,
}

impl Step {
    /// Records `count` more pieces of work.
    pub fn advance(&self, count: usize) {
        self.bar.inc(count as u64);
    }

    /// Ends the step with a line that gives its duration.
    pub fn finish(self) {
        let count = if self.total > 0 {
            HumanCount(self.total).to_string()
        } else {
            String::new()
        };
        self.finish_with(&count);
    }

    /// Ends the step with a line of `detail` and its duration.
    pub fn finish_with(mut self, detail: &str) {
        self.bar.finish_and_clear();
        // After this, no more lines of the step can come.
        drop(self.lines.take());
        if self.mode != Progress::Silent {
            let seconds = self.started.elapsed().as_secs_f32();
            eprintln!("✓ {:<22} {detail:>24}  {seconds:>6.1} s", self.title);
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The line of a step in progress.
fn so_far(title: &str, done: u64, total: u64, seconds: u64) -> String {
    let count = match (done, total) {
        (0, 0) => String::new(),
        (done, 0) => format!("{} ", HumanCount(done)),
        (done, total) => format!("{}/{} ", HumanCount(done), HumanCount(total)),
    };
    format!("  {title:<22} {count}({seconds} s so far)")
}

/// Calls a function repeatedly until it is dropped. It has a thread of its own, because some steps block their thread.
#[derive(Debug)]
struct Ticks {
    /// The thread ends when this sender is dropped.
    going_on: Option<Sender<()>>,
    /// `None` if no thread could be started: then there are no lines, but the work goes on.
    thread: Option<JoinHandle<()>>,
}

impl Ticks {
    fn begin(interval: Duration, each: impl Fn() + Send + 'static) -> Self {
        let (going_on, end) = mpsc::channel();
        let ticking = move || {
            while end.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                each();
            }
        };
        Self {
            going_on: Some(going_on),
            thread: thread::Builder::new().spawn(ticking).ok(),
        }
    }
}

impl Drop for Ticks {
    fn drop(&mut self) {
        drop(self.going_on.take());
        if let Some(thread) = self.thread.take() {
            // The thread panics if nobody reads its lines; it has ended then too.
            _ = thread.join();
        }
    }
}

fn visible_bar(title: &str, total: u64) -> ProgressBar {
    let (bar, template) = if total > 0 {
        (
            ProgressBar::new(total),
            "  {msg:<22} {bar:24} {human_pos:>8}/{human_len}  {elapsed}",
        )
    } else {
        (ProgressBar::new_spinner(), "{spinner} {msg:<22} {elapsed}")
    };
    // If indicatif can't parse the template, only the bar's looks suffer.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(title.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::TryRecvError;

    use super::*;

    /// A step of unknown length, with a line every millisecond.
    fn begin(mode: Progress) -> (Step, mpsc::Receiver<String>) {
        let (said, lines) = mpsc::channel();
        let step = mode.step_told("host 1", 0, Duration::from_millis(1), move |line| {
            _ = said.send(line);
        });
        (step, lines)
    }

    #[test]
    fn a_step_of_unknown_length_says_that_it_goes_on_until_its_end() {
        for end in [Step::finish as fn(Step), drop::<Step>] {
            let (step, lines) = begin(Progress::Lines);
            for _ in 0..3 {
                let line = lines.recv_timeout(Duration::from_secs(60));
                let line = line.expect("it goes on");
                assert!(line.starts_with("  host 1                 ("), "{line}");
                assert!(line.ends_with(" s so far)"), "{line}");
            }
            end(step);
            while lines.try_recv().is_ok() {}
            // The sender is gone, so no more lines can come.
            assert_eq!(lines.try_recv(), Err(TryRecvError::Disconnected));
        }
    }

    #[test]
    fn nothing_is_said_where_a_bar_or_silence_is_asked_for() {
        for mode in [Progress::Bars, Progress::Silent] {
            let (_step, lines) = begin(mode);
            assert_eq!(lines.try_recv(), Err(TryRecvError::Disconnected));
        }
    }

    #[test]
    fn a_line_says_how_many_of_how_many_if_that_is_known() {
        assert_eq!(
            so_far("orders", 1200, 80_000, 8),
            "  orders                 1,200/80,000 (8 s so far)"
        );
        assert_eq!(
            so_far("search", 3, 0, 8),
            "  search                 3 (8 s so far)"
        );
    }
}
