//! A component that asks MySQL and Redis for whatever a test writes down.

use mysql_async::prelude::Queryable;
use reqwest::Method;
use testbed::{DataStore, HostOptions};

use crate::operator::{GuestApp, bare_store, operated};
use crate::support::{Shop, eventually, send};

/// A shop whose component `guest` may reach MySQL and Redis, with limits as in `memory_limit_mib = 64`.
pub(crate) async fn backend_shop(limits: &str) -> Shop {
    let store = bare_store().await;
    backend_shop_on(store, limits, |options| options).await
}

/// The same on a store of the test's own, with a host that is started otherwise.
pub(crate) async fn backend_shop_on(
    store: DataStore,
    limits: &str,
    change: impl Fn(HostOptions) -> HostOptions,
) -> Shop {
    let app = GuestApp::with_limits(&store, limits);
    app.edit(
        "[component.guest.variables]",
        "[component.guest]\nallowed_outbound_hosts = [\"mysql://127.0.0.1:*\", \"redis://127.0.0.1:*\"]\n\n[component.guest.variables]",
    );
    let text = std::fs::read_to_string(&app.manifest).unwrap();
    // TOML knows each table once: the source moves to the one with the addresses.
    let source = text
        .lines()
        .find(|line| line.starts_with("source"))
        .unwrap();
    let text = text
        .replacen(&format!("[component.guest]\n{source}\n"), "", 1)
        .replacen(
            "[component.guest]\n",
            &format!("[component.guest]\n{source}\n"),
            1,
        );
    std::fs::write(&app.manifest, text).unwrap();
    let options = app.options(change(operated(&store)));
    Shop::on(store, options).await
}

impl Shop {
    /// Has the component do the steps, one a line, and gives its answer to each. `MYSQL` and `REDIS` stand for the
    /// store's own servers.
    pub(crate) async fn steps(&self, steps: &str) -> Vec<String> {
        let addresses = self.store.addresses();
        let script: Vec<String> = steps
            .lines()
            .map(|step| match step.trim() {
                "MYSQL" => format!("mysql {}", addresses.mysql_url()),
                "REDIS" => format!("redis {}", addresses.redis_url()),
                step => step.to_owned(),
            })
            .collect();
        let request = self.request(Method::POST, "/backends");
        let answer = send(request.body(script.join("\n"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text.lines().map(str::to_owned).collect()
    }

    /// Has the component set `key` over a connection to Redis, wait until `meanwhile` is done, and read `key` over that
    /// connection and over another. Gives both answers.
    pub(crate) async fn around(
        &self,
        key: &str,
        meanwhile: impl Future<Output = ()>,
    ) -> [String; 2] {
        let mut mysql = self.store.mysql().await.unwrap();
        let mut lock = async |what| {
            let done: Option<u8> = mysql.query_first(format!("SELECT {what}")).await.unwrap();
            assert_eq!(done, Some(1), "{what}");
        };
        lock("GET_LOCK(DATABASE(), 0)").await;
        let steps = format!(
            "REDIS\ncommand SET {key} v\nMYSQL\nquery SELECT GET_LOCK(DATABASE(), 60)\n\
             command GET {key}\nREDIS\ncommand GET {key}"
        );
        let waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock'";
        let change = async {
            let mut watch = self.store.mysql().await.unwrap();
            eventually("the component waits", async || {
                watch.query_first(waiting).await.unwrap() == Some(1)
            })
            .await;
            meanwhile.await;
            lock("RELEASE_LOCK(DATABASE())").await;
        };
        let (answers, ()) = tokio::join!(self.steps(&steps), change);
        assert_eq!(answers[1], "OK", "{answers:?}");
        [answers[4].clone(), answers[6].clone()]
    }

    /// The answer to the last of these steps.
    pub(crate) async fn last(&self, steps: &str) -> String {
        self.steps(steps).await.pop().unwrap()
    }
}
