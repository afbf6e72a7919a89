//! The clients that must notice nothing: for each order they make two reads of each kind, from addresses of their own.

use std::net::Ipv4Addr;

use anyhow::Result;
use testbed::seed::Size;

use crate::measure::{Basket, Loaders, Orders, Request, Stream, Target, reads};

/// One request of this many is an order.
const ORDERS_OF: usize = 5;

/// The number of different requests. They are sent in turn.
const CHOICES: usize = 2000;

/// The neighbours' addresses. The attacker has another one.
const ADDRESSES: [Ipv4Addr; 4] = [address(2), address(3), address(4), address(5)];

/// The seed of the neighbours' random requests.
const RNG_SEED: u64 = 7;

const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

/// Starts the neighbours, who send the server at `url` `rate` requests a second in total.
pub(super) async fn start(url: &str, rate: u32, size: &Size) -> Result<Stream> {
    let target = Target::of(url, requests(size).take(CHOICES)).with_clients(&ADDRESSES);
    Loaders::default().stream("clients", &target, rate).await
}

fn requests(size: &Size) -> impl Iterator<Item = Request> + use<> {
    let mut reads = reads(size, RNG_SEED);
    let mut orders = Orders::new(Basket::Products(1), size, RNG_SEED);
    (1..).map_while(move |number: usize| {
        Some(if number.is_multiple_of(ORDERS_OF) {
            Request::post("/orders", orders.next()?)
        } else {
            Request::get(reads.next()?)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_request_is_an_order() {
        let size = Size {
            users: 9,
            products: 9,
            orders: 9,
        };
        let requests: Vec<Request> = requests(&size).take(50).collect();
        let orders: Vec<&Request> = requests.iter().filter(|one| one.body.is_some()).collect();
        assert_eq!(orders.len(), 10);
        assert!(orders.iter().all(|order| order.path == "/orders"));
    }
}
