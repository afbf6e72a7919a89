//! Declares and registers metrics, and writes them for scrapers: in Prometheus's text format, or as OpenMetrics with
//! exemplars (`timing`, `exemplar`) if a scraper asks for that (`format`).
//!
//! Nothing here knows what is measured: each program declares its metrics in a room of its own. Only those of the
//! process, which both have, are here.

mod exemplar;
mod format;
mod open_metrics;
mod timing;

use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, Result, TextEncoder,
};

pub(crate) use self::exemplar::{Exemplar, Exemplars};
pub use self::format::Format;
pub use self::timing::{Timing, Timings};

/// A registry with the metrics of the process: its memory, processor time and open files.
///
/// # Errors
/// Never happens: the registry is new, so no other metric has the same name.
pub fn registry() -> Result<Registry> {
    let registry = Registry::new();
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(registry)
}

/// All metrics of a registry as text. `timings` are those with exemplars, which only OpenMetrics can express.
///
/// # Errors
/// A metric has no name or no value, which is a mistake in its declaration.
pub fn render(registry: &Registry, timings: &[&Timings], format: Format) -> Result<String> {
    let families = registry.gather();
    match format {
        Format::Text => TextEncoder::new().encode_to_string(&families),
        Format::OpenMetrics => Ok(open_metrics::encode(&families, timings)),
    }
}

/// Declares metrics in one registry. A declaration fails if there already is a metric of its name, or if the name is
/// malformed.
#[derive(Clone, Copy, Debug)]
pub struct Declare<'a> {
    registry: &'a Registry,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "said once, of the type: all of them fail for the same reasons"
)]
impl<'a> Declare<'a> {
    /// Declares metrics in `registry`.
    #[must_use]
    pub fn new(registry: &'a Registry) -> Self {
        Self { registry }
    }

    fn register<C: Collector + Clone + 'static>(self, collector: C) -> Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    /// One counter.
    pub fn counter(self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::new(name, help)?)
    }

    /// Counters with these labels.
    pub fn counters(self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// One gauge.
    pub fn gauge(self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    /// Gauges with these labels.
    pub fn gauges(self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// Gauges of fractions with these labels.
    pub fn ratios(self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// One histogram with these bounds.
    pub fn histogram(self, name: &str, help: &str, bounds: &[f64]) -> Result<Histogram> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    /// Histograms with these bounds and labels.
    pub fn histograms(
        self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> Result<HistogramVec> {
        let opts = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }

    /// Histograms of seconds with these bounds and labels, which have exemplars.
    pub fn timings(
        self,
        name: &str,
        help: &str,
        bounds: &'static [f64],
        labels: &[&str],
    ) -> Result<Timings> {
        let seconds = self.histograms(name, help, bounds, labels)?;
        Ok(Timings::new(name, bounds, seconds))
    }
}

/// Sets a gauge to the present time, in Unix seconds.
pub fn set_to_now(gauge: &IntGauge) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    gauge.set(now.map_or(0, |now| now.as_secs().cast_signed()));
}

/// Adds one to a gauge, and subtracts it on drop, however the work ends.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

impl GaugeGuard {
    /// Adds one to `gauge`.
    #[must_use]
    pub fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_declared_once() {
        let registry = registry().expect("it is empty");
        let declare = Declare::new(&registry);
        assert!(declare.counter("a_total", "of a test").is_ok());
        assert!(declare.gauge("a_total", "of a test").is_err());
        assert!(declare.counter("no name", "of a test").is_err());
    }

    #[test]
    fn a_guard_takes_its_one_back() {
        let gauge = IntGauge::new("a", "of a test").expect("a gauge");
        let guard = GaugeGuard::new(gauge.clone());
        assert_eq!(gauge.get(), 1);
        drop(guard);
        assert_eq!(gauge.get(), 0);
    }
}
