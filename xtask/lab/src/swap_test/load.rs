//! The load of a swap test: a fixed rate of reads and orders.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use testbed::seed::Size;

use crate::measure::{Basket, Loaders, Numbers, Orders, Stream, StreamResult, Target};

/// Of ten requests, how many are orders.
const ORDERS_OF_TEN: u32 = 1;

/// Longer than anything here lasts: a load is ended by hand.
const LONGEST: Duration = Duration::from_secs(3 * 60 * 60);

/// URLs and bodies to choose from; oha takes one at random for each request.
const CHOICES: usize = 2000;

/// Of ten reads: routes, with `{}` for the id. The two reports are the components' own, and come as often as all else.
const READS: [(&str, Ids); 10] = [
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/{}", Ids::Orders),
    ("/orders/{}", Ids::Orders),
    ("/users/{}", Ids::Users),
    ("/products/{}", Ids::Products),
    ("/stocks/{}", Ids::Products),
    ("/health-check", Ids::None),
];

#[derive(Clone, Copy)]
enum Ids {
    None,
    Orders,
    Users,
    Products,
}

/// What is sent.
pub(super) struct Work {
    reads: Target,
    orders: Target,
}

impl Work {
    /// Requests to the host at `base`, for data of this size. What oha chooses from goes to `folder`.
    pub(super) fn write(folder: &Path, base: &str, size: &Size, seed: u64) -> Result<Self> {
        let mut numbers = Numbers(seed);
        let paths = READS.iter().cycle().take(CHOICES).map(|(path, ids)| {
            let id = match ids {
                Ids::None => 0,
                Ids::Orders => numbers.up_to(size.orders as u64),
                Ids::Users => numbers.up_to(size.users as u64),
                Ids::Products => numbers.up_to(size.products as u64),
            };
            path.replace("{}", &id.to_string())
        });
        let paths: Vec<String> = paths.collect();
        let bodies = Orders::new(Basket::Products(1), size, seed).take(CHOICES);
        Ok(Self {
            reads: Target::gets(base, &paths, folder, "reads")?,
            orders: Target::orders(base, bodies, folder, "orders")?,
        })
    }
}

/// Two streams of requests, until stopped. They end with this process, however it ends.
pub(super) struct Load {
    streams: [Stream; 2],
}

impl Load {
    /// Begins `rate` requests a second.
    pub(super) fn start(loaders: &Loaders, work: &Work, rate: u32) -> Result<Self> {
        let orders = rate * ORDERS_OF_TEN / 10;
        let streams = [
            loaders.stream("reads", &work.reads, rate - orders, LONGEST)?,
            loaders.stream("orders", &work.orders, orders, LONGEST)?,
        ];
        Ok(Self { streams })
    }

    /// Ends both, and reads what they measured.
    pub(super) async fn stop(self) -> Result<Vec<StreamResult>> {
        Stream::stop_all(self.streams).await
    }
}
