//! A shop to test: a store of its own, a host in front of it, and a client.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use testbed::{DataStore, Host, HostOptions};

/// Longest time for anything that is bound to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a component says of a failure on the store's side that may pass.
pub(crate) const UNAVAILABLE: &str = "the store is overloaded or a dependency is down; try again";

/// What the host says at a request's time limit.
pub(crate) const TOOK_TOO_LONG: &str = "the request took too long";

/// What the host says where it, or a component, has as many requests as it may have.
pub(crate) const TOO_MANY_REQUESTS: &str = "too many requests at once; try again shortly";

/// The same, of one client's requests.
pub(crate) const TOO_MANY_OF_YOURS: &str = "too many requests of yours at once; try again shortly";

/// A store, a host and a client.
pub(crate) struct Shop {
    pub(crate) store: DataStore,
    pub(crate) host: Host,
    pub(crate) client: Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// Checks the status and gives the body.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.json()
    }

    /// Checks that this is an error in the form of the contract, and gives its detail.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let body = self.json();
        assert_eq!(body["status"], status);
        assert_eq!(body["error"], body["detail"]);
        let request_id = self.headers["x-request-id"].to_str().unwrap();
        assert_eq!(body["instance"], format!("urn:request:{request_id}"));
        for member in ["type", "title"] {
            assert!(body[member].is_string(), "no {member} in {body}");
        }
        body["detail"].as_str().unwrap().to_owned()
    }
}

/// A host on free ports that refreshes once a second.
pub(crate) fn options() -> HostOptions {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml");
    HostOptions::new(host_binary(), app).variable("report_refresh_seconds", "1")
}

/// The same, but many requests at once may wait for a connection to MySQL for as long as a busy machine makes them.
pub(crate) fn patient() -> HostOptions {
    options().args(&["--mysql-pool-wait", "30s"])
}

/// The program under test.
pub(crate) fn host_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_store-host"))
}

/// A store with tables and no rows.
pub(crate) async fn empty_store() -> DataStore {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    store.migrate(host_binary()).unwrap();
    store
}

impl Shop {
    /// A shop with the usual settings.
    pub(crate) async fn open() -> Self {
        Self::with(options()).await
    }

    /// A shop whose host is started so.
    pub(crate) async fn with(options: HostOptions) -> Self {
        Self::on(empty_store().await, options).await
    }

    /// A shop on a store of the test's own.
    pub(crate) async fn on(store: DataStore, options: HostOptions) -> Self {
        let host = store.host(options).await.unwrap();
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            store,
            host,
            client,
        }
    }

    /// Stops the host, and starts another on the same store.
    pub(crate) async fn restarted(self, options: &HostOptions) -> Self {
        self.host.sigterm().unwrap();
        self.host.wait_exit(PATIENCE).await.unwrap();
        Self::on(self.store, options.clone()).await
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.host.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await
    }

    /// A user, by a number that makes its e-mail address.
    pub(crate) async fn user(&self, number: u32) -> i64 {
        let body = json!({"name": "Ada", "email": format!("ada{number}@example.com")});
        let user = self.post("/users", &body).await.expect(201);
        user["user_id"].as_i64().unwrap()
    }

    /// A product with its stock.
    pub(crate) async fn product(&self, price: f64, quantity: i64) -> i64 {
        let body = json!({"name": "Laptop", "sku": "LP-1", "price": price});
        let product = self.post("/products", &body).await.expect(201)["product_id"]
            .as_i64()
            .unwrap();
        let stock = json!({"product_id": product, "quantity": quantity});
        self.post("/stocks", &stock).await.expect(201);
        product
    }

    /// Orders `quantity` of one product.
    pub(crate) async fn order(&self, user: i64, product: i64, quantity: i64) -> Answer {
        self.post("/orders", &order_body(user, product, quantity))
            .await
    }

    /// What is left of a product.
    pub(crate) async fn stock(&self, product: i64) -> i64 {
        let stock = self.get(&format!("/stocks/{product}")).await.expect(200);
        stock["quantity"].as_i64().unwrap()
    }

    /// Locks the stock of a product, so that an order of it waits in the middle of its transaction.
    pub(crate) async fn hold_stock(&self, product: i64) -> Blocker {
        let mut mysql = self.store.mysql().await.unwrap();
        mysql.query_drop("BEGIN").await.unwrap();
        let lock = "SELECT * FROM stocks WHERE product_id = ? FOR UPDATE";
        mysql.exec_drop(lock, (product,)).await.unwrap();
        Blocker(mysql)
    }

    /// Has `requests` wait in the component at the same time, and answers them. An order of a product whose stock is locked
    /// comes first: who comes meanwhile gathers.
    pub(crate) async fn gathered(&self, requests: Vec<RequestBuilder>) -> Vec<Answer> {
        let gate = Gate::close(self).await;
        let count = requests.len();
        let requests: Vec<_> = requests
            .into_iter()
            .map(|request| tokio::spawn(send(request)))
            .collect();
        gate.wait_for(self, count).await;
        gate.open().await;
        let answers = futures::future::join_all(requests).await;
        answers.into_iter().map(Result::unwrap).collect()
    }

    /// Waits until everything that must be equal is.
    pub(crate) async fn assert_consistent(&self) {
        let started = Instant::now();
        loop {
            let audit = self.store.verify().await.unwrap();
            if audit.is_clean() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still different: {audit:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The value of a metric, by its name and labels as they are written; 0 if it isn't there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.scrape().await;
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until so many requests are in flight at a component.
    pub(crate) async fn wait_in_flight(&self, component: &str, count: usize) {
        let series = format!("store_requests_in_flight{{component=\"{component}\"}}");
        let what = format!("{count} requests are in flight at `{component}`");
        eventually(&what, async || self.metric(&series).await == count as f64).await;
    }

    /// Returns once the host has made the reports, as it does at its start.
    pub(crate) async fn refreshed(&self) {
        eventually("the refresh at start", async || {
            self.metric("store_refreshes_total{outcome=\"rebuilt\"}")
                .await
                > 0.0
        })
        .await;
    }

    /// All metrics.
    pub(crate) async fn scrape(&self) -> String {
        let request = self.client.get(self.host.admin_url("/metrics"));
        // A kept connection may be closed by the host at this moment.
        let response = request.header("connection", "close").send();
        response.await.unwrap().text().await.unwrap()
    }
}

/// An order that waits for its stock, and others behind it.
pub(crate) struct Gate {
    blocker: Blocker,
    first: tokio::task::JoinHandle<Answer>,
    since: Instant,
}

/// How long an order that waits holds up those behind it, before they pass it.
const HOLDS_OTHERS: Duration = Duration::from_secs(1);

impl Gate {
    pub(crate) async fn close(shop: &Shop) -> Self {
        let mut mysql = shop.store.mysql().await.unwrap();
        let user = "INSERT INTO users (name, email) VALUES ('Gate', UUID())";
        mysql.query_drop(user).await.unwrap();
        let user = mysql.last_insert_id().unwrap() as i64;
        let totals = "INSERT INTO user_totals (user_id) VALUES (?)";
        mysql.exec_drop(totals, (user,)).await.unwrap();
        let product = shop.product(1.0, 1).await;
        let blocker = shop.hold_stock(product).await;
        let body = order_body(user, product, 1);
        let since = Instant::now();
        let first = tokio::spawn(send(shop.request(Method::POST, "/orders").json(&body)));
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE db = DATABASE() AND info LIKE '%INTO stocks%' AND id <> CONNECTION_ID()";
        eventually("the first waits for its stock", async || {
            mysql.query_first(waiting).await.unwrap() == Some(1_u32)
        })
        .await;
        Self {
            blocker,
            first,
            since,
        }
    }

    /// Waits until so many requests wait for the gate. Not for long: a gate that does not open holds nobody up for ever.
    pub(crate) async fn wait_for(&self, shop: &Shop, requests: usize) {
        const IN_FLIGHT: &str = "store_requests_in_flight{component=\"orders\"}";
        for _ in 0..50 {
            if shop.metric(IN_FLIGHT).await > requests as f64 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // They are in the host, and not all in the component yet. Keys are looked up before they gather.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Returns whether none of those behind it can have passed it.
    pub(crate) async fn open(self) -> bool {
        self.blocker.release().await;
        let held_all = self.since.elapsed() < HOLDS_OTHERS;
        self.first.await.unwrap().expect(201);
        held_all
    }
}

/// Holds rows that others wait for.
pub(crate) struct Blocker(mysql_async::Conn);

impl Blocker {
    pub(crate) async fn release(mut self) {
        self.0.query_drop("ROLLBACK").await.unwrap();
    }
}

/// The body of an order of one product.
pub(crate) fn order_body(user: i64, product: i64, quantity: i64) -> Value {
    json!({"user_id": user, "items": [{"product_id": product, "quantity": quantity}]})
}

/// Sends a request and reads the answer.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    try_send(request).await.unwrap()
}

/// Sends a request that may break with its host.
pub(crate) async fn try_send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    Ok(Answer {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await?,
    })
}

/// The numbers from 1 to `count` as a table with the column `seq`, in SQL that MySQL and MariaDB understand. It ends with
/// a condition.
pub(crate) fn numbers_to(count: u64) -> String {
    let digits: Vec<String> = (0..=9)
        .map(|digit| format!("SELECT {digit} AS n"))
        .collect();
    let digits = digits.join(" UNION ALL ");
    let places = 0..=count.ilog10();
    let tables: Vec<String> = places
        .clone()
        .map(|place| format!("({digits}) AS d{place}"))
        .collect();
    let number: Vec<String> = places
        .map(|place| format!("d{place}.n * {}", 10_u64.pow(place)))
        .collect();
    format!(
        "(SELECT 1 + {} AS seq FROM {}) AS numbers WHERE seq <= {count}",
        number.join(" + "),
        tables.join(" CROSS JOIN ")
    )
}

/// Looks again until `holds`, for at most [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the host has logged a line with this text.
pub(crate) async fn wait_for_log(host: &Host, text: &str) {
    eventually(text, async || host.log().contains(text)).await;
}

/// Starts a host that must refuse, and checks its exit code and its one line.
pub(crate) async fn refuses(store: &DataStore, options: HostOptions, code: i32, parts: &[&str]) {
    let options = store.placed(options);
    let (status, said) = Host::run_to_end(&options, store.addresses(), Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(code), "{said}");
    let (reasons, others): (Vec<&str>, Vec<&str>) = said
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| line.starts_with("store-host: "));
    let [reason] = reasons[..] else {
        panic!("{} reasons instead of one: {said}", reasons.len());
    };
    for part in parts {
        assert!(reason.contains(part), "no `{part}` in {said}");
    }
    // Log lines of the start may come before or after it, and nothing else.
    let is_log_line = |line: &&str| LEVELS.iter().any(|level| line.contains(level));
    assert!(others.iter().all(is_log_line), "{said}");
}

/// The levels of log lines, as they stand in one.
const LEVELS: [&str; 3] = [" INFO ", " WARN ", "ERROR "];
