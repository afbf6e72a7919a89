//! What changes a proxy that serves: its admin listener, and the commands that speak to it.
//!
//! `entrance`, `admin` and `token` are the listener; `admin` lists its paths, and `console` answers those that the
//! console's page asks for. `reload` puts a changed file in force. `cli` has the flags, and `client` sends commands to
//! a running process. `upgrade` puts a new process in the place of the running one, which it finds by `pid_file`;
//! `take_up` reloads or upgrades, whichever is needed. `healthcheck` asks whether the proxy serves. Code that serves
//! imports nothing of this.

pub(crate) mod admin;
mod admin_error;
pub mod cli;
pub mod client;
mod console;
pub(crate) mod entrance;
pub mod healthcheck;
pub(crate) mod pid_file;
pub(crate) mod reload;
pub mod take_up;
pub(crate) mod token;
pub mod upgrade;
