//! What a service manager and a container engine are told.

use std::process::{Command, Output};

use testbed::{HostOptions, ServiceManager, Signal};

use crate::support::{PATIENCE, empty_store, eventually, host_binary, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_how_the_host_is() {
    let store = empty_store().await;
    let manager = ServiceManager::start(store.folder(), PATIENCE).unwrap();
    let env = manager.variables();
    let host = store.host(HostOptions { env, ..options() }).await.unwrap();
    manager.hears(&["READY=1"]).unwrap();
    for _ in 0..3 {
        manager.sees_life().unwrap();
    }
    host.process().signal(Signal::SIGHUP).unwrap();
    manager.hears(&["RELOADING=1"]).unwrap();
    manager.hears(&["READY=1"]).unwrap();
    eventually("the reload is logged", async || {
        host.log().contains("The reload is done")
    })
    .await;
    host.sigterm().unwrap();
    manager.hears(&["STOPPING=1"]).unwrap();
}

fn healthcheck(listen: &str) -> Output {
    let mut command = Command::new(host_binary());
    command.args(["healthcheck", "--listen", listen]);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_says_whether_the_host_is_ready() {
    let mut store = testbed::DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    store.migrate(host_binary()).unwrap();
    let host = store.host(options()).await.unwrap();
    let listen = host.url("").trim_start_matches("http://").to_owned();
    let ready = healthcheck(&listen);
    assert!(ready.status.success(), "{ready:?}");

    store.mariadb.as_mut().unwrap().stop().await.unwrap();
    crate::support::eventually("it is not ready", async || {
        let unready = healthcheck(&listen);
        let said = String::from_utf8_lossy(&unready.stderr).into_owned();
        unready.status.code() == Some(1) && said.contains("503")
    })
    .await;
    host.kill();
    let gone = healthcheck(&listen);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("can't connect"));
}
