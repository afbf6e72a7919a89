//! Two hosts, a proxy and a Prometheus, under a short load.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use testbed::seed::{Dataset, Size};
use testbed::{DataStore, Host, HostOptions, Prometheus, PrometheusOptions, Proxy, ProxyLayout};

use crate::support::{eventually, folder, program, repository, run};

/// As many users and products as the load asks for; orders are only counted here.
const SIZE: Size = Size {
    users: 1_000,
    products: 10_000,
    orders: 200,
};

pub(crate) struct ObservedStore {
    pub(crate) prometheus: Prometheus,
    proxy: Proxy,
    hosts: Vec<Host>,
    _store: DataStore,
}

impl ObservedStore {
    pub(crate) async fn start() -> Self {
        let store = DataStore::start(env!("CARGO_TARGET_TMPDIR")).await.unwrap();
        let host = program("store-host");
        store.migrate(&host).unwrap();
        store.seed(&Dataset::random(SIZE, 42)).await.unwrap();
        let app = repository().join("spin.toml");
        let options = HostOptions::new(host, app).variable("report_refresh_seconds", "1");
        // Every request counts as slow, so that its trace is kept and buckets name it.
        let traced = ["--trace-tail", "--trace-slow", "1ns"];
        let options = traced
            .iter()
            .fold(options, |options, arg| options.arg(*arg));
        let mut hosts = Vec::new();
        for _ in 0..2 {
            hosts.push(store.host(options.clone()).await.unwrap());
        }
        let proxy = proxy(&hosts).await;
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

async fn proxy(hosts: &[Host]) -> Proxy {
    let servers: Vec<String> = hosts
        .iter()
        .map(|host| host.url("").replace("http://", ""))
        .map(|address| format!("{{ address = \"{address}\" }}"))
        .collect();
    let servers = servers.join(", ");
    let config = |place: &ProxyLayout| {
        format!(
            "[server]\nadmin = \"127.0.0.1:{}\"\n[[listen]]\naddress = \"127.0.0.1:{}\"\n[upstreams.store]\nservers = [{servers}]\n",
            place.admin_port, place.port
        )
    };
    let started = Proxy::start_on_free_ports(&program("store-proxy"), &folder(), config).await;
    started.unwrap().0
}
