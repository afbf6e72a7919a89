//! Invented results for the tests of the report.

use super::model::{
    Counters, Failure, Load, Moment, OrderCost, ROUTES, Route, Sample, Saturation, StageResult,
    Statement, Step, Usage,
};
use super::stage::Stage;
use crate::measure::Basket;

/// A route with a hundred requests.
pub(super) fn route(name: &str, failures: u64, p95_ms: f64) -> Route {
    Route {
        name: name.into(),
        requests: 100,
        failures,
        requests_per_second: 10.0,
        p50_ms: Some(p95_ms / 2.0),
        p95_ms: Some(p95_ms),
        p99_ms: Some(p95_ms * 2.0),
        times_ms: vec![(p95_ms / 2.0, 90), (p95_ms, 10)],
    }
}

/// The result of a stage without failures.
pub(super) fn result(stage: Stage) -> StageResult {
    let mut total = route("Aggregated", 0, 20.0);
    total.requests = 300;
    StageResult {
        stage,
        finished_at: 1_800_000_000,
        url: None,
        load: Load {
            total,
            routes: ROUTES.iter().map(|name| route(name, 0, 20.0)).collect(),
            began_at: 1_799_999_000.0,
            history: (0..5).map(moment).collect(),
            errors: Vec::new(),
        },
        samples: (1..5).map(sample).collect(),
        counters: Some(Counters {
            statements: [("orders".to_owned(), 700.0), ("reports".to_owned(), 5.0)].into(),
            requests_of_host: [("host-0".to_owned(), 300.0)].into(),
            pool_timeouts: [("orders".to_owned(), 0.0)].into(),
        }),
        saturation: Some(Saturation {
            steps: vec![
                step(48, None),
                step(96, Some("p99 of POST /orders is 400 ms")),
            ],
        }),
        order_costs: stage
            .baskets()
            .iter()
            .map(|basket| order_cost(*basket, 100, 2))
            .collect(),
    }
}

/// The cost of `orders` orders with this many kinds of statements. The first kind took 1 ms, the second 2 ms, and so
/// on. Each order has two statements of each kind, and ten orders share a commit.
pub(super) fn order_cost(basket: Basket, orders: u64, kinds: u64) -> OrderCost {
    let statement = |number| Statement {
        name: format!("INSERT INTO t{number}"),
        count: 2 * orders,
        seconds: number as f64 / 1000.0,
    };
    let commit = Statement {
        name: "commit".into(),
        count: orders / 10,
        seconds: 0.0,
    };
    OrderCost {
        basket,
        clients: 32,
        orders,
        failed: 0,
        mean_ms: 5.0,
        round_trips: (2 * kinds * orders + orders / 10) as f64,
        lock_wait_ms: 40.0,
        cpu_seconds: 0.03,
        statements: (1..=kinds).rev().map(statement).chain([commit]).collect(),
    }
}

/// As [`result`], with failures from the third second on, at 8 users.
pub(super) fn failing(stage: Stage) -> StageResult {
    let mut result = result(stage);
    result.load.routes[1] = route(ROUTES[1], 60, 900.0);
    result.load.total.failures = 60;
    for moment in result.load.history.iter_mut().skip(2) {
        moment.failures = 20;
        moment.failures_per_second = 5.0;
    }
    result.load.errors = vec![Failure {
        route: ROUTES[1].into(),
        message: "504: the request took too long <script>".into(),
        count: 60,
    }];
    result
}

fn moment(second: u32) -> Moment {
    Moment {
        second: f64::from(second),
        name: String::new(),
        users: (second + 1) * 4 - 4,
        requests_per_second: 10.0,
        failures_per_second: 0.0,
        p50_ms: Some(10.0),
        p95_ms: Some(20.0),
        p99_ms: Some(40.0),
        requests: u64::from(second) * 10,
        failures: 0,
    }
}

fn sample(second: u32) -> Sample {
    let usage = |name: &str, cpu| Usage {
        name: name.into(),
        cpu,
        memory_bytes: 50 << 20,
    };
    Sample {
        second: f64::from(second),
        machine_busy: 1.5,
        processes: vec![usage("host-0", 0.2), usage("mariadbd", 1.1)],
        statements: Some(200),
        rows_read: Some(4000),
        redis_commands: Some(30),
    }
}

fn step(rate: u32, refused: Option<&str>) -> Step {
    Step {
        rate,
        answered_per_second: f64::from(rate),
        p99_ms: 50.0,
        failures: 0,
        refused: refused.map(Into::into),
        cpu: [("mariadbd".to_owned(), 1.4), ("machine".to_owned(), 1.9)].into(),
    }
}
