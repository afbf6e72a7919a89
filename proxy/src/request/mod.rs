//! One request's way through the proxy: pingora's `hooks` in their order, or the `direct` way of a plain request, and
//! what both call.
//!
//! `admission` lets it in, and `arrival` waits for its body. `tries` says what follows when an upstream fails, and
//! `replay` whether the request may be sent twice. `answer` ends it where the proxy answers itself. `exchange`
//! remembers the request and its `attempts` at upstreams, from its head to the line in the `access_log`; `spans` is
//! what its trace says. Nothing here owns what outlives a request: that is in `table`, `upstream`, `cache` and
//! `clients`.

pub(crate) mod access_log;
mod admission;
mod answer;
mod arrival;
mod attempts;
pub(crate) mod direct;
mod encoding;
pub(crate) mod exchange;
mod hash_key;
pub(crate) mod hooks;
mod replay;
mod session;
pub(crate) mod spans;
mod tries;
