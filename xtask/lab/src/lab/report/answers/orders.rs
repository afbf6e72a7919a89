//! Questions 4, 5 and 7: `POST /orders`.

use super::{Answer, both, listed, of};
use crate::lab::model::{OrderCost, ROUTES, Route, StageResult};
use crate::lab::report::charts;
use crate::lab::report::document::{Cell, ReportTable};
use crate::lab::report::numbers::{
    UNKNOWN, change, compare_rates, compare_times, maybe_ms, number, per_second, percent,
};
use crate::lab::report::order_cost::{self, NamedCost, microseconds};
use crate::lab::stage::Stage;
use crate::measure::Basket;

const ORDER: &str = ROUTES[0];

pub(super) fn prices_in_one_query(stages: &[StageResult]) -> Answer {
    let question = "What did reading an order's prices in one query change for POST /orders?";
    let (before, after) = match both(stages, Stage::MysqlPerItem, Stage::MysqlBatched) {
        Ok(found) => found,
        Err(text) => return Answer::new(question, text, Vec::new()),
    };
    let p95 = |result: &StageResult| result.load.route(ORDER).and_then(|route| route.p95_ms);
    let change_of = |from: Option<f64>, to: Option<f64>| change(from?, to?);
    let mut text = match change_of(p95(before), p95(after)) {
        Some(change) => format!(
            "Its p95 went from {} to {} ({change})",
            maybe_ms(p95(before)),
            maybe_ms(p95(after))
        ),
        None => "Its response times can't be compared".to_owned(),
    };
    let statements = (before.statements_per_order(), after.statements_per_order());
    if let (Some(from), Some(to)) = statements {
        text += &format!(
            ", and the statements for one order from {} to {}",
            number(from),
            number(to)
        );
    }
    text += ". An order of the course has 1.75 products on average, so that N+1 costs less than one statement more; with long orders it costs one for each product. Both stages read their reports from MySQL, whose work for them delays the orders too.";
    Answer::new(question, text, vec![comparison(before, after)])
}

pub(super) fn a_million_products(stages: &[StageResult]) -> Answer {
    let question = "With a million products, or more items per order, would its response time rise, fall or stay?";
    let batched = [Stage::MysqlBatched, Stage::Cached, Stage::ProxyCache];
    let Some(batched) = batched.into_iter().find_map(|stage| of(stages, stage)) else {
        let text = "This run can't say: no stage with batched prices was measured.";
        return Answer::new(question, text, Vec::new());
    };
    let statements = batched.statements_per_order().map(number);
    let mut text = format!(
        "This run measured 10,000 products only. An order took {} statements with prices batched, and the number of products is in none of them, since each looks products up by primary key: a million products make that index one level deeper at most, so the time should stay about the same while the index fits in memory. More items per order make it rise: prices stay one query, but each item is a row to write, a stock row to lock and a total to add to.",
        statements.unwrap_or_else(|| UNKNOWN.into())
    );
    let costs = by_items(stages);
    let named: Vec<NamedCost<'_>> = costs
        .iter()
        .map(|(name, cost)| (name.as_str(), *cost))
        .collect();
    let (mut figures, mut pictures) = (Vec::new(), Vec::new());
    if let [(few, cheap), .., (many, dear)] = named.as_slice() {
        let [cheap, dear] = [cheap, dear].map(|cost| cost.per_order(cost.seconds()));
        text += &format!(
            " With {many} an order took {} times the time of MariaDB that it took with {few}, statement by statement:",
            number(dear / cheap)
        );
        let caption = "Time of MariaDB for an order that commits alone, by how many products it has, statement by statement. Shorter is better.";
        pictures.push(charts::by_statement("cost-by-items", caption, &named));
        figures.push(order_cost::table("Orders of different lengths", &named));
    }
    Answer {
        question,
        text,
        figures,
        pictures,
    }
}

/// The costs of orders with few and with many products, fewest products first.
fn by_items(stages: &[StageResult]) -> Vec<(String, &OrderCost)> {
    let costs = stages.iter().flat_map(|result| &result.order_costs);
    let mut costs: Vec<(u64, &OrderCost)> = costs
        .filter_map(|cost| match cost.basket {
            Basket::Products(count) => Some((count, cost)),
            _ => None,
        })
        .collect();
    costs.sort_by_key(|(count, _)| *count);
    let named = costs.into_iter().map(|(count, cost)| {
        let plural = if count == 1 { "" } else { "s" };
        (format!("{count} product{plural}"), cost)
    });
    named.collect()
}

pub(super) fn what_bounds_them(stages: &[StageResult], processors: usize) -> Answer {
    let question = "POST /orders still lags behind the reports: what bounds it?";
    let Some(cached) = of(stages, Stage::Cached).or_else(|| of(stages, Stage::ProxyCache)) else {
        let text = "This run can't say: the stage cached was not measured.";
        return Answer::new(question, text, Vec::new());
    };
    let mut table = ReportTable::new(
        &format!("Processors busy in the stage {}", cached.stage.name()),
        &["process", "course's load", "highest rate"],
    );
    let best = cached.saturation.as_ref().and_then(|found| found.best());
    let at_best = |name: &str| best.and_then(|step| step.cpu.get(name)).copied();
    for (name, cpu) in cached.mean_cpu() {
        let highest = at_best(&name).map_or_else(|| UNKNOWN.into(), number);
        table.row([name, number(cpu), highest]);
    }
    let p95 = |name| {
        cached
            .load
            .route(name)
            .and_then(|route: &Route| route.p95_ms)
    };
    let mut text = format!(
        "An order's p95 is {}, against {} and {} for the reports, which are made in advance. ",
        maybe_ms(p95(ROUTES[0])),
        maybe_ms(p95(ROUTES[1])),
        maybe_ms(p95(ROUTES[2]))
    );
    if let Some(statements) = cached.statements_per_order() {
        text += &format!(
            "An order takes {} statements one after the other in a transaction, and waits for a commit. ",
            number(statements)
        );
    }
    text += &busiest(at_best("machine"), processors, best.map(|step| &step.cpu));
    let mut figures = vec![table];
    let mut pictures = Vec::new();
    let of = |stage| order_cost::of(stages, stage, Basket::Course);
    if let (Some(single), Some(grouped)) = (of(Stage::ProxyCache), of(Stage::Grouped)) {
        text += &together(single, grouped);
        let costs = [("each alone", single), ("together", grouped)];
        let caption = "Where the time of an order goes in MariaDB, statement by statement: stages 7 and 8. Shorter is better.";
        pictures.push(charts::by_statement("cost-of-an-order", caption, &costs));
        figures.push(order_cost::table("An order of the course", &costs));
    }
    Answer {
        question,
        text,
        figures,
        pictures,
    }
}

/// Where the time of an order goes, and how much of it groups save.
fn together(single: &OrderCost, grouped: &OrderCost) -> String {
    let most: Vec<String> = single
        .statements
        .iter()
        .take(3)
        .map(|statement| {
            let share = statement.seconds / single.seconds();
            format!("{} ({})", statement.name, percent(share))
        })
        .collect();
    let [alone, together] = [single, grouped].map(|cost| cost.per_order(cost.seconds()));
    let [trips_alone, trips_together] =
        [single, grouped].map(|cost| number(cost.per_order(cost.round_trips)));
    format!(
        " Statement by statement, MariaDB spends most of an order's time on {}. Most of that is the same for one order and for many: where those that wait at the same time commit together, an order costs {trips_together} round trips instead of {trips_alone}, {} commits instead of {}, and {} of MariaDB's time instead of {}.",
        listed(&most),
        number(grouped.per_order(grouped.commits())),
        number(single.per_order(single.commits())),
        microseconds(together),
        microseconds(alone),
    )
}

/// What was exhausted first at the highest rate, if anything was.
fn busiest(
    machine: Option<f64>,
    processors: usize,
    cpu: Option<&std::collections::BTreeMap<String, f64>>,
) -> String {
    let (Some(machine), Some(cpu)) = (machine, cpu) else {
        return "What runs out first under more load, this run can't say: the highest rate was not searched, or none was good enough.".into();
    };
    let processes = cpu.iter().filter(|(name, _)| *name != "machine");
    let Some((name, most)) = processes.max_by(|one, other| one.1.total_cmp(other.1)) else {
        return String::new();
    };
    let all = processors as f64;
    if machine > 0.85 * all {
        format!(
            "At the highest rate the machine's {processors} processors were {:.0} % busy, the load generator included; {name} took most ({} processors): this machine's processors bound it, not a lock or a limit of the store.",
            machine / all * 100.0,
            number(*most)
        )
    } else {
        format!(
            "At the highest rate only {} of {processors} processors were busy, {name} most ({}): not processors bound it but waiting, most likely for locks on stock and totals and for commits.",
            number(machine),
            number(*most)
        )
    }
}

fn comparison(before: &StageResult, after: &StageResult) -> ReportTable {
    let mut table = ReportTable::new(ORDER, &["", before.stage.short(), after.stage.short()]);
    type Time = fn(&Route) -> Option<f64>;
    let times: [(&str, Time); 3] = [
        ("p50", |route| route.p50_ms),
        ("p95", |route| route.p95_ms),
        ("p99", |route| route.p99_ms),
    ];
    for (name, of) in times {
        let [from, to] = [before, after].map(|result| result.load.route(ORDER).and_then(of));
        let cell = Cell::new(maybe_ms(to)).with(compare_times("change", from, to));
        table
            .rows
            .push(vec![Cell::new(name), Cell::new(maybe_ms(from)), cell]);
    }
    let rate = |result: &StageResult| Some(result.load.route(ORDER)?.requests_per_second);
    let [from, to] = [rate(before), rate(after)];
    let shown = |value: Option<f64>| value.map_or_else(|| UNKNOWN.into(), per_second);
    let cell = Cell::new(shown(to)).with(compare_rates("change", from, to));
    table
        .rows
        .push(vec![Cell::new("requests"), Cell::new(shown(from)), cell]);
    let [from, to] = [before, after].map(StageResult::statements_per_order);
    let shown = |value: Option<f64>| value.map_or_else(|| UNKNOWN.into(), number);
    table.row(["statements per order".into(), shown(from), shown(to)]);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::testing::{result, route};

    #[test]
    fn one_query_is_compared_with_many() {
        let before = result(Stage::MysqlPerItem);
        let mut after = result(Stage::MysqlBatched);
        after.load.routes[0] = route(ORDER, 0, 10.0);
        let answer = prices_in_one_query(&[before, after]);
        assert!(
            answer.text.contains("from 20 ms to 10 ms (−50 %)"),
            "{}",
            answer.text
        );
        assert!(answer.text.contains("from 7.00 to 7.00"), "{}", answer.text);
    }

    #[test]
    fn what_was_not_measured_is_not_answered() {
        let stages = [result(Stage::MysqlPerItem)];
        for answer in [
            prices_in_one_query(&stages),
            a_million_products(&stages),
            what_bounds_them(&stages, 2),
        ] {
            assert!(
                answer.text.starts_with("This run can't say"),
                "{}",
                answer.text
            );
        }
    }

    #[test]
    fn what_groups_spare_and_what_items_cost_is_shown_statement_by_statement() {
        let mut grouped = result(Stage::Grouped);
        for statement in &mut grouped.order_costs[0].statements {
            statement.seconds /= 10.0;
        }
        let stages = [
            result(Stage::MysqlBatched),
            result(Stage::Cached),
            result(Stage::ProxyCache),
            grouped,
        ];
        let answer = what_bounds_them(&stages, 2);
        // 3 ms over 100 orders, and a tenth of that.
        let expected = "3.00 µs of MariaDB's time instead of 30.0 µs";
        assert!(answer.text.contains(expected), "{}", answer.text);
        let most = "INSERT INTO t2 (67 %), INSERT INTO t1 (33 %)";
        assert!(answer.text.contains(most), "{}", answer.text);
        assert_eq!(answer.pictures.len(), 1);
        let answer = a_million_products(&stages);
        assert!(answer.text.contains("With 25 products"), "{}", answer.text);
        let bars = answer.pictures[0].data.as_array().expect("a list");
        assert_eq!(bars.len(), 3);
    }

    #[test]
    fn a_busy_machine_is_told_from_a_waiting_one() {
        let busy = what_bounds_them(&[result(Stage::Cached)], 2).text;
        assert!(busy.contains("95 % busy"), "{busy}");
        let waiting = what_bounds_them(&[result(Stage::Cached)], 16).text;
        assert!(waiting.contains("waiting"), "{waiting}");
    }
}
