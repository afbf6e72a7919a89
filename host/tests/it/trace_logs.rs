//! Log lines about a request name its trace, and the span that they belong to.

use reqwest::Method;
use serde_json::Value;

use crate::operator::guest_shop;
use crate::support::{Shop, eventually, send};
use crate::trace_context::finished;
use crate::traces::span;

/// The line of the host's log that says this.
async fn line(shop: &Shop, says: &str) -> Value {
    let mut found = None;
    // Lines are written by a thread of their own.
    eventually(&format!("a line says `{says}`"), async || {
        let log = shop.host.log();
        let read = |line| serde_json::from_str::<Value>(line).ok();
        found = log.lines().filter_map(read).find(|line| {
            let message = line["message"].as_str();
            message.is_some_and(|message| message.contains(says))
        });
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_about_a_request_name_its_trace_and_their_span() {
    let flags = "--trace-tail --trace-slow 1ns --trace-answer traceresponse --log-format json";
    let (shop, _app) = guest_shop(&flags.split(' ').collect::<Vec<_>>()).await;
    // What the component writes belongs to the span of its work, and what the host says of a request to the request's.
    for (request, says, work) in [
        (
            shop.request(Method::GET, "/write"),
            "asked to write",
            Some("run guest"),
        ),
        (
            shop.request(Method::GET, "/trap"),
            "`guest` gave no answer",
            None,
        ),
        (
            shop.request(Method::GET, "/x").header("expect", "x"),
            "Refused a request",
            None,
        ),
    ] {
        let answer = send(request).await;
        let named = answer.headers["traceresponse"].to_str().unwrap();
        let (trace, root) = (&named[3..35], &named[36..52]);
        let line = line(&shop, says).await;
        assert_eq!(line["trace_id"], trace, "{line}");
        match work {
            None => assert_eq!(line["span_id"], root, "{line}"),
            Some(work) => {
                let tree = finished(&shop, trace).await;
                assert_eq!(line["span_id"], span(&tree, work)["span_id"], "{line}");
            }
        }
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(line["request"], id, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_trace_a_line_names_none() {
    let (shop, _app) = guest_shop(&["--log-format", "json"]).await;
    assert_eq!(shop.answer("/write").await, "original");
    let line = line(&shop, "asked to write").await;
    assert!(line["request"].is_string(), "{line}");
    for name in ["trace_id", "span_id"] {
        assert_eq!(line[name], Value::Null, "{line}");
    }
}
