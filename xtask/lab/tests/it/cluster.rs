//! `cargo xtask cluster`, for some seconds.

use std::time::Duration;

use testbed::Galera;
use tokio::time::timeout;

use crate::support::{program, run};

/// Longer than a fleet takes that starts, suffers and heals slowly. Whatever it started dies with it.
const LIMIT: Duration = Duration::from_secs(10 * 60);

#[tokio::test]
async fn the_writer_and_hosts_fail_and_nothing_is_lost() {
    if !Galera::is_installed() {
        eprintln!("skipped: it needs {}", Galera::NEEDED);
        return;
    }
    let programs = [program("store-host"), program("store-proxy")];
    let [host, proxy] = programs.map(|path| path.display().to_string());
    let faults = ["--only", "database-writer.kill,host.kill,host.restart"];
    // It ends after the last of these faults, so the time is only for a slow machine.
    let what = ["cluster", "--chaos", "5m", "--buyers", "6"];
    let how = ["--network", "loopback", "--host", &host, "--proxy", &proxy];
    let arguments = [&what[..], &faults, &how].concat();
    let ended = timeout(LIMIT, run(&arguments)).await;
    let (code, said) = ended.expect("it ends by itself");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("✓ nothing was lost"), "{said}");
    for fault in faults[1].split(',') {
        assert!(said.contains(&format!("| {fault} |")), "{said}");
    }
}

#[tokio::test]
async fn a_fault_that_does_not_exist_is_refused() {
    let (code, said) = run(&["cluster", "--chaos", "1s", "--only", "host.hug"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no fault `host.hug`"), "{said}");
}
