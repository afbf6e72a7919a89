//! Lets the fields of one query read the store. Lookups that fields make at the same time are read together.
//!
//! The GraphQL library requires resolvers that can move between threads, but calls from a component to its host can't.
//! So resolvers only send their lookups over a channel, and the request's own task serves them.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use futures::channel::{mpsc, oneshot};
use store_domain::StoreError;

use crate::read::ProductRecord;

/// The most products in one read. The query's limits allow no more fields than that.
const MOST_AT_ONCE: usize = 1000;

/// The resolvers' end of the channel.
pub(super) struct Lookups(mpsc::UnboundedSender<Lookup>);

/// The lookups of the resolvers. The queue ends when the query has been answered and its [`Lookups`] dropped.
pub(super) struct LookupQueue(mpsc::UnboundedReceiver<Lookup>);

struct Lookup {
    /// `None` if the client's text is not an id. Such a lookup is queued all the same: the library puts fields into its
    /// answer as they finish, and fields of one batch finish in the order of the query.
    product_id: Option<i64>,
    answer: oneshot::Sender<Option<ProductRecord>>,
}

impl Lookups {
    pub(super) fn new() -> (Self, LookupQueue) {
        let (ask, asked) = mpsc::unbounded();
        (Self(ask), LookupQueue(asked))
    }

    /// Looks up a product; `None` if it does not exist.
    ///
    /// # Errors
    /// If the store can't be read. [`LookupQueue::serve`] returns the reason.
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
    /// Serves every lookup by `find`, which returns those of the products that exist.
    ///
    /// # Errors
    /// The error of `find`; after it, no resolver gets an answer.
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
                // If the resolver no longer listens, its query was given up.
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
