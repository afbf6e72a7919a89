//! How long work shows itself: bars in a terminal, plain lines elsewhere, nothing in tests.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Steps shorter than this get no bar, only their line at the end.
const TICK: Duration = Duration::from_millis(100);

/// Between two lines of one step.
const INTERVAL: Duration = Duration::from_secs(4);

/// Where progress goes.
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

    /// The same. Lines of the step under way go to `tell`.
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

/// One step under way. Dropped without [`Step::finish`], it leaves no line: the error or the report that follows says
/// how it went.
#[derive(Debug)]
pub struct Step {
    title: String,
    total: u64,
    started: Instant,
    mode: Progress,
    bar: ProgressBar,
    /// Present if the step is told of in lines.
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

    /// Ends the step with a line that gives `detail` and its duration.
    pub fn finish_with(mut self, detail: &str) {
        self.bar.finish_and_clear();
        // None comes after the last line.
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

/// The line of a step under way.
fn so_far(title: &str, done: u64, total: u64, seconds: u64) -> String {
    let count = match (done, total) {
        (0, 0) => String::new(),
        (done, 0) => format!("{} ", HumanCount(done)),
        (done, total) => format!("{}/{} ", HumanCount(done), HumanCount(total)),
    };
    format!("  {title:<22} {count}({seconds} s so far)")
}

/// Does something again and again until it is dropped, in a thread of its own: some steps block the one that they run
/// in.
#[derive(Debug)]
struct Ticks {
    /// The thread ends when this is gone.
    going_on: Option<Sender<()>>,
    /// `None` if there could be no thread: that costs the lines, not the work.
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
            // It panics if nobody reads what it says, and then it has ended as well.
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
    // A template that indicatif can't read costs the bar's looks, not the work.
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

    /// A step of unknown length, with a millisecond between two lines of it.
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
            // Nobody is left who could say more.
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
