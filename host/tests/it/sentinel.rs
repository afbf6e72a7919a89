//! Redis behind Sentinel: the primary is found by name, and followed when another takes over.

use std::fs;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::json;
use testbed::{
    DataStore, HostOptions, RedisOptions, RedisServer, Seat, Sentinel, SentinelOptions,
    connect_redis,
};

use crate::limits::changed_app;
use crate::operator::{refusal, with_token};
use crate::support::{Shop, empty_store, eventually, options, refuses, wait_for_log};

const SELLERS: &str = "/orders/reports/best-sellers";
const KEY: &str = "report:best-sellers";
const HITS: &str = "store_redis_near_cache_reads_total{component=\"reports\",outcome=\"hit\"}";

/// The name that the Sentinel watches.
const NAME: &str = "store-cache";

/// Longer than a busy machine lets a server pause.
pub(crate) const SILENCE: Duration = Duration::from_secs(4);

/// A Sentinel that was itself not on the processor for two seconds would otherwise do nothing for half a minute. Versions
/// before 7 refuse this.
pub(crate) const NEVER_TILT: [&str; 4] = ["SENTINEL", "DEBUG", "tilt-trigger", "60000"];

/// The settings for the Sentinels themselves.
const USER: &str = "--redis-sentinel-user";
const FILE: &str = "--redis-sentinel-password-file";

/// A Sentinel, and the server that is the primary first; a store's own is its replica.
struct WatchedPrimary {
    first: RedisServer,
    sentinel: Sentinel,
}

impl WatchedPrimary {
    async fn start() -> (DataStore, Self) {
        let store = empty_store().await;
        let files = |name| store.folder().join(name);
        let first = RedisOptions::new(files("first"), files("first.log"));
        let first = RedisServer::start(first).await.unwrap();
        let mut own = store.redis().await.unwrap();
        let port = first.port().to_string();
        command(&mut own, &["REPLICAOF", "127.0.0.1", &port]).await;
        eventually("the replica is in step", async || {
            replication(&store).await.contains("master_link_status:up")
        })
        .await;
        let options = SentinelOptions {
            folder: files("sentinel"),
            seat: Seat::LOOPBACK,
            name: NAME.to_owned(),
            primary: first.address(),
            quorum: 1,
            silence: SILENCE,
            tls: None,
        };
        let sentinel = Sentinel::start(options).await.unwrap();
        let watched = Self { first, sentinel };
        _ = watched.ask(&NEVER_TILT).await;
        eventually("the Sentinel knows the replica", async || {
            let known = watched.ask(&["SENTINEL", "MASTER", NAME]).await;
            let known = known.unwrap_or_default();
            let count = known.iter().position(|field| field == "num-slaves");
            count.is_some_and(|at| known[at + 1] == "1")
        })
        .await;
        (store, watched)
    }

    /// A host that asks this Sentinel, and one that is not there.
    fn options(&self) -> HostOptions {
        let dead = "127.0.0.1:1";
        options()
            .variable("redis_address", NAME)
            .arg("--redis-sentinel")
            .arg(format!("{dead},{}", self.address()))
    }

    fn address(&self) -> String {
        self.sentinel.address()
    }

    /// A connection to the Sentinel.
    async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        connect_redis(&format!("redis://{}", self.address())).await
    }

    /// What the Sentinel answers.
    async fn ask(&self, words: &[&str]) -> redis::RedisResult<Vec<String>> {
        let mut command = redis::cmd(words[0]);
        let mut connection = self.connection().await?;
        command.arg(&words[1..]).query_async(&mut connection).await
    }

    /// Has the store's own server take over from the first, and waits until the host has followed.
    async fn fail_over(&self, shop: &Shop) {
        eventually("the store's own Redis is the primary", async || {
            let is_primary = replication(&shop.store).await.contains("role:master");
            if !is_primary {
                // Refused while the Sentinel does not know the replica well enough, or does it already.
                _ = self.ask(&["SENTINEL", "FAILOVER", NAME]).await;
            }
            is_primary
        })
        .await;
        let at = format!("is at 127.0.0.1:{} now", shop.store.redis_server.port());
        wait_for_log(&shop.host, &at).await;
    }
}

async fn command(redis: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).exec_async(redis).await.unwrap();
}

/// What the store's own Redis says of its part. A Sentinel closes the connections of a server whose part changes.
async fn replication(store: &DataStore) -> String {
    let info = async {
        let mut redis = store.redis().await.ok()?;
        let mut command = redis::cmd("INFO");
        let answer = command.arg("replication").query_async(&mut redis);
        answer.await.ok()
    };
    info.await.unwrap_or_default()
}

/// The old primary lives on, and answers those who still speak to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_and_nothing_kept_near_is_old() {
    let (store, watched) = WatchedPrimary::start().await;
    let options = watched.options().variable("report_refresh_seconds", "3600");
    let shop = Shop::on(store, options).await;
    shop.refreshed().await;
    assert_eq!(shop.get(SELLERS).await.expect(200), json!([]));
    watched.fail_over(&shop).await;
    let mut own = shop.store.redis().await.unwrap();
    // What the new one is told shows, whatever was kept of the old one, and then of the new one.
    for product in 1..=5 {
        let body = json!([{"product_id": product, "quantity_sold": 1}]).to_string();
        command(&mut own, &["SET", KEY, &body, "EX", "7200"]).await;
        eventually("what changed shows", async || {
            shop.get(SELLERS).await.expect(200)[0]["product_id"] == product
        })
        .await;
    }
    for _ in 0..10 {
        shop.get(SELLERS).await.expect(200);
    }
    assert!(shop.metric(HITS).await > 0.0);
    let mut tracked = redis::cmd("INFO");
    let stats: String = tracked.arg("stats").query_async(&mut own).await.unwrap();
    assert!(!stats.contains("tracking_total_keys:0"), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_primary_is_replaced_and_orders_go_on() {
    let (store, mut watched) = WatchedPrimary::start().await;
    let shop = Shop::on(store, watched.options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    watched.first.stop().await.unwrap();
    shop.order(user, product, 1).await.expect(201);
    eventually("the replica takes over", async || {
        replication(&shop.store).await.contains("role:master")
    })
    .await;
    shop.order(user, product, 1).await.expect(201);
    let mut own = shop.store.redis().await.unwrap();
    // Of the replica, whose report was an older one.
    eventually("the report is made anew", async || {
        let mut get = redis::cmd("GET");
        let report: Option<String> = get.arg(KEY).query_async(&mut own).await.unwrap();
        report.is_some_and(|report| report.contains("\"quantity_sold\":3"))
    })
    .await;
    shop.assert_consistent().await;
}

/// Of two Sentinels, one does not answer, and the other was set up anew: it counts failovers from 0, and names the
/// server that was the primary before the last one.
#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_that_has_not_heard_of_the_last_failover_is_not_believed() {
    let (store, watched) = WatchedPrimary::start().await;
    let shop = Shop::on(store, watched.options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    watched.fail_over(&shop).await;

    let mut sentinel = watched.connection().await.unwrap();
    command(&mut sentinel, &["SENTINEL", "REMOVE", NAME]).await;
    let port = watched.first.port().to_string();
    let anew = ["SENTINEL", "MONITOR", NAME, "127.0.0.1", &port, "1"];
    command(&mut sentinel, &anew).await;
    // An open connection stays, whatever is said; a new one needs an answer that is believed. The host asks for that if
    // its last one is more than half a second old.
    let mut own = shop.store.redis().await.unwrap();
    eventually("the Sentinel is not believed", async || {
        command(&mut own, &["CLIENT", "KILL", "TYPE", "normal"]).await;
        shop.get(&format!("/orders/{order}")).await.expect(200);
        let refused = "have not heard of the last failover of `store-cache`";
        shop.host.log().contains(refused)
    })
    .await;
    let back = format!("is at 127.0.0.1:{port} now");
    assert!(!shop.host.log().contains(&back), "{}", shop.host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_want_a_user_and_a_password() {
    let (store, watched) = WatchedPrimary::start().await;
    let mut sentinel = watched.connection().await.unwrap();
    let asker = ["ACL", "SETUSER", "asker", "on", ">s3cr/t@1%#", "+@all"];
    command(&mut sentinel, &asker).await;
    command(&mut sentinel, &["ACL", "SETUSER", "default", ">unknown"]).await;
    let asking = options()
        .variable("redis_address", NAME)
        .arg("--redis-sentinel")
        .arg(watched.address());
    let said = ["Authentication required", &watched.address(), USER, FILE];
    refuses(&store, asking.clone(), 2, &said).await;

    let file = store.folder().join("sentinel.password");
    let with_password = |asking: HostOptions| {
        asking
            .arg(USER)
            .arg("asker")
            .arg(FILE)
            .arg(file.display().to_string())
    };
    fs::write(&file, "another\n").unwrap();
    let said = [
        "the Sentinels refuse the user or the password",
        &watched.address(),
        USER,
        FILE,
    ];
    let asking = with_password(asking);
    refuses(&store, asking.clone(), 2, &said).await;
    let unreachable = asking.clone().arg("--allow-unreachable");
    refuses(&store, unreachable, 2, &said).await;
    // Another Sentinel, which is not there now, may accept the password.
    let uncertain = with_password(watched.options());
    refuses(&store, uncertain, 1, &said[1..]).await;

    fs::write(&file, "s3cr/t@1%#\n").unwrap();
    let shop = Shop::on(store, asking).await;
    shop.refreshed().await;
    assert!(!shop.host.log().contains("s3cr"), "{}", shop.host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_sentinel_watches_is_told() {
    let (store, watched) = WatchedPrimary::start().await;
    // Another Sentinel, which is not there now, may know the name.
    let uncertain = watched.options().variable("redis_address", "stranger");
    let parts = ["no Sentinel answers at 127.0.0.1:1"];
    refuses(&store, uncertain, 1, &parts).await;

    let stranger = options()
        .variable("redis_address", "stranger")
        .arg("--redis-sentinel")
        .arg(watched.address());
    let said = ["`stranger`", &watched.address(), "SENTINEL MASTERS"];
    refuses(&store, stranger.clone(), 2, &said).await;
    refuses(&store, stranger.arg("--allow-unreachable"), 2, &said).await;

    let nobody = options().variable("redis_address", NAME);
    let nobody = nobody.arg("--redis-sentinel").arg("127.0.0.1:1");
    let said = ["no Sentinel answers at 127.0.0.1:1", "--allow-unreachable"];
    refuses(&store, nobody.clone(), 1, &said).await;
    let shop = Shop::on(store, nobody.arg("--allow-unreachable")).await;
    shop.user(1).await;
    shop.get(SELLERS).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_to_a_name_that_no_sentinel_watches_changes_nothing() {
    let (store, watched) = WatchedPrimary::start().await;
    let app = changed_app(&store, "{{ redis_address }}", NAME);
    let manifest = fs::read_to_string(&app).unwrap();
    let options = with_token(options())
        .arg("--redis-sentinel")
        .arg(watched.address());
    let options = HostOptions {
        app: app.clone(),
        ..options
    };
    let shop = Shop::on(store, options).await;
    shop.refreshed().await;

    fs::write(&app, manifest.replace(NAME, "stranger")).unwrap();
    let said = refusal(&shop.operate("/reload").await, 422, None);
    assert_eq!(said.lines().count(), 1, "{said}");
    for part in ["`stranger`", &watched.address(), "SENTINEL MASTERS"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    eventually("the report shows the order", async || {
        shop.get(SELLERS).await.expect(200)[0]["quantity_sold"] == 1
    })
    .await;
    fs::write(&app, manifest).unwrap();
    shop.operate("/reload").await.expect(200);
}
