//! `cargo xtask cluster`, for some seconds.

use std::time::Duration;

use testbed::Replication;
use tokio::time::timeout;

use crate::support::{program, run};

/// Longer than a fleet takes that starts, suffers and heals slowly. Whatever it started dies with it.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Lets these faults happen to a fleet, which is started with `arguments` too, and compares.
async fn nothing_is_lost(faults: &str, arguments: &[&str]) {
    let programs = [program("store-host"), program("store-proxy")];
    let [host, proxy] = programs.map(|path| path.display().to_string());
    // It ends after the last of these faults, so the time is only for a slow machine.
    let what = [
        "cluster", "--chaos", "5m", "--buyers", "6", "--only", faults,
    ];
    let how = ["--network", "loopback", "--host", &host, "--proxy", &proxy];
    let arguments = [&what[..], &how, arguments].concat();
    let ended = timeout(LIMIT, run(&arguments)).await;
    let (code, said) = ended.expect("it ends by itself");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("✓ nothing was lost"), "{said}");
    for fault in faults.split(',') {
        assert!(said.contains(&format!("| {fault} |")), "{said}");
    }
}

#[tokio::test]
async fn the_writer_hosts_and_two_databases_fail_and_nothing_is_lost() {
    match Replication::galera() {
        Ok(_) => {
            let faults = "database-writer.kill,host.kill,host.restart,two-databases.kill";
            nothing_is_lost(faults, &[]).await;
        }
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

#[tokio::test]
async fn the_primary_of_a_group_and_two_of_three_fail_and_nothing_is_lost() {
    match Replication::of_test_mysql() {
        Ok(Replication::GroupReplication(mysqld)) => {
            let mysqld = mysqld.display().to_string();
            let faults = "database-writer.kill,two-databases.kill,database-writer.restart";
            nothing_is_lost(faults, &["--mysql", &mysqld]).await;
        }
        Ok(Replication::Galera) => unreachable!("it is MySQL"),
        Err(reason) => eprintln!("skipped: {reason}"),
    }
}

#[tokio::test]
async fn a_database_that_runs_already_is_refused() {
    let url = "mysql://root:secret@127.0.0.1:3306";
    let (code, said) = run(&["cluster", "--mysql", url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--mysql: a server that runs already"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_program_without_group_replication_is_refused() {
    let (code, said) = run(&["cluster", "--mysql", "/bin/true"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("--mysql: /bin/true has no group_replication.so"),
        "{said}"
    );
}

#[tokio::test]
async fn a_fault_that_does_not_exist_is_refused() {
    let (code, said) = run(&["cluster", "--chaos", "1s", "--only", "host.hug"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no fault `host.hug`"), "{said}");
}
