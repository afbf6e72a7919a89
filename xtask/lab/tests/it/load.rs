//! `cargo xtask load`: its exit codes, its words, what it keeps and what it leaves running.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testbed::free_port;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::fake_store::{FakeStore, healthy};
use crate::support::{eventually, folder, run, said, start};

/// A short load with results in a folder of the test's own.
struct ShortLoad {
    results: PathBuf,
    args: Vec<String>,
}

impl ShortLoad {
    fn of(url: &str, more: &[&str]) -> Self {
        let results = folder().join("results");
        let shown = results.display().to_string();
        let fixed = [
            "load",
            "--url",
            url,
            "--results",
            &shown,
            "--users",
            "4",
            "--spawn-rate",
            "4",
        ];
        let args = fixed.iter().chain(more).map(|arg| (*arg).to_owned());
        Self {
            args: args.collect(),
            results,
        }
    }

    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    async fn run(&self) -> (Option<i32>, String) {
        run(&self.args()).await
    }

    fn summary(&self) -> Value {
        let text = fs::read_to_string(self.results.join("summary.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_without_failures_exits_with_0_and_keeps_everything() {
    let store = FakeStore::start(Box::new(healthy)).await;
    let short = ShortLoad::of(&store.url, &["--time", "4s", "--max-p95", "1h"]);
    let (code, said) = short.run().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("each route's p95 within 1h"), "{said}");
    for name in [
        "report.html",
        "stats.csv",
        "stats_history.csv",
        "failures.csv",
        "exceptions.csv",
        "stats.json",
        "summary.json",
        "settings.json",
        "locust.log",
    ] {
        assert!(short.results.join(name).exists(), "no {name}");
    }
    let total = short.summary()["total"]["requests"].as_u64().unwrap();
    assert!(total >= 4, "{total}");
    let stats = fs::read_to_string(short.results.join("stats.csv")).unwrap();
    let last = stats.lines().last().unwrap();
    assert!(
        last.starts_with(&format!(",Aggregated,{total},0,")),
        "{stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_request_exits_with_1_and_says_why() {
    let answer = |request: &str| match request {
        "POST /orders" => (503, r#"{"detail":"order 17 must wait"}"#),
        _ => healthy(request),
    };
    let store = FakeStore::start(Box::new(answer)).await;
    let short = ShortLoad::of(&store.url, &["--time", "8s"]);
    let (code, said) = short.run().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("POST /orders: 503: order # must wait"),
        "{said}"
    );
    let failures = short.summary()["total"]["failures"].as_u64().unwrap();
    assert!(said.contains(&format!("✗ {failures} of ")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_answer_is_a_failure_although_its_status_is_right() {
    let answer = |request: &str| match request {
        "GET /orders/reports/best-sellers" => (
            200,
            r#"[{"product_id":1,"quantity_sold":1},{"product_id":2,"quantity_sold":2}]"#,
        ),
        _ => healthy(request),
    };
    let store = FakeStore::start(Box::new(answer)).await;
    let (code, said) = ShortLoad::of(&store.url, &["--time", "8s"]).run().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("GET /orders/reports/best-sellers: not in order"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_limit_exits_with_1_and_is_named() {
    let store = FakeStore::start(Box::new(healthy)).await;
    let short = ShortLoad::of(&store.url, &["--time", "4s", "--max-p95", "0ms"]);
    let (code, said) = short.run().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("✗ p95 of "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_measure_nothing_is_refused_in_a_line() {
    let (code, said) = ShortLoad::of("http://127.0.0.1:1", &[]).run().await;
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("error: no store at http://127.0.0.1:1: start one"),
        "{said}"
    );

    let empty = |request: &str| match request {
        "GET /users/1" => (404, "{}"),
        _ => healthy(request),
    };
    let down = |request: &str| match request {
        "GET /health-check" => (503, "{}"),
        _ => healthy(request),
    };
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (empty, down) = (
        FakeStore::start(Box::new(empty)).await,
        FakeStore::start(Box::new(down)).await,
    );
    for (url, more, line) in [
        (&empty.url, &[][..], "has no user 1, so orders would fail"),
        (&down.url, &[], "answers 503"),
        (
            &empty.url,
            &["--ui", "--ui-port", &port],
            "choose another with --ui-port",
        ),
    ] {
        let short = ShortLoad::of(url, more);
        let (code, said) = short.run().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(line) && said.lines().count() == 1, "{said}");
        assert!(!short.results.exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_keeps_what_it_has() {
    let store = FakeStore::start(Box::new(healthy)).await;
    let short = ShortLoad::of(&store.url, &["--time", "10m"]);
    let child = start(&short.args());
    let locust = measuring(&short, &child).await;
    signal(&child, "-INT");
    let (code, said) = said(child.wait_with_output().await.unwrap());
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("interrupted before its time was over"),
        "{said}"
    );
    assert!(short.summary()["total"]["requests"].as_u64().unwrap() > 0);
    assert!(short.results.join("report.html").exists());
    assert!(!locust.exists(), "Locust still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn locust_ends_with_a_killed_xtask() {
    let store = FakeStore::start(Box::new(healthy)).await;
    let short = ShortLoad::of(&store.url, &["--time", "10m"]);
    let mut child = start(&short.args());
    let locust = measuring(&short, &child).await;
    child.kill().await.unwrap();
    eventually("Locust is gone", async || (!locust.exists()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locust_s_own_page_comes_up_with_the_settings() {
    let store = FakeStore::start(Box::new(healthy)).await;
    // Its output stays open, as it may have more to say.
    let (child, _lines, url) = eventually("Locust's page is up", async || {
        let port = free_port().unwrap().to_string();
        let short = ShortLoad::of(&store.url, &["--ui", "--ui-port", &port]);
        let mut child = start(&short.args());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // There is none if another test has got the port first.
        let line = lines.next_line().await.unwrap()?;
        let url = format!("http://127.0.0.1:{port}");
        assert!(line.contains(&url), "{line}");
        Some((child, lines, url))
    })
    .await;
    let page = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(page.contains(&store.url), "{page}");
    let locust = locust_of(&child).unwrap();
    signal(&child, "-TERM");
    let (code, said) = said(child.wait_with_output().await.unwrap());
    assert_eq!(code, Some(0), "{said}");
    assert!(!locust.exists(), "Locust still runs");
}

/// Waits until requests were measured; gives Locust's folder in `/proc`.
async fn measuring(short: &ShortLoad, child: &Child) -> PathBuf {
    let history = short.results.join("live_stats_history.csv");
    eventually("the first requests are measured", async || {
        let text = fs::read_to_string(&history).ok()?;
        text.contains("POST /orders").then_some(())
    })
    .await;
    locust_of(child).unwrap()
}

/// The child of ours whose command line names Locust. Any thread may have started it.
fn locust_of(child: &Child) -> Option<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id()?)).ok()?;
    let children =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let children: Vec<String> = children.collect();
    let mut folders = children
        .iter()
        .flat_map(|ids| ids.split_whitespace())
        .map(|id| Path::new("/proc").join(id));
    folders.find(|folder| {
        fs::read_to_string(folder.join("cmdline")).is_ok_and(|line| line.contains("locust"))
    })
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    let status = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(status.success());
}
