//! One request's way through the proxy: pingora's `hooks` in their order, and what they call.
//!
//! `admission` lets it in, `arrival` waits for its body, `replay` says whether it may be sent twice, `answer` ends it
//! where the proxy answers itself, and `exchange` remembers it, and its `attempts` at upstreams, from the
//! first hook to the line in the `access_log`.
//! Nothing here owns what outlives a request: that is in `table`, `upstream`, `cache` and `clients`.

pub(crate) mod access_log;
mod admission;
mod answer;
mod arrival;
mod attempts;
mod encoding;
mod exchange;
mod hash_key;
pub(crate) mod hooks;
mod replay;
