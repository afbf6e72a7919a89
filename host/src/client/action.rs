//! `store-host rollback`, `promote` and `abort`: changes that need no file.

use clap::Args;

use super::change::lines;
use super::http::Call;
use super::swap_args::segment;
use super::{ClientError, Targets, say};
use crate::answers::Change;

/// The component and the hosts.
#[derive(Debug, Args)]
pub struct ActionArgs {
    /// The component's id in spin.toml
    pub component: String,

    /// The hosts.
    #[command(flatten)]
    pub targets: Targets,
}

/// The component, the hosts, and the generation to go back to.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// A kept generation, as `status` numbers them [default: the one that served last]
    #[arg(long, value_name = "NUMBER")]
    pub generation: Option<u64>,

    /// The component and the hosts.
    #[command(flatten)]
    pub action: ActionArgs,
}

/// Runs `promote` or `abort`.
pub(super) async fn run(action: &str, args: ActionArgs) -> Result<(), ClientError> {
    let path = format!("/components/{}/{action}", segment(&args.component));
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
            lines(&change).iter().for_each(|line| say(line));
            Ok(())
        })
        .await
}
