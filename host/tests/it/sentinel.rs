//! Redis behind Sentinel: the primary is found by name, and followed when another takes over.

use std::net::TcpListener;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use testbed::{HostOptions, Process, RedisOptions, RedisServer, Store, start_program};

use crate::support::{Shop, empty_store, eventually, options, refuses};

const SELLERS: &str = "/orders/reports/best-sellers";

/// The name that the Sentinel watches.
const NAME: &str = "store-cache";

/// A Sentinel, and the server that is the primary first; the store's own is its replica.
struct Watched {
    store: Store,
    first: RedisServer,
    _sentinel: Process,
    port: u16,
}

impl Watched {
    async fn start() -> Self {
        let store = empty_store().await;
        let first = RedisServer::start(RedisOptions {
            folder: store.folder().join("first"),
            log: store.folder().join("first.log"),
            without: &[],
            clustered: false,
        })
        .await
        .unwrap();
        let mut own = store.redis().await.unwrap();
        let port = first.port().to_string();
        command(&mut own, &["REPLICAOF", "127.0.0.1", &port]).await;
        eventually("the replica is in step", async || {
            info(&mut own).await.contains("master_link_status:up")
        })
        .await;
        let (sentinel, port) = sentinel(&store, first.port());
        let watched = Self {
            store,
            first,
            _sentinel: sentinel,
            port,
        };
        eventually("the Sentinel knows the replica", async || {
            let known = watched.ask(&["SENTINEL", "MASTER", NAME]).await;
            let known = known.unwrap_or_default();
            let count = known.iter().position(|field| field == "num-slaves");
            count.is_some_and(|at| known[at + 1] == "1")
        })
        .await;
        watched
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the Sentinel answers.
    async fn ask(&self, words: &[&str]) -> redis::RedisResult<Vec<String>> {
        let client = redis::Client::open(format!("redis://{}", self.address()))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut connection).await
    }
}

fn sentinel(store: &Store, primary: u16) -> (Process, u16) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = store.folder().join("sentinel");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("sentinel.conf");
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {NAME} 127.0.0.1 {primary} 1\n\
         sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 4000\n",
        folder.display()
    );
    std::fs::write(&file, settings).unwrap();
    let args = [file.display().to_string(), "--sentinel".to_owned()];
    let log = folder.join("log");
    let process = start_program("Sentinel", "redis-server", &args, &log).unwrap();
    (process, port)
}

async fn command(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).exec_async(redis).await.unwrap();
}

async fn info(redis: &mut MultiplexedConnection) -> String {
    let mut command = redis::cmd("INFO");
    command.arg("replication").query_async(redis).await.unwrap()
}

/// A host that asks this Sentinel, and one that is not there.
fn watched_options(address: &str) -> HostOptions {
    let dead = "127.0.0.1:1";
    options()
        .variable("redis_address", NAME)
        .arg("--redis-sentinel")
        .arg(format!("{dead},{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_and_nothing_kept_near_is_old() {
    let watched = Watched::start().await;
    let options = watched_options(&watched.address());
    let Watched { store, first, .. } = &watched;
    let mut own = store.redis().await.unwrap();
    let host = store.host(options).await.unwrap();
    let url = |path: &str| host.url(path);
    let client = reqwest::Client::new();
    let report = async || {
        let answer = client.get(url(SELLERS)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<serde_json::Value>().await.unwrap()
    };
    eventually("the first has the report", async || {
        let client = redis::Client::open(first.url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let mut get = redis::cmd("EXISTS");
        let key = "report:best-sellers";
        get.arg(key).query_async(&mut redis).await.unwrap_or(false)
    })
    .await;
    assert_eq!(report().await, json!([]));

    // The old one lives on, and answers those who still speak to it.
    watched.ask(&["SENTINEL", "FAILOVER", NAME]).await.ok();
    eventually("the store's own Redis is the primary", async || {
        info(&mut own).await.contains("role:master")
    })
    .await;
    eventually("the host went with it", async || {
        host.log().contains("no longer at") || clients_of_hosts(&mut own).await > 0
    })
    .await;
    eventually("a refresh reached it", async || {
        let mut epoch = redis::cmd("EXISTS");
        epoch.arg("cache:state");
        epoch.query_async(&mut own).await.unwrap_or(false)
    })
    .await;
    // What the new one is told shows, whatever was kept of the old one.
    for product in 1..=5 {
        let body = json!([{"product_id": product, "quantity_sold": 1}]).to_string();
        command(
            &mut own,
            &["SET", "report:best-sellers", &body, "EX", "7200"],
        )
        .await;
        eventually("what changed shows", async || {
            report().await[0]["product_id"] == product || report().await == json!([])
        })
        .await;
    }
}

/// How many connections of hosts the server has.
async fn clients_of_hosts(redis: &mut MultiplexedConnection) -> usize {
    let mut list = redis::cmd("CLIENT");
    let list: String = list.arg("LIST").query_async(redis).await.unwrap();
    list.lines().filter(|line| line.contains("resp=3")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_is_replaced_and_orders_go_on() {
    let mut watched = Watched::start().await;
    let options = watched_options(&watched.address());
    let host = watched.store.host(options).await.unwrap();
    watched.first.stop().await.unwrap();
    let client = reqwest::Client::new();
    let user = json!({"name": "Ada", "email": "ada@example.com"});
    let post = client
        .post(host.url("/users"))
        .json(&user)
        .send()
        .await
        .unwrap();
    assert_eq!(post.status(), 201, "Redis is a cache");
    let mut own = watched.store.redis().await.unwrap();
    eventually("the replica takes over", async || {
        info(&mut own).await.contains("role:master")
    })
    .await;
    eventually("the reports are there", async || {
        let mut keys = redis::cmd("EXISTS");
        keys.arg("report:best-sellers")
            .arg("report:highest-spenders");
        keys.query_async(&mut own).await.unwrap_or(0) == 2
    })
    .await;
    let audit = async || watched.store.verify().await.unwrap().is_clean();
    eventually("everything is consistent", audit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_sentinel_watches_is_told() {
    let watched = Watched::start().await;
    let options = watched_options(&watched.address()).variable("redis_address", "stranger");
    let said = ["`stranger`", &watched.address(), "SENTINEL MASTERS"];
    refuses(&watched.store, options.clone(), 1, &said).await;
    refuses(&watched.store, options.arg("--allow-unreachable"), 1, &said).await;

    let nobody = crate::support::options().variable("redis_address", NAME);
    let nobody = nobody.arg("--redis-sentinel").arg("127.0.0.1:1");
    let said = ["no Sentinel answers at 127.0.0.1:1", "--allow-unreachable"];
    refuses(&watched.store, nobody.clone(), 1, &said).await;
    let shop = Shop::on(watched.store, nobody.arg("--allow-unreachable")).await;
    shop.user(1).await;
    tokio::time::timeout(Duration::from_secs(20), shop.get(SELLERS))
        .await
        .unwrap()
        .expect(200);
}
