//! What a service manager and a container engine are told.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Output};

use testbed::{HostOptions, Signal};

use crate::support::{PATIENCE, empty_store, eventually, host_binary, options};

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
async fn a_service_manager_hears_how_the_host_is() {
    let store = empty_store().await;
    let socket = store.folder().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let env = vec![
        variable("NOTIFY_SOCKET", socket.to_str().unwrap()),
        variable("WATCHDOG_USEC", "200000"),
    ];
    let host = store.host(HostOptions { env, ..options() }).await.unwrap();
    hears(&manager, &["READY=1"]);
    let mut buffer = [0; 64];
    for _ in 0..3 {
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], *b"WATCHDOG=1\n");
    }
    host.process().signal(Signal::SIGHUP).unwrap();
    hears(&manager, &["RELOADING=1"]);
    hears(&manager, &["READY=1"]);
    eventually("the reload is logged", async || {
        host.log().contains("The reload is done")
    })
    .await;
    host.sigterm().unwrap();
    hears(&manager, &["STOPPING=1"]);
}

fn healthcheck(listen: &str) -> Output {
    let mut command = Command::new(host_binary());
    command.args(["healthcheck", "--listen", listen]);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_check_says_whether_the_host_is_ready() {
    let mut store = testbed::Store::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
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
