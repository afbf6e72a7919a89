//! The limits of each client, and the order in which clients are served.
//!
//! `shares` counts what a client address holds: connections, requests in flight, bytes of bodies. Where requests wait,
//! for an instance or by `permits` for a connection, clients take `turns`. Nothing here knows a request or answers it.

mod permits;
mod shares;
mod turns;

pub(crate) use permits::{Permit, Permits};
pub(crate) use shares::{Charge, Client, Clients, Share, clients_at_work};
pub(crate) use turns::{Asker, COPIES, Turns};
