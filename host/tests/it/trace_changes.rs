//! The traces of what no client asks for: a swap, and the probe of a version.

use serde_json::Value;

use crate::operator::{guest, guest_in_mode, guest_shop, refusal};
use crate::support::{Shop, eventually};
use crate::trace_context::EVERY_TRACE;
use crate::traces::{span, spans, traces};

/// The newest trace of this name.
async fn named(shop: &Shop, name: &str) -> Value {
    let mut found = None;
    eventually(&format!("a trace `{name}`"), async || {
        let shown = traces(shop).await;
        found = shown.into_iter().find(|tree| tree["name"] == name);
        found.is_some()
    })
    .await;
    found.unwrap()
}

/// The spans below another, in the order in which they began.
fn below<'a>(tree: &'a Value, above: &Value) -> Vec<&'a Value> {
    let id = &above["span_id"];
    let inside = spans(tree).iter();
    inside.filter(|span| span["parent_id"] == *id).collect()
}

fn names<'a>(spans: &[&'a Value]) -> Vec<&'a str> {
    let names = spans.iter().map(|span| span["name"].as_str().unwrap());
    names.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_has_a_trace_of_its_steps() {
    let (shop, _app) = guest_shop(&EVERY_TRACE).await;
    let second = guest("second").into_bytes();
    shop.swap("guest", second).await.expect(200);
    let tree = named(&shop, "swap guest").await;
    let root = &spans(&tree)[0];
    assert_eq!(tree["method"], Value::Null, "no client asked for it");
    assert_eq!(root["kind"], "internal");
    assert_eq!(root["attributes"]["store.component"], "guest");
    assert_eq!(root["error"], Value::Null);
    let steps = below(&tree, root);
    assert_eq!(names(&steps), ["compile", "probe guest", "switch"]);
    // What the component does for the probe is part of it.
    let probe = below(&tree, steps[1]);
    assert_eq!(names(&probe), ["wait for an instance", "run guest"]);
    let is_probe = |tree: &Value| tree["name"] == "probe guest";
    assert!(!traces(&shop).await.iter().any(is_probe), "it is in two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_fails_is_shown_with_the_step_at_which_it_did() {
    let (shop, _app) = guest_shop(&["--trace-tail", "--trace-slow", "1h"]).await;
    let bad = guest_in_mode("bad", "trap-on-probe");
    refusal(&shop.swap("guest", bad).await, 422, Some("probe"));
    let tree = named(&shop, "swap guest").await;
    let root = &spans(&tree)[0];
    assert_eq!(
        (&tree["why"], &root["error"]),
        (&"failed".into(), &"probe".into())
    );
    let steps = below(&tree, root);
    assert_eq!(names(&steps), ["compile", "probe guest"]);
    assert_eq!(steps[1]["error"], "probe");
}

/// A reload probes each component with its new settings.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_has_the_probe_of_each_component_in_its_trace() {
    let (shop, _app) = guest_shop(&EVERY_TRACE).await;
    shop.operate("/reload").await.expect(200);
    let tree = named(&shop, "reload").await;
    let root = &spans(&tree)[0];
    assert_eq!(root["parent_id"], Value::Null);
    for id in ["guest", "other"] {
        let probe = span(&tree, &format!("probe {id}"));
        assert_eq!(probe["parent_id"], root["span_id"]);
        let run = format!("run {id}");
        assert_eq!(names(&below(&tree, probe)), ["wait for an instance", &run]);
    }
}
