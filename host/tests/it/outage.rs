//! Redis and MySQL go away and come back.

use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::DataStore;

use crate::support::{Shop, UNAVAILABLE, eventually, host_binary, options};

const SELLERS: &str = "/orders/reports/best-sellers";

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_orders_are_accepted_and_reports_served() {
    let mut shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    shop.store.redis_server.stop().await.unwrap();

    let order = shop.order(user, product, 2).await.expect(201)["order_id"].clone();
    shop.get(&format!("/orders/{order}")).await.expect(200);
    assert_eq!(shop.stock(product).await, 2);
    let report = shop.get(SELLERS).await.expect(200);
    assert_eq!(report, json!([{"product_id": product, "quantity_sold": 3}]));
    assert!(
        shop.metric("store_redis_errors_total{component=\"reports\"}")
            .await
            > 0.0
    );

    shop.store.redis_server.start_again().await.unwrap();
    shop.assert_consistent().await;
    eventually("the reports are cached again", async || {
        let mut redis = shop.store.redis().await.unwrap();
        let found: i64 = redis::cmd("EXISTS")
            .arg(&["report:best-sellers", "report:highest-spenders"])
            .query_async(&mut redis)
            .await
            .unwrap();
        found == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mysql_requests_are_503_and_recover_by_themselves() {
    let store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    store.migrate(host_binary()).unwrap();
    let mut shop = Shop::on(store, options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let acknowledged = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
    eventually("the reports are cached", async || {
        shop.get(SELLERS).await.expect(200) != json!([])
    })
    .await;

    shop.get("/readyz").await.expect(200);
    for (read_only, is_ready) in [("ON", false), ("OFF", true)] {
        let mut mysql = shop.store.mysql().await.unwrap();
        let statement = format!("SET GLOBAL read_only = {read_only}");
        mysql.query_drop(statement).await.unwrap();
        readiness(&shop, is_ready).await;
    }

    let mut mariadb = shop.store.mariadb.take().unwrap();
    mariadb.kill();
    let refused = shop.order(user, product, 1).await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.problem(503), UNAVAILABLE);
    assert_eq!(shop.get("/users/1").await.problem(503), UNAVAILABLE);
    shop.get(SELLERS).await.expect(200);
    shop.get("/health-check").await.expect(200);
    readiness(&shop, false).await;
    let not_ready = shop.get("/readyz").await;
    assert_eq!(not_ready.headers["retry-after"], "1");
    let detail = "the database can't be reached, or takes no writes";
    assert_eq!(not_ready.problem(503), detail);
    assert!(
        shop.metric("store_refusals_total{reason=\"not_ready\"}")
            .await
            >= 1.0
    );

    mariadb.start_again().await.unwrap();
    eventually("orders are accepted again", async || {
        shop.order(user, product, 1).await.status == 201
    })
    .await;
    readiness(&shop, true).await;
    shop.get(&format!("/orders/{acknowledged}"))
        .await
        .expect(200);
    shop.assert_consistent().await;
}

/// Waits until the host says that it can do its work, or that it can't.
async fn readiness(shop: &Shop, is_ready: bool) {
    let expected = if is_ready { 200 } else { 503 };
    eventually("its readiness changes", async || {
        shop.get("/readyz").await.status == expected
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_is_503_with_retry_after_and_not_a_hang() {
    // What the test needs besides is made by a host that has time.
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let hasty = options().args(&["--mysql-pool-size", "1", "--mysql-pool-wait", "300ms"]);
    let shop = shop.restarted(&hasty).await;
    let blocker = shop.hold_stock(product).await;
    // A busy machine may not open the connection in that time.
    let held = eventually("the order is placed", async || {
        shop.order(user, product, 1).await.status == 201
    });
    let turned_away = async {
        eventually("the only connection is in use", async || {
            shop.metric("store_mysql_pool_in_use{component=\"orders\"}")
                .await
                == 1.0
        })
        .await;
        let answer = shop.get(&format!("/users/{user}")).await;
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.problem(503), UNAVAILABLE);
        blocker.release().await;
    };
    tokio::join!(held, turned_away);
    assert_eq!(
        shop.metric("store_mysql_pool_timeouts_total{component=\"orders\"}")
            .await,
        1.0
    );
    eventually("the next is served", async || {
        shop.get(&format!("/users/{user}")).await.status == 200
    })
    .await;
}
