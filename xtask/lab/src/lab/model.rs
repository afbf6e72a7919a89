//! The results of a lab: one [`StageResult`] for each stage, stored as JSON and read by the report and by a resumed
//! run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::stage::Stage;
use crate::measure::{Basket, mean};

/// The three requests of the course's load, under their names in Locust's statistics.
pub(crate) const ROUTES: [&str; 3] = [
    "POST /orders",
    "GET /orders/reports/highest-spenders",
    "GET /orders/reports/best-sellers",
];

/// Short names of the three requests.
pub(crate) const ROUTE_LABELS: [&str; 3] = ["POST /orders", "highest spenders", "best sellers"];

/// All measurements of one stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StageResult {
    pub(crate) stage: Stage,
    /// The end of the stage, in Unix seconds.
    pub(crate) finished_at: u64,
    /// The URL that the user gave; for the reference only.
    pub(crate) url: Option<String>,
    pub(crate) load: Load,
    /// One sample per second of the load.
    pub(crate) samples: Vec<Sample>,
    /// The hosts' counters over the whole load; `None` for the reference.
    pub(crate) counters: Option<Counters>,
    /// The search for the highest rate, unless it was left out.
    pub(crate) saturation: Option<Saturation>,
    /// The costs of several kinds of orders, if the stage measured them.
    pub(crate) order_costs: Vec<OrderCost>,
}

/// The measurements of Locust.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) total: Route,
    /// The requests in Locust's order.
    pub(crate) routes: Vec<Route>,
    /// The start of the load, in Unix seconds.
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
    /// `None` if there was no answer.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// How many answers took how long: (ms, count), ascending. Locust rounds times to two digits.
    pub(crate) times_ms: Vec<(f64, u64)>,
}

/// One second of one request name, or of all requests (an empty name).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// The seconds since the start of the load.
    pub(crate) second: f64,
    pub(crate) name: String,
    pub(crate) users: u32,
    pub(crate) requests_per_second: f64,
    pub(crate) failures_per_second: f64,
    /// The median over the last ten seconds; the next two fields are over the same time.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    /// The requests since the start of the load.
    pub(crate) requests: u64,
    /// The failures since the start of the load.
    pub(crate) failures: u64,
}

/// An error message and how often it occurred.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) route: String,
    pub(crate) message: String,
    pub(crate) count: u64,
}

/// The machine and the servers in one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// The seconds since the start of the load. (The sampler, which doesn't know that start, gives Unix seconds.)
    pub(crate) second: f64,
    /// The busy processors, over all processes of the machine.
    pub(crate) machine_busy: f64,
    pub(crate) processes: Vec<Usage>,
    /// The SQL statements since the previous sample, without the sampler's own.
    pub(crate) statements: Option<u64>,
    /// The rows that MariaDB read since the previous sample.
    pub(crate) rows_read: Option<u64>,
    /// The Redis commands since the previous sample, without the sampler's own.
    pub(crate) redis_commands: Option<u64>,
}

/// One process in one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) name: String,
    /// The number of busy processors.
    pub(crate) cpu: f64,
    pub(crate) memory_bytes: u64,
}

/// The counters of hosts and proxy over the load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    /// The SQL statements by component.
    pub(crate) statements: BTreeMap<String, f64>,
    /// The requests that each host answered, by the host's name.
    pub(crate) requests_of_host: BTreeMap<String, f64>,
    /// By component: how often a request waited in vain for a pool connection, which gives a 503.
    pub(crate) pool_timeouts: BTreeMap<String, f64>,
}

/// The cost of orders for MariaDB while some clients placed orders without a pause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OrderCost {
    pub(crate) basket: Basket,
    /// The number of clients; each placed one order at a time.
    pub(crate) clients: usize,
    pub(crate) orders: u64,
    /// The number of answers other than 201.
    pub(crate) failed: u64,
    /// The mean time from request to answer.
    pub(crate) mean_ms: f64,
    /// The round trips. This and the following fields are totals over all orders.
    pub(crate) round_trips: f64,
    /// The time spent waiting for rows that another transaction had locked.
    pub(crate) lock_wait_ms: f64,
    /// The processor time of MariaDB.
    pub(crate) cpu_seconds: f64,
    /// The statements by operation and table, longest total time first.
    pub(crate) statements: Vec<Statement>,
}

/// Statements with the same operation on the same table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) count: u64,
    /// The total time, as MariaDB measured it.
    pub(crate) seconds: f64,
}

impl OrderCost {
    /// The share of one order in a total.
    pub(crate) fn per_order(&self, of_all: f64) -> f64 {
        of_all / self.orders as f64
    }

    /// The total time of all statements.
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
    /// The rates in the order in which they were tried.
    pub(crate) steps: Vec<Step>,
}

/// One rate that was tried.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The requested rate, in requests per second.
    pub(crate) rate: u32,
    /// The answers with 2xx, per second.
    pub(crate) answered_per_second: f64,
    /// The p99 of the slowest of the three streams, timed from the moment at which each request was due.
    pub(crate) p99_ms: f64,
    pub(crate) failures: u64,
    /// Why the rate is not good enough; `None` if it is.
    pub(crate) refused: Option<String>,
    /// The busy processors during this step, by process.
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

    /// The seconds of a request name; an empty name gives those of all requests.
    pub(crate) fn moments<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Moment> {
        self.history
            .iter()
            .filter(move |moment| moment.name == name)
    }
}

impl StageResult {
    /// The highest rate that was good enough, in requests per second.
    pub(crate) fn highest_rate(&self) -> Option<u32> {
        Some(self.saturation.as_ref()?.best()?.rate)
    }

    /// The SQL statements per request, over the whole load.
    pub(crate) fn statements_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.statements)
    }

    /// The rows that MariaDB read per request.
    pub(crate) fn rows_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.rows_read)
    }

    /// The Redis commands per request.
    pub(crate) fn redis_per_request(&self) -> Option<f64> {
        self.per_request(|sample| sample.redis_commands)
    }

    /// The SQL statements of the component `orders` per order.
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

    /// The mean number of busy processors during the load, by process, busiest first.
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
