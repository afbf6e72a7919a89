//! MySQL servers that are found by one name, while its addresses change and its name server comes and goes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use serde_json::json;
use testbed::{
    DataStore, HostOptions, MariaDb, MariaDbOptions, NameServer, Purpose, Seat, Signal, new_folder,
};

use crate::members::{Pair, make_user, metrics, options_with, readiness, writes_to};
use crate::support::{empty_store, eventually, refuses, wait_for_log};

const NAME: &str = "db.example";

/// The replica's address. Its port is the primary's, as behind a headless service.
const REPLICA: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A primary and its replica, and the name server that says where they are.
struct Service {
    pair: Pair,
    dns: NameServer,
}

impl Service {
    async fn start() -> Self {
        let base = env!("CARGO_TARGET_TMPDIR");
        let store = DataStore::start_on_mariadb_only(base).await.unwrap();
        let port = store.mariadb.as_ref().unwrap().port();
        let replica = replica_at(port).await;
        Self {
            pair: Pair::of(store, replica).await,
            dns: NameServer::start().await.unwrap(),
        }
    }

    /// What a host is started with that follows the name.
    fn options(&self) -> HostOptions {
        by_name(&self.dns, self.pair.primary().port())
    }

    /// From now on, the name stands for these servers.
    fn stands_for(&self, servers: &[&MariaDb]) {
        let addresses: Vec<SocketAddr> = servers.iter().map(|at| address(at)).collect();
        self.dns.set(NAME, 0, &addresses);
    }
}

/// A server with the port of another, at an address of its own.
async fn replica_at(port: u16) -> MariaDb {
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "member").unwrap();
    // It begins with the port that it had last.
    fs::write(folder.join("port"), port.to_string()).unwrap();
    let log = folder.join("mariadb.log");
    let options = MariaDbOptions {
        seat: Seat::at(REPLICA),
        ..MariaDbOptions::new(&folder, log, Purpose::Testing)
    };
    let replica = MariaDb::start(options).await.unwrap();
    assert_eq!(replica.port(), port, "another program has it at {REPLICA}");
    replica
}

fn by_name(dns: &NameServer, port: u16) -> HostOptions {
    // With the dot, as the name is complete: the search domains of this machine don't matter.
    let at = format!("{NAME}.:{port}");
    options_with(&format!("dns:{at}"))
        .variable("mysql_address", &at)
        .arg("--mysql-name-servers")
        .arg(dns.address().to_string())
}

fn address(server: &MariaDb) -> SocketAddr {
    server.address().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_name_are_members() {
    let mut service = Service::start().await;
    service.stands_for(&[&service.pair.replica, service.pair.primary()]);
    let hosts = [
        service.pair.store.host(service.options()).await.unwrap(),
        service.pair.store.host(service.options()).await.unwrap(),
    ];
    for (number, host) in (0..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &service.pair.primary().address()).await);
    }
    service.pair.wait_for_users(2).await;

    let mut primary = service.pair.store.mariadb.take().unwrap();
    primary.kill();
    for host in &hosts {
        eventually("nobody takes writes", async || readiness(host).await == 503).await;
    }
    service.pair.promote().await;
    for (number, host) in (2..).zip(&hosts) {
        make_user(host, number).await;
        assert!(writes_to(host, &service.pair.replica.address()).await);
    }
    assert_eq!(service.pair.users_at(&service.pair.replica).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go_with_their_addresses() {
    let mut service = Service::start().await;
    let [first, second] = [service.pair.primary(), &service.pair.replica].map(MariaDb::address);
    service.stands_for(&[service.pair.primary()]);
    let host = service.pair.store.host(service.options()).await.unwrap();
    make_user(&host, 0).await;
    assert!(writes_to(&host, &first).await);
    assert!(!metrics(&host).await.contains(&second));

    service.stands_for(&[service.pair.primary(), &service.pair.replica]);
    eventually("the replica is a member", async || {
        metrics(&host).await.contains(&second)
    })
    .await;
    make_user(&host, 1).await;
    assert!(writes_to(&host, &first).await);

    // Without a name server, what was known stays.
    service.dns.stop().await;
    wait_for_log(&host, "the addresses known so far (2) stay").await;
    make_user(&host, 2).await;
    service.pair.wait_for_users(3).await;

    // Both take writes from here on, and one of them is a member no longer.
    service.pair.promote().await;
    service.stands_for(&[&service.pair.replica]);
    service.dns.start_again().await.unwrap();
    eventually("it writes to the one that is left", async || {
        writes_to(&host, &second).await
    })
    .await;
    assert!(!metrics(&host).await.contains(&first));
    make_user(&host, 3).await;
    assert_eq!(service.pair.users_at(&service.pair.replica).await, 4);
    assert_eq!(service.pair.users_at(service.pair.primary()).await, 3);
}

/// The next member accepts connections and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_who_has_left_while_the_next_is_silent() {
    let service = Service::start().await;
    let first = service.pair.primary().address();
    service.stands_for(&[service.pair.primary()]);
    let host = service.pair.store.host(service.options()).await.unwrap();
    make_user(&host, 0).await;
    service.pair.wait_for_users(1).await;

    let silent = service.pair.replica.process().unwrap();
    silent.signal(Signal::SIGSTOP).unwrap();
    service.stands_for(&[&service.pair.replica]);
    eventually("the first is no member", async || {
        !metrics(&host).await.contains(&first)
    })
    .await;
    let user = reqwest::Client::new()
        .post(host.url("/users"))
        .json(&json!({"name": "Ada", "email": "member1@example.com"}));
    assert_eq!(user.send().await.unwrap().status(), 503);
    assert_eq!(service.pair.users_at(service.pair.primary()).await, 1);

    silent.signal(Signal::SIGCONT).unwrap();
    service.pair.promote().await;
    make_user(&host, 1).await;
    assert_eq!(service.pair.users_at(service.pair.primary()).await, 1);
    assert_eq!(service.pair.users_at(&service.pair.replica).await, 2);
}

/// A name server leaves out a member that does not answer, which may be the only one that has the latest change.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_left_behind_is_not_believed_though_the_name_stands_for_it_alone() {
    let mut service = Service::start().await;
    let [first, second] = [service.pair.primary(), &service.pair.replica].map(MariaDb::address);
    service.stands_for(&[service.pair.primary(), &service.pair.replica]);
    let host = service.pair.store.host(service.options()).await.unwrap();
    make_user(&host, 0).await;
    service.pair.wait_for_users(1).await;
    let mut primary = service.pair.store.mariadb.take().unwrap();
    primary.kill();
    service.pair.promote().await;
    make_user(&host, 1).await;
    assert!(writes_to(&host, &second).await);

    // It takes writes, as it was when it died.
    primary.start_again().await.unwrap();
    service.stands_for(&[&primary]);
    eventually("it is seen to lag", async || {
        let said = format!("{first}: it lags behind what was seen before");
        host.log().contains(&said) && readiness(&host).await == 503
    })
    .await;
    service.stands_for(&[&primary, &service.pair.replica]);
    make_user(&host, 2).await;
    assert!(writes_to(&host, &second).await);
    assert_eq!(service.pair.users_at(&primary).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_stands_for_nothing_is_told_and_followed() {
    let service = Service::start().await;
    let options = service.options();
    let said = [NAME, "can't be looked up", "there is no such name"];
    refuses(&service.pair.store, options.clone(), 1, &said).await;

    let options = options.arg("--allow-unreachable");
    let host = service.pair.store.host(options).await.unwrap();
    assert_eq!(readiness(&host).await, 503);
    service.stands_for(&[service.pair.primary()]);
    make_user(&host, 0).await;
    eventually("it is ready", async || readiness(&host).await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_for_all_members_stands_alone_and_is_no_address() {
    let store = empty_store().await;
    for (members, part) in [
        ("dns:db.example:3306,other:3306", "name nothing beside it"),
        ("dns:127.0.0.1:3306", "leave `dns:` out"),
        ("dns:elsewhere.example:3306", "not among them"),
    ] {
        refuses(&store, options_with(members), 2, &["--mysql-members", part]).await;
    }
    let asked = options_with("127.0.0.1:3306").args(&["--mysql-name-servers", "127.0.0.1"]);
    let said = ["--mysql-name-servers", "dns:host:port"];
    refuses(&store, asked, 2, &said).await;
}
