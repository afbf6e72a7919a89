//! Three members of a Galera cluster: one is written to, and the next when it dies or falls silent.

use std::collections::BTreeSet;
use std::path::Path;

use mysql_async::prelude::Queryable;
use testbed::{DataStore, Galera, Host, HostOptions, Purpose, Seat, Signal, new_folder};

use crate::members::{connect, make_user, writes_to};
use crate::support::{eventually, host_binary, options};

/// The database of [`Purpose::Keeping`] servers, which each has.
const DATABASE: &str = "store";

/// Three members, or `None` where Galera is not installed.
async fn cluster() -> Option<Galera> {
    if !Galera::is_installed() {
        eprintln!("skipped: it needs {}", Galera::NEEDED);
        return None;
    }
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "galera").unwrap();
    let seats = [const { Seat::LOOPBACK }; 3];
    let started = Galera::start(&folder, Purpose::Testing, seats).await;
    Some(started.unwrap())
}

/// A host of the store, which has its Redis elsewhere.
async fn host(cluster: &Galera, store: &DataStore) -> Host {
    let first = &cluster.nodes()[0];
    let url = first.url(DATABASE);
    let password = url.split([':', '@']).nth(2).unwrap();
    let options: HostOptions = options()
        .variable("mysql_address", &first.address())
        .variable("mysql_database", DATABASE)
        .variable("mysql_password", password)
        .arg("--mysql-members")
        .arg(cluster.members());
    store.host(options).await.unwrap()
}

/// The e-mail addresses of all users, as one node has them; an error while it is not in step.
async fn users_at(cluster: &Galera, node: usize) -> mysql_async::Result<BTreeSet<String>> {
    let mut conn = connect(&cluster.nodes()[node], DATABASE).await;
    conn.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
    let users: Vec<String> = conn.query("SELECT email FROM users").await?;
    Ok(users.into_iter().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_member_is_written_to_when_one_dies_or_falls_silent() {
    let Some(mut cluster) = cluster().await else {
        return;
    };
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let hosts = [host(&cluster, &store).await, host(&cluster, &store).await];
    let [first, second, third] = [0, 1, 2].map(|node| cluster.nodes()[node].address());
    for (number, host) in (0..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &first).await);
    }

    cluster.kill(0);
    for (number, host) in (2..).zip(&hosts) {
        make_user(host, number).await;
        eventually("it writes to the second", async || {
            writes_to(host, &second).await
        })
        .await;
    }
    // It joins again, and is no writer for that.
    cluster.join(&[0]).await.unwrap();
    for (number, host) in (4..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &second).await);
    }

    let silent = cluster.nodes()[1].process().unwrap();
    silent.signal(Signal::SIGSTOP).unwrap();
    for (number, host) in (6..).zip(&hosts) {
        make_user(host, number).await;
        let went_on = async || writes_to(host, &first).await || writes_to(host, &third).await;
        eventually("it writes elsewhere", went_on).await;
    }
    silent.signal(Signal::SIGCONT).unwrap();
    let expected: BTreeSet<String> = (0..8).map(|n| format!("member{n}@example.com")).collect();
    for node in 0..3 {
        eventually("all users are on each", async || {
            users_at(&cluster, node)
                .await
                .is_ok_and(|users| users == expected)
        })
        .await;
    }
}
