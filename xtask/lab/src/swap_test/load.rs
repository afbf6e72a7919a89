//! The load of a swap test: a fixed rate of reads and orders.

use anyhow::Result;
use testbed::seed::Size;

use crate::measure::{Basket, Loaders, Orders, Stream, StreamResult, Target, reads};

/// How many of ten requests are orders.
const ORDERS_OF_TEN: u32 = 1;

/// The number of different URLs and bodies. They are sent in turn.
const CHOICES: usize = 2000;

/// The requests of the load.
pub(super) struct Work {
    reads: Target,
    orders: Target,
}

impl Work {
    /// Requests to the host at `base`, for data of this size.
    pub(super) fn new(base: &str, size: &Size, seed: u64) -> Self {
        let bodies = Orders::new(Basket::Products(1), size, seed);
        Self {
            reads: Target::gets(base, reads(size, seed).take(CHOICES)),
            orders: Target::orders(base, bodies.take(CHOICES)),
        }
    }
}

/// Two streams of requests, until stopped. They end with this process, however it ends.
pub(super) struct Load {
    streams: [Stream; 2],
}

impl Load {
    /// Starts `rate` requests per second.
    pub(super) async fn start(loaders: &Loaders, work: &Work, rate: u32) -> Result<Self> {
        let orders = rate * ORDERS_OF_TEN / 10;
        let streams = [
            loaders.stream("reads", &work.reads, rate - orders).await?,
            loaders.stream("orders", &work.orders, orders).await?,
        ];
        Ok(Self { streams })
    }

    /// Ends both streams, and reads their results.
    pub(super) async fn stop(self) -> Result<Vec<StreamResult>> {
        Stream::stop_all(self.streams).await
    }
}
