//! Reads a server's `/metrics`, as Prometheus does.

/// The series of a metric: the labels between its braces, and the value.
pub fn series<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let (metric, value) = line.rsplit_once(' ')?;
        let labels = match metric.strip_prefix(name)? {
            "" => "",
            labels => labels.strip_prefix('{')?.strip_suffix('}')?,
        };
        Some((labels, value.parse().ok()?))
    })
}

/// The value of a label. No value here contains quotes.
pub fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| {
        let value = label.strip_prefix(name)?.strip_prefix("=\"")?;
        value.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "# TYPE store_mysql_statements_total counter
store_mysql_statements_total{component=\"orders\",kind=\"a\"} 12
store_mysql_statements_total{component=\"reports\",kind=\"a\"} 3
store_mysql_statements_total_of_another{component=\"orders\"} 99
process_resident_memory_bytes 4096
";

    #[test]
    fn a_series_has_its_labels_and_its_value() {
        let found = series(METRICS, "store_mysql_statements_total");
        let found: Vec<_> = found
            .map(|(labels, value)| (label(labels, "component"), label(labels, "x"), value))
            .collect();
        let expected = [(Some("orders"), None, 12.0), (Some("reports"), None, 3.0)];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_series_without_labels_is_one_too() {
        let found: Vec<_> = series(METRICS, "process_resident_memory_bytes").collect();
        assert_eq!(found, [("", 4096.0)]);
    }
}
