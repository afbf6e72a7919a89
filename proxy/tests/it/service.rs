//! What a service manager and a container engine are told.

use std::os::unix::fs::MetadataExt;

use testbed::{ServiceManager, Signal};

use crate::support::{PATIENCE, Rig, Upstream, binary, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_who_serves_and_that_it_lives() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let manager = ServiceManager::start(&rig.folder, PATIENCE).unwrap();
    let env = manager.variables();
    // In another's place, so that it has to say who it is.
    let successor = rig.successor_in("proxy-1", env).await;
    let id = format!("MAINPID={}", successor.process().id());
    manager.hears(&[&id, "READY=1"]).unwrap();
    for _ in 0..3 {
        manager.sees_life().unwrap();
    }
    successor.process().signal(Signal::SIGHUP).unwrap();
    manager.hears(&["RELOADING=1"]).unwrap();
    manager.hears(&["READY=1"]).unwrap();
    successor.process().signal(Signal::SIGTERM).unwrap();
    manager.hears(&["STOPPING=1"]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_says_whether_the_proxy_serves() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let healthcheck = async || {
        let mut command = tokio::process::Command::new(binary());
        command.args(["healthcheck", "--config"]).arg(rig.file());
        command.output().await.unwrap()
    };
    let healthy = healthcheck().await;
    assert!(healthy.status.success(), "{healthy:?}");
    rig.proxy.process().kill();
    let gone = healthcheck().await;
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(said.contains("no proxy answers at"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_needs_no_new_process_starts_none() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let before = rig.proxy.process().id();
    let reloaded = rig.control(&["reload", "--or-upgrade"]).await;
    let said = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert_eq!(said.trim(), "the settings are in force", "{reloaded:?}");
    let status = rig.status().await;
    assert_eq!(status["pid"], before);
    // By this it would have been seen that a package has replaced the program.
    let file = std::fs::metadata(binary()).unwrap();
    let file = format!("{}:{}", file.dev(), file.ino());
    assert_eq!(status["program"], file);
}
