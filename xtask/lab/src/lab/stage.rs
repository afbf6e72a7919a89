//! The stages of the course, each a set of variables, a number of hosts and a balancing policy. Nothing is rebuilt.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::measure::Basket;

/// What is measured, in the course's order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// An outside implementation of the same API (`--reference`)
    #[value(skip)]
    Reference,
    /// Reports from MySQL, each price of an order in a query of its own (N+1)
    #[value(alias = "1")]
    MysqlPerItem,
    /// Reports from MySQL, an order's prices in one query
    #[value(alias = "2")]
    MysqlBatched,
    /// Reports added up from every order's hash in Redis, each time
    #[value(alias = "3")]
    RedisNaive,
    /// Finished reports in Redis, remade in the background
    #[value(alias = "4")]
    Cached,
    /// Two instances behind the proxy, round robin
    #[value(alias = "5")]
    TwoRoundRobin,
    /// Two instances behind the proxy, least connections
    #[value(alias = "6")]
    TwoLeastConnections,
    /// The same, with the proxy's own cache of answers
    #[value(alias = "7")]
    ProxyCache,
    /// The same, and orders that wait at the same time commit together
    #[value(alias = "8")]
    Grouped,
    /// Everybody buys one product, and each order commits alone (measured with the next one)
    #[value(alias = "9")]
    FlashSaleSingle,
    /// Everybody buys one product, and orders commit together (measured with the one before)
    #[value(alias = "9")]
    FlashSaleGrouped,
}

impl Stage {
    /// All stages except the reference, which has an option of its own.
    pub(crate) const ALL: [Self; 10] = [
        Self::MysqlPerItem,
        Self::MysqlBatched,
        Self::RedisNaive,
        Self::Cached,
        Self::TwoRoundRobin,
        Self::TwoLeastConnections,
        Self::ProxyCache,
        Self::Grouped,
        Self::FlashSaleSingle,
        Self::FlashSaleGrouped,
    ];

    /// The two stages of the flash sale. They are compared only with each other, because they have another load.
    pub(crate) const FLASH_SALE: [Self; 2] = [Self::FlashSaleSingle, Self::FlashSaleGrouped];

    /// The stage's name for `--only` and in file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::MysqlPerItem => "mysql-per-item",
            Self::MysqlBatched => "mysql-batched",
            Self::RedisNaive => "redis-naive",
            Self::Cached => "cached",
            Self::TwoRoundRobin => "two-round-robin",
            Self::TwoLeastConnections => "two-least-connections",
            Self::ProxyCache => "proxy-cache",
            Self::Grouped => "grouped",
            Self::FlashSaleSingle => "flash-sale-single",
            Self::FlashSaleGrouped => "flash-sale-grouped",
        }
    }

    /// The stage's number. The reference is 0, and both stages of the flash sale have the same number.
    pub(crate) fn number(self) -> usize {
        match self {
            Self::FlashSaleGrouped => Self::FlashSaleSingle as usize,
            other => other as usize,
        }
    }

    /// Whether all requests are orders of one product.
    pub(crate) fn is_flash_sale(self) -> bool {
        Self::FLASH_SALE.contains(&self)
    }

    /// The stage's name in headings.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Reference => "Reference",
            Self::MysqlPerItem => "Reports from MySQL, N+1 prices",
            Self::MysqlBatched => "Prices in one query",
            Self::RedisNaive => "Reports from Redis, naively",
            Self::Cached => "Finished reports in Redis",
            Self::TwoRoundRobin => "Two instances, round robin",
            Self::TwoLeastConnections => "Two instances, least connections",
            Self::ProxyCache => "Answers cached in the proxy",
            Self::Grouped => "Orders commit together",
            Self::FlashSaleSingle => "A flash sale, each order alone",
            Self::FlashSaleGrouped => "A flash sale, orders together",
        }
    }

    /// The stage's name on chart axes and in column heads.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::MysqlPerItem => "1 · N+1",
            Self::MysqlBatched => "2 · batched",
            Self::RedisNaive => "3 · naive Redis",
            Self::Cached => "4 · cached",
            Self::TwoRoundRobin => "5 · 2× round robin",
            Self::TwoLeastConnections => "6 · 2× least conn.",
            Self::ProxyCache => "7 · proxy cache",
            Self::Grouped => "8 · grouped",
            Self::FlashSaleSingle => "9 · each alone",
            Self::FlashSaleGrouped => "9 · together",
        }
    }

    /// The description in the report.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Reference => "Another implementation of the same API, as it was found.",
            Self::MysqlPerItem => {
                "The course's start: both reports are aggregate queries over all orders, and an order reads the price of each of its products in a query of its own."
            }
            Self::MysqlBatched => "An order reads the prices of all its products in one query.",
            Self::RedisNaive => {
                "Both reports list every order's key in Redis, read each hash and add up, for each request."
            }
            Self::Cached => {
                "Both finished reports lie in Redis; a background task remakes them once a minute if something changed, and the old ones are served meanwhile."
            }
            Self::TwoRoundRobin => {
                "Two instances of the fourth stage behind the proxy, which takes them in turns."
            }
            Self::TwoLeastConnections => {
                "The same, but the proxy picks the instance with the fewest requests under way."
            }
            Self::ProxyCache => {
                "The same two instances; the proxy answers the reports from a cache of its own."
            }
            Self::Grouped => {
                "The same, but orders that wait at the same time in an instance go into one transaction: one commit for all of them."
            }
            Self::FlashSaleSingle => "Everybody buys one product, and each order commits alone.",
            Self::FlashSaleGrouped => {
                "Everybody buys one product, and orders that wait at the same time commit together."
            }
        }
    }

    /// The variables of `spin.toml` that make the stage.
    pub(crate) fn variables(self) -> Vec<(String, String)> {
        // Each step changes one thing: orders commit alone until the stage in which they commit together.
        let commit = match self {
            Self::Grouped | Self::FlashSaleGrouped => "grouped",
            _ => "single",
        };
        let (source, prices) = match self {
            Self::Reference => return Vec::new(),
            Self::MysqlPerItem => ("mysql", "per_item"),
            Self::MysqlBatched => ("mysql", "batched"),
            Self::RedisNaive => ("redis", "batched"),
            _ => ("cached", "batched"),
        };
        let pairs = [
            ("report_source", source),
            ("price_lookup", prices),
            ("order_commit", commit),
        ];
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// The number of hosts.
    pub(crate) fn hosts(self) -> u32 {
        if self.policy().is_some() { 2 } else { 1 }
    }

    /// The proxy's balancing policy, under its name in the configuration; `None` if there is no proxy.
    pub(crate) fn policy(self) -> Option<&'static str> {
        match self {
            Self::TwoRoundRobin => Some("round_robin"),
            Self::TwoLeastConnections => Some("least_connections"),
            other => other.caches_in_proxy().then_some("least_connections"),
        }
    }

    /// Whether the proxy's cache is switched on.
    pub(crate) fn caches_in_proxy(self) -> bool {
        self >= Self::ProxyCache
    }

    /// The kinds of orders whose cost is measured, statement by statement.
    pub(crate) fn baskets(self) -> &'static [Basket] {
        match self {
            Self::ProxyCache => &[
                Basket::Course,
                Basket::Products(1),
                Basket::Products(5),
                Basket::Products(25),
            ],
            Self::Grouped => &[Basket::Course],
            _ if self.is_flash_sale() => &[Basket::FlashSale],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag_and_of_the_files() {
        for stage in Stage::ALL {
            let value = stage.to_possible_value().expect("not skipped");
            assert_eq!(value.get_name(), stage.name());
            let json = serde_json::to_value(stage).expect("a string");
            assert_eq!(json, stage.name());
            assert!(value.matches(&stage.number().to_string(), false));
        }
    }

    #[test]
    fn grouping_is_all_that_the_last_step_changes() {
        let [before, after] = [Stage::ProxyCache, Stage::Grouped].map(Stage::variables);
        let differing: Vec<_> = after.iter().filter(|pair| !before.contains(pair)).collect();
        assert_eq!(differing, [&("order_commit".into(), "grouped".into())]);
        assert_eq!(Stage::ProxyCache.hosts(), Stage::Grouped.hosts());
        assert_eq!(Stage::ProxyCache.policy(), Stage::Grouped.policy());
    }
}
