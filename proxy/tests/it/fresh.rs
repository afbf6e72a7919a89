//! Reports as clients of the proxy see them: kept by it, and never too old.

use std::fs;
use std::time::Duration;

use testbed::metrics::series;
use testbed::{Guest, Host};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::shop::{Shop, host_binary, host_options};
use crate::support::{Message, Rig, Upstream, eventually, folder, get, request, shop};

const REPORT: &str = "/orders/reports/best-sellers";

/// What a report may be older than the interval.
const SLACK: Duration = Duration::from_secs(2);

const JSON: (&str, &str) = ("content-type", "application/json");

/// A store behind a proxy that keeps its reports, and that its hosts tell of changes.
struct KeptAnswer {
    shop: Shop,
    rig: Rig,
    token: String,
}

impl KeptAnswer {
    async fn open(hosts: usize, interval_seconds: u64) -> Self {
        // The hosts want to know the proxy, and the proxy the hosts: it gets theirs by a reload.
        let nobody = Upstream::start().await;
        let rig = Rig::start(&shop("", [&nobody])).await;
        let token = folder().join("token");
        fs::write(&token, "a token of a test").unwrap();
        let token = token.display().to_string();
        let options = host_options()
            .variable("report_refresh_seconds", &interval_seconds.to_string())
            .arg(format!("--admin-token-file={token}"))
            .arg(format!("--purge={}", rig.proxy.admin_url("")))
            .arg(format!("--proxy-token-file={}", rig.token().display()));
        let shop = Shop::with(hosts, options).await;
        let servers = shop.addresses.iter();
        let servers = servers.map(|address| crate::support::server_at(*address, ""));
        rig.reload(&crate::support::group("shop", "cache = {}", servers))
            .await;
        Self { shop, rig, token }
    }

    /// Runs `store-host` with a command for each host in turn, and waits until that host has told the proxy of its
    /// change: the command itself waits for a second only.
    async fn operate(&self, args: &[&str]) {
        for host in &self.shop.hosts {
            let told = async || metric(host, "store_purges_total", "result=\"done\"").await;
            let before = told().await;
            let mut command = Command::new(host_binary());
            command.args(args).args(["--admin", &host.admin_url("")]);
            command.args(["--admin-token-file", &self.token]);
            let output = command.kill_on_drop(true).output().await.unwrap();
            assert!(output.status.success(), "{output:?}");
            eventually("the proxy is told", async || told().await > before).await;
        }
    }

    async fn report(&self) -> Message {
        let answer = self.rig.get(REPORT).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer
    }

    /// Orders so many pieces of the first product.
    async fn order(&self, pieces: u64) {
        let body =
            format!("{{\"user_id\":1,\"items\":[{{\"product_id\":1,\"quantity\":{pieces}}}]}}");
        let answer = self.rig.ask(request("POST", "/orders", &[JSON], &body));
        assert_eq!(answer.await.status(), 201);
    }

    /// Pieces of the first product, as the report has it.
    async fn sold(&self) -> u64 {
        let report = self.report().await.json();
        let lines = report.as_array().unwrap();
        let line = lines.iter().find(|line| line["product_id"] == 1);
        line.map_or(0, |line| line["quantity_sold"].as_u64().unwrap())
    }
}

/// The sum of all series of a host's metric whose labels contain `label`.
async fn metric(host: &Host, name: &str, label: &str) -> f64 {
    let metrics = reqwest::get(host.admin_url("/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let meant = series(&metrics, name).filter(|(labels, _)| labels.contains(label));
    meant.map(|(_, value)| value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_popular_report_costs_its_hosts_nothing_and_is_counted_once() {
    let kept = KeptAnswer::open(2, 3600).await;
    let mut client = kept.rig.client().await;
    for _ in 0..200 {
        assert_eq!(client.ask(get(REPORT)).await.status(), 200);
    }
    let name = "best_sellers_total";
    let mut by_hosts = 0.0;
    for host in &kept.shop.hosts {
        by_hosts += metric(host, name, "").await;
    }
    let by_proxy = kept.rig.metric(name, &[]).await;
    assert_eq!(by_hosts + by_proxy, 200.0);
    // The refresh at start may have come in between.
    assert!(by_hosts <= 3.0, "{by_hosts} reached a host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_refresh_shows_at_once() {
    let kept = KeptAnswer::open(2, 3600).await;
    assert_eq!(kept.sold().await, 0);
    for pieces in 1..=5 {
        kept.order(1).await;
        assert_eq!(kept.sold().await, pieces - 1, "nobody has refreshed");
        kept.operate(&["refresh"]).await;
        assert_eq!(kept.sold().await, pieces);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_and_a_rollback_show_at_once() {
    let kept = KeptAnswer::open(2, 3600).await;
    let before = kept.report().await.text();
    let file = kept.rig.folder.join("swapped.wasm");
    let guest = Guest::test().unwrap().version("[\"swapped\"]").unwrap();
    fs::write(&file, guest.into_bytes()).unwrap();
    let file = file.display().to_string();
    for _ in 0..3 {
        assert_eq!(kept.report().await.text(), before);
        kept.operate(&["swap", "reports", &file]).await;
        assert_eq!(kept.report().await.text(), "[\"swapped\"]");
        kept.operate(&["rollback", "reports"]).await;
        assert_eq!(kept.report().await.text(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_canary_is_tried_nothing_is_kept() {
    let kept = KeptAnswer::open(1, 3600).await;
    kept.report().await;
    let file = kept.rig.folder.join("canary.wasm");
    let guest = Guest::test().unwrap().version("[\"canary\"]").unwrap();
    fs::write(&file, guest.into_bytes()).unwrap();
    let file = file.display().to_string();
    let trial = ["--canary", "50%", "--for", "10m", "--no-wait"];
    let swap = [&["swap", "reports", &file], trial.as_slice()].concat();
    kept.operate(&swap).await;
    let mut seen = [false; 2];
    for _ in 0..20 {
        let report = kept.report().await;
        assert_eq!(report.header("cache-control"), Some("no-store"));
        seen[usize::from(report.text() == "[\"canary\"]")] = true;
    }
    assert_eq!(seen, [true; 2], "both generations answer");
    kept.operate(&["abort", "reports"]).await;
    kept.report().await;
    let kept_again = kept.report().await;
    let status = kept_again.header("cache-status").unwrap();
    assert!(status.starts_with("store-proxy; hit"), "{status}");
}

/// The proxy is told of nothing here: the answers' own words must be enough.
#[tokio::test(flavor = "multi_thread")]
async fn no_report_is_older_than_the_interval_and_two_seconds() {
    const INTERVAL: u64 = 2;
    let interval = INTERVAL.to_string();
    let options = host_options().variable("report_refresh_seconds", &interval);
    let shop = Shop::with(1, options).await;
    let rig = shop.proxy("", "cache = {}").await;
    let token = String::new();
    let kept = KeptAnswer { shop, rig, token };
    for pieces in 1..=5 {
        kept.order(1).await;
        let ordered = Instant::now();
        loop {
            let asked = ordered.elapsed();
            if kept.sold().await == pieces {
                break;
            }
            let most = Duration::from_secs(INTERVAL) + SLACK;
            assert!(asked < most, "without the order {asked:?} after it");
            sleep(Duration::from_millis(10)).await;
        }
    }
    // And yet it was kept.
    let hits = kept
        .rig
        .metric("store_proxy_cache_requests_total", &["hit"]);
    assert!(hits.await > 10.0);
}
