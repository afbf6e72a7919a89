//! What changes a proxy that serves: its admin listener, and the commands that ask that.
//!
//! `entrance`, `admin` and `token` are the listener, which `admin` lists the paths of; `reload` puts a changed file in force.
//! `cli` has the flags, `client` asks a running process, `upgrade` puts a new one in its place, which it finds by
//! `pid_file`. Code that serves imports nothing of this.

pub(crate) mod admin;
mod admin_error;
pub mod cli;
pub mod client;
pub(crate) mod entrance;
pub(crate) mod pid_file;
pub(crate) mod reload;
pub(crate) mod token;
pub mod upgrade;
