//! Redis Cluster: all keys of the store are in one slot, whose primary is found, and followed when another takes over.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{DataStore, HostOptions, RedisCluster, RedisOptions, RedisServer, Signal, free_port};

use crate::backends::backend_shop_on;
use crate::operator::bare_store;
use crate::support::{Shop, empty_store, eventually, options, refuses};

const SELLERS: &str = "/orders/reports/best-sellers";
const HITS: &str = "store_redis_near_cache_reads_total{component=\"reports\",outcome=\"hit\"}";

/// How long Redis tries to carry out a `CLUSTER FAILOVER`.
const FAILOVER_LIMIT: Duration = Duration::from_secs(5);

/// What keys begin with here.
pub(crate) const PREFIX: &str = "{store}:";

pub(crate) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// A store that does not use its own Redis, and the cluster that it uses.
pub(crate) async fn clustered() -> (DataStore, RedisCluster) {
    let store = empty_store().await;
    let cluster = RedisCluster::start(store.folder()).await.unwrap();
    (store, cluster)
}

/// A host that knows all nodes, and one that is not there.
pub(crate) fn with_cluster(cluster: &RedisCluster) -> HostOptions {
    with_nodes(&format!("127.0.0.1:1,{}", cluster.addresses()))
}

/// A host that knows these nodes.
fn with_nodes(nodes: &str) -> HostOptions {
    options()
        .variable("redis_address", "store-cache:6379")
        .variable("redis_key_prefix", PREFIX)
        .arg("--redis-cluster")
        .arg(nodes)
}

/// A cluster, and a shop whose component sends it whatever a test writes down.
async fn commanded() -> (Shop, RedisCluster) {
    let store = bare_store().await;
    let cluster = RedisCluster::start(store.folder()).await.unwrap();
    let nodes = cluster.addresses();
    let shop = backend_shop_on(store, "", |options| {
        options.arg("--redis-cluster").arg(&nodes)
    })
    .await;
    (shop, cluster)
}

/// An expression in Lua that makes this error. The test component takes words apart at each space, so there is none.
fn lua_error(text: &str) -> String {
    format!("redis.error_reply('{}')", text.replace(' ', "\\032"))
}

/// Whether the node that holds the store's slot has a key.
async fn is_there(cluster: &RedisCluster, name: &str) -> bool {
    let key = key(name);
    let Some(holder) = cluster.holder(&key).await else {
        return false;
    };
    cluster.ask::<u8>(holder, &["EXISTS", &key]).await.unwrap() == 1
}

/// How many pieces of the best seller the report says were sold.
async fn sold(shop: &Shop) -> Option<i64> {
    let report = shop.get(SELLERS).await.expect(200);
    report[0]["quantity_sold"].as_i64()
}

/// Orders one piece, and reads the order and what is left.
pub(crate) async fn order(shop: &Shop, user: i64, product: i64, left: &mut i64) -> i64 {
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    *left -= 1;
    assert_eq!(shop.stock(product).await, *left);
    let order = order.as_i64().unwrap();
    let read = shop.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(read["items"][0]["quantity"], 1, "{read}");
    assert_eq!(shop.stock(product).await, *left);
    order
}

/// Orders until the cache serves again what was ordered.
pub(crate) async fn cache_is_used(
    cluster: &RedisCluster,
    shop: &Shop,
    user: i64,
    product: i64,
    left: &mut i64,
) {
    eventually("orders are cached", async || {
        let order = order(shop, user, product, left).await;
        is_there(cluster, &format!("order:{order}")).await
    })
    .await;
}

/// Has the partner of the node that serves `key` take over, and does something else until it has. Returns the partner's
/// number.
async fn partner_takes_over(
    cluster: &RedisCluster,
    key: &str,
    mut meanwhile: impl AsyncFnMut(),
) -> usize {
    let holder = cluster.holder(key).await.unwrap();
    let partner = cluster.partner(holder);
    let mut asked: Option<Instant> = None;
    eventually("the partner takes over", async || {
        // Redis gives an attempt up that a slow node delays. Asked earlier, it would begin anew each time.
        if asked.is_none_or(|asked| asked.elapsed() > FAILOVER_LIMIT) {
            _ = cluster.ask::<()>(partner, &["CLUSTER", "FAILOVER"]).await;
            asked = Some(Instant::now());
        }
        meanwhile().await;
        cluster.holder(key).await == Some(partner)
    })
    .await;
    partner
}

/// The slot of the store's keys moves to the replica of the primary that holds it, while orders are placed. Returns the
/// new primary's number.
pub(crate) async fn replica_takes_over(
    cluster: &RedisCluster,
    shop: &Shop,
    user: i64,
    product: i64,
    left: &mut i64,
) -> usize {
    let replica = partner_takes_over(cluster, PREFIX, async || {
        order(shop, user, product, left).await;
    })
    .await;
    cache_is_used(cluster, shop, user, product, left).await;
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_works_with_all_its_keys_in_one_slot() {
    let (store, cluster) = clustered().await;
    let shop = Shop::on(store, with_cluster(&cluster)).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    for _ in 0..3 {
        order(&shop, user, product, &mut left).await;
        eventually("the report follows", async || {
            sold(&shop).await == Some(1000 - left)
        })
        .await;
    }
    eventually("the report is read from memory", async || {
        sold(&shop).await;
        shop.metric(HITS).await > 0.0
    })
    .await;
    for node in 0..cluster.nodes.len() {
        let keys: Vec<String> = cluster.ask(node, &["KEYS", "*"]).await.unwrap();
        let others: Vec<_> = keys.iter().filter(|key| !key.starts_with(PREFIX)).collect();
        assert!(others.is_empty(), "{others:?}");
    }
    let mut own = shop.store.redis().await.unwrap();
    let size = redis::cmd("DBSIZE").query_async::<u64>(&mut own).await;
    assert_eq!(size.unwrap(), 0, "the address leads nowhere by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_is_replaced_and_nothing_old_shows() {
    let (store, mut cluster) = clustered().await;
    let shop = Shop::on(store, with_cluster(&cluster)).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    let holder = cluster.holder(PREFIX).await.unwrap();
    cluster.nodes[holder].kill();
    eventually("the replica takes over", async || {
        order(&shop, user, product, &mut left).await;
        cluster.holder(PREFIX).await == Some(cluster.partner(holder))
    })
    .await;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    eventually("the report follows", async || {
        sold(&shop).await == Some(1000 - left)
    })
    .await;
}

/// The nodes that hosts name are no primaries of the store's slot, and fall silent: that is no reason to leave the
/// primary, even if it was in doubt meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_used_while_no_named_node_answers() {
    let (store, cluster) = clustered().await;
    let holder = cluster.holder(PREFIX).await.unwrap();
    let named = [(holder + 1) % 3 + 3, (holder + 2) % 3 + 3];
    let addresses = named.map(|node| cluster.nodes[node].address());
    let options = with_nodes(&addresses.join(","))
        .arg("--redis-response-timeout")
        .arg("300ms");
    let shop = Shop::on(store, options).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;

    for node in named {
        let process = cluster.nodes[node].process().unwrap();
        process.signal(Signal::SIGSTOP).unwrap();
    }
    let errors = "store_redis_errors_total{component=\"orders\"}";
    let before = shop.metric(errors).await;
    let pause = ["CLIENT", "PAUSE", "2000", "ALL"];
    cluster.ask::<()>(holder, &pause).await.unwrap();
    eventually("the primary is in doubt", async || {
        let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
        left -= 1;
        shop.get(&format!("/orders/{order}")).await.expect(200);
        shop.metric(errors).await > before
    })
    .await;
    for _ in 0..3 {
        cache_is_used(&cluster, &shop, user, product, &mut left).await;
    }
    eventually("the report follows", async || {
        sold(&shop).await == Some(1000 - left)
    })
    .await;
}

/// The old primary lives on, as a replica that sends everybody to the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_is_followed_and_no_request_fails() {
    let (store, cluster) = clustered().await;
    let options = with_cluster(&cluster).variable("report_refresh_seconds", "3600");
    let shop = Shop::on(store, options).await;
    shop.refreshed().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    sold(&shop).await;
    let after = replica_takes_over(&cluster, &shop, user, product, &mut left).await;
    // What the new primary is told shows, whatever was kept of the old one, and then of the new one.
    for product in 1..=3 {
        let body = json!([{"product_id": product, "quantity_sold": product}]).to_string();
        let words = ["SET", &key("report:best-sellers"), &body, "EX", "7200"];
        cluster.ask::<()>(after, &words).await.unwrap();
        eventually("what changed shows", async || {
            sold(&shop).await == Some(product)
        })
        .await;
    }
    let log = shop.host.log();
    assert!(!log.to_lowercase().contains("moved:"), "{log}");
    eventually("the host knows that the slot moved", async || {
        let log = shop.host.log();
        log.contains("slots have moved") && log.contains(&cluster.nodes[after].address())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_to_the_primary_of_their_key() {
    let (shop, cluster) = commanded().await;
    // Their slots are 5061, 7365 and 12182: one on each.
    for key in ["bar", "c", "foo"] {
        let steps = format!("REDIS\ncommand SET {key} {key}\ncommand GET {key}");
        assert_eq!(shop.last(&steps).await, key);
        let holder = cluster.holder(key).await.unwrap();
        let value: String = cluster.ask(holder, &["GET", key]).await.unwrap();
        assert_eq!(value, key);
    }
    assert_eq!(shop.last("REDIS\ncommand PING").await, "PONG");
    let answer = shop.last("REDIS\ncommand MGET foo bar").await;
    assert!(answer.contains("the same text in braces"), "{answer}");
    let answer = shop.last("REDIS\ncommand SCAN 0").await;
    assert!(answer.contains("this command sees one"), "{answer}");
    let answer = shop.last("REDIS\ncommand SCRIPT LOAD return").await;
    assert!(answer.contains("use EVAL with the key"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_answered_by_another_primary_than_before() {
    let (shop, cluster) = commanded().await;
    let failed_over = async {
        partner_takes_over(&cluster, "foo", async || {}).await;
        eventually("the host follows", async || {
            shop.last("REDIS\ncommand GET foo").await == "v"
        })
        .await;
    };
    let [before, after] = shop.around("foo", failed_over).await;
    assert!(before.starts_with("error"), "{before}");
    assert_eq!(after, "v");
}

/// Redis passes on the errors that a script makes, as if they were its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_script_can_not_make_the_host_connect_to_a_server_of_its_choice() {
    let (shop, _cluster) = commanded().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let stranger = listener.local_addr().unwrap().to_string();
    // The slot of `foo` is 12182.
    for slot in [12_182, 1] {
        let error = lua_error(&format!("MOVED {slot} {stranger}"));
        for script in [format!("return\t{error}"), format!("return{{{error}}}")] {
            for keys in ["1 foo", "0"] {
                let command = format!("REDIS\ncommand EVAL {script} {keys}");
                let answer = shop.last(&command).await;
                assert!(answer.starts_with("error"), "{command}: {answer}");
                assert!(answer.contains(&stranger), "{command}: {answer}");
            }
        }
    }
    let accepted = listener.accept().map(|(_, from)| from);
    let nobody = accepted.expect_err("the host connected to the stranger");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "{nobody}");
    assert_eq!(shop.last("REDIS\ncommand SET foo bar").await, "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_makes_an_error_of_a_cluster_is_executed_once() {
    let (shop, cluster) = commanded().await;
    // The slot of `foo` is 12182.
    let holder = cluster.holder("foo").await.unwrap();
    let moved_to = |node: usize| format!("MOVED 12182 {}", cluster.nodes[node].address());
    for error in [
        "READONLY x".to_owned(),
        "MASTERDOWN x".to_owned(),
        "CLUSTERDOWN x".to_owned(),
        "MOVED 12182 127.0.0.1:1".to_owned(),
        "MOVED 12182 :1".to_owned(),
        moved_to(holder),
        moved_to((holder + 1) % 3),
        moved_to(cluster.partner(holder)),
    ] {
        let script = format!("redis.call('INCR',KEYS[1])return\t{}", lua_error(&error));
        // Over a connection that no server has answered yet, a command may be sent again.
        let steps = format!("REDIS\ncommand DEL foo\nREDIS\ncommand EVAL {script} 1 foo");
        let answer = shop.last(&steps).await;
        assert!(answer.starts_with("error"), "{error}: {answer}");
        let counted = shop.last("REDIS\ncommand GET foo").await;
        assert_eq!(counted, "1", "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_settings_are_told_at_start() {
    let store = empty_store().await;
    let named = |nodes: &str| {
        let options = options().variable("redis_key_prefix", PREFIX);
        options.arg("--redis-cluster").arg(nodes)
    };

    let own = store.redis_server.address();
    let said = ["belongs to no Redis Cluster", &own, "cluster-enabled yes"];
    refuses(&store, named(&own), 2, &said).await;
    refuses(&store, named(&own).arg("--allow-unreachable"), 2, &said).await;

    let without_tag = named(&own).variable("redis_key_prefix", "store:");
    let said = ["redis_key_prefix", "--redis-cluster", "`{store}:`"];
    refuses(&store, without_tag, 2, &said).await;
    let spaced = options().variable("redis_key_prefix", "a b");
    let said = ["redis_key_prefix", "visible ASCII characters"];
    refuses(&store, spaced, 2, &said).await;

    let both = named(&own).arg("--redis-sentinel").arg("127.0.0.1:1");
    let said = ["--redis-cluster", "cannot be used with", "--redis-sentinel"];
    refuses(&store, both, 2, &said).await;
    let said = ["--redis-cluster", "is not host:port"];
    refuses(&store, named("nonsense"), 2, &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_away_or_down_is_told_and_the_store_works_without() {
    let store = empty_store().await;
    let named = |nodes: &str| {
        let options = options().variable("redis_key_prefix", PREFIX);
        options.arg("--redis-cluster").arg(nodes)
    };
    let said = [
        "no node of the Redis Cluster at 127.0.0.1:1 says",
        "--allow-unreachable",
    ];
    refuses(&store, named("127.0.0.1:1"), 1, &said).await;

    // A node by itself, without any slot.
    let node = RedisOptions {
        cluster_port: Some(free_port().unwrap()),
        ..RedisOptions::new(store.folder().join("node"), store.folder().join("node.log"))
    };
    let node = RedisServer::start(node).await.unwrap();
    let address = node.address();
    let said = [&address, "it is down", "redis-cli --cluster check"];
    refuses(&store, named(&address), 1, &said).await;

    let shop = Shop::on(store, named(&address).arg("--allow-unreachable")).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    assert_eq!(shop.stock(product).await, 4);
    eventually("the report shows it", async || sold(&shop).await == Some(1)).await;
}
