//! Prometheus's own judge of the rules, and whether what they watch is there from the start: an alert sees no increase
//! in a series that begins with the first failure.

use std::fs;
use std::process::Command;

use testbed::metrics::{label, series};
use testbed::{DataStore, NameServer};

use crate::observed::{NAME, address, host_options, proxy};
use crate::support::{program, repository};

fn promtool(args: [&str; 3]) {
    let output = Command::new("promtool")
        .args(args)
        .current_dir(repository().join("loadtest/prometheus"))
        .output()
        .unwrap();
    assert!(output.status.success(), "promtool {args:?}: {output:?}");
}

#[test]
fn the_rules_can_be_read() {
    promtool(["check", "rules", "rules.yml"]);
    promtool(["check", "rules", "slo.yml"]);
}

#[test]
fn the_rules_say_what_they_should() {
    promtool(["test", "rules", "rules.test.yml"]);
}

#[test]
fn a_budget_that_is_used_up_too_fast_calls_somebody() {
    promtool(["test", "rules", "slo.test.yml"]);
}

/// A metric that a rule names, with what it asks of labels: name, operator and value.
#[derive(Debug)]
struct Selector<'a> {
    metric: &'a str,
    labels: Vec<(&'a str, &'a str, &'a str)>,
}

impl<'a> Selector<'a> {
    /// The selectors in a file of rules. Recorded metrics have colons in their names and are none.
    fn all(rules: &'a str) -> Vec<Self> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let mut found = Vec::new();
        let mut rest = rules;
        while let Some(start) = rest.find(is_name) {
            let name = &rest[start..];
            let end = name.find(|c: char| !is_name(c)).unwrap_or(name.len());
            let (metric, after) = name.split_at(end);
            rest = after;
            if metric.starts_with("store_") || metric.starts_with("http_") {
                let braces = after.strip_prefix('{');
                let labels = braces.and_then(|labels| labels.split_once('}'));
                let labels = labels.map_or("", |(labels, _)| labels);
                let labels = labels.split(", ").filter(|label| !label.is_empty());
                found.push(Self {
                    metric,
                    labels: labels.map(asked).collect(),
                });
            }
        }
        found
    }

    /// The program that has the metric, if the rule names one.
    fn job(&self) -> Option<&'a str> {
        let mut labels = self.labels.iter();
        labels.find_map(|(name, _, value)| (*name == "job").then_some(*value))
    }

    /// Whether a scrape has the metric, and a series of it for each label.
    fn is_in(&self, scrape: &str) -> bool {
        let of_metric: Vec<&str> = series(scrape, self.metric).map(|found| found.0).collect();
        let mut labels = self.labels.iter().filter(|(name, ..)| *name != "job");
        !of_metric.is_empty()
            && labels.all(|(name, operator, value)| {
                let mut found = of_metric.iter().filter_map(|labels| label(labels, name));
                found.any(|found| match *operator {
                    "=" => found == *value,
                    "!=" => found != *value,
                    _ => value.split('|').any(|pattern| is_like(pattern, found)),
                })
            })
    }
}

/// A label as a rule asks for it: `name="value"`, `name!="value"` or `name=~"a|b"`.
fn asked(label: &str) -> (&str, &str, &str) {
    let (before, value) = label.trim_end_matches('"').split_once('"').unwrap();
    let name = before.trim_end_matches(['=', '!', '~']);
    (name, &before[name.len()..], value)
}

/// Whether a text is as a pattern says, in which a dot stands for any character.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut pairs = pattern.bytes().zip(text.bytes());
    pattern.len() == text.len() && pairs.all(|(wanted, found)| wanted == b'.' || wanted == found)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_watch_is_there_before_the_first_request() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let binary = program("store-host");
    store.migrate(&binary).unwrap();
    let hosts = [store.host(host_options(binary, &store)).await.unwrap()];
    let names = NameServer::start().await.unwrap();
    names.set(NAME, 1, &[address(&hosts[0])]);
    let proxy = proxy(&hosts, &names).await;
    let scrape = async |url: String| reqwest::get(url).await.unwrap().text().await.unwrap();
    let of_host = scrape(hosts[0].admin_url("/metrics")).await;
    let of_proxy = scrape(proxy.admin_url("/metrics")).await;

    let mut seen = 0;
    for file in ["rules.yml", "slo.yml"] {
        let rules = repository().join("loadtest/prometheus").join(file);
        let rules = fs::read_to_string(rules).unwrap();
        for selector in Selector::all(&rules) {
            seen += 1;
            let is_there = match selector.job() {
                // A host's histograms begin with the first request: each has as many series as buckets.
                Some("store-host") if selector.metric.starts_with("http_request_duration") => true,
                Some("store-host") => selector.is_in(&of_host),
                Some("store-proxy") => selector.is_in(&of_proxy),
                _ => selector.is_in(&of_host) || selector.is_in(&of_proxy),
            };
            assert!(is_there, "{selector:?}");
        }
    }
    assert!(seen > 30, "only {seen} metrics were found in the rules");
}

#[test]
fn the_configuration_for_a_prometheus_of_one_s_own_is_right() {
    promtool(["check", "config", "prometheus.yml"]);
}
