//! Questions 1 to 3: when requests fail, which ones, and with which messages.

use super::{Answer, listed};
use crate::lab::model::{Failure, ROUTE_LABELS, ROUTES, StageResult};
use crate::lab::report::document::ReportTable;
use crate::lab::report::numbers::{count, percent, share};

/// How many messages are shown: most messages are variations of the first few.
const MESSAGES: usize = 12;

pub(super) fn users_until_failures(stages: &[StageResult], users: u32) -> Answer {
    let mut table = ReportTable::new(
        "When the first request failed",
        &["stage", "users then", "second", "failed in the end"],
    );
    let mut said = Vec::new();
    for result in stages {
        let total = &result.load.total;
        let failed = share(total.failures, total.requests);
        let first = result.load.moments("").find(|moment| moment.failures > 0);
        let [users_then, second] = match first {
            Some(first) => [count(first.users.into()), format!("{:.0} s", first.second)],
            None if total.failures > 0 => ["all".into(), "the end".into()],
            None => ["none failed".into(), "–".into()],
        };
        if total.failures > 0 {
            let when = match first {
                Some(first) => format!("from {} users on", count(first.users.into())),
                None => "only at the very end".into(),
            };
            said.push(format!("in {} {when}", result.stage.name()));
        }
        let name = result.stage.short().to_owned();
        table.row([name, users_then, second, percent(failed)]);
    }
    let text = if stages.is_empty() {
        "This run can't say: no stage was measured.".into()
    } else if said.is_empty() {
        format!(
            "No request failed up to {users} users, in any stage: this load finds no limit. The search for the highest rate does."
        )
    } else {
        format!(
            "Requests failed {}; in the other stages none did up to {users} users.",
            listed(&said)
        )
    };
    let question = "At how many users does it start to fail?";
    Answer::new(question, text, vec![table])
}

pub(super) fn routes_that_fail(stages: &[StageResult]) -> Answer {
    let head: Vec<&str> = std::iter::once("stage").chain(ROUTE_LABELS).collect();
    let mut table = ReportTable::new("Requests that failed", &head);
    let mut over_half = Vec::new();
    for result in stages {
        let shares = ROUTES.map(|name| {
            let route = result.load.route(name);
            route.map(|route| share(route.failures, route.requests))
        });
        for (name, failed) in ROUTES.iter().zip(shares) {
            if failed.is_some_and(|failed| failed > 0.5) {
                over_half.push(format!("{name} in {}", result.stage.name()));
            }
        }
        let texts = shares.map(|failed| failed.map_or_else(|| "not asked".into(), percent));
        table.row(std::iter::once(result.stage.short().to_owned()).chain(texts));
    }
    let text = match over_half.as_slice() {
        [] => "None: no route failed more than half the time in any stage.".into(),
        routes => format!("{}.", listed(routes)),
    };
    let question = "Which routes fail more than half the time?";
    Answer::new(question, text, vec![table])
}

pub(super) fn messages(stages: &[StageResult]) -> Answer {
    let mut all: Vec<(&StageResult, &Failure)> = Vec::new();
    for result in stages {
        all.extend(result.load.errors.iter().map(|failure| (result, failure)));
    }
    all.sort_by_key(|(_, failure)| std::cmp::Reverse(failure.count));
    let text = match all.first() {
        None => "There are none: no request failed.".into(),
        Some((_, failure)) => format!(
            "The most frequent, {} times, is “{}”. {}",
            count(failure.count),
            failure.message,
            part(&failure.message)
        ),
    };
    let mut table = ReportTable::new(
        "Error messages, the most frequent first",
        &["message", "stage", "route", "times", "points at"],
    );
    for (result, failure) in all.into_iter().take(MESSAGES) {
        table.row([
            failure.message.clone(),
            result.stage.short().into(),
            failure.route.clone(),
            count(failure.count),
            part(&failure.message).into(),
        ]);
    }
    let figures = if table.rows.is_empty() {
        Vec::new()
    } else {
        vec![table]
    };
    let question = "What do the error messages say, and which part do they point at?";
    Answer::new(question, text, figures)
}

/// The part of the store that a message is about, if the message says so.
fn part(message: &str) -> &'static str {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["mysql", "mariadb", "database", "deadlock", "lock wait"]) {
        "MySQL, by its words."
    } else if has(&["redis"]) {
        "Redis, by its words."
    } else if has(&["a dependency is down", "503: the store is overloaded"]) {
        "What the service depends on (MySQL or Redis): clients are not told which, the host's log is."
    } else if has(&["too many requests at once"]) {
        "The service: its limit of requests at once."
    } else if has(&["took too long", "504"]) {
        "The service's time limit: what it waited for, clients are not told."
    } else if has(&["could not be served", "500"]) {
        "The service itself."
    } else if has(&["502", "no upstream", "upstream"]) {
        "The proxy: it had no instance to ask."
    } else if has(&[
        "refused",
        "reset",
        "disconnect",
        "closed",
        "timed out",
        "timeout",
    ]) {
        "The connection to the service: it was not accepted, or given up."
    } else {
        "Nothing in particular."
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::stage::Stage;
    use crate::lab::testing::{failing, result};

    #[test]
    fn a_run_without_failures_says_up_to_how_many_users() {
        let stages = [result(Stage::MysqlPerItem)];
        let answer = users_until_failures(&stages, 150);
        assert!(
            answer.text.starts_with("No request failed up to 150 users"),
            "{}",
            answer.text
        );
        assert_eq!(answer.figures[0].rows[0][1].text, "none failed");
        assert!(routes_that_fail(&stages).text.starts_with("None"));
        let messages = messages(&stages);
        assert!(messages.text.starts_with("There are none"));
        assert!(messages.figures.is_empty());
    }

    #[test]
    fn the_first_failure_is_found_with_its_users() {
        let stages = [failing(Stage::RedisNaive), result(Stage::Cached)];
        let answer = users_until_failures(&stages, 150);
        assert!(
            answer.text.contains("in redis-naive from 8 users on"),
            "{}",
            answer.text
        );
        let row: Vec<&str> = answer.figures[0].rows[0]
            .iter()
            .map(|cell| cell.text.as_str())
            .collect();
        assert_eq!(row, ["3 · naive Redis", "8", "2 s", "20 %"]);
    }

    #[test]
    fn a_route_that_fails_over_half_the_time_is_named() {
        let answer = routes_that_fail(&[failing(Stage::RedisNaive)]);
        assert_eq!(
            answer.text,
            "GET /orders/reports/highest-spenders in redis-naive."
        );
        assert_eq!(answer.figures[0].rows[0][2].text, "60 %");
    }

    #[test]
    fn messages_are_counted_and_pointed() {
        let answer = messages(&[failing(Stage::RedisNaive)]);
        assert!(answer.text.contains("60 times"), "{}", answer.text);
        assert!(answer.text.contains("time limit"), "{}", answer.text);
        assert_eq!(
            part("503: the store is overloaded or a dependency is down; try again"),
            "What the service depends on (MySQL or Redis): clients are not told which, the host's log is."
        );
        assert_eq!(
            part("(1205, 'Lock wait timeout exceeded')"),
            "MySQL, by its words."
        );
        assert_eq!(
            part("RemoteDisconnected('closed')"),
            "The connection to the service: it was not accepted, or given up."
        );
        assert_eq!(part("hm"), "Nothing in particular.");
    }
}
