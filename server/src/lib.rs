//! What both servers, `store-host` and `store-proxy`, say and understand in the same way.
//!
//! Here lives what a client or an operator would notice if the two differed: the id of a request, the body of a problem,
//! which heads and chunked bodies are too ambiguous to pass, whose word on a client's address counts and which addresses
//! are one client, what an admin token is and who may present it, how a duration is written, what a log line and a trace
//! look like, and how many of a kind there may be in a second, how a metric is declared, the page that shows all of it,
//! which build it is, how a program says that it failed, what it tells its service manager, how it looks up names, where it
//! is reached from its own machine, how an admin listener is asked and answers, and where in a file of settings the fault
//! is. Nothing here knows wasmtime, pingora, a client's connection, or what a setting means.

pub mod admin_answer;
pub mod admin_client;
pub mod admin_name;
mod admin_url;
pub mod build;
pub mod chunks;
mod client_network;
pub mod console;
pub mod document;
pub mod duration;
mod elements;
pub mod field;
pub mod forwarded;
pub mod listener;
pub mod logging;
pub mod metrics;
pub mod names;
mod per_second;
pub mod problem;
pub mod recent;
pub mod request_id;
mod secret;
pub mod service_manager;
pub mod terminal;
pub mod token;
pub mod trace;

pub use admin_url::AdminUrl;
pub use client_network::client_network;
pub use per_second::PerSecond;
pub use secret::Secret;

/// Whether a byte may stand in a token, such as a field's name (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_token(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Looked up, as each byte of each field's name is.
const TOKEN: [bool; 256] = {
    let (mut table, marks) = ([false; 256], b"!#$%&'*+-.^_`|~");
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};
