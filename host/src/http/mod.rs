//! A client's connection, and the way of one request over it and back.
//!
//! `serve` accepts connections, `downstream` stands between each and hyper and looks at its bytes (`heads`, `resets`);
//! `farewell` tells a client that it has too many.
//! `respond` takes one request from its head to its answer: it has the body `received`, picks a generation and makes an
//! `attempt`; `observed` counts until the last byte of the answer's `body` is gone; `mirror` sends a copy of a request to a
//! version on trial, and compares; `refusals` counts and logs what ends
//! here. `ready` answers for the host itself. Nothing here knows wasmtime's stores, a database or a file, or changes what serves.

mod attempt;
pub(crate) mod body;
mod downstream;
mod farewell;
mod heads;
mod mirror;
mod observed;
mod ready;
mod received;
mod refusals;
mod resets;
mod respond;
mod serve;

pub(crate) use refusals::Refusals;
pub(crate) use serve::{Server, serve};
