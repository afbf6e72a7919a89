//! What one request leaves on a MySQL session is nobody else's.

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use testbed::DataStore;

use crate::backends::{backend_shop, backend_shop_on};
use crate::mysql_relay::{MysqlRelay, mysql_address};
use crate::operator::bare_store;
use crate::support::{Shop, eventually, host_binary, options, send, try_send, wait_for_log};

const OPENED: &str = "store_mysql_connections_opened_total{component=\"guest\"}";
const IDLE: &str = "store_mysql_pool_idle{component=\"guest\"}";
const REFUSED: &str = "store_outbound_refused_total{component=\"guest\",reason=\"address\"}";

/// A shop with one MySQL connection, so that each request gets the one of the request before, and what a schema's owner
/// may have made.
async fn shop() -> Shop {
    shop_with("1", &[]).await
}

/// The same with so many connections, and with more in the schema.
async fn shop_with(connections: &str, more: &[&str]) -> Shop {
    let shop = backend_shop_on(bare_store().await, "", |options| {
        options.arg("--mysql-pool-size").arg(connections)
    })
    .await;
    let mut mysql = shop.store.mysql().await.unwrap();
    for statement in [
        "CREATE TABLE t (id INT PRIMARY KEY, n INT)",
        "INSERT INTO t VALUES (1, 1), (2, 2)",
        "CREATE PROCEDURE breaks() BEGIN SET autocommit = 0; SET SESSION sql_mode = ''; \
         SIGNAL SQLSTATE '45000'; END",
        "CREATE FUNCTION marks() RETURNS INT DETERMINISTIC BEGIN SET @left = 7; RETURN 1; END",
    ]
    .iter()
    .chain(more)
    {
        mysql.query_drop(*statement).await.unwrap();
    }
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_leaves_behind_is_gone_for_the_next() {
    let shop = shop().await;
    // What to do, what to look at afterwards, and what a session has that nobody touched.
    let untouched = "SELECT CONCAT(@@autocommit + 0, IFNULL(@left, '-'), IFNULL(IS_USED_LOCK('x'), '-'), @@sql_mode = '', LAST_INSERT_ID())";
    let clean = shop.last(&format!("MYSQL\nquery {untouched}")).await;
    assert_eq!(clean, "1--00");
    for leaves in [
        "execute CALL breaks()",
        "query SELECT GET_LOCK('x', 0), (SELECT id FROM t)",
        "execute SELECT GET_LOCK ('x', 0)",
        // The guest can't have a decimal number, so the rest is not read. What it asks next does not undo that.
        "query SELECT GET_LOCK('x', 0), 1.5\nquery SELECT 1",
        "query SELECT marks()",
        "query SELECT `marks`()",
        "query SELECT id FROM t WHERE n = marks() OR 1",
        "query SELECT id FROM t WHERE id = marks() AND (SELECT id FROM t)",
        "execute UPDATE t SET n = marks()",
        "execute SET @left = 1",
        "execute SET autocommit = 0",
        "query SELECT 1 /*! , @left := 5 */",
        "query SELECT CAST(LAST_INSERT_ID(77) AS SIGNED)",
    ] {
        shop.steps(&format!("MYSQL\n{leaves}")).await;
        let found = shop.last(&format!("MYSQL\nquery {untouched}")).await;
        assert_eq!(found, clean, "after `{leaves}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_or_a_trigger_leaves_behind_is_gone_too() {
    let left = "MYSQL\nquery SELECT IFNULL(@left, '-')";
    for (hides, step) in [
        (
            "CREATE VIEW hides AS SELECT marks() AS n",
            "query SELECT n FROM hides",
        ),
        (
            "CREATE TRIGGER hides BEFORE UPDATE ON t FOR EACH ROW SET @left = 9",
            "execute UPDATE t SET n = 5",
        ),
    ] {
        let shop = shop_with("1", &[hides]).await;
        shop.steps(&format!("MYSQL\n{step}")).await;
        assert_eq!(shop.last(left).await, "-", "{hides}");
    }
}

/// The component makes the view itself, on the connection that the next request gets.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_of_the_components_own_leaves_behind_is_gone_too() {
    let shop = shop().await;
    let made = "MYSQL\nexecute CREATE VIEW hides AS SELECT marks() AS n";
    assert_eq!(shop.last(made).await, "ok");
    assert_eq!(shop.last("MYSQL\nquery SELECT n FROM hides").await, "1");
    let left = "MYSQL\nquery SELECT IFNULL(@left, '-')";
    assert_eq!(shop.last(left).await, "-");
}

async fn eventually_both_idle(shop: &Shop) {
    eventually("both connections are back", async || {
        shop.metric(IDLE).await == 2.0
    })
    .await;
}

/// The component makes the view on one connection, keeps that, and uses the view on another.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_from_another_connection_leaves_behind_is_gone_too() {
    let shop = shop_with("2", &[]).await;
    let twice = |step: &str| format!("MYSQL\n{step}\nMYSQL\n{step}");
    shop.steps(&twice("query SELECT 1")).await;
    eventually_both_idle(&shop).await;
    let made = "MYSQL\nexecute CREATE VIEW hides AS SELECT marks() AS n";
    let used = "MYSQL\nquery SELECT n FROM hides";
    let answers = shop.steps(&format!("{made}\n{used}")).await;
    assert_eq!(answers, ["ok", "ok", "ok", "1"]);
    eventually_both_idle(&shop).await;
    let left = shop.steps(&twice("query SELECT IFNULL(@left, '-')")).await;
    assert_eq!(left, ["ok", "-", "ok", "-"]);
    assert_eq!(shop.metric(OPENED).await, 2.0);
}

/// The component makes the view on one connection, which waits for a lock while another is reset and finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_view_that_took_long_to_make_leaves_behind_is_gone_too() {
    let shop = shop_with("2", &["CREATE VIEW hides AS SELECT n FROM t"]).await;
    let mut mysql = shop.store.mysql().await.unwrap();
    for holds in ["START TRANSACTION", "SELECT n FROM hides"] {
        mysql.query_drop(holds).await.unwrap();
    }
    let made = "MYSQL\nexecute CREATE OR REPLACE VIEW hides AS SELECT marks() AS n";
    let steps = format!("{made}\nMYSQL\nquery SELECT n FROM hides");
    let meanwhile = async {
        let waits = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() \
                     AND INFO LIKE 'CREATE OR REPLACE%' AND STATE LIKE 'Waiting%'";
        eventually("the view waits", async || {
            mysql.query_first(waits).await.unwrap() == Some(1_u32)
        })
        .await;
        shop.steps("MYSQL\nexecute SET @a = 1").await;
        eventually("the other connection is reset", async || {
            shop.metric(IDLE).await == 1.0
        })
        .await;
        mysql.query_drop("COMMIT").await.unwrap();
    };
    let (answers, ()) = tokio::join!(shop.steps(&steps), meanwhile);
    assert_eq!(answers, ["ok", "ok", "ok", "1"]);
    eventually_both_idle(&shop).await;
    let left = "MYSQL\nquery SELECT IFNULL(@left, '-')";
    let left = shop.steps(&format!("{left}\n{left}")).await;
    assert_eq!(left, ["ok", "-", "ok", "-"]);
}

/// What evaluates a default is a plain INSERT. Servers take no function there that changes the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_takes_no_lock() {
    let shop = shop().await;
    for hides in [
        "n INT DEFAULT (GET_LOCK('x', 0))",
        "n INT DEFAULT (marks())",
        "n INT CHECK (GET_LOCK('x', 0))",
    ] {
        let made = format!("MYSQL\nexecute CREATE TABLE hides (id INT PRIMARY KEY, {hides})");
        let answer = shop.last(&made).await;
        assert!(answer.starts_with("error"), "{hides}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_xa_transaction_is_refused_because_it_would_outlive_its_session() {
    let shop = shop().await;
    let statements = [
        "query XA START 'left'",
        "execute XA START 'left'",
        "execute /*!XA START 'left'*/",
        "execute /*!50000XA START 'left'*/",
        "execute EXECUTE IMMEDIATE 'XA RECOVER'",
        "execute PREPARE s FROM 'XA RECOVER'",
        "execute BEGIN NOT ATOMIC XA START 'left'; END",
    ];
    for statement in statements {
        let answer = shop.last(&format!("MYSQL\n{statement}")).await;
        assert!(answer.contains("are not served"), "{answer}");
        assert!(answer.contains("XA transactions"), "{answer}");
    }
    let refused = "store_outbound_refused_total{component=\"guest\",reason=\"statement\"}";
    assert_eq!(shop.metric(refused).await, statements.len() as f64);
    assert_eq!(shop.last("MYSQL\nquery SELECT 1").await, "1");
}

/// The name of the shop's database.
fn database(shop: &Shop) -> String {
    let label = shop.store.addresses().mysql_label();
    label.rsplit_once('/').unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_database_hides_is_gone_too() {
    let shop = shop().await;
    let other = format!("{}_beside", database(&shop));
    let mut mysql = shop.store.mysql().await.unwrap();
    for statement in [
        format!("DROP DATABASE IF EXISTS {other}"),
        format!("CREATE DATABASE {other}"),
        format!("CREATE TABLE {other}.t (n INT)"),
        format!("INSERT INTO {other}.t VALUES (1)"),
        format!(
            "CREATE TRIGGER {other}.hides BEFORE UPDATE ON {other}.t FOR EACH ROW SET @left = 9"
        ),
        format!(
            "CREATE FUNCTION {other}.marks() RETURNS INT DETERMINISTIC BEGIN SET @left = 7; RETURN 7; END"
        ),
        format!("CREATE VIEW {other}.hides AS SELECT {other}.marks() AS marked"),
    ] {
        mysql.query_drop(statement).await.unwrap();
    }
    let left = "MYSQL\nquery SELECT IFNULL(@left, '-')";
    for (step, answer) in [
        (format!("query SELECT marked FROM {other}.hides"), "7"),
        (
            format!(
                "query SELECT t.id FROM t JOIN t AS u ON t.id = u.id, `{other}`.hides \
                 WHERE marked = 7 ORDER BY t.id"
            ),
            "1,2",
        ),
        (format!("execute UPDATE {other}.t SET n = 5"), "ok"),
    ] {
        assert_eq!(shop.last(&format!("MYSQL\n{step}")).await, answer);
        assert_eq!(shop.last(left).await, "-", "{step}");
    }
    let drop = format!("DROP DATABASE {other}");
    mysql.query_drop(drop).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_session_keeps_its_connection_and_its_prepared_statements() {
    let shop = shop().await;
    let by_its_whole_name = format!("MYSQL\nquery SELECT t.id FROM `{}`.t", database(&shop));
    let id = shop
        .last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .await;
    for steps in [
        "MYSQL\nquery SELECT id FROM t",
        by_its_whole_name.as_str(),
        "MYSQL\nexecute SET autocommit = 0\nexecute UPDATE t SET n = 3\nexecute SET autocommit = 1",
        "MYSQL\nexecute INSERT INTO t VALUES (1, 1)",
    ] {
        shop.steps(steps).await;
    }
    let prepared = "MYSQL\nquery SHOW SESSION STATUS LIKE 'Com_stmt_prepare'";
    let before = shop.last(prepared).await;
    let read = shop.last("MYSQL\nquery SELECT id FROM t").await;
    assert_eq!(read, "1,2");
    let after = shop.last(prepared).await;
    assert_eq!(before, after, "it was prepared again");
    assert_eq!(
        shop.last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
            .await,
        id
    );
}

/// A reset leaves it as it is on MariaDB.
#[tokio::test(flavor = "multi_thread")]
async fn another_default_database_is_not_handed_on() {
    let shop = shop().await;
    let ask = "MYSQL\nquery SELECT DATABASE()";
    let own = shop.last(ask).await;
    for _ in 0..3 {
        shop.steps("MYSQL\nexecute USE information_schema").await;
        assert_eq!(shop.last(ask).await, own);
    }
}

/// No reset makes a session forget a database that it chose, and the views and triggers of all can be used.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_default_database_is_not_handed_on() {
    let shop = shop().await;
    let url = shop.store.addresses().mysql_url();
    let (server, _database) = url.rsplit_once('/').unwrap();
    let ask = format!("mysql {server}\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)");
    let first = shop.last(&ask).await;
    assert_ne!(shop.last(&ask).await, first);
    wait_for_log(&shop.host, "names no database").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_does_itself_costs_no_reset() {
    let store = DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    store.migrate(host_binary()).unwrap();
    // No refresh comes between.
    let options = options().variable("report_refresh_seconds", "3600");
    let shop = Shop::on(store, options.arg("--mysql-pool-size").arg("1")).await;
    shop.refreshed().await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let count = "SHOW GLOBAL STATUS LIKE 'Com_stmt_prepare'";
    let mut prepared = Vec::new();
    for round in 0..3 {
        let (user, product) = (shop.user(round).await, shop.product(10.0, 5).await);
        let order = shop.order(user, product, 1).await.expect(201)["order_id"].clone();
        shop.get(&format!("/users/{user}")).await.expect(200);
        shop.get(&format!("/products/{product}")).await.expect(200);
        shop.get("/stocks/reports/overview-stocks")
            .await
            .expect(200);
        shop.delete(&format!("/orders/{order}")).await.expect(200);
        let so_far: Option<(String, u64)> = mysql.query_first(count).await.unwrap();
        prepared.push(so_far.unwrap().1);
    }
    // A session that was reset would have to prepare its statements again.
    assert_eq!(prepared[1], prepared[2], "{prepared:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_generation_gets_no_session_of_the_one_before() {
    let shop = shop().await;
    shop.steps("MYSQL\nquery SELECT 1").await;
    // A trigger that came later hides what an INSERT does, so that the session looks clean.
    let mut mysql = shop.store.mysql().await.unwrap();
    let trigger = "CREATE TRIGGER hides BEFORE INSERT ON t FOR EACH ROW SET @left = 9";
    mysql.query_drop(trigger).await.unwrap();
    let left = "query SELECT IFNULL(@left, '-')";
    shop.steps("MYSQL\nexecute INSERT INTO t VALUES (3, 3)")
        .await;
    shop.swap_in("second").await;
    assert_eq!(shop.last(&format!("MYSQL\n{left}")).await, "-");
    // The trigger has been known since that reset.
    shop.steps("MYSQL\nexecute INSERT INTO t VALUES (4, 4)")
        .await;
    assert_eq!(shop.last(&format!("MYSQL\n{left}")).await, "-");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_whose_connection_was_closed_is_sent_again_and_a_write_is_not() {
    let shop = shop().await;
    let mut mysql = shop.store.mysql().await.unwrap();
    for (step, answer) in [
        ("query SELECT id FROM t WHERE id = 1", "1"),
        ("execute SELECT id FROM t WHERE id = 1 FOR UPDATE", "ok"),
        ("execute SET autocommit = 0", "ok"),
    ] {
        let id = shop
            .last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
            .await;
        kill(&mut mysql, &id).await;
        assert_eq!(shop.last(&format!("MYSQL\n{step}")).await, answer);
    }
    assert_eq!(
        shop.metric("store_mysql_statements_repeated_total{component=\"guest\"}")
            .await,
        3.0
    );
    let id = shop
        .last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .await;
    kill(&mut mysql, &id).await;
    let answer = shop.last("MYSQL\nexecute UPDATE t SET n = n + 1").await;
    assert!(answer.starts_with("error"), "{answer}");
    // In the middle of a request, what was done before would be lost with the connection.
    let id = shop
        .last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .await;
    let steps = format!("MYSQL\nquery SELECT 1\nexecute KILL {id}\nquery SELECT id FROM t");
    let answer = shop.last(&steps).await;
    assert!(answer.starts_with("error"), "{answer}");
}

/// Others made the view since the host looked last, so it learns of it with the new connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_a_view_that_may_do_more_is_not_sent_again() {
    let shop = shop().await;
    shop.steps("MYSQL\nquery SELECT 1").await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let view = "CREATE VIEW hides AS SELECT marks() AS n";
    mysql.query_drop(view).await.unwrap();
    let id = shop
        .last("MYSQL\nquery SELECT CAST(CONNECTION_ID() AS SIGNED)")
        .await;
    kill(&mut mysql, &id).await;
    let answer = shop.last("MYSQL\nquery SELECT n FROM hides").await;
    assert!(answer.starts_with("error"), "{answer}");
    let left = "MYSQL\nquery SELECT IFNULL(@left, '-')";
    assert_eq!(shop.last(left).await, "-");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_is_cut_off_leaves_no_statement_and_no_lock_behind() {
    let shop = Arc::new(
        backend_shop_on(bare_store().await, "", |options| {
            options.arg("--swap-drain-timeout").arg("300ms")
        })
        .await,
    );
    let waiting = tokio::spawn({
        let shop = shop.clone();
        async move {
            let request = shop.request(reqwest::Method::POST, "/backends");
            let url = shop.store.addresses().mysql_url();
            let steps = format!(
                "mysql {url}\nexecute SELECT GET_LOCK('kept', 0)\nexecute SELECT SLEEP(1000)"
            );
            // It ends with its generation.
            try_send(request.body(steps)).await.map(drop)
        }
    });
    let mut mysql = shop.store.mysql().await.unwrap();
    let holder = "SELECT IFNULL(IS_USED_LOCK('kept'), 0)";
    eventually("the lock is held", async || {
        mysql.query_first(holder).await.unwrap() != Some(0_u64)
    })
    .await;
    shop.swap_in("second").await;
    eventually("the lock is free", async || {
        mysql.query_first(holder).await.unwrap() == Some(0_u64)
    })
    .await;
    _ = waiting.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_statement_is_ended_on_its_own_server_or_nowhere() {
    let own_mariadb = || DataStore::start_with_own_mariadb(env!("CARGO_TARGET_TMPDIR"));
    let (store, other) = tokio::join!(own_mariadb(), own_mariadb());
    let (store, other) = (store.unwrap(), other.unwrap());
    let relay = MysqlRelay::to(&store).await;
    let url = store.addresses().mysql_url().to_owned();
    let at = |address: &str| url.replace(&mysql_address(&store), address);
    // The other server takes the same user to a database of the same name, as one behind the same balancer does.
    let (before_at, name) = url.rsplit_once('/').unwrap();
    let (user, _) = before_at.split_once('@').unwrap();
    let (user, password) = user
        .strip_prefix("mysql://")
        .unwrap()
        .split_once(':')
        .unwrap();
    let mut there = other.mysql().await.unwrap();
    for statement in [
        format!("CREATE DATABASE `{name}`"),
        format!("ALTER USER '{user}'@'%' IDENTIFIED BY '{password}'"),
    ] {
        there.query_drop(statement).await.unwrap();
    }
    let to_other = at(&mysql_address(&other));
    let steps = format!("mysql {}\nexecute SELECT SLEEP(1000)", at(relay.address()));
    let mut here = store.mysql().await.unwrap();
    while here.id() < there.id() + 12 {
        here = store.mysql().await.unwrap();
    }
    let shop = backend_shop_on(store, "", |options| {
        options.arg("--mysql-statement-timeout").arg("10s")
    })
    .await;
    let abandoned = tokio::spawn(send(
        shop.request(reqwest::Method::POST, "/backends").body(steps),
    ));
    let mut sleeper = None;
    eventually("the statement runs", async || {
        let find =
            "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(1000)'";
        sleeper = here.query_first(find).await.unwrap();
        sleeper.is_some()
    })
    .await;
    relay.lead_to(&other);
    let connect = || mysql_async::Conn::from_url(&to_other);
    let mut bystander = connect().await.unwrap();
    while Some(bystander.id()) < sleeper {
        bystander = connect().await.unwrap();
    }
    assert_eq!(Some(bystander.id()), sleeper);
    let tried = "SHOW GLOBAL STATUS LIKE 'Connections'";
    let before: Option<(String, u64)> = there.query_first(tried).await.unwrap();
    let answer = abandoned.await.unwrap();
    assert!(answer.text.contains("error"), "{answer:?}");
    let others = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{name}' AND ID <> {}",
        bystander.id()
    );
    eventually("the host has looked there, and left", async || {
        let now: Option<(String, u64)> = there.query_first(tried).await.unwrap();
        let left: Option<u64> = there.query_first(&others).await.unwrap();
        now > before && left == Some(0)
    })
    .await;
    bystander.query_drop("SELECT 1").await.unwrap();
}

async fn kill(mysql: &mut mysql_async::Conn, id: &str) {
    mysql.query_drop(format!("KILL {id}")).await.unwrap();
    let gone = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id}");
    eventually("the connection is gone", async || {
        let left: Option<u64> = mysql.query_first(&gone).await.unwrap();
        left == Some(0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_leads_to_a_socket_or_past_the_allowed_hosts() {
    let shop = backend_shop("").await;
    let url = shop.store.addresses().mysql_url().to_owned();
    let at = mysql_address(&shop.store);
    let addresses = [
        format!("mysql {url}?socket=%2Ftmp%2Fmysql.sock"),
        format!("mysql {url}?%73ocket=%2Ftmp%2Fmysql.sock"),
        format!("mysql {url}?prefer_socket=true"),
        format!("mysql {url}?max_allowed_packet=1073741824"),
        "mysql mysql://root@%2Ftmp%2Fmysql.sock/store".to_owned(),
        format!(
            "mysql mysql://root@localhost:{}/store",
            at.rsplit(':').next().unwrap()
        ),
        format!("mysql redis://{at}"),
        "redis redis+unix:///tmp/redis.sock".to_owned(),
        "redis unix:///tmp/redis.sock".to_owned(),
        "redis redis://127.0.0.1:1?protocol=resp3".to_owned(),
        "redis rediss://127.0.0.1:1".to_owned(),
        "redis redis://localhost:1".to_owned(),
    ];
    for address in &addresses {
        let answer = shop.last(address).await;
        assert!(answer.starts_with("error"), "{address}: {answer}");
        assert!(!answer.contains(":store@"), "{answer}");
    }
    assert_eq!(shop.metric(REFUSED).await, addresses.len() as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_varies_its_addresses_has_few_pools() {
    let shop = shop().await;
    let address = mysql_address(&shop.store);
    for number in 0..12 {
        // Each is another database, none of which is there.
        shop.steps(&format!(
            "mysql mysql://store:store@{address}/none_{number}"
        ))
        .await;
    }
    assert_eq!(
        shop.metric("store_mysql_pool_size{component=\"guest\"}")
            .await,
        8.0
    );
    assert_eq!(shop.last("MYSQL\nquery SELECT 1").await, "1");
    assert_eq!(shop.metric(IDLE).await, 1.0);
    assert!(shop.metric(OPENED).await >= 1.0);
}
