//! The real store behind the proxy: hosts with the components, on MariaDB and Redis.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mysql_async::prelude::Queryable;
use testbed::{DataStore, Host, HostOptions};

use crate::support::{
    Client, Load, Message, Rig, binary, eventually_some, get, group, request, server_at,
};

/// Products that orders are spread over, so that they seldom wait for one another's stock row.
const PRODUCTS: usize = 40;

/// A store with several hosts that can be killed and started again.
pub(crate) struct Shop {
    // Before the store, whose servers they need.
    pub(crate) hosts: Vec<Host>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) store: DataStore,
}

/// What an order of a load is: its number is its quantity, so that the database tells how often it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Keyed(usize),
    Plain(usize),
}

/// The program beside ours. Cargo builds it with the workspace's tests, and not with ours alone.
pub(crate) fn host_binary() -> PathBuf {
    let path = binary().with_file_name("store-host");
    assert!(path.exists(), "build it first: cargo build -p store-host");
    path
}

pub(crate) fn host_options() -> HostOptions {
    let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spin.toml");
    HostOptions::new(host_binary(), app)
        .variable("report_refresh_seconds", "1")
        // On a busy machine, the database may take longer than the usual two seconds.
        .arg("--mysql-pool-wait=20s")
}

/// The same with these environment variables.
pub(crate) fn host_options_with(env: &[(&str, &str)]) -> HostOptions {
    env.iter().fold(host_options(), |options, (name, value)| {
        options.env(name, value)
    })
}

/// Where a host serves.
pub(crate) fn address(host: &Host) -> SocketAddr {
    host.url("").trim_start_matches("http://").parse().unwrap()
}

/// A store with tables, no rows and no host.
pub(crate) async fn empty_store() -> DataStore {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    store.migrate(host_binary()).unwrap();
    store
}

impl Shop {
    pub(crate) async fn open(hosts: usize) -> Self {
        Self::with(hosts, host_options()).await
    }

    /// A shop with a user and [`PRODUCTS`] products.
    pub(crate) async fn with(count: usize, options: HostOptions) -> Self {
        let store = empty_store().await;
        let mut hosts = Vec::new();
        for _ in 0..count {
            hosts.push(store.host(options.clone()).await.unwrap());
        }
        let addresses = hosts.iter().map(address).collect();
        let shop = Self {
            hosts,
            addresses,
            store,
        };
        shop.fill().await;
        shop
    }

    async fn fill(&self) {
        let mut client = Client::connect(self.addresses[0]).await;
        let mut post = async |target: &str, body: String| {
            let answer = client.ask(request("POST", target, &[JSON], &body)).await;
            assert_eq!(answer.status(), 201, "{answer:?}");
        };
        post(
            "/users",
            "{\"name\":\"Ada\",\"email\":\"ada@example.com\"}".into(),
        )
        .await;
        for number in 1..=PRODUCTS {
            let body = format!("{{\"name\":\"Pen\",\"sku\":\"P-{number}\",\"price\":0.01}}");
            post("/products", body).await;
            post(
                "/stocks",
                format!("{{\"product_id\":{number},\"quantity\":1000}}"),
            )
            .await;
        }
    }

    /// A proxy before it. `keys` are those of its group.
    pub(crate) async fn proxy(&self, before: &str, keys: &str) -> Rig {
        let servers = self.addresses.iter().map(|a| server_at(*a, ""));
        let retry = "[retry]\nkeyed_posts = [\"/orders\"]\n";
        Rig::start(&format!(
            "{retry}{before}\n{}",
            group("shop", keys, servers)
        ))
        .await
    }

    /// Ends a host as a crash would.
    pub(crate) fn kill(&self, number: usize) {
        self.hosts[number].kill();
    }

    /// Starts a killed host again where its clients know it.
    pub(crate) async fn start_again(&mut self, number: usize) {
        let options = HostOptions {
            listen: self.addresses[number],
            ..host_options()
        };
        // Its port may serve as the near end of somebody's connection for a moment.
        let store = &self.store;
        self.hosts[number] = eventually_some("the host is back", async || {
            store.host(options.clone()).await.ok()
        })
        .await;
    }

    /// How often each order of a load was placed, by its number.
    pub(crate) async fn placed(&self) -> BTreeMap<usize, usize> {
        let mut mysql = self.store.mysql().await.unwrap();
        let rows: Vec<(usize, usize)> = mysql
            .query("SELECT quantity, COUNT(*) FROM order_items GROUP BY quantity")
            .await
            .unwrap();
        rows.into_iter().collect()
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// Reads, and orders with and without a key.
pub(crate) fn mixed(n: usize) -> (String, String) {
    let number = n + 1;
    let body = format!(
        "{{\"user_id\":1,\"items\":[{{\"product_id\":{},\"quantity\":{number}}}]}}",
        n % PRODUCTS + 1
    );
    let key = format!("key-{number}");
    match n % 6 {
        0 => (
            format!("keyed {number}"),
            request("POST", "/orders", &[JSON, ("idempotency-key", &key)], &body),
        ),
        1 => (
            format!("plain {number}"),
            request("POST", "/orders", &[JSON], &body),
        ),
        2 => ("get".into(), get("/orders/reports/best-sellers")),
        3 => ("get".into(), get("/health-check")),
        4 => ("get".into(), get(&format!("/stocks/{}", n % PRODUCTS + 1))),
        _ => (
            "get".into(),
            get(&format!("/products/{}", n % PRODUCTS + 1)),
        ),
    }
}

/// The order that a label of [`mixed`] stands for.
pub(crate) fn order(label: &str) -> Option<Order> {
    let (kind, number) = label.split_once(' ')?;
    let number = number.parse().unwrap();
    Some(match kind {
        "keyed" => Order::Keyed(number),
        _ => Order::Plain(number),
    })
}

/// Clients of [`mixed`] on a proxy.
pub(crate) fn load(rig: &Rig, clients: usize) -> Load {
    Load::paced(
        rig.address,
        clients,
        std::time::Duration::from_millis(2),
        mixed,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_the_proxy_is_the_same_store() {
    let shop = Shop::open(2).await;
    let rig = shop.proxy("", "").await;
    let headers = [JSON, ("idempotency-key", "one")];
    let body = "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":3}]}";
    let ask = async |bytes: String| -> Message { rig.ask(bytes).await };
    let first = ask(request("POST", "/orders", &headers, body)).await;
    assert_eq!(first.status(), 201);
    // By round robin, the second is the other host's.
    let second = ask(request("POST", "/orders", &headers, body)).await;
    assert_eq!(second.json(), first.json());
    let id = &first.json()["order_id"];
    assert_eq!(ask(get(&format!("/orders/{id}"))).await.status(), 200);
    assert_eq!(ask(get("/orders/99999999")).await.status(), 404);
    assert_eq!(
        ask(request("POST", "/orders", &[JSON], "{")).await.status(),
        400
    );
    assert_eq!(shop.placed().await[&3], 1);
}

/// A bound of groups that is no number makes the host log a line with the request's id.
#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_is_in_the_logs_of_proxy_and_host() {
    let options = host_options().variable("order_group_max_orders", "many");
    let shop = Shop::with(1, options).await;
    let rig = shop
        .proxy("[access_log]\npath = \"access.log\"\n", "")
        .await;
    let body = "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}";
    let given = [JSON, ("x-request-id", "given-7")];
    let given = rig.ask(request("POST", "/orders", &given, body)).await;
    let made = rig.ask(request("POST", "/orders", &[JSON], body)).await;
    for answer in [&given, &made] {
        assert_eq!(answer.status(), 503, "{answer:?}");
        let id = answer.header("x-request-id").unwrap();
        eventually_some("both logs have it", async || {
            let of_proxy = std::fs::read_to_string(rig.folder.join("access.log")).ok()?;
            (of_proxy.contains(id) && shop.hosts[0].log().contains(id)).then_some(())
        })
        .await;
    }
    assert_eq!(given.header("x-request-id"), Some("given-7"));
}
