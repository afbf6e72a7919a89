//! A fuzz target: the text of a query.

use serde_json::json;

use super::ask_for_text;
use crate::graphql::room::MAX_TEXT_BYTES;

/// A query that passes the limits is answered, and its answer is not too long.
#[test]
fn query() {
    store_fuzz::target("graphql", |input| {
        if let Ok(query) = std::str::from_utf8(input) {
            let answer = ask_for_text(json!({ "query": query }));
            assert!(answer.len() <= MAX_TEXT_BYTES, "{} bytes", answer.len());
        }
    });
}
