//! The GraphQL schema.

use async_graphql::{Context, Error, Object, Result, SimpleObject};
use store_guest::parse_id;

use super::lookups::Lookups;
use crate::read::ProductRecord;

pub(super) struct Query;

/// A whole number that fits GraphQL's `Int`, which has 32 bits; otherwise the field's error.
type Int = Result<i32>;

fn int(number: i64) -> Int {
    i32::try_from(number).map_err(|_| Error::new("the number does not fit into Int, 32 bits"))
}

/// The queries of the store.
#[Object]
impl Query {
    /// A product and its stock, or null if there is no such product.
    async fn product(
        &self,
        context: &Context<'_>,
        id: String,
    ) -> Result<Option<Result<ProductView>>> {
        let asks_for_id = context.look_ahead().field("id").exists();
        let view = |found: ProductRecord| {
            // A product without its `id: Int!` is not a valid product, so this error belongs to the product, not to the
            // field.
            if asks_for_id {
                int(found.product.id)?;
            }
            Ok(found.into())
        };
        Ok(find(context, id).await?.map(view))
    }

    /// How many pieces of a product are in stock, or null if its stock was never set.
    async fn stock_level(&self, context: &Context<'_>, product_id: String) -> Result<Option<Int>> {
        let found = find(context, product_id).await?;
        Ok(found
            .and_then(|found| found.level)
            .map(|level| int(level.quantity)))
    }
}

/// A product and its stock.
#[derive(SimpleObject)]
#[graphql(name = "Product")]
struct ProductView {
    /// The product's id.
    id: i64,
    /// The product's name.
    name: String,
    /// The shop's own code for the product.
    sku: String,
    /// The price of one piece.
    price: f64,
    /// How many pieces are in stock, or null if the stock was never set.
    quantity: Option<Int>,
}

impl From<ProductRecord> for ProductView {
    fn from(found: ProductRecord) -> Self {
        Self {
            id: found.product.id,
            name: found.product.name,
            sku: found.product.sku,
            price: found.product.price.as_number(),
            quantity: found.level.map(|level| int(level.quantity)),
        }
    }
}

/// Finds the product with this id, which GraphQL passes as text. A text that is not an id matches no product.
async fn find(context: &Context<'_>, text: String) -> Result<Option<ProductRecord>> {
    let id = parse_id(&text).ok();
    // Dropped early: hundreds of fields wait at once, and each has a copy of a text that may be long.
    drop(text);
    context.data::<Lookups>()?.find(id).await
}
