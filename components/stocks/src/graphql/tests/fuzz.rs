//! A fuzz target: the text of a query.

use serde_json::json;

use super::ask_for_text;

/// More than the cost estimate allows, and far less than an instance's memory of 128 MiB.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// A query that passes the limits is answered, and its answer is not too long.
#[test]
fn query() {
    store_fuzz::target("graphql", |input| {
        if let Ok(query) = std::str::from_utf8(input) {
            let answer = ask_for_text(json!({ "query": query }));
            assert!(answer.len() <= LONGEST_ANSWER, "{} bytes", answer.len());
        }
    });
}
