//! The README's tour, on a store that is empty at first.

use anyhow::{Result, ensure};

use super::machine::Machine;
use super::passed;

/// What is asked, and what the answer must have in it.
const STEPS: [(&str, &str); 14] = [
    (
        r#"-X POST localhost:8080/users -H 'content-type: application/json' -d '{"name": "Ada", "email": "ada@example.com"}'"#,
        r#"{"user_id":1}"#,
    ),
    (
        r#"localhost:8080/products -H 'content-type: application/json' -d '{"name": "Lamp", "sku": "L-1", "price": 49.99}'"#,
        r#"{"product_id":1}"#,
    ),
    (
        r#"localhost:8080/stocks -H 'content-type: application/json' -d '{"product_id": 1, "quantity": 5}'"#,
        "product 1",
    ),
    (ORDER, r#"{"order_id":1}"#),
    // Sent twice, ordered once.
    (ORDER, r#"{"order_id":1}"#),
    ("localhost:5001/orders/1", r#""total_amount":99.98"#),
    ("localhost:8080/stocks/1", r#""quantity":3"#),
    ("localhost:8080/stocks/reports/overview-stocks", "Lamp"),
    (
        r#"localhost:8080/stocks/graphql-query -H 'content-type: application/json' -d '{"query": "{ product(id: \"1\") { name price quantity } }"}'"#,
        r#""price":49.99"#,
    ),
    (
        "-i localhost:8080/orders/reports/best-sellers",
        "cache-status: store-proxy",
    ),
    ("-X DELETE localhost:8080/orders/1", r#"{"deleted":true}"#),
    ("localhost:8080/stocks/1", r#""quantity":5"#),
    ("localhost:5100/metrics", "orders_total"),
    (
        "localhost:8081/metrics",
        "store_proxy_upstream_requests_total",
    ),
];

const ORDER: &str = r#"localhost:8080/orders -H 'content-type: application/json' -H 'idempotency-key: try-1' -d '{"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]}'"#;

/// Walks through it.
///
/// # Errors
/// The first answer that is another.
pub(super) fn walk(machine: &Machine) -> Result<()> {
    for (request, expected) in STEPS {
        let answer = machine.sh(&format!("curl -s --max-time 10 {request}"))?;
        let has_it = answer.to_lowercase().contains(&expected.to_lowercase());
        ensure!(
            has_it,
            "`curl {request}` is answered `{answer}`, without `{expected}`"
        );
    }
    passed("the README's tour, through the proxy and past it");
    Ok(())
}
