//! The application variables that change how the store works, each with its allowed values.

use std::borrow::Cow;
use std::time::Duration;

/// A variable of the application with a fixed set of values.
pub trait Setting: Sized {
    /// The variable's name in `spin.toml`.
    const VARIABLE: &'static str;
    /// The allowed values, for the message about a wrong value.
    const ALLOWED: &'static str;

    /// Parses `value`; `None` if it is not an allowed value.
    fn parse(value: &str) -> Option<Self>;
}

/// How the prices of an order's products are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceLookup {
    /// All prices in one query.
    Batched,
    /// One query per product: the N+1 form, kept to measure the gain of batching.
    PerItem,
}

impl Setting for PriceLookup {
    const VARIABLE: &'static str = "price_lookup";
    const ALLOWED: &'static str = "batched, per_item";

    fn parse(value: &str) -> Option<Self> {
        match value {
            "batched" => Some(Self::Batched),
            "per_item" => Some(Self::PerItem),
            _ => None,
        }
    }
}

/// What happens to an order of more pieces than the stock has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockPolicy {
    /// The order is accepted, and the stock goes below zero.
    Backorder,
    /// The whole order is refused.
    Reject,
}

impl Setting for StockPolicy {
    const VARIABLE: &'static str = "stock_policy";
    const ALLOWED: &'static str = "backorder, reject";

    fn parse(value: &str) -> Option<Self> {
        match value {
            "backorder" => Some(Self::Backorder),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }
}

/// How orders are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderCommit {
    /// Orders that wait at the same time share one transaction.
    Grouped,
    /// Each order has its own transaction; kept to measure the gain of groups.
    Single,
}

impl Setting for OrderCommit {
    const VARIABLE: &'static str = "order_commit";
    const ALLOWED: &'static str = "grouped, single";

    fn parse(value: &str) -> Option<Self> {
        match value {
            "grouped" => Some(Self::Grouped),
            "single" => Some(Self::Single),
            _ => None,
        }
    }
}

/// The most orders in one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupOrders(pub usize);

impl Setting for GroupOrders {
    const VARIABLE: &'static str = "order_group_max_orders";
    const ALLOWED: &'static str = "a whole number from 1 to 500";

    fn parse(value: &str) -> Option<Self> {
        up_to(500, value).map(Self)
    }
}

/// The most order lines in one group. Lines of the same product in different orders count separately. An order with
/// more lines forms a group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupItems(pub usize);

impl Setting for GroupItems {
    const VARIABLE: &'static str = "order_group_max_items";
    const ALLOWED: &'static str = "a whole number from 1 to 5000";

    fn parse(value: &str) -> Option<Self> {
        up_to(5000, value).map(Self)
    }
}

/// The most bytes of request bodies in one group. An order with more bytes forms a group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBytes(pub usize);

impl Setting for GroupBytes {
    const VARIABLE: &'static str = "order_group_max_bytes";
    const ALLOWED: &'static str = "a whole number of bytes from 1 to 16777216";

    fn parse(value: &str) -> Option<Self> {
        up_to(16_777_216, value).map(Self)
    }
}

/// A whole number from 1 to `most`.
fn up_to(most: usize, value: &str) -> Option<usize> {
    let number = value.parse().ok()?;
    (1..=most).contains(&number).then_some(number)
}

/// Where a report comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportSource {
    /// The finished body in Redis, made anew in the background.
    Cached,
    /// Computed for each request from every order in Redis. Naive; kept for measurements.
    Redis,
    /// Computed for each request by an aggregate query over every order. Kept for measurements.
    Mysql,
}

impl Setting for ReportSource {
    const VARIABLE: &'static str = "report_source";
    const ALLOWED: &'static str = "cached, redis, mysql";

    fn parse(value: &str) -> Option<Self> {
        match value {
            "cached" => Some(Self::Cached),
            "redis" => Some(Self::Redis),
            "mysql" => Some(Self::Mysql),
            _ => None,
        }
    }
}

/// How much time passes between two refreshes of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshInterval(pub Duration);

impl Setting for RefreshInterval {
    const VARIABLE: &'static str = "report_refresh_seconds";
    const ALLOWED: &'static str = "a whole number of seconds from 1 to 86400";

    fn parse(value: &str) -> Option<Self> {
        let seconds: u64 = value.parse().ok()?;
        (1..=86_400)
            .contains(&seconds)
            .then(|| Self(Duration::from_secs(seconds)))
    }
}

/// The prefix of all the store's keys in Redis. Empty unless several stores share a server, or a Redis Cluster has to
/// keep all keys of the store in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name of `key`: the prefix and the key.
    pub fn named<'a>(&self, key: &'a str) -> Cow<'a, str> {
        match self.0.as_str() {
            "" => Cow::Borrowed(key),
            prefix => Cow::Owned([prefix, key].concat()),
        }
    }
}

impl Setting for KeyPrefix {
    const VARIABLE: &'static str = "redis_key_prefix";
    const ALLOWED: &'static str = "up to 64 visible ASCII characters";

    fn parse(value: &str) -> Option<Self> {
        let is_plain = value.len() <= 64 && value.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_allowed_value_is_understood() {
        fn assert_all<S: Setting>() {
            for value in S::ALLOWED.split(", ") {
                assert!(S::parse(value).is_some(), "{} = {value}", S::VARIABLE);
            }
        }
        assert_all::<PriceLookup>();
        assert_all::<StockPolicy>();
        assert_all::<ReportSource>();
        assert_all::<OrderCommit>();
    }

    /// Our host looks there at its start.
    #[test]
    fn the_manifest_lists_the_same_values() {
        const MANIFEST: &str = include_str!("../../../spin.toml");
        fn assert_listed<S: Setting>() {
            let values = S::ALLOWED.replace(", ", "\", \"");
            let line = format!("\n{} = [\"{values}\"]\n", S::VARIABLE);
            assert!(MANIFEST.contains(&line), "no line `{}`", line.trim());
        }
        assert_listed::<PriceLookup>();
        assert_listed::<StockPolicy>();
        assert_listed::<ReportSource>();
        assert_listed::<OrderCommit>();
    }

    #[test]
    fn other_values_are_refused() {
        assert_eq!(StockPolicy::parse("Reject"), None);
        assert_eq!(PriceLookup::parse(""), None);
        assert_eq!(ReportSource::parse("mysql "), None);
        assert_eq!(OrderCommit::parse("Grouped"), None);
        for value in ["0", "-1", "", "many", "16777217", "99999999999999999999"] {
            assert_eq!(GroupOrders::parse(value), None, "{value}");
            assert_eq!(GroupItems::parse(value), None, "{value}");
            assert_eq!(GroupBytes::parse(value), None, "{value}");
        }
        for value in ["0", "-1", "1.5", "86401", "a minute"] {
            assert_eq!(RefreshInterval::parse(value), None, "{value}");
        }
    }

    #[test]
    fn the_bounds_of_a_group_are_whole_numbers() {
        assert_eq!(GroupOrders::parse("500"), Some(GroupOrders(500)));
        assert_eq!(GroupOrders::parse("501"), None);
        assert_eq!(GroupItems::parse("1"), Some(GroupItems(1)));
        assert_eq!(GroupItems::parse("5001"), None);
        assert_eq!(GroupBytes::parse("262144"), Some(GroupBytes(262_144)));
    }

    #[test]
    fn keys_are_called_what_they_were_unless_there_is_a_prefix() {
        let named = |prefix: &str| {
            let prefix = KeyPrefix::parse(prefix)?;
            Some(prefix.named("order:7").into_owned())
        };
        assert_eq!(named("").as_deref(), Some("order:7"));
        assert_eq!(named("{store}:").as_deref(), Some("{store}:order:7"));
        assert!(named(&"x".repeat(64)).is_some());
        for wrong in ["a b", "a\n", "é:", &"x".repeat(65)] {
            assert_eq!(named(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_interval_is_in_seconds() {
        assert_eq!(
            RefreshInterval::parse("60"),
            Some(RefreshInterval(Duration::from_secs(60)))
        );
    }
}
