//! The proxy's log and its access log name the trace of a request, which the log of a host names too.

use serde_json::Value;

use crate::access_log::{LOG, lines};
use crate::shop::{Shop, host_options};
use crate::support::{
    Message, NO_EJECTION, Rig, Upstream, eventually, eventually_some, group, request, server_at,
    shop,
};
use crate::traces::DEAD;

const TRACED: &str = "[trace]\ntail = true\nanswer = \"traceresponse\"\n";

/// The ids of the trace and of the request's span that an answer names.
fn named(answer: &Message) -> [String; 2] {
    let ids = answer.header("traceresponse").unwrap();
    [&ids[3..35], &ids[36..52]].map(str::to_owned)
}

/// The line of the access log about the request with this id.
async fn logged(rig: &Rig, id: &str) -> Value {
    eventually_some("the line is written", async || {
        let lines = lines(&rig.folder);
        lines.into_iter().find(|line| line["request_id"] == id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_the_access_log_names_the_trace_of_its_request() {
    let upstream = Upstream::start().await;
    let shop = shop("", [&upstream]);
    let rig = Rig::start(&format!("{TRACED}{LOG}{shop}")).await;
    // Plain requests pass pingora by, and others do not.
    for method in ["GET", "OPTIONS"] {
        let asked = request(method, "/x", &[("x-request-id", method)], "");
        let answer = rig.ask(asked).await;
        assert_eq!(answer.status(), 200);
        let [trace, span] = named(&answer);
        let line = logged(&rig, method).await;
        assert_eq!(
            (&line["trace_id"], &line["span_id"]),
            (&trace.into(), &span.into())
        );
    }
    let untraced = Rig::start(&format!("{LOG}{shop}")).await;
    let asked = request("GET", "/x", &[("x-request-id", "none")], "");
    assert_eq!(untraced.ask(asked).await.status(), 200);
    let line = logged(&untraced, "none").await;
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_about_a_request_that_failed_names_its_trace() {
    let nobody = group("shop", NO_EJECTION, [server_at(DEAD, "")]);
    let rig = Rig::start(&format!("{TRACED}{LOG}{nobody}")).await;
    // The first passes pingora by, and the second does not.
    for (id, more) in [("one", None), ("two", Some(("te", "trailers")))] {
        let headers: Vec<_> = [("x-request-id", id)].into_iter().chain(more).collect();
        let answer = rig.ask(request("GET", "/x", &headers, "")).await;
        assert_eq!(answer.status(), 503);
        let [trace, span] = named(&answer);
        let parts = [
            "GET /x failed".to_owned(),
            format!("trace_id={trace}"),
            format!("span_id={span}"),
        ];
        eventually(&format!("a line has {parts:?}"), async || {
            let log = rig.proxy.log();
            let mut lines = log.lines();
            lines.any(|line| parts.iter().all(|part| line.contains(part)))
        })
        .await;
        let line = logged(&rig, id).await;
        assert_eq!(line["status"], 503);
        assert_eq!(line["trace_id"], *trace);
    }
}

/// A bound of groups that is no number makes the component write a line for each order.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_id_is_in_the_logs_of_proxy_and_host() {
    let options = host_options().variable("order_group_max_orders", "many");
    let shop = Shop::with(1, options.arg("--trace-tail")).await;
    let rig = shop.proxy(&format!("{TRACED}{LOG}"), "").await;
    let headers = [
        ("content-type", "application/json"),
        ("x-request-id", "order-7"),
    ];
    let body = r#"{"user_id":1,"items":[{"product_id":1,"quantity":1}]}"#;
    let answer = rig.ask(request("POST", "/orders", &headers, body)).await;
    assert_eq!(answer.status(), 503, "{answer:?}");
    let [trace, _] = named(&answer);
    assert_eq!(logged(&rig, "order-7").await["trace_id"], *trace);
    let parts = [
        "order_group_max_orders".to_owned(),
        "order-7".to_owned(),
        format!("trace_id={trace}"),
    ];
    eventually("the component's line names it", async || {
        let log = shop.hosts[0].log();
        let mut lines = log.lines();
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    })
    .await;
}
