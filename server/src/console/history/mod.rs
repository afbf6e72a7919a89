//! The last fifteen minutes of a program's metrics, so that the console needs no other server. Memory is constant: so many
//! samples of so many lines, and what is beyond is left out.
//!
//! Times are ages by the clock that is never set, and no dates.

mod panel;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use prometheus::Registry;
use serde::Serialize;
use uuid::Uuid;

use self::panel::Sum;
pub use self::panel::{Panel, Reading, undrawable};

/// Time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(3);

/// So many samples are fifteen minutes.
const SAMPLES: usize = 300;

/// Most lines of all panels together. A store of three components has about a hundred.
const MOST_LINES: usize = 400;

/// The samples of one program.
pub(super) struct History {
    registry: Registry,
    panels: &'static [Panel],
    /// Another process has another, so that nobody takes its samples for the continuation of these.
    process: String,
    samples: Mutex<Samples>,
}

#[derive(Default)]
struct Samples {
    /// How many there were since the start; sample `n` is at `n % SAMPLES`.
    taken: usize,
    times: Vec<Instant>,
    lines: Vec<Line>,
    left_out: usize,
}

/// One line of a panel.
struct Line {
    panel: usize,
    /// Empty for that of all together.
    name: String,
    before: Sum,
    values: Box<[f32; SAMPLES]>,
    /// The last sample in which the metric had it.
    seen: usize,
}

/// Samples as `GET /history` shows them.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Ask for what comes after it with `?after=`.
    position: String,
    /// Whether these samples continue those before `?after=`; otherwise they are all that there are.
    continues: bool,
    step_s: f64,
    samples: usize,
    /// How long ago each sample was taken, the oldest first.
    ages_s: Vec<f32>,
    panels: Vec<ShownPanel>,
    /// Lines for which there was no room.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct ShownPanel {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    lines: Vec<ShownLine>,
}

#[derive(Debug, Serialize)]
struct ShownLine {
    name: String,
    /// Null where there is none.
    values: Vec<f32>,
}

impl History {
    /// Of the metrics in `registry`. Nothing is read before [`History::sample`].
    pub(super) fn new(registry: Registry, panels: &'static [Panel]) -> Self {
        Self {
            registry,
            panels,
            process: Uuid::new_v4().simple().to_string(),
            samples: Mutex::default(),
        }
    }

    /// Takes a sample.
    pub(super) fn sample(&self) {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = clock.map_or(0.0, |since| since.as_secs_f64());
        let families = self.registry.gather();
        let families: HashMap<&str, _> = families.iter().map(|one| (one.name(), one)).collect();
        let panels = self.panels.iter();
        let sums: Vec<_> = panels
            .map(|panel| panel.sums(families.get(panel.metric).copied()))
            .collect();
        let mut samples = self.samples.lock();
        samples.take(self.panels, sums, Instant::now(), clock);
    }

    /// The samples after the position `after`, or all of them if that is none of this process.
    pub(super) fn shown(&self, after: Option<&str>) -> Shown {
        let samples = self.samples.lock();
        let known = after
            .and_then(|after| after.strip_prefix(&self.process)?.strip_prefix('.'))
            .and_then(|number| number.parse().ok())
            .filter(|known| *known <= samples.taken && known + SAMPLES >= samples.taken);
        let first = known.unwrap_or(samples.taken.saturating_sub(SAMPLES));
        let now = Instant::now();
        let age = |at: usize| (now - samples.times[at % SAMPLES]).as_secs_f32();
        let panels = self.panels.iter().enumerate();
        Shown {
            position: format!("{}.{}", self.process, samples.taken),
            continues: known.is_some(),
            step_s: STEP.as_secs_f64(),
            samples: SAMPLES,
            ages_s: (first..samples.taken).map(|at| rounded(age(at))).collect(),
            panels: panels
                .map(|(number, panel)| ShownPanel {
                    id: panel.id,
                    title: panel.title,
                    unit: panel.unit,
                    lines: samples.shown_lines(number, first),
                })
                .collect(),
            left_out: samples.left_out,
        }
    }
}

impl Samples {
    fn take(
        &mut self,
        panels: &[Panel],
        sums: Vec<BTreeMap<String, Sum>>,
        now: Instant,
        clock: f64,
    ) {
        let number = self.taken;
        let last = number.checked_sub(1).map(|last| self.times[last % SAMPLES]);
        let seconds = last.map(|last| (now - last).as_secs_f64().max(0.001));
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
        for (panel, sums) in sums.into_iter().enumerate() {
            let reading = panels[panel].reading;
            for (name, sum) in sums {
                let Some(line) = self.line(panel, name) else {
                    self.left_out += 1;
                    continue;
                };
                // Of the first sample nobody knows since when it counts.
                if seconds.is_some() || !reading.needs_before() {
                    let seconds = seconds.unwrap_or(1.0);
                    let value = reading.number(&line.before, &sum, seconds, clock);
                    line.values[number % SAMPLES] = rounded(value as f32);
                }
                line.before = sum;
                line.seen = number;
            }
        }
        self.taken += 1;
    }

    fn line(&mut self, panel: usize, name: String) -> Option<&mut Line> {
        let known = |line: &Line| line.panel == panel && line.name == name;
        if let Some(at) = self.lines.iter().position(known) {
            return self.lines.get_mut(at);
        }
        if self.lines.len() >= MOST_LINES {
            return None;
        }
        self.lines.push(Line {
            panel,
            name,
            before: Sum::default(),
            values: Box::new([f32::NAN; SAMPLES]),
            seen: self.taken,
        });
        self.lines.last_mut()
    }

    fn shown_lines(&self, panel: usize, first: usize) -> Vec<ShownLine> {
        let lines = self.lines.iter().filter(|line| line.panel == panel);
        let lines = lines.map(|line| ShownLine {
            name: line.name.clone(),
            values: (first..self.taken)
                .map(|at| line.values[at % SAMPLES])
                .collect(),
        });
        lines.collect()
    }
}

/// Four digits are more than a chart shows, and make a short text.
fn rounded(value: f32) -> f32 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    let scale = 10_f64.powi(digits);
    ((f64::from(value) * scale).round() / scale) as f32
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::*;
    use crate::metrics::Declare;

    static PANELS: [Panel; 2] = [
        Panel::new(
            "requests",
            "Requests",
            "/s",
            Reading::Rate,
            "requests_total",
        )
        .by(&["route"]),
        Panel::new("in_flight", "In flight", "", Reading::Value, "in_flight"),
    ];

    fn history() -> (History, prometheus::IntCounterVec) {
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        let requests = declare.counters("requests_total", "of a test", &["route"]);
        declare.gauge("in_flight", "of a test").expect("new").set(7);
        (
            History::new(registry, &PANELS),
            requests.expect("a new name"),
        )
    }

    fn shown(history: &History, after: Option<&str>) -> Value {
        to_value(history.shown(after)).expect("JSON")
    }

    #[test]
    fn a_route_that_appears_counts_from_zero() {
        let (history, requests) = history();
        history.sample();
        requests.with_label_values(&["/orders"]).inc_by(5);
        history.sample();
        let shown = shown(&history, None);
        let lines = &shown["panels"][0]["lines"];
        assert_eq!(lines[0]["name"], "");
        assert_eq!(lines[0]["values"][0], Value::Null);
        assert!(lines[0]["values"][1].as_f64() > Some(0.0), "{lines}");
        assert_eq!(lines[1]["name"], "/orders");
        assert_eq!(lines[1]["values"][1], lines[0]["values"][1]);
        assert_eq!(shown["panels"][1]["lines"][0]["values"][1], 7.0);
    }

    #[test]
    fn a_page_asks_for_what_is_new() {
        let (history, _) = history();
        history.sample();
        history.sample();
        let all = shown(&history, None);
        assert_eq!(all["continues"], false);
        let position = all["position"].as_str().expect("a position").to_owned();
        history.sample();
        let new = shown(&history, Some(&position));
        assert_eq!(new["continues"], true);
        assert_eq!(new["ages_s"].as_array().map(Vec::len), Some(1));
        for wrong in ["", "another.1", &format!("{}.9999", history.process)] {
            let all = shown(&history, Some(wrong));
            assert_eq!(all["continues"], false, "{wrong}");
            assert_eq!(all["ages_s"].as_array().map(Vec::len), Some(3), "{wrong}");
        }
    }

    #[test]
    fn memory_is_constant_whatever_comes() {
        let (history, requests) = history();
        for number in 0..2 * SAMPLES {
            for route in 0..3 {
                let route = format!("/{number}/{route}");
                requests.with_label_values(&[&route]).inc();
            }
            history.sample();
        }
        let samples = history.samples.lock();
        assert_eq!(samples.lines.len(), MOST_LINES);
        assert_eq!(samples.times.len(), SAMPLES);
        assert!(samples.left_out > 0);
        drop(samples);
        // Once they are gone from the metrics, there is room again.
        requests.reset();
        for _ in 0..SAMPLES {
            history.sample();
        }
        assert_eq!(history.samples.lock().lines.len(), PANELS.len());
        let shown = shown(&history, None);
        assert_eq!(shown["ages_s"].as_array().map(Vec::len), Some(SAMPLES));
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!(rounded(1234.567), 1235.0);
        assert_eq!(rounded(0.001_234_567), 0.001_235);
        assert_eq!(rounded(0.0), 0.0);
        assert!(rounded(f32::NAN).is_nan());
    }
}
