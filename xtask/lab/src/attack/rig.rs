//! The servers that are attacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use testbed::seed::{Dataset, Size};
use testbed::{DataStore, Host, HostOptions, Proxy, ProxyLayout};

use super::AttackTarget;
use xtask::paths;

/// The seed of the random data.
const RNG_SEED: u64 = 42;

/// The users and orders that neighbours work with. An option sets the number of products.
const USERS: usize = 1_000;
const ORDERS: usize = 5_000;

/// The shortest time limit for slow clients: on a busy machine, neighbours must not count as slow.
const LEAST_LIMIT: Duration = Duration::from_millis(700);

/// The admin token, which the attacker does not know.
const TOKEN: &str = "a-token-that-no-attacker-knows";

/// The path of the component that does to MySQL and Redis what it is told.
pub(super) const BACKENDS: &str = "/backends";

/// A store, a host in front of it, and a proxy in front of the host.
pub(super) struct Rig {
    pub(super) store: DataStore,
    pub(super) size: Size,
    host: Host,
    proxy: Proxy,
}

impl Rig {
    /// Starts all servers. Their time limits for slow clients are cut to half of `length`, so that they expire during
    /// an attack.
    pub(super) async fn start(
        host: &Path,
        proxy: &Path,
        products: u32,
        length: Duration,
    ) -> Result<Self> {
        let base = paths::target().join("tmp/attack");
        let store = DataStore::start_for_measuring(&base).await?;
        store.migrate(host)?;
        let size = Size {
            users: USERS,
            products: products as usize,
            orders: ORDERS,
        };
        store.seed(&Dataset::random(size, RNG_SEED)).await?;
        let limit = format!("{}ms", (length / 2).max(LEAST_LIMIT).as_millis());
        let options = HostOptions::new(host, app(&store)?)
            .args(&["--receive-timeout", &limit, "--send-timeout", &limit])
            .env("STORE_HOST_ADMIN_TOKEN", TOKEN);
        let host = store.host(options).await?;
        let address = host.url("").replace("http://", "");
        let config = |place: &ProxyLayout| config(place, &address, &limit);
        let (proxy, _) = Proxy::start_on_free_ports(proxy, store.folder(), config).await?;
        Ok(Self {
            store,
            size,
            host,
            proxy,
        })
    }

    /// The URL that clients connect to.
    pub(super) fn url(&self, way: AttackTarget) -> String {
        match way {
            AttackTarget::Host => self.host.url(""),
            AttackTarget::Proxy => self.proxy.url(""),
        }
    }

    /// The URL that operators connect to.
    pub(super) fn admin_url(&self, way: AttackTarget) -> String {
        match way {
            AttackTarget::Host => self.host.admin_url(""),
            AttackTarget::Proxy => self.proxy.admin_url(""),
        }
    }
}

/// The app with one more component, which belongs to the tests.
fn app(store: &DataStore) -> Result<PathBuf> {
    let app = fs::read_to_string(paths::app()).context("reading spin.toml")?;
    let target = paths::target().join("wasm32-wasip2").display().to_string();
    let app = app.replace("target/wasm32-wasip2", &target);
    let text = format!(
        r#"{app}
[[trigger.http]]
route = "{BACKENDS}"
component = "guest"

[component.guest]
source = "{}"
allowed_outbound_hosts = ["mysql://{{{{ mysql_address }}}}", "redis://{{{{ redis_address }}}}"]
"#,
        paths::component("test_guest").display()
    );
    let path = store.folder().join("attacked.toml");
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn config(place: &ProxyLayout, host: &str, limit: &str) -> String {
    let ProxyLayout {
        port, admin_port, ..
    } = place;
    format!(
        "[server]\nadmin = \"127.0.0.1:{admin_port}\"\n\n\
         [[listen]]\naddress = \"127.0.0.1:{port}\"\nh2c = true\n\n\
         [limits]\nheader_timeout = \"{limit}\"\nbody_timeout = \"{limit}\"\nidle_timeout = \"{limit}\"\n\
         send_timeout = \"{limit}\"\n\n\
         [retry]\nkeyed_posts = [\"/orders\", \"/users\", \"/products\", \"/stocks\"]\n\n\
         [upstreams.store]\nhealth = {{}}\nservers = [{{ address = \"{host}\" }}]\n"
    )
}
