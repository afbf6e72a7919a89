//! A client over HTTP/2 and its trace, which upstreams are told over HTTP/1.1.

use reqwest::{Client, Method, Version};
use serde_json::Value;

use crate::support::{Rig, Upstream, eventually_some, shop};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Every request counts as slow, and is shown.
const TRACED: &str =
    "[trace]\ntail = true\nslow = \"1ns\"\naccept = \"anyone\"\nanswer = \"traceresponse\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_http2_is_in_its_trace_as_any_other() {
    let upstream = Upstream::start().await;
    let config = TRACED.to_owned() + &shop("", [&upstream]);
    let rig = Rig::with("", "h2c = true", &config).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    // Plain requests pass pingora by, and others do not.
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let request = client.request(method.clone(), rig.proxy.url("/x"));
        let parent = format!("00-{TRACE}-{CALLER}-01");
        let request = request.header("traceparent", parent);
        let answer = request.header("tracestate", "a=1").send().await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2, "{method}");
        assert_eq!(answer.status(), 200, "{method}");
        let named = answer.headers()["traceresponse"].to_str().unwrap();
        let asked = upstream.requests().pop().unwrap();
        assert_eq!(asked.header("tracestate"), Some("a=1"), "{method}");
        let told = asked.header("traceparent").unwrap();

        let url = rig.proxy.admin_url("/traces");
        let tree = eventually_some("the trace is finished", async || {
            let shown: Vec<Value> = reqwest::get(url.as_str())
                .await
                .unwrap()
                .json()
                .await
                .unwrap();
            let mut shown = shown.into_iter();
            shown.find(|tree| tree["method"] == method.as_str())
        })
        .await;
        assert_eq!(tree["trace_id"], TRACE, "{tree:#}");
        let [request, attempt] = tree["spans"].as_array().unwrap().as_slice() else {
            panic!("{tree:#}")
        };
        assert_eq!(request["parent_id"], CALLER);
        assert_eq!(attempt["parent_id"], request["span_id"]);
        let [request, attempt] = [request, attempt].map(|span| span["span_id"].as_str().unwrap());
        assert_eq!(named, format!("00-{TRACE}-{request}-01"));
        assert_eq!(told, format!("00-{TRACE}-{attempt}-01"));
    }
}
