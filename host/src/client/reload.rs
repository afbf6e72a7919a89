//! `store-host reload`.

use clap::Args;

use super::http::Call;
use super::{ClientError, Targets, say};
use crate::answers::Reload;

/// Where.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

pub(super) async fn run(args: ReloadArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    args.targets
        .each(async |admin| {
            let reload: Reload = caller.call(admin, Call::post("/reload")).await?;
            say(&format!(
                "{admin}: {} routes to {} in {:.1} ms",
                reload.routes,
                reload.components.join(", "),
                reload.elapsed_ms
            ));
            Ok(())
        })
        .await
}
