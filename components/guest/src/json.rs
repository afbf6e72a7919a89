//! Parses JSON that a client sent.

use serde::de::DeserializeOwned;
use store_domain::{Object, StoreError};

/// The most characters of a parser's message that a client gets: the message may quote the client's text, of any
/// length.
const MAX_MESSAGE_CHARS: usize = 200;

/// Parses a whole body as `T`. Every route expects a JSON object.
///
/// # Errors
/// [`StoreError::Malformed`], saying what is wrong and where, if the body is not one JSON object of the right shape.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body)
        .map(|Object(value)| value)
        .map_err(|error| {
            let message: String = error.to_string().chars().take(MAX_MESSAGE_CHARS).collect();
            StoreError::Malformed(format!("the body does not fit this path: {message}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use store_domain::orders::NewOrder;

    #[test]
    fn an_object_of_the_right_shape_is_read() {
        let body = br#" {"items":[{"quantity":2.0,"product_id":1}],"user_id":7} "#;
        let order: NewOrder = parse(body).expect("an order");
        assert_eq!((order.user_id, order.items[0].quantity), (7, 2));
    }

    #[test]
    fn what_is_not_the_right_json_is_malformed() {
        let deep = "[".repeat(100_000);
        let long_field = format!(r#"{{"{}":1}}"#, "x".repeat(100_000));
        for body in [
            &b""[..],
            b"{",
            b"null",
            b"[]",
            b"[1,[]]",
            b"\xef\xbb\xbf{\"user_id\":1,\"items\":[]}",
            b"{\"user_id\":1,\"items\":[[1,2]]}",
            b"{\"user_id\":1,\"items\":[]} trailing",
            b"{\"user_id\":1,\"user_id\":1,\"items\":[]}",
            b"{\"user_id\":1e400,\"items\":[]}",
            b"{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":true}]}",
            b"{\"user_id\":1,\"items\":[],\"\xff\":1}",
            deep.as_bytes(),
            long_field.as_bytes(),
        ] {
            match parse::<NewOrder>(body) {
                Err(StoreError::Malformed(detail)) => assert!(detail.len() < 500, "{detail}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
