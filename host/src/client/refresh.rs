//! `store-host refresh`.

use clap::Args;

use super::http::Call;
use super::{ClientError, Targets, say};
use crate::answers::{ComponentRefresh, Refresh};

/// Where.
#[derive(Debug, Args)]
pub struct RefreshArgs {
    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

pub(super) async fn run(args: RefreshArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .each(async |admin| {
            let refresh: Refresh = caller.call(admin, Call::post("/refresh")).await?;
            for ComponentRefresh {
                component,
                elapsed_ms,
            } in refresh.components
            {
                say(&format!(
                    "{admin}: `{component}` has made its reports anew in {elapsed_ms:.1} ms"
                ));
            }
            Ok(())
        })
        .await
}
