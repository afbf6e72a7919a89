//! What every component needs from Spin and WASI: HTTP requests and responses, problems, typed MySQL and Redis,
//! variables.
//!
//! Many requests share one instance, so statics hold nothing of a request: each request opens its own connections and
//! drops them when it ends. The exceptions are the orders that wait for a group, in the component `orders` (ADR 15),
//! and the queries that wait for memory, in `stocks`. An instance keeps only what is the same for all requests:
//! variables, the connection to Redis that readers share, and whether Redis can be trusted.

pub mod cache;
mod caching;
pub mod changes;
mod conditional;
#[cfg(test)]
mod fuzz;
pub mod idempotency;
pub mod json;
mod log;
pub mod mysql;
mod path;
mod problem;
pub mod redis;
mod reply;
mod request;
mod response;
mod serve;
pub mod trust;
pub mod variables;

pub use log::{log, log_sparsely};
pub use path::{parse_id, segments};
pub use problem::Problem;
pub use reply::Reply;
pub use request::{Request, Verb};
pub use serve::serve;

/// Faster than wasi-libc's allocator; docs/performance.md has the figures.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
