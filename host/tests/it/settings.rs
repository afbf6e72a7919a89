//! Settings that are wrong: one line that says what, where and what to do, and the right exit code.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use testbed::{DataStore, Host, HostOptions};

use crate::limits::changed_app;
use crate::support::{empty_store, options, refuses};

/// Nobody listens here: the port is below all that are given out.
const NOBODY: &str = "127.0.0.1:1";

fn with_app(path: impl Into<std::path::PathBuf>) -> HostOptions {
    HostOptions {
        app: path.into(),
        ..options()
    }
}

/// The app with the file `x.wasm` beside it as the component `orders`.
fn with_x_wasm(store: &DataStore) -> HostOptions {
    let usual = "\"target/wasm32-wasip2/release/orders.wasm\"";
    with_app(changed_app(store, usual, "\"x.wasm\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_malformed_app_is_exit_code_2() {
    let store = empty_store().await;
    let parts = ["no-such.toml", "--app"];
    refuses(&store, with_app("no-such.toml"), 2, &parts).await;
    let cases = [
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 2 2",
            "spin.toml:1: not valid TOML",
        ),
        (
            "spin_manifest_version = 2",
            "spin_manifest_version = 1",
            "`spin_manifest_version`",
        ),
        (
            "route = \"/users\"",
            "route = \"/orders\"",
            "`/orders` stands twice",
        ),
        (
            "[variables]",
            "[variables]\napi_key = { required = true }",
            "set SPIN_VARIABLE_API_KEY",
        ),
        (
            "[component.orders.build]",
            "[component.orders.sqlite]\n[component.orders.build]",
            "`component.orders.sqlite`",
        ),
        (
            "\"{{ price_lookup }}\"",
            "\"{{ price_lookups }}\"",
            "`price_lookups`",
        ),
    ];
    for (from, to, part) in cases {
        let app = changed_app(&store, from, to);
        refuses(&store, with_app(app), 2, &["spin.toml", part]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_with_another_value_than_it_may_have_is_exit_code_2() {
    let store = empty_store().await;
    for (component, variable, values) in [
        ("orders", "order_commit", "grouped, single"),
        ("orders", "stock_policy", "backorder, reject"),
        ("orders", "price_lookup", "batched, per_item"),
        ("reports", "report_source", "cached, redis, mysql"),
    ] {
        let wrong = options().variable(variable, "sometimes");
        let key = format!("`component.{component}.variables.{variable}`");
        let parts = ["spin.toml", &key, "`sometimes`", values];
        refuses(&store, wrong, 2, &parts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_component_is_exit_code_2() {
    let store = empty_store().await;
    let wasm = store.folder().join("x.wasm");
    let cases: [(&[u8], &str); 4] = [
        (b"hello", "not a WebAssembly component"),
        (b"", "not a WebAssembly component"),
        (b"\0asm\x01\0\0\0", "core module"),
        (b"\0asm\x0d\0\x01\0garbage", "does not compile"),
    ];
    for (bytes, part) in cases {
        fs::write(&wasm, bytes).unwrap();
        let parts = ["`component.orders.source`", "x.wasm", part];
        refuses(&store, with_x_wasm(&store), 2, &parts).await;
    }
    fs::remove_file(&wasm).unwrap();
    let parts = ["x.wasm", "can't be read"];
    refuses(&store, with_x_wasm(&store), 2, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_imports_something_unknown_is_named() {
    let store = empty_store().await;
    let component = wat::parse_str(
        r#"(component (import "alien:tools/probe@1.0.0" (instance (export "f" (func)))))"#,
    );
    fs::write(store.folder().join("x.wasm"), component.unwrap()).unwrap();
    let parts = ["`component.orders.source`", "alien:tools/probe@1.0.0"];
    refuses(&store, with_x_wasm(&store), 2, &parts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_exit_code_2_and_an_unreachable_server_is_1() {
    let store = empty_store().await;
    // MySQL asks a user that it does not know for any kind of password, which the driver may not have.
    for (user, refusal) in [("store", "Access denied"), ("nobody", "MySQL")] {
        let wrong = options()
            .variable("mysql_user", user)
            .variable("mysql_password", "hunter2-secret");
        let expected = ["MySQL at 127.0.0.1", refusal, "check the user, password"];
        refuses(&store, wrong, 2, &expected).await;
    }
    // Migrations may be about to make it.
    let missing = options().variable("mysql_database", "no_such_database");
    let parts = ["no_such_database", "`store-host migrate`"];
    refuses(&store, missing, 1, &parts).await;
    let parts = ["Redis at", NOBODY, "--allow-unreachable"];
    let nowhere = options().variable("redis_address", NOBODY);
    refuses(&store, nowhere, 1, &parts).await;
    let parts = ["MySQL at", NOBODY, "--allow-unreachable"];
    let nowhere = options().variable("mysql_address", NOBODY);
    refuses(&store, nowhere, 1, &parts).await;

    let unreachable = options()
        .variable("redis_address", NOBODY)
        .arg("--allow-unreachable");
    let host = store.host(unreachable).await.unwrap();
    let health = reqwest::get(host.url("/health-check")).await.unwrap();
    assert_eq!(health.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_exit_code_4_and_a_bad_flag_2() {
    let store = empty_store().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let in_use = HostOptions {
        listen,
        ..options()
    };
    let parts = ["--listen", &listen.to_string(), "in use"];
    refuses(&store, in_use, 4, &parts).await;
    let zero = options().variable("report_refresh_seconds", "0");
    refuses(&store, zero, 2, &["report_refresh_seconds", "`0`"]).await;
    // Without a proxy to tell of changes, nobody needs the token.
    let purging = || options().arg("--purge").arg("http://127.0.0.1:1");
    for (options, args) in [
        (options(), ["--no-such-flag", "1"]),
        (options(), ["--mysql-pool-size", "many"]),
        (options(), ["--admin-listen", "0.0.0.0:1"]),
        (purging(), ["--proxy-token-file", "/no/such/token"]),
    ] {
        let bad = store.placed(options.arg(args[0]).arg(args[1]));
        let run = Host::run_to_end(&bad, store.addresses(), Duration::from_secs(60));
        let (status, said) = run.await.unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(
            said.starts_with("store-host: ") && said.contains(args[0]),
            "{said}"
        );
        assert_eq!(said.trim().lines().count(), 1, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_come_from_the_environment_then_the_env_file_then_the_default() {
    let store = empty_store().await;
    let app = changed_app(&store, "[variables]", "[variables]");
    fs::write(
        store.folder().join(".env"),
        format!("SPIN_VARIABLE_REPORT_REFRESH_SECONDS=0\nSPIN_VARIABLE_REDIS_ADDRESS={NOBODY}\n"),
    )
    .unwrap();
    let mut from_file = with_app(app.clone());
    from_file.variables.clear();
    // The address is set in the environment too, which wins; the interval is not.
    refuses(&store, from_file, 2, &["report_refresh_seconds"]).await;
    store.host(with_app(app)).await.unwrap();
}
