//! Three members of a Galera cluster: one is written to, and the next when it dies or falls silent. While there is
//! none, reads go on; reports even when two of the three are dead.

use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::{DataStore, Replication};

use crate::backends::backend_shop_on;
use crate::member_faults::{DATABASE, nothing_is_lost, shop_on, stale_reads, start};
use crate::members::{connect, readiness};
use crate::support::{UNAVAILABLE, eventually, host_binary, order_body};

const SELLERS: &str = "/orders/reports/best-sellers";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_member_is_written_to_when_one_dies_or_falls_silent() {
    match Replication::galera() {
        // All members take writes, so hosts take the first that is well.
        Ok(galera) => nothing_is_lost(galera, &[1]).await,
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_while_no_member_takes_writes() {
    let (mut cluster, shop) = match shop_on(Replication::galera()).await {
        Ok(started) => started,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
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
    let refused = shop.post("/orders", &order_body(user, product, 1)).await;
    assert_eq!(refused.problem(503), UNAVAILABLE);
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

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_reports_are_served_and_all_comes_back_by_itself() {
    let (mut cluster, shop) = match shop_on(Replication::galera()).await {
        Ok(started) => started,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    let (user, product) = (shop.user(1).await, shop.product(10.0, 9).await);
    let placed = shop.order(user, product, 2).await.expect(201);
    let path = format!("/orders/{}", placed["order_id"]);
    eventually("the reports are cached", async || {
        shop.get(SELLERS).await.expect(200) != json!([])
    })
    .await;

    cluster.kill(0);
    cluster.kill(1);
    let said = format!(
        "{}: its cluster has no quorum",
        cluster.nodes()[2].address()
    );
    eventually("the log says why, and what to do", async || {
        let log = shop.host.log();
        let mut lines = log.lines().filter(|line| line.contains(&said));
        lines.any(|line| line.contains("start the members that are missing"))
    })
    .await;
    eventually("there is no writer", async || {
        readiness(&shop.host).await == 503
    })
    .await;
    let refused = shop.post("/orders", &order_body(user, product, 1)).await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.problem(503), UNAVAILABLE);
    // What Redis has lives for two seconds here. Later it is read from a member that may be behind.
    eventually("reports are served", async || {
        shop.get(SELLERS).await.status == 200
    })
    .await;

    cluster.join(&[0, 1]).await.unwrap();
    eventually("orders are placed again", async || {
        shop.order(user, product, 1).await.status == 201
    })
    .await;
    eventually("the order from before is there", async || {
        shop.get(&path).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_another_member_takes_only_reads_that_may_be_stale() {
    let mut cluster = match Replication::galera() {
        Ok(galera) => start(galera).await,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let members = cluster.members();
    let shop = backend_shop_on(store, "", |options| {
        options.arg("--mysql-members").arg(&members)
    })
    .await;
    for node in &cluster.nodes()[1..] {
        let mut conn = connect(node, DATABASE).await;
        conn.query_drop("SET GLOBAL read_only = ON").await.unwrap();
    }
    let open = format!("mysql {}", cluster.nodes()[0].url(DATABASE));
    let term = "query SELECT term FROM mysql_writer";
    eventually("there is a writer", async || {
        shop.last(&format!("{open}\n{term}")).await == "1"
    })
    .await;

    // The connection of that query rests in the pool, and has to be renewed.
    cluster.kill(0);
    let steps = format!(
        "{open}\n{term} /* may be stale */\n{term}\nexecute DELETE FROM users\n{term} /* no wait */\n\
         {term} /* may be stale */\nREDIS\ncommand GET x"
    );
    let answers = shop.steps(&steps).await;
    let done = [0, 1, 5, 6].map(|step| answers[step].as_str());
    assert_eq!(done, ["ok", "1", "1", "ok"], "{answers:?}");
    for refused in &answers[2..5] {
        assert!(refused.contains("is not the writer"), "{answers:?}");
    }
    let without_redis = "may not use Redis any more";
    assert!(answers[7].contains(without_redis), "{answers:?}");
}
