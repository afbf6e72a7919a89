//! A host is stopped (SIGSTOP) at each step of a refresh, of a report that a reader makes, and of a new epoch, others
//! go on, and then it goes on too: no answer is older than MySQL's.

use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::Host;

use crate::operator::TOKEN;
use crate::other_host::{OtherHost, Step, without_refresh};
use crate::paused::{SELLERS, get, in_mysql};
use crate::support::{Shop, eventually, numbers_to, try_send};

/// In the order in which a refresh comes to them.
const OF_A_REFRESH: [Step; 10] = [
    // It takes the lease.
    Step::Redis("{lease:report-refresh}:number"),
    // It reads the totals, and writes the reports.
    Step::Mysql("FROM user_totals"),
    Step::Redis("{report:highest-spenders}:number"),
    Step::Redis("{report:best-sellers}:number"),
    // It beats, in MySQL and in Redis.
    Step::Mysql("INTO cache_beat"),
    Step::Redis("SET\r\n$11\r\ncache:state"),
    // It sweeps, and renews its lease.
    Step::Mysql("FROM idempotency_keys"),
    Step::Redis("PEXPIRE', KEYS[1], ARGV[2])"),
    // It says that it is done, and gives the lease back.
    Step::Redis("\r\nreport:refreshed\r\n"),
    Step::Redis("return redis.call('DEL', KEYS[1])"),
];

/// In the order in which a reader who finds no report comes to them.
const OF_A_READER: [Step; 7] = [
    // It takes the lease, reads the totals, and writes the report.
    Step::Redis("{lease:report-refresh}:number"),
    Step::Mysql("FROM product_totals"),
    Step::Redis("{report:best-sellers}:number"),
    // It does the rest of a refresh.
    Step::Mysql("INTO cache_beat"),
    Step::Redis("SET\r\n$11\r\ncache:state"),
    Step::Mysql("FROM idempotency_keys"),
    Step::Redis("return redis.call('DEL', KEYS[1])"),
];

/// In the order in which whoever begins an epoch comes to them.
const OF_AN_EPOCH: [Step; 4] = [
    Step::Redis("\r\ncache:changing\r\n"),
    Step::Redis("SET\r\n$11\r\ncache:state"),
    Step::Mysql("INTO cache_state"),
    Step::Mysql("FROM cache_doubts WHERE"),
];

/// One product, orders of it, and the host that goes on.
struct Scene {
    shop: Shop,
    user: i64,
    product: i64,
    ordered: i64,
}

const STOCK: i64 = 1000;

impl Scene {
    async fn set() -> Self {
        let shop = Shop::with(without_refresh()).await;
        shop.refreshed().await;
        let (user, product) = (shop.user(1).await, shop.product(10.0, STOCK).await);
        let mut scene = Self {
            shop,
            user,
            product,
            ordered: 0,
        };
        scene.order().await;
        scene.refresh().await;
        scene
    }

    async fn order(&mut self) {
        let order = self.shop.order(self.user, self.product, 1);
        order.await.expect(201);
        self.ordered += 1;
    }

    fn refresh_of(&self, host: &Host) -> reqwest::RequestBuilder {
        let refresh = self.shop.client.post(host.admin_url("/refresh"));
        refresh.bearer_auth(TOKEN)
    }

    /// Refreshes, whoever has the lease.
    async fn refresh(&self) {
        self.runs_out("lease:report-refresh").await;
        let refresh = try_send(self.refresh_of(&self.shop.host));
        assert_eq!(refresh.await.unwrap().status, 200);
    }

    /// Deletes a key of Redis, as its lifetime would.
    async fn runs_out(&self, key: &str) {
        let mut redis = self.shop.store.redis().await.unwrap();
        let mut end = redis::cmd("DEL");
        end.arg(key).exec_async(&mut redis).await.unwrap();
    }

    /// Returns once the stock is read from Redis by the host that goes on.
    async fn trusts_redis(&self) {
        let mut redis = self.shop.store.redis().await.unwrap();
        let key = format!("stock:{}", self.product);
        eventually("the stock is read from Redis", async || {
            self.shop.stock(self.product).await;
            let mut read = redis::cmd("HMGET");
            read.arg(&key).arg(&["quantity", "turn"]);
            let found: (Option<i64>, Option<String>) = read.query_async(&mut redis).await.unwrap();
            found == (Some(STOCK - self.ordered), None)
        })
        .await;
    }

    /// More idempotency keys than one step of a sweep deletes are old, and one is not.
    async fn gets_old_keys(&self) {
        let mut mysql = self.shop.store.mysql().await.unwrap();
        for (key, age) in [("seq", 25), ("'young'", 23)] {
            let insert = format!(
                "INSERT IGNORE INTO idempotency_keys (key_sha256, body_sha256, order_id, created_at)
                 SELECT SHA2({key}, 256), REPEAT('b', 64), 1, NOW() - INTERVAL {age} HOUR FROM {}",
                numbers_to(10_001)
            );
            mysql.query_drop(insert).await.unwrap();
        }
    }

    async fn keys(&self) -> i64 {
        let mut mysql = self.shop.store.mysql().await.unwrap();
        let count = "SELECT COUNT(*) FROM idempotency_keys";
        mysql.query_first(count).await.unwrap().unwrap()
    }

    /// Checks the answers of both hosts, several times: what one of them does in the background comes between. A host
    /// hears of a new report a moment after it was made, and then never goes back.
    async fn assert_right(&self, other: &OtherHost, step: Step) {
        let path = format!("/stocks/{}", self.product);
        let left = STOCK - self.ordered;
        let sellers = json!([{"product_id": self.product, "quantity_sold": self.ordered}]);
        assert_eq!(in_mysql(&self.shop, self.product).await, left);
        eventually("both hosts have the new report", async || {
            let mut all = true;
            for host in [&self.shop.host, &other.host] {
                all &= get(&self.shop, host, SELLERS).await.1 == sellers;
            }
            all
        })
        .await;
        for _ in 0..5 {
            for host in [&self.shop.host, &other.host] {
                let (_, stock) = get(&self.shop, host, &path).await;
                assert_eq!(stock["quantity"], left, "{step:?}");
                assert_eq!(get(&self.shop, host, SELLERS).await.1, sellers, "{step:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_stopped_at_any_step_brings_nothing_back() {
    let mut scene = Scene::set().await;
    let other = OtherHost::of(&scene.shop).await;
    for step in OF_A_REFRESH {
        scene.gets_old_keys().await;
        let refresh = scene.refresh_of(&other.host);
        let meanwhile = async {
            scene.order().await;
            scene.refresh().await;
        };
        other.stops_at(step, refresh, meanwhile).await;
        scene.assert_right(&other, step).await;
        eventually("the old keys are gone", async || scene.keys().await == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_stopped_while_it_makes_a_report_brings_nothing_back() {
    let mut scene = Scene::set().await;
    let other = OtherHost::of(&scene.shop).await;
    for step in OF_A_READER {
        scene.runs_out("report:best-sellers").await;
        scene.gets_old_keys().await;
        other.forgets_statements_before(step).await;
        let read = scene.shop.client.get(other.host.url(SELLERS));
        let meanwhile = async {
            scene.order().await;
            scene.refresh().await;
        };
        other.stops_at(step, read, meanwhile).await;
        scene.assert_right(&other, step).await;
        eventually("the old keys are gone", async || scene.keys().await == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_begun_late_brings_nothing_back() {
    let mut scene = Scene::set().await;
    let other = OtherHost::of(&scene.shop).await;
    for step in OF_AN_EPOCH {
        scene.trusts_redis().await;
        let mut redis = scene.shop.store.redis().await.unwrap();
        redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
        let refresh = scene.refresh_of(&other.host);
        let meanwhile = async {
            scene.order().await;
            scene.runs_out("cache:changing").await;
            scene.trusts_redis().await;
            scene.order().await;
            scene.refresh().await;
        };
        other.stops_at(step, refresh, meanwhile).await;
        for _ in 0..2 {
            scene.assert_right(&other, step).await;
            scene.order().await;
            scene.refresh().await;
        }
    }
}
