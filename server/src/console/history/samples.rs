//! Samples of many lines in a ring of constant size.

use std::collections::BTreeMap;
use std::time::Instant;

use super::LineView;
use super::panel::{Panel, Sum};

/// So many samples are fifteen minutes.
pub(super) const SAMPLES: usize = 300;

/// Most lines of all panels together. A store of three components has about a hundred.
pub(super) const MOST_LINES: usize = 400;

/// A line that had nothing to say in so many samples, which are a minute, makes room for one that has.
pub(super) const STILL: usize = 20;

/// The last samples, and what lines had before.
#[derive(Default)]
pub(super) struct Samples {
    /// How many there were since the start; sample `n` is at `n % SAMPLES`.
    pub(super) taken: usize,
    pub(super) times: Vec<Instant>,
    pub(super) lines: Vec<Line>,
    /// What each panel's lines added up to when the last sample was taken, also of those that are left out.
    sums: Vec<BTreeMap<String, Sum>>,
    pub(super) left_out: usize,
}

/// One line of a panel.
pub(super) struct Line {
    panel: usize,
    /// Empty for that of all together.
    name: String,
    values: Box<[f32; SAMPLES]>,
    /// The last sample in which the metric had it.
    seen: usize,
    /// The last sample in which it said something.
    telling: usize,
}

impl Samples {
    /// Adds a sample of what each panel's lines add up to.
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
                // Of the first sample nobody knows since when it counts.
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

    /// Makes room for a sample, in which no line has a value yet. How many seconds after the one before it comes.
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

    /// Puts what a line says into the current sample, or counts that there is no room for it.
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

    /// The line of this name. A new one that `tells` something gets the place of the one that has told nothing for longest,
    /// if there is no other.
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

    /// The line that has told nothing for longest. That of all together stays.
    fn stillest(&self) -> Option<usize> {
        let lines = self.lines.iter().enumerate();
        let still =
            lines.filter(|(_, line)| !line.name.is_empty() && line.telling + STILL <= self.taken);
        still.min_by_key(|(_, line)| line.telling).map(|(at, _)| at)
    }

    /// The lines of a panel from the sample `first` on.
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

/// Four digits are more than a chart shows, and make a short text.
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
