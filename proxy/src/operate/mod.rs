//! What changes a proxy that serves: its admin listener, and the commands that ask that.
//!
//! `entrance`, `admin` and `token` are the listener, which `admin` lists the paths of, those of `console` among them; `reload` puts a changed file in force.
//! `cli` has the flags, `client` asks a running process, `upgrade` puts a new one in its place, which it finds by
//! `pid_file`, `take_up` does whichever of the two is needed, and `healthcheck` asks whether it serves. Code that serves
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
