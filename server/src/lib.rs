//! The code that both servers, `store-host` and `store-proxy`, share.
//!
//! Code lives here if a client or an operator would notice a difference between the two servers:
//!
//! - for requests: ids (`request_id`), problems (`problem`), the rules for heads and chunked bodies (`field`,
//!   `chunks`), what precedes a reset of HTTP/2 (`http2`), and how a client's address is found (`forwarded`, `elements`,
//!   `client_network`);
//! - for the admin listener: its answers (`admin_answer`), its client (`admin_client`, `admin_url`), the names that it
//!   may be asked by (`admin_name`), tokens (`token`, `secret`) and the page (`console`);
//! - for operators: settings (`document`, `duration`, `written_as_text`), which errors another start would find again
//!   (`io_fault`), logs (`logging`, `recent`), metrics, traces (`trace`, `per_second`), the build (`build`), messages on
//!   the terminal (`terminal`) and to the service manager (`service_manager`), man pages and completions (`manual`);
//! - for the network: addresses of listeners (`listener`) and of names (`names`).
//!
//! Nothing here knows wasmtime, pingora, a client's connection, or what a setting means.

// First, so that all the others know its macro.
#[macro_use]
mod written_as_text;

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
pub mod http2;
pub mod io_fault;
pub mod listener;
pub mod logging;
pub mod manual;
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

/// A table, as this is asked for each byte of each field's name.
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
