//! A component that asks MySQL and Redis for whatever a test writes down.

use reqwest::Method;
use testbed::{DataStore, HostOptions};

use crate::operator::{GuestApp, bare_store, operated};
use crate::support::{Shop, send};

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

    /// The answer to the last of these steps.
    pub(crate) async fn last(&self, steps: &str) -> String {
        self.steps(steps).await.pop().unwrap()
    }
}
