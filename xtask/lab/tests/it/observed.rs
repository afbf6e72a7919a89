//! Two hosts, a proxy and a Prometheus, under a short load, with all of which a store has metrics: a cache, a server that
//! is found by name, a list of MySQL's members, and a version on trial.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use testbed::seed::{Dataset, Size};
use testbed::{
    DataStore, Guest, Host, HostOptions, NameServer, Prometheus, PrometheusOptions, Proxy,
    ProxyLayout,
};

use crate::support::{eventually, folder, program, repository, run};

/// As many users and products as the load asks for; orders are only counted here.
const SIZE: Size = Size {
    users: 1_000,
    products: 10_000,
    orders: 200,
};

/// The hosts' admin token.
const TOKEN: &str = "a-token-that-only-this-test-knows";

/// The name by which the proxy finds the first host.
pub(crate) const NAME: &str = "host.test";

pub(crate) struct ObservedStore {
    pub(crate) prometheus: Prometheus,
    proxy: Proxy,
    _names: NameServer,
    hosts: Vec<Host>,
    _store: DataStore,
}

impl ObservedStore {
    pub(crate) async fn start() -> Self {
        let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
        let host = program("store-host");
        store.migrate(&host).unwrap();
        store.seed(&Dataset::random(SIZE, 42)).await.unwrap();
        let options = host_options(host, &store);
        let mut hosts = Vec::new();
        for _ in 0..2 {
            hosts.push(store.host(options.clone()).await.unwrap());
        }
        for host in &hosts {
            try_a_version(host).await;
        }
        let names = NameServer::start().await.unwrap();
        names.set(NAME, 1, &[address(&hosts[0])]);
        let proxy = proxy(&hosts, &names).await;
        let files = folder();
        let options = PrometheusOptions {
            log: files.join("prometheus.log"),
            folder: files,
            port: 0,
            scrape_seconds: 1,
            rules: xtask::paths::prometheus_rules(),
        };
        Self {
            prometheus: Prometheus::start(&options, &hosts, std::slice::from_ref(&proxy))
                .await
                .unwrap(),
            proxy,
            _names: names,
            hosts,
            _store: store,
        }
    }

    /// Runs a load through the proxy and gives its summary.
    pub(crate) async fn load(&self, args: &[&str]) -> Value {
        let results: PathBuf = folder().join("results");
        let (url, shown) = (self.proxy.url(""), results.display().to_string());
        let fixed = ["load", "--url", &url, "--results", &shown];
        let args: Vec<&str> = fixed.iter().chain(args).copied().collect();
        let (code, said) = run(&args).await;
        assert_eq!(code, Some(0), "{said}");
        let text = fs::read_to_string(results.join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// The ids of the traces that the hosts show.
    pub(crate) async fn traces(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for host in &self.hosts {
            let shown = reqwest::get(host.admin_url("/traces")).await.unwrap();
            let shown: Value = shown.json().await.unwrap();
            let trees = shown.as_array().unwrap().iter();
            ids.extend(trees.map(|tree| tree["trace_id"].as_str().unwrap().to_owned()));
        }
        ids
    }

    /// The ids of the traces that Prometheus knows for the series of a query, of the last minute.
    pub(crate) async fn exemplars(&self, query: &str) -> Vec<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let (start, end) = ((now - 60).to_string(), (now + 60).to_string());
        let arguments = [("query", query), ("start", &start), ("end", &end)];
        let data = self.ask("/api/v1/query_exemplars", &arguments).await;
        let series = data.as_array().unwrap().iter();
        let exemplars = series.flat_map(|series| series["exemplars"].as_array().unwrap());
        exemplars
            .map(|exemplar| exemplar["labels"]["trace_id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What a query gives at this moment: the values of all its series.
    pub(crate) async fn query(&self, query: &str) -> Vec<f64> {
        let data = self.ask("/api/v1/query", &[("query", query)]).await;
        let series = data["result"].as_array().unwrap();
        let values = series.iter().map(|series| &series["value"][1]);
        values
            .map(|value| value.as_str().unwrap().parse().unwrap())
            .collect()
    }

    async fn ask(&self, path: &str, arguments: &[(&str, &str)]) -> Value {
        let request = reqwest::Client::new().get(self.prometheus.url(path));
        let answer = request.query(arguments).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{arguments:?}: {answer}");
        answer["data"].clone()
    }

    /// Waits until Prometheus has looked at every target once more.
    pub(crate) async fn scraped(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs_f64();
        eventually("all targets are scraped again", async || {
            // Three targets: two hosts and the proxy. Of anything but a bare series, this would be the time of the query.
            let looks = self.query("timestamp(up)").await;
            (looks.len() == 3 && looks.iter().all(|look| *look > now)).then_some(())
        })
        .await;
    }
}

pub(crate) fn host_options(host: PathBuf, store: &DataStore) -> HostOptions {
    let app = repository().join("spin.toml");
    let options = HostOptions::new(host, app)
        .variable("report_refresh_seconds", "1")
        .env("STORE_HOST_ADMIN_TOKEN", TOKEN);
    let mysql = store.addresses().mysql_label();
    let mysql = mysql.split('/').next().unwrap_or_default();
    let args = [
        // Every request counts as slow, so that its trace is kept and buckets name it.
        "--trace-tail",
        "--trace-slow=1ns",
        // A server alone can be all members.
        &format!("--mysql-members={mysql}"),
        // On a busy machine, the database may take longer than the usual two seconds.
        "--mysql-pool-wait=20s",
        // Nothing that the load does ends the trial.
        "--canary-max-error-rate-increase=100",
        "--canary-p99-slack=1h",
    ];
    args.iter().fold(options, |options, arg| options.arg(*arg))
}

/// Tries the same code under another digest on half of the orders, for longer than the test takes. Reports are another
/// component's, so the proxy may keep them.
async fn try_a_version(host: &Host) {
    let version = Guest::built("orders").unwrap().labelled("next");
    let url = host.admin_url("/components/orders/swap?canary=50&for=1h");
    let request = reqwest::Client::new().post(url).bearer_auth(TOKEN);
    let answer = request.body(version.into_bytes()).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
}

pub(crate) fn address(host: &Host) -> SocketAddr {
    host.url("").trim_start_matches("http://").parse().unwrap()
}

/// A proxy with a cache, which finds the first host by its name.
pub(crate) async fn proxy(hosts: &[Host], names: &NameServer) -> Proxy {
    let servers: Vec<String> = (0..)
        .zip(hosts.iter().map(address))
        .map(|(number, address)| match number {
            0 => format!("{NAME}:{}", address.port()),
            _ => address.to_string(),
        })
        .map(|address| format!("{{ address = \"{address}\" }}"))
        .collect();
    let (servers, resolver) = (servers.join(", "), names.address());
    let config = |place: &ProxyLayout| {
        format!(
            "[server]\nadmin = \"127.0.0.1:{}\"\n[[listen]]\naddress = \"127.0.0.1:{}\"\n\
             [resolver]\nservers = [\"{resolver}\"]\n[upstreams.store]\ncache = {{}}\nservers = [{servers}]\n",
            place.admin_port, place.port
        )
    };
    let started = Proxy::start_on_free_ports(&program("store-proxy"), &folder(), config).await;
    started.unwrap().0
}
