//! The requests for servers: each route with varying ids and bodies.

use clap::ValueEnum;
use testbed::seed::LAB;

use crate::measure::{Basket, Numbers, Orders, Target};

/// The number of different requests of a route. They are sent in turn.
const CHOICES: usize = 1000;

/// The routes that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Route {
    /// GET /health-check: a handler that does nothing
    Empty,
    /// GET /orders/reports/best-sellers: a finished report, which the host keeps in memory
    Report,
    /// GET /orders/{id}: one Redis HMGET
    Order,
    /// GET /stocks/{id}: one Redis HMGET
    Stock,
    /// POST /orders: a transaction
    Place,
    /// POST /orders of one product by everybody
    FlashSale,
}

impl Route {
    pub(super) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Report,
        Self::Order,
        Self::Stock,
        Self::Place,
        Self::FlashSale,
    ];

    pub(super) fn places_orders(self) -> bool {
        matches!(self, Self::Place | Self::FlashSale)
    }

    /// The route's name in tables.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Empty => "GET /health-check",
            Self::Report => "GET /orders/reports/best-sellers",
            Self::Order => "GET /orders/{id}",
            Self::Stock => "GET /stocks/{id}",
            Self::Place => "POST /orders",
            Self::FlashSale => "POST /orders, one product",
        }
    }

    /// The requests for a server at `base`.
    pub(super) fn target(self, base: &str) -> Target {
        match self {
            Self::Empty => Target::get(base, "/health-check"),
            Self::Report => Target::get(base, "/orders/reports/best-sellers"),
            Self::Order => Target::gets(base, paths("/orders", LAB.orders)),
            Self::Stock => Target::gets(base, paths("/stocks", LAB.products)),
            Self::Place => Target::orders(base, bodies(Basket::OneToFive)),
            Self::FlashSale => Target::orders(base, bodies(Basket::FlashSale)),
        }
    }
}

/// Paths with ids from 1 to `most`.
fn paths(route: &str, most: usize) -> impl Iterator<Item = String> {
    let mut numbers = Numbers(0);
    (0..CHOICES).map(move |_| format!("{route}/{}", numbers.up_to(most as u64)))
}

fn bodies(basket: Basket) -> impl Iterator<Item = String> {
    Orders::new(basket, &LAB, 0).take(CHOICES)
}
