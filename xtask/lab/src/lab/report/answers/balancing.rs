//! Question 9: the balancing policy.

use super::Answer;
use crate::lab::model::StageResult;
use crate::lab::report::document::ReportTable;
use crate::lab::report::numbers::{count, percent};

pub(super) fn policy(stages: &[StageResult]) -> Answer {
    let question = "Which balancing policy does the configuration use?";
    let mut table = ReportTable::new(
        "Requests that each instance answered",
        &["stage", "policy", "instance", "requests", "share"],
    );
    let mut said = Vec::new();
    for result in stages {
        let Some(policy) = result.stage.policy() else {
            continue;
        };
        said.push(format!("{policy} in {}", result.stage.name()));
        let Some(counters) = &result.counters else {
            continue;
        };
        let sum: f64 = counters.requests_of_host.values().sum();
        for (host, requests) in &counters.requests_of_host {
            table.row([
                result.stage.short().into(),
                policy.into(),
                host.clone(),
                count(*requests as u64),
                percent(requests / sum),
            ]);
        }
    }
    if said.is_empty() {
        let text = "This run can't say: no stage with several instances was measured.";
        return Answer::new(question, text, Vec::new());
    }
    let text = format!(
        "{}, as the proxy's file says (the course's nginx uses least_conn). In turns, instances get the same number of requests; by least connections, the one that answers sooner gets more. Health checks are counted with them.",
        said.join(", ")
    );
    Answer::new(question, text, vec![table])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::stage::Stage;
    use crate::lab::testing::result;

    #[test]
    fn the_policy_is_that_of_the_stage_and_shares_are_counted() {
        let mut two = result(Stage::TwoLeastConnections);
        let counters = two.counters.as_mut().expect("counted");
        counters.requests_of_host.insert("host-1".into(), 100.0);
        let answer = policy(&[two]);
        assert!(
            answer
                .text
                .starts_with("least_connections in two-least-connections")
        );
        let shares: Vec<&str> = answer.figures[0]
            .rows
            .iter()
            .map(|row| row[4].text.as_str())
            .collect();
        assert_eq!(shares, ["75 %", "25 %"]);
    }

    #[test]
    fn one_instance_has_no_policy() {
        assert!(
            policy(&[result(Stage::Cached)])
                .text
                .starts_with("This run can't say")
        );
    }
}
