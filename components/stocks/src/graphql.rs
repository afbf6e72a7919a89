//! `POST /stocks/graphql-query`: queries products and stock levels by GraphQL.

mod body;
mod cost;
mod lookups;
mod room;
mod schema;
mod skipped;
mod text;

use std::sync::LazyLock;

use async_graphql::{EmptyMutation, EmptySubscription, Response, Schema, ServerError, Value};
use futures::future;
use serde::Serialize;
use spin_sdk::http::StatusCode;
use store_domain::StoreError;
use store_guest::{Problem, Reply, Request};

use crate::read::ProductRecord;
use body::{Body, CheckedQuery, Refusal};
use lookups::Lookups;
use schema::Query;

/// The most errors in one answer: a client corrects one after the other.
const MAX_ERRORS: usize = 100;

type StockSchema = Schema<Query, EmptyMutation, EmptySubscription>;

/// Built once for each instance. It holds only types; a request's own values are in the request's data.
static SCHEMA: LazyLock<StockSchema> =
    LazyLock::new(|| Schema::build(Query, EmptyMutation, EmptySubscription).finish());

/// The answer. Unlike most servers, this one writes `"errors":null` if there are no errors, as the older API does.
#[derive(Serialize)]
struct Answer {
    data: Value,
    errors: Option<Vec<ServerError>>,
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let mut errors = response.errors;
        errors.truncate(MAX_ERRORS);
        Self {
            data: response.data,
            errors: Some(errors).filter(|errors| !errors.is_empty()),
        }
    }
}

impl Answer {
    fn text(&self) -> Vec<u8> {
        // Only a map whose keys are not strings could make this fail, and names are strings.
        let mut text = serde_json::to_vec(self).expect("an answer is always JSON");
        // The text may stay in memory for long, until its client has read it.
        text.shrink_to_fit();
        text
    }
}

/// `POST /stocks/graphql-query`
pub(crate) async fn answer(request: &Request) -> Result<Reply, Problem> {
    let body: Body = request.json().await?;
    let text = answer_from(body, crate::read::find).await?;
    Ok(Reply::finished_json(StatusCode::OK, text))
}

/// The text of the answer, with the query's errors if it has no data.
///
/// # Errors
/// [`StoreError::Malformed`] if the body is not a GraphQL request, and [`StoreError::Unavailable`] if a lookup failed:
/// an outage is a 503 here as everywhere.
async fn answer_from(
    body: Body,
    find: impl AsyncFn(Vec<i64>) -> Result<Vec<ProductRecord>, StoreError>,
) -> Result<Vec<u8>, StoreError> {
    match execute(body, find).await {
        Ok(text) => Ok(text),
        Err(Refusal::Store(error)) => Err(error),
        Err(Refusal::Query(error)) => Ok(Answer::from(Response::from_errors(vec![error])).text()),
    }
}

/// Executes the query once there is room for it, and at the same time serves the lookups of its fields by `find`.
///
/// # Errors
/// Why there is no answer.
async fn execute(
    body: Body,
    find: impl AsyncFn(Vec<i64>) -> Result<Vec<ProductRecord>, StoreError>,
) -> Result<Vec<u8>, Refusal> {
    let mut checked = body.prepare()?;
    let _held = match room::try_hold(checked.memory_bytes) {
        Some(held) => held,
        None => {
            let bytes = checked.memory_bytes;
            // A query that waits has its text alone: parsed, it takes ten times the memory.
            drop(checked);
            let held = room::hold(bytes).await;
            checked = body.prepare()?;
            held
        }
    };
    drop(body);
    let CheckedQuery {
        request,
        has_kept_objects,
        ..
    } = checked;
    let (lookups, asked) = Lookups::new();
    let query = SCHEMA.execute(request.data(lookups));
    let (mut response, served) = future::join(query, asked.serve(find)).await;
    served?;
    for error in &mut response.errors {
        shorten(&mut error.message);
    }
    if has_kept_objects {
        skipped::forget(&mut response.data);
    }
    let text = Answer::from(response).text();
    if text.len() > room::MAX_TEXT_BYTES {
        let most = room::MAX_TEXT_BYTES;
        let reason = format!("the answer has more than {most} bytes; ask for fewer fields");
        return Err(refusal(reason).into());
    }
    Ok(text)
}

/// The longest error message, in bytes: some messages repeat the line of the query that is wrong.
const MAX_MESSAGE_BYTES: usize = 1024;

fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE_BYTES {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
        message.push('…');
    }
}

/// An error of the whole query.
fn refusal(message: String) -> ServerError {
    ServerError::new(message, None)
}

#[cfg(test)]
mod tests {
    mod fuzz;

    use futures::executor::block_on;
    use serde_json::json;
    use store_domain::Cents;
    use store_domain::products::Product;
    use store_domain::stock::StockLevel;

    use super::*;

    /// One more than the largest `Int`.
    const TOO_LARGE: i64 = 1 << 31;

    /// Product 1 has stock, product 2 has none, and the product whose id is too large has as much stock as its id;
    /// others are unknown.
    async fn shelf(ids: Vec<i64>) -> Result<Vec<ProductRecord>, StoreError> {
        let quantity = |id| match id {
            1 => Some(7),
            TOO_LARGE => Some(TOO_LARGE),
            _ => None,
        };
        let found = |id| ProductRecord {
            product: Product {
                id,
                name: "Lamp".into(),
                sku: "LMP-1".into(),
                price: Cents::new(4999),
            },
            level: quantity(id).map(|quantity| StockLevel {
                product_id: id,
                quantity,
                version: 1,
            }),
        };
        let known = |id: &i64| [1, 2, TOO_LARGE].contains(id);
        Ok(ids.into_iter().filter(known).map(found).collect())
    }

    fn ask(body: serde_json::Value) -> serde_json::Value {
        serde_json::from_str(&ask_for_text(body)).expect("an answer is JSON")
    }

    fn ask_for_text(body: serde_json::Value) -> String {
        let body: Body = serde_json::from_str(&body.to_string()).expect("it is a GraphQL body");
        let answer = block_on(answer_from(body, shelf)).expect("the shelf never fails");
        String::from_utf8(answer).expect("an answer is text")
    }

    #[test]
    fn products_and_levels_are_answered_by_variables_and_aliases() {
        let answer = ask(json!({
            "query": "query Q($id: String!) { product(id: $id) { id name sku price quantity } \
                      other: product(id: \"2\") { quantity } stockLevel(productId: \"1\") }",
            "variables": {"id": "1"},
            "operationName": "Q",
        }));
        assert_eq!(
            answer,
            json!({
                "data": {
                    "product": {"id": 1, "name": "Lamp", "sku": "LMP-1", "price": 49.99, "quantity": 7},
                    "other": {"quantity": null},
                    "stockLevel": 7,
                },
                "errors": null,
            })
        );
    }

    #[test]
    fn fields_come_in_the_order_of_the_query() {
        let query = "{ c: stockLevel(productId: \"1\") b: stockLevel(productId: \"x\") \
                     a: stockLevel(productId: \"9\") }";
        assert_eq!(
            ask_for_text(json!({ "query": query })),
            r#"{"data":{"c":7,"b":null,"a":null},"errors":null}"#
        );
    }

    #[test]
    fn what_is_unknown_is_null() {
        for id in ["3", "x", "-1", "1.0"] {
            let query =
                format!("{{ product(id: \"{id}\") {{ id }} stockLevel(productId: \"{id}\") }}");
            let answer = ask(json!({ "query": query }));
            assert_eq!(
                answer["data"],
                json!({"product": null, "stockLevel": null}),
                "{id}"
            );
            assert_eq!(answer["errors"], json!(null), "{id}");
        }
    }

    #[test]
    fn a_wrong_query_is_answered_with_errors() {
        for query in [
            "",
            "{",
            "{ nothing }",
            "{ product { id } }",
            "mutation { x }",
        ] {
            let answer = ask(json!({ "query": query }));
            assert_eq!(answer["data"], json!(null), "{query}");
            assert!(answer["errors"][0]["message"].is_string(), "{query}");
        }
    }

    #[test]
    fn a_number_that_int_does_not_hold_is_the_fields_error() {
        let answer = ask(
            json!({"query": "{ level: stockLevel(productId: \"2147483648\") \
            a: product(id: \"2147483648\") { id } b: product(id: \"2147483648\") { name quantity } }"}),
        );
        assert_eq!(
            answer["data"],
            json!({"level": null, "a": null, "b": {"name": "Lamp", "quantity": null}})
        );
        let mut paths: Vec<String> = (0..3)
            .map(|n| answer["errors"][n]["path"].to_string())
            .collect();
        paths.sort();
        assert_eq!(paths, [r#"["a"]"#, r#"["b","quantity"]"#, r#"["level"]"#]);
    }

    #[test]
    fn an_object_whose_fields_are_all_skipped_is_empty() {
        for (query, data) in [
            (
                "{ stockLevel(productId: \"1\") @skip(if: true) }",
                json!({}),
            ),
            (
                "query ($no: Boolean = false) { product(id: \"1\") @include(if: $no) { id } }",
                json!({}),
            ),
            (
                "{ ...F @skip(if: true) } fragment F on Query { stockLevel(productId: \"1\") }",
                json!({}),
            ),
            (
                "{ ...F } fragment F on Query { ... @include(if: false) { __typename } }",
                json!({}),
            ),
            (
                "{ a: product(id: \"1\") { id @skip(if: true) } b: product(id: \"9\") { id @skip(if: true) } }",
                json!({"a": {}, "b": null}),
            ),
            (
                "{ product(id: \"1\") { id @skip(if: false) sku @include(if: true) name @skip(if: true) } }",
                json!({"product": {"id": 1, "sku": "LMP-1"}}),
            ),
            (
                "{ __type(name: \"Query\") { fields { name @skip(if: true) } } }",
                json!({"__type": {"fields": [{}, {}]}}),
            ),
        ] {
            let answer = ask(json!({ "query": query }));
            assert_eq!(answer, json!({"data": data, "errors": null}), "{query}");
        }
    }

    #[test]
    fn an_empty_operation_name_is_none() {
        for name in [json!(""), json!(null)] {
            let answer = ask(
                json!({"query": "query A { stockLevel(productId: \"1\") }", "operationName": name}),
            );
            assert_eq!(answer, json!({"data": {"stockLevel": 7}, "errors": null}));
        }
        for name in ["B".to_owned(), "B".repeat(1_000_000)] {
            let answer = ask_for_text(
                json!({"query": "query A { stockLevel(productId: \"1\") }", "operationName": name}),
            );
            assert!(
                answer.starts_with(r#"{"data":null,"errors":[{"message":"#),
                "{answer:.80}"
            );
            assert!(answer.len() < 1000);
        }
    }

    #[test]
    fn the_schema_can_be_read() {
        let text = ask_for_text(json!({"query": cost::FULL_INTROSPECTION}));
        let answer: serde_json::Value = serde_json::from_str(&text).expect("an answer is JSON");
        assert_eq!(answer["errors"], json!(null));
        assert_eq!(answer["data"]["__schema"]["queryType"]["name"], "Query");
        assert!(text.len() < cost::answer_bytes(cost::FULL_INTROSPECTION));
        assert_within_bounds("data", &answer["data"]);
    }

    /// Checks that the cost limits' assumptions about this field hold for this schema.
    fn assert_within_bounds(field: &str, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    assert_within_bounds(field, value);
                }
            }
            Value::Array(values) => {
                assert!(
                    values.len() <= cost::members(field),
                    "{field}: {}",
                    values.len()
                );
                for value in values {
                    assert_within_bounds(field, value);
                }
            }
            // The length in JSON, with quotes and escapes.
            scalar => assert!(
                scalar.to_string().len() <= cost::value_bytes(field),
                "{field}: {scalar}"
            ),
        }
    }

    #[test]
    fn a_query_with_very_many_errors_is_told_of_a_few() {
        let fields: String = (0..900).map(|n| format!("a{n}: nothing ")).collect();
        let answer = ask(json!({"query": format!("{{ {fields} }}")}));
        assert_eq!(answer["errors"].as_array().map(Vec::len), Some(MAX_ERRORS));
    }

    #[test]
    fn an_answer_that_is_too_long_is_an_error() {
        let names: String = (0..950).map(|n| format!("{n:a>60}:name ")).collect();
        let query = format!("{{__type(name:\"__DirectiveLocation\"){{enumValues{{{names}}}}}}}");
        let answer = ask(json!({ "query": query }));
        assert_eq!(answer["data"], json!(null));
        let message = answer["errors"][0]["message"].as_str().expect("a text");
        assert!(message.starts_with("the answer has more than"), "{message}");
    }

    #[test]
    fn what_the_library_panics_at_is_refused_before() {
        let answer =
            ask(json!({"query": "query ($a: [Nope] = [1]) { stockLevel(productId: $a) }"}));
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
}
