//! The code that changes a running proxy: its admin listener, and the commands that talk to it.
//!
//! `entrance`, `admin` and `token` are the listener; `admin` lists its paths, and `console` answers those for the
//! console's page. `reload` puts a changed file in force. `cli` has the flags, and `client` sends commands to a running
//! process. `upgrade` replaces the running process, which it finds by `pid_file`, with a new one; `take_up` reloads or
//! upgrades, whichever is needed. `healthcheck` checks whether the proxy serves. Code that serves imports nothing from
//! here.

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
