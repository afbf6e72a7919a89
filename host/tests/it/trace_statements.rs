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
    let steps = "MYSQL\nquery SELECT 40 + 2\nquery SELECT 40 + 2\nquery SELECT 41 + 2";
    assert_eq!(shop.steps(steps).await, ["ok", "42", "42", "43"]);
    let mut tree = Value::Null;
    eventually("the trace is finished", async || {
        let shown = traces(&shop).await;
        let found = shown.into_iter().find(|tree| tree["method"] == "POST");
        tree = found.unwrap_or_default();
        !tree.is_null()
    })
    .await;
    let attributes = spans(&tree)
        .iter()
        .filter(|span| span["kind"] == "client")
        .map(|span| &span["attributes"]);
    let statements: Vec<_> = attributes
        .map(|of| {
            (
                of["db.query.text"].as_str(),
                of["store.mysql.prepared_now"].as_bool(),
            )
        })
        .collect();
    assert_eq!(
        statements,
        [
            (Some("SELECT 40 + 2"), Some(true)),
            // The connection knows it.
            (Some("SELECT 40 + 2"), None),
            (Some("SELECT 41 + 2"), Some(true)),
        ],
        "{tree:#}"
    );
}
