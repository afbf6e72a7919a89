//! Where requests wait, client addresses take turns, as a proxy that is trusted tells them: a neighbour is served long
//! before the queue of one who sends many has been worked off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mysql_async::prelude::Queryable;
use reqwest::Method;
use tokio::task::JoinSet;

use crate::backends::{backend_shop, backend_shop_on};
use crate::operator::bare_store;
use crate::support::{Shop, eventually, send};

const GREEDY: &str = "203.0.113.1";
const NEIGHBOUR: &str = "203.0.113.2";

const IN_USE: &str = "store_mysql_pool_in_use{component=\"guest\"}";
const WAITING: &str = "store_mysql_pool_waiting{component=\"guest\"}";

/// The requests of one client, all at once.
struct Crowd {
    requests: JoinSet<()>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    fn begin(shop: &Shop, count: usize, client: &str, path: &str, script: &str) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let mut requests = JoinSet::new();
        for _ in 0..count {
            let request = asked_by(shop, client, path, script);
            let answered = answered.clone();
            requests.spawn(async move {
                let answer = send(request).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                assert!(!answer.text.contains("error"), "{answer:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            });
        }
        Self { requests, answered }
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    async fn end(mut self) {
        while let Some(request) = self.requests.join_next().await {
            request.unwrap();
        }
    }
}

fn asked_by(shop: &Shop, client: &str, path: &str, script: &str) -> reqwest::RequestBuilder {
    let request = shop.request(Method::POST, path);
    request
        .header("x-forwarded-for", client)
        .body(script.to_owned())
}

/// A script for the component that runs one statement.
fn statement(shop: &Shop, statement: &str) -> String {
    let url = shop.store.addresses().mysql_url();
    format!("mysql {url}\nquery {statement}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_has_its_turn_for_a_connection() {
    let shop = backend_shop_on(bare_store().await, "", |options| {
        options.args(&["--mysql-pool-size", "1", "--mysql-pool-wait", "60s"])
    })
    .await;
    let mut mysql = shop.store.mysql().await.unwrap();
    let turns = "CREATE TABLE turns (id INT AUTO_INCREMENT PRIMARY KEY, client TEXT NOT NULL)";
    mysql.query_drop(turns).await.unwrap();
    let closed = "SELECT GET_LOCK(DATABASE(), 0)";
    assert_eq!(mysql.query_first(closed).await.unwrap(), Some(1));
    let stuck = statement(&shop, "SELECT GET_LOCK(DATABASE(), 60)");
    let mut crowds = vec![Crowd::begin(&shop, 1, GREEDY, "/backends", &stuck)];
    eventually("the connection is in use", async || {
        shop.metric(IN_USE).await == 1.0
    })
    .await;
    for (client, count, waiting) in [(GREEDY, 19, 19.0), (NEIGHBOUR, 1, 20.0)] {
        let url = shop.store.addresses().mysql_url();
        let turn = format!("mysql {url}\nexecute INSERT INTO turns (client) VALUES ('{client}')");
        crowds.push(Crowd::begin(&shop, count, client, "/backends", &turn));
        eventually("they wait", async || shop.metric(WAITING).await == waiting).await;
    }
    mysql
        .query_drop("DO RELEASE_LOCK(DATABASE())")
        .await
        .unwrap();
    for crowd in crowds {
        crowd.end().await;
    }
    let clients: Vec<String> = mysql
        .query("SELECT client FROM turns ORDER BY id")
        .await
        .unwrap();
    assert_eq!(clients.len(), 20);
    // Before it comes the one whose turn it was.
    let place = clients.iter().position(|client| client == NEIGHBOUR);
    assert!(place.is_some_and(|place| place <= 1), "{clients:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_never_has_all_connections() {
    let shop = backend_shop_on(bare_store().await, "", |options| {
        options.args(&["--mysql-pool-size", "4", "--mysql-pool-wait", "60s"])
    })
    .await;
    let mut gate = shop.store.mysql().await.unwrap();
    let closed = "SELECT GET_LOCK('gate', 0)";
    assert_eq!(gate.query_first(closed).await.unwrap(), Some(1));
    let stuck = statement(&shop, "SELECT GET_LOCK('gate', 30)");
    let crowd = Crowd::begin(&shop, 4, GREEDY, "/backends", &stuck);
    eventually("it has its share", async || {
        shop.metric(IN_USE).await == 3.0 && shop.metric(WAITING).await == 1.0
    })
    .await;
    let quick = statement(&shop, "SELECT 1");
    for _ in 0..3 {
        Crowd::begin(&shop, 1, NEIGHBOUR, "/backends", &quick)
            .end()
            .await;
        assert_eq!(crowd.answered(), 0);
    }
    gate.query_drop("DO RELEASE_LOCK('gate')").await.unwrap();
    crowd.end().await;
}

/// Instances are made for all that wait, so that it is the processor that they wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_has_its_turn_on_the_processor() {
    let shop = backend_shop("").await;
    let crowd = Crowd::begin(&shop, 60, GREEDY, "/compute?100", "");
    let instances = "store_instances{component=\"guest\"}";
    eventually("they have many instances", async || {
        shop.metric(instances).await >= 20.0
    })
    .await;
    let before = crowd.answered();
    assert!(before < 30, "{before} of 60 were answered");
    Crowd::begin(&shop, 1, NEIGHBOUR, "/compute?100", "")
        .end()
        .await;
    let after = crowd.answered();
    assert!(after < 50, "{before} and {after} of 60 were answered");
    crowd.end().await;
}
