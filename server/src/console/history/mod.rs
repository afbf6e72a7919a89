//! The last fifteen minutes of a program's metrics, so that the console needs no other server. Memory is limited to a
//! fixed number of samples of a fixed number of lines, and the last sums of all metrics; further lines are left out.
//!
//! Times are ages by the monotonic clock, not dates.

mod panel;
mod samples;

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use prometheus::Registry;
use serde::Serialize;
use uuid::Uuid;

pub use self::panel::{FAILED, Panel, Reading, undrawable};
use self::samples::{LineView, SAMPLES, Samples, rounded};

/// Time between two samples.
pub(super) const STEP: Duration = Duration::from_secs(3);

/// The samples of one program.
pub(super) struct History {
    registry: Registry,
    panels: &'static [Panel],
    /// A random id of this process, so that nobody takes the samples of another process for a continuation of these.
    process: String,
    samples: Mutex<Samples>,
}

/// Samples in the form that `GET /history` answers.
#[derive(Debug, Serialize)]
pub(super) struct HistoryView {
    /// The position of the last sample, for `?after=`.
    position: String,
    /// Whether these samples continue those before `?after=`; if not, they are all samples that there are.
    continues: bool,
    step_s: f64,
    samples: usize,
    /// Age of each sample in seconds, the oldest first.
    ages_s: Vec<f32>,
    panels: Vec<PanelView>,
    /// Number of lines that had no room.
    left_out: usize,
}

#[derive(Debug, Serialize)]
struct PanelView {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    lines: Vec<LineView>,
}

impl History {
    /// A history of the metrics in `registry`. Nothing is read before [`History::sample`].
    pub(super) fn new(registry: Registry, panels: &'static [Panel]) -> Self {
        Self {
            registry,
            panels,
            process: Uuid::new_v4().simple().to_string(),
            samples: Mutex::default(),
        }
    }

    /// The random id of this process.
    pub(super) fn process(&self) -> &str {
        &self.process
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

    /// The samples after the position `after`, or all samples if it is no position of this process.
    pub(super) fn shown(&self, after: Option<&str>) -> HistoryView {
        let samples = self.samples.lock();
        let known = after
            .and_then(|after| after.strip_prefix(&self.process)?.strip_prefix('.'))
            .and_then(|number| number.parse().ok())
            .filter(|known| *known <= samples.taken && known + SAMPLES >= samples.taken);
        let first = known.unwrap_or(samples.taken.saturating_sub(SAMPLES));
        let now = Instant::now();
        let age = |at: usize| (now - samples.times[at % SAMPLES]).as_secs_f32();
        let panels = self.panels.iter().enumerate();
        HistoryView {
            position: format!("{}.{}", self.process, samples.taken),
            continues: known.is_some(),
            step_s: STEP.as_secs_f64(),
            samples: SAMPLES,
            ages_s: (first..samples.taken).map(|at| rounded(age(at))).collect(),
            panels: panels
                .map(|(number, panel)| PanelView {
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, to_value};

    use super::samples::{MOST_LINES, STILL};
    use super::*;
    use crate::metrics::Declare;

    static PANELS: [Panel; 2] = [
        Panel::new("requests_total", Reading::Rate)
            .titled("requests", "Requests")
            .by(&["route"]),
        Panel::new("in_flight", Reading::Value).titled("in_flight", "In flight"),
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
        // Once the lines are gone from the metrics, there is room again.
        requests.reset();
        for _ in 0..SAMPLES {
            history.sample();
        }
        assert_eq!(history.samples.lock().lines.len(), PANELS.len());
        let shown = shown(&history, None);
        assert_eq!(shown["ages_s"].as_array().map(Vec::len), Some(SAMPLES));
    }

    #[test]
    fn a_line_that_tells_something_takes_the_place_of_a_still_one() {
        let (history, requests) = history();
        for route in 0..2 * MOST_LINES {
            let route = format!("/{route:03}");
            requests.with_label_values(&[&route]).inc_by(1_000_000);
        }
        for _ in 0..STILL {
            history.sample();
        }
        let values = |history: &History, name: &str| {
            let shown = shown(history, None);
            let lines = shown["panels"][0]["lines"].as_array().cloned();
            let mut lines = lines.into_iter().flatten();
            let line = lines.find(|line| line["name"] == name)?;
            line["values"].as_array().cloned()
        };
        assert!(values(&history, "/000").is_some());
        assert_eq!(values(&history, "/799"), None);
        // One line has counted for long, and one is new.
        requests.with_label_values(&["/799"]).inc();
        requests.with_label_values(&["/new"]).inc();
        history.sample();
        let counted = values(&history, "/799").expect("a line");
        assert_eq!(counted[0], Value::Null);
        let new = values(&history, "/new").expect("a line");
        assert!(new[STILL].as_f64() > Some(0.0));
        // The old line rose as much as the new one, and not by all that it has counted.
        assert_eq!(counted[STILL], new[STILL]);
        assert_eq!(history.samples.lock().lines.len(), MOST_LINES);
        assert!(values(&history, "").is_some());
    }
}
