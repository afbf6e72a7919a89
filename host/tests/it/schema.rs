//! The database's tables are those of this version, or the host does not start.

use std::process::Command;

use mysql_async::prelude::Queryable;
use testbed::DataStore;

use crate::support::{host_binary, options, refuses};

#[tokio::test(flavor = "multi_thread")]
async fn another_schema_is_exit_code_3_unless_it_is_allowed() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    refuses(&store, options(), 3, &["schema 0", "`store-host migrate`"]).await;

    store.migrate(host_binary()).unwrap();
    let mut conn = store.mysql().await.unwrap();
    conn.query_drop("INSERT INTO schema_migrations (version, name) VALUES (99, 'later')")
        .await
        .unwrap();
    let parts = ["schema 99", "newer store-host", "--allow-other-schema"];
    refuses(&store, options(), 3, &parts).await;
    let error = store.migrate(host_binary()).unwrap_err().to_string();
    assert!(error.contains("exit status: 3"), "{error}");

    let host = store
        .host(options().arg("--allow-other-schema"))
        .await
        .unwrap();
    let health = reqwest::get(host.url("/health-check")).await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_the_app_lead_to_the_database_and_to_its_secret() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let file = store.folder().join("a-password");
    let mut variables = store.addresses().variables();
    let is_password = |(name, _): &(String, String)| name == "mysql_password";
    let password = variables.remove(variables.iter().position(is_password).unwrap());
    let migrate = || {
        let mut command = Command::new(host_binary());
        command.arg("migrate").arg("--app").arg(options().app);
        command.arg("--variable-file");
        command.arg(format!("mysql_password={}", file.display()));
        for (name, value) in &variables {
            command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
        }
        command.output().unwrap()
    };
    let without = migrate();
    assert_eq!(without.status.code(), Some(2), "{without:?}");
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(said.contains("a-password: can't be read"), "{said}");

    // An empty file is what is left of a secret that was never written.
    std::fs::write(&file, "\n").unwrap();
    let empty = migrate();
    assert_eq!(empty.status.code(), Some(2), "{empty:?}");
    let said = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert!(said.contains("a-password: is empty"), "{said}");

    std::fs::write(&file, "wrong\n").unwrap();
    let refused = migrate();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");

    std::fs::write(&file, format!("{}\n", password.1)).unwrap();
    let done = migrate();
    assert!(done.status.success(), "{done:?}");
    let mut conn = store.mysql().await.unwrap();
    let users: Option<u64> = conn
        .query_first("SELECT COUNT(*) FROM users")
        .await
        .unwrap();
    assert_eq!(users, Some(0));
}
