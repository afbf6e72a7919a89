//! The access log, and the request ids that tie it to the logs of the hosts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Reply, Rig, Upstream, eventually, get, request, shop};

/// The complete lines of a rig's log.
pub(crate) fn lines(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    complete
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

/// The file's path is relative to the configuration.
pub(crate) const LOG: &str = "[access_log]\npath = \"access.log\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_json_line() {
    let upstream = Upstream::with(|request| match request.target() {
        "/broken" => Reply::Close,
        _ => Reply::Answer(201, vec![], "hello".into()),
    })
    .await;
    let rig = Rig::start(&format!("{LOG}{}", shop("", [&upstream]))).await;
    let headers = [
        ("user-agent", "a \"quoted\" one\\"),
        ("x-request-id", "id-1"),
    ];
    rig.ask(request("POST", "/orders?a=b", &headers, "{}"))
        .await;
    rig.ask(request("POST", "/broken", &[], "{}")).await;
    eventually("both lines are written", async || {
        lines(&rig.folder).len() == 2
    })
    .await;
    let lines = lines(&rig.folder);
    // A line is written after the answer, so the second may come first.
    let of = |status: u16| lines.iter().find(|line| line["status"] == status).unwrap();
    let (good, broken) = (of(201), of(502));
    let expected: [(&str, Value); 11] = [
        ("request_id", "id-1".into()),
        ("client", "127.0.0.1".into()),
        ("method", "POST".into()),
        ("host", "shop.example".into()),
        ("status", 201.into()),
        ("bytes_sent", 5.into()),
        ("group", "shop".into()),
        ("upstream", upstream.address.to_string().into()),
        ("tries", 1.into()),
        ("http_version", "1.1".into()),
        ("user_agent", "a \"quoted\" one\\".into()),
    ];
    for (key, value) in expected {
        assert_eq!(good[key], value, "{key} of {good}");
    }
    assert!(good["path"].as_str().unwrap().starts_with("/orders"));
    assert!(good["duration_ms"].as_f64().unwrap() >= 0.0);
    assert!(good["time"].as_str().unwrap().ends_with('Z'), "{good}");
    assert!(!broken["request_id"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_is_a_share_of_the_requests_and_all_server_errors() {
    let upstream = Upstream::with(|request| match request.target() {
        "/error" => Reply::Answer(500, vec![], String::new()),
        _ => Reply::Echo,
    })
    .await;
    let config = format!("{LOG}sample = 0.25\n{}", shop("", [&upstream]));
    let rig = Rig::start(&config).await;
    let mut client = rig.client().await;
    for _ in 0..400 {
        client.ask(get("/")).await;
    }
    for _ in 0..10 {
        client.ask(get("/error")).await;
    }
    let count = |status: u16| {
        let lines = lines(&rig.folder);
        lines.iter().filter(|line| line["status"] == status).count()
    };
    eventually("all errors are written", async || count(500) == 10).await;
    let sampled = count(200);
    assert!(
        (50..=150).contains(&sampled),
        "{sampled} of 400 at a quarter"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_are_passed_on_or_made() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let ask = async |headers: &[(&str, &str)]| {
        let answer = rig.ask(request("GET", "/", headers, "")).await;
        let sent = answer.header("x-request-id").unwrap().to_owned();
        let got = upstream.requests().pop().unwrap();
        assert_eq!(got.header("x-request-id"), Some(sent.as_str()));
        sent
    };
    assert_eq!(ask(&[("x-request-id", "abc-123")]).await, "abc-123");
    let (one, two) = (ask(&[]).await, ask(&[]).await);
    assert_ne!(one, two);
    for bad in ["a b", "", &"x".repeat(500), "é"] {
        let made = ask(&[("x-request-id", bad)]).await;
        assert_ne!(made, bad);
        assert!(made.len() >= 16 && made.bytes().all(|b| b.is_ascii_graphic()));
    }
    let made = ask(&[("x-request-id", "one"), ("x-request-id", "two")]).await;
    assert!(!made.contains(','), "{made}");
}
