//! Orders that wait at the same time, in one transaction: what the component does, without what makes each order keep its
//! own fate. One that is refused has its whole group refused.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use store_domain::StoreError;
use store_domain::orders::Basket;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::answer::Failure;
use crate::orders::place_whole;
use crate::pools::Pools;

/// `order_group_max_orders` of the application.
const MOST_ORDERS: usize = 64;

type Outcome = Result<i64, StoreError>;

/// Those who wait, in the order in which they came.
#[derive(Default)]
pub(crate) struct Groups(Mutex<WaitingOrders>);

#[derive(Default)]
struct WaitingOrders {
    orders: VecDeque<(Basket, oneshot::Sender<Outcome>)>,
    is_under_way: bool,
}

impl Groups {
    /// Adds an order, and starts a group unless one is on its way. The task waits for what becomes of it.
    pub(crate) fn join(
        self: Arc<Self>,
        pools: Pools,
        basket: Basket,
    ) -> JoinHandle<Result<i64, Failure>> {
        let (sender, outcome) = oneshot::channel();
        let starts = self.with(|waiting| {
            waiting.orders.push_back((basket, sender));
            !mem::replace(&mut waiting.is_under_way, true)
        });
        if starts {
            tokio::spawn(self.run(pools));
        }
        tokio::spawn(async move {
            let lost = |_| StoreError::Internal("its group was lost".into());
            Ok(outcome.await.map_err(lost)??)
        })
    }

    /// One group after the other, as long as any wait.
    async fn run(self: Arc<Self>, pools: Pools) {
        loop {
            let group = OnceLock::new();
            let baskets = || {
                let group: &Vec<_> = group.get_or_init(|| self.take());
                group
                    .iter()
                    .map(|(basket, _)| Basket::clone(basket))
                    .collect()
            };
            let placed = place_whole(&pools, baskets).await;
            let group = group.into_inner().unwrap_or_else(|| self.take());
            tell(group, placed);
            let is_over = self.with(|waiting| {
                waiting.is_under_way = !waiting.orders.is_empty();
                !waiting.is_under_way
            });
            if is_over {
                return;
            }
        }
    }

    fn take(&self) -> Vec<(Basket, oneshot::Sender<Outcome>)> {
        self.with(|waiting| {
            let count = waiting.orders.len().min(MOST_ORDERS);
            waiting.orders.drain(..count).collect()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut WaitingOrders) -> T) -> T {
        change(&mut self.0.lock())
    }
}

/// Nobody listens if a client has left.
fn tell(group: Vec<(Basket, oneshot::Sender<Outcome>)>, placed: Result<Vec<i64>, Failure>) {
    match placed {
        Ok(ids) => {
            for ((_, sender), id) in group.into_iter().zip(ids) {
                _ = sender.send(Ok(id));
            }
        }
        Err(Failure(error)) => {
            for (_, sender) in group {
                _ = sender.send(Err(error.clone()));
            }
        }
    }
}
