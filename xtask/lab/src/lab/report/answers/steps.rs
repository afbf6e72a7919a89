//! Questions 6 and 8: how a step of the course changed each route, in percent.

use super::{Answer, of};
use crate::lab::model::{ROUTE_LABELS, ROUTES, StageResult};
use crate::lab::report::document::{Cell, ReportTable};
use crate::lab::report::numbers::{change, compare_rates, compare_times, maybe_ms};
use crate::lab::stage::Stage;

pub(super) fn cached_reports(stages: &[StageResult]) -> Answer {
    let before = [Stage::MysqlBatched, Stage::RedisNaive, Stage::MysqlPerItem];
    answer(
        "By what percentage did cached reports improve or worsen each route?",
        stages,
        &before,
        Stage::Cached,
    )
}

pub(super) fn several_instances(stages: &[StageResult]) -> Answer {
    let mut answer = answer(
        "By what percentage did each route change with several instances behind a proxy?",
        stages,
        &[Stage::Cached],
        Stage::TwoRoundRobin,
    );
    answer.text += " Both instances, the proxy, MariaDB, Redis and Locust share one machine here: a second instance adds no processors, and the proxy is one more stop on the way. What it adds is that one instance may be restarted or die.";
    answer
}

fn answer(
    question: &'static str,
    stages: &[StageResult],
    before: &[Stage],
    after: Stage,
) -> Answer {
    let found: Vec<&StageResult> = before.iter().filter_map(|one| of(stages, *one)).collect();
    let (Some(first), Some(result)) = (found.first(), of(stages, after)) else {
        let wanted = before.first().map_or("", |stage| stage.name());
        let text = format!(
            "This run can't say: it takes the stages {wanted} and {}, and not both were measured.",
            after.name()
        );
        return Answer::new(question, text, Vec::new());
    };
    let changes: Vec<String> = ROUTES
        .iter()
        .zip(ROUTE_LABELS)
        .filter_map(|(name, label)| {
            let p95 = |result: &StageResult| result.load.route(name)?.p95_ms;
            let (from, to) = (p95(first)?, p95(result)?);
            Some(format!(
                "{label} {} (p95 {} to {})",
                change(from, to)?,
                maybe_ms(Some(from)),
                maybe_ms(Some(to))
            ))
        })
        .collect();
    let text = format!(
        "Against {}: {}. Less is faster.",
        first.stage.name(),
        changes.join("; ")
    );
    Answer::new(question, text, vec![table(&found, result)])
}

fn table(before: &[&StageResult], after: &StageResult) -> ReportTable {
    let mut head = vec!["route, p95"];
    head.extend(before.iter().map(|result| result.stage.short()));
    head.push(after.stage.short());
    let mut table = ReportTable::new("", &head);
    for (name, label) in ROUTES.into_iter().zip(ROUTE_LABELS) {
        let p95 = |result: &StageResult| result.load.route(name)?.p95_ms;
        let mut row = vec![Cell::new(label)];
        let mut last = Cell::new(maybe_ms(p95(after)));
        for one in before {
            row.push(Cell::new(maybe_ms(p95(one))));
            last = last.with(compare_times(one.stage.name(), p95(one), p95(after)));
        }
        row.push(last);
        table.rows.push(row);
    }
    let rate = |result: &StageResult| result.highest_rate().map(f64::from);
    let shown = |result| rate(result).map_or_else(|| "–".into(), |rate| format!("{rate}/s"));
    let mut row = vec![Cell::new("highest rate")];
    let mut last = Cell::new(shown(after));
    for one in before {
        row.push(Cell::new(shown(one)));
        last = last.with(compare_rates(one.stage.name(), rate(one), rate(after)));
    }
    row.push(last);
    table.rows.push(row);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::{result, route};

    #[test]
    fn each_route_gets_its_percentage() {
        let mut before = result(Stage::MysqlBatched);
        before.load.routes[1] = route(ROUTES[1], 0, 400.0);
        let stages = [before, result(Stage::Cached)];
        let answer = cached_reports(&stages);
        assert!(
            answer
                .text
                .contains("highest spenders −95 % (p95 400 ms to 20 ms)"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("POST /orders ±0 %"), "{}", answer.text);
        let cell = &answer.figures[0].rows[1][2];
        assert_eq!(cell.notes[0].text, "mysql-batched: −95 % (20× faster)");
    }

    #[test]
    fn a_stage_that_is_missing_is_named() {
        let answer = several_instances(&[result(Stage::Cached)]);
        assert!(answer.text.contains("two-round-robin"), "{}", answer.text);
        assert!(answer.figures.is_empty());
    }
}
