//! The stages of the course, each a set of variables, a number of hosts and a balancing policy. Nothing is rebuilt.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

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
}

impl Stage {
    /// The course's stages. The reference is asked for apart.
    pub(crate) const COURSE: [Self; 7] = [
        Self::MysqlPerItem,
        Self::MysqlBatched,
        Self::RedisNaive,
        Self::Cached,
        Self::TwoRoundRobin,
        Self::TwoLeastConnections,
        Self::ProxyCache,
    ];

    /// The name that `--only` takes, and that files have.
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
        }
    }

    /// Its place in the course; the reference is 0.
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// For headings.
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
        }
    }

    /// For the axes of charts and the heads of columns.
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
        }
    }

    /// What was done, for the report.
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
        }
    }

    /// The variables of `spin.toml` that make it.
    pub(crate) fn variables(self) -> Vec<(String, String)> {
        let (source, prices) = match self {
            Self::Reference => return Vec::new(),
            Self::MysqlPerItem => ("mysql", "per_item"),
            Self::MysqlBatched => ("mysql", "batched"),
            Self::RedisNaive => ("redis", "batched"),
            _ => ("cached", "batched"),
        };
        let pairs = [("report_source", source), ("price_lookup", prices)];
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// How many hosts serve it.
    pub(crate) fn hosts(self) -> u32 {
        match self {
            Self::TwoRoundRobin | Self::TwoLeastConnections | Self::ProxyCache => 2,
            _ => 1,
        }
    }

    /// The proxy's policy, as its file spells it, if there is a proxy.
    pub(crate) fn policy(self) -> Option<&'static str> {
        match self {
            Self::TwoRoundRobin => Some("round_robin"),
            Self::TwoLeastConnections | Self::ProxyCache => Some("least_connections"),
            _ => None,
        }
    }

    /// Whether the proxy's cache is switched on.
    pub(crate) fn caches_in_proxy(self) -> bool {
        self == Self::ProxyCache
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag_and_of_the_files() {
        for stage in Stage::COURSE {
            let value = stage.to_possible_value().expect("not skipped");
            assert_eq!(value.get_name(), stage.name());
            let json = serde_json::to_value(stage).expect("a string");
            assert_eq!(json, stage.name());
            assert!(value.matches(&stage.number().to_string(), false));
        }
    }
}
