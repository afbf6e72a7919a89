//! Histograms of seconds with exemplars.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::Metric as _;
use prometheus::proto::LabelPair;
use prometheus::{Histogram, HistogramVec};

use super::exemplar::Exemplars;

/// Histograms of seconds with labels. Each bucket names the last trace that fell into it.
#[derive(Clone)]
pub struct Timings {
    name: String,
    bounds: &'static [f64],
    seconds: HistogramVec,
    /// Exemplars by the [`values`] of labels. Written when a series is added or removed, not by requests.
    exemplars: Arc<Mutex<BTreeMap<Vec<String>, Arc<Exemplars>>>>,
}

/// One histogram of seconds. Spans add their durations to it: see [`Span::measure`](crate::trace::Span::measure).
#[derive(Clone, Debug)]
pub struct Timing {
    seconds: Histogram,
    exemplars: Arc<Exemplars>,
}

impl Timings {
    pub(super) fn new(name: &str, bounds: &'static [f64], seconds: HistogramVec) -> Self {
        Self {
            name: name.to_owned(),
            bounds,
            seconds,
            exemplars: Arc::default(),
        }
    }

    /// The series with these values of the labels.
    #[must_use]
    pub fn of(&self, labels: &[&str]) -> Timing {
        let seconds = self.seconds.with_label_values(labels);
        let mut all = self.exemplars.lock();
        let exemplars = all.entry(values(seconds.metric().get_label()));
        let exemplars = exemplars.or_insert_with(|| Arc::new(Exemplars::new(self.bounds)));
        let exemplars = exemplars.clone();
        Timing { seconds, exemplars }
    }

    /// Removes the series with these values of the labels, if it exists.
    pub fn forget(&self, labels: &[&str]) {
        let seconds = self.seconds.with_label_values(labels);
        let key = values(seconds.metric().get_label());
        self.exemplars.lock().remove(&key);
        _ = self.seconds.remove_label_values(labels);
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The exemplars of the series with these labels. The labels must be in the order of a scrape.
    pub(super) fn exemplars(&self, labels: &[LabelPair]) -> Option<Arc<Exemplars>> {
        self.exemplars.lock().get(&values(labels)).cloned()
    }
}

/// The values of a series' labels in the order of a scrape, which sorts labels by name.
fn values(labels: &[LabelPair]) -> Vec<String> {
    let values = labels.iter().map(|label| label.value().to_owned());
    values.collect()
}

impl Timing {
    pub(crate) fn observe(&self, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn exemplars(&self) -> &Arc<Exemplars> {
        &self.exemplars
    }
}

impl fmt::Debug for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timings").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::metrics::Declare;

    #[test]
    fn a_series_has_its_exemplars_as_long_as_it_is_there() {
        let registry = Registry::new();
        let timings = Declare::new(&registry).timings("t", "of a test", &[1.0], &["z", "a"]);
        let timings = timings.expect("a metric");
        let first = timings.of(&["1", "2"]);
        let again = timings.of(&["1", "2"]);
        assert!(Arc::ptr_eq(first.exemplars(), again.exemplars()));
        let other = timings.of(&["2", "1"]);
        assert!(!Arc::ptr_eq(first.exemplars(), other.exemplars()));
        timings.forget(&["2", "1"]);
        let family = &registry.gather()[0];
        let labels = family.get_metric()[0].get_label();
        let found = timings.exemplars(labels).expect("by the scrape's labels");
        assert!(Arc::ptr_eq(first.exemplars(), &found));
        timings.forget(&["1", "2"]);
        assert!(registry.gather().is_empty());
        assert!(timings.exemplars(labels).is_none());
    }
}
