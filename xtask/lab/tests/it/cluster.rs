//! `cargo xtask cluster`, for some seconds.

use testbed::Galera;

use crate::support::{program, run};

#[tokio::test]
async fn the_writer_and_a_host_die_and_nothing_is_lost() {
    if !Galera::is_installed() {
        eprintln!("skipped: it needs {}", Galera::NEEDED);
        return;
    }
    let programs = [program("store-host"), program("store-proxy")];
    let [host, proxy] = programs.map(|path| path.display().to_string());
    let faults = ["--only", "database-writer.kill,host.kill"];
    let what = ["cluster", "--chaos", "60s", "--buyers", "6"];
    let how = ["--network", "loopback", "--host", &host, "--proxy", &proxy];
    let (code, said) = run(&[&what[..], &faults, &how].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("✓ nothing was lost"), "{said}");
    for fault in ["| database-writer.kill |", "| host.kill |"] {
        assert!(said.contains(fault), "{said}");
    }
}

#[tokio::test]
async fn a_fault_that_does_not_exist_is_refused() {
    let (code, said) = run(&["cluster", "--chaos", "1s", "--only", "host.hug"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no fault `host.hug`"), "{said}");
}
