//! Which trace a request is in, as its component and its client are told.

use reqwest::{Client, Method, RequestBuilder, Version};
use serde_json::Value;

use crate::operator::guest_shop;
use crate::support::{Shop, eventually, send};
use crate::traces::{span, spans, traces};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// Flags of a host that takes everything for slow, and so shows all traces.
pub(crate) const EVERY_TRACE: [&str; 3] = ["--trace-tail", "--trace-slow", "1ns"];

/// A shop of test components whose requests are all shown.
async fn traced(flags: &[&str]) -> Shop {
    let (shop, _app) = guest_shop(&[&EVERY_TRACE[..], flags].concat()).await;
    shop
}

/// The finished trace with this id.
pub(crate) async fn finished(shop: &Shop, id: &str) -> Value {
    let mut found = None;
    eventually("the trace is finished", async || {
        let shown = traces(shop).await;
        found = shown.into_iter().find(|tree| tree["trace_id"] == id);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// `traceparent` and `tracestate` as the component gets them, if a client sends this trace with these flags.
async fn told(request: RequestBuilder, trace: &str, flags: &str) -> (String, String) {
    let request = request.header("traceparent", format!("00-{trace}-{CALLER}-{flags}"));
    let answer = send(request.header("tracestate", "a=1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (parent, state) = answer.text.split_once('\n').unwrap();
    (parent.to_owned(), state.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_told_the_span_that_waits_for_it() {
    let shop = traced(&[]).await;
    for (method, flags) in [(Method::GET, "00"), (Method::POST, "01")] {
        // A trace for each request.
        let trace = format!("{flags}{}", &TRACE[2..]);
        let request = shop.request(method, "/trace").body("body");
        let (parent, state) = told(request, &trace, flags).await;
        let tree = finished(&shop, &trace).await;
        let (root, run) = (&spans(&tree)[0], span(&tree, "run guest"));
        assert_eq!(root["parent_id"], CALLER);
        assert_eq!(run["parent_id"], root["span_id"]);
        let id = run["span_id"].as_str().unwrap();
        assert_eq!(parent, format!("00-{trace}-{id}-{flags}"));
        assert_eq!(state, "a=1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_trace_leaves_what_a_client_says_of_its_trace() {
    let (shop, _app) = guest_shop(&[]).await;
    let (parent, state) = told(shop.request(Method::GET, "/trace"), TRACE, "01").await;
    assert_eq!(parent, format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(state, "a=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_trace_is_believed_only_if_it_is_trusted() {
    // Clients at this machine count as proxies, unless the host is told otherwise.
    for (flags, is_believed) in [
        (&[][..], true),
        (&["--trusted-proxies", "none"][..], false),
        (&["--trace-accept", "nobody"][..], false),
        (
            &["--trusted-proxies", "none", "--trace-accept", "anyone"][..],
            true,
        ),
    ] {
        let shop = traced(flags).await;
        let (parent, state) = told(shop.request(Method::GET, "/trace"), TRACE, "00").await;
        let tree = finished(&shop, &parent[3..35]).await;
        let above = &spans(&tree)[0]["parent_id"];
        if is_believed {
            assert_eq!(parent[3..35], *TRACE, "{flags:?}");
            assert_eq!(*above, CALLER, "{flags:?}");
            assert_eq!(state, "a=1", "{flags:?}");
        } else {
            assert_ne!(parent[3..35], *TRACE, "{flags:?}");
            assert_eq!(*above, Value::Null, "{flags:?}");
            assert_eq!(state, "", "{flags:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_its_trace_if_it_is_to() {
    const HEADERS: [&str; 2] = ["traceresponse", "server-timing"];
    for name in HEADERS {
        let shop = traced(&["--trace-answer", name]).await;
        // The component's answer, the host's own for it, and one that no component was asked for.
        for (request, status) in [
            (shop.request(Method::GET, "/x"), 200_u16),
            (shop.request(Method::GET, "/trap"), 500),
            (shop.request(Method::GET, "/x").header("expect", "x"), 417),
        ] {
            let answer = send(request).await;
            assert_eq!(answer.status.as_u16(), status, "{answer:?}");
            let value = answer.headers[name].to_str().unwrap();
            let ids = match name {
                "traceresponse" => Some(value),
                _ => value
                    .strip_prefix("traceparent;desc=\"")
                    .and_then(|rest| rest.strip_suffix('"')),
            };
            let ids = ids.unwrap_or_else(|| panic!("{name}: {value}"));
            let tree = finished(&shop, &ids[3..35]).await;
            assert_eq!(tree["status"], status, "{tree:#}");
            assert_eq!(spans(&tree)[0]["span_id"], ids[36..52]);
        }
    }
    let shop = traced(&[]).await;
    let answer = shop.get("/x").await;
    for name in HEADERS {
        assert!(!answer.headers.contains_key(name), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_http2_is_in_its_trace_as_any_other() {
    let shop = traced(&["--trace-answer", "traceresponse"]).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    for (number, method) in [(0, Method::GET), (1, Method::POST)] {
        let trace = format!("f{number}{}", &TRACE[2..]);
        let request = client.request(method, shop.host.url("/trace"));
        let request = request.header("traceparent", format!("00-{trace}-{CALLER}-01"));
        let answer = request.body("body").send().await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(answer.status(), 200);
        let named = answer.headers()["traceresponse"]
            .to_str()
            .unwrap()
            .to_owned();
        let text = answer.text().await.unwrap();
        let tree = finished(&shop, &trace).await;
        let (root, run) = (&spans(&tree)[0], span(&tree, "run guest"));
        span(&tree, "receive the body");
        assert_eq!(root["parent_id"], CALLER);
        let [root, run] = [root, run].map(|span| span["span_id"].as_str().unwrap());
        assert_eq!(named, format!("00-{trace}-{root}-01"));
        assert_eq!(text, format!("00-{trace}-{run}-01\n"));
    }
}
