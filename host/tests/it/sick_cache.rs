//! A Redis that refuses writes, is slow, full, cut off, replaced or behind: no answer for orders and stock is older than
//! MySQL's.

use std::time::Duration;

use mysql_async::prelude::Queryable;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use testbed::{Host, RedisOptions, RedisServer, connect_redis};

use crate::mysql_relay::mysql_address;
use crate::other_host::first_refresh;
use crate::relay::Relay;
use crate::support::{Shop, eventually, options, send};

/// Refreshes come too late to mend anything.
fn without_refresh() -> testbed::HostOptions {
    options().variable("report_refresh_seconds", "3600")
}

async fn command(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    let outcome = command.arg(&words[1..]).exec_async(redis).await;
    outcome.unwrap_or_else(|error| panic!("{words:?}: {error}"));
}

fn redis_address(store: &testbed::DataStore) -> String {
    format!("127.0.0.1:{}", store.redis_server.port())
}

async fn get(shop: &Shop, host: &Host, path: &str) -> (u16, Value) {
    let answer = send(shop.client.get(host.url(path))).await;
    (answer.status.as_u16(), answer.json())
}

/// Returns once the stock is read from Redis, not from MySQL.
async fn is_cached(shop: &Shop, product: i64) {
    let mut redis = shop.store.redis().await.unwrap();
    eventually("the stock is cached", async || {
        let quantity = shop.stock(product).await;
        let command = &mut redis::cmd("HMGET");
        command.arg(format!("stock:{product}"));
        let command = command.arg("quantity").arg("turn");
        // It is an error as long as the key has another type.
        let found = command.query_async(&mut redis).await;
        found.is_ok_and(|found: (Option<i64>, Option<String>)| found == (Some(quantity), None))
    })
    .await;
}

/// A replica of the store's Redis, from then on a server of its own.
async fn replica(shop: &Shop, scene: &Scene) -> RedisServer {
    let replica = RedisServer::start(RedisOptions::new(
        shop.store.folder().join("replica"),
        shop.store.folder().join("replica.log"),
    ))
    .await
    .unwrap();
    let mut redis = connect_redis(&replica.url()).await.unwrap();
    let port = shop.store.redis_server.port().to_string();
    command(&mut redis, &["REPLICAOF", "127.0.0.1", &port]).await;
    eventually("the replica has the order", async || {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(format!("order:{}", scene.orders[0]));
        exists.query_async(&mut redis).await.unwrap_or(false)
    })
    .await;
    command(&mut redis, &["REPLICAOF", "NO", "ONE"]).await;
    replica
}

/// Two orders of five pieces, both cached.
struct Scene {
    user: i64,
    product: i64,
    orders: [i64; 2],
}

impl Scene {
    async fn set(shop: &Shop) -> Self {
        let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
        let mut orders = [0; 2];
        for order in &mut orders {
            let placed = shop.order(user, product, 1).await.expect(201);
            *order = placed["order_id"].as_i64().unwrap();
            shop.get(&format!("/orders/{order}")).await.expect(200);
        }
        is_cached(shop, product).await;
        assert_eq!(shop.stock(product).await, 3);
        Self {
            user,
            product,
            orders,
        }
    }

    /// Deletes the first order, places another, and checks each time what is read from each host.
    async fn act(&self, shop: &Shop, hosts: &[&Host]) {
        let [deleted, kept] = self.orders.map(|order| format!("/orders/{order}"));
        let stock = format!("/stocks/{}", self.product);
        shop.delete(&deleted).await.expect(200);
        for host in hosts {
            assert_eq!(get(shop, host, &deleted).await.0, 404);
            assert_eq!(get(shop, host, &kept).await.0, 200);
            assert_eq!(get(shop, host, &stock).await.1["quantity"], 4);
        }
        shop.order(self.user, self.product, 3).await.expect(201);
        for host in hosts {
            assert_eq!(get(shop, host, &stock).await.1["quantity"], 1);
        }
    }

    async fn check(&self, shop: &Shop, host: &Host) {
        let deleted = format!("/orders/{}", self.orders[0]);
        let stock = format!("/stocks/{}", self.product);
        assert_eq!(get(shop, host, &deleted).await.0, 404);
        assert_eq!(get(shop, host, &stock).await.1["quantity"], 1);
    }
}

/// Makes Redis sick, acts, makes it well, and reads once more at once.
async fn through(sick: &[&[&str]], well: &[&[&str]]) {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let mut redis = shop.store.redis().await.unwrap();
    for words in sick {
        command(&mut redis, words).await;
    }
    scene.act(&shop, &[&shop.host]).await;
    for words in well {
        command(&mut redis, words).await;
    }
    for _ in 0..20 {
        scene.check(&shop, &shop.host).await;
    }
    is_cached(&shop, scene.product).await;
    scene.check(&shop, &shop.host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_redis_shows_nothing_old() {
    through(
        &[&["REPLICAOF", "127.0.0.1", "1"]],
        &[&["REPLICAOF", "NO", "ONE"]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_replicas_shows_nothing_old() {
    through(
        &[&["CONFIG", "SET", "min-replicas-to-write", "1"]],
        &[&["CONFIG", "SET", "min-replicas-to-write", "0"]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_shows_nothing_old() {
    through(
        &[&["CONFIG", "SET", "maxmemory", "1"]],
        &[&["CONFIG", "SET", "maxmemory", "0"]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_redis_shows_nothing_old() {
    through(&[&["CLIENT", "PAUSE", "3000", "ALL"]], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_can_not_save_shows_nothing_old() {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let mut redis = shop.store.redis().await.unwrap();
    // It writes its file in a folder that is gone.
    std::fs::remove_dir_all(shop.store.folder().join("redis")).unwrap();
    command(&mut redis, &["CONFIG", "SET", "save", "3600 1"]).await;
    command(&mut redis, &["BGSAVE"]).await;
    eventually("Redis refuses writes", async || {
        let mut write = redis::cmd("SET");
        let refused = write.arg(&["x", "1"]).exec_async(&mut redis).await;
        refused.is_err_and(|error| error.to_string().contains("MISCONF"))
    })
    .await;
    scene.act(&shop, &[&shop.host]).await;
    command(&mut redis, &["CONFIG", "SET", "save", ""]).await;
    for _ in 0..20 {
        scene.check(&shop, &shop.host).await;
    }
}

/// One host is cut off from Redis, and the other reads there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_without_redis_changes_is_seen_by_all() {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let relay = Relay::to(&redis_address(&shop.store)).await;
    let cut = without_refresh().variable("redis_address", relay.address());
    let cut = shop.store.host(cut).await.unwrap();
    relay.lead(None);
    let stock = format!("/stocks/{}", scene.product);
    let delete = shop
        .client
        .delete(cut.url(&format!("/orders/{}", scene.orders[0])));
    send(delete).await.expect(200);
    for host in [&shop.host, &cut] {
        assert_eq!(get(&shop, host, &stock).await.1["quantity"], 4);
    }
    let gone = format!("/orders/{}", scene.orders[0]);
    assert_eq!(get(&shop, &shop.host, &gone).await.0, 404);
}

/// A replica becomes the master that lacks the last writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_took_over_shows_nothing_old() {
    let store = crate::support::empty_store().await;
    let master = redis_address(&store);
    let relay = Relay::to(&master).await;
    let options = without_refresh().variable("redis_address", relay.address());
    let shop = Shop::on(store, options).await;
    let scene = Scene::set(&shop).await;
    let replica = replica(&shop, &scene).await;
    scene.act(&shop, &[&shop.host]).await;
    relay.lead(Some(&format!("127.0.0.1:{}", replica.port())));
    for _ in 0..20 {
        scene.check(&shop, &shop.host).await;
    }
    let another = shop.order(scene.user, scene.product, 1).await.expect(201);
    assert_eq!(shop.stock(scene.product).await, 0);
    let path = format!("/orders/{}", another["order_id"]);
    shop.get(&path).await.expect(200);
}

/// An instance asks the master which epoch it is in, then a replica that lacks the last writes takes over, and only then
/// does the instance send the script of that epoch. With it the replica would answer an instance that trusts the epoch.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_over_in_the_midst_of_a_look_shows_nothing_old() {
    let store = crate::support::empty_store().await;
    let redis = Relay::to(&redis_address(&store)).await;
    let mysql = Relay::to(&mysql_address(&store)).await;
    let options = without_refresh()
        .variable("redis_address", redis.address())
        .variable("mysql_address", mysql.address());
    let shop = Shop::on(store, options.clone()).await;
    let scene = Scene::set(&shop).await;
    let replica = replica(&shop, &scene).await;
    scene.act(&shop, &[&shop.host]).await;
    is_cached(&shop, scene.product).await;
    // Now no instance of `orders` knows the epoch.
    let shop = shop.restarted(&options).await;
    first_refresh(&shop.host).await;
    assert_eq!(shop.stock(scene.product).await, 1);
    // The next reader looks again, and its instance trusts the epoch for half a second: on a machine that takes longer,
    // this proves nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(shop.stock(scene.product).await, 1);

    mysql.hold("FROM cache_state s WHERE s.id = 1");
    let order = shop.host.url(&format!("/orders/{}", scene.orders[1]));
    let order = tokio::spawn(send(shop.client.get(order)));
    eventually("the instance of `orders` looks", async || mysql.holds()).await;
    redis
        .lead_to(&format!("127.0.0.1:{}", replica.port()))
        .await;
    mysql.release();
    order.await.unwrap().expect(200);
    for _ in 0..20 {
        scene.check(&shop, &shop.host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flushed_redis_is_filled_by_its_readers() {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let mut redis = shop.store.redis().await.unwrap();
    command(&mut redis, &["FLUSHALL"]).await;
    scene.act(&shop, &[&shop.host]).await;
    is_cached(&shop, scene.product).await;
    scene.check(&shop, &shop.host).await;
}

/// Orders are not kept for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_redis_holds_of_orders_and_stock_expires() {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let mut redis = shop.store.redis().await.unwrap();
    for key in [
        format!("order:{}", scene.orders[0]),
        format!("order:{}", scene.orders[1]),
        format!("stock:{}", scene.product),
    ] {
        let command = &mut redis::cmd("TTL");
        let left: i64 = command.arg(&key).query_async(&mut redis).await.unwrap();
        assert!((1..=600).contains(&left), "{key}: {left}");
    }
}

/// Whoever else uses the server may write one by mistake. It costs its own key, and not the trust in all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_type_gives_way() {
    let shop = Shop::with(without_refresh()).await;
    let scene = Scene::set(&shop).await;
    let mut redis = shop.store.redis().await.unwrap();
    let stock = format!("stock:{}", scene.product);
    command(&mut redis, &["SET", &stock, "x"]).await;
    is_cached(&shop, scene.product).await;
    command(&mut redis, &["SET", &stock, "x"]).await;
    shop.order(scene.user, scene.product, 1).await.expect(201);
    is_cached(&shop, scene.product).await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let doubts = "SELECT COUNT(*) FROM cache_doubts";
    let doubts: Option<u32> = mysql.query_first(doubts).await.unwrap();
    assert_eq!(doubts, Some(0));
}
