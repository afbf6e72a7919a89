//! How the fields of one query read the store: what they ask for at the same time is read together.
//!
//! The GraphQL library wants resolvers that could move between threads, and what a component does with its host can't.
//! So resolvers only send their wishes, and the request itself grants them.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use store_domain::StoreError;

use crate::read::ProductRecord;

/// Most products read together. The query's own limits allow no more fields than that.
const MOST_AT_ONCE: usize = 1000;

/// Where resolvers ask.
pub(super) struct Lookups(mpsc::UnboundedSender<Lookup>);

/// What resolvers ask for. It ends when the query has been answered and its [`Lookups`] dropped.
pub(super) struct LookupQueue(mpsc::UnboundedReceiver<Lookup>);

struct Lookup {
    /// `None` where the client wrote what is no id. It is asked for all the same, because the library puts fields into
    /// its answer as they finish, and those of one batch finish in the order of the query.
    product_id: Option<i64>,
    answer: oneshot::Sender<Option<ProductRecord>>,
}

impl Lookups {
    pub(super) fn new() -> (Self, LookupQueue) {
        let (ask, asked) = mpsc::unbounded();
        (Self(ask), LookupQueue(asked))
    }

    /// The product, if it exists.
    ///
    /// # Errors
    /// If the store can't be read; whoever serves the lookups has the reason.
    pub(super) async fn find(
        &self,
        product_id: Option<i64>,
    ) -> async_graphql::Result<Option<ProductRecord>> {
        let (answer, answered) = oneshot::channel();
        self.0.unbounded_send(Lookup { product_id, answer })?;
        Ok(answered.await?)
    }
}

impl LookupQueue {
    /// Grants every wish by `find`, which gives those of the products that exist.
    ///
    /// # Errors
    /// What `find` failed with, after which no resolver gets an answer.
    pub(super) async fn serve(
        self,
        find: impl AsyncFn(Vec<i64>) -> Result<Vec<ProductRecord>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut together = self.0.ready_chunks(MOST_AT_ONCE);
        while let Some(lookups) = together.next().await {
            let ids: BTreeSet<i64> = lookups
                .iter()
                .filter_map(|lookup| lookup.product_id)
                .collect();
            let found: BTreeMap<i64, ProductRecord> = find(ids.into_iter().collect())
                .await?
                .into_iter()
                .map(|found| (found.product.id, found))
                .collect();
            for Lookup { product_id, answer } in lookups {
                // A resolver that no longer listens was given up together with its query.
                let _ = answer.send(product_id.and_then(|id| found.get(&id).cloned()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::executor::block_on;
    use futures::future;

    use super::*;

    #[test]
    fn what_is_asked_together_is_read_together() {
        let reads = RefCell::new(Vec::new());
        let (lookups, asked) = Lookups::new();
        let resolvers = async {
            let found =
                future::join_all([Some(3), Some(1), None, Some(3)].map(|id| lookups.find(id)))
                    .await;
            drop(lookups);
            found
        };
        let serve = asked.serve(async |ids| {
            reads.borrow_mut().push(ids);
            Ok(vec![])
        });
        let (found, served) = block_on(future::join(resolvers, serve));
        assert_eq!(served, Ok(()));
        assert!(found.into_iter().all(|found| matches!(found, Ok(None))));
        assert_eq!(reads.into_inner(), [[1, 3]]);
    }

    #[test]
    fn an_outage_ends_the_query() {
        let (lookups, asked) = Lookups::new();
        let down = || StoreError::Unavailable("down".into());
        let serve = asked.serve(async |_| Err(down()));
        let (found, served) = block_on(future::join(lookups.find(Some(1)), serve));
        assert_eq!(served, Err(down()));
        assert!(found.is_err());
    }
}
