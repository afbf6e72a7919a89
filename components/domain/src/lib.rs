//! The store's rules: what an order is, what it costs, and how it changes stock and reports.
//!
//! Nothing here does I/O or knows of HTTP, SQL or Spin, so every rule has native unit tests. The components (`orders`,
//! `stocks`, `reports`) read data, call these functions, and write the result.

pub mod cache;
mod cache_script;
pub mod changes;
mod decimal;
mod email;
mod error;
pub mod freshness;
pub mod idempotency;
pub mod money;
mod object;
pub mod orders;
pub mod products;
pub mod reports;
pub mod settings;
pub mod stock;
mod text;
pub mod users;
mod whole;

pub use error::StoreError;
pub use money::Cents;
pub use object::Object;
