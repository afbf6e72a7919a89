//! Redis lends itself to data, and to nothing that others would feel.

use testbed::{RedisOptions, RedisServer, free_port};

use crate::backends::{backend_shop, backend_shop_on};
use crate::near::stat;
use crate::operator::bare_store;
use crate::support::{empty_store, eventually, options, refuses};

const REFUSED: &str = "store_outbound_refused_total{component=\"guest\",reason=\"command\"}";

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_switches_or_governs_is_refused_before_it_is_sent() {
    let shop = backend_shop("").await;
    assert_eq!(shop.metric(REFUSED).await, 0.0);
    let commands = [
        "BLPOP k 99999",
        "blmove a b LEFT LEFT 99999",
        "XREAD COUNT 1 BLOCK 0 STREAMS s 0",
        "SUBSCRIBE c",
        "MULTI",
        "SELECT 1",
        "WAIT 1 0",
        "CLIENT REPLY OFF",
        "MONITOR",
        "HELLO 3",
        "DEBUG SLEEP 9",
        "FLUSHALL",
        "SCRIPT KILL",
    ];
    for command in commands {
        let steps = format!("REDIS\ncommand {command}\ncommand SET k v\ncommand GET k");
        let answers = shop.steps(&steps).await;
        assert!(
            answers[1].contains("is not allowed"),
            "{command}: {answers:?}"
        );
        assert_eq!(answers[2..], ["OK", "v"], "{command}");
    }
    assert_eq!(shop.metric(REFUSED).await, commands.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_components_need_is_let_through() {
    let shop = backend_shop("").await;
    let answers = shop
        .steps(
            "REDIS\ncommand HSET h f 1 g 2\ncommand HGETALL h\ncommand PEXPIRE h 100000\ncommand EVAL return{ARGV[1],'b'} 0 a\n\
             command SCRIPT LOAD return(1)\ncommand MGET a b\ncommand SCAN 0 COUNT 1000\ncommand PUBLISH c m\ncommand UNLINK h",
        )
        .await;
    assert_eq!(answers[1..3], ["2", "f,1,g,2"]);
    assert_eq!(answers[3..5], ["1", "a,b"]);
    assert_eq!(answers[5].len(), 40);
    assert_eq!(answers[6..], ["nil,nil", "0,h", "0", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_leaves_no_connection_to_redis_behind() {
    let shop = backend_shop("").await;
    shop.steps("REDIS\ncommand SET k v").await;
    let mut redis = shop.store.redis().await.unwrap();
    let mut clients = async || {
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut redis)
            .await
            .unwrap();
        let mut ids: Vec<String> = list
            .lines()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    };
    let before = clients().await;
    shop.swap_in("second").await;
    assert_eq!(shop.last("REDIS\ncommand GET k").await, "v");
    shop.wait_freed("guest", 1).await;
    eventually(
        "the connection of the generation before is closed",
        async || {
            let now = clients().await;
            now.len() == before.len() && now != before
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_no_longer_takes_writes_is_looked_up_again() {
    let shop = backend_shop("").await;
    let mut redis = shop.store.redis().await.unwrap();
    shop.steps("REDIS\ncommand SET k v").await;
    let connections = "total_connections_received";
    let before = stat(&mut redis, connections).await;
    let replicate = |host: &'static str, port: &'static str| {
        let mut command = redis::cmd("REPLICAOF");
        command.arg(host).arg(port);
        command
    };
    replicate("127.0.0.1", "1")
        .exec_async(&mut redis)
        .await
        .unwrap();
    // Whether the command is the first over its connection or not.
    for steps in [
        "REDIS\ncommand SET k w",
        "REDIS\ncommand GET k\ncommand SET k w",
    ] {
        let answer = shop.last(steps).await;
        assert!(
            answer.contains("READONLY") || answer.contains("read only"),
            "{answer}"
        );
    }
    assert!(
        stat(&mut redis, connections).await > before,
        "the old connection was kept"
    );
    replicate("NO", "ONE").exec_async(&mut redis).await.unwrap();
    assert_eq!(
        shop.last("REDIS\ncommand SET k x\ncommand GET k").await,
        "x"
    );
}

/// All components' connections share one of the host, which opens it again, perhaps to another server.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_answered_by_another_server_than_before() {
    let shop = backend_shop("").await;
    let mut redis = shop.store.redis().await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .arg("SKIPME")
        .arg("yes");
    let killed = async {
        kill.exec_async(&mut redis).await.unwrap();
        eventually("the host has connected again", async || {
            shop.last("REDIS\ncommand GET k").await == "v"
        })
        .await;
    };
    let [before, after] = shop.around("k", killed).await;
    assert!(
        before.contains("this connection to Redis has ended"),
        "{before}"
    );
    assert_eq!(after, "v");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_by_variable() {
    let store = empty_store().await;
    let mut redis = store.redis().await.unwrap();
    for setting in [["requirepass", "s3cret@/%"], ["save", ""]] {
        let mut command = redis::cmd("CONFIG");
        command
            .arg("SET")
            .arg(&setting)
            .exec_async(&mut redis)
            .await
            .unwrap();
    }
    let wrong = options().variable("redis_password", "wrong-secret");
    let parts = ["Redis at 127.0.0.1", "check the user, password"];
    refuses(&store, wrong, 2, &parts).await;
    let parts = ["Redis at 127.0.0.1", "check the user"];
    refuses(&store, options(), 2, &parts).await;
    let right = options().variable("redis_password", "s3cret%40%2F%25");
    let host = store.host(right).await.unwrap();
    let health = reqwest::get(host.url("/health-check")).await.unwrap();
    assert_eq!(health.status(), 200);
    assert!(!host.log().contains("s3cret"), "{}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_is_refused_at_start() {
    let store = empty_store().await;
    let node = RedisOptions {
        cluster_port: Some(free_port().unwrap()),
        ..RedisOptions::new(store.folder().join("node"), store.folder().join("node.log"))
    };
    let redis = RedisServer::start(node).await.unwrap();
    let address = format!("127.0.0.1:{}", redis.port());
    let said = [&address, "Redis Cluster", "--redis-cluster"];
    let options = options().variable("redis_address", &address);
    refuses(&store, options.clone(), 2, &said).await;
    refuses(&store, options.arg("--allow-unreachable"), 2, &said).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_holds_connections_to_few_addresses() {
    let shop = backend_shop("").await;
    let url = shop.store.addresses().redis_url().to_owned();
    let open = |numbers: std::ops::Range<u32>| {
        let steps = numbers.map(|number| format!("redis {url}/{number}"));
        steps.collect::<Vec<_>>().join("\n")
    };
    // One request after the other may use any number.
    for number in 0..12 {
        assert_eq!(shop.last(&open(number..number + 1)).await, "ok");
    }
    let answers = shop.steps(&open(0..9)).await;
    assert_eq!(answers[..8], ["ok"; 8]);
    assert!(answers[8].contains("too many addresses"), "{answers:?}");
    let series = "store_outbound_refused_total{component=\"guest\",reason=\"pools\"}";
    assert_eq!(shop.metric(series).await, 1.0);
    assert_eq!(shop.last("REDIS\ncommand PING").await, "PONG");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_is_too_large_is_refused_and_the_next_is_not() {
    let shop = backend_shop_on(bare_store().await, "memory_limit_mib = 64", |options| {
        options
    })
    .await;
    let mut redis = shop.store.redis().await.unwrap();
    for (key, mib) in [("small", 1), ("large", 100)] {
        let mut command = redis::cmd("SETRANGE");
        command
            .arg(key)
            .arg((mib << 20) - 1)
            .arg("x")
            .exec_async(&mut redis)
            .await
            .unwrap();
    }
    assert_eq!(
        shop.last("REDIS\ncommand STRLEN large").await,
        (100 << 20).to_string()
    );
    let answer = shop.last("REDIS\ncommand GET large").await;
    assert!(answer.contains("larger than the host holds"), "{answer}");
    let answer = shop.last("REDIS\ncommand GET small").await;
    assert_eq!(answer, format!("{} bytes", 1 << 20));
    let series = "store_outbound_refused_total{component=\"guest\",reason=\"size\"}";
    assert_eq!(shop.metric(series).await, 1.0);
}
