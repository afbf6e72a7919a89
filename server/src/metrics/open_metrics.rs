//! Writes metrics as OpenMetrics 1.0
//! (<https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>).

use std::fmt::{self, Display, Formatter, Write};
use std::sync::Arc;
use std::time::SystemTime;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplar::{Exemplar, Exemplars};
use super::timing::Timings;

/// The suffix that a counter's sample has after the name of its family.
const TOTAL: &str = "_total";

/// All of `families`, with exemplars for the histograms in `timings`.
pub(super) fn encode(families: &[MetricFamily], timings: &[&Timings]) -> String {
    let mut out = String::new();
    for family in families {
        let timings = timings.iter().find(|one| one.name() == family.name());
        let exemplars = |labels: &[LabelPair]| timings.and_then(|one| one.exemplars(labels));
        // Writing to a string never fails.
        _ = write_family(&mut out, family, exemplars);
    }
    out.push_str("# EOF\n");
    out
}

fn write_family(
    out: &mut String,
    family: &MetricFamily,
    exemplars: impl Fn(&[LabelPair]) -> Option<Arc<Exemplars>>,
) -> fmt::Result {
    let name = family.name();
    // OpenMetrics requires the suffix `_total` for counters, so a counter without it is written as `unknown`.
    let (family_name, kind) = match (family.get_field_type(), name.strip_suffix(TOTAL)) {
        (MetricType::COUNTER, Some(family_name)) => (family_name, "counter"),
        (MetricType::COUNTER, None) => (name, "unknown"),
        (MetricType::GAUGE, _) => (name, "gauge"),
        (MetricType::HISTOGRAM, _) => (name, "histogram"),
        // `Declare` makes no other types.
        _ => return Ok(()),
    };
    let help = EscapedText(family.help());
    writeln!(
        out,
        "# HELP {family_name} {help}\n# TYPE {family_name} {kind}"
    )?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        let value = match family.get_field_type() {
            MetricType::COUNTER => metric.get_counter().get_value(),
            MetricType::GAUGE => metric.get_gauge().get_value(),
            _ => {
                let exemplars = exemplars(labels);
                write_histogram(out, name, metric, exemplars.as_deref())?;
                continue;
            }
        };
        writeln!(out, "{name}{} {}", Labels(labels, None), Number(value))?;
    }
    Ok(())
}

fn write_histogram(
    out: &mut String,
    name: &str,
    metric: &Metric,
    exemplars: Option<&Exemplars>,
) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
    let finite = histogram.get_bucket().iter();
    let buckets = finite
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .chain([(f64::INFINITY, count)]);
    for (index, (bound, below)) in buckets.enumerate() {
        let labels = Labels(labels, Some(bound));
        write!(out, "{name}_bucket{labels} {below}")?;
        if let Some(exemplar) = exemplars.and_then(|exemplars| exemplars.of(index)) {
            write!(out, " # {exemplar}")?;
        }
        out.push('\n');
    }
    let labels = Labels(labels, None);
    writeln!(
        out,
        "{name}_count{labels} {count}\n{name}_sum{labels} {}",
        Number(sum)
    )
}

/// Labels in braces, followed by `le` for a bucket. Writes nothing if there are none.
struct Labels<'a>(&'a [LabelPair], Option<f64>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(labels, bound) = self;
        let mut before = '{';
        for label in *labels {
            write!(
                f,
                "{before}{}=\"{}\"",
                label.name(),
                EscapedText(label.value())
            )?;
            before = ',';
        }
        if let Some(bound) = bound {
            // OpenMetrics wants whole numbers with a decimal point.
            match bound.is_finite() {
                true => write!(f, "{before}le=\"{bound:?}\"")?,
                false => write!(f, "{before}le=\"+Inf\"")?,
            }
            before = ',';
        }
        if before == ',' {
            f.write_char('}')
        } else {
            Ok(())
        }
    }
}

/// Text with the escapes that are needed within quotes and after `HELP`.
struct EscapedText<'a>(&'a str);

impl Display for EscapedText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

impl Display for Exemplar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { trace, value, at } = self;
        let at = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        write!(
            f,
            "{{trace_id=\"{trace}\"}} {} {seconds}.{millis:03}",
            Number(*value)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::TraceId;
    use prometheus::{Gauge, Registry};

    use super::*;
    use crate::metrics::Declare;

    #[test]
    fn counters_leave_their_suffix_to_the_sample() {
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        let calls = declare.counters("calls_total", "Calls \\ \"all\"\nof them", &["to", "by"]);
        let calls = calls.expect("a metric");
        calls.with_label_values(&["a\\b", "say \"x\"\n"]).inc_by(3);
        declare.counter("odd", "No suffix").expect("a metric").inc();
        let gauge = Gauge::new("load", "Any number").expect("a gauge");
        gauge.set(-0.25);
        registry.register(Box::new(gauge.clone())).expect("new");
        let text = encode(&registry.gather(), &[]);
        assert_eq!(
            text,
            r#"# HELP calls Calls \\ \"all\"\nof them
# TYPE calls counter
calls_total{by="say \"x\"\n",to="a\\b"} 3
# HELP load Any number
# TYPE load gauge
load -0.25
# HELP odd No suffix
# TYPE odd unknown
odd 1
# EOF
"#
        );
        for (value, written) in [
            (f64::INFINITY, "load +Inf"),
            (f64::NEG_INFINITY, "load -Inf"),
            (f64::NAN, "load NaN"),
            (1e21, "load 1000000000000000000000"),
        ] {
            gauge.set(value);
            let text = encode(&registry.gather(), &[]);
            assert!(text.lines().any(|line| line == written), "{text}");
        }
    }

    #[test]
    fn buckets_have_the_exemplars_of_their_own_series() {
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        let timings = declare.timings("took_seconds", "Time", &[0.5, 10.0], &["route"]);
        let timings = timings.expect("a metric");
        let (orders, _other) = (timings.of(&["/orders"]), timings.of(&["/"]));
        for millis in [250, 2_000, 12_500] {
            orders.observe(Duration::from_millis(millis));
        }
        for (value, millis) in [(0.25, 1_520_879_607_789), (12.5, 1_520_879_608_000)] {
            orders.exemplars().note(Exemplar {
                trace: TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
                value,
                at: SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            });
        }
        let plain = declare.histogram("plain_seconds", "Time", &[1.0]);
        plain.expect("a metric").observe(0.5);
        assert_eq!(
            encode(&registry.gather(), &[&timings]),
            r#"# HELP plain_seconds Time
# TYPE plain_seconds histogram
plain_seconds_bucket{le="1.0"} 1
plain_seconds_bucket{le="+Inf"} 1
plain_seconds_count 1
plain_seconds_sum 0.5
# HELP took_seconds Time
# TYPE took_seconds histogram
took_seconds_bucket{route="/",le="0.5"} 0
took_seconds_bucket{route="/",le="10.0"} 0
took_seconds_bucket{route="/",le="+Inf"} 0
took_seconds_count{route="/"} 0
took_seconds_sum{route="/"} 0
took_seconds_bucket{route="/orders",le="0.5"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.25 1520879607.789
took_seconds_bucket{route="/orders",le="10.0"} 2
took_seconds_bucket{route="/orders",le="+Inf"} 3 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 12.5 1520879608.000
took_seconds_count{route="/orders"} 3
took_seconds_sum{route="/orders"} 14.75
# EOF
"#
        );
    }

    #[test]
    fn nothing_is_an_end_alone() {
        assert_eq!(encode(&[], &[]), "# EOF\n");
    }
}
