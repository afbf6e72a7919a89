//! One request's trace, from the client to its last statement, as a receiver gets it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::Value;
use testbed::{Proxy, ProxyOptions};
use tokio::net::TcpListener;

use crate::shop::{Shop, host_options_with};
use crate::support::receiver::{ReceivedSpan, Receiver, hex};
use crate::support::{
    Kind, NO_EJECTION, Reply, Rig, Upstream, binary, eventually, eventually_some, folder, get,
    group, request, server_at, shop,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT_SPAN: &str = "b7ad6b7169203331";

/// The client of these tests counts as a proxy.
const TRUSTED: &str = "[forwarded]\ntrusted = [\"127.0.0.1/32\"]\n";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT_SPAN}-{flags}")
}

fn kind(received: &ReceivedSpan) -> SpanKind {
    received.span.kind()
}

/// The spans below another.
fn below<'a>(spans: &'a [ReceivedSpan], above: &ReceivedSpan) -> Vec<&'a ReceivedSpan> {
    let id = above.id();
    spans.iter().filter(|span| span.parent() == id).collect()
}

fn named<'a>(spans: &[&'a ReceivedSpan], name: &str) -> &'a ReceivedSpan {
    let mut found = spans.iter().filter(|span| span.span.name == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no `{name}` in {spans:#?}"))
}

/// An address where nobody listens. A port that was free a moment ago may be another test's by now; one below 1024 is
/// given to nobody who asks for any port.
pub(crate) const DEAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

#[tokio::test(flavor = "multi_thread")]
async fn one_order_is_one_tree_from_the_client_to_its_statements() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        // Only what the client has sampled.
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let store = Shop::with(1, host_options_with(&variables)).await;
    let servers = [DEAD, store.addresses[0]].map(|address| server_at(address, ""));
    let config = TRUSTED.to_owned() + &group("shop", NO_EJECTION, servers);
    let rig = Rig::with_env(&variables, &config).await;

    // Whose turn it is first is not known: one of two requests finds nobody.
    let mut trees = Vec::new();
    for number in 0..2 {
        let trace = TRACE.replace("0af7", &format!("0af{number}"));
        let given = parent("01").replace(TRACE, &trace);
        let headers = [
            ("content-type", "application/json"),
            ("traceparent", &given),
        ];
        let body = r#"{"user_id":1,"items":[{"product_id":1,"quantity":2}]}"#;
        let answer = rig.ask(request("POST", "/orders", &headers, body)).await;
        assert_eq!(answer.status(), 201, "{answer:?}");
        trees.push(trace);
    }
    let spans = eventually_some("an order with a retry", async || {
        trees
            .iter()
            .map(|trace| receiver.spans_of(trace))
            .find(|spans| {
                let services = spans.iter().map(|span| span.service.as_str());
                let roots = services.filter(|service| *service == "store-host");
                let retries = |span: &&ReceivedSpan| span.attribute("store.retry.reason").is_some();
                roots.count() > 0 && spans.iter().filter(retries).count() == 1
            })
    })
    .await;

    let root = spans
        .iter()
        .find(|span| span.parent() == CLIENT_SPAN)
        .unwrap();
    assert_eq!(root.service, "store-proxy");
    assert_eq!(
        (root.span.name.as_str(), kind(root)),
        ("POST shop", SpanKind::Server)
    );
    assert_eq!(root.attribute("http.request.method").unwrap(), "POST");
    assert_eq!(root.attribute("http.response.status_code").unwrap(), "201");
    assert_eq!(root.attribute("network.protocol.version").unwrap(), "1.1");

    let mut tries = below(&spans, root);
    tries.sort_by_key(|span| span.span.start_time_unix_nano);
    let [first, second] = tries.as_slice() else {
        panic!("{tries:#?}")
    };
    assert!(tries.iter().all(|span| kind(span) == SpanKind::Client));
    let port = |span: &ReceivedSpan| span.attribute("server.port").unwrap();
    assert_eq!(port(first), DEAD.port().to_string());
    assert_eq!(first.attribute("error.type").unwrap(), "unreachable");
    assert_eq!(
        first.span.status.as_ref().unwrap().code(),
        StatusCode::Error
    );
    assert_eq!(port(second), store.addresses[0].port().to_string());
    assert_eq!(second.attribute("http.request.resend_count").unwrap(), "1");
    assert_eq!(
        second.attribute("store.retry.reason").unwrap(),
        "unreachable"
    );
    assert_eq!(
        second.attribute("http.response.status_code").unwrap(),
        "201"
    );

    let [of_host] = below(&spans, second)[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(
        (of_host.service.as_str(), kind(of_host)),
        ("store-host", SpanKind::Server)
    );
    let route = of_host.attribute("http.route").unwrap();
    assert_eq!(of_host.span.name, format!("POST {route}"));
    let steps = below(&spans, of_host);
    named(&steps, "receive the body");
    named(&steps, "wait for an instance");
    let run = named(&steps, "run orders");

    let calls = below(&spans, run);
    named(&calls, "wait for MySQL");
    let insert = named(&calls, "INSERT orders");
    assert_eq!(kind(insert), SpanKind::Client);
    assert_eq!(insert.attribute("db.system.name").unwrap(), "mysql");
    assert_eq!(insert.attribute("db.operation.name").unwrap(), "INSERT");
    assert!(
        insert
            .attribute("db.namespace")
            .unwrap()
            .starts_with("store_")
    );
    let text = insert.attribute("db.query.text").unwrap();
    assert!(text.contains("INTO orders") && text.contains('?'), "{text}");
    let prices = calls
        .iter()
        .find(|span| span.span.name == "SELECT products")
        .unwrap();
    assert_eq!(prices.attribute("db.response.returned_rows").unwrap(), "1");
    let redis =
        |span: &&&ReceivedSpan| span.attribute("db.system.name").as_deref() == Some("redis");
    assert!(calls.iter().filter(redis).count() > 0, "{calls:#?}");

    // What is not of the client's sample has not been sent.
    let of_client = |span: &ReceivedSpan| trees.contains(&hex(&span.span.trace_id));
    assert!(receiver.spans().iter().all(of_client));
    // Neither the order's number nor anything that was asked for.
    for span in &spans {
        assert!(
            span.span
                .attributes
                .iter()
                .all(|attribute| !attribute.key.starts_with("url.path"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_over_grpc_and_over_http_and_the_last_ones_at_the_end() {
    for protocol in ["grpc", "http/protobuf"] {
        let receiver = Receiver::start().await;
        let upstream = Upstream::start().await;
        let url = receiver.url();
        let rig = Rig::with_env(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop"),
                ("OTEL_SERVICE_NAME", "front"),
                // Nobody waits that long: it is sent at the end.
                ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ],
            &shop("", [&upstream]),
        )
        .await;
        assert_eq!(rig.get("/x").await.status(), 200);
        rig.signal(testbed::Signal::SIGTERM);
        rig.proxy
            .process()
            .wait_exit(Duration::from_secs(20))
            .await
            .unwrap();

        let spans = receiver.spans();
        assert_eq!(spans.len(), 2, "{protocol}: {spans:#?}");
        assert!(spans.iter().all(|span| span.service == "front"));
        assert_eq!(receiver.headers()[0]["x-tenant"], "shop");
        let asked = upstream.requests();
        let told = asked[0].header("traceparent").unwrap();
        let attempt = spans
            .iter()
            .find(|span| kind(span) == SpanKind::Client)
            .unwrap();
        assert_eq!(told[36..52], attempt.id());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_is_sent_at_once() {
    let receiver = Receiver::start().await;
    let upstream = Upstream::start().await;
    let url = receiver.url();
    let rig = Rig::with_env(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            // Nobody waits that long.
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
        ],
        &shop("", [&upstream]),
    )
    .await;
    for sent in [4, 8] {
        for _ in 0..2 {
            assert_eq!(rig.get("/x").await.status(), 200);
        }
        eventually("two requests and their tries are there", async || {
            receiver.spans().len() == sent
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_is_larger_than_the_queue_is_sent_in_parts() {
    let receiver = Receiver::start().await;
    let upstream = Upstream::start().await;
    let url = receiver.url();
    let rig = Rig::with_env(
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "1"),
        ],
        &shop("", [&upstream]),
    )
    .await;
    assert_eq!(rig.get("/x").await.status(), 200);
    eventually("the request and its try are there", async || {
        receiver.spans().len() == 2
    })
    .await;
    assert_eq!(receiver.headers().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_takes_nothing_costs_spans_and_no_request() {
    let refusing = Receiver::start().await;
    refusing.refuse();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (address, result) in [
        (refusing.address, "failed"),
        (silent.local_addr().unwrap(), "dropped"),
        (DEAD, "failed"),
    ] {
        let upstream = Upstream::start().await;
        let url = format!("http://{address}");
        let rig = Rig::with_env(
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
                ("OTEL_BSP_SCHEDULE_DELAY", "1"),
                ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
            ],
            &shop("", [&upstream]),
        )
        .await;
        let mut client = rig.client().await;
        eventually(&format!("{result} spans for {address}"), async || {
            assert_eq!(client.ask(get("/x")).await.status(), 200);
            let label = format!("result=\"{result}\"");
            rig.metric("store_proxy_trace_spans_total", &[&label]).await > 0.0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_its_trace_is_believed_only_if_it_is_trusted() {
    let upstream = Upstream::start().await;
    let config = |trace: &str, trusted: &str| {
        format!("[trace]\ntail = true\n{trace}\n{trusted}") + &shop("", [&upstream])
    };
    let told = async |config: String, method: &str| {
        let rig = Rig::start(&config).await;
        let given = parent("00");
        let headers = [("traceparent", given.as_str()), ("tracestate", "a=1")];
        let answer = rig.ask(request(method, "/x", &headers, "")).await;
        assert_eq!(answer.status(), 200);
        let asked = upstream.requests().pop().unwrap();
        let parents = asked.all("traceparent");
        assert_eq!(parents.len(), 1);
        (
            parents[0].to_owned(),
            asked.header("tracestate").map(str::to_owned),
        )
    };
    // Plain requests pass pingora by, and others do not.
    for method in ["GET", "OPTIONS"] {
        let (parent, state) = told(config("", TRUSTED), method).await;
        assert_eq!(parent[..36], format!("00-{TRACE}-"));
        assert_ne!(parent[36..52], *CLIENT_SPAN);
        assert_eq!(parent[52..], *"-00");
        assert_eq!(state.as_deref(), Some("a=1"));
        for config in [config("", ""), config("accept = \"nobody\"", TRUSTED)] {
            let (parent, state) = told(config, method).await;
            assert_ne!(parent[3..35], *TRACE);
            assert_eq!(state, None);
        }
        let (parent, _) = told(config("accept = \"anyone\"", ""), method).await;
        assert_eq!(parent[3..35], *TRACE);
        // Without traces, the proxy has nothing to say.
        let (parent, state) = told(shop("", [&upstream]), method).await;
        assert_eq!(
            (parent, state.as_deref()),
            (self::parent("00"), Some("a=1"))
        );
    }
}

/// What the proxy shows of slow and failed requests.
async fn kept(rig: &Rig) -> Vec<Value> {
    let shown = reqwest::get(rig.proxy.admin_url("/traces")).await.unwrap();
    let text = shown.text().await.unwrap();
    match serde_json::from_str(&text) {
        Ok(Value::Array(trees)) => trees,
        _ => panic!("{text}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_failed_requests_are_shown_for_a_while() {
    let upstream = Upstream::start().await;
    let trace = "[trace]\ntail = true\nslow = \"1h\"\nanswer = \"traceresponse\"\n";
    let config = trace.to_owned() + &shop(NO_EJECTION, [&upstream]);
    let rig = Rig::start(&config).await;
    assert_eq!(rig.get("/x").await.status(), 200);
    upstream.stop().await;
    let answer = rig.get("/order/7?secret=1").await;
    assert_eq!(answer.status(), 503);

    let trees = kept(&rig).await;
    let text = Value::from(trees.clone()).to_string();
    assert!(
        !text.contains("secret") && !text.contains("/order"),
        "{text}"
    );
    let [tree] = trees.as_slice() else {
        panic!("{text}")
    };
    assert_eq!(
        (&tree["method"], &tree["status"]),
        (&"GET".into(), &503.into())
    );
    assert_eq!(tree["why"], "failed");
    let spans = tree["spans"].as_array().unwrap();
    assert_eq!(spans[0]["parent_id"], Value::Null);
    assert!(spans.len() > 1);
    for attempt in &spans[1..] {
        assert_eq!(attempt["parent_id"], spans[0]["span_id"]);
    }
    let (last, before) = spans[1..].split_last().unwrap();
    assert_eq!(last["error"], "unreachable");
    // An earlier try may go over the connection of the request before, and find out that it is closed.
    for attempt in before {
        assert!(["unreachable", "broke off"].contains(&attempt["error"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_which_a_try_failed_is_shown_though_it_was_answered() {
    let upstream = Upstream::start().await;
    let servers = [DEAD, upstream.address].map(|address| server_at(address, ""));
    let trace = "[trace]\ntail = true\nslow = \"1h\"\n";
    let config = trace.to_owned() + &group("shop", NO_EJECTION, servers);
    // Plain requests pass pingora by, and others do not.
    for headers in [[].as_slice(), &[("te", "trailers")]] {
        let rig = Rig::start(&config).await;
        // Whose turn it is first is not known: one of two requests finds nobody.
        for _ in 0..2 {
            let answer = rig.ask(request("GET", "/x", headers, "")).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
        let trees = eventually_some("one is kept", async || {
            let trees = kept(&rig).await;
            (!trees.is_empty()).then_some(trees)
        })
        .await;
        let tree = &trees[0];
        assert_eq!(tree["why"], "failed", "{tree:#}");
        assert_eq!(tree["status"], 200);
        let spans = tree["spans"].as_array().unwrap();
        let errors: Vec<_> = spans.iter().map(|span| &span["error"]).collect();
        assert_eq!(errors, [&Value::Null, &"unreachable".into(), &Value::Null]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_short_has_failed() {
    // After half of its answer, the upstream falls silent: a proxy that hears of the end at once could ask again.
    let half = Bytes::from_static(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
    let upstream = Upstream::with(move |_| Reply::Bytes(half.clone())).await;
    let trace = "[trace]\ntail = true\nslow = \"1h\"\n";
    let keys = format!("{NO_EJECTION}\nread_timeout = \"300ms\"");
    let rig = Rig::start(&(trace.to_owned() + &shop(&keys, [&upstream]))).await;
    // Plain requests pass pingora by, and others do not.
    for headers in [[].as_slice(), &[("te", "trailers")]] {
        let mut client = rig.client().await;
        client.send(request("GET", "/x", headers, "")).await;
        let answer = client.try_answer(Kind::Response).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    let trees = eventually_some("both are kept", async || {
        let trees = kept(&rig).await;
        (trees.len() == 2).then_some(trees)
    })
    .await;
    for tree in &trees {
        assert_eq!(tree["why"], "failed", "{tree:#}");
        assert_eq!(tree["status"], 200);
        let spans = tree["spans"].as_array().unwrap();
        assert_eq!(spans[0]["error"], "cut short");
        assert_eq!(spans[1]["error"], "silent");
        let trace = tree["trace_id"].as_str().unwrap();
        eventually("the log names it", async || {
            let log = rig.proxy.log();
            let mut lines = log.lines();
            lines.any(|line| line.contains("GET /x failed") && line.contains(trace))
        })
        .await;
    }
    // They count with the status of their heads, as they do in a host.
    let answered = rig.metric("http_requests_total", &["status=\"2xx\""]);
    assert_eq!(answered.await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_names_its_trace_if_it_is_to() {
    let upstream = Upstream::start().await;
    for (answer, name) in [
        ("traceresponse", "traceresponse"),
        ("server_timing", "server-timing"),
    ] {
        let trace = format!("[trace]\ntail = true\nanswer = \"{answer}\"\n");
        let rig = Rig::start(&(trace.clone() + &shop("", [&upstream]))).await;
        for method in ["GET", "OPTIONS"] {
            let answer = rig.ask(request(method, "/x", &[], "")).await;
            let told = upstream.requests().pop().unwrap();
            let trace = told.header("traceparent").unwrap()[3..35].to_owned();
            let named = answer.header(name).unwrap();
            assert!(named.contains(&trace), "{method}: {named}");
        }
        // Answers of the proxy's own do too, on whichever way the request went.
        let nobody = group("shop", NO_EJECTION, [server_at(DEAD, "")]);
        let rig = Rig::start(&(trace.clone() + &nobody)).await;
        for headers in [[].as_slice(), &[("te", "trailers")]] {
            let answer = rig.ask(request("GET", "/x", headers, "")).await;
            assert_eq!(answer.status(), 503);
            assert!(answer.header(name).is_some(), "{headers:?}");
        }
    }
}

/// What a proxy says that these variables keep from starting.
pub(crate) async fn refuses_to_start(env: &[(&str, &str)]) -> String {
    let folder = folder();
    let config = folder.join("store-proxy.toml");
    let servers = [server_at(DEAD, "")];
    std::fs::write(&config, group("shop", "", servers)).unwrap();
    let env = env
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    let options = ProxyOptions {
        env: env.collect(),
        ..ProxyOptions::new(binary(), &config)
    };
    let (status, said) = Proxy::run_to_end(&options, Duration::from_secs(20))
        .await
        .unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_means_nothing_ends_the_start() {
    for (name, value) in [
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"),
    ] {
        let line = refuses_to_start(&[(name, value)]).await;
        assert!(line.contains(name), "{line}");
    }
}
