//! Three members of a Galera cluster: one is written to, and the next when it dies or falls silent. While there is
//! none, reads go on.

use std::collections::BTreeSet;
use std::path::Path;

use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::{DataStore, Galera, Host, HostOptions, Purpose, Seat, Signal, new_folder};

use crate::members::{connect, make_user, readiness, writes_to};
use crate::support::{Shop, eventually, host_binary, options, order_body};

/// The database of [`Purpose::Keeping`] servers, which each has.
const DATABASE: &str = "store";

/// Three members, or `None` where Galera is not installed.
async fn cluster() -> Option<Galera> {
    if !Galera::is_installed() {
        eprintln!("skipped: it needs {}", Galera::NEEDED);
        return None;
    }
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "galera").unwrap();
    let seats = [const { Seat::LOOPBACK }; 3];
    let started = Galera::start(&folder, Purpose::Testing, seats).await;
    Some(started.unwrap())
}

/// A host of the store, which has its Redis elsewhere.
async fn host(cluster: &Galera, store: &DataStore) -> Host {
    store.host(options_of(cluster)).await.unwrap()
}

/// What such a host is started with.
fn options_of(cluster: &Galera) -> HostOptions {
    let first = &cluster.nodes()[0];
    let url = first.url(DATABASE);
    let password = url.split([':', '@']).nth(2).unwrap();
    options()
        .variable("mysql_address", &first.address())
        .variable("mysql_database", DATABASE)
        .variable("mysql_password", password)
        .arg("--mysql-members")
        .arg(cluster.members())
}

/// The e-mail addresses of all users, as one node has them; an error while it is not in step.
async fn users_at(cluster: &Galera, node: usize) -> mysql_async::Result<BTreeSet<String>> {
    let mut conn = connect(&cluster.nodes()[node], DATABASE).await;
    conn.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
    let users: Vec<String> = conn.query("SELECT email FROM users").await?;
    Ok(users.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_member_is_written_to_when_one_dies_or_falls_silent() {
    let Some(mut cluster) = cluster().await else {
        return;
    };
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let hosts = [host(&cluster, &store).await, host(&cluster, &store).await];
    let [first, second, third] = [0, 1, 2].map(|node| cluster.nodes()[node].address());
    for (number, host) in (0..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &first).await);
    }

    cluster.kill(0);
    for (number, host) in (2..).zip(&hosts) {
        make_user(host, number).await;
        eventually("it writes to the second", async || {
            writes_to(host, &second).await
        })
        .await;
    }
    // It joins again, and is no writer for that.
    cluster.join(&[0]).await.unwrap();
    for (number, host) in (4..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &second).await);
    }

    let silent = cluster.nodes()[1].process().unwrap();
    silent.signal(Signal::SIGSTOP).unwrap();
    for (number, host) in (6..).zip(&hosts) {
        make_user(host, number).await;
        let went_on = async || writes_to(host, &first).await || writes_to(host, &third).await;
        eventually("it writes elsewhere", went_on).await;
    }
    silent.signal(Signal::SIGCONT).unwrap();
    let expected: BTreeSet<String> = (0..8).map(|n| format!("member{n}@example.com")).collect();
    for node in 0..3 {
        eventually("all users are on each", async || {
            users_at(&cluster, node)
                .await
                .is_ok_and(|users| users == expected)
        })
        .await;
    }
}

/// How many reads of a component another member has answered.
async fn stale_reads(shop: &Shop, component: &str) -> f64 {
    let series = format!("store_mysql_stale_reads_total{{component=\"{component}\"}}");
    shop.metric(&series).await
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_no_member_takes_writes() {
    let Some(mut cluster) = cluster().await else {
        return;
    };
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let shop = Shop::on(store, options_of(&cluster)).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let placed = shop.order(user, product, 2).await.expect(201);
    let order = placed["order_id"].as_i64().unwrap();
    let path = format!("/orders/{order}");
    let shown = shop.get(&path).await.expect(200);
    // So that there is no writer once the first is gone.
    for node in &cluster.nodes()[1..] {
        let mut conn = connect(node, DATABASE).await;
        conn.query_drop("SET GLOBAL read_only = ON").await.unwrap();
    }
    // The host believes Redis for a moment yet, and Redis lacks the order. So the first reader may write it there.
    let mut redis = shop.store.redis().await.unwrap();
    let key = format!("order:{order}");
    assert_eq!(shop.get(&path).await.expect(200), shown);
    redis::cmd("DEL")
        .arg(&key)
        .exec_async(&mut redis)
        .await
        .unwrap();

    cluster.kill(0);
    assert_eq!(shop.get(&path).await.expect(200), shown);
    let items: Option<String> = redis::cmd("HGET")
        .arg(&key)
        .arg("items")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(items, None, "what may be stale was written to Redis");
    eventually("there is no writer", async || {
        assert_eq!(shop.get(&path).await.expect(200), shown);
        readiness(&shop.host).await == 503
    })
    .await;
    shop.post("/orders", &order_body(user, product, 1))
        .await
        .expect(503);
    let query = json!({"query": format!("{{ stockLevel(productId: \"{product}\") }}")});
    eventually("others answer all reads", async || {
        assert_eq!(shop.get(&path).await.expect(200), shown);
        assert_eq!(shop.stock(product).await, 7);
        let answer = shop.post("/stocks/graphql-query", &query).await.expect(200);
        assert_eq!(answer["data"]["stockLevel"], 7);
        stale_reads(&shop, "orders").await > 0.0 && stale_reads(&shop, "stocks").await > 1.0
    })
    .await;
    assert!(shop.host.log().contains("reads that may be stale go to"));

    let mut conn = connect(&cluster.nodes()[1], DATABASE).await;
    conn.query_drop("SET GLOBAL read_only = OFF").await.unwrap();
    eventually("there is a writer", async || {
        readiness(&shop.host).await == 200
    })
    .await;
    shop.order(user, product, 1).await.expect(201);
    assert_eq!(shop.stock(product).await, 6);
    assert!(
        shop.host
            .log()
            .contains("All reads go to the MySQL writer again")
    );
}
