//! Prometheus's own judge of the rules.

use std::process::Command;

use crate::support::repository;

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

#[test]
fn the_configuration_for_a_prometheus_of_one_s_own_is_right() {
    promtool(["check", "config", "prometheus.yml"]);
}
