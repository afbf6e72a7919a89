//! Differences, planted one by one and found.

use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use testbed::verify::{self, Audit, Check};
use testbed::{DataStore, Progress};

use crate::support::seeded_store;

/// Asserts that the audit finds exactly one difference, and where.
async fn assert_found(store: &DataStore, check: Check, what: &str) {
    let audit = store.verify().await.unwrap();
    assert!(!audit.is_clean());
    assert_eq!(audit.count(check), 1, "{audit}");
    assert!(audit.to_string().contains(what), "{audit}");
}

async fn after_sql(statement: &str) -> DataStore {
    let store = seeded_store().await;
    store
        .mysql()
        .await
        .unwrap()
        .query_drop(statement)
        .await
        .unwrap();
    store
}

async fn after_redis(command: &[&str]) -> DataStore {
    let store = seeded_store().await;
    let mut redis = store.redis().await.unwrap();
    let mut planted = redis::cmd(command[0]);
    planted
        .arg(&command[1..])
        .exec_async(&mut redis)
        .await
        .unwrap();
    store
}

/// The audit of the store, if its keys begin with `prefix`; or in one line, why there is none.
async fn verify_under(store: &DataStore, prefix: &str) -> Result<Audit, String> {
    let addresses = store.addresses().clone().with_key_prefix(prefix).unwrap();
    let audit = verify::audit(&addresses, Progress::Silent).await;
    audit.map_err(|error| format!("{error:#}"))
}

async fn set(store: &DataStore, key: &str, value: &str) {
    let mut redis = store.redis().await.unwrap();
    let () = redis.set(key, value).await.unwrap();
}

/// A report as it should be.
async fn best_sellers(store: &DataStore) -> String {
    let best = "SELECT JSON_OBJECT('product_id', product_id, 'quantity_sold', quantity_sold) \
                FROM product_totals ORDER BY quantity_sold DESC, product_id LIMIT 10";
    let lines: Vec<String> = store.mysql().await.unwrap().query(best).await.unwrap();
    format!("[{}]", lines.join(","))
}

#[tokio::test]
async fn a_wrong_order_total_is_found() {
    let store =
        after_sql("UPDATE orders SET total_amount = total_amount + 0.01 WHERE id = 17").await;
    assert_found(&store, Check::OrderTotals, "order 17: total_amount is").await;
}

#[tokio::test]
async fn wrong_and_missing_user_totals_are_found() {
    let store = after_sql("UPDATE user_totals SET total_expense = 1 WHERE user_id = 3").await;
    assert_found(&store, Check::UserTotals, "user 3: total_expense is 1.00").await;
    let store = after_sql("DELETE FROM user_totals WHERE user_id = 3").await;
    assert_found(&store, Check::UserTotals, "user 3: total_expense is 0.00").await;
}

#[tokio::test]
async fn wrong_and_missing_product_totals_are_found() {
    let store =
        after_sql("UPDATE product_totals SET quantity_sold = -1 WHERE product_id = 3").await;
    assert_found(
        &store,
        Check::ProductTotals,
        "product 3: quantity_sold is -1",
    )
    .await;
    let store = after_sql("DELETE FROM product_totals WHERE product_id = 3").await;
    assert_found(
        &store,
        Check::ProductTotals,
        "product 3: quantity_sold is 0",
    )
    .await;
}

/// Its reader asks MySQL.
#[tokio::test]
async fn an_order_that_redis_lacks_or_marks_is_right() {
    for fields in [&["turn", "w-"][..], &["epoch", "7", "total_amount", "0.01"]] {
        let command = [&["HSET", "order:1500"][..], fields].concat();
        let audit = after_redis(&command).await.verify().await.unwrap();
        assert!(audit.is_clean(), "{audit}");
    }
}

#[tokio::test]
async fn an_order_that_differs_in_redis_is_found() {
    let hash = |key, total, items| {
        let fields = ["user_id", "1", "total_amount", total, "items", items];
        [&["HSET", key][..], &fields[..]].concat()
    };
    let store = after_redis(&hash("order:5", "0.01", "[]")).await;
    assert_found(&store, Check::CachedOrders, "total_amount is 0.01 in Redis").await;
    let store = after_redis(&hash("order:6", "0.01", "[]")).await;
    assert_found(&store, Check::CachedOrders, "items is [] in Redis").await;
}

#[tokio::test]
async fn an_order_that_only_redis_has_is_found() {
    let store = after_redis(&["HSET", "order:1501", "user_id", "1"]).await;
    assert_found(
        &store,
        Check::CachedOrders,
        "order:1501: in Redis, but not in MySQL",
    )
    .await;
}

#[tokio::test]
async fn a_key_of_another_type_is_found() {
    let store = after_redis(&["SET", "order:8", "not a hash"]).await;
    assert_found(&store, Check::CachedOrders, "order:8: unreadable").await;
}

#[tokio::test]
async fn stock_levels_that_redis_has_wrong_or_alone_are_found() {
    let store = after_redis(&["HSET", "stock:9", "quantity", "-1"]).await;
    assert_found(&store, Check::CachedStocks, "stock:9: quantity is -1").await;
    let store = after_redis(&["HSET", "stock:61", "quantity", "5"]).await;
    assert_found(
        &store,
        Check::CachedStocks,
        "stock:61: in Redis, but not in MySQL",
    )
    .await;
}

#[tokio::test]
async fn an_old_report_is_found_and_a_right_one_is_not() {
    let store = seeded_store().await;
    set(&store, "report:best-sellers", &best_sellers(&store).await).await;
    let audit = store.verify().await.unwrap();
    assert!(
        audit.is_clean() && audit.compared(Check::CachedReports) == 1,
        "{audit}"
    );
    set(&store, "report:best-sellers", "[]").await;
    assert_found(
        &store,
        Check::CachedReports,
        "report:best-sellers: Redis has []",
    )
    .await;
}

/// What another store keeps on the same server is not this one's.
#[tokio::test]
async fn keys_are_compared_if_they_begin_with_the_prefix_given() {
    for prefix in ["{store}:", "[a-z]*?\\:"] {
        let store = after_redis(&["HSET", "order:6", "total_amount", "0.01"]).await;
        let key = |name: &str| format!("{prefix}{name}");
        set(&store, &key("cache:state"), "1:1").await;
        let report = best_sellers(&store).await;
        set(&store, &key("report:best-sellers"), &report).await;
        let audit = verify_under(&store, prefix).await.unwrap();
        assert!(
            audit.is_clean() && audit.compared(Check::CachedReports) == 1,
            "{audit}"
        );
        for (check, name, found) in [
            (Check::CachedOrders, "order:5", "unreadable"),
            (Check::CachedStocks, "stock:9", "unreadable"),
            (Check::CachedReports, "report:best-sellers", "Redis has []"),
        ] {
            set(&store, &key(name), "[]").await;
            let audit = verify_under(&store, prefix).await.unwrap();
            assert_eq!(audit.count(check), 1, "{audit}");
            let line = format!("{}: {found}", key(name));
            assert!(audit.to_string().contains(&line), "no {line} in {audit}");
        }
        let mut redis = store.redis().await.unwrap();
        let unknown = key("order:1501");
        let () = redis.hset(unknown.as_str(), "user_id", 1).await.unwrap();
        let audit = verify_under(&store, prefix).await.unwrap();
        let line = format!("{unknown}: in Redis, but not in MySQL");
        assert!(audit.to_string().contains(&line), "no {line} in {audit}");
    }
}

#[tokio::test]
async fn a_prefix_that_the_store_does_not_have_is_told() {
    for (right, wrong) in [("{store}:", ""), ("{store}:", "{stor}:"), ("", "{store}:")] {
        let store = seeded_store().await;
        assert!(verify_under(&store, wrong).await.unwrap().is_clean());
        set(&store, &format!("{right}cache:state"), "1:1").await;
        assert!(verify_under(&store, right).await.unwrap().is_clean());
        let told = verify_under(&store, wrong).await.unwrap_err();
        for part in [
            format!("no `{wrong}cache:state`"),
            format!("has `{right}cache:state`"),
            "another prefix".to_owned(),
            "--redis-key-prefix".to_owned(),
        ] {
            assert!(told.contains(&part), "no {part} in {told}");
        }
        assert!(!told.contains('\n'), "{told}");
        // Two stores on one server: each has its own.
        set(&store, &format!("{wrong}cache:state"), "1:1").await;
        assert!(verify_under(&store, wrong).await.unwrap().is_clean());
    }
}
