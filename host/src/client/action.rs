//! `store-host rollback`, `promote` and `abort`: changes that need no file.

use clap::Args;

use super::http::Call;
use super::swap::segment;
use super::{ClientError, Targets, say};
use crate::answers::Change;

/// Which component, and where.
#[derive(Debug, Args)]
pub struct ActionArgs {
    /// The component's id in spin.toml
    pub component: String,

    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

/// Which component, to which generation, and where.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// A kept generation, as `status` numbers them [default: the one that served last]
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u64>,

    /// Which component, and where.
    #[command(flatten)]
    pub action: ActionArgs,
}

/// What is said about a canary.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Promote,
    Abort,
}

pub(super) async fn run(action: Action, args: ActionArgs) -> Result<(), ClientError> {
    let word = match action {
        Action::Promote => "promote",
        Action::Abort => "abort",
    };
    let path = format!("/components/{}/{word}", segment(&args.component));
    post(&args, &path).await
}

pub(super) async fn rollback(args: RollbackArgs) -> Result<(), ClientError> {
    let component = segment(&args.action.component);
    let path = match args.generation {
        None => format!("/components/{component}/rollback"),
        Some(generation) => format!("/components/{component}/rollback?generation={generation}"),
    };
    post(&args.action, &path).await
}

async fn post(args: &ActionArgs, path: &str) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .each(async |admin| {
            let change: Change = caller.call(admin, Call::post(path)).await?;
            say(&format!("{admin}: `{}`", args.component));
            say(&format!("  digest     {}", change.digest));
            say(&switch_line(&change));
            Ok(())
        })
        .await
}

fn switch_line(change: &Change) -> String {
    let time = format!("  switched   in {:.1} µs", change.switch_us);
    let new = change.generation;
    match change.replaced {
        Some(old) => format!("{time}: generation {new} replaces {old}"),
        None => format!("{time}: generation {new} serves"),
    }
}
