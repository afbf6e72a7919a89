//! A fuzz target for the conversion of Redis's replies.

use redis::Value;

use super::values::results;

/// A reply that is passed on loses no part.
#[test]
fn replies() {
    store_fuzz::target("redis-values", |input| {
        let Ok(reply) = redis::parse_redis_value(input) else {
            return;
        };
        let expected = parts(&reply);
        if let Ok(results) = results(reply) {
            assert_eq!(results.len(), expected);
        }
    });
}

fn parts(reply: &Value) -> usize {
    match reply {
        Value::Array(replies) | Value::Set(replies) => replies.iter().map(parts).sum(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| parts(key) + parts(value))
            .sum(),
        _ => 1,
    }
}
