//! The operator's side: `store-host swap`, `status` and the rest, over a host's admin interface (`docs/ADMIN.md`).
//!
//! A fleet is worked through one host after the other and left alone at the first failure, a canary that is withdrawn
//! included, so that a bad version reaches one host at most.
//!
//! One file for each command, `http` for the call that all of them make, `targets` for which hosts are asked. Nothing here
//! runs in a host that serves, but for the call, with which `control` tells proxies to forget.

mod action;
mod error;
mod healthcheck;
mod http;
mod refresh;
mod reload;
mod status;
mod swap;
mod targets;
mod trial;

use clap::Subcommand;
use store_server::console::say;

pub use action::{ActionArgs, RollbackArgs};
pub use error::ClientError;
pub use healthcheck::{HealthcheckArgs, healthcheck};
pub(crate) use http::{Call, Caller};
pub use refresh::RefreshArgs;
pub use reload::ReloadArgs;
pub use status::StatusArgs;
pub use swap::{Percent, SwapArgs};
pub use targets::Targets;

use action::Action;

/// What an operator asks running hosts for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace a running component by another file, without losing a request
    ///
    /// The host receives the file, compiles it beside the running version, checks that it links and answers a probe,
    /// and switches. Any failure leaves the running version as it is; exit code 1, and the step that failed. With
    /// --canary it waits for the end of the trial, on each host before the next; exit code 1 if it is withdrawn.
    Swap(SwapArgs),

    /// Show each component's generations: digest, since when, requests in flight, share of the traffic
    Status(StatusArgs),

    /// Switch a component back to the generation it had before
    Rollback(RollbackArgs),

    /// Give a canary all of its component's traffic now
    Promote(ActionArgs),

    /// Withdraw a canary now
    Abort(ActionArgs),

    /// Read spin.toml again (variables, routes, hosts, limits) and switch to all of it at once, or to none of it
    Reload(ReloadArgs),

    /// Make the reports anew now, instead of when the next refresh is due; one host does it for all
    Refresh(RefreshArgs),
}

/// Does what `command` asks, talking on stdout.
///
/// # Errors
/// A host failed or refused. The hosts after it were left alone.
pub async fn run(command: Command) -> Result<(), ClientError> {
    match command {
        Command::Swap(args) => swap::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Rollback(args) => action::rollback(args).await,
        Command::Promote(args) => action::run(Action::Promote, args).await,
        Command::Abort(args) => action::run(Action::Abort, args).await,
        Command::Reload(args) => reload::run(args).await,
        Command::Refresh(args) => refresh::run(args).await,
    }
}
