//! Three members of a Galera cluster: one is written to, and the next when it dies or falls silent.

use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use mysql_async::prelude::Queryable;
use testbed::{
    Host, HostOptions, MariaDb, MariaDbOptions, Purpose, Signal, Store, find_program, new_folder,
};

use crate::members::{address, connect, make_user, writes_to};
use crate::support::{eventually, host_binary, options};

/// Where Debian's `galera-4` has it.
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";

/// The database of [`Purpose::Keeping`] servers, which each has.
const DATABASE: &str = "store";

struct Cluster {
    nodes: Vec<MariaDb>,
    /// The ports on which they speak to one another.
    gossip: Vec<u16>,
}

impl Cluster {
    /// Three members, or `None` where Galera is not installed.
    async fn start() -> Option<Self> {
        let programs = ["wsrep_sst_rsync", "rsync"];
        let has_all = programs
            .iter()
            .all(|program| find_program(program).is_some());
        if !Path::new(PROVIDER).exists() || !has_all {
            eprintln!("skipped: it needs Debian's packages mariadb-server, galera-4 and rsync");
            return None;
        }
        let nodes = futures::future::join_all((0..3).map(|_| node())).await;
        let gossip: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let mut cluster = Self { nodes, gossip };
        // The first begins alone; the others join those that are there.
        for number in 0..3 {
            cluster.join(number, 0..number).await;
        }
        Some(cluster)
    }

    /// Starts a node that joins these others.
    async fn join(&mut self, number: usize, others: std::ops::Range<usize>) {
        let address = |other: usize| format!("127.0.0.1:{}", self.gossip[other]);
        let others: Vec<String> = others.map(address).collect();
        let flags = flags(number, self.gossip[number], &others.join(","));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.nodes[number].restart_with(&flags).await.unwrap();
    }

    fn members(&self) -> String {
        self.nodes.iter().map(address).collect::<Vec<_>>().join(",")
    }

    /// A host of the store, which has its Redis elsewhere.
    async fn host(&self, store: &Store) -> Host {
        let url = self.nodes[0].url(DATABASE);
        let password = url
            .split(':')
            .nth(2)
            .unwrap()
            .split('@')
            .next()
            .unwrap()
            .to_owned();
        let options: HostOptions = options()
            .variable("mysql_address", &address(&self.nodes[0]))
            .variable("mysql_database", DATABASE)
            .variable("mysql_password", &password)
            .arg("--mysql-members")
            .arg(self.members());
        store.host(options).await.unwrap()
    }

    /// The e-mail addresses of all users, as one node has them; an error while it is not in step.
    async fn users_at(&self, node: usize) -> mysql_async::Result<BTreeSet<String>> {
        let mut conn = connect(&self.nodes[node], DATABASE).await;
        conn.query_drop("SET SESSION wsrep_sync_wait = 1").await?;
        let users: Vec<String> = conn.query("SELECT email FROM users").await?;
        Ok(users.into_iter().collect())
    }
}

/// A server, with the password that all of them have: who joins gets the others' users.
async fn node() -> MariaDb {
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "galera").unwrap();
    fs::write(folder.join("password"), "the-same-on-all-of-them").unwrap();
    let options = MariaDbOptions {
        log: folder.join("mariadb.log"),
        folder,
        purpose: Purpose::Testing,
    };
    MariaDb::start(options).await.unwrap()
}

fn flags(number: usize, gossip: u16, cluster: &str) -> Vec<String> {
    let (state, transfer) = (free_port(), free_port());
    let mut flags = vec![
        format!("--wsrep-node-name=node-{number}"),
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={PROVIDER}"),
        format!("--wsrep-cluster-address=gcomm://{cluster}"),
        "--wsrep-cluster-name=store".to_owned(),
        "--wsrep-node-address=127.0.0.1".to_owned(),
        // A member that was killed is given up after a second, not five (docs/RUNBOOK.md).
        format!(
            "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{gossip};ist.recv_addr=127.0.0.1:{transfer};\
             evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;evs.join_retrans_period=PT0.3S;\
             evs.suspect_timeout=PT1S;evs.inactive_timeout=PT5S;evs.install_timeout=PT5S;gcache.size=16M"
        ),
        format!("--wsrep-sst-receive-address=127.0.0.1:{state}"),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
    ];
    if number == 0 && !cluster.is_empty() {
        // Not from the writer, which would be busy with it.
        flags.push("--wsrep-sst-donor=node-2,".to_owned());
    }
    flags
}

/// A port that is free for TCP and UDP.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_member_is_written_to_when_one_dies_or_falls_silent() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    testbed::migrate(&host_binary(), &cluster.nodes[0].url(DATABASE)).unwrap();
    let store = Store::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
    let hosts = [cluster.host(&store).await, cluster.host(&store).await];
    let [first, second, third] = [0, 1, 2].map(|node| address(&cluster.nodes[node]));
    for (number, host) in (0..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &first).await);
    }

    cluster.nodes[0].kill();
    for (number, host) in (2..).zip(&hosts) {
        make_user(host, number).await;
        eventually("it writes to the second", async || {
            writes_to(host, &second).await
        })
        .await;
    }
    // It joins again, and is no writer for that.
    cluster.join(0, 1..3).await;
    for (number, host) in (4..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &second).await);
    }

    let silent = cluster.nodes[1].process().unwrap();
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
            cluster
                .users_at(node)
                .await
                .is_ok_and(|users| users == expected)
        })
        .await;
    }
}
