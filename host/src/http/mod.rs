//! A client's connection, and the way of one request over it and back.
//!
//! `serve` accepts connections for the `server`. `downstream` stands between each connection and hyper (with our
//! `hyper_settings`) and checks its bytes (`heads`); `farewell` refuses connections over a client's share,
//! and an unused connection is closed (`connection_use`). `respond` takes one request from its head to its answer: it
//! waits until the body is `received`, picks a generation and makes an `attempt`. `observed` counts the request when
//! the last byte of the answer's `body` has been sent, and `mirror` sends a copy of it to a version on trial.
//! `refusals` counts and logs requests that end here. `ready` answers `GET /readyz` for the host itself. Nothing here
//! knows wasmtime's stores, a database or a file, or changes what serves.

mod attempt;
pub(crate) mod body;
mod connection_use;
mod downstream;
mod farewell;
#[cfg(test)]
mod fuzz;
mod heads;
mod hyper_settings;
mod mirror;
mod observed;
mod ready;
mod received;
mod refusals;
mod respond;
mod serve;
mod server;

pub(crate) use downstream::{Downstream, Times};
pub(crate) use heads::MOST_BYTES as MOST_HEAD_BYTES;
pub(crate) use refusals::Refusals;
pub(crate) use serve::serve;
pub(crate) use server::Server;
