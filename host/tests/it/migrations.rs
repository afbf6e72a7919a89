//! What older versions wrote, after the migrations of this one.

use std::fs;
use std::path::Path;

use mysql_async::prelude::Queryable;
use reqwest::Method;
use serde_json::json;
use testbed::DataStore;

use crate::support::{Shop, host_binary, options, order_body, send};

/// The migrations that an earlier release had.
const EARLIER: [&str; 3] = [
    "0001-store.sql",
    "0002-report-totals.sql",
    "0003-idempotency-and-cache-changes.sql",
];

#[tokio::test(flavor = "multi_thread")]
async fn users_and_keys_of_an_earlier_release_are_kept() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let mut mysql = store.mysql().await.unwrap();
    mysql
        .query_drop("CREATE TABLE schema_migrations (version INT NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL)")
        .await
        .unwrap();
    for (number, file) in (1..).zip(EARLIER) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(file);
        let sql = fs::read_to_string(path).unwrap();
        let code: Vec<_> = sql.lines().filter(|line| !line.starts_with("--")).collect();
        let code = code.join("\n");
        for statement in code.split(';').filter(|code| !code.trim().is_empty()) {
            mysql.query_drop(statement).await.unwrap();
        }
        let record = "INSERT INTO schema_migrations (version, name) VALUES (?, ?)";
        mysql.exec_drop(record, (number, file)).await.unwrap();
    }
    let body = order_body(1, 1, 1).to_string();
    mysql
        .query_drop("INSERT INTO users (name, email) VALUES ('Ada', 'Ada@x.y'), ('Zoé', 'zoé@x.y')")
        .await
        .unwrap();
    mysql
        .exec_drop(
            "INSERT INTO idempotency_keys (key_sha256, body_sha256, order_id)
             VALUES (SHA2('key-1', 256), SHA2(?, 256), 7)",
            (&body,),
        )
        .await
        .unwrap();

    store.migrate(host_binary()).unwrap();
    let shop = Shop::on(store, options()).await;
    for (email, status) in [
        ("ADA@X.Y", 409),
        ("zoé@x.y", 409),
        ("zoe@x.y", 201),
        ("ZOÉ@x.y", 201),
    ] {
        let user = json!({"name": "Eve", "email": email});
        let answer = shop.post("/users", &user).await;
        assert_eq!(answer.status, status, "{email}: {answer:?}");
    }
    let again = shop
        .request(Method::POST, "/orders")
        .header("content-type", "application/json")
        .header("idempotency-key", "key-1")
        .body(body);
    assert_eq!(send(again).await.expect(201), json!({"order_id": 7}));
}

/// A host that is stopped between two statements of a migration leaves it half done and not recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_broken_off_is_gone_on_with() {
    let store = crate::support::empty_store().await;
    let mut mysql = store.mysql().await.unwrap();
    for lost in [
        "DELETE FROM schema_migrations WHERE version >= 4",
        "ALTER TABLE users DROP KEY users_email_key, DROP COLUMN email_key, DROP COLUMN written_by",
        "ALTER TABLE users ADD UNIQUE KEY users_email (email)",
        "DROP TABLE cache_beat",
    ] {
        mysql.query_drop(lost).await.unwrap();
    }
    store.migrate(host_binary()).unwrap();
    let shop = Shop::on(store, options()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
}
