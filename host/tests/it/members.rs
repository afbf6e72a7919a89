//! Several MySQL servers of which one is written to: a primary and its replica.

use std::path::Path;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::json;
use testbed::{
    DataStore, Host, HostOptions, MariaDb, MariaDbOptions, Purpose, migrate, new_folder,
};

use crate::backends::backend_shop_on;
use crate::support::{PATIENCE, eventually, host_binary, options, refuses, wait_for_log};

/// The user of the hosts, who may not write where others may not.
const USER: &str = "member";

/// A primary and its replica, which hold one store's data.
pub(crate) struct Pair {
    pub(crate) store: DataStore,
    pub(crate) replica: MariaDb,
    database: String,
}

pub(crate) async fn mariadb() -> MariaDb {
    let folder = new_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), "member").unwrap();
    let options = MariaDbOptions::new(&folder, folder.join("mariadb.log"), Purpose::Testing);
    MariaDb::start(options).await.unwrap()
}

pub(crate) async fn connect(server: &MariaDb, database: &str) -> Conn {
    let opts = mysql_async::Opts::from_url(&server.url(database)).unwrap();
    let opts = mysql_async::OptsBuilder::from_opts(opts).prefer_socket(false);
    Conn::new(opts).await.unwrap()
}

/// What a host of these members is started with, in the order in which it prefers them.
fn options_of(members: &[&MariaDb]) -> HostOptions {
    let members: Vec<String> = members.iter().map(|member| member.address()).collect();
    options_with(&members.join(","))
}

/// What a host is started with whose `--mysql-members` are these.
pub(crate) fn options_with(members: &str) -> HostOptions {
    options()
        .variable("mysql_user", USER)
        .variable("mysql_password", USER)
        .arg("--mysql-members")
        .arg(members)
}

/// The same, for a host that remembers in `folder` what it has seen.
fn remembering(options: HostOptions, folder: &Path) -> HostOptions {
    options
        .arg("--state-folder")
        .arg(folder.display().to_string())
}

/// A server with another store's data in a database of the same name.
async fn stranger(database: &str) -> MariaDb {
    let stranger = mariadb().await;
    migrate(&host_binary(), &stranger.url(database)).unwrap();
    let mut conn = connect(&stranger, database).await;
    admit(&mut conn, database).await;
    stranger
}

/// Makes the user of the hosts.
async fn admit(conn: &mut Conn, database: &str) {
    let user = format!("CREATE USER '{USER}'@'%' IDENTIFIED BY '{USER}'");
    let rights = format!("GRANT ALL ON `{database}`.* TO '{USER}'@'%'");
    run(conn, &[&user, &rights]).await;
}

async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap();
    }
}

impl Pair {
    async fn start() -> Self {
        let base = env!("CARGO_TARGET_TMPDIR");
        let (store, replica) = tokio::join!(DataStore::start_on_mariadb_only(base), mariadb());
        Self::of(store.unwrap(), replica).await
    }

    /// Makes `replica` follow the MariaDB of `store`, which is its own.
    pub(crate) async fn of(mut store: DataStore, mut replica: MariaDb) -> Self {
        let mut primary = store.mariadb.take().unwrap();
        let url = store.addresses().mysql_url();
        let database = url.rsplit('/').next().unwrap().to_owned();
        primary
            .restart_with(&["--log-bin=bin", "--server-id=1", "--binlog-format=ROW"])
            .await
            .unwrap();
        replica.restart_with(&["--server-id=2"]).await.unwrap();
        replica.create_database(&database).await.unwrap();
        let mut conn = connect(&primary, &database).await;
        let own = [
            "CREATE USER 'copy'@'%' IDENTIFIED BY 'copy'",
            "GRANT REPLICATION SLAVE ON *.* TO 'copy'@'%'",
        ];
        run(&mut conn, &own).await;
        let source = format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='copy', \
             MASTER_PASSWORD='copy', MASTER_USE_GTID=slave_pos",
            primary.port()
        );
        let position: String = conn
            .query_first("SELECT @@gtid_binlog_pos")
            .await
            .unwrap()
            .unwrap();
        let position = format!("SET GLOBAL gtid_slave_pos = '{position}'");
        let mut copy = connect(&replica, &database).await;
        run(
            &mut copy,
            &[
                "SET GLOBAL read_only = ON",
                &position,
                &source,
                "START SLAVE",
            ],
        )
        .await;
        admit(&mut conn, &database).await;
        store.mariadb = Some(primary);
        store.migrate(host_binary()).unwrap();
        eventually("the replica has the tables", async || {
            let there = "SELECT COUNT(*) FROM mysql_writer";
            copy.query_first::<i64, _>(there)
                .await
                .is_ok_and(|count| count == Some(1))
        })
        .await;
        Self {
            store,
            replica,
            database,
        }
    }

    pub(crate) fn primary(&self) -> &MariaDb {
        self.store.mariadb.as_ref().unwrap()
    }

    fn options(&self) -> HostOptions {
        options_of(&[self.primary(), &self.replica])
    }

    pub(crate) async fn users_at(&self, server: &MariaDb) -> i64 {
        self.number(server, "SELECT COUNT(*) FROM users").await
    }

    /// Waits until the replica has so many users.
    pub(crate) async fn wait_for_users(&self, users: i64) {
        let has_them = async || self.users_at(&self.replica).await == users;
        eventually("the replica has the users", has_them).await;
    }

    async fn term_at(&self, server: &MariaDb) -> i64 {
        self.number(server, "SELECT term FROM mysql_writer").await
    }

    async fn number(&self, server: &MariaDb, query: &str) -> i64 {
        let mut conn = connect(server, &self.database).await;
        conn.query_first(query).await.unwrap().unwrap()
    }

    async fn run_at(&self, server: &MariaDb, statements: &[&str]) {
        let mut conn = connect(server, &self.database).await;
        run(&mut conn, statements).await;
    }

    /// Lets the replica take over, as an operator does.
    pub(crate) async fn promote(&self) {
        let statements = [
            "STOP SLAVE",
            "RESET SLAVE ALL",
            "SET GLOBAL read_only = OFF",
        ];
        self.run_at(&self.replica, &statements).await;
    }
}

/// Asks a host for a user until it has made one.
pub(crate) async fn make_user(host: &Host, number: u32) {
    let body = json!({"name": "Ada", "email": format!("member{number}@example.com")});
    eventually("a user is made", async || {
        let client = reqwest::Client::new();
        let answer = client
            .post(host.url("/users"))
            .json(&body)
            .send()
            .await
            .unwrap();
        // Asked again after an answer that was lost.
        [201, 409].contains(&answer.status().as_u16())
    })
    .await;
}

pub(crate) async fn metrics(host: &Host) -> String {
    let url = host.admin_url("/metrics");
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

pub(crate) async fn writes_to(host: &Host, server: &str) -> bool {
    says_of_member(host, "store_mysql_member_writer", server).await
}

async fn says_of_member(host: &Host, family: &str, server: &str) -> bool {
    let end = format!(",member=\"{server}\"}} 1");
    let metrics = metrics(host).await;
    let mut members = metrics.lines().filter(|line| line.starts_with(family));
    members.any(|line| line.ends_with(&end))
}

/// Ends a host in good order.
async fn end(host: &Host) {
    host.sigterm().unwrap();
    host.wait_exit(PATIENCE).await.unwrap();
}

pub(crate) async fn readiness(host: &Host) -> u16 {
    let answer = reqwest::get(host.url("/readyz")).await.unwrap();
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_write_to_the_member_that_takes_writes() {
    let mut pair = Pair::start().await;
    let one = pair.store.host(pair.options()).await.unwrap();
    // The address of the app may be any of them.
    let by_replica = pair
        .options()
        .variable("mysql_address", &pair.replica.address());
    let other = pair.store.host(by_replica).await.unwrap();
    // As if the last change was made by a clock that is ahead.
    let ahead = "UPDATE mysql_writer SET changed_at = UTC_TIMESTAMP() + INTERVAL 1 DAY";
    pair.run_at(pair.primary(), &[ahead]).await;
    make_user(&one, 1).await;
    make_user(&other, 2).await;
    assert_eq!(pair.users_at(pair.primary()).await, 2);
    assert!(writes_to(&one, &pair.primary().address()).await);
    pair.wait_for_users(2).await;

    let mut primary = pair.store.mariadb.take().unwrap();
    primary.kill();
    for host in [&one, &other] {
        eventually("nobody takes writes", async || readiness(host).await == 503).await;
    }
    // Nobody can say what a replica has missed, so it is not read from.
    let read = reqwest::get(one.url("/users/1")).await.unwrap();
    assert_eq!(read.status(), 503);
    assert!(
        one.log().contains("No MySQL member takes writes"),
        "{}",
        one.log()
    );
    pair.promote().await;
    for (host, number) in [(&one, 3), (&other, 4)] {
        make_user(host, number).await;
        eventually("it is ready", async || readiness(host).await == 200).await;
        assert!(writes_to(host, &pair.replica.address()).await);
    }
    assert_eq!(pair.users_at(&pair.replica).await, 4);

    // It comes back as it was, takes writes, and has not heard that it is the writer no longer.
    primary.start_again().await.unwrap();
    eventually("it is seen", async || {
        says_of_member(&one, "store_mysql_member_fit", &primary.address()).await
    })
    .await;
    make_user(&one, 5).await;
    make_user(&other, 6).await;
    assert_eq!(pair.users_at(&primary).await, 2);
    assert_eq!(pair.users_at(&pair.replica).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_does_not_wait_for_a_writer_fails_at_once() {
    let Pair {
        mut store,
        replica,
        database,
    } = Pair::start().await;
    let primary = store.mariadb.take().unwrap();
    let members = format!("{},{}", primary.address(), replica.address());
    let shop = backend_shop_on(store, "", |options| {
        options.arg("--mysql-members").arg(&members)
    })
    .await;
    let open = format!(
        "mysql mysql://{USER}:{USER}@{}/{database}",
        primary.address()
    );
    eventually("there is a writer", async || {
        shop.last(&format!("{open}\nquery SELECT 1")).await == "1"
    })
    .await;
    let steps = format!("{open}\nquery SELECT 1 /* no wait */");
    assert_eq!(shop.last(&steps).await, "1");

    let mut conn = connect(&primary, &database).await;
    run(&mut conn, &["SET GLOBAL read_only = ON"]).await;
    let at_once = "no MySQL member takes writes at the moment";
    eventually("there is no writer", async || {
        shop.last(&steps).await.contains(at_once)
    })
    .await;
    // A connection that could not be made is made for the next statement. Replicas of this kind answer no reads.
    let steps = format!(
        "{open}\nquery SELECT 1 /* no wait */\nquery SELECT 1\nquery SELECT 1 /* may be stale */\nquery SELECT 1 /* no wait */"
    );
    let answers = shop.steps(&steps).await;
    let waited = "no member takes writes: ";
    for (answer, reason) in answers.iter().zip(["ok", at_once, waited, waited, at_once]) {
        assert!(answer.contains(reason), "{answers:?}");
    }
    assert_eq!(answers.len(), 5);
    run(&mut conn, &["SET GLOBAL read_only = OFF"]).await;
    eventually("there is a writer again", async || {
        shop.last(&steps).await == "1"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_make_who_was_left_behind_the_writer() {
    let mut pair = Pair::start().await;
    let state = pair.store.folder().join("state");
    let options = remembering(pair.options(), &state).arg("--allow-unreachable");
    let host = pair.store.host(options.clone()).await.unwrap();
    make_user(&host, 1).await;
    pair.wait_for_users(1).await;
    let mut primary = pair.store.mariadb.take().unwrap();
    primary.kill();
    pair.promote().await;
    make_user(&host, 2).await;
    assert!(writes_to(&host, &pair.replica.address()).await);
    end(&host).await;

    // It takes writes and is named first, and who knows better is away.
    primary.start_again().await.unwrap();
    pair.replica.kill();
    let host = pair.store.host(options).await.unwrap();
    wait_for_log(&host, "it lags behind what was seen before").await;
    assert_eq!(readiness(&host).await, 503);
    assert_eq!(pair.term_at(&primary).await, 1);
    pair.replica.start_again().await.unwrap();
    make_user(&host, 3).await;
    assert!(writes_to(&host, &pair.replica.address()).await);
    assert_eq!(pair.users_at(&primary).await, 1);

    // Both are restored to when the primary was written to.
    let restore = format!(
        "UPDATE mysql_writer SET term = 1, member = '{}'",
        primary.address()
    );
    pair.run_at(&pair.replica, &[&restore]).await;
    eventually("what all show is believed", async || {
        writes_to(&host, &primary.address()).await
    })
    .await;
    assert!(host.log().contains("were restored"), "{}", host.log());
    make_user(&host, 4).await;
    assert_eq!(pair.users_at(&primary).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_named_first_is_outvoted_by_a_primary_and_its_replica() {
    let mut pair = Pair::start().await;
    let stranger = stranger(&pair.database).await;
    let options = options_of(&[&stranger, pair.primary(), &pair.replica]);
    let mut primary = pair.store.mariadb.take().unwrap();
    primary.kill();
    pair.replica.kill();
    let options = options.arg("--allow-unreachable");
    let host = pair.store.host(options).await.unwrap();
    wait_for_log(&host, "1 of 3 have").await;
    assert_eq!(readiness(&host).await, 503);
    pair.replica.start_again().await.unwrap();
    eventually("one stands against one", async || {
        let sides = [stranger.address(), pair.replica.address()];
        let log = host.log();
        let mut orders = [(0, 1), (1, 0)].into_iter();
        orders.any(|(a, b)| log.contains(&format!("{} against {}", sides[a], sides[b])))
    })
    .await;
    assert_eq!(readiness(&host).await, 503);
    // It makes its user anew, which the replica follows.
    primary.start_again().await.unwrap();
    make_user(&host, 1).await;
    assert!(writes_to(&host, &primary.address()).await);
    let said = format!(
        "MySQL member {}: it holds another store's data",
        stranger.address()
    );
    wait_for_log(&host, &said).await;
    let fit = "store_mysql_member_fit";
    assert!(says_of_member(&host, fit, &primary.address()).await);
    assert!(!says_of_member(&host, fit, &stranger.address()).await);
    assert_eq!(pair.users_at(&primary).await, 1);
    assert_eq!(pair.term_at(&stranger).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_never_becomes_the_writer() {
    let base = env!("CARGO_TARGET_TMPDIR");
    let mut store = DataStore::start_with_own_mariadb(base).await.unwrap();
    store.migrate(host_binary()).unwrap();
    let mut own = store.mariadb.take().unwrap();
    let url = store.addresses().mysql_url().to_owned();
    let database = url.rsplit('/').next().unwrap();
    admit(&mut connect(&own, database).await, database).await;
    let stranger = stranger(database).await;
    let both = options_of(&[&stranger, &own]);
    // Nobody knows whose data these are.
    refuses(&store, both.clone(), 1, &["one store's data as another's"]).await;

    let state = store.folder().join("state");
    let alone = remembering(options_of(&[&own]), &state);
    let host = store.host(alone).await.unwrap();
    make_user(&host, 1).await;
    end(&host).await;
    let host = store.host(remembering(both, &state)).await.unwrap();
    make_user(&host, 2).await;
    assert!(writes_to(&host, &own.address()).await);
    own.kill();
    eventually("nobody takes writes", async || {
        readiness(&host).await == 503
    })
    .await;
    assert!(
        host.log().contains("another store's data"),
        "{}",
        host.log()
    );

    let elsewhere = options_of(&[&stranger]);
    refuses(&store, elsewhere, 2, &["--mysql-members", "not among them"]).await;
    let twice = options_of(&[&own, &own]);
    refuses(&store, twice, 2, &["--mysql-members", "named twice"]).await;
}
