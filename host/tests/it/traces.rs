//! What the host shows of its own requests, without a receiver.

use std::collections::BTreeMap;

use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;
use testbed::HostOptions;

use crate::backends::backend_shop_on;
use crate::group_orders::{count, one_instance, request};
use crate::operator::{bare_store, guest, guest_in_mode, guest_shop};
use crate::support::{
    Answer, Shop, empty_store, eventually, options, order_body, refuses, send, try_send,
};

/// A shop that takes every request for slow.
async fn traced(options: HostOptions) -> Shop {
    let options = options.arg("--trace-tail").arg("--trace-slow").arg("1ns");
    Shop::with(options).await
}

/// What the host shows, the newest first.
pub(crate) async fn traces(shop: &Shop) -> Vec<Value> {
    let answer = shop.client.get(shop.host.admin_url("/traces")).send().await;
    answer.unwrap().json().await.unwrap()
}

pub(crate) fn spans(tree: &Value) -> &Vec<Value> {
    tree["spans"].as_array().unwrap()
}

pub(crate) fn span<'a>(tree: &'a Value, name: &str) -> &'a Value {
    let mut found = spans(tree).iter().filter(|span| span["name"] == name);
    found
        .next()
        .unwrap_or_else(|| panic!("no `{name}` in {tree:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_no_request_has_traces_of_its_own() {
    let shop = traced(options()).await;
    let mut refresh = None;
    eventually("a refresh with statements", async || {
        let traces = traces(&shop).await;
        refresh = traces.into_iter().find(|tree| {
            let is_call = |span: &Value| span["kind"] == "client";
            tree["name"] == "refresh reports" && spans(tree).iter().any(is_call)
        });
        refresh.is_some()
    })
    .await;
    let refresh = refresh.unwrap();
    assert_eq!(refresh["method"], Value::Null);
    assert_eq!(spans(&refresh)[0]["kind"], "internal");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_has_a_trace_of_its_own() {
    let flags = ["--trace-tail", "--trace-slow", "1ns"];
    let (shop, app) = guest_shop(&flags).await;
    let begin_trial = async |version: &str, time: &str| {
        let query = format!("?canary=50&for={time}");
        let bytes = guest(version).into_bytes();
        shop.swap_so("guest", &query, bytes).await.expect(200);
    };
    begin_trial("second", "1h").await;
    shop.operate("/components/guest/abort").await.expect(200);
    begin_trial("third", "1h").await;
    shop.operate("/components/guest/promote").await.expect(200);
    shop.operate("/components/guest/rollback").await.expect(200);
    guest("fourth").write(&app.guest).unwrap();
    shop.operate("/reload").await.expect(200);
    // Nobody asks for it, so it is withdrawn by itself.
    begin_trial("fifth", "100ms").await;
    for (name, times, parts) in [
        ("swap guest", 3, &["compile", "probe guest", "switch"][..]),
        ("withdraw guest", 2, &[][..]),
        ("promote guest", 1, &[][..]),
        ("rollback guest", 1, &["switch"][..]),
        (
            "reload",
            1,
            &["compile", "probe guest", "probe other", "switch"][..],
        ),
    ] {
        let mut changes = Vec::new();
        eventually(name, async || {
            changes = traces(&shop).await;
            changes.retain(|tree| tree["name"] == name);
            changes.len() == times
        })
        .await;
        for change in &changes {
            parts.iter().for_each(|part| _ = span(change, part));
            let root = &spans(change)[0];
            assert_eq!(root["kind"], "internal");
            assert_eq!(root["error"], Value::Null, "{change:#}");
            if name != "reload" {
                let component = &root["attributes"]["store.component"];
                assert_eq!(component, "guest", "{change:#}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_group_are_linked_with_the_one_that_places_them() {
    let shop = traced(one_instance()).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let body = order_body(user, product, 1);
    let orders = (0..30).map(|_| send(request(&shop, &body)));
    for answer in join_all(orders).await {
        answer.expect(201);
    }
    assert_eq!(count(&shop, "orders").await, 30);
    let is_order =
        |tree: &&Value| tree["method"] == "POST" && tree["route"].to_string().contains("orders");
    let mut all = Vec::new();
    eventually("all orders", async || {
        all = traces(&shop).await;
        all.iter().filter(is_order).count() >= 30
    })
    .await;
    let orders: BTreeMap<_, _> = all
        .iter()
        .filter(is_order)
        .map(|tree| (tree["trace_id"].as_str().unwrap(), tree))
        .collect();
    let places = |tree: &Value| {
        spans(tree)
            .iter()
            .any(|span| span["name"] == "INSERT orders")
    };
    let links = |tree: &Value| {
        let links = &span(tree, "run orders")["links"];
        links.as_array().cloned().unwrap_or_default()
    };
    let (mut leaders, mut members) = (0, 0);
    for tree in orders.values() {
        if places(tree) {
            leaders += 1;
            continue;
        }
        members += 1;
        // To one that places orders, and back from there.
        let leads = |link: &Value| {
            let other = orders.get(link["trace_id"].as_str().unwrap());
            other.is_some_and(|other| {
                let mut back = links(other).into_iter();
                places(other) && back.any(|link| link["trace_id"] == tree["trace_id"])
            })
        };
        assert!(links(tree).iter().any(leads), "{tree:#}");
    }
    assert!(
        leaders >= 1 && members >= 1,
        "{leaders} place those of {members}"
    );
}

/// Readers of one instance share its connection to Redis, which the first of them opened.
#[tokio::test(flavor = "multi_thread")]
async fn each_read_has_its_own_round_trips_to_redis() {
    const READS: usize = 6;
    let shop = traced(one_instance()).await;
    shop.refreshed().await;
    let products = [shop.product(10.0, 100).await, shop.product(5.0, 50).await];
    for product in products.iter().cycle().take(READS) {
        shop.stock(*product).await;
    }
    let mut reads = Vec::new();
    // The connection lives on, and keeps none of them from being finished.
    eventually("all reads are finished", async || {
        reads = traces(&shop).await;
        let is_read =
            |tree: &Value| tree["method"] == "GET" && tree["route"].to_string().contains("stocks");
        reads.retain(is_read);
        reads.len() == READS
    })
    .await;
    let is_redis = |span: &Value| span["attributes"]["db.system.name"] == "redis";
    let asked = reads.iter().filter(|tree| spans(tree).iter().any(is_redis));
    // While an epoch begins, a read may go to MySQL without asking Redis.
    assert!(asked.count() >= 2, "{reads:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_shows_neither_parameters_nor_paths() {
    let shop = traced(options()).await;
    let user = shop.user(4711).await;
    let path = format!("/users/{user}?name=secret");
    send(shop.request(Method::GET, &path)).await.expect(200);
    let mut text = String::new();
    eventually("the question", async || {
        let all = traces(&shop).await;
        text = Value::from(all.clone()).to_string();
        all.iter().any(|tree| tree["method"] == "GET")
    })
    .await;
    assert!(
        !text.contains("ada4711") && !text.contains("secret"),
        "{text}"
    );
}

/// Waits for a line of the log that contains all of this.
async fn logged(shop: &Shop, parts: &[&str]) {
    eventually(&format!("a line with {parts:?}"), async || {
        let log = shop.host.log();
        let mut lines = log.lines();
        lines.any(|line| parts.iter().all(|part| line.contains(part)))
    })
    .await;
}

/// A component that traps after the head of its answer, which came quickly.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_has_failed() {
    let (shop, _app) = guest_shop(&["--trace-tail"]).await;
    let version = guest_in_mode("second", "break-unless-probe");
    shop.swap("guest", version).await.expect(200);
    try_send(shop.request(Method::GET, "/x")).await.unwrap_err();
    let mut broken = None;
    eventually("the request is kept", async || {
        let mut all = traces(&shop).await.into_iter();
        broken = all.find(|tree| tree["method"] == "GET");
        broken.is_some()
    })
    .await;
    let broken = broken.unwrap();
    assert_eq!(broken["why"], "failed", "{broken:#}");
    assert_eq!(broken["status"], 200);
    assert_eq!(spans(&broken)[0]["error"], "cut short");
    let trace = broken["trace_id"].as_str().unwrap();
    logged(&shop, &["`guest` broke its answer off", trace]).await;
    // It counts with the status of its head, as it does in the proxy.
    let text = shop.scrape().await;
    let counted = text.lines().any(|line| {
        let is_of_guest = line.starts_with("http_requests_total{component=\"guest\"");
        is_of_guest && line.contains("status=\"200\"") && line.ends_with(" 1")
    });
    assert!(counted, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_about_what_a_component_does_wrong_name_the_request_s_trace() {
    let flags = ["--trace-tail", "--trace-answer", "traceresponse"];
    let change = |options: HostOptions| {
        let flags = flags.iter();
        flags.fold(options, |options, flag| options.arg(*flag))
    };
    let shop = backend_shop_on(bare_store().await, "", change).await;
    let trace_of = |answer: &Answer| {
        let named = answer.headers["traceresponse"].to_str().unwrap();
        named[3..35].to_owned()
    };
    let trapped = shop.get("/trap").await;
    assert_eq!(trapped.status, 500, "{trapped:?}");
    let (trace, id) = (trace_of(&trapped), &trapped.headers["x-request-id"]);
    let id = id.to_str().unwrap();
    logged(&shop, &["`guest` gave no answer", &trace, id]).await;
    logged(&shop, &["An instance of `guest` ended", &trace, id]).await;

    // Each step is for the same line, of which one is written in five seconds: the first.
    let (forbidden, gone) = (
        "mysql mysql://a@192.0.2.1/b",
        "mysql mysql://a@127.0.0.1:1/b",
    );
    for (step, line) in [(forbidden, "Refused `guest`"), (gone, "`guest`: MySQL at")] {
        let request = shop.request(Method::POST, "/backends").body(step);
        let answer = send(request).await;
        assert!(answer.text.starts_with("error: "), "{answer:?}");
        logged(&shop, &[line, &trace_of(&answer)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_at_a_database_shows_the_database_s_own_code() {
    let change = |options: HostOptions| {
        let flags = ["--trace-tail", "--trace-slow", "1ns"];
        flags
            .iter()
            .fold(options, |options, flag| options.arg(*flag))
    };
    let shop = backend_shop_on(bare_store().await, "", change).await;
    shop.steps("MYSQL\nexecute NONSENSE\nREDIS\ncommand SET a b\ncommand LPUSH a c")
        .await;
    let mut asked = None;
    eventually("the request is kept", async || {
        let mut all = traces(&shop).await.into_iter();
        asked = all.find(|tree| tree["method"] == "POST");
        asked.is_some()
    })
    .await;
    let asked = asked.unwrap();
    for (name, code) in [("QUERY", "1064"), ("LPUSH", "WRONGTYPE")] {
        let failed = span(&asked, name);
        assert_eq!(failed["error"], code, "{failed:#}");
        assert_eq!(failed["attributes"]["db.response.status_code"], code);
        // What the server refuses was not prepared.
        assert_eq!(
            failed["attributes"]["store.mysql.prepared_now"],
            Value::Null
        );
    }
    let attributes = &spans(&asked)[0]["attributes"];
    assert_eq!(attributes["network.protocol.version"], "1.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_of_opentelemetry_that_means_nothing_is_exit_code_2() {
    let store = empty_store().await;
    let options = options()
        .env("OTEL_TRACES_SAMPLER_ARG", "2")
        .env("OTEL_TRACES_SAMPLER", "traceidratio");
    refuses(&store, options, 2, &["OTEL_TRACES_SAMPLER_ARG", "`2`"]).await;
    let options = crate::support::options().env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    refuses(&store, options, 2, &["OTEL_EXPORTER_OTLP_ENDPOINT"]).await;
}
