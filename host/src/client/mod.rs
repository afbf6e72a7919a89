//! The operator's side: `store-host swap`, `status` and other commands, which use a host's admin interface
//! (`docs/ADMIN.md`).
//!
//! A command calls one host after the other. It stops at the first host that fails or whose canary is withdrawn, so
//! that a bad version reaches one host at most. Only `fleet` leads several hosts together.
//!
//! `swap` with its `swap_args`, `rollout` and `trial`, `action`, `app`, `status` and `healthcheck` are the commands.
//! `change` prints the outcome of a change, `targets` has the hosts to call, and all commands call them through `http`.
//! A serving host uses only `http` of this room: `control` calls proxies with it, to tell them that answers have
//! changed, and other hosts of a roll-out.

mod action;
mod app;
mod change;
mod error;
mod fleet;
mod healthcheck;
mod http;
mod rollout;
mod status;
mod swap;
mod swap_args;
mod targets;
mod trial;

use clap::Subcommand;
use store_server::terminal::say;

pub use action::{ActionArgs, RollbackArgs};
pub use app::ReloadArgs;
pub use error::ClientError;
pub use healthcheck::{HealthcheckArgs, healthcheck};
pub(crate) use http::{Call, Caller};
pub use rollout::RolloutArgs;
pub use status::StatusArgs;
pub use swap_args::SwapArgs;
pub use targets::Targets;

/// What an operator asks running hosts for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replace a running component by another file, without losing a request
    ///
    /// The host receives the file, compiles it beside the running version, checks that it links and answers a probe,
    /// and switches. If a step fails, the running version goes on, the message names the step, and the exit code is 1.
    /// With --canary or --steps the command waits for the end of the trial on each host before it turns to the next; the
    /// exit code is 1 if the version is withdrawn. With --fleet it leads one trial over all hosts together.
    Swap(Box<SwapArgs>),

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
    Refresh(Targets),
}

/// Runs `command` and prints its results on stdout.
///
/// # Errors
/// A host failed or refused. The hosts after it were not called.
pub async fn run(command: Command) -> Result<(), ClientError> {
    match command {
        Command::Swap(args) => swap::run(*args).await,
        Command::Status(args) => status::run(args).await,
        Command::Rollback(args) => action::rollback(args).await,
        Command::Promote(args) => action::run("promote", args).await,
        Command::Abort(args) => action::run("abort", args).await,
        Command::Reload(args) => app::reload(args).await,
        Command::Refresh(targets) => app::refresh(targets).await,
    }
}
