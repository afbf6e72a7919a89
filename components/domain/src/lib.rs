//! The store's rules: what an order is, what it costs, what it does to stock and to the reports.
//!
//! Nothing here does I/O or knows of HTTP, SQL or Spin, so every rule is tested natively. The components
//! (`orders`, `stocks`, `reports`) read, ask these functions, and write.

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
