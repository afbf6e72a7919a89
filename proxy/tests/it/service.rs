//! What a service manager and a container engine are told.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use testbed::Signal;

use crate::support::{PATIENCE, Rig, Upstream, binary, shop};

/// Waits for a message with all of these lines, and passes over signs of life.
fn hears(manager: &UnixDatagram, lines: &[&str]) {
    let mut buffer = [0; 1024];
    loop {
        let length = manager.recv(&mut buffer).expect("a message in time");
        let message = String::from_utf8_lossy(&buffer[..length]);
        if message.trim() == "WATCHDOG=1" {
            continue;
        }
        let found: Vec<&str> = message.lines().collect();
        assert!(
            lines.iter().all(|line| found.contains(line)),
            "{found:?}, not {lines:?}"
        );
        return;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_manager_hears_who_serves_and_that_it_lives() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let socket = rig.folder.join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let env = vec![
        variable("NOTIFY_SOCKET", socket.to_str().unwrap()),
        variable("WATCHDOG_USEC", "200000"),
    ];
    // In another's place, so that it has to say who it is.
    let successor = rig.successor_in("proxy-1", env).await;
    let id = format!("MAINPID={}", successor.process().id());
    hears(&manager, &[&id, "READY=1"]);
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *b"WATCHDOG=1\n");
    }
    successor.process().signal(Signal::SIGHUP).unwrap();
    hears(&manager, &["RELOADING=1"]);
    hears(&manager, &["READY=1"]);
    successor.process().signal(Signal::SIGTERM).unwrap();
    hears(&manager, &["STOPPING=1"]);
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
