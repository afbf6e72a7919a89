//! What a trace shows of the statements of a component.

use serde_json::Value;

use crate::backends::backend_shop_on;
use crate::operator::bare_store;
use crate::support::eventually;
use crate::trace_context::EVERY_TRACE;
use crate::traces::{spans, traces};

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_says_if_it_had_to_be_prepared_first() {
    let store = bare_store().await;
    let shop = backend_shop_on(store, "", |options| {
        EVERY_TRACE
            .iter()
            .fold(options, |options, arg| options.arg(*arg))
    })
    .await;
    let numbers: Vec<u32> = (0..8).flat_map(|number| [number, number]).collect();
    let texts: Vec<_> = numbers
        .iter()
        .map(|number| format!("SELECT {number} + 2"))
        .collect();
    let steps = format!("MYSQL\nquery {}", texts.join("\nquery "));
    let answers = shop.steps(&steps).await;
    let sums: Vec<_> = numbers
        .iter()
        .map(|number| (number + 2).to_string())
        .collect();
    assert_eq!(answers, [vec!["ok".to_owned()], sums].concat());
    let mut tree = Value::Null;
    eventually("the trace is finished", async || {
        let shown = traces(&shop).await;
        let found = shown.into_iter().find(|tree| tree["method"] == "POST");
        tree = found.unwrap_or_default();
        !tree.is_null()
    })
    .await;
    let statements = spans(&tree)
        .iter()
        .filter(|span| span["kind"] == "client")
        .map(|span| &span["attributes"]);
    let shown: Vec<_> = statements.clone().map(|of| &of["db.query.text"]).collect();
    assert_eq!(shown, texts.iter().collect::<Vec<_>>());
    let prepared: Vec<_> = statements
        .map(|of| of["store.mysql.prepared_now"].as_bool())
        .collect();
    let (first, again): (Vec<_>, Vec<_>) =
        prepared.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    // The connection knows those that come again.
    assert!(again.iter().all(Option::is_none), "{tree:#}");
    // Of those that are new to it, one is not marked if the server had answered before the host looked.
    assert!(first.contains(&Some(true)), "{tree:#}");
}
