//! The charts of the console, and how their numbers come from a program's metrics.

use std::collections::{BTreeMap, BTreeSet};

use prometheus::Registry;
use prometheus::proto::{Metric, MetricFamily};

/// Series of failed answers.
pub const FAILED: (&str, &[&str]) = ("status", &["5"]);

/// The metrics of requests that both servers have.
const REQUESTS: &str = "http_requests_total";
const DURATIONS: &str = "http_request_duration_seconds";

/// A chart: one metric, with a line for each combination of some of its labels' values.
#[derive(Debug)]
pub struct Panel {
    /// The id by which the page knows the chart.
    pub(super) id: &'static str,
    /// The title above the chart.
    pub(super) title: &'static str,
    /// Unit of the numbers.
    pub(super) unit: &'static str,
    pub(super) metric: &'static str,
    /// The labels whose values name a line. If empty, there is only one line, the total.
    by: &'static [&'static str],
    /// Restricts the chart to series with a label whose value begins with one of these; `None` means all series.
    only: Option<(&'static str, &'static [&'static str])>,
    /// How numbers come from the metric.
    pub(super) reading: Reading,
}

/// How a number comes from a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// How much a counter rises per second.
    Rate,
    /// The value of a gauge.
    Value,
    /// How many seconds have passed since the Unix time in a gauge; a gauge of 0 means never.
    Age,
    /// A quantile of a histogram's new observations: the value that this share of them does not exceed, in the
    /// histogram's unit.
    Quantile(f64),
    /// The processor time of this process in cores, read from the system, as the metric has whole seconds only.
    Processor,
    /// The share of a counter's rise that belongs to series in which this label has one of these values.
    Share(&'static str, &'static [&'static str]),
}

/// The sum of a line's series at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) value: f64,
    /// For [`Reading::Share`]: the sum of the series with one of its values.
    pub(super) part: f64,
    /// For [`Reading::Quantile`]: upper bounds, and the number of observations up to each.
    pub(super) buckets: Vec<(f64, f64)>,
}

impl Panel {
    /// A chart with one line, the total of all series of `metric`. [`Panel::titled`] gives it its id and its title.
    #[must_use]
    pub const fn new(metric: &'static str, reading: Reading) -> Self {
        Self {
            id: "",
            title: "",
            unit: reading.unit(),
            metric,
            by: &[],
            only: None,
            reading,
        }
    }

    /// A server's requests, with a line for each combination of these labels' values.
    #[must_use]
    pub const fn requests(labels: &'static [&'static str]) -> Self {
        let requests = Self::new(REQUESTS, Reading::Rate).titled("requests", "Requests");
        requests.by(labels)
    }

    /// A server's failed requests.
    #[must_use]
    pub const fn errors(labels: &'static [&'static str]) -> Self {
        let failed = Self::new(REQUESTS, Reading::Rate).only(FAILED);
        failed.titled("errors", "Errors (5xx)").by(labels)
    }

    /// The median duration of requests.
    #[must_use]
    pub const fn median_latency(labels: &'static [&'static str]) -> Self {
        let half = Self::new(DURATIONS, Reading::Quantile(0.5));
        half.titled("p50", "Latency, p50").by(labels)
    }

    /// The 99th percentile of the duration of requests.
    #[must_use]
    pub const fn tail_latency(labels: &'static [&'static str]) -> Self {
        let most = Self::new(DURATIONS, Reading::Quantile(0.99));
        most.titled("p99", "Latency, p99").by(labels)
    }

    /// The processor time of the program.
    #[must_use]
    pub const fn processor() -> Self {
        Self::new("process_cpu_seconds_total", Reading::Processor).titled("cpu", "Processor")
    }

    /// The memory of the program.
    #[must_use]
    pub const fn memory() -> Self {
        let mut memory = Self::new("process_resident_memory_bytes", Reading::Value);
        memory.unit = "bytes";
        memory.titled("memory", "Memory")
    }

    /// Gives the chart its id and its title.
    #[must_use]
    pub const fn titled(mut self, id: &'static str, title: &'static str) -> Self {
        self.id = id;
        self.title = title;
        self
    }

    /// Gives the chart a line for each combination of these labels' values.
    #[must_use]
    pub const fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.by = labels;
        self
    }

    /// Restricts the chart to series whose label has a value that begins with one of these.
    #[must_use]
    pub const fn only(mut self, series: (&'static str, &'static [&'static str])) -> Self {
        self.only = Some(series);
        self
    }

    /// The sum of each line, by its name. The line of the total has an empty name.
    pub(super) fn sums(&self, family: Option<&MetricFamily>) -> BTreeMap<String, Sum> {
        let mut sums = BTreeMap::new();
        if self.reading == Reading::Processor {
            let value = processor_seconds();
            let sum = Sum {
                value,
                ..Sum::default()
            };
            return value
                .is_finite()
                .then(|| (String::new(), sum))
                .into_iter()
                .collect();
        }
        let metrics = family.map_or(&[][..], MetricFamily::get_metric);
        for metric in metrics.iter().filter(|metric| self.counts(metric)) {
            self.add(metric, sums.entry(String::new()).or_default());
            if !self.by.is_empty() {
                self.add(metric, sums.entry(self.name(metric)).or_default());
            }
        }
        // If nothing was counted yet, the rate is zero.
        if self.reading == Reading::Rate {
            sums.entry(String::new()).or_default();
        }
        sums
    }

    fn counts(&self, metric: &Metric) -> bool {
        self.only.is_none_or(|(name, beginnings)| {
            let value = label(metric, name);
            beginnings.iter().any(|begins| value.starts_with(begins))
        })
    }

    fn name(&self, metric: &Metric) -> String {
        let values: Vec<&str> = self.by.iter().map(|name| label(metric, name)).collect();
        values.join(" ")
    }

    fn add(&self, metric: &Metric, sum: &mut Sum) {
        match self.reading {
            Reading::Rate => sum.value += metric.get_counter().get_value(),
            Reading::Processor => {}
            Reading::Value => sum.value += metric.get_gauge().get_value(),
            Reading::Age => sum.value = sum.value.max(metric.get_gauge().get_value()),
            Reading::Share(name, values) => {
                let count = metric.get_counter().get_value();
                sum.value += count;
                if values.contains(&label(metric, name)) {
                    sum.part += count;
                }
            }
            Reading::Quantile(_) => {
                let histogram = metric.get_histogram();
                sum.value += histogram.get_sample_count() as f64;
                let buckets = histogram.get_bucket().iter();
                let buckets = buckets.map(|one| (one.upper_bound(), one.cumulative_count() as f64));
                if sum.buckets.is_empty() {
                    sum.buckets = buckets.collect();
                } else {
                    for (sum, more) in sum.buckets.iter_mut().zip(buckets) {
                        sum.1 += more.1;
                    }
                }
            }
        }
    }
}

/// Time in user mode and in the kernel from `/proc/self/stat`, which has hundredths of a second (`proc_pid_stat(5)`).
/// Returns seconds, or NaN if the file can't be read.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in brackets, which may contain spaces.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(kernel)) => (user + kernel) / 100.0,
        _ => f64::NAN,
    }
}

fn label<'a>(metric: &'a Metric, name: &str) -> &'a str {
    let mut labels = metric.get_label().iter();
    let found = labels.find(|label| label.name() == name);
    found.map_or("", |label| label.value())
}

/// What keeps these charts from being drawn: metrics and labels that `registry` does not have, and ids that are empty
/// or given twice. For tests of the programs that declare charts and metrics.
#[must_use]
pub fn undrawable(panels: &[Panel], registry: &Registry) -> Vec<String> {
    let families = registry.gather();
    let (mut faults, mut ids) = (Vec::new(), BTreeSet::new());
    for panel in panels {
        if panel.id.is_empty() || !ids.insert(panel.id) {
            faults.push(format!("{} with the id `{}`", panel.metric, panel.id));
        }
        let family = families.iter().find(|one| one.name() == panel.metric);
        let Some(metric) = family.and_then(|family| family.get_metric().first()) else {
            faults.push(panel.metric.to_owned());
            continue;
        };
        let only = panel.only.map(|(name, _)| name);
        for name in panel.by.iter().copied().chain(only) {
            if !metric.get_label().iter().any(|label| label.name() == name) {
                faults.push(format!("{}{{{name}}}", panel.metric));
            }
        }
    }
    faults
}

impl Reading {
    /// The unit of the numbers; histograms are of times.
    const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "/s",
            Self::Value => "",
            Self::Age | Self::Quantile(_) => "s",
            Self::Processor => "cores",
            Self::Share(..) => "share",
        }
    }

    /// The number for the time from the sum `before` to the sum `now`, which are `seconds` apart; NaN if there is none.
    /// `clock` is the Unix time.
    pub(super) fn number(self, before: &Sum, now: &Sum, seconds: f64, clock: f64) -> f64 {
        // A counter that fell has begun again from zero.
        let rise = |before: f64, now: f64| if now < before { now } else { now - before };
        match self {
            Self::Rate | Self::Processor => rise(before.value, now.value) / seconds,
            Self::Value => now.value,
            Self::Age if now.value > 0.0 => (clock - now.value).max(0.0),
            Self::Age => f64::NAN,
            // 0 divided by 0 is NaN.
            Self::Share(..) => rise(before.part, now.part) / rise(before.value, now.value),
            Self::Quantile(share) => quantile(share, before, now),
        }
    }

    /// Whether the number needs the sample before.
    pub(super) fn needs_before(self) -> bool {
        !matches!(self, Self::Value | Self::Age)
    }
}

/// Estimates a quantile as Prometheus does: observations are spread evenly within a bucket, and those above the last
/// finite bound count as that bound.
fn quantile(share: f64, before: &Sum, now: &Sum) -> f64 {
    let is_new = before.buckets.len() != now.buckets.len() || now.value < before.value;
    let earlier = |index: usize| if is_new { 0.0 } else { before.buckets[index].1 };
    let total = now.value - if is_new { 0.0 } else { before.value };
    if total <= 0.0 {
        return f64::NAN;
    }
    let wanted = share * total;
    let (mut lower, mut below) = (0.0, 0.0);
    for (index, &(upper, count)) in now.buckets.iter().enumerate() {
        let count = count - earlier(index);
        if count >= wanted && count > below {
            if upper.is_infinite() {
                return lower;
            }
            return lower + (upper - lower) * (wanted - below) / (count - below);
        }
        (lower, below) = (upper, count);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Declare;

    fn sum(value: f64, buckets: &[(f64, f64)]) -> Sum {
        Sum {
            value,
            part: 0.0,
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn quantiles_are_of_what_is_new() {
        let before = sum(100.0, &[(0.1, 100.0), (1.0, 100.0)]);
        let now = sum(110.0, &[(0.1, 105.0), (1.0, 110.0)]);
        let of = |share| Reading::Quantile(share).number(&before, &now, 3.0, 0.0);
        assert_eq!(of(0.5), 0.1);
        assert!((of(0.99) - (0.1 + 0.9 * 4.9 / 5.0)).abs() < 1e-9);
        let nothing_new = Reading::Quantile(0.5).number(&now, &now, 3.0, 0.0);
        assert!(nothing_new.is_nan());
        let above_all = sum(1.0, &[(0.1, 0.0), (1.0, 0.0)]);
        let above = Reading::Quantile(0.5).number(&Sum::default(), &above_all, 3.0, 0.0);
        assert_eq!(above, 1.0);
    }

    #[test]
    fn a_counter_that_began_anew_rises_from_zero() {
        let rate = |before, now| Reading::Rate.number(&sum(before, &[]), &sum(now, &[]), 2.0, 0.0);
        assert_eq!(rate(10.0, 30.0), 10.0);
        assert_eq!(rate(10.0, 4.0), 2.0);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_age_negative() {
        let age = |at, clock| Reading::Age.number(&Sum::default(), &sum(at, &[]), 3.0, clock);
        assert_eq!(age(100.0, 130.0), 30.0);
        assert_eq!(age(100.0, 40.0), 0.0);
        assert!(age(0.0, 40.0).is_nan());
    }

    #[test]
    fn the_processor_s_time_grows_with_work() {
        let before = processor_seconds();
        assert!(before.is_finite());
        let (began, mut sum) = (std::time::Instant::now(), 0_u64);
        while processor_seconds() <= before && began.elapsed().as_secs() < 20 {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum.wrapping_mul(31) ^ n);
        }
        assert!(processor_seconds() > before, "{sum}");
    }

    #[test]
    fn a_chart_needs_an_id_of_its_own() {
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        declare.gauge("in_flight", "of a test").expect("new");
        let panel = || Panel::new("in_flight", Reading::Value);
        let faults = |ids: [&'static str; 2]| {
            let panels = ids.map(|id| panel().titled(id, "In flight"));
            undrawable(&panels, &registry)
        };
        assert_eq!(faults(["one", "two"]), [""; 0]);
        assert_eq!(faults(["one", "one"]), ["in_flight with the id `one`"]);
        assert_eq!(
            undrawable(&[panel()], &registry),
            ["in_flight with the id ``"]
        );
    }

    #[test]
    fn a_share_of_nothing_is_no_number() {
        let reads = |value, part| Sum {
            value,
            part,
            buckets: vec![],
        };
        let share = Reading::Share("outcome", &["hit"]);
        let of = |before, now| share.number(&before, &now, 3.0, 0.0);
        assert_eq!(of(reads(10.0, 5.0), reads(20.0, 14.0)), 0.9);
        assert!(of(reads(10.0, 5.0), reads(10.0, 5.0)).is_nan());
    }
}
