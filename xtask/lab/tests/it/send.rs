//! `lab send`: the load generator as the process that the other commands start.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::fake_store::{FakeStore, healthy};
use crate::support::{eventually, run, said};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_sent_until_the_input_ends() {
    let answered = Arc::new(AtomicU64::new(0));
    let counter = answered.clone();
    let store = FakeStore::start(Box::new(move |request: &str| {
        counter.fetch_add(1, Ordering::SeqCst);
        healthy(request)
    }))
    .await;
    let target = json!({
        "base": store.url,
        "requests": [{ "path": "/health-check" }, { "path": "/orders", "body": "{}" }],
        "headers": [],
        "http2": false,
        "keep_alive": true,
        "clients": [],
    });
    let job = json!({ "stream": "all", "target": target, "at_once": 2, "rate": 1000 });
    let mut sender = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("send")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = sender.stdin.take().unwrap();
    input
        .write_all(format!("{job}\n").as_bytes())
        .await
        .unwrap();
    let sent = async || (answered.load(Ordering::SeqCst) >= 10).then_some(());
    eventually("ten requests", sent).await;
    drop(input);
    let (code, text) = said(sender.wait_with_output().await.unwrap());
    assert_eq!(code, Some(0), "{text}");
    let measured: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(measured["requests"], answered.load(Ordering::SeqCst));
    assert_eq!(measured["stream"], "all");
    assert_eq!(measured["failed"], json!({}));
}

#[tokio::test]
async fn without_a_job_nothing_is_sent() {
    let (code, text) = run(&["send"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("reading what to send"), "{text}");
}
