//! The components' own statements.

#[expect(dead_code, reason = "orders does more than place and read orders")]
#[path = "../../../components/orders/src/sql.rs"]
pub(crate) mod orders;

#[expect(dead_code, reason = "the refresh's statements are there too")]
#[path = "../../../components/reports/src/sql.rs"]
pub(crate) mod reports;

#[expect(dead_code, reason = "stocks does more than read stocks")]
#[path = "../../../components/stocks/src/sql.rs"]
pub(crate) mod stocks;
