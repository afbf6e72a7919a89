//! `cargo xtask lab --quick`: on real servers, with the programs that the other tests use.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::browser::{Viewport, look};
use crate::fake_store::{FakeStore, healthy};
use crate::support::{eventually, folder, program, run, said, start};

/// A quick lab with results in a folder of the test's own.
fn quick<'a>(results: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    // The programs are there, or whoever runs the tests is told to build them.
    for name in ["store-host", "store-proxy"] {
        program(name);
    }
    let mut args = vec!["lab", "--quick", "--no-saturate", "--results", results];
    args.extend(more);
    args
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_lab_ends_in_a_page_whose_charts_draw() {
    let folder = folder();
    let results = folder.join("results");
    let shown = results.display().to_string();
    let reference = FakeStore::start(Box::new(healthy)).await;
    let stages = [
        "--only",
        "mysql-batched,two-least-connections",
        "--reference",
        &reference.url,
    ];
    let (code, text) = run(&quick(&shown, &stages)).await;
    assert_eq!(code, Some(0), "{text}");
    let report: Value = json(&results.join("report.json"));
    let measured = report["stages"].as_array().unwrap();
    assert_eq!(measured.len(), 3);
    for stage in measured {
        assert_eq!(
            stage["load"]["total"]["failures"], 0,
            "{}",
            stage["load"]["errors"]
        );
        assert_eq!(stage["load"]["routes"].as_array().unwrap().len(), 3);
        assert!(!stage["samples"].as_array().unwrap().is_empty());
        let statements = stage["counters"]["statements"]["orders"].as_f64();
        assert_eq!(
            statements.is_some_and(|count| count > 0.0),
            stage["stage"] != "reference"
        );
    }
    let markdown = fs::read_to_string(results.join("report.md")).unwrap();
    assert!(
        markdown.contains("No request failed up to 12 users"),
        "{markdown}"
    );
    assert!(markdown.contains("least_connections in two-least-connections"));

    // No search, so no headline of highest rates.
    page_is_good(&results.join("report.html"), 8).await;
    again_is_known(&shown, &stages).await;
}

/// Each order alone against orders together, of the course and of one product, which `--only 9` measures both ways.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_looked_into_statement_by_statement() {
    let folder = folder();
    let results = folder.join("results");
    let shown = results.display().to_string();
    let stages = ["--only", "7,8,9", "--time", "2s"];
    let (code, text) = run(&quick(&shown, &stages)).await;
    assert_eq!(code, Some(0), "{text}");
    let report: Value = json(&results.join("report.json"));
    let measured = report["stages"].as_array().unwrap();
    let kinds = |stage: &Value| stage["order_costs"].as_array().unwrap().len();
    assert_eq!(measured.iter().map(kinds).collect::<Vec<_>>(), [4, 1, 1, 1]);
    for (stage, commits) in [
        (0, 0.95..=1.05),
        (1, 0.0..=0.9),
        (2, 0.95..=1.05),
        (3, 0.0..=0.9),
    ] {
        let cost = &measured[stage]["order_costs"][0];
        assert_eq!(cost["failed"], 0, "{cost}");
        let orders = cost["orders"].as_f64().unwrap();
        let statements = cost["statements"].as_array().unwrap();
        let count = |name: &str| {
            let found = statements
                .iter()
                .find(|statement| statement["name"] == name);
            found.unwrap_or_else(|| panic!("no {name} in {cost}"))["count"]
                .as_f64()
                .unwrap()
        };
        let share = count("commit") / orders;
        assert!(
            commits.contains(&share),
            "{share} commits for an order: {cost}"
        );
        // None was lost on the way: what is committed was begun, and has lines. One or two may have been tried again.
        // The items of a large group go in two or three pieces.
        for (name, most) in [
            ("begin", 1.1),
            ("INSERT INTO orders", 1.1),
            ("INSERT INTO order_items", 3.1),
        ] {
            let share = count(name) / count("commit");
            assert!((0.9..most).contains(&share), "{name}: {cost}");
        }
    }
    let markdown = fs::read_to_string(results.join("report.md")).unwrap();
    for said in [
        "where those that wait at the same time commit together, an order costs",
        "With 25 products an order took",
        "## 9. A flash sale",
    ] {
        assert!(markdown.contains(said), "{said}: {markdown}");
    }
    // One of 95th percentiles, one of costs of requests, three of distributions, four over time, three of statements.
    page_is_good(&results.join("report.html"), 12).await;
}

async fn page_is_good(page: &Path, figures: u64) {
    let text = fs::read_to_string(page).unwrap();
    // The library's own text, packed, holds no address that a browser would see.
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!text.contains(outside), "the page holds {outside}");
    }
    for (what, how) in [
        (
            "light, on a desk",
            Viewport {
                width: 1280,
                dark: false,
            },
        ),
        (
            "dark, on a phone",
            Viewport {
                width: 390,
                dark: true,
            },
        ),
    ] {
        let seen = look(page, how).await;
        assert_eq!(seen["error"], Value::Null, "{what}: {seen}");
        assert_eq!(seen["failed"], "0", "{what}: {seen}");
        assert_eq!(seen["figures"], figures, "{what}: {seen}");
        assert_eq!(seen["empty"], serde_json::json!([]), "{what}: {seen}");
        assert_eq!(seen["wider_than_screen"], false, "{what}: {seen}");
        assert_eq!(seen["requests"], 0, "{what}: {seen}");
        assert_eq!(seen["dark"], how.dark, "{what}: {seen}");
    }
}

async fn again_is_known(results: &str, stages: &[&str]) {
    let (code, text) = run(&quick(results, stages)).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("✓ mysql-batched: finished by an earlier run"),
        "{text}"
    );

    let other = [stages, &["--users", "7"]].concat();
    let (code, text) = run(&quick(results, &other)).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("users: 12 there, 7 here"), "{text}");
    assert!(text.contains("--fresh"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_lab_leaves_nothing_running() {
    let folder = folder();
    let results = folder.join("results");
    let shown = results.display().to_string();
    let args = quick(&shown, &["--only", "cached", "--time", "10m"]);
    let child = start(&args);
    let id = child.id().unwrap();
    let history = results.join("locust/cached/live_stats_history.csv");
    eventually("Locust measures", async || history.exists().then_some(())).await;
    let children = children_of(id);
    // MariaDB, Redis, a host, Locust.
    assert!(children.len() >= 4, "{children:?}");

    let kill = Command::new("kill")
        .args(["-INT", &id.to_string()])
        .status();
    assert!(kill.await.unwrap().success());
    let (code, text) = said(child.wait_with_output().await.unwrap());
    assert_eq!(code, Some(130), "{text}");
    assert!(
        text.contains("the same command goes on from there"),
        "{text}"
    );
    eventually("all servers are gone", async || {
        children.iter().all(|child| !child.exists()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_in_a_line() {
    let (code, text) = run(&["lab", "--only", "warp-drive"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("warp-drive") && text.contains("redis-naive"),
        "{text}"
    );

    let (code, text) = run(&["lab", "--reference", "localhost:5000"]).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("http://host:port"), "{text}");

    let folder = folder();
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    let shown = file.display().to_string();
    let (code, text) = run(&quick(&shown, &["--only", "cached"])).await;
    assert_eq!(code, Some(1), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("error: ") && last.contains(&shown),
        "{text}"
    );
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Where the kernel shows the children of a process, each while it runs.
fn children_of(id: u32) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let lists = tasks.flatten().map(|task| task.path().join("children"));
    let ids = lists.filter_map(|list| fs::read_to_string(list).ok());
    let ids: Vec<String> = ids.collect();
    let ids = ids.iter().flat_map(|list| list.split_whitespace());
    ids.map(|id| Path::new("/proc").join(id)).collect()
}
