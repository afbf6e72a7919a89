//! The Redis keys, lifetimes and fields of the store, and how orders and stock are encoded in them.
//!
//! Redis is a cache of MySQL. Components treat Redis as one server: one script call works on many keys, and an epoch
//! belongs to the server that holds [`STATE`] (ADR 13). In a Redis Cluster all keys of a store must therefore lie in
//! one slot; a [`KeyPrefix`](crate::settings::KeyPrefix) with a hash tag ensures that. Scripts receive every key that
//! they use in `KEYS` and build no keys themselves. The key names here lack the prefix: `guest` puts it before each key
//! that it sends.

use std::time::Duration;

use crate::Cents;
use crate::changes::Entity;
use crate::orders::{Order, OrderItem};
use crate::reports::Report;
use crate::stock::{StockLevel, StockedProduct};

pub use crate::cache_script::CacheScript;

/// The lease of the report refresh. Its value is a random token of the one instance that refreshes; the key
/// [`number_key`] of the lease holds the number of its holder.
pub const LEASE: &str = "lease:report-refresh";

/// How long a lease is valid. The holder renews it between batches of work, each of which takes well under a second.
pub const LEASE_LIFETIME: Duration = Duration::from_secs(10);

/// Set after a refresh, for one interval. While this key exists, no other instance needs to refresh.
pub const REFRESHED: &str = "report:refreshed";

/// The epoch that Redis is in, and the last beat that Redis has seen. Both must agree with MySQL's `cache_state` (ADR
/// 13).
pub const STATE: &str = "cache:state";

/// The lock of an instance that begins a new epoch, so that only one instance at a time does so.
pub const CHANGING: &str = "cache:changing";

/// The least time between two epochs, and between a doubt about an epoch and the next epoch. If Redis refuses one write
/// and accepts the next, the cache stays unused for this long rather than being doubted again and again.
pub const EPOCH_AT_LEAST: Duration = Duration::from_secs(10);

/// How long an instance trusts what it read from `cache_state`.
pub const TRUST_LIFETIME: Duration = Duration::from_millis(500);

/// Once an epoch has been doubted for this long, no instance trusts it any more. Twice [`TRUST_LIFETIME`], to allow for
/// clocks that run at different speeds.
pub const DOUBT_SETTLED: Duration = Duration::from_secs(1);

/// How long an order or a stock level stays in Redis after a write. So Redis holds only what was requested or changed
/// in that time, not every order ever placed.
pub const ENTRY_LIFETIME: Duration = Duration::from_secs(600);

/// How long a writer's mark lasts if the writer does not end it: longer than any transaction lives.
pub const MARK_LIFETIME: Duration = Duration::from_secs(3600);

/// How long a reader may write what it did not find in Redis. If the reader dies, others have to wait no longer than
/// this.
pub const TURN_LIFETIME: Duration = Duration::from_secs(5);

/// The name of a transaction's turn, made from a random number. One transaction uses one turn for everything that it
/// changes. The script tells a writer's turn from a reader's by the first letter.
pub fn turn_of_writer(number: u64) -> String {
    format!("w{number:016x}")
}

/// The key of a report's finished body.
pub const fn report_key(report: Report) -> &'static str {
    match report {
        Report::HighestSpenders => "report:highest-spenders",
        Report::BestSellers => "report:best-sellers",
    }
}

/// How long a report's body lives, counted from the moment at which the report was correct. Twice the interval: with a
/// refresh task the body never expires; without one, as under plain Spin, its expiry tells a reader to make the report
/// anew. The remaining lifetime tells the report's age.
pub fn report_lifetime(interval: Duration) -> Duration {
    interval * 2
}

/// The key of one order or one product's stock.
pub fn key(entity: Entity, id: i64) -> String {
    format!("{}{id}", prefix(entity))
}

/// The id in a key of `entity`, or `None` if `key` is not such a key.
pub fn id_in_key(entity: Entity, key: &str) -> Option<i64> {
    let id = key.strip_prefix(prefix(entity))?.parse().ok()?;
    (self::key(entity, id) == key).then_some(id)
}

/// A pattern for `SCAN` that finds every key of `entity`.
pub fn pattern(entity: Entity) -> String {
    format!("{}*", prefix(entity))
}

/// The key that holds the number of a lease's last holder. The braces put it into the same Redis Cluster slot as the
/// lease. If the prefix has a hash tag, Redis uses that one instead, because it comes first.
pub fn number_key(key: &str) -> String {
    format!("{{{key}}}:number")
}

const fn prefix(entity: Entity) -> &'static str {
    match entity {
        Entity::Order => "order:",
        Entity::Product => "stock:",
    }
}

/// The fields of an order's hash.
pub const ORDER_FIELDS: [&str; 3] = ["user_id", "total_amount", "items"];

/// The values of [`ORDER_FIELDS`].
pub fn order_values(order: &Order) -> [String; 3] {
    let items = serde_json::to_string(&order.items).expect("integers and numbers are always JSON");
    [
        order.user_id.to_string(),
        order.total_amount.to_string(),
        items,
    ]
}

/// Decodes an order from the values of [`ORDER_FIELDS`]. `None` if a value is missing or malformed; the caller then
/// asks MySQL.
pub fn order_from_values(order_id: i64, values: [Option<String>; 3]) -> Option<Order> {
    let [user_id, total_amount, items] = values;
    let items: Vec<OrderItem> = serde_json::from_str(&items?).ok()?;
    Some(Order {
        order_id,
        user_id: user_id?.parse().ok()?,
        total_amount: total_amount?.parse().ok()?,
        items,
    })
}

/// The field of a product's stock hash that most readers want.
pub const QUANTITY: &str = "quantity";

/// The fields that a sale changes.
pub const LEVEL_FIELDS: [&str; 2] = [QUANTITY, "version"];

/// The fields of a product's stock hash.
pub const STOCK_FIELDS: [&str; 5] = [
    QUANTITY,
    "product_name",
    "product_sku",
    "product_unit_price",
    "version",
];

/// The values of [`STOCK_FIELDS`].
pub fn stock_values(product: &StockedProduct) -> [String; 5] {
    [
        product.level.quantity.to_string(),
        product.name.clone(),
        product.sku.clone(),
        product.unit_price.to_string(),
        product.level.version.to_string(),
    ]
}

/// Decodes a product from the values of [`STOCK_FIELDS`]. `None` if a value is missing or malformed; the caller then
/// asks MySQL.
pub fn stock_from_values(product_id: i64, values: [Option<String>; 5]) -> Option<StockedProduct> {
    let [quantity, name, sku, unit_price, version] = values;
    let unit_price: Cents = unit_price?.parse().ok()?;
    Some(StockedProduct {
        name: name?,
        sku: sku?,
        unit_price,
        level: StockLevel {
            product_id,
            quantity: quantity?.parse().ok()?,
            version: version?.parse().ok()?,
        },
    })
}

/// The fields that become wrong when the entity changes.
pub const fn changing_fields(entity: Entity) -> &'static [&'static str] {
    match entity {
        Entity::Order => &ORDER_FIELDS,
        Entity::Product => &LEVEL_FIELDS,
    }
}

/// Reads a value and its remaining lifetime in milliseconds in one script: between two commands, a write could come.
pub const GET_WITH_LIFETIME: &str =
    "return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}";

/// Reads the `INFO` of the server that holds a key, and the key's value, in one script: two commands could reach two
/// servers, and in a Redis Cluster a command without a key may go to any server.
pub const GET_WITH_SERVER: &str =
    "return {redis.call('INFO', 'server'), redis.call('GET', KEYS[1])}";

/// Takes a lease if it is free. Answers the holder's number, which is greater than the number of every earlier holder,
/// or 0 if the lease is taken. `KEYS`: the lease, and the key of its last number; `ARGV`: the token, and the lifetime
/// in milliseconds. The number is at least the server's time in microseconds, so that numbers grow even if Redis lost
/// the last one.
pub const TAKE_LEASE: &str = "\
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local number = math.max(time[1] * 1000000 + time[2], last + 1)
redis.call('SET', KEYS[2], string.format('%.0f', number))
return number";

/// Extends a lease if it is still the caller's. `ARGV`: the token and the lifetime in milliseconds.
pub const RENEW_LEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// Ends a lease if it is still the caller's. `ARGV`: the token.
pub const RELEASE_LEASE: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])";

/// Stores a report, unless a later holder of the lease has written it. `KEYS`: the report, and the number of its last
/// writer; `ARGV`: the writer's number, the body, and the lifetime in milliseconds. Answers 1 if the body changed, 0 if
/// it is the same and only its lifetime was extended, and -1 if the write was refused.
pub const PUT_REPORT: &str = "\
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
if last > tonumber(ARGV[1]) then return -1 end
redis.call('SET', KEYS[2], ARGV[1])
if redis.call('GET', KEYS[1]) == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        Order {
            order_id: 7,
            user_id: 1,
            total_amount: Cents::new(399_998),
            items: vec![OrderItem {
                product_id: 1,
                quantity: 2,
                unit_price: Cents::new(199_999),
            }],
        }
    }

    fn product() -> StockedProduct {
        StockedProduct {
            name: "Lampe \"été\"".into(),
            sku: "LMP-1".into(),
            unit_price: Cents::new(4999),
            level: StockLevel {
                product_id: 5,
                quantity: -3,
                version: 12,
            },
        }
    }

    #[test]
    fn keys_name_one_entity_and_read_back() {
        assert_eq!(key(Entity::Order, 7), "order:7");
        assert_eq!(key(Entity::Product, 5), "stock:5");
        assert_eq!(id_in_key(Entity::Order, "order:7"), Some(7));
        for other in ["order:", "order:x", "order:07", "order:+7", "stock:7"] {
            assert_eq!(id_in_key(Entity::Order, other), None, "{other}");
        }
    }

    #[test]
    fn an_order_is_written_as_the_design_says_and_reads_back() {
        let values = order_values(&order());
        assert_eq!(
            values,
            [
                "1",
                "3999.98",
                r#"[{"product_id":1,"quantity":2,"unit_price":1999.99}]"#
            ]
        );
        assert_eq!(order_from_values(7, values.map(Some)), Some(order()));
    }

    #[test]
    fn a_stock_is_written_as_the_design_says_and_reads_back() {
        let values = stock_values(&product());
        assert_eq!(values, ["-3", "Lampe \"été\"", "LMP-1", "49.99", "12"]);
        assert_eq!(stock_from_values(5, values.map(Some)), Some(product()));
    }

    #[test]
    fn a_hash_that_lost_or_broke_a_field_is_a_miss() {
        for field in 0..3 {
            for broken in [None, Some("x".to_owned())] {
                let mut values = order_values(&order()).map(Some);
                values[field] = broken;
                assert_eq!(order_from_values(7, values), None, "{field}");
            }
        }
        for field in 0..5 {
            let mut values = stock_values(&product()).map(Some);
            values[field] = None;
            assert_eq!(stock_from_values(5, values), None, "{field}");
        }
    }
}
