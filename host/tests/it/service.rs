//! What a service manager and a container engine are told.

use std::fs;
use std::process::{Command, Output};

use testbed::{HostOptions, ServiceManager, Signal};

use crate::limits::changed_app;
use crate::operator::command_line;
use crate::support::{PATIENCE, empty_store, host_binary, options, wait_for_log};

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
    wait_for_log(&host, "The reload is done").await;
    host.sigterm().unwrap();
    manager.hears(&["STOPPING=1"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_by_signal_is_waited_for_and_needs_no_token() {
    let store = empty_store().await;
    let app = changed_app(&store, "[variables]", "[variables]");
    let of_app = HostOptions {
        app: app.clone(),
        ..options()
    };
    let host = store.host(of_app).await.unwrap();
    let admin = host.admin_url("");
    let listen = admin.trim_start_matches("http://");
    let reload = async |pid: u32| {
        let pid = pid.to_string();
        command_line(&["reload", "--pid", &pid, "--admin-listen", listen]).await
    };
    let own = host.process().id();
    let done = reload(own).await;
    assert!(done.status.success(), "{done:?}");

    let whole = fs::read_to_string(&app).unwrap();
    let (half, _) = whole.split_once("[component.stocks]").unwrap();
    fs::write(&app, format!("{half}[component.st")).unwrap();
    let refused = reload(own).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    for part in ["nothing is reloaded", "spin.toml", "not valid TOML"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert_eq!(said.lines().count(), 1, "{said}");
    let health = reqwest::get(host.url("/health-check")).await.unwrap();
    assert_eq!(health.status(), 200);

    fs::write(&app, whole).unwrap();
    let done = reload(own).await;
    assert!(done.status.success(), "{done:?}");
    // No process has a number as high.
    let nobody = reload(i32::MAX.unsigned_abs()).await;
    assert_eq!(nobody.status.code(), Some(2), "{nobody:?}");
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
