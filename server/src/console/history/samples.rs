//! Samples of many lines in a ring of fixed size.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::panel::{Panel, Sum};

/// Number of samples in the ring: fifteen minutes.
pub(super) const SAMPLES: usize = 300;

/// Most lines of all charts together. A store with three components has about two hundred.
pub(super) const MOST_LINES: usize = 400;

/// A line whose value was zero or missing in this many samples, which are a minute, may be replaced by a line with a
/// value.
pub(super) const STILL: usize = 20;

/// The last samples, and the last sums of all lines.
#[derive(Default)]
pub(super) struct Samples {
    /// Number of samples since the start; sample `n` is at index `n % SAMPLES`.
    pub(super) taken: usize,
    pub(super) times: Vec<Instant>,
    pub(super) lines: Vec<Line>,
    /// The sums of each chart's lines at the last sample, including lines that are left out.
    sums: Vec<BTreeMap<String, Sum>>,
    pub(super) left_out: usize,
}

/// One line of a panel.
pub(super) struct Line {
    panel: usize,
    /// Name of the line; empty for the total.
    name: String,
    values: Box<[f32; SAMPLES]>,
    /// Number of the last sample in which the metric had this line.
    seen: usize,
    /// Number of the last sample in which the line's value was not zero.
    telling: usize,
}

/// A line in the form that `GET /history` answers.
#[derive(Debug, Serialize)]
pub(super) struct LineView {
    name: String,
    /// The values of the line; NaN, which JSON writes as null, if there is none.
    values: Vec<f32>,
}

impl Samples {
    /// Adds a sample of the sums of each chart's lines.
    pub(super) fn take(
        &mut self,
        panels: &[Panel],
        sums: Vec<BTreeMap<String, Sum>>,
        now: Instant,
        clock: f64,
    ) {
        let seconds = self.begin(now);
        let before = std::mem::take(&mut self.sums);
        let none = Sum::default();
        for (panel, sums) in sums.iter().enumerate() {
            let reading = panels[panel].reading;
            for (name, sum) in sums {
                let before = before.get(panel).and_then(|sums| sums.get(name));
                // For the first sample, it is unknown over which time the counters have counted.
                let value = if seconds.is_some() || !reading.needs_before() {
                    let before = before.unwrap_or(&none);
                    reading.number(before, sum, seconds.unwrap_or(1.0), clock)
                } else {
                    f64::NAN
                };
                self.put(panel, name, value);
            }
        }
        self.sums = sums;
        self.taken += 1;
    }

    /// Begins a sample, in which no line has a value yet. Returns how many seconds have passed since the sample before.
    fn begin(&mut self, now: Instant) -> Option<f64> {
        let number = self.taken;
        let last = number.checked_sub(1).map(|last| self.times[last % SAMPLES]);
        if self.times.len() < SAMPLES {
            self.times.push(now);
        } else {
            self.times[number % SAMPLES] = now;
        }
        self.lines.retain(|line| line.seen + SAMPLES > number);
        for line in &mut self.lines {
            line.values[number % SAMPLES] = f32::NAN;
        }
        self.left_out = 0;
        last.map(|last| (now - last).as_secs_f64().max(0.001))
    }

    /// Writes a line's value into the current sample, or counts the line as left out if there is no room.
    fn put(&mut self, panel: usize, name: &str, value: f64) {
        let number = self.taken;
        let tells = value.is_finite() && value != 0.0;
        let Some(line) = self.line(panel, name, tells) else {
            self.left_out += 1;
            return;
        };
        line.values[number % SAMPLES] = rounded(value as f32);
        line.seen = number;
        if tells {
            line.telling = number;
        }
    }

    /// The line with this name. If there is no room, a new line that `tells` something, a value other than zero,
    /// replaces the line that has told nothing for the longest time.
    fn line(&mut self, panel: usize, name: &str, tells: bool) -> Option<&mut Line> {
        let known = |line: &Line| line.panel == panel && line.name == name;
        if let Some(at) = self.lines.iter().position(known) {
            return self.lines.get_mut(at);
        }
        if self.lines.len() >= MOST_LINES {
            let stillest = self.stillest().filter(|_| tells)?;
            self.lines.swap_remove(stillest);
        }
        self.lines.push(Line {
            panel,
            name: name.to_owned(),
            values: Box::new([f32::NAN; SAMPLES]),
            seen: self.taken,
            telling: self.taken,
        });
        self.lines.last_mut()
    }

    /// The line that has told nothing for the longest time, except for totals.
    fn stillest(&self) -> Option<usize> {
        let lines = self.lines.iter().enumerate();
        let still =
            lines.filter(|(_, line)| !line.name.is_empty() && line.telling + STILL <= self.taken);
        still.min_by_key(|(_, line)| line.telling).map(|(at, _)| at)
    }

    /// The lines of a chart, beginning with the sample `first`.
    pub(super) fn shown_lines(&self, panel: usize, first: usize) -> Vec<LineView> {
        let lines = self.lines.iter().filter(|line| line.panel == panel);
        let lines = lines.map(|line| LineView {
            name: line.name.clone(),
            values: (first..self.taken)
                .map(|at| line.values[at % SAMPLES])
                .collect(),
        });
        lines.collect()
    }
}

/// Rounds to four digits, which are more than a chart shows and keep the text short.
pub(super) fn rounded(value: f32) -> f32 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    ((f64::from(value) * scale).round() / scale) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(rounded(1234.567), 1235.0);
        assert_eq!(rounded(0.001_234_567), 0.001_235);
        assert_eq!(rounded(0.0), 0.0);
        assert!(rounded(f32::NAN).is_nan());
    }
}
