//! What a trace shows of the statements of a component.

use serde_json::Value;

use crate::backends::backend_shop_on;
use crate::operator::bare_store;
use crate::support::{Shop, eventually};
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
    for round in 0..20 {
        // A new statement is not marked if the server had answered before the host looked: on a busy machine, that may
        // be so for all of a round.
        if marks_of_new(&shop, round).await.contains(&Some(true)) {
            return;
        }
    }
    panic!("no statement was marked as prepared");
}

/// Has a component send eight new statements, each of them twice. Returns the mark of each first time; there must be
/// none at the second, as the connection knows the statement then.
async fn marks_of_new(shop: &Shop, round: u32) -> Vec<Option<bool>> {
    let numbers: Vec<u32> = (0..8).flat_map(|number| [number, number]).collect();
    let texts: Vec<_> = numbers
        .iter()
        .map(|number| format!("SELECT {number} + {round}"))
        .collect();
    let steps = format!("MYSQL\nquery {}", texts.join("\nquery "));
    let answers = shop.steps(&steps).await;
    let sums: Vec<_> = numbers
        .iter()
        .map(|number| (number + round).to_string())
        .collect();
    assert_eq!(answers, [vec!["ok".to_owned()], sums].concat());
    let mut statements = Vec::new();
    eventually("the trace is finished", async || {
        let trees = traces(shop).await;
        let mut of_trees = trees.iter().map(statements_of);
        let of_round = of_trees.find(|statements| {
            let shown = statements.iter().map(|of| &of["db.query.text"]);
            shown.eq(&texts)
        });
        statements = of_round.unwrap_or_default();
        !statements.is_empty()
    })
    .await;
    let marks: Vec<_> = statements
        .iter()
        .map(|of| of["store.mysql.prepared_now"].as_bool())
        .collect();
    let (new, known): (Vec<_>, Vec<_>) = marks.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    assert!(known.iter().all(Option::is_none), "{statements:#?}");
    new
}

/// The attributes of each statement of a tree.
fn statements_of(tree: &Value) -> Vec<Value> {
    let statements = spans(tree).iter().filter(|span| span["kind"] == "client");
    statements.map(|span| span["attributes"].clone()).collect()
}
