//! MariaDB and Redis: started, stopped, killed, started again.

use mysql_async::prelude::Queryable;
use redis::AsyncCommands;
use testbed::DataStore;

#[tokio::test]
async fn two_stores_share_a_server_but_no_data() {
    let one = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let other = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let mut conn = one.mysql().await.unwrap();
    conn.query_drop("CREATE TABLE only_here (id INT)")
        .await
        .unwrap();
    let seen: Option<String> = other
        .mysql()
        .await
        .unwrap()
        .query_first("SHOW TABLES")
        .await
        .unwrap();
    assert_eq!(seen, None);
    let server = "SELECT @@port, @@pid_file";
    let of_one: Option<(u16, String)> = conn.query_first(server).await.unwrap();
    let of_other: Option<(u16, String)> = other
        .mysql()
        .await
        .unwrap()
        .query_first(server)
        .await
        .unwrap();
    assert_eq!(of_one, of_other);
    assert_ne!(one.redis_server.port(), other.redis_server.port());
}

#[tokio::test]
async fn a_redis_that_was_stopped_comes_back_empty_on_its_port() {
    let mut store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let () = store
        .redis()
        .await
        .unwrap()
        .set("key", "value")
        .await
        .unwrap();
    store.redis_server.stop().await.unwrap();
    assert!(store.redis().await.is_err());
    store.redis_server.start_again().await.unwrap();
    let value: Option<String> = store.redis().await.unwrap().get("key").await.unwrap();
    assert_eq!(value, None);
}

#[tokio::test]
async fn a_mariadb_keeps_its_data_and_takes_flags_when_it_is_started_again() {
    let mut store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    let mut conn = store.mysql().await.unwrap();
    conn.query_drop("CREATE TABLE kept (id INT) SELECT 7 AS id")
        .await
        .unwrap();
    let mariadb = store.mariadb.as_mut().unwrap();
    mariadb
        .restart_with(&["--performance-schema=ON"])
        .await
        .unwrap();
    let mut conn = store.mysql().await.unwrap();
    let found = conn.query_first("SELECT id, @@performance_schema FROM kept");
    assert_eq!(found.await.unwrap(), Some((7, 1)));
}

#[tokio::test]
async fn a_mariadb_that_was_killed_comes_back_with_what_was_committed() {
    let mut store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    let mut conn = store.mysql().await.unwrap();
    conn.query_drop("CREATE TABLE kept (id INT) SELECT 7 AS id")
        .await
        .unwrap();
    store.mariadb.as_mut().unwrap().kill();
    assert!(store.mysql().await.is_err());
    store.mariadb.as_mut().unwrap().start_again().await.unwrap();
    let kept: Option<i64> = store
        .mysql()
        .await
        .unwrap()
        .query_first("SELECT id FROM kept")
        .await
        .unwrap();
    assert_eq!(kept, Some(7));
}

#[tokio::test]
async fn a_mariadb_that_was_stopped_comes_back_too() {
    let mut store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    let mariadb = store.mariadb.as_mut().unwrap();
    mariadb.stop().await.unwrap();
    mariadb.start_again().await.unwrap();
    store.mysql().await.unwrap();
}
