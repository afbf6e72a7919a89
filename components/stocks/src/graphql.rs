//! `POST /stocks/graphql-query`: products and stock levels by GraphQL.

mod limits;
mod lookups;

use std::sync::LazyLock;

use async_graphql::{
    Context, EmptyMutation, EmptySubscription, Object, Schema, ServerError, SimpleObject, Value,
    Variables,
};
use futures::future;
use serde::{Deserialize, Serialize};
use spin_sdk::http::StatusCode;
use store_domain::StoreError;
use store_guest::{Problem, Reply, Request, parse_id};

use crate::read::Found;
use lookups::Lookups;

type StockSchema = Schema<Query, EmptyMutation, EmptySubscription>;

/// Built once for each instance. It holds types only: what belongs to a request travels in the request's data.
static SCHEMA: LazyLock<StockSchema> =
    LazyLock::new(|| Schema::build(Query, EmptyMutation, EmptySubscription).finish());

/// The body, as GraphQL over HTTP has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    query: String,
    #[serde(default)]
    variables: Option<Variables>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
    /// Clients send it unasked. The store has no extensions.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde::de::IgnoredAny>,
}

/// The answer: unlike most servers, this one says `"errors":null` where there are none, as the older API does.
#[derive(Serialize)]
struct Answer {
    data: Value,
    errors: Option<Vec<ServerError>>,
}

impl From<async_graphql::Response> for Answer {
    fn from(response: async_graphql::Response) -> Self {
        Self {
            data: response.data,
            errors: Some(response.errors).filter(|errors| !errors.is_empty()),
        }
    }
}

/// `POST /stocks/graphql-query`
pub(crate) async fn answer(request: &Request) -> Result<Reply, Problem> {
    let body: Body = request.json().await?;
    let response = match prepare(body) {
        Ok(request) => execute(request).await?,
        Err(refusal) => async_graphql::Response::from_errors(vec![refusal]),
    };
    Ok(Reply::json(StatusCode::OK, &Answer::from(response)))
}

/// Parses the query and refuses one that costs too much.
fn prepare(body: Body) -> Result<async_graphql::Request, ServerError> {
    limits::check_text(&body.query)?;
    let mut request = async_graphql::Request::new(body.query);
    if let Some(variables) = body.variables {
        request = request.variables(variables);
    }
    if let Some(name) = body.operation_name {
        request = request.operation_name(name);
    }
    limits::check_cost(request.parsed_query()?)?;
    Ok(request)
}

/// Runs the query beside the lookups that its fields ask for.
///
/// # Errors
/// [`StoreError::Unavailable`] if a lookup failed: an outage is a 503 here as everywhere.
async fn execute(request: async_graphql::Request) -> Result<async_graphql::Response, StoreError> {
    let (lookups, asked) = Lookups::new();
    let query = SCHEMA.execute(request.data(lookups));
    let (response, served) = future::join(query, asked.serve(crate::read::find)).await;
    served?;
    Ok(response)
}

struct Query;

/// What can be asked.
#[Object]
impl Query {
    /// A product and its stock, or null if there is no such product.
    async fn product(
        &self,
        context: &Context<'_>,
        id: String,
    ) -> async_graphql::Result<Option<ProductView>> {
        Ok(find(context, &id).await?.map(ProductView::from))
    }

    /// How many pieces of a product there are, or null if it has no stock.
    async fn stock_level(
        &self,
        context: &Context<'_>,
        product_id: String,
    ) -> async_graphql::Result<Option<i64>> {
        let found = find(context, &product_id).await?;
        Ok(found
            .and_then(|found| found.level)
            .map(|level| level.quantity))
    }
}

/// A product and its stock.
#[derive(SimpleObject)]
#[graphql(name = "Product")]
struct ProductView {
    /// The product's number.
    id: i64,
    /// What it is called.
    name: String,
    /// The shop's own code for it.
    sku: String,
    /// What one piece costs.
    price: f64,
    /// How many pieces there are, or null if its stock was never set.
    quantity: Option<i64>,
}

impl From<Found> for ProductView {
    fn from(found: Found) -> Self {
        Self {
            id: found.product.id,
            name: found.product.name,
            sku: found.product.sku,
            price: found.product.price.as_number(),
            quantity: found.level.map(|level| level.quantity),
        }
    }
}

/// What the store has under an id, which GraphQL passes as text; nothing under what is no id.
async fn find(context: &Context<'_>, id: &str) -> async_graphql::Result<Option<Found>> {
    context.data::<Lookups>()?.find(parse_id(id).ok()).await
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

    /// Product 1 has stock, 2 has none, others are unknown.
    async fn shelf(ids: Vec<i64>) -> Result<Vec<Found>, StoreError> {
        let found = |id| Found {
            product: Product {
                id,
                name: "Lamp".into(),
                sku: "LMP-1".into(),
                price: Cents::new(4999),
            },
            level: (id == 1).then_some(StockLevel {
                product_id: id,
                quantity: 7,
                version: 1,
            }),
        };
        Ok(ids.into_iter().filter(|id| *id <= 2).map(found).collect())
    }

    fn ask(body: serde_json::Value) -> serde_json::Value {
        serde_json::from_str(&ask_for_text(body)).expect("an answer is JSON")
    }

    fn ask_for_text(body: serde_json::Value) -> String {
        let body: Body = serde_json::from_value(body).expect("it is a GraphQL body");
        let response = match prepare(body) {
            Ok(request) => {
                let (lookups, asked) = Lookups::new();
                let query = SCHEMA.execute(request.data(lookups));
                let (response, served) = block_on(future::join(query, asked.serve(shelf)));
                served.expect("the shelf never fails");
                response
            }
            Err(refusal) => async_graphql::Response::from_errors(vec![refusal]),
        };
        serde_json::to_string(&Answer::from(response)).expect("an answer is JSON")
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
    fn the_schema_can_be_read() {
        let answer = ask(json!({"query": limits::FULL_INTROSPECTION}));
        assert_eq!(answer["errors"], json!(null));
        assert_eq!(answer["data"]["__schema"]["queryType"]["name"], "Query");
    }

    #[test]
    fn only_the_fields_of_a_query_are_read() {
        for body in [
            json!({}),
            json!({"query": 1}),
            json!({"query": "", "queries": ""}),
        ] {
            assert!(serde_json::from_value::<Body>(body).is_err());
        }
    }
}
