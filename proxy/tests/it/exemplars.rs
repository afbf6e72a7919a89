//! Buckets that name a trace, for scrapers that ask for OpenMetrics.

use crate::support::receiver::{ReceivedSpan, Receiver, hex};
use crate::support::{
    NO_EJECTION, Reply, Rig, Upstream, eventually, eventually_some, request, shop,
};

const SAMPLED: &str = "0af7651916cd43dd8448eb211c80319c";
const UNSAMPLED: &str = "1bf7651916cd43dd8448eb211c80319c";

async fn scrape(rig: &Rig) -> (String, String) {
    let request = reqwest::Client::new().get(rig.proxy.admin_url("/metrics"));
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let answer = request.header("accept", accept).send().await.unwrap();
    let media_type = answer.headers()["content-type"].to_str().unwrap();
    (media_type.to_owned(), answer.text().await.unwrap())
}

/// Whether a bucket of this histogram names this trace.
fn names(text: &str, histogram: &str, trace: &str) -> bool {
    let buckets = format!("{histogram}_bucket{{");
    let exemplar = format!(" # {{trace_id=\"{trace}\"}} ");
    let mut lines = text.lines();
    lines.any(|line| line.starts_with(&buckets) && line.contains(&exemplar))
}

#[tokio::test(flavor = "multi_thread")]
async fn buckets_of_requests_and_tries_name_traces_that_are_sent() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
        // Only what the client has sampled.
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ];
    let upstream = Upstream::start().await;
    let config = "[trace]\naccept = \"anyone\"\n".to_owned() + &shop(NO_EJECTION, [&upstream]);
    let rig = Rig::with_env(&variables, &config).await;
    // Plain requests pass pingora by, and others do not.
    for method in ["GET", "OPTIONS"] {
        for (trace, flags) in [(SAMPLED, "01"), (UNSAMPLED, "00")] {
            let parent = format!("00-{trace}-b7ad6b7169203331-{flags}");
            let asked = request(method, "/x", &[("traceparent", &parent)], "");
            assert_eq!(rig.ask(asked).await.status(), 200);
        }
    }
    eventually("the trace is sent", async || {
        receiver.spans_of(SAMPLED).len() == 4
    })
    .await;
    let (media_type, text) = scrape(&rig).await;
    assert_eq!(
        media_type,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(text.ends_with("\n# EOF\n"));
    for histogram in [
        "http_request_duration_seconds",
        "store_proxy_upstream_duration_seconds",
    ] {
        assert!(names(&text, histogram, SAMPLED), "{histogram} in {text}");
    }
    assert!(!text.contains(UNSAMPLED), "{text}");
    // Everybody else gets what they got before.
    let text = rig.scrape().await;
    assert!(!text.contains(SAMPLED) && !text.contains("# EOF"));
}

/// What is answered from memory at once has a trace only if it is sampled, and is named all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_the_cache_names_its_trace() {
    let receiver = Receiver::start().await;
    let url = receiver.url();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let lifetime = vec![("cache-control", "max-age=60".to_owned())];
    let reply = Reply::Answer(200, lifetime, "kept".into());
    let upstream = Upstream::with(move |_| reply.clone()).await;
    let rig = Rig::with_env(&variables, &shop("cache = {}", [&upstream])).await;
    for _ in 0..2 {
        assert_eq!(rig.get("/kept").await.status(), 200);
    }
    let hit = eventually_some("a hit is sent", async || {
        let spans = receiver.spans();
        let is_hit = |span: &ReceivedSpan| span.attribute("store.cache").as_deref() == Some("hit");
        spans.into_iter().find(is_hit)
    })
    .await;
    let trace = hex(&hit.span.trace_id);
    let (_, text) = scrape(&rig).await;
    assert!(
        names(&text, "http_request_duration_seconds", &trace),
        "{text}"
    );
}
