//! What a lab finds: one [`StageResult`] for each stage, written as JSON and read again by the report and by a resumed run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::measure::{Basket, mean};

/// The three requests of the course's load, as Locust's statistics call them.
pub(crate) const ROUTES: [&str; 3] = [
    "POST /orders",
    "GET /orders/reports/highest-spenders",
    "GET /orders/reports/best-sellers",
];

/// What people call them, where there is little room.
pub(crate) const ROUTE_LABELS: [&str; 3] = ["POST /orders", "highest spenders", "best sellers"];

/// All that was measured in one stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StageResult {
    pub(crate) stage: Stage,
    /// Of its end, in seconds since 1970.
    pub(crate) finished_at: u64,
    /// As it was given, for the reference only.
    pub(crate) url: Option<String>,
    pub(crate) load: Load,
    /// Once a second during the load.
    pub(crate) samples: Vec<Sample>,
    /// Over the whole load; `None` for the reference.
    pub(crate) counters: Option<Counters>,
    /// The search for the highest rate, unless it was left out.
    pub(crate) saturation: Option<Saturation>,
    /// What orders of several kinds cost, where that was looked into.
    pub(crate) order_costs: Vec<OrderCost>,
}

/// What Locust measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) total: Route,
    /// In Locust's order.
    pub(crate) routes: Vec<Route>,
    /// When it began, in seconds since 1970.
    pub(crate) began_at: f64,
    pub(crate) history: Vec<Moment>,
    pub(crate) errors: Vec<Failure>,
}

/// The statistics of one request name, or of all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) name: String,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) requests_per_second: f64,
    /// `None` without a single answer.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// How many answers took each time, which Locust rounds to two digits: (ms, count), ascending.
    pub(crate) times_ms: Vec<(f64, u64)>,
}

/// One second of one request name, or of all (an empty name).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Since the load began.
    pub(crate) second: f64,
    pub(crate) name: String,
    pub(crate) users: u32,
    pub(crate) requests_per_second: f64,
    pub(crate) failures_per_second: f64,
    /// Of the last ten seconds.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// Since the load began.
    pub(crate) requests: u64,
    /// Since the load began.
    pub(crate) failures: u64,
}

/// An error message and how often it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) route: String,
    pub(crate) message: String,
    pub(crate) count: u64,
}

/// The machine and the servers in one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the load began. (The sampler, which doesn't know when that was, gives seconds since 1970.)
    pub(crate) second: f64,
    /// Processors busy, of all processes of the machine.
    pub(crate) machine_busy: f64,
    pub(crate) processes: Vec<Usage>,
    /// Statements since the sample before, ours not counted.
    pub(crate) statements: Option<u64>,
    /// Rows read by MariaDB since the sample before.
    pub(crate) rows_read: Option<u64>,
    /// Commands of Redis since the sample before, ours not counted.
    pub(crate) redis_commands: Option<u64>,
}

/// One process in one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) name: String,
    /// Processors busy.
    pub(crate) cpu: f64,
    pub(crate) memory_bytes: u64,
}

/// What hosts and proxy counted during the load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// Statements by component.
    pub(crate) statements: BTreeMap<String, f64>,
    /// Requests that each host answered, by its name.
    pub(crate) requests_of_host: BTreeMap<String, f64>,
    /// Waits for a connection that reached the limit, each a 503, by component.
    pub(crate) pool_timeouts: BTreeMap<String, f64>,
}

/// What orders cost MariaDB while a few clients placed as many as they could.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OrderCost {
    pub(crate) basket: Basket,
    /// Each with one order at a time.
    pub(crate) clients: usize,
    pub(crate) orders: u64,
    /// Answers other than 201.
    pub(crate) failed: u64,
    /// From asking to the answer.
    pub(crate) mean_ms: f64,
    /// Of this and what follows: for all orders together.
    pub(crate) round_trips: f64,
    /// Waits for rows that another transaction had locked.
    pub(crate) lock_wait_ms: f64,
    /// Of MariaDB.
    pub(crate) cpu_seconds: f64,
    /// By what they do to which table, what took longest first.
    pub(crate) statements: Vec<Statement>,
}

/// Statements that do the same to the same table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) count: u64,
    /// As MariaDB timed them.
    pub(crate) seconds: f64,
}

impl OrderCost {
    /// The share of one order.
    pub(crate) fn per_order(&self, of_all: f64) -> f64 {
        of_all / self.orders as f64
    }

    /// How long all statements took.
    pub(crate) fn seconds(&self) -> f64 {
        self.statements.iter().map(|one| one.seconds).sum()
    }

    pub(crate) fn commits(&self) -> f64 {
        let commits = self.statements.iter().filter(|one| one.name == "commit");
        commits.map(|one| one.count as f64).sum()
    }
}

/// The search for the highest rate.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Saturation {
    /// In the order in which they were tried.
    pub(crate) steps: Vec<Step>,
}

/// One rate that was tried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Requests a second, asked for.
    pub(crate) rate: u32,
    /// Requests a second, answered with 2xx.
    pub(crate) answered_per_second: f64,
    /// Of the slowest of the three streams, timed from when each request was due.
    pub(crate) p99_ms: f64,
    pub(crate) failures: u64,
    /// Why it isn't good enough, if it isn't.
    pub(crate) refused: Option<String>,
    /// Processors busy while it ran, by process.
    pub(crate) cpu: BTreeMap<String, f64>,
}

impl Saturation {
    /// The highest rate that was good enough.
    pub(crate) fn best(&self) -> Option<&Step> {
        let good = self.steps.iter().filter(|step| step.refused.is_none());
        good.max_by_key(|step| step.rate)
    }
}

impl Load {
    /// The statistics of a request name.
    pub(crate) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// The seconds of a request name; an empty name gives those of all.
    pub(crate) fn moments<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Moment> {
        self.history
            .iter()
            .filter(move |moment| moment.name == name)
    }
}

impl StageResult {
    /// The highest rate that was good enough, in requests a second.
    pub(crate) fn highest_rate(&self) -> Option<u32> {
        Some(self.saturation.as_ref()?.best()?.rate)
    }

    /// Statements of MariaDB for one request, over the whole load.
    pub(crate) fn statements_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.statements)
    }

    /// Rows that MariaDB read for one request.
    pub(crate) fn rows_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.rows_read)
    }

    /// Commands of Redis for one request.
    pub(crate) fn redis_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.redis_commands)
    }

    /// Statements of the component `orders` for one order.
    pub(crate) fn statements_per_order(&self) -> Option<f64> {
        let orders = self.load.route(ROUTES[0])?.requests;
        let statements = self.counters.as_ref()?.statements.get("orders")?;
        (orders > 0).then(|| statements / orders as f64)
    }

    fn per_request(&self, of: impl Fn(&Sample) -> Option<u64>) -> Option<f64> {
        let counts: Vec<u64> = self.samples.iter().filter_map(of).collect();
        let requests = self.load.total.requests;
        (requests > 0 && !counts.is_empty())
            .then(|| counts.iter().sum::<u64>() as f64 / requests as f64)
    }

    /// Processors busy on average while the load ran, by process, the busiest first.
    pub(crate) fn mean_cpu(&self) -> Vec<(String, f64)> {
        let usages = self.samples.iter().flat_map(|sample| &sample.processes);
        let names: BTreeSet<&str> = usages.map(|usage| usage.name.as_str()).collect();
        let of = |sample: &Sample, name: &str| {
            let usage = sample.processes.iter().find(|usage| usage.name == name);
            usage.map_or(0.0, |usage| usage.cpu)
        };
        let means = names.into_iter().filter_map(|name| {
            let samples = self.samples.iter().map(|sample| of(sample, name));
            Some((name.to_owned(), mean(samples)?))
        });
        let mut means: Vec<(String, f64)> = means.collect();
        means.sort_by(|one, other| other.1.total_cmp(&one.1));
        means
    }
}
