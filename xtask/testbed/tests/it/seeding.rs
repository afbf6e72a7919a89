//! Filling a store.

use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use testbed::seed::{self, Dataset};
use testbed::verify::Check;

use crate::support::{empty_store, seeded_store, small_dataset};

#[tokio::test]
async fn a_seeded_store_is_right_in_every_respect() {
    let store = seeded_store().await;
    let audit = store.verify().await.unwrap();
    assert!(audit.is_clean(), "{audit}");
}

/// What readers ask for comes there by itself.
#[tokio::test]
async fn redis_is_left_empty() {
    let store = seeded_store().await;
    let mut redis = store.redis().await.unwrap();
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    assert_eq!(keys, Vec::<String>::new());
}

#[tokio::test]
async fn the_server_knows_how_many_rows_there_are() {
    let store = seeded_store().await;
    let mut mysql = store.mysql().await.unwrap();
    let known = "SELECT n_rows, (SELECT COUNT(*) FROM orders) FROM mysql.innodb_table_stats \
                 WHERE database_name = DATABASE() AND table_name = 'orders'";
    let found: Option<(u64, u64)> = mysql.query_first(known).await.unwrap();
    let (known, there) = found.unwrap();
    // It counts some pages and guesses the rest.
    assert!(known > there / 2, "{known} of {there}");
}

#[tokio::test]
async fn a_store_with_users_is_not_seeded_again() {
    let store = empty_store().await;
    store.seed(&Dataset::sample()).await.unwrap();
    let error = store.seed(&small_dataset()).await.unwrap_err().to_string();
    assert!(error.contains("holds users already"), "{error}");
    let users: Option<usize> = store
        .mysql()
        .await
        .unwrap()
        .query_first("SELECT COUNT(*) FROM users")
        .await
        .unwrap();
    assert_eq!(users, Some(3));
    assert!(store.verify().await.unwrap().is_clean());
}

#[tokio::test]
async fn an_emptied_store_takes_other_data_and_strangers_keep_theirs() {
    let store = seeded_store().await;
    let mut redis = store.redis().await.unwrap();
    let () = redis.set("somebody:else", 1).await.unwrap();
    seed::empty(store.addresses()).await.unwrap();
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    assert_eq!(keys, ["somebody:else"]);
    store.seed(&Dataset::sample()).await.unwrap();
    let audit = store.verify().await.unwrap();
    assert!(audit.is_clean(), "{audit}");
    assert_eq!(
        audit.compared(Check::OrderTotals),
        Dataset::sample().orders.len()
    );
}

#[tokio::test]
async fn keys_go_if_they_begin_with_the_store_s_prefix() {
    let store = seeded_store().await;
    let mut redis = store.redis().await.unwrap();
    for prefix in ["", "{store}:", "{other}:"] {
        for name in ["cache:state", "order:1", "report:best-sellers"] {
            let () = redis.set(format!("{prefix}{name}"), 1).await.unwrap();
        }
    }
    let prefixed = store.addresses().clone().with_key_prefix("{store}:");
    let prefixed = prefixed.unwrap();
    assert_eq!(seed::state_elsewhere(&prefixed).await.unwrap(), None);
    seed::empty(&prefixed).await.unwrap();
    let keys: Vec<String> = redis.keys("{store}:*").await.unwrap();
    assert_eq!(keys, Vec::<String>::new());
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    let other = seed::state_elsewhere(&prefixed).await.unwrap();
    assert!(other.is_some_and(|key| key.ends_with("cache:state")));
}

#[tokio::test]
async fn a_store_without_tables_is_told_to_migrate() {
    let store = testbed::DataStore::start(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    let error = format!("{:#}", store.seed(&Dataset::sample()).await.unwrap_err());
    assert!(error.contains("store-host migrate"), "{error}");
}
