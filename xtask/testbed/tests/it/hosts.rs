//! How a host is started, watched and stopped. Shell scripts play the host; its own tests use the real one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use testbed::{DataStore, Host, HostOptions};

const LIMIT: Duration = Duration::from_secs(10);

const READY: &str = "echo listening on http://127.0.0.1:1; echo admin on http://127.0.0.1:2";

fn options(store: &DataStore, script: &str) -> HostOptions {
    let binary: PathBuf = store.folder().join("store-host");
    fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    HostOptions::new(binary, "spin.toml")
}

#[tokio::test]
async fn a_host_gets_the_addresses_of_its_store_and_no_stray_settings() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let script = format!("env >&2; echo \"$@\" >&2; {READY}; sleep 60");
    let options = options(&store, &script)
        .variable("stock_policy", "reject")
        .arg("--log-format=json");
    let host = store.host(options).await.unwrap();
    assert_eq!(host.url("/orders"), "http://127.0.0.1:1/orders");
    assert_eq!(host.admin_url("/metrics"), "http://127.0.0.1:2/metrics");
    let log = host.log();
    let redis = format!(
        "SPIN_VARIABLE_REDIS_ADDRESS=127.0.0.1:{}\n",
        store.redis_server.port()
    );
    assert!(log.contains(&redis), "{log}");
    assert!(log.contains("SPIN_VARIABLE_MYSQL_DATABASE=store_"), "{log}");
    assert!(log.contains("SPIN_VARIABLE_STOCK_POLICY=reject\n"), "{log}");
    assert!(log.contains("/spin.toml --listen 127.0.0.1:0"), "{log}");
    assert!(log.contains("--log-format=json\n"), "{log}");
}

#[tokio::test]
async fn a_host_that_ends_at_once_is_reported_with_its_last_words() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let options = options(&store, "echo no such file >&2; exit 2");
    let error = store.host(options.clone()).await.unwrap_err().to_string();
    assert!(
        error.contains("exit status: 2") && error.contains("no such file"),
        "{error}"
    );
    let (status, said) = Host::run_to_end(&store.placed(options), store.addresses(), LIMIT)
        .await
        .unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(2), "no such file\n"));
}

#[tokio::test]
async fn a_host_ends_by_sigterm_in_its_own_way() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let script = format!("trap 'exit 7' TERM; {READY}; while :; do sleep 0.05; done");
    let host = store.host(options(&store, &script)).await.unwrap();
    host.sigterm().unwrap();
    assert_eq!(host.wait_exit(LIMIT).await.unwrap().code(), Some(7));
    host.sigterm().unwrap();
}

#[tokio::test]
async fn hosts_can_be_driven_from_spawned_tasks() {
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let options = options(&store, &format!("{READY}; sleep 60"));
    let ended = tokio::spawn(async move {
        let host = store.host(options).await.unwrap();
        host.sigterm().unwrap();
        host.wait_exit(LIMIT).await.unwrap()
    });
    assert!(!ended.await.unwrap().success());
}
