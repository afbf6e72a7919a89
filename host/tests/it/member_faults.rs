//! Three members of a database cluster, of which one dies and the next falls silent, whatever replicates them.

use std::collections::BTreeSet;
use std::path::Path;

use mysql_async::prelude::Queryable;
use testbed::{
    DataStore, DatabaseCluster, Host, HostOptions, Purpose, Replication, Seat, Signal, new_folder,
};

use crate::members::{connect, make_user, writes_to};
use crate::support::{Shop, eventually, host_binary, options};

/// The database of [`Purpose::Keeping`] servers, which each has.
pub(crate) const DATABASE: &str = "store";

/// Three members on loopback.
pub(crate) async fn start(replication: Replication) -> DatabaseCluster {
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "cluster").unwrap();
    let seats = [const { Seat::LOOPBACK }; 3];
    let started = DatabaseCluster::start(replication, &folder, Purpose::Testing, seats).await;
    started.unwrap()
}

/// What a host of these members is started with.
pub(crate) fn options_of(cluster: &DatabaseCluster) -> HostOptions {
    let first = &cluster.nodes()[0];
    let url = first.url(DATABASE);
    // mysql://user:password@…
    let mut parts = url.split([':', '/', '@']).skip(3);
    let (user, password) = (parts.next().unwrap(), parts.next().unwrap());
    options()
        .variable("mysql_address", &first.address())
        .variable("mysql_database", DATABASE)
        .variable("mysql_user", user)
        .variable("mysql_password", password)
        .arg("--mysql-members")
        .arg(cluster.members())
}

/// A cluster, and a shop whose host knows all its members. The error says what such a cluster needs that is not there.
pub(crate) async fn shop_on(
    replication: Result<Replication, String>,
) -> Result<(DatabaseCluster, Shop), String> {
    let cluster = start(replication?).await;
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let shop = Shop::on(store, options_of(&cluster)).await;
    Ok((cluster, shop))
}

/// How many reads of a component a member that is not the writer has answered.
pub(crate) async fn stale_reads(shop: &Shop, component: &str) -> f64 {
    let series = format!("store_mysql_stale_reads_total{{component=\"{component}\"}}");
    shop.metric(&series).await
}

/// A host of the store, which has its Redis elsewhere.
async fn host(cluster: &DatabaseCluster, store: &DataStore) -> Host {
    store.host(options_of(cluster)).await.unwrap()
}

/// The e-mail addresses of all users, as one node has them; an error while it is not in step.
async fn users_at(cluster: &DatabaseCluster, node: usize) -> mysql_async::Result<BTreeSet<String>> {
    let mut conn = connect(&cluster.nodes()[node], DATABASE).await;
    conn.query_drop(cluster.replication().wait_for_other_nodes())
        .await?;
    let users: Vec<String> = conn.query("SELECT email FROM users").await?;
    Ok(users.into_iter().collect())
}

/// The node that a host writes to, if that is one of `nodes`.
async fn written_to(host: &Host, cluster: &DatabaseCluster, nodes: &[usize]) -> Option<usize> {
    for node in nodes {
        if writes_to(host, &cluster.nodes()[*node].address()).await {
            return Some(*node);
        }
    }
    None
}

/// Makes users through two hosts while the writer is killed and comes back, and while the next one, which must be one
/// of `next`, is stopped. All users must be on each node in the end.
pub(crate) async fn nothing_is_lost(replication: Replication, next: &[usize]) {
    let mut cluster = start(replication).await;
    testbed::migrate(&host_binary(), &cluster.nodes()[0].url(DATABASE)).unwrap();
    let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let hosts = [host(&cluster, &store).await, host(&cluster, &store).await];
    for (number, host) in (0..).zip(&hosts) {
        make_user(host, number).await;
        assert_eq!(written_to(host, &cluster, &[0]).await, Some(0));
    }

    cluster.kill(0);
    for (number, host) in (2..).zip(&hosts) {
        make_user(host, number).await;
        eventually("it writes to the next", async || {
            written_to(host, &cluster, next).await.is_some()
        })
        .await;
    }
    // It joins again, and is no writer for that.
    let second = written_to(&hosts[0], &cluster, next).await.unwrap();
    cluster.join(&[0]).await.unwrap();
    for (number, host) in (4..).zip(&hosts) {
        make_user(host, number).await;
        assert_eq!(written_to(host, &cluster, &[second]).await, Some(second));
    }

    let silent = cluster.nodes()[second].process().unwrap();
    silent.signal(Signal::SIGSTOP).unwrap();
    let others: Vec<usize> = (0..3).filter(|node| *node != second).collect();
    for (number, host) in (6..).zip(&hosts) {
        make_user(host, number).await;
        eventually("it writes elsewhere", async || {
            written_to(host, &cluster, &others).await.is_some()
        })
        .await;
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
