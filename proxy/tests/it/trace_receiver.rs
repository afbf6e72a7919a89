//! What a receiver of traces gets from proxies and hosts, and what one costs that is slow, gone or not believed: spans,
//! and no request.

use std::net::SocketAddr;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use testbed::Host;
use testbed::metrics::series;
use tokio::net::TcpListener;

use crate::shop::{address, empty_store, host_options_with};
use crate::support::authority::Authority;
use crate::support::receiver::{ReceivedSpan, Receiver};
use crate::support::{
    Client, NO_EJECTION, Reply, Rig, Upstream, eventually, eventually_some, folder, get, request,
    shop,
};
use crate::traces::{DEAD, refuses_to_start};

/// Small enough that a receiver that takes nothing fills it at once.
const SMALL_QUEUE: [(&str, &str); 2] = [
    ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
];

/// No request is in the sample.
const UNSAMPLED: [(&str, &str); 2] = [
    ("OTEL_TRACES_SAMPLER", "always_off"),
    ("OTEL_BSP_SCHEDULE_DELAY", "20"),
];

/// `variables`, and where traces are sent.
fn sent_to<'a>(url: &'a str, variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    [&[endpoint][..], variables].concat()
}

/// A program that sends traces.
struct Sender {
    address: SocketAddr,
    metrics: String,
    counter: &'static str,
    service: &'static str,
}

impl Sender {
    fn host(host: &Host) -> Self {
        Self {
            address: address(host),
            metrics: host.admin_url("/metrics"),
            counter: "store_trace_spans_total",
            service: "store-host",
        }
    }

    fn proxy(rig: &Rig) -> Self {
        Self {
            address: rig.address,
            metrics: rig.proxy.admin_url("/metrics"),
            counter: "store_proxy_trace_spans_total",
            service: "store-proxy",
        }
    }

    /// How many of its spans ended so.
    async fn spans(&self, result: &str) -> f64 {
        let answer = reqwest::get(self.metrics.as_str()).await.unwrap();
        let text = answer.text().await.unwrap();
        let label = format!("result=\"{result}\"");
        let all = series(&text, self.counter);
        let meant = all.filter(|(labels, _)| *labels == label);
        meant.map(|(_, value)| value).sum()
    }

    /// A request, and the status of its answer.
    async fn ask(&self, request: impl AsRef<[u8]>) -> u16 {
        Client::connect(self.address)
            .await
            .ask(request)
            .await
            .status()
    }

    /// A request that is answered, whatever becomes of its spans.
    async fn serves(&self) {
        assert_eq!(
            self.ask(get("/health-check")).await,
            200,
            "{}",
            self.service
        );
    }

    /// The spans of its requests that a receiver has.
    fn requests(&self, receiver: &Receiver) -> Vec<ReceivedSpan> {
        let mut spans = receiver.spans();
        let is_request = |span: &ReceivedSpan| {
            span.service == self.service && span.span.kind() == SpanKind::Server
        };
        spans.retain(is_request);
        spans
    }

    /// The same, once there is one.
    async fn received_requests(&self, receiver: &Receiver) -> Vec<ReceivedSpan> {
        let what = format!("a request of {} is received", self.service);
        eventually_some(&what, async || {
            let found = self.requests(receiver);
            (!found.is_empty()).then_some(found)
        })
        .await
    }
}

fn status(span: &ReceivedSpan) -> String {
    span.attribute("http.response.status_code").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_is_sent_though_none_is_in_the_sample() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let variables = sent_to(&url, &UNSAMPLED);
    let store = empty_store().await;
    // The component refuses each order, as it can't read this.
    let options = host_options_with(&variables).variable("order_group_max_orders", "many");
    let options = options.arg("--trace-slow").arg("1h");
    let host = store.host(options).await.unwrap();
    let upstream = Upstream::with(|request| match request.method() {
        "POST" => Reply::Answer(503, vec![], String::new()),
        _ => Reply::Echo,
    })
    .await;
    let config = format!("[trace]\nslow = \"1h\"\n{}", shop(NO_EJECTION, [&upstream]));
    let rig = Rig::with_env(&variables, &config).await;
    let headers = [("content-type", "application/json")];
    let body = r#"{"user_id":1,"items":[{"product_id":1,"quantity":1}]}"#;
    for sender in [Sender::host(&host), Sender::proxy(&rig)] {
        sender.serves().await;
        let order = request("POST", "/orders", &headers, body);
        assert_eq!(sender.ask(order).await, 503);
        let found = sender.received_requests(&receiver).await;
        assert_eq!(found.len(), 1, "the other one was not sent: {found:#?}");
        assert_eq!(status(&found[0]), "503");
        assert_eq!(found[0].attribute("error.type").unwrap(), "503");
        assert!(!found[0].is_sampled());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_slow_is_sent_though_none_is_in_the_sample() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let variables = sent_to(&url, &UNSAMPLED);
    let store = empty_store().await;
    let options = host_options_with(&variables).arg("--trace-slow").arg("1ns");
    let host = store.host(options).await.unwrap();
    let upstream = Upstream::start().await;
    let config = format!("[trace]\nslow = \"1ns\"\n{}", shop("", [&upstream]));
    let rig = Rig::with_env(&variables, &config).await;
    for sender in [Sender::host(&host), Sender::proxy(&rig)] {
        sender.serves().await;
        let found = sender.received_requests(&receiver).await;
        assert_eq!(status(&found[0]), "200");
        assert_eq!(found[0].attribute("error.type"), None);
        assert!(!found[0].is_sampled());
        // The rest of its trace came with it.
        let spans = receiver.spans();
        let id = found[0].id();
        assert!(spans.iter().any(|span| span.parent() == id), "{spans:#?}");
    }
}

/// Of a proxy: `a_receiver_that_takes_nothing_costs_spans_and_no_request`, in `traces.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_takes_nothing_costs_a_host_spans_and_no_request() {
    let refusing = Receiver::start().await;
    refusing.refuse();
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = empty_store().await;
    for (address, result, reason) in [
        (refusing.address, "failed", Some("status code: 403")),
        (DEAD, "failed", Some("network error")),
        (silent.local_addr().unwrap(), "dropped", None),
    ] {
        let url = format!("http://{address}");
        let variables = sent_to(&url, &SMALL_QUEUE);
        let host = store.host(host_options_with(&variables)).await.unwrap();
        let sender = Sender::host(&host);
        eventually(&format!("{result} spans for {address}"), async || {
            sender.serves().await;
            sender.spans(result).await > 0.0
        })
        .await;
        assert_eq!(sender.spans("sent").await, 0.0, "{address}");
        let Some(reason) = reason else { continue };
        eventually(&format!("the log says `{reason}`"), async || {
            let log = host.log();
            let mut lines = log.lines();
            lines.any(|line| line.contains("Traces can't be sent") && line.contains(reason))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_slow_costs_spans_as_long_as_it_is_and_no_request() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let url = receiver.url();
    // Nobody gives it up.
    let patient = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "3600000"),
    ];
    let variables = sent_to(&url, &[SMALL_QUEUE, patient].concat());
    let store = empty_store().await;
    let host = store.host(host_options_with(&variables)).await.unwrap();
    let upstream = Upstream::start().await;
    let rig = Rig::with_env(&variables, &shop("", [&upstream])).await;
    let senders = [Sender::host(&host), Sender::proxy(&rig)];
    for sender in &senders {
        let what = format!("spans of {} are dropped", sender.service);
        eventually(&what, async || {
            sender.serves().await;
            sender.spans("dropped").await > 0.0
        })
        .await;
        assert_eq!(sender.spans("sent").await, 0.0, "{}", sender.service);
    }
    assert!(receiver.spans().is_empty());
    receiver.let_go();
    for sender in &senders {
        let what = format!("requests of {} are received again", sender.service);
        eventually(&what, async || {
            sender.serves().await;
            !sender.requests(&receiver).is_empty()
        })
        .await;
        let what = format!("{} knows of it", sender.service);
        eventually(&what, async || sender.spans("sent").await > 0.0).await;
        assert_eq!(sender.spans("failed").await, 0.0, "{}", sender.service);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_over_tls_by_either_protocol_with_and_without_compression() {
    let folder = folder();
    let authority = Authority::new();
    let trusted = folder.join("authority.pem");
    authority.write(&trusted);
    let trusted = trusted.display().to_string();
    let signed = authority.sign("127.0.0.1");
    let store = empty_store().await;
    for (protocol, encoding) in [
        ("http/protobuf", "content-encoding"),
        ("grpc", "grpc-encoding"),
    ] {
        for compression in ["none", "gzip"] {
            let receiver = Receiver::start().await;
            let tls = signed.before_http2(receiver.address).await;
            let url = format!("https://{}", tls.address);
            let variables = sent_to(
                &url,
                &[
                    ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                    ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*trusted),
                    ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
                    ("OTEL_BSP_SCHEDULE_DELAY", "20"),
                ],
            );
            let host = store.host(host_options_with(&variables)).await.unwrap();
            let upstream = Upstream::start().await;
            let rig = Rig::with_env(&variables, &shop("", [&upstream])).await;
            for sender in [Sender::host(&host), Sender::proxy(&rig)] {
                sender.serves().await;
                let found = sender.received_requests(&receiver).await;
                assert_eq!(status(&found[0]), "200");
            }
            for headers in receiver.headers() {
                let kind = headers["content-type"].to_str().unwrap();
                assert_eq!(kind.starts_with("application/grpc"), protocol == "grpc");
                let given = headers.get(encoding).map(|given| given.to_str().unwrap());
                let expected = (compression == "gzip").then_some("gzip");
                assert_eq!(given, expected, "{protocol}: {headers:?}");
            }
        }
    }
}

/// The certificate is good, and of an authority that the proxy was not told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_nobody_vouches_for_gets_nothing() {
    let receiver = Receiver::start().await;
    let signed = Authority::new().sign("127.0.0.1");
    let tls = signed.before_http2(receiver.address).await;
    let url = format!("https://{}", tls.address);
    let other = folder().join("other.pem");
    Authority::new().write(&other);
    let other = other.display().to_string();
    for protocol in ["http/protobuf", "grpc"] {
        // Without a file, the usual public authorities are meant.
        for certificate in [None, Some(("OTEL_EXPORTER_OTLP_CERTIFICATE", &*other))] {
            let variables = [
                ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
                ("OTEL_BSP_SCHEDULE_DELAY", "20"),
            ];
            let variables: Vec<_> = variables.into_iter().chain(certificate).collect();
            let variables = sent_to(&url, &variables);
            let upstream = Upstream::start().await;
            let rig = Rig::with_env(&variables, &shop("", [&upstream])).await;
            let sender = Sender::proxy(&rig);
            sender.serves().await;
            eventually("its spans fail, and the log says so", async || {
                let has_failed = sender.spans("failed").await == 2.0;
                has_failed && rig.proxy.log().contains("Traces can't be sent")
            })
            .await;
        }
    }
    assert!(receiver.headers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_authorities_that_is_not_there_ends_the_start() {
    let missing = folder().join("missing.pem").display().to_string();
    for protocol in ["http/protobuf", "grpc"] {
        let variables = [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*missing),
        ];
        let variables = sent_to("https://127.0.0.1:4318", &variables);
        let line = refuses_to_start(&variables).await;
        assert!(line.contains(&missing), "{protocol}: {line}");
    }
}
