//! How long work shows itself: bars in a terminal, plain lines elsewhere, nothing in tests.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

/// Steps shorter than this get no bar, only their line at the end.
const TICK: Duration = Duration::from_millis(100);

/// Seconds between two lines of one step.
const LINE_EVERY: u64 = 5;

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
        let bar = match self {
            Self::Bars => visible_bar(title, total),
            Self::Lines | Self::Silent => ProgressBar::hidden(),
        };
        Step {
            title: title.to_owned(),
            total,
            started: Instant::now(),
            mode: self,
            bar,
            said_at: AtomicU64::new(0),
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
    /// The second of the last line.
    said_at: AtomicU64,
}

impl Step {
    /// Records `count` more pieces of work.
    pub fn advance(&self, count: usize) {
        self.bar.inc(count as u64);
        if self.mode == Progress::Lines {
            self.say();
        }
    }

    fn say(&self) {
        let now = self.started.elapsed().as_secs();
        let said_at = self.said_at.load(Ordering::Relaxed);
        if now < said_at + LINE_EVERY {
            return;
        }
        let turn =
            self.said_at
                .compare_exchange(said_at, now, Ordering::Relaxed, Ordering::Relaxed);
        if turn.is_ok() {
            let count = HumanCount(self.bar.position());
            let of = match self.total {
                0 => String::new(),
                total => format!("/{}", HumanCount(total)),
            };
            eprintln!("  {:<22} {count}{of} ({now} s so far)", self.title);
        }
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
    pub fn finish_with(self, detail: &str) {
        self.bar.finish_and_clear();
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
