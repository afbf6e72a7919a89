//! Redis with TLS: one server, the primary that Sentinels find, and a Redis Cluster.

use testbed::{
    DataStore, Host, HostOptions, RedisCluster, RedisOptions, RedisServer, Seat, Sentinel,
    SentinelOptions, connect_redis, free_port,
};

use crate::operator::with_token;
use crate::redis_cluster::{PREFIX, cache_is_used, order, replica_takes_over};
use crate::sentinel::{NEVER_TILT, SILENCE};
use crate::support::{PATIENCE, Shop, empty_store, eventually, options, refuses};
use crate::tls::{Papers, with_flags};

/// The name that the Sentinel watches.
const NAME: &str = "store-cache";

/// Makes a user who needs a password.
const MAKE_USER: [&str; 8] = [
    "ACL",
    "SETUSER",
    "asker",
    "on",
    ">s3cr/t@1%#",
    "~*",
    "&*",
    "+@all",
];

/// That password, as a URL spells it.
const PASSWORD: &str = "s3cr%2Ft%401%25%23";

/// A host that speaks TLS to `rediss` addresses, and gives the user's name with this password.
fn asking(papers: &Papers, password: &str) -> HostOptions {
    with_flags(options(), &papers.flags("redis"))
        .variable("redis_scheme", "rediss")
        .variable("redis_user", "asker")
        .variable("redis_password", password)
}

/// The same, but it trusts another authority.
fn trusting_strangers(papers: &Papers) -> HostOptions {
    let mut flags = papers.flags("redis");
    flags[1] = papers.file("stranger.pem");
    with_flags(options(), &flags).variable("redis_scheme", "rediss")
}

/// What a server answers, or nothing: a Sentinel closes the connections of one whose part changes.
async fn says(url: &str, words: &[&str]) -> String {
    let answer = async {
        let mut connection = connect_redis(url).await.ok()?;
        let mut command = redis::cmd(words[0]);
        let answer = command.arg(&words[1..]).query_async(&mut connection);
        answer.await.ok()
    };
    answer.await.unwrap_or_default()
}

/// Checks that the user is logged in at the server's port for TLS.
async fn assert_serves_the_user(server: &RedisServer) {
    let clients = says(&server.url(), &["CLIENT", "LIST"]).await;
    let port = format!(" laddr=127.0.0.1:{} ", server.tls_port().unwrap());
    let mut of_port = clients.lines().filter(|client| client.contains(&port));
    assert!(
        of_port.any(|client| client.contains(" user=asker ")),
        "{clients}"
    );
}

/// The address of the store's Redis with TLS, which wants a certificate of ours.
async fn redis_with_tls(store: &DataStore, papers: &Papers, name: &str) -> String {
    let mut redis = store.redis().await.unwrap();
    let mut files = redis::cmd("CONFIG");
    files
        .arg("SET")
        .arg("tls-ca-cert-file")
        .arg(papers.file("ca.pem"));
    files
        .arg("tls-cert-file")
        .arg(papers.file(&format!("{name}.pem")));
    files
        .arg("tls-key-file")
        .arg(papers.file(&format!("{name}.key")));
    files.exec_async(&mut redis).await.unwrap();
    let mut port = 0;
    // Another process may take the port before Redis does.
    eventually("Redis listens on a port for TLS", async || {
        port = free_port().unwrap();
        let mut listen = redis::cmd("CONFIG");
        listen.arg("SET").arg("tls-port").arg(port);
        listen.exec_async(&mut redis).await.is_ok()
    })
    .await;
    format!("127.0.0.1:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_spoken_to_with_tls_by_flag_and_by_scheme() {
    let store = empty_store().await;
    let papers = Papers::issue(&store);
    let address = redis_with_tls(&store, &papers, "server").await;
    let options = with_token(options()).variable("redis_address", &address);
    let by_scheme = options.clone().variable("redis_scheme", "rediss");
    let said = [address.as_str(), "UnknownIssuer", "--redis-ca"];
    refuses(&store, by_scheme.clone(), 2, &said).await;
    let no_certificate = by_scheme
        .clone()
        .arg("--redis-ca")
        .arg(papers.file("ca.pem"));
    let said = ["ertificate", &address, "--redis-tls"];
    refuses(&store, no_certificate, 2, &said).await;

    let shop = Shop::on(store, with_flags(by_scheme, &papers.flags("redis"))).await;
    shop.refreshed().await;
    let by_flag = with_flags(options, &papers.flags("redis"));
    let host = shop.store.host(by_flag).await.unwrap();
    let report = host.url("/orders/reports/best-sellers");
    assert_eq!(reqwest::get(report).await.unwrap().status(), 200);
    assert_eq!(errors_of_redis(&shop).await, 0.0);
}

async fn errors_of_redis(shop: &Shop) -> f64 {
    shop.metric("store_redis_errors_total{component=\"reports\"}")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_without_tls_is_told_apart_from_one_that_is_down() {
    let store = empty_store().await;
    let required = store.placed(options().arg("--redis-tls").arg("require"));
    let ended = Host::run_to_end(&required, store.addresses(), PATIENCE).await;
    let (status, said) = ended.unwrap();
    for part in ["Redis at 127.0.0.1", "TLS"] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    // It answers in the clear, or waits for more, which depends on random bytes. A server that starts does so, too.
    assert_eq!(status.code(), Some(1), "{said}");
}

/// A primary, its replica, and the Sentinel that watches them. All speak TLS to one another.
struct WatchedPair {
    primary: RedisServer,
    replica: RedisServer,
    sentinel: Sentinel,
}

impl WatchedPair {
    async fn start(store: &DataStore, papers: &Papers) -> Self {
        let primary = with_user(store, papers, "primary").await;
        let replica = with_user(store, papers, "replica").await;
        let port = primary.tls_port().unwrap().to_string();
        let follow = ["REPLICAOF", "127.0.0.1", &port];
        assert_eq!(says(&replica.url(), &follow).await, "OK");
        eventually("the replica is in step", async || {
            let part = says(&replica.url(), &["INFO", "replication"]).await;
            part.contains("master_link_status:up")
        })
        .await;
        let options = SentinelOptions {
            folder: store.folder().join("sentinel"),
            seat: Seat::LOOPBACK,
            name: NAME.to_owned(),
            primary: format!("127.0.0.1:{port}"),
            quorum: 1,
            silence: SILENCE,
            tls: Some(papers.of("server")),
        };
        let sentinel = Sentinel::start(options).await.unwrap();
        let pair = Self {
            primary,
            replica,
            sentinel,
        };
        pair.ask_sentinel(&NEVER_TILT).await;
        eventually("the Sentinel knows the replica", async || {
            let known = pair.ask_sentinel(&["INFO", "sentinel"]).await;
            known.contains("slaves=1")
        })
        .await;
        pair
    }

    async fn ask_sentinel(&self, words: &[&str]) -> String {
        says(&format!("redis://{}", self.sentinel.address()), words).await
    }

    /// The Sentinel's address with TLS.
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.sentinel.tls_port().unwrap())
    }

    /// The same host, which asks this Sentinel.
    fn asked_by(&self, host: HostOptions) -> HostOptions {
        host.variable("redis_address", NAME)
            .arg("--redis-sentinel")
            .arg(self.address())
    }

    /// Has the replica take over.
    async fn fail_over(&self) {
        eventually("the replica is the primary", async || {
            let part = says(&self.replica.url(), &["INFO", "replication"]).await;
            let is_primary = part.contains("role:master");
            if !is_primary {
                // Refused while the Sentinel does not know the replica well enough, or does it already.
                self.ask_sentinel(&["SENTINEL", "FAILOVER", NAME]).await;
            }
            is_primary
        })
        .await;
    }
}

/// A server that speaks TLS and has the user.
async fn with_user(store: &DataStore, papers: &Papers, name: &str) -> RedisServer {
    let files = |name: String| store.folder().join(name);
    let options = RedisOptions {
        tls: Some(papers.of("server")),
        ..RedisOptions::new(files(name.to_owned()), files(format!("{name}.log")))
    };
    let server = RedisServer::start(options).await.unwrap();
    assert_eq!(says(&server.url(), &MAKE_USER).await, "OK");
    server
}

/// Orders until a server has what was ordered, and checks who put it there.
async fn is_used(server: &RedisServer, shop: &Shop, user: i64, product: i64, left: &mut i64) {
    eventually("orders are cached", async || {
        let key = format!("order:{}", order(shop, user, product, left).await);
        says(&server.url(), &["EXISTS", &key]).await == "1"
    })
    .await;
    assert_serves_the_user(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_the_primary_that_they_find_are_spoken_to_with_tls() {
    let store = empty_store().await;
    let papers = Papers::issue(&store);
    let pair = WatchedPair::start(&store, &papers).await;
    let distrusting = pair.asked_by(trusting_strangers(&papers));
    let said = [
        "no TLS with the Sentinels",
        &pair.address(),
        "UnknownIssuer",
        "--redis-ca",
    ];
    refuses(&store, distrusting, 2, &said).await;
    let wrong = pair.asked_by(asking(&papers, "wrong"));
    refuses(&store, wrong, 2, &[NAME, "check the user, password"]).await;

    let right = pair.asked_by(asking(&papers, PASSWORD));
    let shop = Shop::on(store, right).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    is_used(&pair.primary, &shop, user, product, &mut left).await;
    pair.fail_over().await;
    is_used(&pair.replica, &shop, user, product, &mut left).await;
    assert!(!shop.host.log().contains("s3cr"), "{}", shop.host.log());
}

/// The Sentinel has a port without TLS, too.
#[tokio::test(flavor = "multi_thread")]
async fn sentinels_may_be_asked_without_tls_for_a_primary_that_speaks_it() {
    let store = empty_store().await;
    let papers = Papers::issue(&store);
    let pair = WatchedPair::start(&store, &papers).await;
    let options = asking(&papers, PASSWORD)
        .variable("redis_address", NAME)
        .arg("--redis-sentinel")
        .arg(pair.sentinel.address())
        .arg("--redis-tls")
        .arg("off");
    let shop = Shop::on(store, options).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    is_used(&pair.primary, &shop, user, product, &mut 1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_spoken_to_with_tls_and_a_slot_that_moves_is_followed() {
    let store = empty_store().await;
    let papers = Papers::issue(&store);
    let files = papers.of("server");
    let cluster = RedisCluster::start_with_tls(store.folder(), &files).await;
    let cluster = cluster.unwrap();
    for node in &cluster.nodes {
        assert_eq!(says(&node.url(), &MAKE_USER).await, "OK");
    }
    let with_nodes = |host: HostOptions| {
        host.variable("redis_address", NAME)
            .variable("redis_key_prefix", PREFIX)
            .arg("--redis-cluster")
            .arg(cluster.tls_addresses())
    };
    let distrusting = with_nodes(trusting_strangers(&papers));
    let said = [NAME, "UnknownIssuer", "--redis-ca"];
    refuses(&store, distrusting, 2, &said).await;
    let wrong = with_nodes(asking(&papers, "wrong"));
    refuses(&store, wrong, 2, &[NAME, "check the user, password"]).await;

    let shop = Shop::on(store, with_nodes(asking(&papers, PASSWORD))).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let mut left = 1000;
    cache_is_used(&cluster, &shop, user, product, &mut left).await;
    let before = cluster.holder(PREFIX).await.unwrap();
    assert_serves_the_user(&cluster.nodes[before]).await;
    let after = replica_takes_over(&cluster, &shop, user, product, &mut left).await;
    assert_serves_the_user(&cluster.nodes[after]).await;
    assert!(!shop.host.log().contains("s3cr"), "{}", shop.host.log());
}
