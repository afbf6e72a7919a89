//! One request's way through the proxy: pingora's `hooks` in their order, or the `direct` way of a plain request, and
//! the code that both use.
//!
//! `admission` lets the request in, and `arrival` waits for its body. `tries` says what follows when an upstream fails,
//! and `replay` whether the request may be sent twice. `answer` sends the proxy's own answers. `exchange` remembers the
//! request and its `attempts` at upstreams, from its head to the line in the `access_log`; `spans` writes its trace.
//! Nothing here owns what outlives a request: that is in `table`, `upstream`, `cache` and `clients`.

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
